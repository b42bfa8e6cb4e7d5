//! What a client tells `tracing`: an event for each failed call that somebody waits for.
//!
//! An event, and no span: calls of many simulated hosts share threads. Never what a call carries,
//! hence no detail either, in which a handler's own words may stand. Nothing is told of a call that
//! succeeds, so that it costs nothing.

use tracing::{Level, event};

use crate::error::{CallError, ErrorKind};
use crate::ids::CallId;

/// A call failed, and its caller learns so now.
pub(super) fn call_failed(error: &CallError) {
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
