//! The end of a stream that calls: one stream at a time to one place, opened when something is to be
//! sent, and again after it broke.
//!
//! Whoever waits blocks in the read itself for as long as most replies take, [`BLOCKED`], and after
//! that in a poll, where it can be woken: so a short call costs one write and one read, and a long one
//! a few system calls more. What is sent never waits: a full socket's rest is kept, and flushed by
//! whoever sends or waits next.
//!
//! A stream that broke is lost with all that was kept for it. What the other side did not get is sent
//! again by those who want an answer; then a new stream is opened, at growing intervals
//! ([`PAUSE_MIN`], [`PAUSE_MAX`]) as long as none brings anything and holds for a while. Does not know what PDUs say.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use super::super::spin::Spin;
use super::queue::Queue;
use super::{
    BLOCKED, BULK_BYTES, QUEUE_BYTES_MAX, READ_BYTES_MAX, Read, Way, await_read, prepare, read,
    unwatch, watch,
};
use crate::address::Address;
use crate::driver::{Link, Received, Sent, StreamCounters};
use crate::reactor::clock;
use crate::time::{Duration, Instant};
use crate::wire;

/// How long a connection may take until another one is tried.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// How long to hold up after a stream that came to nothing: at first, and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How long a server may read nothing of what waits for it.
const UNREAD_PATIENCE: Duration = Duration::from_secs(10);

/// The counter for what became of a stream.
type Why = fn(&mut StreamCounters) -> &mut u64;

const STREAM: Token = Token(0);
const BELL: Token = Token(1);

/// A link to one place, by streams.
#[derive(Debug)]
pub struct Dialled {
    way: Way,
    outgoing: Mutex<Outgoing>,
    incoming: Mutex<Incoming>,
    bell: Waker,
    is_rung: AtomicBool,
    is_polling: AtomicBool,
    /// Whether something waits in the queue: for who cannot wait for its lock.
    holds: AtomicBool,
}

/// What senders share.
#[derive(Debug)]
struct Outgoing {
    phase: Phase,
    /// Counts the phases.
    number: u64,
    queue: Queue,
    /// Whether much was sent, for which an answer soon comes.
    sent_much: bool,
    /// When something of it left last, or began to wait.
    moved: Instant,
    /// How long to hold up after the next stream that comes to nothing.
    pause: Duration,
    /// Whether the present stream has brought anything, and since when it is there.
    has_heard: bool,
    since: Instant,
    counters: StreamCounters,
}

#[derive(Clone, Debug)]
enum Phase {
    /// There is no stream, and none is tried before this time.
    Down(Instant),
    /// The system connects it, since this time.
    Connecting(Arc<Socket>, Instant),
    Up(Arc<Socket>),
}

/// What only the receiving thread uses.
#[derive(Debug)]
struct Incoming {
    poll: Poll,
    events: Events,
    /// The phase that it knows of.
    number: u64,
    phase: Phase,
    /// The beginning of a PDU.
    partial: Vec<u8>,
    /// Whether the last read brought much.
    is_bulk: bool,
    spin: Spin,
    /// Whether this stream has brought anything.
    has_heard: bool,
    /// Whether a stream broke of which nobody was told.
    is_broken: bool,
}

