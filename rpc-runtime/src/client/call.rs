//! The handle of a call under way: waitable by a thread, awaitable by any executor.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::carry::{Again, Carried, Helped, Whereabouts};
use super::connection::Connection;
use super::marshalled::MethodName;
use super::route::Route;
use super::verdict::{Finished, judge, undecodable};
use crate::context::CallContext;
use crate::error::{CallError, Execution};
use crate::ids::CallId;
use crate::marshal::Marshal;
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
    Moving(Moving),
    Failed(CallError),
    Done,
}

/// A call that has a place in a connection's machine.
struct Started {
    connection: Arc<Connection>,
    key: CallKey,
    name: MethodName,
    parent: Parent,
    /// On a route: what it takes to make the call elsewhere.
    again: Option<Again>,
}

/// A call whose server is lost: it is made again where the route leads then.
struct Moving {
    stage: Stage,
    route: Arc<Route>,
    whereabouts: Arc<Whereabouts>,
    name: MethodName,
    parent: Parent,
}

/// Who moves it.
enum Stage {
    /// Whoever waits for it. With it goes an end of the call that left open whether it ran.
    Caller(Again, Option<(Arc<Connection>, Finished)>),
    /// A thread, for somebody who does not block.
    Helper(Arc<Helped>),
}

/// The call that made this one, and what it does to this one when it is cancelled.
#[derive(Default)]
struct Parent(Option<(CallContext, u64)>);

impl Parent {
    /// Has `parent` call `cancel` when it is cancelled, or calls it now if it was a moment ago.
    fn enter(
        parent: Option<CallContext>,
        cancel: impl Fn() + Send + Sync + Clone + 'static,
    ) -> Self {
        Self(parent.and_then(|parent| {
            let number = parent.register_cancel(Box::new(cancel.clone()));
            if number.is_none() {
                cancel();
            }
            number.map(|number| (parent, number))
        }))
    }
}

impl Parent {
    /// As [`Parent::enter`], for a call that moves.
    fn enter_moving(parent: Option<CallContext>, whereabouts: &Arc<Whereabouts>) -> Self {
        let child = Arc::downgrade(whereabouts);
        Self::enter(parent, move || {
            if let Some(whereabouts) = child.upgrade() {
                whereabouts.cancel();
            }
        })
    }

    /// Follows a call that begins to move.
    fn moved(mut self, whereabouts: &Arc<Whereabouts>) -> Self {
        let parent = self.0.take().map(|(parent, number)| {
            parent.forget_cancel(number);
            parent
        });
        Self::enter_moving(parent, whereabouts)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        if let Some((parent, number)) = self.0.take() {
            parent.forget_cancel(number);
        }
    }
}

impl<R: Outcome, X: Marshal> Call<R, X> {
    pub(super) fn failed(error: CallError) -> Self {
        Self { state: State::Failed(error), decode: decode::<R, X>, result: PhantomData }
    }

    pub(super) fn started(
        connection: Arc<Connection>,
        key: CallKey,
        name: MethodName,
        parent: Option<CallContext>,
        again: Option<Again>,
    ) -> Self {
        let child = Arc::downgrade(&connection);
        let parent = Parent::enter(parent, move || cancel(&child, key));
        let state = State::Started(Started { connection, key, name, parent, again });
        Self { state, decode: decode::<R, X>, result: PhantomData }
    }

    /// A call on a route whose server is lost: the next one is found by whoever waits.
    pub(super) fn moving(again: Again, name: MethodName, parent: Option<CallContext>) -> Self {
        let whereabouts = Arc::<Whereabouts>::default();
        let parent = Parent::enter_moving(parent, &whereabouts);
        let route = Arc::clone(&again.route);
        let stage = Stage::Caller(again, None);
        let state = State::Moving(Moving { stage, route, whereabouts, name, parent });
        Self { state, decode: decode::<R, X>, result: PhantomData }
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
            State::Moving(_) | State::Done => CallId::UNSENT,
        }
    }

    /// Calls the call off. `wait` then says what is known of it.
    pub fn cancel(&self) {
        match &self.state {
            State::Started(started) => started.connection.cancel(started.key),
            State::Moving(moving) => moving.whereabouts.cancel(),
            State::Failed(_) | State::Done => {}
        }
    }

    /// Lets the call run; nobody asks for its result.
    pub fn detach(mut self) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(started) => started.detach(),
            State::Moving(moving) => drop(moving.helped()),
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
                match started.next(finished) {
                    Next::End(started, finished) => started.take(finished, self.decode),
                    Next::Move(moving) => moving.finish(self.decode),
                }
            }
            State::Moving(moving) => moving.finish(self.decode),
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

/// What follows the end of a call on one connection.
enum Next {
    End(Started, Finished),
    Move(Moving),
}

