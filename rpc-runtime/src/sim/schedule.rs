//! The scheduler: one virtual time, and everything that happens in it, one thing after another.
//!
//! [`Control`] owns the hosts, the network, the trace and the threads' states, and decides what
//! happens next. Each host is either a [`Node`], driven right here, or a group of threads, of
//! which it only decides whose turn it is; handing the baton over belongs to `threads`. A host's
//! life ends with a crash, and its next one starts empty.

mod failure;
mod turns;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

pub use failure::{Ended, Failure, FailureKind};

use super::clock::HostClock;
use super::hosts::HostId;
use super::net::{Due, INBOUND_DATAGRAMS_MAX, Ledger, Net, Order, Timers};
use super::node::Node;
use super::random::{Purpose, SimRng};
use super::threads::{Endpoint, HostWorld, Shared, ThreadId, Threads};
use super::trace::{Event, Trace};
use crate::address::Address;
use crate::driver::Sent;
use crate::ids::Incarnation;
use crate::random::Rng as _;
use crate::time::{Duration, Instant};

/// Something to do at a moment of the world's time.
type Action = Box<dyn FnOnce(&mut Control) + Send>;

/// A simulated world between two moments: what tests look at and change.
///
/// Reached through [`Simulation::with`](super::Simulation::with), or as the argument of an action
/// given to [`Control::at`]. All its times are the world's.
pub struct Control {
    pub(super) seed: u64,
    now: Instant,
    order: Order,
    /// Everything between the hosts.
    pub net: Net,
    /// The record of the run.
    pub trace: Trace,
    hosts: Vec<Host>,
    names: BTreeMap<String, HostId>,
    timers: Timers,
    actions: BTreeMap<Due, Action>,
    pub(super) threads: Threads,
    pub(super) run: Run,
    still: u64,
    /// Counts everything that happens, for the watchdog to look at without the lock.
    pulse: Arc<AtomicU64>,
    crashes: u64,
    scratch: Vec<u8>,
    shared: Weak<Shared>,
}

/// How long the run under way goes on, and whether it still can.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) goal: Goal,
    pub(super) limit: Instant,
    pub(super) ended: Option<Ended>,
    pub(super) failure: Option<Failure>,
    /// The world is being taken down: threads unwind, nothing else happens.
    pub(super) stopping: bool,
    /// A thread never came back: nobody is given the baton again.
    pub(super) abandoned: bool,
}

/// What a run waits for, besides its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Goal {
    /// Nothing.
    #[default]
    Limit,
    /// That nothing is left to happen.
    Quiet,
    /// That every foreground thread has finished.
    Foreground,
}

/// One simulated host.
struct Host {
    name: String,
    is_up: bool,
    life: u32,
    clock: HostClock,
    resident: Resident,
    endpoints: BTreeMap<u16, Endpoint>,
    next_port: u16,
    inbound_datagrams_max: usize,
    generators: u64,
    incarnations: u32,
}

impl Host {
    fn receives_at(&self, port: u16) -> bool {
        match self.resident {
            Resident::Node(_) => port == 0,
            Resident::Nobody | Resident::Threads(_) => self.endpoints.contains_key(&port),
        }
    }
}

/// Who lives on a host.
enum Resident {
    Nobody,
    Node(Box<dyn Node>),
    Threads(Arc<HostWorld>),
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Thread(ThreadId),
    Main(Ended),
}

/// Owners of timers: nodes by host, threads by number, told apart by the lowest bit.
enum Owner {
    Node(usize),
    Thread(ThreadId),
}

impl Owner {
    fn number(&self) -> usize {
        match self {
            Self::Node(host) => host * 2,
            Self::Thread(thread) => thread * 2 + 1,
        }
    }

    fn of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Node(number / 2) } else { Self::Thread(number / 2) }
    }
}

impl Control {
    pub(super) fn new(seed: u64, pulse: Arc<AtomicU64>, shared: Weak<Shared>) -> Self {
        Self {
            pulse,
            seed,
            now: Instant::START,
            order: Order::default(),
            net: Net::new(seed),
            trace: Trace::new(0),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            timers: Timers::default(),
            actions: BTreeMap::new(),
            threads: Threads::default(),
            run: Run::default(),
            still: 0,
            crashes: 0,
            scratch: Vec::new(),
            shared,
        }
    }

    /// The world's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The seed that everything follows from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The `index`th generator for what a test decides.
    #[must_use]
    pub fn scenario_rng(&self, index: u64) -> SimRng {
        SimRng::new(self.seed, Purpose::Scenario, index)
    }

