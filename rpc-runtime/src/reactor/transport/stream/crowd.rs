//! All streams of a listener, by whichever thread they are received, and what all of them are held to.
//!
//! When there are as many as may be, hosts share them evenly. A host alone may have them all. One that
//! comes later takes them from who has most, the one that is idle longest first, until both have as many:
//! sessions outlive streams, and a client opens another with its next call. Knows only whose streams
//! there are, since when they are idle, and how many each thread has.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mio::Waker;
use socket2::Socket;

use super::super::{IS_NAMED, system};
use super::QUEUE_BYTES_MAX;
use super::peers::{Place, Room, Stream};
use crate::address::{Address, Host};
use crate::driver::StreamCounters;
use crate::time::{Duration, Instant};

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

/// The counter for what became of a stream.
pub(super) type Why = fn(&mut StreamCounters) -> &mut u64;

pub(super) const OPENED: Why = |counters| &mut counters.opened;
pub(super) const REFUSED: Why = |counters| &mut counters.refused;
pub(super) const ENDED: Why = |counters| &mut counters.ended;
pub(super) const MALFORMED: Why = |counters| &mut counters.malformed;
pub(super) const STALLED: Why = |counters| &mut counters.stalled;
pub(super) const CROWDED: Why = |counters| &mut counters.crowded;
pub(super) const OVERRUN: Why = |counters| &mut counters.overrun;

/// Numbers callers that have no address, over all listeners of the process.
static CALLERS: AtomicU32 = AtomicU32::new(1);

/// Who calls by a Unix socket: a number of its own, behind the user's.
pub(in crate::reactor::transport) fn caller(socket: &Socket) -> Address {
    let user = u64::from(system::user_of(socket.as_fd()).unwrap_or(0)) << 32;
    let number = u64::from(CALLERS.fetch_add(1, Ordering::Relaxed));
    Address::Local((user | number) & !IS_NAMED)
}

/// What all threads share that receive by a listener's streams.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) bounds: Bounds,
    pub(super) room: Room,
    streams: RwLock<Streams>,
    counters: Mutex<StreamCounters>,
    boxes: RwLock<Vec<Arc<Letterbox>>>,
    /// Numbers streams.
    accepted: AtomicU64,
}

#[derive(Debug, Default)]
struct Streams {
    /// By who calls.
    callers: BTreeMap<Address, Arc<Stream>>,
    /// How many each host has; none that has none.
    hosts: BTreeMap<Host, usize>,
}

/// What one of those threads is told by others.
#[derive(Debug)]
pub(super) struct Letterbox {
    letters: Mutex<Letters>,
    pub(super) bell: Waker,
    /// How many streams are the thread's.
    streams: AtomicUsize,
}

#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Streams that are the thread's from now on.
    pub(super) newcomers: Vec<Arc<Stream>>,
    /// Streams for whose peers something began to wait.
    pub(super) backlogs: Vec<Place>,
}

impl Letterbox {
    pub(super) fn new(bell: Waker) -> Self {
        Self { letters: Mutex::default(), bell, streams: AtomicUsize::new(0) }
    }

    pub(super) fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn post(&self, write: impl FnOnce(&mut Letters)) {
        write(&mut self.letters());
        let _ = self.bell.wake(); // fails only if it is rung already
    }
}

impl Crowd {
    pub(super) fn new(bounds: Bounds) -> Self {
        let room = Room {
            queued_bytes: AtomicUsize::new(0),
            stream_bytes_max: bounds.stream_bytes_max,
            all_bytes_max: bounds.all_bytes_max,
        };
        Self {
            bounds,
            room,
            streams: RwLock::default(),
            counters: Mutex::default(),
            boxes: RwLock::default(),
            accepted: AtomicU64::new(0),
        }
    }

    fn streams(&self) -> RwLockReadGuard<'_, Streams> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams_mut(&self) -> RwLockWriteGuard<'_, Streams> {
        self.streams.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn counters_mut(&self) -> MutexGuard<'_, StreamCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> StreamCounters {
        *self.counters_mut()
    }

    pub(super) fn count(&self, why: Why) {
        *why(&mut self.counters_mut()) += 1;
    }

