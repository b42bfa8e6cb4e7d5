//! Invariant 5: no orphan outlives its strategy's bound, if its handler heeds cancellation.
//!
//! An orphan is an execution that runs on although its caller was told how the call ended, or died.
//! Knows the bounds that a world tells with each execution; does not know how strategies work.

use std::collections::BTreeMap;

use super::{CallNumber, Checker, Invariant, Record};
use crate::ids::{ClientId, Incarnation, ServerId};
use crate::time::{Duration, Instant};

/// How late an orphan may end by anybody's clock: some ticks, and what clocks' rates may differ by.
const SLACK: Duration = Duration::from_millis(10);
/// Clocks differ by one part in so many.
const RATE: u32 = 5_000;

/// How long an execution may go on without its caller. `None`: as long as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// After its caller is gone: a quantum and the grace period.
    pub expires: Option<Duration>,
    /// After a later life of its client was welcomed there, wherever its caller is.
    pub reincarnates: Option<Duration>,
    /// The same, if its caller was gone by then.
    pub gentle: Option<Duration>,
}

/// An execution that heeds its cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Numbers the executions of a run.
    pub execution: u64,
    /// The call.
    pub call: CallNumber,
    /// Whose call it is.
    pub client: ClientId,
    /// Made in which life.
    pub life: Incarnation,
    /// Who executes it.
    pub server: ServerId,
    /// In which life.
    pub incarnation: Incarnation,
    /// How long it may go on alone.
    pub bounds: Bounds,
}

/// A later life of a client was welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// Where.
    pub server: ServerId,
    /// In which life.
    pub incarnation: Incarnation,
    /// Whose.
    pub client: ClientId,
    /// That life.
    pub below: Incarnation,
}

/// What is known of all executions that heed their cancellation.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    executions: BTreeMap<u64, Entry>,
    fences: Vec<(Instant, Fenced)>,
    /// Lives that somebody claimed who could not prove to be there.
    forged: Vec<(ClientId, Incarnation)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    watched: Watched,
    began: Instant,
    over: Option<Instant>,
}

impl Ledger {
    pub(super) fn watch(&mut self, at: Instant, watched: Watched) {
        let entry = Entry { watched, began: at, over: None };
        self.executions.insert(watched.execution, entry);
    }

    pub(super) fn over(&mut self, at: Instant, execution: u64) {
        if let Some(entry) = self.executions.get_mut(&execution) {
            entry.over = Some(at);
        }
    }

    pub(super) fn fence(&mut self, at: Instant, fenced: Fenced) {
        self.fences.push((at, fenced));
    }

    pub(super) fn forge(&mut self, client: ClientId, life: Incarnation) {
        self.forged.push((client, life));
    }

    /// Fences that nobody had a right to.
    fn unproved(&self) -> Vec<(Instant, String)> {
        let is_forged = |fenced: &Fenced| self.forged.contains(&(fenced.client, fenced.below));
        let told = |(at, fenced): &(Instant, Fenced)| {
            let Fenced { client, below, .. } = fenced;
            (*at, format!("life {below} of client {client}, which proved nothing, was believed"))
        };
        self.fences.iter().filter(|(_, fenced)| is_forged(fenced)).map(told).collect()
    }

    /// Executions that went on for too long, and since when they were too late.
    fn late(&self, calls: &BTreeMap<CallNumber, Record>, end: Instant) -> Vec<(Instant, String)> {
        let mut late = Vec::new();
        for entry in self.executions.values() {
            let Watched { call, bounds, .. } = entry.watched;
            let gone = calls.get(&call).and_then(Record::gone_since);
            let over = entry.over.unwrap_or(end);
            let mut due = |from: Instant, bound: Option<Duration>, why: &str| {
                let Some(bound) = bound else { return };
                let due = from.max(entry.began) + bound;
                let tolerated = due + SLACK + due.since(Instant::START) / RATE;
                if over > tolerated {
                    let ran = entry.over.map_or("runs on".to_owned(), |at| format!("ran to {at}"));
                    late.push((due, format!("call {call}, {why}, was due at {due} and {ran}")));
                }
            };
            if let Some(gone) = gone {
                due(gone, bounds.expires, &format!("whose caller was gone at {gone}"));
            }
            for (at, _) in self.fences.iter().filter(|(at, fenced)| entry.is_under(*at, fenced)) {
                due(*at, bounds.reincarnates, &format!("of a former life since {at}"));
                if gone.is_some_and(|gone| gone <= *at) {
                    due(*at, bounds.gentle, &format!("whose owner was sought at {at}"));
                }
            }
        }
        late
    }
}

impl Entry {
    /// Whether a later life of its client was welcomed while it ran.
    fn is_under(&self, at: Instant, fenced: &Fenced) -> bool {
        let Watched { server, incarnation, client, life, .. } = self.watched;
        let there = (fenced.server, fenced.incarnation, fenced.client);
        there == (server, incarnation, client) && life < fenced.below && self.began <= at
    }
}

impl Record {
    /// When its caller waited no longer.
    fn gone_since(&self) -> Option<Instant> {
        if self.awaited {
            return None;
        }
        let told = self.told.first().map(|(at, _)| *at);
        told.into_iter().chain(self.gone).min()
    }
}

