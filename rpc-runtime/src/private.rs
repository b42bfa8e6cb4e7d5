//! What generated code calls, and the binder's daemon where it answers by hand. Not for people: outside semantic
//! versioning.

use std::mem;
use std::sync::Arc;

use serde::Serialize;

pub use crate::marshal::{Args, Bad};
pub use crate::server::Ledger;
pub use crate::service::{Answer, Dispatched, Handling, Incoming};

use crate::binder::{Binder, BinderUrl};
use crate::client::Channel;
use crate::error::CallError;
use crate::marshal::{self, Marshal};
use crate::outcome::{Outcome, append_reply};
use crate::probe::{self, Mark};
use crate::protocol::HandlerEnd;
use crate::service::{Done, Stub, durable};
use crate::store::{Durable, Store};

/// A stub's `connect`.
///
/// # Errors
///
/// The URL cannot be used, or names a service that the binder does not find.
pub fn connect<S: Stub>(url: &str) -> Result<S, CallError> {
    if BinderUrl::is_meant(url) {
        return Ok(S::on(&Channel::import_url::<S>(url)?));
    }
    Ok(S::on(&Channel::connect(url)?))
}

/// A stub's `import`.
///
/// # Errors
///
/// The binder finds no server for it.
pub fn import<S: Stub>(binder: &Binder) -> Result<S, CallError> {
    Ok(S::on(&Channel::import::<S>(binder)?))
}

/// Every arm of `dispatch` with a result.
pub fn serve<'a, O: Outcome>(
    incoming: Incoming<'a>,
    call: impl FnOnce(&mut Args<'a>) -> Result<O, Bad>,
) -> Answer {
    probe::stamp(Mark::Dispatched);
    let Incoming { arguments, reply, .. } = incoming;
    let answer = match call(&mut Args::of(arguments)) {
        Ok(outcome) => returned::<O, ()>(outcome, None, reply),
        Err(Bad) => Answer { end: HandlerEnd::BadArguments, body: reply },
    };
    probe::stamp(Mark::ReplyMarshalled);
    answer
}

/// Every arm of `dispatch` with in-out parameters.
pub fn serve_inout<'a, O: Outcome, X: Marshal>(
    incoming: Incoming<'a>,
    call: impl FnOnce(&mut Args<'a>) -> Result<(O, X), Bad>,
) -> Answer {
    let Incoming { arguments, reply, .. } = incoming;
    match call(&mut Args::of(arguments)) {
        Ok((outcome, in_outs)) => returned(outcome, Some(&in_outs), reply),
        Err(Bad) => Answer { end: HandlerEnd::BadArguments, body: reply },
    }
}

/// Every arm of `dispatch` of a `maybe` method.
pub fn serve_maybe<'a>(
    incoming: Incoming<'a>,
    call: impl FnOnce(&mut Args<'a>) -> Result<(), Bad>,
) -> Answer {
    let Incoming { arguments, reply, .. } = incoming;
    let end = match call(&mut Args::of(arguments)) {
        Ok(()) => HandlerEnd::Returned,
        Err(Bad) => HandlerEnd::BadArguments,
    };
    Answer { end, body: reply }
}

/// Every arm of `dispatch` of an async method with a result. `call` owns the arguments, decodes
/// them when it is first polled, and gives their buffer back.
pub fn serve_async<O, F>(incoming: Incoming<'_>, call: impl FnOnce(Vec<u8>) -> F) -> Dispatched
where
    O: Outcome,
    F: Future<Output = (Result<O, Bad>, Vec<u8>)> + Send + 'static,
{
    later(incoming, call, |outcome, reply| returned::<O, ()>(outcome, None, reply))
}

/// Every arm of `dispatch` of an async method with in-out parameters.
pub fn serve_inout_async<O, X, F>(
    incoming: Incoming<'_>,
    call: impl FnOnce(Vec<u8>) -> F,
) -> Dispatched
where
    O: Outcome,
    X: Marshal,
    F: Future<Output = (Result<(O, X), Bad>, Vec<u8>)> + Send + 'static,
{
    later(incoming, call, |(outcome, in_outs), reply| returned(outcome, Some(&in_outs), reply))
}

/// Every arm of `dispatch` of an async `maybe` method.
pub fn serve_maybe_async<F>(incoming: Incoming<'_>, call: impl FnOnce(Vec<u8>) -> F) -> Dispatched
where
    F: Future<Output = (Result<(), Bad>, Vec<u8>)> + Send + 'static,
{
    later(incoming, call, |(), body| Answer { end: HandlerEnd::Returned, body })
}

fn later<T, F>(
    incoming: Incoming<'_>,
    call: impl FnOnce(Vec<u8>) -> F,
    end: impl FnOnce(T, Vec<u8>) -> Answer + Send + 'static,
) -> Dispatched
where
    F: Future<Output = (Result<T, Bad>, Vec<u8>)> + Send + 'static,
{
    let Incoming { arguments, reply, .. } = incoming;
    let called = call(mem::take(arguments));
    Dispatched::Later(Handling::new(async move {
        let (result, arguments) = called.await;
        let ended = match result {
            Ok(result) => end(result, reply),
            Err(Bad) => Answer { end: HandlerEnd::BadArguments, body: reply },
        };
        (ended, arguments)
    }))
}

/// Marshals what a handler returned. A failed call inside becomes a report: its certainty is not
/// about this call (contract rule 5).
fn returned<O: Outcome, X: Serialize>(
    outcome: O,
    in_outs: Option<&X>,
    mut body: Vec<u8>,
) -> Answer {
    let report = match outcome.into_parts() {
        Ok(returned) => match append_reply(&mut body, &returned, in_outs) {
            Ok(()) => return Answer { end: HandlerEnd::Returned, body },
            Err(error) => CallError::failed(format!("the result cannot be marshalled: {error}"))
                .into_handler_report(),
        },
        Err(error) => error.into_handler_report(),
    };
    body.clear();
    if marshal::append(&mut body, &report).is_err() {
        body.clear();
    }
    Answer { end: HandlerEnd::HandlerFailed, body }
}

/// What a durable service does with a call and its transaction.
pub type DurableBody<S> =
    Arc<dyn Fn(&mut <S as Store>::Tx<'_>, usize, Incoming<'_>) -> Done + Send + Sync>;

/// What `on` of a durable call gives.
pub const fn done(ended: Answer) -> Done {
    Done(ended)
}

/// `dispatch` of a durable service.
pub fn serve_durable<S: Store>(
    store: &Arc<Durable<S>>,
    body: &DurableBody<S>,
    method: usize,
    incoming: Incoming<'_>,
) -> Dispatched {
    let body = Arc::clone(body);
    durable::dispatch(
        store,
        Arc::new(move |tx: &mut S::Tx<'_>, incoming: Incoming<'_>| body(tx, method, incoming).0),
        incoming,
    )
}
