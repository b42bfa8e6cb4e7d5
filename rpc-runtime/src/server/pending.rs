//! Async handlers: futures that workers poll, and that wait in between without a thread.
//!
//! ```text
//!            ┌───────── bell rings: queued, once ─────────┐
//!   begin ─► polled by a worker ──Pending──► parked ──────┘
//!               └─Ready, panic, called off─► ended
//! ```
//!
//! There is no runtime: a waker is a [`Bell`] that has a worker called. A cancellation rings it too;
//! the worker that comes then drops the future instead of polling it. Futures are polled and dropped
//! without the lock, under their call's context, and what panics in there stays there.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::task::{self, Poll, Wake, Waker};

use tracing::Span;

use crate::context::CallContext;
use crate::protocol::{Execute, HandlerEnd, Ticket};
use crate::server::dispatch::{Done, Went, panicked};
use crate::server::state::Shared;
use crate::service::{Answer, Handling};

/// An async handler that has begun and not ended.
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    /// Taken when it ends.
    call: Option<Box<Execute>>,
    pub(super) context: CallContext,
    /// Entered while it is polled.
    span: Span,
    /// Taken when it ends, or when this is dropped.
    handling: Option<Handling>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Pending {
    pub(super) fn new(
        shared: &Arc<Shared>,
        call: Box<Execute>,
        handling: Handling,
        (context, span): (CallContext, Span),
    ) -> Box<Self> {
        let (server, ticket) = (Arc::downgrade(shared), call.ticket);
        let bell = Arc::new(Bell { server, ticket, state: AtomicU8::new(HELD) });
        let waker = Waker::from(Arc::clone(&bell));
        let called_off = Arc::clone(&bell);
        context.on_cancel(move || called_off.ring());
        let (call, handling) = (Some(call), Some(handling));
        Box::new(Self { ticket, call, context, span, handling, bell, waker })
    }

    /// Polls the handler once, or calls it off if nobody wants the call any more.
    pub(super) fn run(mut self: Box<Self>) -> Went {
        if self.context.cancelled() {
            let ended = Answer { end: HandlerEnd::Cancelled { partial: true }, body: Vec::new() };
            return self.ended(ended, Vec::new());
        }
        let handling = self.handling.as_mut().expect("it has not ended");
        let in_span = self.span.enter();
        let entered = self.context.enter();
        let mut task = task::Context::from_waker(&self.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| handling.poll(&mut task)));
        drop((entered, in_span));
        match polled {
            Ok(Poll::Pending) => Went::Waits(self),
            Ok(Poll::Ready((ended, arguments))) => self.ended(ended, arguments),
            Err(payload) => self.ended(panicked(&*payload), Vec::new()),
        }
    }

    /// The handler has ended so; what is left of it is dropped first.
    fn ended(mut self, ended: Answer, arguments: Vec<u8>) -> Went {
        let ended = match self.drop_handler() {
            Ok(()) => ended,
            Err(payload) => panicked(&*payload),
        };
        let mut call = self.call.take().expect("it ends once");
        call.arguments = arguments;
        Went::Ended(Done::new(call, ended, self.context.clone()))
    }

    /// Drops the handler as it ran: under its context, its panic caught.
    fn drop_handler(&mut self) -> Result<(), Box<dyn Any + Send>> {
        let Some(handling) = self.handling.take() else { return Ok(()) };
        let _entered = self.context.enter();
        catch_unwind(AssertUnwindSafe(|| drop(handling)))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let _ = self.drop_handler();
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.ticket.call_id())
    }
}

/// A thread has the handler, and nobody has called since.
const HELD: u8 = 0;
/// The handler waits to be called.
const PARKED: u8 = 1;
/// It was called: it stands in the queue, or will when the thread that has it is through.
const RUNG: u8 = 2;

/// Calls a worker for a handler. Whoever holds an old one calls for nothing, which does no harm.
struct Bell {
    server: Weak<Shared>,
    ticket: Ticket,
    state: AtomicU8,
}

impl Bell {
    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == PARKED
            && let Some(server) = self.server.upgrade()
        {
            server.call_for(self.ticket);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

/// The async handlers that wait, and those of them that were called. There are as many as calls may
/// run at once, and each stands in the queue at most once.
#[derive(Debug, Default)]
pub(super) struct Parked {
    handlers: BTreeMap<Ticket, Box<Pending>>,
    called: VecDeque<Ticket>,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.handlers.len()
    }

    pub(super) fn is_anybody_called(&self) -> bool {
        !self.called.is_empty()
    }

    /// A handler waits, unless it was called already.
    pub(super) fn park(&mut self, pending: Box<Pending>) {
        let ticket = pending.ticket;
        let state = &pending.bell.state;
        let parked = state.compare_exchange(HELD, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_err() {
            self.called.push_back(ticket);
        }
        self.handlers.insert(ticket, pending);
    }

    /// A parked handler was called; says whether it is still there.
    pub(super) fn call_for(&mut self, ticket: Ticket) -> bool {
        let is_here = self.handlers.contains_key(&ticket);
        if is_here {
            self.called.push_back(ticket);
        }
        is_here
    }

    /// The next handler to poll.
    pub(super) fn next_called(&mut self) -> Option<Box<Pending>> {
        let pending = self.handlers.remove(&self.called.pop_front()?)?;
        // Sees what a ring saw that came after it was called and rang nobody.
        pending.bell.state.swap(HELD, Ordering::AcqRel);
        Some(pending)
    }

    pub(super) fn context(&self, ticket: Ticket) -> Option<&CallContext> {
        self.handlers.get(&ticket).map(|pending| &pending.context)
    }

    /// All that wait, so that they can be dropped.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Box<Pending>> {
        self.called.clear();
        std::mem::take(&mut self.handlers).into_values()
    }
}