impl Started {
    /// Whether that was the end, or the call is to be made elsewhere.
    fn next(mut self, finished: Finished) -> Next {
        let wanted = |again: &Again| again.is_wanted(&self.connection, &finished);
        match self.again.take() {
            Some(again) if wanted(&again) => {
                let is_doubtful = finished.outcome.execution() == Execution::Unknown;
                let doubt = is_doubtful.then_some((self.connection, finished));
                let route = Arc::clone(&again.route);
                let stage = Stage::Caller(again, doubt);
                let whereabouts = Arc::default();
                let parent = self.parent.moved(&whereabouts);
                Next::Move(Moving { stage, route, whereabouts, name: self.name, parent })
            }
            again => {
                self.again = again;
                Next::End(self, finished)
            }
        }
    }

    /// What the call's end means to the caller.
    fn take<R, X>(mut self, finished: Finished, decode: Decode<R, X>) -> (R, Option<X>) {
        if let Some(again) = self.again.take() {
            self.connection.recycle(again.arguments);
        }
        conclude(&self.connection, finished, self.name, decode)
    }

    /// Nobody asks any more; a `maybe` call that never left is counted.
    fn detach(self) {
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

impl Moving {
    /// Makes the call wherever the route leads, and waits for its end.
    fn finish<R, X>(self, decode: Decode<R, X>) -> (R, Option<X>) {
        let Self { stage, route, whereabouts, name, parent } = self;
        let carried = match stage {
            Stage::Caller(again, doubt) => again.carry(doubt, &whereabouts),
            Stage::Helper(helped) => helped.wait(&route.world.gate()),
        };
        drop(parent);
        arrive(carried, name, decode)
    }

    /// The thread that makes the call for somebody who does not block.
    fn helped(self) -> Self {
        let Self { stage, route, whereabouts, name, parent } = self;
        let helped = match stage {
            Stage::Caller(again, doubt) => Helped::start(again, doubt, Arc::clone(&whereabouts)),
            Stage::Helper(helped) => helped,
        };
        Self { stage: Stage::Helper(helped), route, whereabouts, name, parent }
    }
}

/// What the end of a call means to the caller.
fn conclude<R, X>(
    connection: &Connection,
    finished: Finished,
    name: MethodName,
    decode: Decode<R, X>,
) -> (R, Option<X>) {
    match judge(finished, Some(name)) {
        Ok(body) => {
            let decoded = decode(Ok(&body));
            connection.recycle(body);
            decoded
        }
        Err(error) => decode(Err(error)),
    }
}

/// What the end of a call that moved means to the caller.
fn arrive<R, X>(carried: Carried, name: MethodName, decode: Decode<R, X>) -> (R, Option<X>) {
    match carried {
        Carried::Ended(connection, finished) => conclude(&connection, finished, name, decode),
        Carried::Failed(error) => decode(Err(error.with_method(name.text()))),
    }
}

impl<R> Future for Call<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let decode = self.decode;
        if let State::Started(started) = &self.state {
            let Some(finished) = started.poll(context) else { return Poll::Pending };
            let State::Started(started) = std::mem::replace(&mut self.state, State::Done) else {
                unreachable!("it was started a moment ago")
            };
            match started.next(finished) {
                Next::End(started, finished) => {
                    return Poll::Ready(started.take(finished, decode).0);
                }
                Next::Move(moving) => self.state = State::Moving(moving),
            }
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Moving(moving) => {
                let moving = moving.helped();
                let Stage::Helper(helped) = &moving.stage else {
                    unreachable!("a helper was called a moment ago")
                };
                match helped.poll(context.waker()) {
                    Some(carried) => Poll::Ready(arrive(carried, moving.name, decode).0),
                    None => {
                        self.state = State::Moving(moving);
                        Poll::Pending
                    }
                }
            }
            state @ (State::Started(_) | State::Failed(_) | State::Done) => {
                self.state = state;
                Poll::Ready(self.finish().0)
            }
        }
    }
}

impl Started {
    /// The end, if it has come; else the waker is called when it does.
    fn poll(&self, context: &Context<'_>) -> Option<Finished> {
        let mut state = self.connection.lock();
        if let Some(finished) = state.take(self.key) {
            return Some(finished);
        }
        state.wake(self.key, context.waker());
        let mut errands = state.errands();
        self.connection.attend_now(&state, &mut errands);
        drop(state);
        self.connection.run(errands);
        None
    }
}

impl<R, X> Drop for Call<R, X> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(started) => started.connection.abandon(started.key, true),
            State::Moving(moving) => moving.whereabouts.cancel(),
            State::Failed(_) | State::Done => {}
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
fn decode<R: Outcome, X: Marshal>(body: Result<&[u8], CallError>) -> (R, Option<X>) {
    match body.map(decode_reply::<R, X>) {
        Ok(Ok((returned, in_outs))) => (R::from_parts(Ok(returned)), Some(in_outs)),
        Ok(Err(_)) => (R::from_parts(Err(undecodable("it is not what the method returns"))), None),
        Err(error) => (R::from_parts(Err(error)), None),
    }
}