    /// Adds a host, up and empty. Its name is what stands behind `sim://`.
    ///
    /// # Panics
    ///
    /// When the name is taken, or contains a colon, or there are 65,536 hosts already.
    pub fn add_host(&mut self, name: &str) -> HostId {
        let id = HostId(u16::try_from(self.hosts.len()).expect("at most 65,536 hosts"));
        assert!(!name.contains(':'), "a host's name has no colon: `{name}`");
        let former = self.names.insert(name.to_owned(), id);
        assert!(former.is_none(), "there is a host named `{name}` already");
        self.hosts.push(Host {
            name: name.to_owned(),
            is_up: true,
            life: 1,
            clock: HostClock::TRUE,
            resident: Resident::Nobody,
            endpoints: BTreeMap::new(),
            next_port: EPHEMERAL_PORTS,
            inbound_datagrams_max: INBOUND_DATAGRAMS_MAX,
            generators: 0,
            incarnations: 0,
        });
        self.trace.name(name);
        self.record(&Event::Started { host: id, life: 1 });
        id
    }

    /// The host of this name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<HostId> {
        self.names.get(name).copied()
    }

    /// The name of a host.
    #[must_use]
    pub fn name(&self, host: HostId) -> &str {
        &self.hosts[host.index()].name
    }

    /// Whether the host is up.
    #[must_use]
    pub fn is_up(&self, host: HostId) -> bool {
        self.hosts[host.index()].is_up
    }

    /// How many times the host has started.
    #[must_use]
    pub fn life(&self, host: HostId) -> u32 {
        self.hosts[host.index()].life
    }

    /// A fresh generator for a process on this host. Successive lives draw on.
    pub fn rng(&mut self, host: HostId) -> SimRng {
        const HOST_SHIFT: u32 = 32;
        let state = &mut self.hosts[host.index()];
        state.generators += 1;
        let index = u64::from(host.0) << HOST_SHIFT | state.generators;
        SimRng::new(self.seed, Purpose::Host, index)
    }

    /// An incarnation for a process on this host: higher than those drawn here before.
    pub fn incarnation(&mut self, host: HostId) -> Incarnation {
        let salt = self.rng(host).below(1 << u32::BITS);
        let state = &mut self.hosts[host.index()];
        state.incarnations += 1;
        Incarnation::new(state.incarnations, u32::try_from(salt).expect("drawn below 2^32"))
    }

    /// What the host's clock shows.
    #[must_use]
    pub fn local(&self, host: HostId) -> Instant {
        self.hosts[host.index()].clock.local(self.now)
    }

    /// Lets the host's clock run this much too fast from here on; negative is slow.
    pub fn set_drift(&mut self, host: HostId, drift_ppm: i32) {
        let clock = self.hosts[host.index()].clock.drifting(self.now, drift_ppm);
        self.replace_clock(host, clock);
    }

    /// Sets the host's clock. A running process does not expect it to jump (no monotonic clock
    /// does); one that starts afterwards does not notice.
    pub fn set_clock(&mut self, host: HostId, local: Instant) {
        let clock = HostClock::new(self.now, local, 0);
        self.replace_clock(host, clock);
    }

    /// Timers set by the old clock are due at the wrong time: everybody looks again.
    fn replace_clock(&mut self, host: HostId, clock: HostClock) {
        self.hosts[host.index()].clock = clock;
        match self.hosts[host.index()].resident {
            Resident::Nobody => {}
            Resident::Node(_) => self.drain(host),
            Resident::Threads(_) => {
                for thread in self.threads.of_host(host) {
                    self.wake(thread);
                }
            }
        }
    }

    /// Limits how many datagrams wait at each endpoint of a host with threads; more are dropped
    /// there. A node never lets one wait.
    pub fn set_inbound_datagrams_max(&mut self, host: HostId, datagrams: usize) {
        self.hosts[host.index()].inbound_datagrams_max = datagrams;
    }

    /// Does something at a moment of the world's time; at once if that has passed.
    pub fn at(&mut self, at: Instant, action: impl FnOnce(&mut Self) + Send + 'static) {
        let due = self.order.due(at.max(self.now));
        self.actions.insert(due, Box::new(action));
    }

    /// Puts a machine on an empty host, and lets it do what it wants to do first.
    ///
    /// # Panics
    ///
    /// When the host is down, or somebody lives there.
    pub fn place(&mut self, host: HostId, node: impl Node) {
        let state = &mut self.hosts[host.index()];
        assert!(state.is_up, "`{}` is down: restart it first", state.name);
        assert!(
            matches!(state.resident, Resident::Nobody),
            "somebody lives on `{}`: crash and restart it first",
            state.name
        );
        state.resident = Resident::Node(Box::new(node));
        self.drain(host);
    }

    /// Looks at a node, changes it, and lets it do what it wants to do then. The time given is its
    /// host's. `None` if the host is down or a node of another type lives there.
    pub fn node<N: Node, T>(
        &mut self,
        host: HostId,
        look: impl FnOnce(&mut N, Instant) -> T,
    ) -> Option<T> {
        let now = self.local(host);
        let Resident::Node(node) = &mut self.hosts[host.index()].resident else { return None };
        let node: &mut dyn Any = node.as_mut();
        let seen = look(node.downcast_mut()?, now);
        self.drain(host);
        Some(seen)
    }

    /// Starts a thread on a host, which gets its first turn when its turn comes. A run *until
    /// finished* waits for the threads that are `foreground`.
    ///
    /// # Panics
    ///
    /// When the host is down, or a node lives there.
    pub fn spawn(
        &mut self,
        host: HostId,
        name: &str,
        foreground: bool,
        body: impl FnOnce() + Send + 'static,
    ) {
        let shared = self.shared.upgrade().expect("the world outlives its control");
        let world = self.world(host);
        self.threads.spawn(&shared, &world, name, foreground, Box::new(body));
    }

    /// The world as processes on this host see it, in its present life.
    ///
    /// # Panics
    ///
    /// When the host is down, or a node lives there.
    pub fn world(&mut self, host: HostId) -> Arc<HostWorld> {
        let shared = self.shared.upgrade().expect("the world outlives its control");
        let state = &mut self.hosts[host.index()];
        assert!(state.is_up, "`{}` is down: restart it first", state.name);
        match &state.resident {
            Resident::Threads(world) => Arc::clone(world),
            Resident::Node(_) => panic!("a node lives on `{}`: it has no threads", state.name),
            Resident::Nobody => {
                let world = Arc::new(HostWorld::new(shared, host, state.life, &state.name));
                state.resident = Resident::Threads(Arc::clone(&world));
                world
            }
        }
    }

    /// Ends everything on a host at once: its node is dropped, its threads unwind before anything
    /// else happens, its endpoints and what waits there are gone. What it sent is still under way.
    pub fn crash(&mut self, host: HostId) {
        let state = &mut self.hosts[host.index()];
        if !state.is_up {
            return;
        }
        state.is_up = false;
        state.resident = Resident::Nobody;
        state.endpoints.clear();
        self.timers.clear(Owner::Node(host.index()).number());
        for thread in self.threads.of_host(host) {
            self.threads.doom(thread);
            self.wake(thread);
        }
        let mut ledger = Ledger { now: self.now, order: &mut self.order, trace: &mut self.trace };
        self.net.end_streams(&mut ledger, host, None);
        self.crashes += 1;
        self.record(&Event::Crashed(host));
    }

    /// How many times a host has crashed.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Starts a host that is down: it is up, empty, and in its next life. Its clock runs on.
    pub fn restart(&mut self, host: HostId) {
        let state = &mut self.hosts[host.index()];
        assert!(!state.is_up, "`{}` is up: crash it first", state.name);
        state.is_up = true;
        state.life += 1;
        let life = state.life;
        self.record(&Event::Started { host, life });
    }

    /// Writes something into the trace: it becomes part of the hash.
    pub fn note(&mut self, text: &str) {
        self.record(&Event::Note { text });
    }

    /// Sends a datagram in anybody's name, due after `delay` and untouched by faults: forged ones,
    /// and copies of old ones.
    pub fn inject(&mut self, from: Address, to: Address, datagram: &[u8], delay: Duration) {
        let due = self.order.due(self.now + delay);
        self.net.fly(due, from, to, datagram, None);
    }

    /// Sends a datagram through the network.
    pub(super) fn send(&mut self, from: Address, to: Address, datagram: &[u8]) -> Sent {
        let mut ledger = Ledger { now: self.now, order: &mut self.order, trace: &mut self.trace };
        self.net.send(&mut ledger, from, to, datagram)
    }

    fn record(&mut self, event: &Event<'_>) {
        self.trace.record(self.now, event);
    }
}

