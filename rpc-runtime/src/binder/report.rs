//! What a server says of itself each time that it renews: how it is, and what it has done.
//!
//! Knows the data and its limits. Nothing of it lasts, and nothing of it is believed further than to be
//! shown, but that a server drains or cannot serve.

use serde::{Deserialize, Serialize};

use super::model::{Entry, Revision};
pub use crate::server::{Figures, Health};
use crate::time::Duration;

/// A binder asks no server more often than this how it is.
pub const POLL_MIN: Duration = Duration::from_millis(100);
/// Most services of which a report says how calls to them went.
pub const CALLEES_MAX: usize = 8;
/// Upper bound of what a report's fields of fixed size take, in bytes.
const FIXED_BYTES_MAX: usize = 96;
/// The same of a callee.
const CALLEE_BYTES_MAX: usize = 41;
/// The same of what is said of a report.
const REPORTED_BYTES_MAX: usize = 30;

/// What a server says of itself, and of one of its services, each time that it renews.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Counts the reports of a server's process: what an earlier one says that comes late does not count.
    pub number: u64,
    /// It ends what it has begun, and begins nothing more: clients go elsewhere.
    pub is_draining: bool,
    /// Whether the service can do what it promises.
    pub health: Health,
    /// How often the binder is to ask the server how the service is, in ms; never if it is 0.
    pub poll_ms: u32,
    /// What the service has done since the server's life began.
    pub figures: Figures,
    /// How the calls went that the server's process made at services of this binder, the most called
    /// first; at most [`CALLEES_MAX`].
    pub callees: Vec<Callee>,
}

impl Report {
    /// Upper bound of its marshalled size, in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        let callees = self.callees.iter().map(|callee| callee.name.len() + CALLEE_BYTES_MAX);
        FIXED_BYTES_MAX + callees.sum::<usize>()
    }

    /// A server that drains, and says nothing else.
    #[must_use]
    pub fn draining() -> Self {
        Self { is_draining: true, ..Self::default() }
    }
}

impl Callee {
    /// All calls that were counted.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        self.returned + self.not_executed + self.executed + self.unknown
    }
}

/// How a process's calls to one service went, since its life began: those that somebody waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callee {
    /// The service's name.
    pub name: String,
    /// Calls that returned, if only an error of the method's own.
    pub returned: u64,
    /// Calls that failed and did not run.
    pub not_executed: u64,
    /// Calls that ran and failed.
    pub executed: u64,
    /// Calls of which nobody knows whether they ran.
    pub unknown: u64,
}

/// A registration, and what its server said when it renewed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The registration.
    pub entry: Entry,
    /// What its server said; nothing before it has renewed.
    pub report: Option<Report>,
    /// How long ago that was, in ms.
    pub age_ms: u32,
    /// Calls that had begun between the report before that and it.
    pub calls: u64,
    /// How long that was, in ms; zero if there was none before it.
    pub within_ms: u32,
}

impl Reported {
    /// Upper bound of its marshalled size, in bytes.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        let report = self.report.as_ref().map_or(0, Report::page_bytes);
        self.entry.page_bytes() + report + REPORTED_BYTES_MAX
    }

    /// Calls a second between the last two reports.
    #[must_use]
    pub fn calls_per_second(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let calls = self.calls as f64;
        (self.within_ms > 0).then(|| calls * 1_000.0 / f64::from(self.within_ms))
    }
}

/// One page of registrations with what their servers said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// In order of name, version and server.
    pub reports: Vec<Reported>,
    /// Whether others follow the last of these.
    pub more: bool,
    /// The latest change of all registrations.
    pub revision: Revision,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_report_is_no_larger_than_its_bound() {
        let most = u64::MAX;
        let callee = Callee {
            name: "n".repeat(64),
            returned: most,
            not_executed: most,
            executed: most,
            unknown: most,
        };
        let figures = Figures {
            calls: most,
            failed: most,
            refused: most,
            duplicates_suppressed: most,
            orphans_killed: most,
            running: u32::MAX,
            queued: u32::MAX,
            p50_us: u32::MAX,
            p99_us: u32::MAX,
        };
        let callees = vec![callee; CALLEES_MAX];
        let report = Report {
            number: most,
            is_draining: true,
            health: Health::NotServing,
            poll_ms: u32::MAX,
            figures,
            callees,
        };
        let bytes = postcard::to_allocvec(&report).unwrap().len();
        assert!(bytes <= report.page_bytes(), "{bytes} bytes");
    }
}
