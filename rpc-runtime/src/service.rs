//! What generated stubs are to the library: a service to dispatch to, a stub to make.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::interface::Interface;
use crate::protocol::HandlerEnd;

/// A service that a server can export: `BankService` of a trait `Bank`.
pub trait Service: Send + Sync + 'static {
    /// What it offers.
    fn interface(&self) -> &'static Interface;

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
}

/// What became of a call that was dispatched.
#[derive(Debug)]
pub enum Dispatched {
    /// The handler has ended.
    Now(Ended),
    /// The handler is a future, not yet polled. Dropping it calls the handler off.
    Later(Handling),
}

/// A call on its way out of a handler.
#[derive(Debug)]
pub struct Ended {
    /// How the handler ended.
    pub end: HandlerEnd,
    /// What it returned, or its last words.
    pub body: Vec<u8>,
}

/// The handler of an async method. At its end it gives back the arguments' buffer too.
pub struct Handling(Pin<Box<dyn Future<Output = (Ended, Vec<u8>)> + Send>>);

impl Handling {
    /// A handler that was not entered yet.
    #[must_use]
    pub fn new(handler: impl Future<Output = (Ended, Vec<u8>)> + Send + 'static) -> Self {
        Self(Box::pin(handler))
    }

    /// Runs the handler until it waits or ends.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<(Ended, Vec<u8>)> {
        self.0.as_mut().poll(task)
    }
}

impl fmt::Debug for Handling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handling")
    }
}
