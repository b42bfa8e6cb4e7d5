//! A server that runs: its handle, its end, and the drain before the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::address::Address;
use crate::driver::{Link, StreamCounters};
use crate::error::CallError;
use crate::ids::{Incarnation, ServerId};
use crate::protocol::ServerCounters;
use crate::server::errands::Errands;
use crate::server::exports::misconfigured;
use crate::server::figures::Figures;
use crate::server::health::Health;
use crate::server::receiver::Receiving;
use crate::server::registration::{Exported, Lease, Registering, Standing};
use crate::server::state::Shared;
use crate::server::vitals::Vitals;
use crate::time::{Duration, Instant};

/// How long a drained server waits for its last replies to be acknowledged: idle clients do so after
/// [`crate::protocol::Limits::ack_delay`], 100 ms; one that is gone never does.
const LINGER: Duration = Duration::from_millis(500);

/// How long [`Running::stop`] waits for a handler that runs in a receiving thread.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How long a thread takes to send what it has in its hands; tried again until it has.
const SENT_SOON: Duration = Duration::from_micros(200);

/// A server with its threads still to come.
#[derive(Debug)]
pub(super) struct Started {
    running: Running,
    /// One for each lane, until they run.
    receiving: Vec<Receiving>,
    pub(super) registering: Vec<Registering>,
}

impl Started {
    pub(super) fn new(
        shared: Arc<Shared>,
        mut exported: Exported,
        urls: Vec<String>,
        registering: Vec<Registering>,
    ) -> Self {
        let receiving = Receiving::all(&shared);
        let local = shared.lock().lanes.links().next().map(|link| link.local());
        let local = local.expect("a server has its link until it is stopped");
        let vitals = exported.vitals.clone();
        let life = Arc::new(Life { shared, vitals, leases: Mutex::default() });
        exported.drainer = Drainer(Arc::downgrade(&life));
        let running = Running { life, local, urls, exported };
        Self { running, receiving, registering }
    }

    /// Has threads of their own receive.
    ///
    /// # Errors
    ///
    /// There are not enough.
    pub(super) fn receive(&mut self) -> Result<(), CallError> {
        let receiving = self.receive_but_first()?;
        self.spawn("rpc-receive", receiving)
    }

    /// The same, but leaves the first lane to the caller's thread.
    pub(super) fn receive_but_first(&mut self) -> Result<Receiving, CallError> {
        // What is left of them when one has no thread ends here, so that nobody waits for it.
        let mut all = std::mem::take(&mut self.receiving).into_iter();
        let first = all.next().expect("only one of spawn and serve takes them");
        for (receiving, number) in all.zip(1..) {
            self.spawn(&format!("rpc-receive-{number}"), receiving)?;
        }
        Ok(first)
    }

    fn spawn(&self, name: &str, receiving: Receiving) -> Result<(), CallError> {
        let started = self.running.life.shared.world.spawn(name, Box::new(move || receiving.run()));
        started.map_err(|error| misconfigured(error.to_string()))
    }

    /// Enters the server wherever it is to be registered; what fails stops it again.
    pub(super) fn register(self) -> Result<Running, CallError> {
        for registering in &self.registering {
            let lease = registering.register(&self.running.exported)?;
            self.running.life.leases().push(Arc::from(lease));
        }
        if self.running.life.shared.lock().is_stopping {
            self.running.life.deregister(); // drained while it was entered
        }
        Ok(self.running)
    }
}

/// A server that runs in threads of its own. Dropping it stops the server.
#[derive(Debug)]
#[must_use = "a server that is dropped stops"]
pub struct Running {
    life: Arc<Life>,
    local: Address,
    urls: Vec<String>,
    exported: Exported,
}

/// What ends when a server does.
#[derive(Debug)]
struct Life {
    shared: Arc<Shared>,
    vitals: Vitals,
    leases: Mutex<Vec<Arc<dyn Lease>>>,
}

