//! What a client tells `tracing`: a span for each call, and an event for each that fails and that somebody
//! waits for.
//!
//! Never what a call carries, hence no detail either, in which a handler's own words may stand. Where
//! nobody listens a span costs a look at one number. It is entered while its caller waits, and while a
//! future of it is polled.

use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Span, event, span};

use super::marshalled::MethodName;
use crate::context;
use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;
use crate::trace::TraceContext;

/// A call begins.
pub(super) fn call_begins(name: MethodName) -> Option<Box<Span>> {
    // With its feature `log`, `tracing` computes what it says of a span that nobody listens to.
    if LevelFilter::current() < Level::DEBUG {
        return None;
    }
    let span = span!(
        target: "rpc_runtime::call",
        Level::DEBUG,
        "call",
        method = name.text(),
        call = Empty,
        traceparent = context::trace().as_ref().map(TraceContext::traceparent),
    );
    (!span.is_disabled()).then(|| Box::new(span))
}

/// It has ended, and this was its place, if it got one.
pub(super) fn call_had_place(span: Option<&Span>, call: CallId) {
    if let Some(span) = span.filter(|_| call != CallId::UNSENT) {
        span.record("call", display(call));
    }
}

/// A call failed, and its caller learns so now.
pub(super) fn call_failed(error: &CallError) {
    #[cfg(feature = "reactor")]
    super::failures::note(error);
    macro_rules! tell {
        ($level:expr) => {{
            let evidence = error.evidence();
            let (server, call) = (evidence.server, error.call());
            event!(
                target: "rpc_runtime::call",
                $level,
                execution = error.execution().name(),
                kind = error.kind().name(),
                method = error.method(),
                call = (call != CallId::UNSENT).then(|| display(call)),
                peer = evidence.peer.map(display),
                server = server.is_some().then(|| display(server)),
                transmissions = evidence.transmissions,
                waited_ms = evidence.waited_ms(),
                "call failed"
            );
        }};
    }
    if error.kind() == ErrorKind::Cancelled {
        tell!(Level::DEBUG); // somebody wished it
    } else {
        tell!(Level::WARN);
    }
}
