//! The end of streams that is called: listeners and their streams, which one thread waits for, through
//! mio; or several threads, each for streams of its own. Then the first takes all that are new, and gives
//! each to whoever has fewest.
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
//! has no room for is lost as on any network, and nothing more is read from it until it has read. How
//! many streams there may be, and who gives way to whom, is in `crowd.rs`.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use socket2::Socket;

use super::crowd::{
    Bounds, Crowd, ENDED, Letterbox, Letters, MALFORMED, OPENED, OVERRUN, REFUSED, STALLED, Why,
    caller,
};
use super::peers::{Come, Place, Reading, Stream, Written};
use super::unix::Name;
use super::{BLOCKED, READ_BYTES_MAX, prepare, unwatch, watch};
use crate::address::Address;
use crate::driver::{Link, Received, Sent, StreamCounters};
use crate::reactor::clock;
use crate::time::{Duration, Instant};

/// Names the waker among the tokens; listeners come right below it, streams count from zero.
const BELL: Token = Token(usize::MAX);

/// Streams read from until the others are asked for: the news of a busy one must not hide theirs.
const READ_BEFORE_POLL_MAX: usize = 32;

/// Entries of streams that are gone, before they are thrown out.
const WATCHED_SLACK: usize = 1_024;

/// Streams taken from a listener at once.
const ACCEPTED_TOGETHER_MAX: usize = 64;

/// How long no stream is taken after the system had no descriptor left for one.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

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

/// Listeners and their streams as one link, or one of several for as many threads.
#[derive(Debug)]
pub struct Listening {
    locals: Vec<Address>,
    pub(super) crowd: Arc<Crowd>,
    /// Which of the threads this is for.
    way: usize,
    polling: Mutex<Polling>,
    letterbox: Arc<Letterbox>,
    is_rung: AtomicBool,
}

/// What only the receiving thread uses.
#[derive(Debug)]
pub(super) struct Polling {
    poll: Poll,
    events: Events,
    patience: Duration,
    listeners: Vec<Listener>,
    /// Listeners at which streams may wait, and when to take them.
    accepts: Vec<Option<Instant>>,
    peers: Slab<Peer>,
    /// When the poll told something last.
    polled: Instant,
    /// Those of them that may hold something, in the order of their turns.
    ready: VecDeque<usize>,
    /// Reads since the last poll.
    reads: usize,
    /// The stream that brought the last PDU, if it was read last.
    hot: Option<usize>,
    /// Until when a stream's peer must have done what is awaited of it, the earliest first.
    pub(super) watched: VecDeque<(Instant, Place)>,
}