impl Checker {
    /// Invariant 5.
    pub(super) fn orphans(&mut self, end: Instant) {
        let mut found = self.ledger.late(&self.calls, end);
        found.extend(self.ledger.unproved());
        for (at, what) in found {
            self.broken(Invariant::Orphans, at, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fact, Verdict};
    use super::*;
    use crate::error::Execution;
    use crate::semantics::Semantics;

    const EXPIRES: Bounds =
        Bounds { expires: Some(Duration::from_millis(500)), reincarnates: None, gentle: None };
    const REINCARNATES: Bounds =
        Bounds { expires: None, reincarnates: Some(Duration::ZERO), gentle: None };
    const GENTLE: Bounds =
        Bounds { expires: None, reincarnates: None, gentle: Some(Duration::from_millis(300)) };

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// A call that begins at 100 ms, and what happens then.
    fn run(bounds: Bounds, facts: &[(u64, Fact)]) -> Vec<Invariant> {
        let (server, incarnation) = (ServerId(7), Incarnation(1));
        let (semantics, deadline) = (Semantics::AtMostOnce, ms(60_000));
        let mut checker = Checker::new(false);
        checker.observe(ms(0), Fact::Started { call: 0, semantics, deadline, server, incarnation });
        checker.observe(ms(100), Fact::Began { call: 0, server, incarnation });
        let (client, life) = (ClientId(3), Incarnation(5));
        let watched = Watched { execution: 9, call: 0, client, life, server, incarnation, bounds };
        checker.observe(ms(100), Fact::Watched(watched));
        for (at, fact) in facts {
            checker.observe(ms(*at), fact.clone());
        }
        checker.finish(ms(50_000)).iter().map(|violation| violation.invariant).collect()
    }

    fn gone() -> Fact {
        Fact::ClientGone { calls: vec![0] }
    }

    fn told() -> Fact {
        Fact::Ended { call: 0, verdict: Verdict::Failed(Execution::Unknown) }
    }

    const OVER: Fact = Fact::Over { execution: 9 };

    fn fenced(below: u64) -> Fact {
        let (server, incarnation) = (ServerId(7), Incarnation(1));
        let (client, below) = (ClientId(3), Incarnation(below));
        Fact::Fenced(Fenced { server, incarnation, client, below })
    }

    #[test]
    fn an_orphan_within_its_bound_is_none_of_ours() {
        assert_eq!(run(EXPIRES, &[(200, gone()), (700, OVER)]), []);
        assert_eq!(run(EXPIRES, &[(200, told()), (700, OVER)]), []);
        assert_eq!(run(EXPIRES, &[(40_000, OVER)]), [], "its caller waits");
        assert_eq!(run(Bounds::default(), &[(200, gone())]), [], "nobody promised anything");
    }

    #[test]
    fn an_orphan_that_outlives_a_quantum_and_the_grace_is_seen() {
        for end in [gone(), told()] {
            assert_eq!(run(EXPIRES, &[(200, end.clone()), (720, OVER)]), [Invariant::Orphans]);
            assert_eq!(run(EXPIRES, &[(200, end)]), [Invariant::Orphans], "it never ends");
        }
    }

    #[test]
    fn a_caller_that_was_gone_before_the_execution_counts_from_its_beginning() {
        assert_eq!(run(EXPIRES, &[(50, gone()), (600, OVER)]), []);
        assert_eq!(run(EXPIRES, &[(50, gone()), (620, OVER)]), [Invariant::Orphans]);
    }

    #[test]
    fn a_call_that_a_later_life_waits_for_is_no_orphan() {
        let awaited = Fact::Awaited { call: 0 };
        assert_eq!(run(EXPIRES, &[(200, gone()), (600, awaited), (40_000, OVER)]), []);
        let of_another = Fact::Awaited { call: 1 };
        assert_eq!(run(EXPIRES, &[(200, gone()), (600, of_another)]), [Invariant::Orphans]);
    }

    #[test]
    fn a_life_that_proved_nothing_fences_nothing() {
        let forged = |life| Fact::Forged { client: ClientId(3), life: Incarnation(life) };
        assert_eq!(run(EXPIRES, &[(150, forged(7)), (300, fenced(6)), (400, OVER)]), []);
        let believed = [(150, forged(6)), (300, fenced(6)), (400, OVER)];
        assert_eq!(run(EXPIRES, &believed), [Invariant::Orphans]);
    }

    #[test]
    fn reincarnation_is_held_to_its_word() {
        assert_eq!(run(REINCARNATES, &[(300, fenced(6)), (305, OVER)]), []);
        assert_eq!(run(REINCARNATES, &[(300, fenced(6)), (320, OVER)]), [Invariant::Orphans]);
        assert_eq!(run(REINCARNATES, &[(300, fenced(5)), (900, OVER)]), [], "its own life");
    }

    #[test]
    fn gentle_reincarnation_is_held_to_its_word_where_the_owner_was_gone() {
        assert_eq!(run(GENTLE, &[(300, fenced(6)), (900, OVER)]), [], "it may live");
        assert_eq!(run(GENTLE, &[(200, gone()), (300, fenced(6)), (590, OVER)]), []);
        let late = [(200, gone()), (300, fenced(6)), (900, OVER)];
        assert_eq!(run(GENTLE, &late), [Invariant::Orphans]);
        let died_later = [(300, fenced(6)), (400, gone()), (900, OVER)];
        assert_eq!(run(GENTLE, &died_later), []);
    }
}
