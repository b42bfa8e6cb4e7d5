//! The seam between the protocol's users and a world: real sockets or the simulator.
//!
//! A [`World`] owns a clock, threads and entropy; a [`Link`] is one endpoint's way to send and
//! receive datagrams; a [`Gate`] is where a thread waits for another. Layers above use nothing else
//! of the world, so the same client and server run on sockets and in the simulator. Nothing here
//! runs by itself.

#[cfg(test)]
pub(crate) mod watched;

mod datagrams;

use std::sync::Arc;
use std::{error, fmt, io};

use crate::address::Address;
use crate::ids::Incarnation;
use crate::random::Rng;
use crate::time::Instant;
use crate::wire::DATAGRAM_BYTES_MAX;

pub(crate) use datagrams::Datagrams;

/// What happened to a datagram handed to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The transport took it; it may arrive.
    Yes,
    /// The transport is full right now; nothing left. The protocol's retransmission covers it.
    Full,
    /// The transport refused it for good (too long, no route, closed); nothing left.
    Failed,
}

/// What ended a wait for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A datagram of `len` bytes from `from` stands at the start of the buffer, or several of one
    /// sender back to back. One that was longer than the buffer is reported with `len ==
    /// buffer.len()`, and fails its length check.
    Datagram {
        /// Bytes received.
        len: usize,
        /// The sender's address as the transport saw it.
        from: Address,
    },
    /// The time has come, or somebody called [`Link::wake`], or (as with any wait) nothing at all.
    Nothing,
    /// The stream broke, and what was under way in it is lost, both ways; what is sent next opens
    /// another one.
    Broken,
    /// The link was closed; it will never yield a datagram again.
    Closed,
}

/// What became of the streams of an endpoint; all zero where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamCounters {
    /// Streams that were opened, by either side.
    pub opened: u64,
    /// Streams that were not: the peer refused, or there was no room for one more.
    pub refused: u64,
    /// Streams that were lost or closed by the peer.
    pub ended: u64,
    /// Streams closed because something came that is no PDU.
    pub malformed: u64,
    /// Streams closed because a PDU did not come, or not whole, for too long.
    pub stalled: u64,
    /// Streams closed, idle ones, because there were too many and their hosts had most of them.
    pub crowded: u64,
    /// Streams closed because their peers read nothing of what waited for them for too long.
    pub overrun: u64,
}

/// One endpoint's way to the other ends: a UDP socket, the streams of a listener, or a host's port in
/// the simulator. What comes through a stream are datagrams too: as many whole PDUs as came together.
///
/// Every method takes `&self` and may be called from any thread; at most one thread is in
/// [`Link::receive`] at a time (the caller sees to that).
pub trait Link: Send + Sync + fmt::Debug {
    /// The address that peers can reach this endpoint at.
    fn local(&self) -> Address;

    /// All addresses of an endpoint that has several, [`Link::local`] first.
    fn locals(&self) -> Vec<Address> {
        vec![self.local()]
    }

    /// The longest datagram this link carries, in bytes.
    fn datagram_bytes_max(&self) -> usize;

    /// The longest datagram that leaves in one piece or not at all, in bytes: the path is probed for no
    /// longer one. A system that cuts datagrams itself says what every path carries.
    fn unbroken_bytes_max(&self) -> usize {
        DATAGRAM_BYTES_MAX
    }

    /// Sends one datagram without waiting.
    fn send(&self, to: Address, datagram: &[u8]) -> Sent;

    /// Sends one datagram that stands in two places, as [`Link::send`] does. A link that wants it in one
    /// puts it together in `whole`.
    fn send_in_parts(&self, to: Address, head: &[u8], rest: &[u8], whole: &mut Vec<u8>) -> Sent {
        whole.clear();
        whole.extend_from_slice(head);
        whole.extend_from_slice(rest);
        self.send(to, whole)
    }

    /// Sends datagrams without waiting, in as few system calls as the transport can. One that does not
    /// leave is one that was lost.
    fn send_all(&self, datagrams: &[(Address, Vec<u8>)]) {
        for (to, datagram) in datagrams {
            let _ = self.send(*to, datagram);
        }
    }

    /// Opens further ways into this endpoint, for one more thread each: at most `count`, fewer where there
    /// are not so many to be had, and none where an endpoint has only one.
    ///
    /// What peers send is spread over all ways, that of one peer always by the same as long as none is
    /// closed. What is sent by any of them leaves from the same address and reaches every peer. The
    /// endpoint is closed with the last of them. To be asked once, before anybody receives.
    fn further_ways(&self, _count: usize) -> Vec<Arc<dyn Link>> {
        Vec::new()
    }

