//! How one handler runs: under its context, its panic caught.
//!
//! Does not hold the lock, and does not know in which thread it runs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Span, span};

use crate::context::{CallContext, Caller, Facts};
use crate::driver::World;
use crate::probe::{self, Mark};
use crate::protocol::{Execute, HandlerEnd};
use crate::server::pending::Pending;
use crate::server::state::Shared;
use crate::server::storing::{self, Open, Settled};
use crate::service::{self, Answer, Dispatched, DurableCall, Incoming, Service};
use crate::time::Instant;
use crate::trace::TraceContext;

/// An execution that has begun.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) call: Box<Execute>,
    /// A buffer of the core's, lent for the reply.
    pub(super) reply: Vec<u8>,
    pub(super) context: CallContext,
    pub(super) durable: Option<Box<DurableCall>>,
}

/// An execution that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) call: Box<Execute>,
    /// Whether its handler ran from begin to end at one go.
    pub(super) at_one_go: bool,
    pub(super) end: HandlerEnd,
    pub(super) body: Vec<u8>,
    pub(super) context: CallContext,
}

/// What a thread has to do for a handler.
#[derive(Debug)]
pub(super) enum Work {
    /// Enter it.
    Begin(Job),
    /// Poll it again.
    Resume(Box<Pending>),
    /// Hand them to the store.
    Store(Vec<Job>),
    /// Ask the store for them.
    Ask(Vec<Open>),
    /// Wait for more of them.
    Gather(Instant),
}

/// How far a handler got.
#[derive(Debug)]
pub(super) enum Went {
    /// To its end.
    Ended(Done),
    /// To a place where it waits.
    Waits(Box<Pending>),
    /// Through the store, together with others.
    Stored(Settled),
    /// To what the store says of them by now.
    Asked(Settled),
    /// To the end of a wait for calls.
    Gathered,
}

impl Work {
    pub(super) fn run(self, shared: &Arc<Shared>) -> Went {
        match self {
            Self::Begin(job) => job.run(shared),
            Self::Resume(pending) => pending.run(),
            Self::Store(jobs) => storing::store(jobs, shared),
            Self::Ask(doubts) => storing::ask(doubts, shared),
            Self::Gather(until) => {
                shared.bell.wait(Some(until));
                Went::Gathered
            }
        }
    }
}

impl Job {
    /// Runs the handler to its end, or, if it is async, until it waits for the first time.
    pub(super) fn run(self, shared: &Arc<Shared>) -> Went {
        probe::stamp(Mark::Begun);
        let Self { mut call, reply, context, durable } = self;
        let (service, method) = shared.exports.find(call.method);
        let span = span_of(service, method, &context);
        let in_span = span.enter();
        let durable = durable.map(|durable| *durable);
        let incoming = Incoming { arguments: &mut call.arguments, reply, durable };
        let entered = context.enter();
        // A handler's own state may be left half changed by its panic. That is for the service to
        // guard against, as with any lock that is poisoned; nothing of ours is in there.
        let dispatched = catch_unwind(AssertUnwindSafe(|| service.dispatch(method, incoming)));
        drop((entered, in_span));
        let ended = match dispatched {
            Ok(Dispatched::Now(ended)) => ended,
            Ok(Dispatched::Later(handling)) => {
                return Pending::new(shared, call, handling, (context, span)).run();
            }
            // Durable calls are handed to the store, never begun here.
            Ok(Dispatched::Stored(_)) => Answer::NOT_COMMITTED,
            Err(payload) => panicked(&*payload),
        };
        Went::Ended(Done { at_one_go: true, ..Done::new(call, ended, context) })
    }
}

impl Done {
    pub(super) fn new(call: Box<Execute>, ended: Answer, context: CallContext) -> Self {
        let Answer { end, body } = ended;
        let has_given_up = matches!(end, HandlerEnd::HandlerFailed) && context.cancelled();
        let end = if has_given_up { HandlerEnd::Cancelled { partial: true } } else { end };
        context.close();
        Self { call, at_one_go: false, end, body, context }
    }
}

/// What `tracing` is told of a handler: a span, entered while it runs. Where nobody listens it costs a look
/// at one number.
fn span_of(service: &dyn Service, method: usize, context: &CallContext) -> Span {
    // With its feature `log`, `tracing` computes what it says of a span that nobody listens to.
    if LevelFilter::current() < Level::DEBUG {
        return Span::none();
    }
    let name = || {
        let interface = service.interface();
        format!("{}.{}", interface.name(), interface.methods()[method].name())
    };
    let trace = || context.trace();
    span!(
        target: "rpc_runtime::serve",
        Level::DEBUG,
        "serve",
        method = name(),
        call = display(context.id()),
        peer = display(context.caller().address),
        traceparent = trace().as_ref().map(TraceContext::traceparent),
        parent = trace().and_then(|trace| trace.parent_id()).map(|id| format!("{id:016x}")),
    )
}

/// The end of a handler that panicked.
pub(super) fn panicked(payload: &(dyn Any + Send)) -> Answer {
    Answer { end: HandlerEnd::Panicked, body: service::panic_text(payload).as_bytes().to_vec() }
}

/// A span of the call's own in the trace that it is made in, if its caller said so.
fn trace_of(call: &Execute, world: &Arc<dyn World>) -> Option<TraceContext> {
    if call.extensions.is_empty() {
        return None;
    }
    let caller = TraceContext::read(&call.extensions)?;
    Some(caller.child(world.rng().next_nonzero()))
}

/// Contexts that are kept for later calls.
const CONTEXTS_KEPT_MAX: usize = 64;

/// Contexts to use for one call after another, unless a handler keeps its own.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    spare: Vec<CallContext>,
}

impl Contexts {
    /// The context of a call that is about to begin.
    pub(super) fn for_call(
        &mut self,
        world: &Arc<dyn World>,
        now: Instant,
        call: &Execute,
    ) -> CallContext {
        let facts = Facts {
            call: call.ticket.call_id(),
            deadline: call.not_after,
            caller: Caller { client: call.client, address: call.peer },
            depth: call.depth,
            method: call.method,
            begun: now,
        };
        let mut trace = trace_of(call, world);
        if let Some(mut spare) = self.spare.pop()
            && spare.try_renew(facts, &mut trace)
        {
            return spare;
        }
        CallContext::new(Arc::clone(world), facts, trace)
    }

    pub(super) fn give_back(&mut self, context: CallContext) {
        if self.spare.len() < CONTEXTS_KEPT_MAX {
            self.spare.push(context);
        }
    }
}
