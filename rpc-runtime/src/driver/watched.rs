//! A world around another one, for tests: it can run out of threads, its links can close or panic,
//! and whatever is asked of it is told to whoever watches.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Gate, Link, LinkError, NoThread, Received, Sent, StreamCounters, World};
use crate::address::Address;
use crate::ids::Incarnation;
use crate::random::Rng;
use crate::time::Instant;

/// Who watches, and decides.
pub(crate) trait Watch: Send + Sync {
    /// Whether there is a thread for what is called `name`.
    fn has_thread(&self, _name: &str) -> bool {
        true
    }

    /// What the clock shows to those who look at it now.
    fn now(&self, now: Instant) -> Instant {
        now
    }

    /// Something that may take its time is about to be asked.
    fn asked(&self, _what: &'static str) {}

    /// Whether links are closed from here on.
    fn is_closed(&self) -> bool {
        false
    }
}

/// What is watched: a world, a gate or a link.
struct Watched<T: ?Sized> {
    inner: Arc<T>,
    watch: Arc<dyn Watch>,
}

/// Has `watch` watch whatever is asked of `world`.
pub(crate) fn watched(world: Arc<dyn World>, watch: Arc<impl Watch + 'static>) -> Arc<dyn World> {
    Arc::new(Watched { inner: world, watch })
}

impl<T: ?Sized> Watched<T> {
    fn wrap<U: ?Sized>(&self, inner: Arc<U>) -> Watched<U> {
        Watched { inner, watch: Arc::clone(&self.watch) }
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl World for Watched<dyn World> {
    fn now(&self) -> Instant {
        self.watch.now(self.inner.now())
    }

    fn rng(&self) -> Box<dyn Rng> {
        self.inner.rng()
    }

    fn incarnation(&self) -> Incarnation {
        self.inner.incarnation()
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(self.wrap(self.inner.gate()))
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<(), NoThread> {
        self.watch.asked("World::spawn");
        if self.watch.has_thread(name) {
            self.inner.spawn(name, body)
        } else {
            Err(NoThread("the test has none left".to_owned()))
        }
    }

    fn processors(&self) -> usize {
        self.inner.processors()
    }

    fn yield_now(&self) {
        self.watch.asked("World::yield_now");
        self.inner.yield_now();
    }

    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError> {
        let link = self.inner.listen(place)?;
        Ok(Arc::new(self.wrap(link)))
    }

    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        self.watch.asked("World::dial");
        let (link, to) = self.inner.dial(place)?;
        Ok((Arc::new(self.wrap(link)), to))
    }
}

impl Gate for Watched<dyn Gate> {
    fn wait(&self, until: Option<Instant>) {
        self.watch.asked("Gate::wait");
        self.inner.wait(until);
    }

    fn open(&self) {
        self.watch.asked("Gate::open");
        self.inner.open();
    }
}

impl Link for Watched<dyn Link> {
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

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        self.watch.asked("Link::send");
        self.inner.send(to, datagram)
    }

    fn further_ways(&self, count: usize) -> Vec<Arc<dyn Link>> {
        let ways = self.inner.further_ways(count).into_iter();
        ways.map(|way| Arc::new(self.wrap(way)) as Arc<dyn Link>).collect()
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        self.watch.asked("Link::receive");
        if self.watch.is_closed() {
            return Received::Closed;
        }
        self.inner.receive(buffer, until)
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        self.watch.asked("Link::take");
        if self.watch.is_closed() {
            return Received::Closed;
        }
        self.inner.take(buffer)
    }

    fn streams(&self) -> StreamCounters {
        self.inner.streams()
    }

    fn holds(&self) -> bool {
        self.inner.holds()
    }

    fn wake(&self) {
        self.watch.asked("Link::wake");
        self.inner.wake();
    }
}

/// A switch that is thrown once.
#[derive(Debug, Default)]
pub(crate) struct Switch(AtomicBool);

impl Switch {
    pub(crate) fn throw(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_thrown(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
