//! What is copied from the registry at one instant, and how much at most.

use rpc_runtime::binder::{Entry, Report};
use rpc_runtime::time::{Duration, Instant};

use crate::desk::Desk;

/// Registrations that are shown, the first in order of name, version and server. The registry is held
/// while that many are copied, and no longer.
pub const SHOWN_MAX: usize = 500;

/// The registry at one instant.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) now: Instant,
    /// How long a registration is believed without a renewal.
    pub(super) lease: Duration,
    /// In order of name, version and server; at most [`SHOWN_MAX`].
    pub(super) rows: Vec<(Entry, Option<Report>)>,
    /// Registrations that are not among the rows.
    pub(super) left_out: usize,
    /// What the store said, if it has failed.
    pub(super) trouble: Option<String>,
}

impl Sample {
    pub(super) fn take(desk: &Desk) -> Self {
        let trouble = desk.trouble();
        desk.with(|now, registry| {
            let reports = registry.reports(now).take(SHOWN_MAX);
            let rows: Vec<_> = reports.map(|(entry, report)| (entry, report.cloned())).collect();
            let left_out = registry.len().saturating_sub(SHOWN_MAX);
            Self { now, lease: registry.limits().lease, rows, left_out, trouble }
        })
    }
}
