//! The end that is called: a socket in the file system, and the rings of all who came by it, which one
//! thread looks after.
//!
//! As long as callers keep it busy their rings are looked at in turn ([`super::callers`]), and the poll
//! only now and then. With nothing to do it sleeps in the poll, where each caller wakes it by the socket
//! that it has here anyway: no descriptor is shared with a peer, who could do to it what it likes. Where
//! there is one caller only, and something came from it just now, the thread sleeps at that one's word
//! for a moment ([`BLOCKED`]), which is what a null call costs least with. Newcomers wait for so long
//! then, at the most.
//!
//! Peers are held to [`Bounds`]. Whoever keeps to none of them loses its own rings, and nobody else
//! notices. What a slow reader has no room for is lost as on any network, and nothing more is read from it
//! until it has read.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::Socket;

use super::super::spin::Spin;
use super::super::stream::crowd;
use super::super::stream::unix::Name;
use super::super::system;
use super::callers::{Caller, Overdue, Peers, Place, Written};
use super::pipe::{AT_WORD, AWAKE, IN_POLL, Pipe};
use super::ring::{DATAGRAM_BYTES_MAX, Reader, Side};
use super::{BLOCKED, handshake, is_sendable};
use crate::address::Address;
use crate::driver::{Link, Received, Sent, StreamCounters};
use crate::reactor::clock;
use crate::time::{Duration, Instant};

const BELL: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

/// Reads until the poll is asked for others: the news of a busy one must not hide theirs.
const READ_BEFORE_POLL_MAX: usize = 64;

/// Newcomers taken at once.
const ACCEPTED_TOGETHER_MAX: usize = 64;

/// How long none is taken after the system had no descriptor left for one.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// What peers are held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Callers at a time; for one more the user that has most of them loses the oldest, or it is turned
    /// away as soon as it is there.
    pub(super) callers_max: usize,
    /// How long a newcomer may take to say what it shares; and how long a caller for whom much waits may
    /// read nothing of it.
    pub(super) patience: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        // Each has a descriptor; others of the process want some, too.
        let callers_max = (system::descriptors_max() / 2).min(16_384);
        Self { callers_max, patience: Duration::from_secs(10) }
    }
}

/// A listener and all its callers as one link.
#[derive(Debug)]
pub struct Listening {
    local: Address,
    polling: Mutex<Polling>,
    callers: RwLock<BTreeMap<Address, Arc<Caller>>>,
    /// Callers for whom there was no room.
    stuck: Mutex<Vec<Place>>,
    counters: Mutex<StreamCounters>,
    bell: Waker,
    is_rung: AtomicBool,
    /// How the receiving thread sleeps, and with whom where it is at a word.
    sleeps: AtomicU32,
    sleeps_with: Mutex<Option<Arc<Caller>>>,
}

/// The counter for what became of a caller.
type Why = fn(&mut StreamCounters) -> &mut u64;

const ENDED: Why = |counters| &mut counters.ended;
const MALFORMED: Why = |counters| &mut counters.malformed;

/// What only the receiving thread uses.
#[derive(Debug)]
struct Polling {
    poll: Poll,
    events: Events,
    bounds: Bounds,
    listener: Socket,
    /// The file that goes with it.
    _name: Option<Name>,
    /// Whether newcomers may wait, and when to take them.
    accept: Option<Instant>,
    peers: Peers,
    /// Reads since the last poll.
    reads: usize,
    /// Whether anything was read since the last wait.
    is_busy: bool,
    spin: Spin,
}

