//! A call before it starts: its arguments are marshalled straight into the buffer that is sent.

use std::sync::Arc;

use serde::Serialize;

use super::call::Call;
use super::carry::Again;
use super::channel::Channel;
use super::connection::Connection;
use super::event;
use super::options::TIMEOUT_DEFAULT;
use super::reader::Reader;
use crate::context::{self, CallContext};
use crate::error::{CallError, ErrorKind, Execution};
use crate::hash::{Hasher, SipKey};
use crate::interface::Interface;
use crate::marshal::{self, Block, Marshal, Param, SharedBytes};
use crate::outcome::Outcome;
use crate::probe::{self, Mark};
use crate::protocol::limits::{ARGUMENT_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::protocol::{Arguments, CallSpec, POOLED_BYTES_MAX};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::trace::TraceContext;
use crate::wire::FRAME_BYTES_MAX;

/// Room for lengths beside what they are of, in bytes.
const LENGTHS_BYTES: usize = 16;

/// A nested call ends before its parent does: by this part of what is left, and by so many round
/// trips, whichever is more (protocol tables, M16).
const MARGIN_PERCENT: u32 = 1;
const MARGIN_ROUND_TRIPS: u32 = 2;

/// How long a call waits for one of several servers, which may be dead: before it is made elsewhere if
/// nothing of it has left, or before another one is asked too if it may run twice and its method says
/// nothing. A quarter of its time, if that is less.
const PATIENCE_MAX: Duration = Duration::from_millis(500);

/// A call whose arguments are being marshalled.
#[derive(Debug)]
#[must_use = "nothing is sent before `start`"]
pub struct Marshalled<'c> {
    channel: &'c Channel,
    /// Nothing once it was started.
    connection: Option<Arc<Connection>>,
    interface: &'static Interface,
    method: usize,
    buffer: Vec<u8>,
    /// What stands behind it, where it is shared.
    shared: Option<Arc<Vec<u8>>>,
    /// So many bytes at the buffer's front say in which trace the call is made.
    extension_bytes: u16,
    arguments: u32,
    refused: Option<(u32, postcard::Error)>,
    /// Where the last argument begins.
    last: usize,
    /// Calls of one key go to one server, where they are spread by key.
    key: Option<u64>,
}

impl<'c> Marshalled<'c> {
    pub(super) fn new(channel: &'c Channel, interface: &'static Interface, method: usize) -> Self {
        let connection = channel.connection();
        let mut buffer = connection.take_buffer();
        let extension_bytes = context::append_trace(&mut buffer);
        probe::stamp(Mark::Prepared);
        Self {
            channel,
            connection: Some(connection),
            interface,
            method,
            buffer,
            shared: None,
            extension_bytes,
            arguments: 0,
            refused: None,
            last: 0,
            key: None,
        }
    }

    /// Has calls be spread by the parameter that was marshalled last: those of equal ones go to one server,
    /// where the channel spreads them so.
    pub fn as_key(&mut self) -> &mut Self {
        self.gather();
        let mut hasher = Hasher::new(SipKey([self.key.unwrap_or_default(), 0]));
        hasher.write(self.buffer.get(self.last..).unwrap_or_default());
        self.key = Some(hasher.finish());
        self
    }

    /// Marshals a parameter.
    pub fn arg<'de, T: Param<'de>>(&mut self, value: &T) -> &mut Self {
        self.append(value)
    }

