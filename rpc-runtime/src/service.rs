//! What generated stubs are to the library: a service to dispatch to, a stub to make.

pub(crate) mod durable;

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::interface::Interface;
use crate::protocol::{self, HandlerEnd};
use crate::server::Ledger;

pub(crate) use durable::{Desk, DurableCall, End, Stored};

/// A service that a server can export: `BankService` of a trait `Bank`.
pub trait Service: Send + Sync + 'static {
    /// What it offers.
    fn interface(&self) -> &'static Interface;

    /// The store in which its calls commit, if it is a durable one.
    fn ledger(&self) -> Option<Arc<dyn Ledger>> {
        None
    }

    /// Runs a method by its place in the interface's table, or gives the future that will, if the
    /// method is async. A panic in either is the server's to catch.
    fn dispatch(&self, method: usize, incoming: Incoming<'_>) -> Dispatched;
}

/// A client stub that can be put on a channel: `BankClient` of a trait `Bank`.
pub trait Stub: Clone + fmt::Debug + Send + Sync + 'static {
    /// What it calls.
    fn interface() -> &'static Interface;

    /// A stub on `channel`.
    fn on(channel: &crate::client::Channel) -> Self;
}

/// A call on its way into a handler.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// The marshalled arguments. The future of an async method takes the buffer along, because what
    /// it decodes borrows from there.
    pub arguments: &'a mut Vec<u8>,
    /// An empty buffer for the reply, lent by the server.
    pub reply: Vec<u8>,
    /// Its place in the store, if it is to run exactly once.
    pub durable: Option<DurableCall>,
}

/// What became of a call that was dispatched.
#[derive(Debug)]
pub enum Dispatched {
    /// The handler has ended.
    Now(Answer),
    /// The handler is a future, not yet polled. Dropping it calls the handler off.
    Later(Handling),
    /// The handler runs in a transaction of its store, once it was posted there.
    Stored(Stored),
}

/// A call on its way out of a handler.
#[derive(Debug)]
pub struct Answer {
    /// How the handler ended.
    pub end: HandlerEnd,
    /// What it returned, or its last words.
    pub body: Vec<u8>,
}

/// The handler of an async method. At its end it gives back the arguments' buffer too.
pub struct Handling(Pin<Box<dyn Future<Output = (Answer, Vec<u8>)> + Send>>);

impl Handling {
    /// A handler that was not entered yet.
    #[must_use]
    pub fn new(handler: impl Future<Output = (Answer, Vec<u8>)> + Send + 'static) -> Self {
        Self(Box::pin(handler))
    }

    /// Runs the handler until it waits or ends.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<(Answer, Vec<u8>)> {
        self.0.as_mut().poll(task)
    }
}

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handling")
    }
}

/// A durable call that has run on an object: what `PayCall::on` of a
/// trait `Pay` gives, and all that a durable body can return.
#[derive(Debug)]
#[must_use = "a body returns what running the call gave"]
pub struct Done(pub(crate) Answer);

impl Answer {
    /// A handler that could not do its work, for a reason that its caller is told.
    pub(crate) fn failed(why: &str) -> Self {
        let report = crate::error::CallError::failed(why).into_handler_report();
        let mut body = Vec::new();
        if crate::marshal::append(&mut body, &report).is_err() {
            body.clear();
        }
        Self { end: HandlerEnd::HandlerFailed, body }
    }

    /// As it can be told where a reply has at most `bytes_max`.
    pub(crate) fn fitted(self, bytes_max: usize) -> Self {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        let was_long = self.body.len() > bytes_max as usize;
        let (status, body) = protocol::server::fitted(self.end.status(), self.body, bytes_max);
        let too_large = was_long && status == crate::wire::ReplyStatus::TooLarge;
        Self { end: if too_large { HandlerEnd::TooLarge } else { self.end }, body }
    }
}

/// The most that a caller is told of a panic's text, in bytes.
const PANIC_TEXT_BYTES_MAX: usize = 200;

/// What a caller is told of a panic: its text if it has one, cut at a whole character.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    let mut len = text.len().min(PANIC_TEXT_BYTES_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panics_text_is_told_whatever_its_type_and_cut_at_a_whole_character() {
        assert_eq!(panic_text(&"out of paper"), "out of paper");
        assert_eq!(panic_text(&"out of paper".to_owned()), "out of paper");
        assert_eq!(panic_text(&42), "no text");
        let long = "ä".repeat(101) + "x";
        assert_eq!(panic_text(&long), "ä".repeat(100));
        let odd = "x".to_owned() + &"ä".repeat(150);
        assert_eq!(panic_text(&odd).len(), 199);
    }
}