impl Listening {
    pub(super) fn on(
        (listener, name): (Socket, Option<Name>),
        local: Address,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Waker::new(poll.registry(), BELL)?;
        listener.set_nonblocking(true)?;
        let fd = listener.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), LISTENER, Interest::READABLE)?;
        let polling = Polling {
            poll,
            events: Events::with_capacity(256),
            bounds,
            listener,
            _name: name,
            accept: Some(Instant::START),
            peers: Peers::default(),
            reads: 0,
            is_busy: false,
            spin: Spin::default(),
        };
        Ok(Self {
            local,
            polling: Mutex::new(polling),
            callers: RwLock::default(),
            stuck: Mutex::default(),
            counters: Mutex::default(),
            bell,
            is_rung: AtomicBool::new(false),
            sleeps: AtomicU32::new(AWAKE),
            sleeps_with: Mutex::default(),
        })
    }

    fn count(&self, why: Why) {
        *why(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner)) += 1;
    }

    fn polling(&self) -> MutexGuard<'_, Polling> {
        self.polling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleeps_with(&self) -> MutexGuard<'_, Option<Arc<Caller>>> {
        self.sleeps_with.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes from those who are awake, each in its turn.
    fn pick_up_next(&self, polling: &mut Polling, buffer: &mut [u8]) -> Option<Received> {
        for _ in 0..polling.peers.awake_count() {
            let index = polling.peers.next()?;
            if let Some(received) = self.pick_up(polling, index, buffer) {
                polling.reads += 1;
                polling.is_busy = true;
                return Some(received);
            }
        }
        None
    }

    /// What one brings, if it brings anything.
    fn pick_up(&self, polling: &mut Polling, index: usize, buffer: &mut [u8]) -> Option<Received> {
        let peer = polling.peers.get(index)?;
        let Some((caller, reader)) = &mut peer.caller else {
            self.welcome(polling, index);
            return None;
        };
        let is_choked = match caller.pipe.is_choked() {
            Ok(is_choked) => is_choked && !peer.is_ending,
            Err(_) => {
                self.close(polling, index, MALFORMED);
                return None;
            }
        };
        if is_choked {
            caller.pipe.announce(IN_POLL);
            if caller.pipe.is_choked() != Ok(false) {
                polling.peers.forget(index); // it wakes this side when it has read
                polling.guard(index);
                return None;
            }
            caller.pipe.rise();
        }
        match caller.pipe.pop(reader, buffer) {
            Ok(0) if peer.is_ending => self.close(polling, index, ENDED),
            Ok(0) => {}
            Ok(len) => return Some(Received::Datagram { len, from: caller.address }),
            Err(_) => self.close(polling, index, MALFORMED),
        }
        None
    }

    /// Makes a caller of a newcomer who has said what it shares.
    fn welcome(&self, polling: &mut Polling, index: usize) {
        let Some(peer) = polling.peers.get(index) else { return };
        let region = match handshake::welcome(&peer.socket) {
            Ok(Some(region)) => region,
            Ok(None) if peer.is_ending => return self.close(polling, index, ENDED),
            Ok(None) => return polling.peers.forget(index),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return self.close(polling, index, MALFORMED);
            }
            Err(_) => return self.close(polling, index, ENDED),
        };
        let address = peer.address;
        let caller = Arc::new(Caller {
            pipe: Pipe::new(Arc::clone(&peer.socket), region, Side::Called),
            address,
            place: (index, peer.number),
            is_full: AtomicBool::new(false),
        });
        peer.caller = Some((Arc::clone(&caller), Reader::default()));
        self.count(|counters| &mut counters.opened);
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        callers.insert(address, caller);
        // What it wrote already is seen when its turn comes: it is awake.
    }

    fn close(&self, polling: &mut Polling, index: usize, why: Why) {
        let Some(peer) = polling.peers.remove(index) else { return };
        self.count(why);
        // It fails only where it was not watched.
        let _ = polling.poll.registry().deregister(&mut SourceFd(&peer.socket.as_raw_fd()));
        let Some((caller, _)) = peer.caller else { return };
        caller.pipe.shut();
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        callers.remove(&caller.address);
        drop(callers);
        self.sleeps_with().take_if(|with| Arc::ptr_eq(with, &caller));
    }

    /// Takes the newcomers that wait.
    fn accept_all(&self, polling: &mut Polling) {
        if polling.accept.is_none_or(|time| clock::now() < time) {
            return;
        }
        for _ in 0..ACCEPTED_TOGETHER_MAX {
            match polling.listener.accept() {
                Ok((socket, _)) => self.accept(polling, socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    polling.accept = None;
                    return;
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                Err(_) => {
                    polling.accept = Some(clock::now() + PAUSE_AFTER_ERROR);
                    return;
                }
            }
        }
    }

    fn accept(&self, polling: &mut Polling, socket: Socket) {
        let address = crowd::caller(&socket);
        if polling.peers.len() >= polling.bounds.callers_max
            && let Some(index) = polling.peers.who_gives_way(address.host())
        {
            self.close(polling, index, |counters| &mut counters.crowded);
        }
        let is_welcome = polling.peers.len() < polling.bounds.callers_max;
        let fd = socket.as_raw_fd();
        let (index, _) = polling.peers.enter(Arc::new(socket), address);
        let registry = polling.poll.registry();
        let watch = || registry.register(&mut SourceFd(&fd), Token(index), Interest::READABLE);
        if is_welcome && watch().is_ok() {
            polling.guard(index);
        } else {
            self.close(polling, index, |counters| &mut counters.refused);
        }
    }

    /// Looks after those who take too long; says when to look again.
    fn tend(&self, polling: &mut Polling) -> Option<Instant> {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        for place in stuck.drain(..) {
            if polling.peers.at(place).is_some() {
                polling.guard(place.0);
            }
        }
        drop(stuck);
        loop {
            match polling.peers.overdue(clock::now(), polling.bounds.patience)? {
                Overdue::NotBefore(time) => return Some(time),
                Overdue::Silent(index) => {
                    self.close(polling, index, |counters| &mut counters.stalled);
                }
                Overdue::Unread(index) => {
                    self.close(polling, index, |counters| &mut counters.overrun);
                }
            }
        }
    }

    /// Waits for what comes as it comes mostly, soon; says whether it may have.
    fn wait_briefly(&self, polling: &mut Polling, left: Option<Duration>) -> bool {
        let Polling { peers, spin, .. } = polling;
        if spin.sees(|| self.is_rung.load(Ordering::SeqCst) || peers.has_news()) {
            return true;
        }
        let Some((caller, reader)) = peers.alone() else { return false };
        let mut sleeps_with = self.sleeps_with();
        if !sleeps_with.as_ref().is_some_and(|with| Arc::ptr_eq(with, caller)) {
            *sleeps_with = Some(Arc::clone(caller));
        }
        drop(sleeps_with);
        // The order matters on both sides (Dekker): here the announcement before the look at the bell,
        // there the bell before the look at who sleeps. One of the two sees the other.
        self.sleeps.store(AT_WORD, Ordering::SeqCst);
        caller.pipe.announce(AT_WORD);
        if !self.is_rung.load(Ordering::SeqCst) && !caller.pipe.has_news(reader) {
            caller.pipe.sleep(left.map_or(BLOCKED, |left| left.min(BLOCKED)));
        }
        caller.pipe.rise();
        self.sleeps.store(AWAKE, Ordering::SeqCst);
        caller.pipe.has_news(reader)
    }

    /// Waits for news, no longer than `left`.
    fn poll(&self, polling: &mut Polling, left: Option<Duration>) {
        polling.reads = 0;
        let Polling { poll, events, peers, accept, .. } = polling;
        if poll.poll(events, left).is_err() {
            return; // a signal; the caller looks around and waits again
        }
        for event in &*events {
            match event.token() {
                BELL => {}
                LISTENER => *accept = Some(Instant::START),
                token => peers.on_event(token, event.is_read_closed() || event.is_error()),
            }
        }
    }

    /// Sleeps until somebody wakes this side, no longer than until `until`.
    fn sleep(&self, polling: &mut Polling, until: Option<Instant>) {
        if polling.peers.doze() {
            let left = until.map(|until| clock::left(until).unwrap_or_default());
            self.poll(polling, left);
        }
    }
}

