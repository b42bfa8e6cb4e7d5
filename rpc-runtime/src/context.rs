//! The call that a handler serves: its deadline, its caller, and whether anybody still wants it.
//!
//! Responsible for [`current`], which answers only inside a handler, so that unit tests of a service
//! need nothing, and for cancellation as a handler sees it: a flag to look at and callbacks. Calls
//! made while serving read it to inherit what is left of the budget. Does not know who cancels, nor
//! the protocol. Time is the world's: virtual in the simulator.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::Address;
use crate::driver::World;
use crate::ids::{CallId, ClientId};
use crate::time::{Duration, Instant};
use crate::trace::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<CallContext>> = const { RefCell::new(None) };
    static TRACED: RefCell<Option<TraceContext>> = const { RefCell::new(None) };
}

/// The call that the present thread serves; `None` outside a handler. Inside an async handler it is
/// the call in every poll, whichever thread polls.
#[must_use]
pub fn current() -> Option<CallContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Has the calls that `body` begins in this thread be made in `trace`, whatever call they are made for. A
/// future that is to be traced is begun in there: `with_trace(trace, || shop.start().price("tea"))`.
///
/// In a handler it need not be called: the calls that it makes are made in the trace of its own call.
///
/// ```
/// use rpc_runtime::TraceContext;
/// use rpc_runtime::context::{trace, with_trace};
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let from_a_browser = TraceContext::parse(header, None)?;
/// with_trace(from_a_browser.clone(), || assert_eq!(trace(), Some(from_a_browser)));
/// assert_eq!(trace(), None);
/// # Ok::<(), rpc_runtime::trace::TraceError>(())
/// ```
pub fn with_trace<R>(trace: TraceContext, body: impl FnOnce() -> R) -> R {
    let _traced = Traced { before: TRACED.replace(Some(trace)) };
    body()
}

/// The trace in which a call is made that begins now in this thread.
#[must_use]
pub fn trace() -> Option<TraceContext> {
    TRACED
        .with_borrow(Clone::clone)
        .or_else(|| CURRENT.with_borrow(|current| current.as_ref().and_then(CallContext::trace)))
}

/// Appends that trace as the extensions of a request; gives their bytes.
pub(crate) fn append_trace(out: &mut Vec<u8>) -> u16 {
    let appended = TRACED.with_borrow(|traced| traced.as_ref().map(|trace| trace.append(out)));
    appended.unwrap_or_else(|| {
        CURRENT.with_borrow(|current| {
            let trace = current.as_ref().and_then(|current| current.0.trace.as_ref());
            trace.map_or(0, |trace| trace.append(out))
        })
    })
}

/// The guard of [`with_trace`]: dropping it brings back what was there before.
struct Traced {
    before: Option<TraceContext>,
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = TRACED.try_with(|traced| traced.replace(self.before.take()));
    }
}

/// Who asked for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The client process.
    pub client: ClientId,
    /// The address that the request came from.
    pub address: Address,
}

/// One call under service, as its handler and what the handler starts may see it.
///
/// Cheap to clone. Work that a handler moves to another thread calls [`CallContext::enter`] there,
/// so that its own remote calls inherit the budget too.
#[derive(Clone)]
pub struct CallContext(Arc<Inner>);

/// What is said of a call when its handler is about to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) call: CallId,
    pub(crate) deadline: Instant,
    pub(crate) caller: Caller,
    pub(crate) depth: u8,
    /// Its place in the server's table of methods.
    pub(crate) method: usize,
    pub(crate) begun: Instant,
}

struct Inner {
    world: Arc<dyn World>,
    facts: Facts,
    trace: Option<TraceContext>,
    cancelled: AtomicBool,
    /// Takes numbers for callbacks, so that one can be taken back.
    registered: AtomicU64,
    callbacks: Mutex<Callbacks>,
}

/// What is to be done when the call is cancelled.
#[derive(Default)]
struct Callbacks {
    /// The handler has returned: nothing is taken any more, nothing is called any more.
    is_over: bool,
    waiting: Vec<(u64, Callback)>,
}

type Callback = Box<dyn FnOnce() + Send>;

impl CallContext {
    /// The context of a call that is about to be served.
    pub(crate) fn new(world: Arc<dyn World>, facts: Facts, trace: Option<TraceContext>) -> Self {
        Self(Arc::new(Inner {
            world,
            facts,
            trace,
            cancelled: AtomicBool::new(false),
            registered: AtomicU64::new(0),
            callbacks: Mutex::default(),
        }))
    }

    /// What a thread enters that serves nobody, so that somebody else can call off what it waits for.
    pub(crate) fn of_nobody(world: Arc<dyn World>, deadline: Instant, address: Address) -> Self {
        let caller = Caller { client: ClientId::NONE, address };
        let (call, begun) = (CallId::UNSENT, world.now());
        Self::new(world, Facts { call, deadline, caller, depth: 0, method: 0, begun }, None)
    }

