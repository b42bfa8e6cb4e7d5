//! The handle of a call under way: waitable by a thread, awaitable by any executor.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tracing::Span;

use super::carry::{After, Again, Carried, Carry};
use super::connection::Connection;
use super::event;
use super::helped::Helped;
use super::kept;
use super::marshalled::MethodName;
use super::parent::Parent;
use super::race::{Attempt, End};
use super::reader::Reader;
use super::route::{Loss, Route};
use super::verdict::{Finished, judge, undecodable_reply};
use super::whereabouts::Whereabouts;
use crate::context::{self, CallContext};
use crate::driver::World;
use crate::error::CallError;
use crate::ids::CallId;
use crate::probe::{self, Mark};
use crate::protocol::{self, Arguments, CallKey};
use crate::time::Instant;

/// A call under way.
///
/// `wait` blocks, `.await` does not, whatever executor polls it; both give what the plain call
/// would. Dropping the handle cancels the call; [`Call::detach`] lets it run.
#[must_use = "a call that is dropped is cancelled: `wait()`, `.await` or `detach()` it"]
pub struct Call<R, X = ()> {
    state: State,
    reader: Reader<R, X>,
    span: Option<Box<Span>>,
    result: PhantomData<fn() -> (R, X)>,
}

/// Small, because a handle goes from hand to hand.
enum State {
    Started(Box<Started>),
    Moving(Box<Moving>),
    Failed(CallError, Option<Arc<Route>>),
    Done,
}

/// A call that has a place in a connection's machine. In a box that is used again
/// ([`kept`](super::kept)).
pub(super) struct Started {
    /// Nothing once it has ended.
    attempt: Option<Attempt>,
    name: MethodName,
    parent: Parent,
    /// Whether and where it may be made again: not once it was called off.
    again: Again,
    called_off: AtomicBool,
}

/// A call that is made again: here a little later, or where its route leads then.
struct Moving {
    stage: Stage,
    world: Arc<dyn World>,
    whereabouts: Arc<Whereabouts>,
    name: MethodName,
    parent: Parent,
    route: Option<Arc<Route>>,
}

/// Who moves it.
enum Stage {
    /// Whoever waits for it.
    Caller(Box<Carry>),
    /// A thread, for somebody who does not block.
    Helper(Arc<Helped>),
}

impl<R, X> Call<R, X> {
    pub(super) fn failed(
        error: CallError,
        reader: Reader<R, X>,
        route: Option<Arc<Route>>,
    ) -> Self {
        Self::of(State::Failed(error, route), reader)
    }

    const fn of(state: State, reader: Reader<R, X>) -> Self {
        Self { state, reader, span: None, result: PhantomData }
    }

    /// The same call, told to whoever listens as `span`.
    pub(super) fn told_as(mut self, span: Option<Box<Span>>) -> Self {
        self.span = span;
        self
    }

    /// Makes a call at `connection`, or where the route leads if that is lost or left alone.
    pub(super) fn begin(
        again: Again,
        now: Instant,
        connection: Arc<Connection>,
        arguments: Arguments,
        name: MethodName,
        parent: Option<CallContext>,
        reader: Reader<R, X>,
    ) -> Self {
        let leads_elsewhere = |route: &Arc<Route>| !route.knows_none_better();
        let route = again.route.as_ref();
        let is_lost = |route: &Arc<Route>| !again.is_trial && route.is_lost(&connection);
        if route.is_some_and(|route| is_lost(route) && leads_elsewhere(route)) {
            let carry = again.elsewhere(connection, arguments);
            return Self::moving(carry, name, parent, reader);
        }
        let kept = match connection.start(now, &again.spec, arguments, again.heed, false) {
            Ok(key) => return Self::started(connection, key, name, parent, again, reader),
            Err(kept) => kept,
        };
        if let Some(route) = route.filter(|route| leads_elsewhere(route)) {
            route.lose(&connection, Loss::Silent);
            let carry = again.elsewhere(connection, kept.arguments);
            return Self::moving(carry, name, parent, reader);
        }
        let error = kept.error(&connection).with_method(name.text());
        connection.recycle(kept.arguments.reclaim());
        Self::failed(error, reader, again.route)
    }

    fn started(
        connection: Arc<Connection>,
        key: CallKey,
        name: MethodName,
        parent: Option<CallContext>,
        again: Again,
        reader: Reader<R, X>,
    ) -> Self {
        let child = parent.is_some().then(|| Arc::downgrade(&connection));
        let whereabouts = |connection: &Arc<Connection>| {
            let whereabouts = Arc::<Whereabouts>::default();
            whereabouts.moved(connection, key);
            whereabouts
        };
        let attempt = again.attempt(connection, key, whereabouts);
        let parent = match (attempt.whereabouts(), child) {
            (Some(whereabouts), _) => Parent::enter_moving(parent, whereabouts),
            (None, Some(child)) => Parent::enter(parent, move || cancel(&child, key)),
            (None, None) => Parent::default(),
        };
        let attempt = Some(attempt);
        let started = match kept::started() {
            Some(mut spare) => {
                (spare.attempt, spare.name, spare.parent) = (attempt, name, parent);
                spare.again = again;
                *spare.called_off.get_mut() = false;
                spare
            }
            None => {
                let called_off = AtomicBool::new(false);
                Box::new(Started { attempt, name, parent, again, called_off })
            }
        };
        Self::of(State::Started(started), reader)
    }

