//! How one handler runs: under its context, its panic caught.
//!
//! Does not hold the lock, and does not know in which thread it runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::context::{CallContext, Caller, Facts};
use crate::driver::World;
use crate::protocol::{Execute, HandlerEnd, Ticket};
use crate::server::exports::Exports;
use crate::service::{self, Dispatched, DurableCall, Incoming};

/// An execution that has begun.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) method: usize,
    pub(super) arguments: Vec<u8>,
    /// A buffer of the core's, lent for the reply.
    pub(super) reply: Vec<u8>,
    pub(super) context: CallContext,
    pub(super) durable: Option<DurableCall>,
}

/// An execution that has ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) ticket: Ticket,
    pub(super) arguments: Vec<u8>,
    pub(super) end: HandlerEnd,
    pub(super) body: Vec<u8>,
    pub(super) context: CallContext,
}

impl Job {
    /// Runs the handler to its end.
    pub(super) fn run(self, exports: &Exports) -> Done {
        let Self { ticket, method, arguments, reply, context, durable } = self;
        let (service, method) = exports.find(method);
        let incoming = Incoming { arguments: &arguments, reply, durable };
        let entered = context.enter();
        // A handler's own state may be left half changed by its panic. That is for the service to
        // guard against, as with any lock that is poisoned; nothing of ours is in there.
        let dispatched = catch_unwind(AssertUnwindSafe(|| service.dispatch(method, incoming)));
        drop(entered);
        let Dispatched { end, body } = dispatched.unwrap_or_else(|payload| Dispatched {
            end: HandlerEnd::Panicked,
            body: service::panic_text(&*payload).as_bytes().to_vec(),
        });
        let has_given_up = matches!(end, HandlerEnd::HandlerFailed) && context.cancelled();
        let end = if has_given_up { HandlerEnd::Cancelled { partial: true } } else { end };
        context.close();
        Done { ticket, arguments, end, body, context }
    }
}

/// A context to use for one call after another, unless a handler keeps it.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    spare: Option<CallContext>,
}

impl Contexts {
    /// The context of a call that is about to begin.
    pub(super) fn for_call(&mut self, world: &Arc<dyn World>, call: &Execute) -> CallContext {
        let facts = Facts {
            call: call.ticket.call_id(),
            deadline: call.not_after,
            caller: Caller { client: call.client, address: call.peer },
            depth: call.depth,
        };
        if let Some(mut spare) = self.spare.take()
            && spare.try_renew(facts)
        {
            return spare;
        }
        CallContext::new(Arc::clone(world), facts)
    }

    pub(super) fn give_back(&mut self, context: CallContext) {
        self.spare = Some(context);
    }
}