/// Ports from here on are given out; those below are for listening at a number.
const EPHEMERAL_PORTS: u16 = 1_024;

/// Endpoints of hosts with threads.
impl Control {
    /// Opens an endpoint; `None` for a port nobody asked for by number. `Err` if it is taken.
    pub(super) fn open(&mut self, host: HostId, port: Option<u16>) -> Result<u16, ()> {
        let state = &mut self.hosts[host.index()];
        let port = match port {
            Some(port) => port,
            None => {
                let free = |port: &u16| !state.endpoints.contains_key(port);
                let later = (state.next_port..=u16::MAX).chain(EPHEMERAL_PORTS..state.next_port);
                let port = { later }.find(free).ok_or(())?;
                state.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORTS);
                port
            }
        };
        if state.endpoints.contains_key(&port) {
            return Err(());
        }
        state.endpoints.insert(port, Endpoint::default());
        Ok(port)
    }

    /// The endpoint, if it belongs to this life of its host and is open.
    pub(super) fn endpoint(&mut self, host: HostId, life: u32, port: u16) -> Option<&mut Endpoint> {
        let state = &mut self.hosts[host.index()];
        if state.life == life { state.endpoints.get_mut(&port) } else { None }
    }

    pub(super) fn close(&mut self, host: HostId, life: u32, port: u16) {
        let state = &mut self.hosts[host.index()];
        if state.life == life && state.endpoints.remove(&port).is_some() {
            let mut ledger =
                Ledger { now: self.now, order: &mut self.order, trace: &mut self.trace };
            self.net.end_streams(&mut ledger, host, Some(port));
        }
    }

    pub(super) fn is_alive(&self, host: HostId, life: u32) -> bool {
        let state = &self.hosts[host.index()];
        state.is_up && state.life == life
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("hosts", &self.names.keys())
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