    /// A call on a route whose server is lost: the next one is found by whoever waits.
    fn moving(
        carry: Box<Carry>,
        name: MethodName,
        parent: Option<CallContext>,
        reader: Reader<R, X>,
    ) -> Self {
        let whereabouts = Arc::<Whereabouts>::default();
        let parent = Parent::enter_moving(parent, &whereabouts);
        let (world, (route, _)) = (carry.world(), carry.way());
        let stage = Stage::Caller(carry);
        let moving = Moving { stage, world, whereabouts, name, parent, route };
        let state = State::Moving(Box::new(moving));
        Self::of(state, reader)
    }
}

/// Waits for the answer to a question about a call, unless the call under service is called off.
pub(super) fn answer(connection: &Arc<Connection>, key: CallKey) -> Finished {
    let asked = Arc::downgrade(connection);
    let _parent = Parent::enter(context::current(), move || cancel(&asked, key));
    connection.wait(key)
}

fn cancel(connection: &Weak<Connection>, key: CallKey) {
    if let Some(connection) = connection.upgrade() {
        connection.cancel(key);
    }
}

impl<R, X> Call<R, X> {
    /// Names the call, for logs and for `resolve`. There is nothing to name before it has a place in
    /// a session, nor while it is made again: then it gets another place, and another name.
    #[must_use]
    pub fn id(&self) -> Option<CallId> {
        match &self.state {
            State::Started(started) => started.attempt.as_ref()?.id(),
            State::Failed(..) | State::Moving(_) | State::Done => None,
        }
    }

    /// Calls the call off. `wait` then says what is known of it.
    pub fn cancel(&self) {
        match &self.state {
            State::Started(started) => {
                started.called_off.store(true, Ordering::Relaxed);
                if let Some(attempt) = &started.attempt {
                    attempt.cancel();
                }
            }
            State::Moving(moving) => moving.whereabouts.cancel(),
            State::Failed(..) | State::Done => {}
        }
    }

    /// Lets the call run; nobody asks for its result.
    ///
    /// If a handler made it, it is still called off when that handler's own call is, as long as the
    /// handler runs. And it has one chance: where a call that is waited for would be made again, at
    /// the same server or another, this one is not, unless that had begun before.
    pub fn detach(mut self) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(mut started) => {
                let parent = std::mem::take(&mut started.parent);
                if let Some(attempt) = started.attempt.take() {
                    attempt.detach(parent);
                }
            }
            State::Moving(moving) => {
                let Moving { stage, parent, .. } = *moving.helped();
                if let Stage::Helper(helped) = stage {
                    helped.hold(parent);
                }
            }
            State::Failed(..) | State::Done => {}
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

    /// As [`Call::restore`], for `.await`: the parameters change when the call has ended, and not at
    /// all if the future is dropped before.
    pub async fn restored(mut self, put: impl FnOnce(X)) -> R {
        let (returned, in_outs) = poll_fn(|context| self.poll_finish(context)).await;
        if let Some(in_outs) = in_outs {
            put(in_outs);
        }
        returned
    }

    /// Waits for the end and takes it.
    fn finish(&mut self) -> (R, Option<X>) {
        let span = self.span.take();
        let span = span.as_deref();
        let _entered = span.map(Span::enter);
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(mut started) => {
                let attempt = started.attempt.take().expect("it is taken once");
                match started.next(attempt.wait()) {
                    Next::End(connection, finished, name, route) => {
                        let told = (route.as_deref(), span);
                        conclude(&connection, finished, name, self.reader, told)
                    }
                    Next::Move(moving) => moving.finish(self.reader, span),
                }
            }
            State::Moving(moving) => moving.finish(self.reader, span),
            State::Failed(error, route) => self.reader.failed(error, route.as_deref()),
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
    End(Arc<Connection>, Finished, MethodName, Option<Arc<Route>>),
    Move(Box<Moving>),
}

impl Started {
    /// Whether that was the end, or the call is to be made again.
    fn next(mut self: Box<Self>, end: End) -> Next {
        let (name, parent) = (self.name, std::mem::take(&mut self.parent));
        let next = if *self.called_off.get_mut() {
            let (connection, finished) = end.join();
            After::End(connection, finished, self.again.route.take())
        } else {
            self.again.after(end)
        };
        kept::keep_started(self);
        match next {
            After::Again(carry) => {
                let whereabouts = Arc::default();
                let parent = parent.moved(&whereabouts);
                let (world, (route, _)) = (carry.world(), carry.way());
                let stage = Stage::Caller(carry);
                Next::Move(Box::new(Moving { stage, world, whereabouts, name, parent, route }))
            }
            After::End(connection, finished, route) => Next::End(connection, finished, name, route),
        }
    }
}

impl Moving {
    /// Makes the call wherever the route leads, and waits for its end.
    fn finish<R, X>(self, reader: Reader<R, X>, span: Option<&Span>) -> (R, Option<X>) {
        let Self { stage, world, whereabouts, name, parent, route } = self;
        let carried = match stage {
            Stage::Caller(carry) => carry.carry(&whereabouts),
            Stage::Helper(helped) => helped.wait(&world.gate()),
        };
        drop(parent);
        arrive(carried, name, reader, (route.as_deref(), span))
    }