    /// One more thread receives; says which one it is.
    pub(super) fn join(&self, letters: &Arc<Letterbox>) -> usize {
        let mut boxes = self.boxes.write().unwrap_or_else(PoisonError::into_inner);
        boxes.push(Arc::clone(letters));
        boxes.len() - 1
    }

    /// How the thread `way` is told something.
    pub(super) fn letterbox(&self, way: usize) -> Arc<Letterbox> {
        let boxes = self.boxes.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&boxes[way])
    }

    /// The thread that has the fewest streams.
    fn freest(&self) -> usize {
        let boxes = self.boxes.read().unwrap_or_else(PoisonError::into_inner);
        let streams = |way: &usize| boxes[*way].streams.load(Ordering::Relaxed);
        (0..boxes.len()).min_by_key(streams).expect("whoever asks has one")
    }

    /// The stream by which somebody calls.
    pub(super) fn find(&self, caller: Address) -> Option<Arc<Stream>> {
        self.streams().callers.get(&caller).cloned()
    }

    /// Whether there are as many streams as may be.
    pub(super) fn is_full(&self) -> bool {
        self.streams().callers.len() >= self.bounds.streams_max
    }

    /// A stream is there, for the thread that has the fewest.
    pub(super) fn enter(&self, socket: Socket, address: Address, now: Instant) -> Arc<Stream> {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        let way = self.freest();
        let stream = Arc::new(Stream::new(socket, address, (way, number), now));
        let mut streams = self.streams_mut();
        let former = streams.callers.get(&address).cloned();
        if let Some(former) = former
            && streams.remove(&former)
        {
            self.left(&former, ENDED); // it has, if its caller begins another
            former.shut();
        }
        streams.callers.insert(address, Arc::clone(&stream));
        *streams.hosts.entry(address.host()).or_default() += 1;
        drop(streams);
        self.letterbox(way).streams.fetch_add(1, Ordering::Relaxed);
        stream
    }

    /// A stream is closed, and counts for what it was closed for, once.
    pub(super) fn leave(&self, stream: &Arc<Stream>, why: Why) {
        let is_there = self.streams_mut().remove(stream);
        if is_there {
            self.left(stream, why);
        }
    }

    fn left(&self, stream: &Stream, why: Why) {
        self.count(why);
        self.letterbox(stream.way).streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// Makes room for a stream of `newcomer`, if another one is to give way. Whose thread receives by
    /// that one finds its end.
    pub(super) fn make_room(&self, newcomer: Host, now: Instant) {
        let idle = self.streams().who_gives_way(newcomer, now, self.bounds.patience);
        if let Some(idle) = idle {
            self.leave(&idle, CROWDED);
            idle.shut();
        }
    }

    /// How many streams each host has.
    #[cfg(test)]
    pub(super) fn hosts(&self) -> BTreeMap<Host, usize> {
        self.streams().hosts.clone()
    }
}

impl Streams {
    /// Whether the stream was there.
    fn remove(&mut self, stream: &Arc<Stream>) -> bool {
        let found = self.callers.get(&stream.address);
        if !found.is_some_and(|found| Arc::ptr_eq(found, stream)) {
            return false;
        }
        self.callers.remove(&stream.address);
        let host = stream.address.host();
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
        true
    }

    /// Which stream is to be closed for one of `newcomer`, if any is: of the host that has most of them
    /// the one that is idle longest; where that is the newcomer's, only if it is idle for long.
    fn who_gives_way(
        &self,
        newcomer: Host,
        now: Instant,
        patience: Duration,
    ) -> Option<Arc<Stream>> {
        let own = self.hosts.get(&newcomer).copied().unwrap_or(0);
        let (&richest, &most) = self.hosts.iter().max_by_key(|(_, count)| **count)?;
        let from = if most > own + 1 { richest } else { newcomer };
        let of_host = self.callers.values().filter(|stream| stream.address.host() == from);
        let idle = of_host.min_by_key(|stream| (stream.heard(), stream.number))?;
        let is_idle = now.since(idle.heard()) >= patience;
        (from != newcomer || is_idle).then(|| Arc::clone(idle))
    }
}