    /// Blocks until a datagram came, `until` has passed, or [`Link::wake`] was called. `None`
    /// waits for ever. May return [`Received::Nothing`] early.
    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received;

    /// What has come already, without waiting: [`Received::Nothing`] if there is none. Under the
    /// same rule as [`Link::receive`].
    fn take(&self, buffer: &mut [u8]) -> Received;

    /// Whether one receive gives all that has come, so that it is of no use to ask for more at once.
    fn gives_all(&self) -> bool {
        false
    }

    /// What became of this endpoint's streams.
    fn streams(&self) -> StreamCounters {
        StreamCounters::default()
    }

    /// Whether anything that was sent waits for its socket, and leaves only while somebody is in
    /// [`Link::receive`]; what receives returns soon after it has left.
    fn holds(&self) -> bool {
        false
    }

    /// Makes the thread inside [`Link::receive`] (or the next one to enter) return soon.
    fn wake(&self);
}

/// Where a thread waits until another one calls it: a counted permit, as `std::thread::park`.
pub trait Gate: Send + Sync + fmt::Debug {
    /// Blocks until [`Gate::open`] was called (a call before this one counts, once) or `until` has
    /// passed. May return early.
    fn wait(&self, until: Option<Instant>);

    /// Lets one waiter, present or next, through.
    fn open(&self);
}

/// Why a world could not give a link, in a form the error taxonomy knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The address is taken by another endpoint.
    InUse(String),
    /// The name or address does not resolve to a place.
    Unresolved(String),
    /// The system refused: what was tried, and its error.
    System(String, SystemError),
    /// Anything else the world said, with its words.
    Other(String),
}

/// An error of the operating system, shared.
#[derive(Clone, Debug)]
pub struct SystemError(Arc<io::Error>);

impl From<io::Error> for SystemError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl SystemError {
    /// What the system said.
    #[must_use]
    pub fn get(&self) -> &io::Error {
        &self.0
    }
}

impl PartialEq for SystemError {
    fn eq(&self, other: &Self) -> bool {
        let code = |error: &Self| (error.0.raw_os_error(), error.0.kind());
        code(self) == code(other)
    }
}

impl Eq for SystemError {}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(place) => write!(f, "{place} is in use by another endpoint"),
            Self::Unresolved(place) => write!(f, "{place} does not name a reachable place"),
            Self::System(what, error) => write!(f, "{what}: {}", error.0),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl error::Error for LinkError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::System(_, error) => Some(&*error.0),
            Self::InUse(_) | Self::Unresolved(_) | Self::Other(_) => None,
        }
    }
}

/// No thread was to be had, in the world's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoThread(pub String);

impl fmt::Display for NoThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no thread is to be had: {}", self.0)
    }
}

impl error::Error for NoThread {}

/// A world that endpoints live in: its clock, its threads, its entropy, its links.
///
/// One per process for real sockets, one per simulated host in the simulator.
pub trait World: Send + Sync + fmt::Debug {
    /// This world's clock.
    fn now(&self) -> Instant;

    /// A fresh generator.
    fn rng(&self) -> Box<dyn Rng>;

    /// An incarnation for a process that keeps no count of its lives: higher than all that this
    /// world gave before.
    fn incarnation(&self) -> Incarnation;

    /// Milliseconds since 1970, for records that people and later lives read; no protocol asks.
    fn unix_ms(&self) -> u64 {
        self.now().as_micros() / 1_000
    }

    /// A new gate.
    fn gate(&self) -> Arc<dyn Gate>;

    /// Starts a thread. It ends when `body` returns; nobody joins it.
    ///
    /// # Errors
    ///
    /// [`NoThread`] when there is none left to start; `body` is dropped then.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<(), NoThread>;

    /// How many threads run at a time, as far as the world knows.
    fn processors(&self) -> usize {
        1
    }

    /// Lets threads run that are ready to, before this one goes on. Nothing where that says nothing.
    fn yield_now(&self) {}

    /// Opens an endpoint to listen at `place` (what stands behind `scheme://`).
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the place is taken, unknown, or not to be had.
    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError>;

    /// Opens an endpoint from which to reach `place`, and resolves the place.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the place does not resolve or no endpoint is to be had.
    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError>;
}
