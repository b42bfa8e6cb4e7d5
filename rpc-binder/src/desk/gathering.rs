//! How long the keeping thread waits for more to keep together.
//!
//! Who is answered together asks together again, though not in the same instant. A thread that keeps the
//! first of them at once keeps that one alone, and the others wait for the flush after that one. So the
//! next batch waits until as many ask as may, and no longer than half of what the last one took; where one
//! asks at a time, not at all. Knows counts and times only.

use rpc_runtime::time::Instant;

use super::BATCH_MAX;

/// For whom the next batch waits, and how long.
#[derive(Debug)]
pub(super) struct Gathering {
    /// How many may ask soon: those who were answered last, and those who asked meanwhile.
    wanted: usize,
    until: Instant,
}

impl Gathering {
    pub(super) const fn new() -> Self {
        Self { wanted: 0, until: Instant::START }
    }

    /// So many were answered, after their batch was kept from `since` until `now`; others wait already.
    pub(super) fn answered(
        &mut self,
        answered: usize,
        waiting: usize,
        since: Instant,
        now: Instant,
    ) {
        self.wanted = (answered + waiting).min(BATCH_MAX);
        self.until = now + now.since(since) / 2;
    }

    /// Until when to wait for more, where so many wait.
    pub(super) fn goes_on_until(&self, waiting: usize, now: Instant) -> Option<Instant> {
        let is_worth_it = (1..self.wanted).contains(&waiting) && now < self.until;
        is_worth_it.then_some(self.until)
    }

    /// Whether the last of those who were waited for has come.
    pub(super) const fn is_complete(&self, waiting: usize) -> bool {
        waiting == self.wanted
    }
}

#[cfg(test)]
mod tests {
    use rpc_runtime::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_batch_waits_for_those_who_were_answered_together_and_for_half_a_flush_at_most() {
        let mut gathering = Gathering::new();
        let begun = Instant::START + MS;
        assert_eq!(gathering.goes_on_until(1, begun), None, "at first nobody is waited for");
        let kept = begun + MS * 4;
        gathering.answered(60, 4, begun, kept);
        assert_eq!(gathering.goes_on_until(4, kept), Some(kept + MS * 2));
        assert_eq!(gathering.goes_on_until(63, kept + MS), Some(kept + MS * 2));
        assert!(gathering.is_complete(64));
        assert_eq!(gathering.goes_on_until(64, kept + MS), None, "all are there");
        assert_eq!(gathering.goes_on_until(4, kept + MS * 2), None, "it has waited enough");
        assert_eq!(gathering.goes_on_until(0, kept), None, "nobody is kept waiting");
        gathering.answered(BATCH_MAX, 5_000, begun, kept);
        assert_eq!(gathering.goes_on_until(BATCH_MAX, kept), None, "there is enough for a batch");
    }

    #[test]
    fn who_asks_alone_is_not_kept_waiting() {
        let mut gathering = Gathering::new();
        let kept = Instant::START + MS * 4;
        gathering.answered(1, 0, Instant::START, kept);
        assert_eq!(gathering.goes_on_until(1, kept), None);
    }
}