impl Dialled {
    /// A link that has no stream yet.
    pub(super) fn to(way: Way) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Waker::new(poll.registry(), BELL)?;
        let down = Phase::Down(Instant::START);
        let outgoing = Outgoing {
            phase: down.clone(),
            number: 0,
            queue: Queue::default(),
            sent_much: false,
            moved: Instant::START,
            pause: Duration::ZERO,
            has_heard: false,
            since: Instant::START,
            counters: StreamCounters::default(),
        };
        let incoming = Incoming {
            poll,
            events: Events::with_capacity(4),
            number: 0,
            phase: down,
            partial: Vec::new(),
            is_bulk: false,
            spin: Spin::default(),
            has_heard: false,
            is_broken: false,
        };
        Ok(Self {
            way,
            outgoing: Mutex::new(outgoing),
            incoming: Mutex::new(incoming),
            bell,
            is_rung: AtomicBool::new(false),
            is_polling: AtomicBool::new(false),
            holds: AtomicBool::new(false),
        })
    }

    /// Held while the socket is written to, which does not wait: PDUs must not mingle.
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_parts(&self, to: Address, parts: [&[u8]; 2]) -> Sent {
        if to != self.way.address {
            return Sent::Failed;
        }
        let mut outgoing = self.outgoing();
        let number = outgoing.number;
        outgoing.sent_much |= parts[1].len() >= BULK_BYTES;
        outgoing.settle();
        outgoing.open(&self.way);
        outgoing.settle(); // on one machine it is there at once
        if outgoing.queue.is_empty() {
            outgoing.moved = clock::now();
        }
        let Outgoing { phase, queue, .. } = &mut *outgoing;
        let bytes = parts[0].len() + parts[1].len();
        let has_room = queue.len() + bytes <= QUEUE_BYTES_MAX;
        let sent = match phase {
            Phase::Down(_) => Sent::Full,
            _ if !has_room => Sent::Full,
            Phase::Connecting(..) => {
                parts.into_iter().for_each(|part| queue.push(part));
                Sent::Yes
            }
            Phase::Up(socket) => {
                let sent = queue.flush(socket).and_then(|()| queue.send(socket, parts));
                if sent.is_err() {
                    outgoing.counters.ended += 1;
                    outgoing.lose();
                }
                if sent.is_ok() { Sent::Yes } else { Sent::Full }
            }
        };
        let holds = !outgoing.queue.is_empty();
        self.holds.store(holds, Ordering::Relaxed);
        let is_news = outgoing.number != number || holds;
        drop(outgoing);
        if is_news {
            self.wake(); // for it to watch the new stream, or flush the old one
        }
        sent
    }

    /// Shows the receiving thread what became of the stream; flushes what waits. Says whether
    /// something still waits.
    fn look(&self, incoming: &mut Incoming) -> bool {
        let mut outgoing = self.outgoing();
        outgoing.settle();
        if outgoing.number != incoming.number {
            incoming.number = outgoing.number;
            incoming.is_broken |= matches!(incoming.phase, Phase::Up(_));
            incoming.phase = outgoing.phase.clone();
            incoming.partial.clear();
            incoming.has_heard = false;
        }
        outgoing.has_heard |= incoming.has_heard;
        incoming.is_bulk |= std::mem::take(&mut outgoing.sent_much);
        if let Some(why) = outgoing.flush() {
            *why(&mut outgoing.counters) += 1;
            outgoing.lose();
            self.holds.store(false, Ordering::Relaxed);
            return true;
        }
        let holds = !outgoing.queue.is_empty();
        self.holds.store(holds, Ordering::Relaxed);
        holds
    }

    /// The whole PDUs that a read completes, if it does.
    fn pick_up(&self, incoming: &mut Incoming, buffer: &mut [u8], waits: bool) -> Option<Received> {
        let Phase::Up(socket) = &incoming.phase else { return None };
        let kept = incoming.partial.len();
        let Some(room) = buffer.get_mut(kept..).filter(|room| !room.is_empty()) else {
            // Longer than the caller expects.
            return Some(self.lost(incoming, |counters| &mut counters.malformed));
        };
        let come = if waits {
            await_read(socket, room, incoming.is_bulk.then_some(&mut incoming.spin))
        } else {
            read(socket, room, false)
        };
        let come = match come {
            Read::Bytes(come) => {
                incoming.is_bulk = come >= BULK_BYTES;
                kept + come
            }
            Read::Nothing => return None,
            Read::End => return Some(self.lost(incoming, |counters| &mut counters.ended)),
        };
        buffer[..kept].copy_from_slice(&incoming.partial);
        incoming.partial.clear();
        let len = match wire::frames(&buffer[..come]) {
            Ok(len) => len,
            Err((0, _)) => return Some(self.lost(incoming, |counters| &mut counters.malformed)),
            Err((len, _)) => {
                // What came before counts; that there is more to come is met by the next look.
                let _ = self.lost(incoming, |counters| &mut counters.malformed);
                incoming.is_broken = true;
                return Some(Received::Datagram { len, from: self.way.address });
            }
        };
        incoming.partial.extend_from_slice(&buffer[len..come]);
        incoming.has_heard |= len > 0;
        (len > 0).then_some(Received::Datagram { len, from: self.way.address })
    }

    /// The stream that the receiving thread knows is lost.
    fn lost(&self, incoming: &mut Incoming, why: Why) -> Received {
        let mut outgoing = self.outgoing();
        outgoing.has_heard |= incoming.has_heard;
        if outgoing.number == incoming.number {
            *why(&mut outgoing.counters) += 1;
            outgoing.lose();
        }
        drop(outgoing);
        self.look(incoming);
        incoming.tell_break().unwrap_or(Received::Nothing)
    }

    /// Waits for what becomes possible, for the bell, and no longer than `left`.
    fn poll(&self, incoming: &mut Incoming, must_write: bool, left: Option<Duration>) {
        let Incoming { poll, events, phase, .. } = incoming;
        let (socket, interest) = match &*phase {
            Phase::Down(_) => (None, Interest::READABLE),
            Phase::Connecting(socket, _) => (Some(socket), Interest::WRITABLE),
            Phase::Up(socket) if must_write => {
                (Some(socket), Interest::READABLE.add(Interest::WRITABLE))
            }
            Phase::Up(socket) => (Some(socket), Interest::READABLE),
        };
        if let Some(socket) = socket
            && watch(poll.registry(), socket, STREAM, interest).is_err()
        {
            return clock::pause(PAUSE_MIN); // no memory for it
        }
        // The order matters on both sides (Dekker): here the announcement before the look at the
        // bell, there the bell before the look at who waits. One of the two sees the other.
        self.is_polling.store(true, Ordering::SeqCst);
        if !self.is_rung.load(Ordering::SeqCst) {
            let _ = poll.poll(events, left); // a signal ends it early, as any wait may
        }
        self.is_polling.store(false, Ordering::SeqCst);
        if let Some(socket) = socket {
            unwatch(poll.registry(), socket);
        }
    }
}

