//! The end that calls: rings shared with whoever listens at one place, made when something is to be sent,
//! and again after they were lost.
//!
//! Whoever waits, where something came just now, looks for a moment if that pays ([`super::super::spin`]), then
//! sleeps at its word for as long as most replies take; and after that in a poll, which sees the peer's
//! end too. What is sent goes into
//! the ring and never waits: what finds no room does not leave. Does not know what PDUs say.

use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use super::super::spin::Spin;
use super::super::stream::Way;
use super::handshake;
use super::pipe::{AT_WORD, AWAKE, IN_POLL, Pipe, Pushed};
use super::ring::{DATAGRAM_BYTES_MAX, Reader};
use super::{BELLS_KEPT_MAX, BLOCKED, is_sendable};
use crate::address::Address;
use crate::driver::{Link, Received, Sent, StreamCounters};
use crate::reactor::clock;
use crate::time::{Duration, Instant};

/// How long to hold up after rings that came to nothing: at first, and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How often, at the most, to ask whether a peer that has yet to read is still there.
const ASK_AFTER: Duration = Duration::from_millis(1);

const BELL: Token = Token(usize::MAX);

/// A link to one place of this machine.
#[derive(Debug)]
pub struct Dialled {
    way: Way,
    outgoing: Mutex<Outgoing>,
    /// Counts the phases; changed by who has the lock.
    number: AtomicU64,
    incoming: Mutex<Incoming>,
    bell: Waker,
    is_rung: AtomicBool,
    /// How the receiving thread sleeps.
    sleeps: AtomicU32,
}

/// What senders share.
#[derive(Debug)]
struct Outgoing {
    phase: Phase,
    /// How long to hold up after the next rings that come to nothing.
    pause: Duration,
    /// Whether the present ones have brought anything.
    has_heard: bool,
    /// When the peer was last asked whether it is there.
    asked: Instant,
    counters: StreamCounters,
}

#[derive(Clone, Debug)]
enum Phase {
    /// There are no rings, and none are tried before this time.
    Down(Instant),
    Up(Arc<Pipe>),
}

/// What only the receiving thread uses.
#[derive(Debug)]
struct Incoming {
    poll: Poll,
    events: Events,
    /// The phase that it knows of.
    number: u64,
    phase: Phase,
    reader: Reader,
    spin: Spin,
    /// Bytes of waking that may be in the socket.
    bells: u32,
    /// Whether anything was read since the last wait.
    is_busy: bool,
    /// Whether the peer has ended: what it wrote before may still be read.
    is_ending: bool,
    has_heard: bool,
    /// Whether rings were lost of which nobody was told.
    is_broken: bool,
}

