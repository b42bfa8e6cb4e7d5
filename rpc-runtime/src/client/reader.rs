//! What becomes of the bytes that a call brings back, or of its failure.

use super::event;
use super::raw::RawReply;
use super::route::Route;
use crate::error::CallError;
use crate::marshal::Marshal;
use crate::outcome::{DecodeError, Outcome, decode_reply};

/// What the bytes of a reply, or the failure of the call, become. Function pointers, so that waiting
/// needs no bounds and a wrong type is one error, at the method's return type.
pub(super) struct Reader<R, X> {
    pub(super) read: Read<R, X>,
    fail: fn(CallError) -> R,
}

type Read<R, X> = fn(&[u8]) -> Result<(R, X), DecodeError>;

impl<R, X> Clone for Reader<R, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, X> Copy for Reader<R, X> {}

impl<R: Outcome, X: Marshal> Reader<R, X> {
    /// Decodes what the method returns.
    pub(super) fn new() -> Self {
        Self {
            read: |body| {
                let (returned, in_outs) = decode_reply::<R, X>(body)?;
                Ok((R::from_parts(Ok(returned)), in_outs))
            },
            fail: |error| R::from_parts(Err(error)),
        }
    }
}

impl Reader<Result<RawReply, CallError>, ()> {
    /// Decodes nothing: the caller has a description of the type, and not the type.
    pub(super) fn raw() -> Self {
        Self { read: |body| Ok((Ok(RawReply::of(body)?), ())), fail: Err }
    }
}

impl<R, X> Reader<R, X> {
    /// The end of a call that failed, told to whoever waits and to whoever keeps a log or counts.
    pub(super) fn failed(&self, error: CallError, route: Option<&Route>) -> (R, Option<X>) {
        if let Some(ends) = route.and_then(Route::ends) {
            ends.failed(error.execution());
        }
        event::call_failed(&error);
        ((self.fail)(error), None)
    }
}
