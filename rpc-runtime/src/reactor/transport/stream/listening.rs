//! The end of streams that is called: listeners and all their streams, which one thread waits for,
//! through mio.
//!
//! A poll tells once when a socket gets ready, so it is noted until a read has emptied the socket. A
//! note may be about a stream that is gone, or about the one in its place: all sockets are read and
//! written without waiting, so that a wrong note costs one look and does no harm.
//!
//! Where there is one stream only, and something came by it just now, the next is waited for in the read
//! itself for a moment ([`BLOCKED`]), which saves a system call each time. Newcomers and a wake-up wait
//! for so long then, at the most.
//!
//! Peers are held to [`Bounds`]: so many streams, so long until a PDU is whole, so long until they read
//! on. Whoever keeps to none of them loses its own stream, and nobody else notices. What a slow reader
//! has no room for is lost as on any network, and nothing more is read from it until it has read. When
//! there are as many streams as may be, hosts share them evenly: `crowd.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use socket2::Socket;

use super::super::system;
use super::crowd::caller;
use super::peers::{Come, Place, Reading, Room, Stream, Written};
use super::unix::Name;
use super::{BLOCKED, QUEUE_BYTES_MAX, READ_BYTES_MAX, prepare, unwatch, watch};
use crate::address::{Address, Host};
use crate::driver::{Link, Received, Sent, StreamCounters};
use crate::reactor::clock;
use crate::time::{Duration, Instant};

/// Names the waker among the tokens; listeners come right below it, streams count from zero.
const BELL: Token = Token(usize::MAX);

/// Streams read from until the others are asked for: the news of a busy one must not hide theirs.
const READ_BEFORE_POLL_MAX: usize = 32;

/// Streams taken from a listener at once.
const ACCEPTED_TOGETHER_MAX: usize = 64;

/// How long no stream is taken after the system had no descriptor left for one.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// By which part of this process's descriptors the streams of a listener are bounded: others need some
/// too, and a process that has none left is hurt everywhere.
const DESCRIPTORS_SHARE: usize = 2;

/// What peers are held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Streams at a time; of hosts that have many, the one that is idle longest gives way to another, or
    /// that is closed as soon as it is there.
    pub(super) streams_max: usize,
    /// How long the first PDU of a stream may take, or the rest of any; and how long a peer may leave
    /// unread what waits for it.
    pub(super) patience: Duration,
    /// What may wait to be written to one stream.
    pub(super) stream_bytes_max: usize,
    /// What may wait to be written to all of them; beyond, nothing more waits.
    pub(super) all_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            streams_max: 16_384.min(system::descriptors_max() / DESCRIPTORS_SHARE),
            patience: Duration::from_secs(10),
            stream_bytes_max: QUEUE_BYTES_MAX,
            all_bytes_max: 64 * QUEUE_BYTES_MAX,
        }
    }
}

/// A socket at which streams come in.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    local: Address,
    /// The file that goes with it.
    _name: Option<Name>,
}

impl Listener {
    pub(super) const fn new(socket: Socket, local: Address, name: Option<Name>) -> Self {
        Self { socket, local, _name: name }
    }
}

/// Listeners and their streams as one link.
#[derive(Debug)]
pub struct Listening {
    locals: Vec<Address>,
    polling: Mutex<Polling>,
    /// The streams by who calls.
    streams: RwLock<BTreeMap<Address, Arc<Stream>>>,
    room: Room,
    /// Streams for whose peers something began to wait.
    backlogs: Mutex<Vec<Place>>,
    counters: Mutex<StreamCounters>,
    bell: Waker,
    is_rung: AtomicBool,
}

/// The counter for what became of a stream.
type Why = fn(&mut StreamCounters) -> &mut u64;

const STALLED: Why = |counters| &mut counters.stalled;
const OVERRUN: Why = |counters| &mut counters.overrun;

