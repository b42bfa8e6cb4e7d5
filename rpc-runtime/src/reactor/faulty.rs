//! A world whose network has faults: every datagram that leaves an endpoint is at the mercy of a
//! fault injector.
//!
//! Responsible for holding copies back and sending them when they are due, by one postman thread;
//! what happens to a datagram is decided in [`crate::fault`]. Wraps any world; its clock, threads
//! and gates are used as they are. Where both ends live in such a world both directions suffer, each
//! datagram once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address::Address;
use crate::driver::{Gate, Link, LinkError, NoThread, Received, Sent, StreamCounters, World};
use crate::fault::{Faults, Injected, Injector};
use crate::ids::Incarnation;
use crate::random::Rng;
use crate::reactor::random::SplitMix;
use crate::time::{Duration, Instant};

/// Copies held back at once; what comes on top is dropped, as a router would.
const LETTERS_MAX: usize = 65_536;

/// Buffers kept for copies to come.
const SPARE_BUFFERS_MAX: usize = 1_024;

/// How long the postman waits for another letter before it goes home.
const POSTMAN_PATIENCE: Duration = Duration::from_secs(1);

/// A world with an unreliable network.
#[derive(Clone, Debug)]
pub struct Faulty {
    post: Arc<Post>,
}

impl Faulty {
    /// Puts `faults` between `world` and those who use it. Equal seeds make equal decisions, as far
    /// as the same datagrams come in the same order.
    #[must_use]
    pub fn new(world: Arc<dyn World>, faults: Faults, seed: u64) -> Self {
        let injector = Injector::new(faults, Box::new(SplitMix::new(seed)));
        let bag = Bag {
            injector,
            letters: BinaryHeap::new(),
            posted: 0,
            spare: Vec::new(),
            postman: Postman::AtHome,
        };
        let gate = world.gate();
        Self { post: Arc::new(Post { world, gate, bag: Mutex::new(bag) }) }
    }

    /// Puts other faults in force, for what is sent from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.post.bag().injector.set_faults(faults);
    }

    /// What was done to datagrams so far.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.post.bag().injector.injected()
    }

    /// The same world, for those who want one: [`Server::bind_in`](crate::Server::bind_in).
    #[must_use]
    pub fn world(&self) -> Arc<dyn World> {
        Arc::new(self.clone())
    }

    fn wrap(&self, inner: Arc<dyn Link>) -> Arc<dyn Link> {
        Arc::new(FaultyLink { inner, post: Arc::clone(&self.post) })
    }
}

impl World for Faulty {
    fn now(&self) -> Instant {
        self.post.world.now()
    }

    fn rng(&self) -> Box<dyn Rng> {
        self.post.world.rng()
    }

    fn incarnation(&self) -> Incarnation {
        self.post.world.incarnation()
    }

    fn unix_ms(&self) -> u64 {
        self.post.world.unix_ms()
    }

    fn gate(&self) -> Arc<dyn Gate> {
        self.post.world.gate()
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<(), NoThread> {
        self.post.world.spawn(name, body)
    }

    fn processors(&self) -> usize {
        self.post.world.processors()
    }

    fn yield_now(&self) {
        self.post.world.yield_now();
    }

    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError> {
        self.post.world.listen(place).map(|link| self.wrap(link))
    }

    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        self.post.world.dial(place).map(|(link, to)| (self.wrap(link), to))
    }
}

/// A link of a world with faults: sending goes by the post.
#[derive(Debug)]
struct FaultyLink {
    inner: Arc<dyn Link>,
    post: Arc<Post>,
}

impl Link for FaultyLink {
    fn local(&self) -> Address {
        self.inner.local()
    }

    fn locals(&self) -> Vec<Address> {
        self.inner.locals()
    }

    fn datagram_bytes_max(&self) -> usize {
        self.inner.datagram_bytes_max()
    }

    fn unbroken_bytes_max(&self) -> usize {
        self.inner.unbroken_bytes_max()
    }

    fn further_ways(&self, count: usize) -> Vec<Arc<dyn Link>> {
        let wrap = |inner| Self { inner, post: Arc::clone(&self.post) };
        let ways = self.inner.further_ways(count).into_iter();
        ways.map(|way| Arc::new(wrap(way)) as Arc<dyn Link>).collect()
    }

    /// What the injector loses counts as sent, as it would on a wire.
    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        self.post.take(&self.inner, to, datagram)
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        self.inner.receive(buffer, until)
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        self.inner.take(buffer)
    }

    fn gives_all(&self) -> bool {
        self.inner.gives_all()
    }

    fn streams(&self) -> StreamCounters {
        self.inner.streams()
    }

    fn holds(&self) -> bool {
        self.inner.holds()
    }

    fn wake(&self) {
        self.inner.wake();
    }
}