#[derive(Debug)]
struct Peer {
    stream: Arc<Stream>,
    reading: Reading,
    is_ready: bool,
    is_ending: bool,
    is_watched: bool,
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
        let locals = listeners.iter().map(|listener| listener.local).collect();
        Self::of(Arc::new(Crowd::new(bounds)), locals, listeners)
    }

    fn of(crowd: Arc<Crowd>, locals: Vec<Address>, listeners: Vec<Listener>) -> io::Result<Self> {
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
            patience: crowd.bounds.patience,
            accepts: vec![Some(Instant::START); listeners.len()],
            peers: Slab::new(),
            polled: Instant::START,
            ready: VecDeque::new(),
            reads: 0,
            hot: None,
            watched: VecDeque::new(),
            listeners,
        };
        let letterbox = Arc::new(Letterbox::new(bell));
        let way = crowd.join(&letterbox);
        let (polling, is_rung) = (Mutex::new(polling), AtomicBool::new(false));
        Ok(Self { locals, crowd, way, polling, letterbox, is_rung })
    }

    pub(super) fn polling(&self) -> MutexGuard<'_, Polling> {
        self.polling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_parts(&self, to: Address, parts: [&[u8]; 2]) -> Sent {
        let Some(stream) = self.crowd.find(to) else { return Sent::Failed };
        let written = stream.write(parts, &self.crowd.room);
        if written == Written::Waits {
            let letterbox = self.crowd.letterbox(stream.way);
            letterbox.post(|letters| letters.backlogs.push(stream.place()));
        }
        written.into()
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
        let is_choked = stream.flush(&self.crowd.room);
        if is_choked && !peer.is_ending {
            polling.guard(index); // the poll tells when it has read
            return None;
        }
        let from = stream.address;
        let come = reading.read(&stream.socket, buffer, (peer.is_ending, waits), clock::now);
        let (len, is_more) = match come {
            Come::Pdus(len, is_more) => (len, is_more),
            Come::Part(is_more) => (0, is_more),
            Come::Nothing => {
                polling.hot = None;
                return None;
            }
            Come::Malformed(len) => {
                self.close(polling, index, MALFORMED);
                return (len > 0).then_some(Received::Datagram { len, from });
            }
            Come::End => {
                self.close(polling, index, ENDED);
                return None;
            }
        };
        stream.hear(polling.polled);
        // One that has never brought anything whole is not waited for alone.
        let is_hot = reading.is_proved;
        if is_more {
            polling.note(index);
        }
        polling.guard(index);
        polling.hot = is_hot.then_some(index);
        (len > 0).then_some(Received::Datagram { len, from })
    }

    fn close(&self, polling: &mut Polling, index: usize, why: Why) {
        let Some(peer) = polling.peers.try_remove(index) else { return };
        self.crowd.leave(&peer.stream, why);
        unwatch(polling.poll.registry(), &peer.stream.socket);
        peer.stream.close(&self.crowd.room);
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
        let crowd = &self.crowd;
        if crowd.is_full() {
            crowd.make_room(address.host(), clock::now());
        }
        let is_welcome = !crowd.is_full()
            && prepare(&socket).is_ok()
            && socket.set_read_timeout(Some(BLOCKED)).is_ok();
        if !is_welcome {
            crowd.count(REFUSED);
            return;
        }
        let stream = crowd.enter(socket, address, clock::now());
        if stream.way == self.way {
            self.take_in(polling, stream);
        } else {
            crowd.letterbox(stream.way).post(|letters| letters.newcomers.push(stream));
        }
    }

    /// Receives by the stream from now on.
    fn take_in(&self, polling: &mut Polling, stream: Arc<Stream>) {
        let entry = polling.peers.vacant_entry();
        let (index, interest) = (entry.key(), Interest::READABLE.add(Interest::WRITABLE));
        if watch(polling.poll.registry(), &stream.socket, Token(index), interest).is_err() {
            self.crowd.leave(&stream, REFUSED);
            return;
        }
        self.crowd.count(OPENED);
        stream.stands_at(index);
        let reading = Reading::since(clock::now());
        entry.insert(Peer {
            stream,
            reading,
            is_ready: false,
            is_ending: false,
            is_watched: false,
        });
        polling.guard(index);
    }

    /// Looks after what other threads have told: streams that are this one's, and such as have something
    /// to write, whose peers must read on.
    fn take_letters(&self, polling: &mut Polling) {
        let mut letters = self.letterbox.letters();
        let Letters { newcomers, backlogs } = &mut *letters;
        for place in backlogs.drain(..) {
            if polling.peer(place).is_some() {
                polling.guard(place.0);
            }
        }
        if !newcomers.is_empty() {
            let newcomers = std::mem::take(newcomers);
            drop(letters);
            newcomers.into_iter().for_each(|stream| self.take_in(polling, stream));
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
            let patience = polling.patience;
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
        self.peers.get_mut(place.0).filter(|peer| peer.stream.number == place.1)
    }

    /// Sees to it that what is awaited of a stream's peer does not take for ever.
    fn guard(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some((since, _)) = peer.awaited_since() else { return };
        if !std::mem::replace(&mut peer.is_watched, true) {
            // One that began before the last that is watched is looked at with it, a little late.
            let until = since + self.patience;
            let until = self.watched.back().map_or(until, |(last, _)| until.max(*last));
            self.watched.push_back((until, peer.stream.place()));
            self.thin_out();
        }
    }

    /// Streams that came and went leave little behind.
    fn thin_out(&mut self) {
        let Self { watched, peers, .. } = self;
        if watched.len() > WATCHED_SLACK + 2 * peers.len() {
            watched.retain(|(_, (index, number))| {
                peers.get(*index).is_some_and(|peer| peer.stream.number == *number)
            });
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
        self.send_parts(to, [datagram, &[]])
    }

    fn send_in_parts(&self, to: Address, head: &[u8], rest: &[u8], _whole: &mut Vec<u8>) -> Sent {
        self.send_parts(to, [head, rest])
    }

    fn further_ways(&self, count: usize) -> Vec<Arc<dyn Link>> {
        let way = || Self::of(Arc::clone(&self.crowd), self.locals.clone(), Vec::new());
        (0..count).map_while(|_| Some(Arc::new(way().ok()?) as Arc<dyn Link>)).collect()
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
            self.take_letters(polling);
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
        self.take_letters(polling);
        let index = polling.ready.pop_front();
        let received = index.and_then(|index| self.pick_up(polling, index, buffer, false));
        received.unwrap_or(Received::Nothing)
    }

    /// All that has come of one peer, and what is answered together goes to one.
    fn gives_all(&self) -> bool {
        true
    }

    fn streams(&self) -> StreamCounters {
        self.crowd.counters()
    }

    fn wake(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            let _ = self.letterbox.bell.wake(); // fails only if it is rung already
        }
    }
}
