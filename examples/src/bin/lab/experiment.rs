//! One row of the comparison: what is tried, and what came of it.

use std::time::Duration;

use rpc_runtime::Semantics;
use rpc_runtime::fault::Faults;
use rpc_runtime::sim::checker::Tally;
use serde::Serialize;

/// What is compared.
pub(crate) const SEMANTICS: [Semantics; 3] =
    [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce];

/// How long a caller waits for one call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What is tried.
#[derive(Clone, Debug)]
pub(crate) struct Experiment {
    pub(crate) world: &'static str,
    pub(crate) semantics: Semantics,
    pub(crate) faults: Faults,
    pub(crate) calls: u64,
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) world: &'static str,
    pub(crate) semantics: Semantics,
    pub(crate) faults: String,
    pub(crate) seed: u64,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// Calls that returned and left no effect.
    pub(crate) effects_lost: u64,
    pub(crate) violations: u64,
    pub(crate) datagrams: u64,
    pub(crate) retransmissions: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) calls_per_second: u64,
    pub(crate) trace_hash: Option<String>,
}

impl Row {
    /// Whether no invariant was violated.
    pub(crate) const fn is_clean(&self) -> bool {
        self.violations == 0 && self.tally.wrong_replies == 0
    }
}

/// Calls a second, whole.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people"
)]
pub(crate) fn rate(calls: u64, seconds: f64) -> u64 {
    (calls as f64 / seconds.max(1e-9)) as u64
}