/// Has a server drain that somebody else holds: a directory, which was asked for it.
#[derive(Clone, Debug, Default)]
pub struct Drainer(Weak<Life>);

impl Drainer {
    /// As [`Running::drain`]; nothing if the server has ended.
    pub fn drain(&self, within: Duration) -> Option<Drained> {
        self.0.upgrade().map(|life| life.drain(within))
    }
}

/// What became of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "calls may have been left"]
#[non_exhaustive]
pub struct Drained {
    /// Handlers that were still running when the time was over. They were told that they are
    /// cancelled; nobody hears what they return.
    pub running: usize,
    /// Calls that never began.
    pub queued: usize,
}

impl Drained {
    /// Whether every accepted call ended in time.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.running == 0 && self.queued == 0
    }
}

impl Running {
    /// The server's URL, for [`connect`](crate::Channel::connect). That of a server at all addresses
    /// (`0.0.0.0`) leads to it from its own host.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls.first().cloned().unwrap_or_default()
    }

    /// All URLs of a server at several addresses.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The server's address.
    #[must_use]
    pub const fn addr(&self) -> Address {
        self.local
    }

    /// The server over all its lives.
    #[must_use]
    pub const fn id(&self) -> ServerId {
        self.exported.id
    }

    /// This life of the server.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.exported.incarnation
    }

    /// How the server stands wherever it is registered, in the order of
    /// [`Server::register`](crate::Server::register): whether clients can find it there.
    #[must_use]
    pub fn registrations(&self) -> Vec<Standing> {
        self.life.leases().iter().map(|lease| lease.standing()).collect()
    }

    /// How many threads receive: as many as the server was told to have, or fewer where its transport has
    /// no more ways in.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.life.shared.lock().lanes.len()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> ServerCounters {
        self.life.shared.counters()
    }

    /// The names of the services that it exports.
    pub fn services(&self) -> impl Iterator<Item = &'static str> {
        self.exported.interfaces.iter().map(|interface| interface.name())
    }

    /// Whether a service can do what it promises, as was said last; nothing if it exports none of that
    /// name.
    #[must_use]
    pub fn health(&self, service: &str) -> Option<Health> {
        let number = self.services().position(|name| name == service)?;
        Some(self.exported.vitals.health(number))
    }

    /// What a service of the server has done so far; nothing if it exports none of that name.
    #[must_use]
    pub fn figures(&self, service: &str) -> Option<Figures> {
        let number = self.services().position(|name| name == service)?;
        Some(self.life.shared.figures(number))
    }

    /// Says whether a service can do what it promises: one that cannot ([`Health::NotServing`]) is given to
    /// no client by a binder until it can again. Binders are told at once, and again when the server
    /// renews its lease; calls that come all the same are served. Whoever asks the server itself is told,
    /// too ([`HealthCheck`](crate::server::HealthCheck)).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured): it exports no service of that name.
    pub fn set_health(&self, service: &str, health: Health) -> Result<(), CallError> {
        let wellbeing = self.exported.vitals.wellbeing();
        if !wellbeing.set(service, health) {
            let names: Vec<_> = wellbeing.names().collect();
            let names = names.join(", ");
            return Err(misconfigured(format!("no service {service:?} is exported here: {names}")));
        }
        self.life.all_leases().iter().for_each(|lease| lease.tell());
        Ok(())
    }

    /// What became of the streams by which clients came, where they come by streams.
    #[must_use]
    pub fn streams(&self) -> StreamCounters {
        let link = self.life.shared.lock().lanes.first().link.clone();
        link.map_or_else(StreamCounters::default, |link| link.streams())
    }

    /// Ends gracefully: tells the binders that it drains, and the clients to go elsewhere, refuses new calls, waits at most `within` for those that it accepted (for large
    /// replies as long as their callers take them, and a moment for the last replies to be
    /// acknowledged: one that is lost can be sent again), and stops.
    pub fn drain(&self, within: Duration) -> Drained {
        self.life.drain(within)
    }

    /// Blocks until the server has stopped: because a binder was asked to have it drain, or another thread
    /// ended it.
    pub fn wait(&self) {
        self.await_receiver(None);
    }

    /// Ends at once. Handlers that run are told that they are cancelled; their callers hear nothing.
    /// The address is free when this returns, unless a handler in a receiving thread does not end.
    pub fn stop(&self) {
        self.life.stop();
    }

    /// Waits until nobody receives any more.
    pub(super) fn await_receiver(&self, until: Option<Instant>) {
        self.life.await_receiver(until);
    }
}