    /// Makes the context of a call that is over that of the next one, if nobody kept it.
    pub(crate) fn try_renew(&mut self, facts: Facts, trace: &mut Option<TraceContext>) -> bool {
        let Some(inner) = Arc::get_mut(&mut self.0) else { return false };
        inner.facts = facts;
        inner.trace = trace.take();
        *inner.cancelled.get_mut() = false;
        let callbacks = inner.callbacks.get_mut().unwrap_or_else(PoisonError::into_inner);
        callbacks.is_over = false;
        callbacks.waiting.clear();
        true
    }

    /// The call's name, as in errors, logs and traces.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.0.facts.call
    }

    /// When the caller stops waiting, on the world's clock.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.facts.deadline
    }

    /// How long the caller still waits; zero when it no longer does.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.world.now().until(self.0.facts.deadline)
    }

    /// Whether the caller called the call off. A handler that takes long looks now and then, and
    /// gives up: nobody reads what it would return.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Who asked for the call.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.0.facts.caller
    }

    /// How many calls stand above this one: 0 where the caller serves nobody itself.
    #[must_use]
    pub fn depth(&self) -> u8 {
        self.0.facts.depth
    }

    /// Where the call stands in the trace that its caller makes it in: a span of its own, which is part of
    /// the caller's. Nothing if that said nothing of a trace.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.0.trace.clone()
    }

    /// The method, by its place in the server's table, and since when it is served.
    pub(crate) fn begun(&self) -> (usize, Instant) {
        (self.0.facts.method, self.0.facts.begun)
    }

    /// Has `callback` called once, from another thread, when the call is cancelled; at once if it
    /// is already. It is dropped uncalled when the handler returns first. It must not block.
    pub fn on_cancel(&self, callback: impl FnOnce() + Send + 'static) {
        let _ = self.register_cancel(Box::new(callback));
    }

    /// As [`CallContext::on_cancel`]; gives a number by which the callback can be taken back.
    pub(crate) fn register_cancel(&self, callback: Callback) -> Option<u64> {
        let mut callbacks = self.callbacks();
        if self.cancelled() {
            drop(callbacks); // a callback may use the context
            callback();
            return None;
        }
        if callbacks.is_over {
            return None;
        }
        let number = self.0.registered.fetch_add(1, Ordering::Relaxed);
        callbacks.waiting.push((number, callback));
        Some(number)
    }

    /// Takes a callback back: what it would have stopped has ended.
    pub(crate) fn forget_cancel(&self, number: u64) {
        let mut callbacks = self.callbacks();
        let place = callbacks.waiting.iter().position(|(registered, _)| *registered == number);
        let taken = place.map(|place| callbacks.waiting.swap_remove(place));
        drop(callbacks); // dropping a callback runs code that is not ours
        drop(taken);
    }

    /// Makes this the current call of the calling thread until the guard is dropped, which must
    /// happen in the reverse order of entering.
    #[must_use = "the context is left again when the guard is dropped"]
    pub fn enter(&self) -> Entered {
        let before = CURRENT.replace(Some(self.clone()));
        Entered { before, _stays_here: PhantomData }
    }

    /// The call is cancelled: tells the handler. Callbacks run in the calling thread, each once; a
    /// panic in one stays there.
    pub(crate) fn cancel(&self) {
        let mut callbacks = self.callbacks();
        if callbacks.is_over || self.0.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        let waiting = mem::take(&mut callbacks.waiting);
        drop(callbacks);
        for (_, callback) in waiting {
            let _ = catch_unwind(AssertUnwindSafe(callback));
        }
    }

    /// The handler has returned: cancelling it has no sense any more.
    pub(crate) fn close(&self) {
        let mut callbacks = self.callbacks();
        callbacks.is_over = true;
        let uncalled = mem::take(&mut callbacks.waiting);
        drop(callbacks);
        drop(uncalled);
    }

    /// How many callbacks wait.
    #[cfg(test)]
    pub(crate) fn registered(&self) -> usize {
        self.callbacks().waiting.len()
    }

    fn callbacks(&self) -> std::sync::MutexGuard<'_, Callbacks> {
        self.0.callbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { call, deadline, caller, depth, method: _, begun: _ } = &self.0.facts;
        f.debug_struct("CallContext")
            .field("call", call)
            .field("deadline", deadline)
            .field("caller", caller)
            .field("depth", depth)
            .field("cancelled", &self.cancelled())
            .finish_non_exhaustive()
    }
}

/// The guard of [`CallContext::enter`]: dropping it brings back what was current before.
#[derive(Debug)]
pub struct Entered {
    before: Option<CallContext>,
    /// What is current is so for one thread: the guard does not leave it.
    _stays_here: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.replace(self.before.take()));
    }
}

#[cfg(test)]
mod tests;
