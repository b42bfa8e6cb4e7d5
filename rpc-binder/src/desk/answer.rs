//! The answer to a request, and who waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rpc_runtime::binder::{BinderError, Lease};

/// What a request has come to: a lease if a registration begins.
pub(super) type Outcome = Result<Option<Lease>, BinderError>;

/// An answer, given once.
#[derive(Debug, Default)]
pub(super) struct Answer {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

impl Answer {
    /// Gives it to whoever waits for it.
    pub(super) fn give(&self, outcome: Outcome) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Waits for an answer. Who stops waiting changes nothing about what becomes of the request.
#[derive(Debug)]
pub struct Answered {
    answer: Arc<Answer>,
}

impl Answered {
    pub(super) const fn new(answer: Arc<Answer>) -> Self {
        Self { answer }
    }
}

impl Future for Answered {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.answer.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