impl Life {
    fn drain(&self, within: Duration) -> Drained {
        self.vitals.wellbeing().drain();
        self.all_leases().iter().for_each(|lease| lease.drain());
        let shared = &self.shared;
        let until = shared.world.now() + within;
        let mut lingers_until = None;
        let mut errands = Errands::default();
        loop {
            let (mut state, now) = shared.turn();
            if !state.is_draining && !state.is_stopping {
                state.is_draining = true;
                state.core.drain(now, within);
            }
            let wake = state.drain(now, shared, &mut errands);
            errands.leave_shut(&shared.drained); // or this thread would wake itself for ever
            state.lanes.wake_first(wake, &mut errands);
            let mut wait_until = until;
            let mut is_over = state.is_stopping || now >= until;
            if state.core.is_pouring() {
                lingers_until = None; // a large reply leaves, for as long as somebody takes it
            } else if state.core.is_drained() {
                wait_until = *lingers_until.get_or_insert_with(|| (now + LINGER).min(until));
                is_over |= state.core.stored_bytes() == 0 || now >= wait_until;
            }
            let (queued, running) = state.left();
            drop(state);
            errands.run(shared);
            if is_over {
                self.stop();
                return Drained { running, queued };
            }
            shared.drained.wait(Some(wait_until));
        }
    }

    fn stop(&self) {
        self.deregister();
        let links: Vec<_> = self.shared.lock().lanes.links().map(Arc::downgrade).collect();
        if self.begin_end() {
            self.await_end(&links);
        }
    }

    /// Has all threads end as soon as they can; says whether the caller can wait for those that receive,
    /// being none of them.
    fn begin_end(&self) -> bool {
        let shared = &self.shared;
        let mut errands = Errands::default();
        let mut state = shared.lock();
        state.stop(shared, &mut errands);
        let is_receiving_thread = state.lanes.is_any_mine();
        drop(state);
        errands.run(shared);
        !is_receiving_thread
    }

    /// Waits until nobody receives any more, and nobody sends: a worker may be about to.
    fn await_end(&self, links: &[Weak<dyn Link>]) {
        let world = &self.shared.world;
        let until = world.now() + STOP_PATIENCE;
        self.await_receiver(Some(until));
        let gate = world.gate();
        let is_held = || links.iter().any(|link| link.strong_count() > 0);
        while is_held() && world.now() < until {
            gate.wait(Some(world.now() + SENT_SOON)); // nobody tells when it has sent
        }
    }

    /// Waits until nobody receives any more.
    fn await_receiver(&self, until: Option<Instant>) {
        let shared = &self.shared;
        let is_late = || until.is_some_and(|until| shared.world.now() >= until);
        while !shared.lock().lanes.are_gone() && !is_late() {
            shared.ended.wait(until);
        }
        shared.ended.open(); // somebody else may wait for the same
    }

    fn deregister(&self) {
        let leases = std::mem::take(&mut *self.leases());
        drop(leases); // a call to each binder, made without the lock
    }

    /// The leases, for a call to each binder that is made without the lock.
    fn all_leases(&self) -> Vec<Arc<dyn Lease>> {
        self.leases().clone()
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Lease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A thread that unwinds does not wait: its world may have ended, and its clock with it. Then
        // whatever is asked of that world unwinds too, which must not leave a destructor.
        let is_unwinding = std::thread::panicking();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if is_unwinding {
                self.life.begin_end();
            } else {
                self.stop();
            }
        }));
    }
}