impl Polling {
    fn guard(&mut self, index: usize) {
        self.peers.guard(index, clock::now(), self.bounds.patience);
    }
}

impl Link for Listening {
    fn local(&self) -> Address {
        self.local
    }

    fn datagram_bytes_max(&self) -> usize {
        DATAGRAM_BYTES_MAX
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let caller = callers.get(&to).cloned();
        drop(callers);
        let Some(caller) = caller.filter(|_| is_sendable(datagram)) else { return Sent::Failed };
        match caller.write(datagram) {
            Written::Yes => Sent::Yes,
            Written::Full => Sent::Full,
            Written::Stuck => {
                self.stuck.lock().unwrap_or_else(PoisonError::into_inner).push(caller.place);
                let _ = self.bell.wake(); // fails only if it is rung already
                Sent::Full
            }
            Written::Lost => Sent::Failed,
        }
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let polling = &mut *self.polling();
        loop {
            if self.is_rung.swap(false, Ordering::SeqCst) {
                return Received::Nothing;
            }
            let must_poll = polling.reads >= READ_BEFORE_POLL_MAX;
            if must_poll {
                self.poll(polling, Some(Duration::ZERO));
                self.accept_all(polling);
                self.tend(polling);
            }
            if let Some(received) = self.pick_up_next(polling, buffer) {
                return received;
            }
            self.accept_all(polling);
            let overdue = self.tend(polling);
            let until_left = until.map(clock::left);
            if until_left == Some(None) {
                return Received::Nothing;
            }
            let is_busy = std::mem::take(&mut polling.is_busy);
            if is_busy && self.wait_briefly(polling, until_left.flatten()) {
                continue;
            }
            let until = until.into_iter().chain(overdue).chain(polling.accept).min();
            self.sleep(polling, until);
        }
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        let polling = &mut *self.polling();
        self.poll(polling, Some(Duration::ZERO));
        self.accept_all(polling);
        self.pick_up_next(polling, buffer).unwrap_or(Received::Nothing)
    }

    /// All that has come of one peer, and what is answered together goes to one.
    fn gives_all(&self) -> bool {
        true
    }

    fn streams(&self) -> StreamCounters {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.is_rung.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.sleeps.load(Ordering::SeqCst) == AT_WORD {
            if let Some(caller) = &*self.sleeps_with() {
                caller.pipe.rouse();
            }
        } else {
            let _ = self.bell.wake(); // fails only if it is rung already
        }
    }
}