/// What only the receiving thread uses.
#[derive(Debug)]
pub(super) struct Polling {
    poll: Poll,
    events: Events,
    pub(super) bounds: Bounds,
    listeners: Vec<Listener>,
    /// Listeners at which streams may wait, and when to take them.
    accepts: Vec<Option<Instant>>,
    pub(super) peers: Slab<Peer>,
    /// Streams of each host; none that has none.
    pub(super) hosts: BTreeMap<Host, usize>,
    /// When the poll told something last.
    pub(super) polled: Instant,
    /// Those of them that may hold something, in the order of their turns.
    ready: VecDeque<usize>,
    /// Reads since the last poll.
    reads: usize,
    /// The stream that brought the last PDU, if it was read last.
    hot: Option<usize>,
    /// Until when a stream's peer must have done what is awaited of it, the earliest first.
    pub(super) watched: VecDeque<(Instant, Place)>,
    /// Numbers streams.
    accepted: u64,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: Arc<Stream>,
    reading: Reading,
    is_ready: bool,
    is_ending: bool,
    is_watched: bool,
    /// When something came last.
    pub(super) heard: Instant,
}

impl Peer {
    /// Since when its PDU is awaited, or that it reads on; and what its end counts for then.
    fn awaited_since(&self) -> Option<(Instant, Why)> {
        let pdu = self.reading.awaits_since().map(|since| (since, STALLED));
        let reader = self.stream.stuck_since().map(|since| (since, OVERRUN));
        pdu.into_iter().chain(reader).min_by_key(|(since, _)| *since)
    }
}

