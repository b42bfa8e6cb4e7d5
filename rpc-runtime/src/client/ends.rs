//! How the calls at one service ended, counted by whoever learns of the ends.
//!
//! A call counts once, however often it was made: made again, or at two servers. One that nobody waits
//! for does not count, because nobody learns how it ended.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Execution;

/// Counts of calls at one service.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    returned: AtomicU64,
    not_executed: AtomicU64,
    executed: AtomicU64,
    unknown: AtomicU64,
}

/// The same, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndCounts {
    pub(crate) returned: u64,
    pub(crate) not_executed: u64,
    pub(crate) executed: u64,
    pub(crate) unknown: u64,
}

impl Ends {
    /// A call has returned.
    pub(super) fn returned(&self) {
        self.returned.fetch_add(1, Ordering::Relaxed);
    }

    /// A call has failed, with this certainty.
    pub(super) fn failed(&self, execution: Execution) {
        let count = match execution {
            Execution::NotExecuted => &self.not_executed,
            Execution::Executed => &self.executed,
            Execution::Unknown => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> EndCounts {
        let [returned, not_executed, executed, unknown] =
            [&self.returned, &self.not_executed, &self.executed, &self.unknown]
                .map(|count| count.load(Ordering::Relaxed));
        EndCounts { returned, not_executed, executed, unknown }
    }
}

impl EndCounts {
    /// All calls.
    pub(crate) const fn all(self) -> u64 {
        self.returned + self.not_executed + self.executed + self.unknown
    }
}
