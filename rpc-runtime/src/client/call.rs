//! The handle of a call under way: waitable by a thread, awaitable by any executor.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::marshalled::MethodName;
use super::verdict::{Finished, judge, undecodable};
use crate::context::CallContext;
use crate::error::CallError;
use crate::ids::CallId;
use crate::outcome::{Outcome, decode_reply};
use crate::protocol::{CallKey, Outcome as End};

/// What the bytes of a reply, or the failure of the call, become.
type Decode<R, X> = fn(Result<&[u8], CallError>) -> (R, Option<X>);

/// A call under way.
///
/// `wait` blocks, `.await` does not; both give what the plain call would. Dropping the handle
/// cancels the call; [`Call::detach`] lets it run.
#[must_use = "a call that is dropped is cancelled: `wait()`, `.await` or `detach()` it"]
pub struct Call<R, X = ()> {
    state: State,
    decode: Decode<R, X>,
    result: PhantomData<fn() -> (R, X)>,
}

enum State {
    Started(Started),
    Failed(CallError),
    Done,
}

/// A call that has a place in a connection's machine.
struct Started {
    connection: Arc<Connection>,
    key: CallKey,
    name: MethodName,
    /// The call that made this one, and what it does to this one when it is cancelled.
    parent: Option<(CallContext, u64)>,
}

impl<R: Outcome, X: DeserializeOwned> Call<R, X> {
    pub(super) fn failed(error: CallError) -> Self {
        Self { state: State::Failed(error), decode: decode::<R, X>, result: PhantomData }
    }

    pub(super) fn started(
        connection: &Arc<Connection>,
        key: CallKey,
        name: MethodName,
        parent: Option<CallContext>,
    ) -> Self {
        let parent = parent.and_then(|parent| {
            let child = Arc::downgrade(connection);
            let number = parent.register_cancel(Box::new(move || cancel(&child, key)));
            if number.is_none() {
                connection.cancel(key); // it was cancelled a moment ago
            }
            number.map(|number| (parent, number))
        });
        let started = Started { connection: Arc::clone(connection), key, name, parent };
        Self { state: State::Started(started), decode: decode::<R, X>, result: PhantomData }
    }
}

fn cancel(connection: &Weak<Connection>, key: CallKey) {
    if let Some(connection) = connection.upgrade() {
        connection.cancel(key);
    }
}

impl<R, X> Call<R, X> {
    /// Names the call, for logs and for `resolve`; [`CallId::UNSENT`] before it has a place in a
    /// session, and once it has ended.
    #[must_use]
    pub fn id(&self) -> CallId {
        match &self.state {
            State::Started(started) => {
                let state = started.connection.lock();
                state.core.call_id(started.key).unwrap_or(CallId::UNSENT)
            }
            State::Failed(error) => error.call(),
            State::Done => CallId::UNSENT,
        }
    }

    /// Calls the call off. `wait` then says what is known of it.
    pub fn cancel(&self) {
        if let State::Started(started) = &self.state {
            started.connection.cancel(started.key);
        }
    }

    /// Lets the call run; nobody asks for its result.
    pub fn detach(mut self) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(started) => started.detach(),
            State::Failed(_) | State::Done => {}
        }
    }

    /// Waits, and hands the in-out parameters to `put` unless the call failed.
    pub fn restore(mut self, put: impl FnOnce(X)) -> R {
        let (returned, in_outs) = self.finish();
        if let Some(in_outs) = in_outs {
            put(in_outs);
        }
        returned
    }

    /// Waits for the end and takes it.
    fn finish(&mut self) -> (R, Option<X>) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(started) => {
                let finished = started.connection.wait(started.key);
                started.take(finished, self.decode)
            }
            State::Failed(error) => (self.decode)(Err(error)),
            State::Done => unreachable!("a handle is used up by what ends it"),
        }
    }
}

impl<R> Call<R> {
    /// Blocks until the call has ended.
    pub fn wait(mut self) -> R {
        self.finish().0
    }
}

impl Started {
    /// What the call's end means to the caller.
    fn take<R, X>(mut self, finished: Finished, decode: Decode<R, X>) -> (R, Option<X>) {
        self.leave_parent();
        let judged = match finished.outcome {
            End::Returned(_) | End::Sent => judge(finished, ""),
            End::Failed { .. }
            | End::Refused { .. }
            | End::Rejected { .. }
            | End::NotSent(_)
            | End::Sealed
            | End::InDoubt(_) => judge(finished, &self.name.text()),
        };
        match judged {
            Ok(body) => {
                let decoded = decode(Ok(&body));
                self.connection.recycle(body);
                decoded
            }
            Err(error) => decode(Err(error)),
        }
    }

    fn leave_parent(&mut self) {
        if let Some((parent, number)) = self.parent.take() {
            parent.forget_cancel(number);
        }
    }

    /// Nobody asks any more; a `maybe` call that never left is counted.
    fn detach(mut self) {
        self.leave_parent();
        let finished = self.connection.lock().take(self.key);
        match finished.map(|finished| finished.outcome) {
            None => self.connection.abandon(self.key, false),
            Some(End::NotSent(_)) => self.connection.lock().maybe_dropped += 1,
            Some(
                End::Returned(_)
                | End::Sent
                | End::Failed { .. }
                | End::Refused { .. }
                | End::Rejected { .. }
                | End::Sealed
                | End::InDoubt(_),
            ) => {}
        }
    }
}

impl<R> Future for Call<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let decode = self.decode;
        if let State::Started(started) = &self.state {
            let connection = Arc::clone(&started.connection);
            let mut state = connection.lock();
            match state.take(started.key) {
                None => {
                    state.wake(started.key, context.waker());
                    let mut errands = state.errands();
                    connection.attend_now(&state, &mut errands);
                    drop(state);
                    connection.run(errands);
                    return Poll::Pending;
                }
                Some(finished) => {
                    drop(state);
                    let State::Started(started) = std::mem::replace(&mut self.state, State::Done)
                    else {
                        unreachable!("it was started a moment ago")
                    };
                    return Poll::Ready(started.take(finished, decode).0);
                }
            }
        }
        Poll::Ready(self.finish().0)
    }
}

impl<R, X> Drop for Call<R, X> {
    fn drop(&mut self) {
        if let State::Started(mut started) = std::mem::replace(&mut self.state, State::Done) {
            started.leave_parent();
            started.connection.abandon(started.key, true);
        }
    }
}

impl<R, X> fmt::Debug for Call<R, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.id())
    }
}

/// Decodes a reply as what the method returns. Kept as a function pointer, so that waiting needs no
/// bounds and a wrong type is one error, at the method's return type.
fn decode<R: Outcome, X: DeserializeOwned>(body: Result<&[u8], CallError>) -> (R, Option<X>) {
    match body.map(decode_reply::<R, X>) {
        Ok(Ok((returned, in_outs))) => (R::from_parts(Ok(returned)), Some(in_outs)),
        Ok(Err(_)) => (R::from_parts(Err(undecodable("it is not what the method returns"))), None),
        Err(error) => (R::from_parts(Err(error)), None),
    }
}