impl Listening {
    pub(super) fn on(listeners: Vec<Listener>, bounds: Bounds) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Waker::new(poll.registry(), BELL)?;
        for (index, listener) in listeners.iter().enumerate() {
            listener.socket.set_nonblocking(true)?;
            let token = Token(BELL.0 - 1 - index);
            watch(poll.registry(), &listener.socket, token, Interest::READABLE)?;
        }
        let polling = Polling {
            poll,
            events: Events::with_capacity(256),
            bounds,
            accepts: vec![Some(Instant::START); listeners.len()],
            peers: Slab::new(),
            hosts: BTreeMap::new(),
            polled: Instant::START,
            ready: VecDeque::new(),
            reads: 0,
            hot: None,
            watched: VecDeque::new(),
            accepted: 0,
            listeners,
        };
        let room = Room {
            queued_bytes: AtomicUsize::new(0),
            stream_bytes_max: bounds.stream_bytes_max,
            all_bytes_max: bounds.all_bytes_max,
        };
        Ok(Self {
            locals: polling.listeners.iter().map(|listener| listener.local).collect(),
            polling: Mutex::new(polling),
            streams: RwLock::default(),
            room,
            backlogs: Mutex::default(),
            counters: Mutex::default(),
            bell,
            is_rung: AtomicBool::new(false),
        })
    }

    fn count(&self, why: Why) {
        *why(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner)) += 1;
    }

    pub(super) fn polling(&self) -> MutexGuard<'_, Polling> {
        self.polling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the stream whose turn it is brings, if it brings anything whole.
    fn pick_up(
        &self,
        polling: &mut Polling,
        index: usize,
        buffer: &mut [u8],
        waits: bool,
    ) -> Option<Received> {
        let peer = polling.peers.get_mut(index)?;
        peer.is_ready = false;
        let Peer { stream, reading, .. } = peer;
        let is_choked = stream.flush(&self.room);
        if is_choked && !peer.is_ending {
            polling.guard(index); // the poll tells when it has read
            return None;
        }
        let from = stream.address;
        let come = reading.read(&stream.socket, buffer, (peer.is_ending, waits), clock::now);
        let (len, is_more) = match come {
            Come::Pdus(len, is_more) => (len, is_more),
            Come::Nothing(is_more) => (0, is_more),
            Come::Malformed(len) => {
                self.close(polling, index, |counters| &mut counters.malformed);
                return (len > 0).then_some(Received::Datagram { len, from });
            }
            Come::End => {
                self.close(polling, index, |counters| &mut counters.ended);
                return None;
            }
        };
        if is_more {
            polling.note(index);
        }
        polling.guard(index);
        polling.hear(index);
        polling.hot = (len > 0).then_some(index);
        (len > 0).then_some(Received::Datagram { len, from })
    }

    fn close(&self, polling: &mut Polling, index: usize, why: Why) {
        let Some(peer) = polling.peers.try_remove(index) else { return };
        self.count(why);
        polling.forget(peer.stream.address.host());
        unwatch(polling.poll.registry(), &peer.stream.socket);
        peer.stream.close(&self.room);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let address = peer.stream.address;
        if streams.get(&address).is_some_and(|found| Arc::ptr_eq(found, &peer.stream)) {
            streams.remove(&address);
        }
    }

    /// Takes the streams that wait at listeners.
    fn accept_all(&self, polling: &mut Polling) {
        for index in 0..polling.listeners.len() {
            if polling.accepts[index].is_none_or(|time| clock::now() < time) {
                continue;
            }
            for _ in 0..ACCEPTED_TOGETHER_MAX {
                match polling.listeners[index].socket.accept() {
                    Ok((socket, from)) => {
                        let from = from.as_socket().map(Address::Tcp);
                        self.accept(polling, socket, from);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        polling.accepts[index] = None;
                        break;
                    }
                    Err(error) if is_of_the_stream(&error) => {}
                    Err(_) => {
                        polling.accepts[index] = Some(clock::now() + PAUSE_AFTER_ERROR);
                        break;
                    }
                }
            }
        }
    }

    fn accept(&self, polling: &mut Polling, socket: Socket, from: Option<Address>) {
        let address = from.unwrap_or_else(|| caller(&socket));
        if polling.peers.len() >= polling.bounds.streams_max
            && let Some(idle) = polling.who_gives_way(address.host(), clock::now())
        {
            self.close(polling, idle, |counters| &mut counters.crowded);
        }
        let is_welcome = polling.peers.len() < polling.bounds.streams_max
            && prepare(&socket).is_ok()
            && socket.set_read_timeout(Some(BLOCKED)).is_ok();
        let entry = polling.peers.vacant_entry();
        let place = (entry.key(), polling.accepted + 1);
        let stream = Arc::new(Stream::new(socket, address, place));
        let (index, interest) = (entry.key(), Interest::READABLE.add(Interest::WRITABLE));
        let registry = polling.poll.registry();
        if !is_welcome || watch(registry, &stream.socket, Token(index), interest).is_err() {
            self.count(|counters| &mut counters.refused);
            return;
        }
        self.count(|counters| &mut counters.opened);
        polling.accepted += 1;
        entry.insert(Peer {
            stream: Arc::clone(&stream),
            reading: Reading::since(clock::now()),
            is_ready: false,
            is_ending: false,
            is_watched: false,
            heard: clock::now(),
        });
        *polling.hosts.entry(address.host()).or_default() += 1;
        polling.guard(index);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        streams.insert(stream.address, stream);
    }

    /// Sees to it that those read on for whom something began to wait.
    fn watch_backlogs(&self, polling: &mut Polling) {
        let mut backlogs = self.backlogs.lock().unwrap_or_else(PoisonError::into_inner);
        for place in backlogs.drain(..) {
            if polling.peer(place).is_some() {
                polling.guard(place.0);
            }
        }
    }

    /// Closes the streams whose PDUs take too long, or whose readers do; says when to look again.
    fn close_stalled(&self, polling: &mut Polling) -> Option<Instant> {
        loop {
            let (until, place) = *polling.watched.front()?;
            if clock::now() < until {
                return Some(until);
            }
            polling.watched.pop_front();
            let patience = polling.bounds.patience;
            let Some(peer) = polling.peer(place) else { continue };
            peer.is_watched = false;
            match peer.awaited_since() {
                Some((since, why)) if since + patience <= until => {
                    self.close(polling, place.0, why);
                }
                Some(_) | None => polling.guard(place.0),
            }
        }
    }

    /// Waits for news, no longer than until `until`.
    fn poll(&self, polling: &mut Polling, until: Option<Instant>) {
        polling.reads = 0;
        let left = until.map(|until| clock::left(until).unwrap_or_default());
        if polling.poll.poll(&mut polling.events, left).is_err() {
            return; // a signal; the caller looks around and waits again
        }
        polling.polled = clock::now();
        let Polling { events, peers, ready, accepts, .. } = polling;
        for event in &*events {
            let Token(token) = event.token();
            if let Some(peer) = peers.get_mut(token) {
                peer.is_ending |= event.is_read_closed() || event.is_error();
                if !std::mem::replace(&mut peer.is_ready, true) {
                    ready.push_back(token);
                }
            } else if let Some(accepts) = accepts.get_mut((BELL.0 - 1).wrapping_sub(token)) {
                *accepts = Some(Instant::START);
            }
        }
    }
}

