//! A call made again by itself: here a little later, or elsewhere when its server is lost.
//!
//! Re-issue (a new identity, perhaps another server) happens only where the call certainly did not
//! run, or may run twice (`at_least_once`); always inside its deadline, and inside the budget of the
//! server that is asked again ([`super::budget`]). Does not know how servers are found.

use std::sync::Arc;

use super::admission::{Heed, KeptBack};
use super::connection::Connection;
use super::race::{Attempt, End};
use super::route::{Loss, Route};
use super::verdict::Finished;
use super::whereabouts::Whereabouts;
use crate::driver::World;
use crate::error::{CallError, ErrorKind, Execution};
use crate::protocol::{Arguments, CallKey, CallSpec, NotSentCause, Outcome, Target};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{RefuseReason, RejectReason};

/// What may become of a call that failed, besides its error.
#[derive(Debug)]
pub(super) struct Again {
    /// Leads elsewhere when the server is lost; an address alone does not.
    pub(super) route: Option<Arc<Route>>,
    pub(super) spec: CallSpec,
    pub(super) may_retry: bool,
    /// Whether it is made at a server that was silent, to see whether that answers.
    pub(super) is_trial: bool,
    /// What may keep it back.
    pub(super) heed: Heed,
    /// After how long another server is asked too.
    pub(super) hedge: Option<Duration>,
}

/// Where a call is made again.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Where it was refused, not before this time.
    Here(Instant),
    /// Wherever the route leads.
    Elsewhere,
}

/// A call that is made again.
#[derive(Debug)]
pub(super) struct Carry {
    again: Again,
    arguments: Arguments,
    step: Step,
    /// Where it was made last, or was to be made first.
    connection: Arc<Connection>,
    /// Who was asked so far, and how often it was made again.
    tried: Vec<Target>,
    before: u32,
    /// Whether it was kept back from a server that keeps failing.
    was_kept_back: bool,
    /// How the last attempt ended that did not run.
    last: Option<(Arc<Connection>, Finished)>,
    /// An earlier end that left open whether it ran.
    doubt: Option<(Arc<Connection>, Finished)>,
}

/// What follows the end of a call on one connection.
#[derive(Debug)]
pub(super) enum After {
    /// That was the end, of a call on this route.
    End(Arc<Connection>, Finished, Option<Arc<Route>>),
    /// It is made again.
    Again(Box<Carry>),
}

/// How a call that may have moved ended.
#[derive(Debug)]
pub(super) enum Carried {
    /// On this connection.
    Ended(Arc<Connection>, Finished),
    /// On none: there was no server to be had.
    Failed(CallError),
}

impl Again {
    /// The call, to be made wherever the route leads: `connection` is lost.
    pub(super) fn elsewhere(self, connection: Arc<Connection>, arguments: Arguments) -> Box<Carry> {
        Box::new(Carry {
            again: self,
            arguments,
            step: Step::Elsewhere,
            connection,
            tried: Vec::new(),
            before: 0,
            was_kept_back: false,
            last: None,
            doubt: None,
        })
    }

    /// What follows when an attempt ended as it did.
    pub(super) fn after(&mut self, end: End) -> After {
        let Some(step) = self.step(&end.connection, &end.finished, 0) else {
            let (connection, finished) = end.join();
            return After::End(connection, finished, self.route.take());
        };
        let again = Self { route: self.route.take(), ..*self };
        let mut carry = again.elsewhere(Arc::clone(&end.connection), Arguments::default());
        carry.step = step;
        carry.was_hedged(&end);
        carry.note(end);
        After::Again(carry)
    }

    /// An attempt that was begun.
    pub(super) fn attempt(
        &self,
        connection: Arc<Connection>,
        key: CallKey,
        whereabouts: impl FnOnce(&Arc<Connection>) -> Arc<Whereabouts>,
    ) -> Attempt {
        let hedge = self.hedge.zip(self.route.as_ref());
        Attempt::new(connection, key, &self.spec, hedge, whereabouts)
    }

