//! Threads that make calls again for callers who do not block: futures.
//!
//! Knows how many there may be and who is told of the end; does not know where a call goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::carry::{Carried, Carry};
use super::connection::Connection;
use super::errands;
use super::parent::Parent;
use super::route::Route;
use super::whereabouts::Whereabouts;
use crate::driver::Gate;
use crate::error::{CallError, ErrorKind, Execution};

/// Threads that make calls again for callers who do not wait, for each route and each connection.
const HELPERS_MAX: usize = 64;

/// A call that a helping thread carries, for a caller who does not block.
#[derive(Debug)]
pub(super) struct Helped {
    pub(super) whereabouts: Arc<Whereabouts>,
    state: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Until a thread has taken it over.
    carry: Option<Box<Carry>>,
    carried: Option<Carried>,
    has_ended: bool,
    waker: Option<Waker>,
    gate: Option<Arc<dyn Gate>>,
    /// What may call it off, if nobody asks for its end.
    parent: Option<Parent>,
}

impl Helped {
    /// Hands the call to a helping thread; without one, its last end stands.
    pub(super) fn start(carry: Box<Carry>, whereabouts: Arc<Whereabouts>) -> Arc<Self> {
        let helped = Arc::new(Self { whereabouts, state: Mutex::default() });
        let (route, connection) = carry.way();
        let owner = Owner { route, connection };
        if !owner.helpers().take() {
            helped.lock().carried = Some(carry.conclude());
            return helped;
        }
        let place = HelperPlace(owner);
        let (world, ours) = (carry.world(), Ending(Arc::clone(&helped)));
        helped.lock().carry = Some(carry);
        let body = move || {
            let Ending(helped) = &ours;
            let carry = helped.lock().carry.take().expect("nobody else takes it from a thread");
            let carried = carry.carry(&helped.whereabouts);
            drop(place);
            helped.end(carried);
        };
        if world.spawn("rpc-again", Box::new(body)).is_err() {
            let carry = helped.lock().carry.take().expect("no thread took it");
            let carried = carry.conclude();
            helped.lock().carried = Some(carried);
        }
        helped
    }

    /// The end, if it has come; else `waker` is woken when it does.
    pub(super) fn poll(&self, waker: Waker) -> Option<Carried> {
        let mut progress = self.lock();
        let carried = progress.carried.take();
        let unneeded = if carried.is_some() { Some(waker) } else { progress.waker.replace(waker) };
        drop(progress);
        drop(unneeded); // others' code, without the lock
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

    /// Nobody will ask for the end. What may call the call off is let go of then.
    pub(super) fn hold(&self, parent: Parent) {
        let mut progress = self.lock();
        let has_ended = progress.has_ended || progress.carried.is_some();
        let over = if has_ended { Some(parent) } else { progress.parent.replace(parent) };
        drop(progress);
        drop(over);
    }

    fn end(&self, carried: Carried) {
        let (waker, gate, _parent) = {
            let mut progress = self.lock();
            progress.has_ended = true;
            progress.carried = Some(carried);
            (progress.waker.take(), progress.gate.take(), progress.parent.take())
        };
        if let Some(gate) = gate {
            gate.open();
        }
        if let Some(waker) = waker {
            errands::wake(waker);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whoever waits that the call has ended, also where its thread unwinds. A thread that was not
/// to be had has nothing to tell.
struct Ending(Arc<Helped>);

impl Drop for Ending {
    fn drop(&mut self) {
        let is_left = {
            let progress = self.0.lock();
            progress.carry.is_none() && !progress.has_ended
        };
        if is_left {
            let error = CallError::new(ErrorKind::NoReply, Execution::Unknown);
            let error = error.with_detail("the thread that made the call again panicked");
            // It may unwind because its world has ended: then that refuses everything.
            let _ = catch_unwind(AssertUnwindSafe(|| self.0.end(Carried::Failed(error))));
        }
    }
}

/// Places for helping threads.
#[derive(Debug, Default)]
pub(super) struct Helpers(AtomicUsize);

impl Helpers {
    fn take(&self) -> bool {
        let more = |taken| (taken < HELPERS_MAX).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whose helper a thread is: the route's if the call has one.
#[derive(Debug)]
struct Owner {
    route: Option<Arc<Route>>,
    connection: Arc<Connection>,
}

impl Owner {
    fn helpers(&self) -> &Helpers {
        self.route.as_ref().map_or(&self.connection.helpers, |route| &route.helpers)
    }
}

/// A helping thread's place, given back however the thread ends.
struct HelperPlace(Owner);

impl Drop for HelperPlace {
    fn drop(&mut self) {
        self.0.helpers().give();
    }
}