impl Dialled {
    /// A link that has no rings yet.
    pub(super) fn to(way: Way) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Waker::new(poll.registry(), BELL)?;
        let down = Phase::Down(Instant::START);
        let outgoing = Outgoing {
            phase: down.clone(),
            pause: Duration::ZERO,
            has_heard: false,
            asked: Instant::START,
            counters: StreamCounters::default(),
        };
        let incoming = Incoming {
            poll,
            events: Events::with_capacity(4),
            number: 0,
            phase: down,
            reader: Reader::default(),
            spin: Spin::default(),
            bells: 0,
            is_busy: false,
            is_ending: false,
            has_heard: false,
            is_broken: false,
        };
        Ok(Self {
            way,
            outgoing: Mutex::new(outgoing),
            number: AtomicU64::new(0),
            incoming: Mutex::new(incoming),
            bell,
            is_rung: AtomicBool::new(false),
            sleeps: AtomicU32::new(AWAKE),
        })
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, outgoing: &mut Outgoing, phase: Phase) {
        outgoing.phase = phase;
        outgoing.has_heard = false;
        self.number.fetch_add(1, Ordering::SeqCst);
    }

    /// There are no rings any more, and perhaps none to be had.
    fn lose(&self, outgoing: &mut Outgoing) {
        let lost = outgoing.phase.clone();
        outgoing.pause =
            if outgoing.has_heard { Duration::ZERO } else { outgoing.pause.max(PAUSE_MIN / 2) * 2 };
        outgoing.pause = outgoing.pause.min(PAUSE_MAX);
        self.enter(outgoing, Phase::Down(clock::now() + outgoing.pause));
        if let Phase::Up(pipe) = lost {
            pipe.shut(); // ends a poll that waits for it
            pipe.rouse();
        }
    }

    /// Makes rings, if it is time.
    fn open(&self, outgoing: &mut Outgoing) {
        let Phase::Down(not_before) = outgoing.phase else { return };
        if clock::left(not_before).is_some() {
            return;
        }
        match connect(&self.way).and_then(handshake::greet) {
            Ok(pipe) => {
                outgoing.counters.opened += 1;
                self.enter(outgoing, Phase::Up(Arc::new(pipe)));
            }
            Err(_) => {
                outgoing.counters.refused += 1;
                self.lose(outgoing);
            }
        }
    }

    /// A peer that was awake when it was killed cannot say so, and nobody may be waiting for it: who sends
    /// asks, where something is unread.
    fn ask(&self, outgoing: &mut Outgoing) {
        let Phase::Up(pipe) = &outgoing.phase else { return };
        if pipe.unread() == Ok(0) || clock::now() - ASK_AFTER < outgoing.asked {
            return;
        }
        let has_ended = pipe.has_hung_up();
        outgoing.asked = clock::now();
        if has_ended {
            outgoing.counters.ended += 1;
            self.lose(outgoing);
        }
    }

    /// Shows the receiving thread what became of the rings.
    fn look(&self, incoming: &mut Incoming) {
        if self.number.load(Ordering::SeqCst) == incoming.number {
            return;
        }
        let outgoing = self.outgoing();
        incoming.number = self.number.load(Ordering::SeqCst);
        if let Phase::Up(lost) = std::mem::replace(&mut incoming.phase, outgoing.phase.clone()) {
            incoming.is_broken = true;
            // It fails only where it was not watched.
            let _ = incoming.poll.registry().deregister(&mut SourceFd(&lost.socket.as_raw_fd()));
        }
        drop(outgoing);
        incoming.reader = Reader::default();
        (incoming.bells, incoming.is_ending, incoming.has_heard) = (0, false, false);
        if let Phase::Up(pipe) = &incoming.phase {
            let (fd, registry) = (pipe.socket.as_raw_fd(), incoming.poll.registry());
            let watched =
                registry.register(&mut SourceFd(&fd), incoming.token(), Interest::READABLE);
            incoming.is_ending = watched.is_err(); // no memory for it
        }
    }

    /// What has come, if anything has.
    fn pick_up(&self, incoming: &mut Incoming, buffer: &mut [u8]) -> Option<Received> {
        let Phase::Up(pipe) = &incoming.phase else { return None };
        match pipe.pop(&mut incoming.reader, buffer) {
            Ok(0) if incoming.is_ending => {
                Some(self.lost(incoming, |counters| &mut counters.ended))
            }
            Ok(0) => None,
            Ok(len) => {
                incoming.is_busy = true;
                if !std::mem::replace(&mut incoming.has_heard, true) {
                    self.outgoing().has_heard |= incoming.is_current(self);
                }
                Some(Received::Datagram { len, from: self.way.address })
            }
            Err(_) => Some(self.lost(incoming, |counters| &mut counters.malformed)),
        }
    }

    /// The rings that the receiving thread knows are lost.
    fn lost(&self, incoming: &mut Incoming, why: fn(&mut StreamCounters) -> &mut u64) -> Received {
        let mut outgoing = self.outgoing();
        if incoming.is_current(self) {
            *why(&mut outgoing.counters) += 1;
            self.lose(&mut outgoing);
        }
        drop(outgoing);
        self.look(incoming);
        incoming.tell_break().unwrap_or(Received::Nothing)
    }

    /// The peer's process was found to have ended by who would have woken it.
    fn on_dead(&self, dead: &Arc<Pipe>) {
        let mut outgoing = self.outgoing();
        let is_known = !matches!(&outgoing.phase, Phase::Up(pipe) if Arc::ptr_eq(pipe, dead));
        if !is_known {
            outgoing.counters.ended += 1;
            self.lose(&mut outgoing);
        }
        drop(outgoing);
        if !is_known {
            self.wake();
        }
    }

    /// Waits for a reply as it comes mostly: soon.
    fn wait_briefly(&self, incoming: &mut Incoming, left: Option<Duration>) {
        let Incoming { phase, reader, spin, number, .. } = incoming;
        let Phase::Up(pipe) = &*phase else { return };
        let is_over = || {
            self.is_rung.load(Ordering::SeqCst)
                || self.number.load(Ordering::SeqCst) != *number
                || pipe.has_news(reader)
        };
        if spin.sees(is_over) {
            return;
        }
        // The order matters on both sides (Dekker): here the announcement before the look at the bell,
        // there the bell before the look at who sleeps. One of the two sees the other.
        self.sleeps.store(AT_WORD, Ordering::SeqCst);
        pipe.announce(AT_WORD);
        if !is_over() {
            pipe.sleep(left.map_or(BLOCKED, |left| left.min(BLOCKED)));
        }
        pipe.rise();
        self.sleeps.store(AWAKE, Ordering::SeqCst);
    }

    /// Waits for what becomes possible, for the bell, and no longer than `left`.
    fn poll(&self, incoming: &mut Incoming, left: Option<Duration>) {
        let token = incoming.token();
        let Incoming { poll, events, phase, reader, bells, is_ending, .. } = incoming;
        let pipe = if let Phase::Up(pipe) = &*phase { Some(pipe) } else { None };
        self.sleeps.store(IN_POLL, Ordering::SeqCst); // as in `wait_briefly`
        if let Some(pipe) = pipe {
            pipe.announce(IN_POLL);
        }
        let is_over =
            self.is_rung.load(Ordering::SeqCst) || pipe.is_some_and(|pipe| pipe.has_news(reader));
        let is_polled = !is_over && poll.poll(events, left).is_ok(); // a signal ends it early
        self.sleeps.store(AWAKE, Ordering::SeqCst);
        let Some(pipe) = pipe else { return };
        pipe.rise();
        if is_polled && let Some(event) = events.iter().find(|event| event.token() == token) {
            *is_ending |= event.is_read_closed() || event.is_error();
            *bells += 1;
            if *bells > BELLS_KEPT_MAX {
                *bells = 0;
                *is_ending |= pipe.has_ended();
            }
        }
    }
}

