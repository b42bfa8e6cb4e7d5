//! One durable call by itself, from its transaction's begin to its end: what a model checker steps
//! over. It is the transaction that serves every call; only who waits for it is another.

use std::sync::Arc;

use crate::driver::Gate;
use crate::protocol::HandlerEnd;
pub use crate::service::durable::DurableCall;
use crate::service::durable::dispatch;
use crate::service::{Answer, Desk, Dispatched, End, Incoming};
use crate::store::{Durable, Store};

/// Runs `call` in the store, with `body` as its handler: the end and the reply that the protocol's
/// machine is told. `None` if the store does not say.
pub fn run<S: Store>(
    store: &Arc<Durable<S>>,
    gate: Arc<dyn Gate>,
    call: DurableCall,
    body: impl Fn(&mut S::Tx<'_>) -> (HandlerEnd, Vec<u8>) + Send + Sync + 'static,
) -> Option<(HandlerEnd, Vec<u8>)> {
    let handler = move |tx: &mut S::Tx<'_>, _: Incoming<'_>| {
        let (end, body) = body(tx);
        Answer { end, body }
    };
    let mut arguments = Vec::new();
    let incoming = Incoming { arguments: &mut arguments, reply: Vec::new(), durable: Some(call) };
    let Dispatched::Stored(stored) = dispatch(store, Arc::new(handler), incoming) else {
        return None;
    };
    let desk = Desk::new(gate);
    desk.post(stored, 0);
    store.attend(desk.seat());
    match desk.take_ends().pop() {
        Some((_, End::Known(answer))) => Some((answer.end, answer.body)),
        Some((_, End::InDoubt)) | None => None,
    }
}