impl Polling {
    /// The stream whose next PDU is to be waited for in the read.
    fn may_block(&mut self, until: Option<Instant>) -> Option<usize> {
        let hot = self.hot.take()?;
        let is_time = || {
            let left = until.map(|until| clock::left(until).unwrap_or_default());
            left.is_none_or(|left| left >= BLOCKED)
        };
        let is_alone = self.peers.len() == 1 && self.ready.is_empty();
        (is_alone && self.reads < READ_BEFORE_POLL_MAX && is_time()).then_some(hot)
    }

    /// The stream may hold more.
    fn note(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if !std::mem::replace(&mut peer.is_ready, true) {
            self.ready.push_back(index);
        }
    }

    /// The stream, if it is still the one that was there.
    fn peer(&mut self, place: Place) -> Option<&mut Peer> {
        self.peers.get_mut(place.0).filter(|peer| peer.stream.place == place)
    }

    /// Sees to it that what is awaited of a stream's peer does not take for ever.
    fn guard(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some((since, _)) = peer.awaited_since() else { return };
        if !std::mem::replace(&mut peer.is_watched, true) {
            // One that began before the last that is watched is looked at with it, a little late.
            let until = since + self.bounds.patience;
            let until = self.watched.back().map_or(until, |(last, _)| until.max(*last));
            self.watched.push_back((until, peer.stream.place));
            self.thin_out();
        }
    }
}

/// Whether taking a stream failed because that stream did (accept(2)).
fn is_of_the_stream(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

impl Link for Listening {
    fn local(&self) -> Address {
        self.locals[0]
    }

    fn locals(&self) -> Vec<Address> {
        self.locals.clone()
    }

    fn datagram_bytes_max(&self) -> usize {
        READ_BYTES_MAX
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let stream = streams.get(&to).cloned();
        drop(streams);
        let Some(stream) = stream else { return Sent::Failed };
        let written = stream.write(datagram, &self.room);
        if written == Written::Waits {
            self.backlogs.lock().unwrap_or_else(PoisonError::into_inner).push(stream.place);
            let _ = self.bell.wake(); // fails only if it is rung already
        }
        written.into()
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let polling = &mut *self.polling();
        loop {
            if self.is_rung.swap(false, Ordering::SeqCst) {
                return Received::Nothing;
            }
            while polling.reads < READ_BEFORE_POLL_MAX
                && let Some(index) = polling.ready.pop_front()
            {
                polling.reads += 1;
                if let Some(received) = self.pick_up(polling, index, buffer, false) {
                    return received;
                }
            }
            if let Some(index) = polling.may_block(until) {
                polling.reads += 1;
                if let Some(received) = self.pick_up(polling, index, buffer, true) {
                    return received;
                }
                continue;
            }
            self.accept_all(polling);
            self.watch_backlogs(polling);
            let stalls = self.close_stalled(polling);
            if !polling.ready.is_empty() {
                self.poll(polling, Some(Instant::START));
                continue;
            }
            if until.is_some_and(|until| clock::left(until).is_none()) {
                return Received::Nothing;
            }
            let accepts = polling.accepts.iter().copied().flatten();
            let until = until.into_iter().chain(stalls).chain(accepts).min();
            self.poll(polling, until);
        }
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        let polling = &mut *self.polling();
        self.poll(polling, Some(Instant::START));
        self.accept_all(polling);
        let index = polling.ready.pop_front();
        let received = index.and_then(|index| self.pick_up(polling, index, buffer, false));
        received.unwrap_or(Received::Nothing)
    }

    /// All that has come of one peer, and what is answered together goes to one.
    fn gives_all(&self) -> bool {
        true
    }

    fn streams(&self) -> StreamCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            let _ = self.bell.wake(); // fails only if it is rung already
        }
    }
}