impl Incoming {
    /// Names the socket of the present phase: the poll may still tell of a former one.
    fn token(&self) -> Token {
        let names = BELL.0 as u64;
        Token(usize::try_from(self.number % names).expect("below the largest"))
    }

    fn is_current(&self, link: &Dialled) -> bool {
        link.number.load(Ordering::SeqCst) == self.number
    }

    /// Rings that were lost are told of once, as soon as others may be tried.
    fn tell_break(&mut self) -> Option<Received> {
        let is_time = self.is_broken && self.holds_up().is_none();
        self.is_broken &= !is_time;
        is_time.then_some(Received::Broken)
    }

    /// For how long none are tried.
    fn holds_up(&self) -> Option<Duration> {
        match self.phase {
            Phase::Down(not_before) => clock::left(not_before),
            Phase::Up(_) => None,
        }
    }
}

/// A socket that leads there. The system says at once whether there is one.
fn connect(way: &Way) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&way.place)?;
    Ok(socket)
}

impl Link for Dialled {
    fn local(&self) -> Address {
        Address::Local(0)
    }

    fn datagram_bytes_max(&self) -> usize {
        DATAGRAM_BYTES_MAX
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        if to != self.way.address || !is_sendable(datagram) {
            return Sent::Failed;
        }
        let mut outgoing = self.outgoing();
        let number = self.number.load(Ordering::SeqCst);
        self.ask(&mut outgoing);
        self.open(&mut outgoing);
        let pushed = match &outgoing.phase {
            Phase::Down(_) => None,
            Phase::Up(pipe) => Some((Arc::clone(pipe), pipe.push(datagram))),
        };
        if let Some((_, Err(_))) = pushed {
            outgoing.counters.malformed += 1;
            self.lose(&mut outgoing);
        }
        let is_news = self.number.load(Ordering::SeqCst) != number;
        drop(outgoing);
        let sent = match pushed {
            Some((pipe, Ok(Pushed::Yes))) if pipe.nudge() => Sent::Yes,
            Some((pipe, Ok(Pushed::Yes))) => {
                self.on_dead(&pipe);
                Sent::Full
            }
            Some((_, Ok(Pushed::Full) | Err(_))) | None => Sent::Full,
        };
        if is_news {
            self.wake(); // for it to watch the new socket, or tell of the old one
        }
        sent
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let incoming = &mut *self.incoming();
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
            self.look(incoming);
            let broken = incoming.tell_break();
            if let Some(received) = broken.or_else(|| self.pick_up(incoming, buffer)) {
                return received;
            }
            if std::mem::take(&mut incoming.is_busy) && matches!(incoming.phase, Phase::Up(_)) {
                self.wait_briefly(incoming, left);
                continue;
            }
            let pause = incoming.holds_up().filter(|_| incoming.is_broken);
            self.poll(incoming, left.into_iter().chain(pause).min());
        }
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        let incoming = &mut *self.incoming();
        self.look(incoming);
        let broken = incoming.tell_break();
        broken.or_else(|| self.pick_up(incoming, buffer)).unwrap_or(Received::Nothing)
    }

    /// All that has come of one peer, and what is answered together goes to one.
    fn gives_all(&self) -> bool {
        true
    }

    fn streams(&self) -> StreamCounters {
        self.outgoing().counters
    }

    fn wake(&self) {
        if self.is_rung.swap(true, Ordering::SeqCst) {
            return;
        }
        match self.sleeps.load(Ordering::SeqCst) {
            AWAKE => {}
            AT_WORD => {
                if let Phase::Up(pipe) = self.outgoing().phase.clone() {
                    pipe.rouse();
                }
            }
            _ => {
                let _ = self.bell.wake(); // fails only if it is rung already
            }
        }
    }
}
