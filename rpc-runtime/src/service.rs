//! What generated stubs are to the library: a service to dispatch to, a stub to make.

use std::fmt;

use crate::interface::Interface;
use crate::protocol::HandlerEnd;

/// A service that a server can export: `BankService` of a trait `Bank`.
pub trait Service: Send + Sync + 'static {
    /// What it offers.
    fn interface(&self) -> &'static Interface;

    /// Runs a method by its place in the interface's table. A panic in it is the server's to catch.
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
    /// The marshalled arguments.
    pub arguments: &'a [u8],
    /// An empty buffer for the reply, lent by the server.
    pub reply: Vec<u8>,
}

/// A call on its way out of a handler.
#[derive(Debug)]
pub struct Dispatched {
    /// How the handler ended.
    pub end: HandlerEnd,
    /// What it returned, or its last words.
    pub body: Vec<u8>,
}