    /// Takes note if the server of a call that ended is lost; says whether to make it again.
    fn step(&self, connection: &Arc<Connection>, finished: &Finished, before: u32) -> Option<Step> {
        let loss = self.route.as_ref().zip(Loss::of(finished));
        if let Some((route, loss)) = loss {
            route.lose(connection, loss);
        }
        let may_repeat = match finished.outcome.execution() {
            Execution::NotExecuted => true,
            Execution::Unknown => self.spec.semantics == Semantics::AtLeastOnce && loss.is_some(),
            Execution::Executed => false,
        };
        if !may_repeat || !self.may_retry || connection.world.now() >= self.spec.deadline {
            return None;
        }
        if loss.is_some() {
            return Some(Step::Elsewhere);
        }
        let push_back = refused_for_now(&finished.outcome)?;
        if self.spec.semantics == Semantics::Maybe {
            return None; // nobody waits for it
        }
        if let Some(route) = &self.route
            && ((self.heed == Heed::Breaker && connection.is_left_alone())
                || route.pick_other(connection).is_some())
        {
            route.lose(connection, Loss::Silent);
            return Some(Step::Elsewhere);
        }
        let until = connection.plan_again(before, push_back, self.spec.deadline, self.heed);
        until.map(Step::Here)
    }
}

/// Whether the same server may take the call a little later; what it asks for meanwhile.
const fn refused_for_now(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Refused {
            reason: RefuseReason::Overload | RefuseReason::Draining,
            push_back,
            ..
        }
        | Outcome::Rejected {
            reason: RejectReason::NoRoom | RejectReason::Draining,
            push_back,
            ..
        } => Some(*push_back),
        Outcome::NotSent(NotSentCause::Draining) => Some(Duration::ZERO),
        Outcome::Refused {
            reason:
                RefuseReason::Expired
                | RefuseReason::UnknownMethod
                | RefuseReason::ChangedMethod
                | RefuseReason::BadArguments
                | RefuseReason::TooLarge
                | RefuseReason::Unauthorised
                | RefuseReason::Generation
                | RefuseReason::IdentityInUse,
            ..
        }
        | Outcome::Rejected {
            reason:
                RejectReason::StaleBinding | RejectReason::OldIncarnation | RejectReason::Version,
            ..
        }
        | Outcome::NotSent(
            NotSentCause::Unreachable
            | NotSentCause::NoFreeSlot
            | NotSentCause::QueueFull
            | NotSentCause::Cancelled
            | NotSentCause::TooLarge
            | NotSentCause::Expired
            | NotSentCause::ConnectionClosed
            | NotSentCause::Unsupported
            | NotSentCause::JournalFailed,
        )
        | Outcome::Sealed
        | Outcome::InDoubt(_)
        | Outcome::Returned(_)
        | Outcome::Sent
        | Outcome::Failed { .. } => None,
    }
}

impl Carry {
    /// The world that the call is made in.
    pub(super) fn world(&self) -> Arc<dyn World> {
        Arc::clone(&self.connection.world)
    }

    /// What it goes by.
    pub(super) fn way(&self) -> (Option<Arc<Route>>, Arc<Connection>) {
        (self.again.route.clone(), Arc::clone(&self.connection))
    }

    /// Makes the call as often as it takes and is allowed.
    pub(super) fn carry(mut self, on: &Arc<Whereabouts>) -> Carried {
        loop {
            if on.is_cancelled() {
                return self.called_off();
            }
            let (place, until) = match self.place(on) {
                Ok(Some(place)) => place,
                Ok(None) => return self.conclude(),
                Err(_) if on.is_cancelled() => return self.called_off(),
                Err(error) => return self.joined(Carried::Failed(error)),
            };
            if let Some(until) = until {
                on.rest(&self.connection.world, until);
            }
            if on.is_cancelled() {
                return self.called_off();
            }
            let arguments = std::mem::take(&mut self.arguments);
            let now = place.world.now();
            let key = match place.start(
                now,
                &self.again.spec,
                arguments,
                self.again.heed,
                until.is_some(),
            ) {
                Ok(key) => key,
                Err(kept) => match self.kept_back(&place, kept) {
                    Some(error) => return self.joined(Carried::Failed(error)),
                    None => continue,
                },
            };
            on.moved(&place, key);
            let end = self.again.attempt(Arc::clone(&place), key, |_| Arc::clone(on)).wait();
            self.before += u32::from(self.last.is_some() || self.doubt.is_some());
            self.was_hedged(&end);
            self.connection = Arc::clone(&end.connection);
            let step = if on.is_cancelled() {
                None
            } else {
                self.again.step(&end.connection, &end.finished, self.before)
            };
            match step {
                Some(step) => self.step = step,
                None => return self.ended(end),
            }
            self.note(end);
        }
    }

