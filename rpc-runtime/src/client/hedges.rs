//! What a route counts of the calls that it made at a second server.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ChannelStats;

/// Counts of hedged calls.
#[derive(Debug, Default)]
pub(super) struct Hedges {
    sent: AtomicU64,
    won: AtomicU64,
    denied: AtomicU64,
    called_off: AtomicU64,
}

impl Hedges {
    /// A second server was asked.
    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// None was, for want of budget.
    pub(super) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    /// One of both answered, and the other was called off if it had not ended.
    pub(super) fn ended(&self, won: bool, called_off: bool) {
        self.won.fetch_add(u64::from(won), Ordering::Relaxed);
        self.called_off.fetch_add(u64::from(called_off), Ordering::Relaxed);
    }

    /// Adds the counts to a channel's.
    pub(super) fn report(&self, stats: &mut ChannelStats) {
        stats.hedges = self.sent.load(Ordering::Relaxed);
        stats.hedges_won = self.won.load(Ordering::Relaxed);
        stats.hedges_denied = self.denied.load(Ordering::Relaxed);
        stats.hedges_called_off = self.called_off.load(Ordering::Relaxed);
    }
}
