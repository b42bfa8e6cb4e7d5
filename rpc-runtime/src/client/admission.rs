//! Whether and when a connection takes a call: the breaker, the budget, and what each call counts.
//!
//! Knows the two guards of a server ([`super::breaker`], [`super::budget`]); does not know what
//! becomes of a call that is not taken.

use std::sync::Arc;

use super::breaker::{Admission, Sign};
use super::budget;
use super::connection::{Connection, State};
use crate::error::{CallError, ErrorKind, Evidence, Execution};
use crate::protocol::{Arguments, CallKey, CallSpec};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};

/// Calls in a row that another server answered first, without a word of this one, before it is lost:
/// more than lost datagrams explain.
const UNHEARD_MIN: u32 = 3;

/// A call that was not made, because its server keeps failing and is left alone.
#[derive(Debug)]
pub(super) struct KeptBack {
    pub(super) arguments: Arguments,
    /// How long; `None` is until a call under way has asked.
    pub(super) left: Option<Duration>,
}

/// What may keep a call back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// The breaker: [`super::breaker`].
    Breaker,
    /// Nothing: its caller wants it made.
    Nothing,
}

impl Connection {
    /// Whether the server would be left alone now.
    pub(super) fn is_left_alone(&self) -> bool {
        let (mut state, now) = self.turn();
        state.look_at_probe(now);
        state.breaker.is_open(now)
    }

    /// The arguments of a call that has not ended.
    pub(super) fn arguments(&self, key: CallKey) -> Option<Arguments> {
        self.lock().core.arguments(key).cloned()
    }

    /// Starts a call: one that this server was not asked for yet, or, `again`, one that
    /// [`Connection::plan_again`] allowed. `now` is a moment ago at the most.
    ///
    /// # Errors
    ///
    /// The server keeps failing and is left alone.
    pub(super) fn start(
        self: &Arc<Self>,
        now: Instant,
        spec: &CallSpec,
        arguments: Arguments,
        heed: Heed,
        again: bool,
    ) -> Result<CallKey, KeptBack> {
        let (mut state, now) = self.turn_at(now);
        state.look_at_probe(now);
        let admission = match heed {
            Heed::Breaker => state.breaker.admit(now, spec.semantics != Semantics::Maybe),
            Heed::Nothing => Admission::Yes,
        };
        if let Admission::No(until) = admission {
            state.kept_back += 1;
            let left = until.map(|until| now.until(until));
            return Err(KeptBack { arguments, left });
        }
        if again {
            state.retries += 1;
        } else {
            state.budget.deposit();
        }
        Ok(self.start_in(state, now, spec, arguments, admission))
    }

    /// Starts a call that another server was asked for and may yet answer.
    ///
    /// # Errors
    ///
    /// The budget is spent, or the server is left alone.
    pub(super) fn start_hedge(
        self: &Arc<Self>,
        spec: &CallSpec,
        arguments: Arguments,
    ) -> Result<CallKey, Arguments> {
        let (mut state, now) = self.turn();
        if state.breaker.is_open(now) || !state.budget.take(now) {
            return Err(arguments);
        }
        Ok(self.start_in(state, now, spec, arguments, Admission::Yes))
    }

    /// Another server has answered a call that is under way here too. Says whether this one has said
    /// nothing for so many calls that it may be dead: it counts as silent for all of them, though
    /// none has waited for its deadline.
    pub(super) fn was_outrun(&self, key: CallKey) -> bool {
        let (mut state, now) = self.turn();
        if state.core.arguments(key).is_none() || state.core.is_at_work(key) {
            state.unheard = 0;
            return false;
        }
        state.unheard = state.unheard.saturating_add(1);
        let State { breaker, rng, .. } = &mut *state;
        breaker.ended(now, Sign::Silent, false, &mut **rng);
        state.unheard >= UNHEARD_MIN
    }

    /// When a call may be made here again that was made again `before` times; `None` if the budget
    /// is spent, or if that would be too late.
    pub(super) fn plan_again(
        &self,
        before: u32,
        push_back: Duration,
        deadline: Instant,
        heed: Heed,
    ) -> Option<Instant> {
        let (mut state, now) = self.turn();
        let wait = budget::wait(before, push_back, &mut *state.rng);
        let until = now + wait;
        let is_left_alone = heed == Heed::Breaker && state.breaker.is_open(until);
        if until >= deadline || is_left_alone {
            return None;
        }
        let is_allowed = state.budget.take(now);
        state.retries_denied += u64::from(!is_allowed);
        is_allowed.then_some(until)
    }
}

impl State {
    /// A probe that was heard at work has told what was asked, however long it takes.
    fn look_at_probe(&mut self, now: Instant) {
        if self.probe.is_some_and(|probe| self.core.is_at_work(probe)) {
            self.probe = None;
            self.breaker.ended(now, Sign::Alive, true, &mut *self.rng);
        }
    }
}

impl KeptBack {
    /// What its caller is told.
    pub(super) fn error(&self, connection: &Connection) -> CallError {
        let peer = Some(connection.target().address);
        let evidence = Evidence { peer, push_back: self.left, ..Evidence::default() };
        CallError::new(ErrorKind::LeftAlone, Execution::NotExecuted).with_evidence(evidence)
    }
}