    /// The server is left alone. Another one is looked for, once: whoever finds servers prefers
    /// those that are not. Gives the end if there is none.
    fn kept_back(&mut self, place: &Arc<Connection>, kept: KeptBack) -> Option<CallError> {
        let error = kept.error(place);
        let Some(route) = &self.again.route else { return Some(error) };
        if self.was_kept_back || route.knows_none_better() {
            route.found_none_better();
            return Some(error);
        }
        route.lose(place, Loss::Silent);
        self.was_kept_back = true;
        self.arguments = kept.arguments;
        self.step = Step::Elsewhere;
        None
    }

    /// Where the call is made next, and when, if that server was asked before; nowhere if its
    /// budget is spent.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn place(
        &self,
        on: &Whereabouts,
    ) -> Result<Option<(Arc<Connection>, Option<Instant>)>, CallError> {
        let route = match (self.step, &self.again.route) {
            (Step::Elsewhere, Some(route)) => route,
            (Step::Here(until), _) => {
                return Ok(Some((Arc::clone(&self.connection), Some(until))));
            }
            (Step::Elsewhere, None) => return Ok(None),
        };
        let deadline = self.again.spec.deadline;
        let place = route.find(deadline, on)?;
        if !self.tried.contains(&place.target()) {
            return Ok(Some((place, None))); // what it gets is its share, not a retry
        }
        let until = place.plan_again(self.before, Duration::ZERO, deadline, self.again.heed);
        Ok(until.map(|until| (place, Some(until))))
    }

    /// A call is made at a second server once, not once for each attempt.
    const fn was_hedged(&mut self, end: &End) {
        if end.was_hedged {
            self.again.hedge = None;
        }
    }

    /// An attempt has ended that was not the last one.
    fn note(&mut self, end: End) {
        let End { connection, finished, earlier, .. } = end;
        if let Some((connection, finished)) = earlier {
            self.note_one(connection, finished);
        }
        self.note_one(connection, finished);
    }

    fn note_one(&mut self, connection: Arc<Connection>, mut finished: Finished) {
        self.arguments = std::mem::take(&mut finished.arguments);
        self.tried.push(connection.target());
        let is_doubtful = finished.outcome.execution() == Execution::Unknown;
        let end = Some((connection, finished));
        if is_doubtful {
            self.doubt = end;
        } else {
            self.last = end;
        }
    }

    /// Nobody wants it any more, and no attempt is under way.
    fn called_off(self) -> Carried {
        let error = CallError::new(ErrorKind::Cancelled, Execution::NotExecuted);
        self.joined(Carried::Failed(error))
    }

    fn ended(self, end: End) -> Carried {
        let (connection, finished) = end.join();
        self.joined(Carried::Ended(connection, finished))
    }

    /// There is no further attempt: the last one's end is the call's.
    pub(super) fn conclude(mut self) -> Carried {
        let last = match self.last.take() {
            Some((connection, finished)) => Carried::Ended(connection, finished),
            None => Carried::Failed(CallError::new(ErrorKind::NoFreeSlot, Execution::NotExecuted)),
        };
        self.joined(last)
    }

    /// The join over all attempts: that the last did not run says nothing of the others.
    fn joined(self, last: Carried) -> Carried {
        let denies = match &last {
            Carried::Ended(_, finished) => finished.outcome.execution() == Execution::NotExecuted,
            Carried::Failed(error) => error.execution() == Execution::NotExecuted,
        };
        match self.doubt {
            Some((connection, finished)) if denies => Carried::Ended(connection, finished),
            _ => last,
        }
    }
}