    /// The thread that makes the call for somebody who does not block.
    fn helped(self) -> Box<Self> {
        let Self { stage, world, whereabouts, name, parent, route } = self;
        let helped = match stage {
            Stage::Caller(carry) => Helped::start(carry, Arc::clone(&whereabouts)),
            Stage::Helper(helped) => helped,
        };
        let stage = Stage::Helper(helped);
        Box::new(Self { stage, world, whereabouts, name, parent, route })
    }
}

/// What the end of a call means to the caller.
fn conclude<R, X>(
    connection: &Connection,
    mut finished: Finished,
    name: MethodName,
    reader: Reader<R, X>,
    (route, span): (Option<&Route>, Option<&Span>),
) -> (R, Option<X>) {
    event::call_had_place(span, finished.call);
    let was_only_sent = matches!(finished.outcome, protocol::Outcome::Sent);
    let judged = judge(&mut finished, Some(name)).map(|body| {
        let read = (reader.read)(&body);
        probe::stamp(Mark::ReplyRead);
        finished.outcome = protocol::Outcome::Returned(body); // its buffer is used again
        read.map_err(|why| undecodable_reply(why, finished.call, &finished.evidence, name))
    });
    connection.recycle_end(finished);
    match judged {
        Ok(Ok((returned, in_outs))) => {
            let ends = route.and_then(Route::ends);
            if let Some(ends) = ends.filter(|_| !was_only_sent) {
                ends.returned();
            }
            (returned, Some(in_outs))
        }
        Ok(Err(error)) => reader.failed(error, route),
        Err(error) => reader.failed(connection.explain(error), route),
    }
}

/// What the end of a call that moved means to the caller.
fn arrive<R, X>(
    carried: Carried,
    name: MethodName,
    reader: Reader<R, X>,
    (route, span): (Option<&Route>, Option<&Span>),
) -> (R, Option<X>) {
    match carried {
        Carried::Ended(connection, finished) => {
            conclude(&connection, finished, name, reader, (route, span))
        }
        Carried::Failed(error) => reader.failed(error.with_method(name.text()), route),
    }
}

impl<R> Future for Call<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        self.poll_finish(context).map(|(returned, _)| returned)
    }
}

impl<R, X> Call<R, X> {
    /// Takes the end if it has come; else the newest waker is woken when it does.
    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<(R, Option<X>)> {
        let reader = self.reader;
        let span = self.span.clone();
        let span = span.as_deref();
        let _entered = span.map(Span::enter);
        if let State::Started(started) = &mut self.state {
            let attempt = started.attempt.as_mut().expect("it is taken once");
            let Some(end) = attempt.poll(context.waker()) else { return Poll::Pending };
            let State::Started(mut started) = std::mem::replace(&mut self.state, State::Done)
            else {
                unreachable!("it was started a moment ago")
            };
            started.attempt = None;
            match started.next(end) {
                Next::End(connection, finished, name, route) => {
                    let told = (route.as_deref(), span);
                    return Poll::Ready(conclude(&connection, finished, name, reader, told));
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
                match helped.poll(context.waker().clone()) {
                    Some(carried) => {
                        let told = (moving.route.as_deref(), span);
                        Poll::Ready(arrive(carried, moving.name, reader, told))
                    }
                    None => {
                        self.state = State::Moving(moving);
                        Poll::Pending
                    }
                }
            }
            state @ (State::Started(_) | State::Failed(..) | State::Done) => {
                self.state = state;
                Poll::Ready(self.finish())
            }
        }
    }
}

impl<R, X> Drop for Call<R, X> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Started(mut started) => {
                if let Some(attempt) = started.attempt.take() {
                    attempt.abandon();
                }
            }
            State::Moving(moving) => moving.whereabouts.cancel(),
            State::Failed(..) | State::Done => {}
        }
    }
}

impl<R, X> fmt::Debug for Call<R, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "Call({id})"),
            None => f.write_str("Call(without a place)"),
        }
    }
}