impl Incoming {
    /// A stream that broke is told of once, as soon as another one may be tried.
    fn tell_break(&mut self) -> Option<Received> {
        let is_time = self.is_broken && self.holds_up().is_none();
        self.is_broken &= !is_time;
        is_time.then_some(Received::Broken)
    }

    /// For how long no stream is tried.
    fn holds_up(&self) -> Option<Duration> {
        match self.phase {
            Phase::Down(not_before) => clock::left(not_before),
            Phase::Connecting(..) | Phase::Up(_) => None,
        }
    }
}

impl Outgoing {
    /// Sends what waits, as far as the socket takes it; says what the stream's loss counts for, if it is
    /// lost by that.
    fn flush(&mut self) -> Option<Why> {
        let Phase::Up(socket) = &self.phase else { return None };
        let before = self.queue.len();
        if self.queue.flush(socket).is_err() {
            return Some(|counters| &mut counters.ended);
        }
        let after = self.queue.len();
        if after < before {
            self.moved = clock::now();
        }
        let is_stuck = after > 0 && clock::now() - UNREAD_PATIENCE >= self.moved;
        is_stuck.then_some(|counters| &mut counters.overrun)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.has_heard = false;
        self.since = clock::now();
        self.number += 1;
    }

    /// There is no stream any more, and perhaps none to be had.
    fn lose(&mut self) {
        if let Phase::Up(socket) | Phase::Connecting(socket, _) = &self.phase {
            let _ = socket.shutdown(std::net::Shutdown::Both); // ends a read that waits for it
        }
        self.queue.clear();
        // A server that answers and closes, again and again, must not be asked ever faster.
        let held = self.has_heard && clock::now() - PAUSE_MAX >= self.since;
        self.pause = if held { Duration::ZERO } else { self.pause.max(PAUSE_MIN / 2) * 2 };
        self.pause = self.pause.min(PAUSE_MAX);
        self.enter(Phase::Down(clock::now() + self.pause));
    }

    /// Opens a stream, if it is time.
    fn open(&mut self, way: &Way) {
        let Phase::Down(not_before) = self.phase else { return };
        let now = clock::now();
        if now < not_before {
            return;
        }
        match connect(way) {
            Ok((socket, true)) => self.established(Arc::new(socket)),
            Ok((socket, false)) => self.enter(Phase::Connecting(Arc::new(socket), now)),
            Err(_) => self.refused(),
        }
    }

