//! A call on a route: made again elsewhere when its server is lost and it certainly did not run.
//!
//! Re-issue (a new identity, perhaps another server) happens only where the call did not run, or may
//! run twice (`at_least_once`), and always inside its deadline. Does not know how servers are found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::connection::Connection;
use super::route::{Loss, Route};
use super::verdict::Finished;
use crate::driver::Gate;
use crate::error::{CallError, ErrorKind, Execution};
use crate::protocol::{CallKey, CallSpec};
use crate::semantics::Semantics;
use crate::time::Duration;

/// Pause before a call is made a third time; doubled for each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What it takes to make a call once more.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) route: Arc<Route>,
    pub(super) spec: CallSpec,
    pub(super) arguments: Vec<u8>,
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
    /// Takes note if the server of a call that ended is lost; says whether to make it again.
    pub(super) fn is_wanted(&self, connection: &Arc<Connection>, finished: &Finished) -> bool {
        let Some(loss) = Loss::of(finished) else { return false };
        self.route.lose(connection, loss);
        let may_repeat = match finished.outcome.execution() {
            Execution::NotExecuted => true,
            Execution::Unknown => self.spec.semantics == Semantics::AtLeastOnce,
            Execution::Executed => false,
        };
        may_repeat && self.route.world.now() < self.spec.deadline
    }

    /// Makes the call wherever the route leads, as often as it takes. `doubt` is an earlier end of
    /// it that left open whether it ran.
    pub(super) fn carry(
        self,
        mut doubt: Option<(Arc<Connection>, Finished)>,
        on: &Whereabouts,
    ) -> Carried {
        let world = Arc::clone(&self.route.world);
        let mut pause = None;
        loop {
            if on.is_cancelled() {
                let error = CallError::new(ErrorKind::Cancelled, Execution::NotExecuted);
                return joined(doubt, Carried::Failed(error));
            }
            let connection = match self.route.find(self.spec.deadline) {
                Ok(connection) => connection,
                Err(error) => return joined(doubt, Carried::Failed(error)),
            };
            let mut arguments = connection.take_buffer();
            arguments.extend_from_slice(&self.arguments);
            let key = connection.start(self.spec, arguments);
            on.moved(&connection, key);
            let finished = connection.wait(key);
            if on.is_cancelled() || !self.is_wanted(&connection, &finished) {
                return joined(doubt, Carried::Ended(connection, finished));
            }
            if finished.outcome.execution() == Execution::Unknown {
                doubt = Some((connection, finished));
            }
            if let Some(pause) = pause {
                let until = (world.now() + pause).min(self.spec.deadline);
                world.gate().wait(Some(until));
            }
            pause = Some(pause.map_or(PAUSE_FIRST, |pause: Duration| (pause * 2).min(PAUSE_MAX)));
        }
    }
}

/// The join over all attempts: that the last did not run says nothing of the others.
fn joined(doubt: Option<(Arc<Connection>, Finished)>, last: Carried) -> Carried {
    let denies = match &last {
        Carried::Ended(_, finished) => finished.outcome.execution() == Execution::NotExecuted,
        Carried::Failed(error) => error.execution() == Execution::NotExecuted,
    };
    match doubt {
        Some((connection, finished)) if denies => Carried::Ended(connection, finished),
        _ => last,
    }
}

/// Where a call is that moves, so that it can be called off.
#[derive(Debug, Default)]
pub(super) struct Whereabouts(Mutex<Place>);

#[derive(Debug, Default)]
struct Place {
    is_cancelled: bool,
    at: Option<(Weak<Connection>, CallKey)>,
}

impl Whereabouts {
    /// Calls the call off, wherever it is.
    pub(super) fn cancel(&self) {
        let at = {
            let mut place = self.lock();
            place.is_cancelled = true;
            place.at.take()
        };
        if let Some((connection, key)) = at
            && let Some(connection) = connection.upgrade()
        {
            connection.cancel(key);
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled
    }

    fn moved(&self, connection: &Arc<Connection>, key: CallKey) {
        let is_cancelled = {
            let mut place = self.lock();
            place.at = Some((Arc::downgrade(connection), key));
            place.is_cancelled
        };
        if is_cancelled {
            connection.cancel(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that a helping thread carries, for a caller who does not block.
#[derive(Debug)]
pub(super) struct Helped {
    pub(super) whereabouts: Arc<Whereabouts>,
    state: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    carried: Option<Carried>,
    waker: Option<Waker>,
    gate: Option<Arc<dyn Gate>>,
}

impl Helped {
    /// Hands the call to a helping thread; fails if too many calls are being helped.
    pub(super) fn start(
        again: Again,
        doubt: Option<(Arc<Connection>, Finished)>,
        whereabouts: Arc<Whereabouts>,
    ) -> Arc<Self> {
        let helped = Arc::new(Self { whereabouts, state: Mutex::default() });
        if !again.route.take_helper() {
            let error = CallError::new(ErrorKind::NoFreeSlot, Execution::NotExecuted);
            helped.lock().carried = Some(joined(doubt, Carried::Failed(error)));
            return helped;
        }
        let (route, ours) = (Arc::clone(&again.route), Arc::clone(&helped));
        let body = move || {
            let place = HelperPlace(Arc::clone(&again.route));
            let carried = again.carry(doubt, &ours.whereabouts);
            drop(place);
            ours.end(carried);
        };
        route.world.spawn("rpc-rebind", Box::new(body));
        helped
    }

    /// The end, if it has come; else `waker` is woken when it does.
    pub(super) fn poll(&self, waker: &Waker) -> Option<Carried> {
        let mut progress = self.lock();
        let carried = progress.carried.take();
        if carried.is_none() {
            progress.waker = Some(waker.clone());
        }
        carried
    }

    /// Blocks until the end.
    pub(super) fn wait(&self, gate: &Arc<dyn Gate>) -> Carried {
        loop {
            {
                let mut progress = self.lock();
                if let Some(carried) = progress.carried.take() {
                    return carried;
                }
                progress.gate = Some(Arc::clone(gate));
            }
            gate.wait(None);
        }
    }

    fn end(&self, carried: Carried) {
        let (waker, gate) = {
            let mut progress = self.lock();
            progress.carried = Some(carried);
            (progress.waker.take(), progress.gate.take())
        };
        if let Some(gate) = gate {
            gate.open();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A helping thread's place, given back however the thread ends.
struct HelperPlace(Arc<Route>);

impl Drop for HelperPlace {
    fn drop(&mut self) {
        self.0.give_helper();
    }
}