    /// Marshals a block of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.make_room(bytes.len());
        self.append(&Block(bytes))
    }

    /// Marshals a block of bytes, which stays where it is if it is shared and long.
    pub fn shared(&mut self, bytes: &SharedBytes<'_>) -> &mut Self {
        match bytes.shared().filter(|bytes| bytes.len() > FRAME_BYTES_MAX) {
            Some(shared) => {
                self.append(&shared.len()); // as it stands before a block
                self.shared = Some(Arc::clone(shared));
                self
            }
            None => self.bytes(bytes),
        }
    }

    /// What is shared is copied after all: something follows it, or reads it.
    fn gather(&mut self) {
        if let Some(shared) = self.shared.take() {
            self.make_room(shared.len());
            self.buffer.extend_from_slice(&shared);
        }
    }

    /// Marshals a slice.
    pub fn slice<'de, T: Param<'de>>(&mut self, items: &[T]) -> &mut Self {
        self.make_room(size_of_val(items));
        self.append(items)
    }

    /// Marshals what may be there.
    pub fn opt<'de, T: Param<'de>>(&mut self, value: Option<&T>) -> &mut Self {
        self.append(&value)
    }

    /// Before much is marshalled: one buffer for all of it, used before perhaps, instead of ever longer
    /// ones.
    fn make_room(&mut self, bytes: usize) {
        if !(POOLED_BYTES_MAX..=MESSAGE_BYTES_MAX).contains(&bytes) {
            return;
        }
        let wanted = self.buffer.len() + bytes + LENGTHS_BYTES;
        if self.buffer.capacity() < wanted {
            let connection = self.connection.as_ref().expect("it has not been started");
            let mut buffer = connection.take_buffer_for(wanted);
            buffer.extend_from_slice(&self.buffer);
            connection.recycle([std::mem::replace(&mut self.buffer, buffer)]);
        }
    }

    fn append<T: Serialize + ?Sized>(&mut self, value: &T) -> &mut Self {
        self.gather();
        self.arguments += 1;
        self.last = self.buffer.len();
        if let Err(error) = marshal::append(&mut self.buffer, value)
            && self.refused.is_none()
        {
            self.refused = Some((self.arguments, error));
        }
        self
    }

    /// Takes all arguments, which were marshalled elsewhere.
    pub(super) fn raw(&mut self, arguments: &[u8]) -> &mut Self {
        self.make_room(arguments.len());
        self.buffer.extend_from_slice(arguments);
        self
    }

    /// Sends the call. What goes wrong from here on is what the call's handle says.
    pub fn start<R: Outcome, X: Marshal>(&mut self) -> Call<R, X> {
        self.start_with(Reader::new())
    }

    /// As [`Marshalled::start`], with somebody else to read the reply.
    pub(super) fn start_with<R, X>(&mut self, reader: Reader<R, X>) -> Call<R, X> {
        probe::stamp(Mark::Marshalled);
        let Self { channel, interface, method, key, .. } = *self;
        let connection = self.connection.take().expect("a call is started once");
        let (mut buffer, refused) = (std::mem::take(&mut self.buffer), self.refused.take());
        let shared = self.shared.take();
        let mut extension_bytes = self.extension_bytes;
        let picked = channel.route.as_ref().and_then(|route| route.pick(key));
        let is_trial = picked.as_ref().is_some_and(|picked| picked.is_trial);
        let connection = picked.map_or(connection, |picked| picked.connection);
        let name = MethodName { interface, method };
        let parent = context::current();
        let described = &interface.methods()[method];
        let unkept = described.is_exterminated() && connection.keeper.is_none();
        let early = unsendable(refused, name).or_else(|| unkept.then(unrecorded)).or_else(|| {
            let cancelled = parent.as_ref().is_some_and(CallContext::cancelled);
            cancelled.then(called_off)
        });
        if let Some(error) = early {
            connection.recycle([buffer]);
            let route = channel.route.clone();
            return Call::failed(error.with_method(name.text()), reader, route);
        }
        let is_large = shared.is_some() || buffer.len() > ARGUMENT_BYTES_MAX;
        if extension_bytes > 0 && is_large {
            let is_maybe = described.semantics() == Semantics::Maybe;
            extension_bytes = shorten(&mut buffer, extension_bytes, is_maybe);
        }
        let arguments = match shared {
            Some(shared) => Arguments::lent(buffer, shared),
            None => buffer.into(),
        };
        let now = connection.world.now();
        let timeout = channel.options.timeout.or_else(|| described.timeout());
        let patience = patience(&connection, parent.as_ref(), timeout.unwrap_or(TIMEOUT_DEFAULT));
        let may_move =
            channel.options.retry && channel.route.as_ref().is_some_and(|route| route.has_choice());
        let elsewhere_after = may_move.then(|| PATIENCE_MAX.min(patience / 4));
        let opens_within = elsewhere_after;
        let spec = CallSpec {
            method: interface.method_fingerprint(method),
            name: interface.name_hash(method),
            semantics: described.semantics(),
            deadline: now + patience,
            depth: parent.as_ref().map_or(0, |parent| parent.depth().saturating_add(1)),
            recorded: match described.semantics() {
                Semantics::AtMostOnce if channel.options.journal_all => true,
                Semantics::Maybe
                | Semantics::AtLeastOnce
                | Semantics::AtMostOnce
                | Semantics::ExactlyOnce => described.is_exterminated(),
            },
            ack: channel.options.ack.or_else(|| described.ack_protocol()),
            opens_within,
            extension_bytes,
        };
        if let Some(keeper) = &connection.keeper {
            keeper.learn(spec.name, name);
        }
        let parent = parent.filter(|_| described.semantics() != Semantics::Maybe);
        let retry = channel.options.retry;
        let is_hedged = retry && spec.semantics == Semantics::AtLeastOnce;
        let hedge = described.hedge().or(elsewhere_after);
        let again = Again {
            route: channel.route.clone(),
            spec,
            may_retry: retry,
            is_trial,
            heed: channel.options.heed(),
            hedge: hedge.filter(|_| is_hedged),
        };
        let span = event::call_begins(name);
        Call::begin(again, now, connection, arguments, name, parent, reader).told_as(span)
    }
}