    fn refused(&mut self) {
        self.counters.refused += 1;
        self.lose();
    }

    fn established(&mut self, socket: Arc<Socket>) {
        if is_own_end(&socket) {
            return self.refused();
        }
        match ready(&socket) {
            Ok(()) => {
                self.counters.opened += 1;
                self.enter(Phase::Up(socket));
            }
            Err(_) => self.refused(),
        }
    }

    /// Looks what became of a connection that the system makes.
    fn settle(&mut self) {
        let Phase::Connecting(socket, since) = &self.phase else { return };
        if socket.peer_addr().is_ok() {
            let socket = Arc::clone(socket);
            return self.established(socket);
        }
        let failed = !matches!(socket.take_error(), Ok(None));
        if failed || clock::now() - CONNECT_PATIENCE >= *since {
            self.refused();
        }
    }
}

/// Begins to connect; says whether that is done.
fn connect(way: &Way) -> io::Result<(Socket, bool)> {
    let socket = Socket::new(Domain::from(i32::from(way.place.family())), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&way.place) {
        Ok(()) => Ok((socket, true)),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, false)),
        Err(error) => Err(error),
    }
}

/// Whether a socket is connected to itself: so it may be where nobody listens at a port that the system
/// gives out (RFC 9293, section 3.5, simultaneous open).
pub(super) fn is_own_end(socket: &Socket) -> bool {
    let own = socket.local_addr().ok().and_then(|own| own.as_socket());
    own.is_some() && own == socket.peer_addr().ok().and_then(|peer| peer.as_socket())
}

/// Makes a connected socket one to wait at.
fn ready(socket: &Socket) -> io::Result<()> {
    prepare(socket)?;
    socket.set_read_timeout(Some(BLOCKED))?;
    socket.set_nonblocking(false)
}

impl Link for Dialled {
    /// The stream's own end, which a new stream changes.
    fn local(&self) -> Address {
        let outgoing = self.outgoing();
        let Phase::Up(socket) = &outgoing.phase else { return Address::Local(0) };
        let local = socket.local_addr().ok().and_then(|local| local.as_socket());
        local.map_or(Address::Local(0), Address::Tcp)
    }

    fn datagram_bytes_max(&self) -> usize {
        READ_BYTES_MAX
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        self.send_parts(to, [datagram, &[]])
    }

    fn send_in_parts(&self, to: Address, head: &[u8], rest: &[u8], _whole: &mut Vec<u8>) -> Sent {
        self.send_parts(to, [head, rest])
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let incoming = &mut *self.incoming();
        let mut held = self.holds();
        loop {
            if self.is_rung.swap(false, Ordering::SeqCst) {
                return Received::Nothing;
            }
            let left = match until {
                None => None,
                Some(until) => match clock::left(until) {
                    None => return Received::Nothing,
                    left => left,
                },
            };
            let must_write = self.look(incoming);
            if std::mem::replace(&mut held, must_write) && !must_write {
                return Received::Nothing; // all has left: nobody may have to wait any more
            }
            if let Some(broken) = incoming.tell_break() {
                return broken;
            }
            let waits = !must_write && left.is_none_or(|left| left >= BLOCKED);
            if let Some(received) = self.pick_up(incoming, buffer, waits) {
                return received;
            }
            let left = until.map(|until| clock::left(until).unwrap_or_default());
            let pause = incoming.holds_up().filter(|_| incoming.is_broken);
            let look_again = must_write.then_some(UNREAD_PATIENCE);
            let left = left.into_iter().chain(pause).chain(look_again).min();
            self.poll(incoming, must_write, left);
        }
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        let incoming = &mut *self.incoming();
        self.look(incoming);
        let broken = incoming.tell_break();
        broken.or_else(|| self.pick_up(incoming, buffer, false)).unwrap_or(Received::Nothing)
    }

    fn gives_all(&self) -> bool {
        true
    }

    fn streams(&self) -> StreamCounters {
        self.outgoing().counters
    }

    fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        let was_rung = self.is_rung.swap(true, Ordering::SeqCst);
        if !was_rung && self.is_polling.load(Ordering::SeqCst) {
            let _ = self.bell.wake(); // fails only if it is rung already
        }
    }
}