/// What the links of one faulty world share.
#[derive(Debug)]
struct Post {
    world: Arc<dyn World>,
    /// Where the postman waits.
    gate: Arc<dyn Gate>,
    bag: Mutex<Bag>,
}

#[derive(Debug)]
struct Bag {
    injector: Injector,
    letters: BinaryHeap<Reverse<Letter>>,
    /// Numbers letters, so that two that are due at once leave in the order they came.
    posted: u64,
    spare: Vec<Vec<u8>>,
    postman: Postman,
}

/// What the postman does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Postman {
    /// There is no thread.
    AtHome,
    /// It looks into the bag before it waits.
    Walks,
    /// It waits until this time.
    Waits(Instant),
}

/// A copy that is held back.
#[derive(Debug)]
struct Letter {
    due: Instant,
    number: u64,
    link: Arc<dyn Link>,
    to: Address,
    bytes: Vec<u8>,
}

impl Letter {
    const fn order(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

impl PartialEq for Letter {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Letter {}

impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Letter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl Post {
    fn bag(&self) -> MutexGuard<'_, Bag> {
        self.bag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due, keeps what is not.
    fn take(self: &Arc<Self>, link: &Arc<dyn Link>, to: Address, datagram: &[u8]) -> Sent {
        let now = self.world.now();
        let mut bag = self.bag();
        let plan = bag.injector.plan(now, datagram);
        if plan.is_untouched(now) {
            drop(bag);
            return link.send(to, datagram);
        }
        let mut at_once: [Option<Vec<u8>>; 2] = [None, None];
        for (place, passage) in at_once.iter_mut().zip(plan.passages()) {
            let mut bytes = bag.spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.extend_from_slice(datagram);
            if let Some(damage) = &passage.damage {
                damage.apply(&mut bytes);
            }
            if passage.at <= now {
                *place = Some(bytes);
            } else {
                bag.hold_back(passage.at, link, to, bytes);
            }
        }
        let errand = bag.errand_for_postman();
        drop(bag);
        for bytes in at_once.into_iter().flatten() {
            let _ = link.send(to, &bytes); // one that did not leave is one more that was lost
            self.bag().keep(bytes);
        }
        match errand {
            Errand::None => {}
            Errand::Wake => self.gate.open(),
            Errand::Hire => {
                let post = Arc::clone(self);
                let hired = self.world.spawn("rpc-postman", Box::new(move || post.deliver()));
                if hired.is_err() {
                    self.bag().postman = Postman::AtHome; // whoever posts next tries again
                }
            }
        }
        Sent::Yes
    }

    /// The postman: sends every letter when it is due.
    fn deliver(&self) {
        let mut patience_ends = None;
        loop {
            let now = self.world.now();
            let mut bag = self.bag();
            if bag.letters.peek().is_some_and(|Reverse(letter)| letter.due <= now) {
                let Some(Reverse(letter)) = bag.letters.pop() else { continue };
                drop(bag);
                let _ = letter.link.send(letter.to, &letter.bytes);
                self.bag().keep(letter.bytes);
                patience_ends = None;
                continue;
            }
            let until = match bag.letters.peek() {
                Some(Reverse(letter)) => letter.due,
                None => *patience_ends.get_or_insert(now + POSTMAN_PATIENCE),
            };
            if bag.letters.is_empty() && until <= now {
                bag.postman = Postman::AtHome;
                return;
            }
            bag.postman = Postman::Waits(until);
            drop(bag);
            self.gate.wait(Some(until));
            self.bag().postman = Postman::Walks;
        }
    }
}

/// What a sender has to do about the postman.
enum Errand {
    None,
    Wake,
    Hire,
}

impl Bag {
    fn hold_back(&mut self, due: Instant, link: &Arc<dyn Link>, to: Address, bytes: Vec<u8>) {
        if self.letters.len() == LETTERS_MAX {
            return;
        }
        let number = self.posted;
        self.posted += 1;
        let link = Arc::clone(link);
        self.letters.push(Reverse(Letter { due, number, link, to, bytes }));
    }

    /// Sees to it that the postman is up in time for the first letter.
    fn errand_for_postman(&mut self) -> Errand {
        let Some(Reverse(first)) = self.letters.peek() else { return Errand::None };
        match self.postman {
            Postman::AtHome => {
                self.postman = Postman::Walks;
                Errand::Hire
            }
            Postman::Waits(until) if first.due < until => {
                self.postman = Postman::Walks;
                Errand::Wake
            }
            Postman::Waits(_) | Postman::Walks => Errand::None,
        }
    }

    fn keep(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX {
            self.spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