/// Of a call that takes several datagrams each says in which trace it is made: not more than that; and
/// nothing where nobody would say that one was lost. Gives the bytes that are left.
fn shorten(buffer: &mut Vec<u8>, extension_bytes: u16, is_maybe: bool) -> u16 {
    let dispensable = TraceContext::dispensable(extension_bytes);
    let left_out = if is_maybe { extension_bytes } else { dispensable };
    buffer.drain(..usize::from(left_out));
    extension_bytes - left_out
}

/// A call that must be recorded before it is sent, on a channel without a journal: nobody could ever
/// kill what it leaves, so it is not made, as any other that cannot be recorded.
fn unrecorded() -> CallError {
    CallError::new(ErrorKind::JournalFailed, Execution::NotExecuted).with_detail(
        "orphans of this method are killed from the client's journal, and this channel keeps none: give it one with `Channel::journal`",
    )
}

/// What was to be done for a call under service that is called off.
pub(super) fn called_off() -> CallError {
    CallError::new(ErrorKind::Cancelled, Execution::NotExecuted)
        .with_detail("the call that made it was cancelled")
}

/// Why a call cannot be put into bytes, if it cannot.
fn unsendable(refused: Option<(u32, postcard::Error)>, name: MethodName) -> Option<CallError> {
    // Made only where it is needed: an error costs an allocation.
    let error = || CallError::new(ErrorKind::Unmarshallable, Execution::NotExecuted);
    match refused {
        Some((place, cause)) => {
            let detail = format!("parameter {place} cannot be marshalled: {cause}");
            Some(error().with_detail(detail).because(cause))
        }
        None => name.interface.unsendable(name.method).map(|why| error().with_detail(why)),
    }
}

/// When one's own patience ends, or, if that is earlier, what the call under service has left for what
/// it waits for.
pub(super) fn deadline(
    connection: &Connection,
    parent: Option<&CallContext>,
    timeout: Duration,
) -> Instant {
    connection.world.now() + patience(connection, parent, timeout)
}

fn patience(connection: &Connection, parent: Option<&CallContext>, timeout: Duration) -> Duration {
    let round_trip = || connection.lock().core.round_trip().unwrap_or_default();
    let left = parent.map(|parent| left_for_nested(parent, round_trip()));
    left.map_or(timeout, |left| left.min(timeout))
}

/// What a call under service has left for what it waits for, which ends somewhat earlier: it takes
/// the answer time to come, and the call's own to go back (protocol tables, M16).
pub(crate) fn left_for_nested(parent: &CallContext, round_trip: Duration) -> Duration {
    let left = parent.remaining();
    left.saturating_sub((left * MARGIN_PERCENT / 100).max(round_trip * MARGIN_ROUND_TRIPS))
}

/// A method's name, made into text only when an error needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MethodName {
    interface: &'static Interface,
    method: usize,
}

impl MethodName {
    /// How it is called by this side.
    pub(super) fn described(self) -> String {
        self.interface.described(self.method)
    }

    pub(super) fn text(self) -> String {
        format!("{}.{}", self.interface.name(), self.interface.methods()[self.method].name())
    }
}
