//! The scheduler: one virtual time, and everything that happens in it, one thing after another.
//!
//! [`Control`] owns the hosts, the network, the trace and the threads' states, and decides what
//! happens next. Each host is either a [`Node`], driven right here, or a group of threads, of
//! which it only decides whose turn it is; handing the baton over belongs to `threads`. A host's
//! life ends with a crash, and its next one starts empty.

mod failure;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use failure::{Ended, Failure, FailureKind};

use super::clock::HostClock;
use super::hosts::HostId;
use super::net::{Due, Ledger, Net, Order, Timers};
use super::node::{Node, NodeOutput};
use super::random::{Purpose, SimRng};
use super::threads::{Endpoint, HostWorld, Shared, ThreadId, Threads};
use super::trace::{Event, Lost, Trace};
use crate::address::Address;
use crate::driver::Sent;
use crate::time::{Duration, Instant};

/// How often something may happen without the time moving before the run is declared stuck.
const STILL_EVENTS_MAX: u64 = 5_000_000;

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
    scratch: Vec<u8>,
    shared: std::sync::Weak<Shared>,
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
    generators: u64,
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

/// The three places that hold what is due.
enum Source {
    Net,
    Timers,
    Actions,
}

impl Control {
    pub(super) fn new(seed: u64, shared: std::sync::Weak<Shared>) -> Self {
        Self {
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
            generators: 0,
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
        self.record(&Event::Crashed(host));
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
        if state.life == life {
            state.endpoints.remove(&port);
        }
    }

    pub(super) fn is_alive(&self, host: HostId, life: u32) -> bool {
        let state = &self.hosts[host.index()];
        state.is_up && state.life == life
    }
}

/// Turns of threads.
impl Control {
    /// Makes a thread wait until it is woken, or until `until` by its host's clock has come.
    pub(super) fn block(&mut self, thread: ThreadId, host: HostId, until: Option<Instant>) {
        self.threads.block(thread, until);
        if let Some(until) = until {
            let at = self.hosts[host.index()].clock.world(until).max(self.now);
            self.timers.set(Owner::Thread(thread).number(), at, &mut self.order);
        }
    }

    /// Ends a thread's wait. Nothing happens if it is not waiting.
    pub(super) fn wake(&mut self, thread: ThreadId) -> bool {
        let woken = self.threads.ready(thread);
        if woken {
            self.timers.clear(Owner::Thread(thread).number());
        }
        woken
    }

    /// Counts one more thing that happened at this very moment.
    pub(super) fn tick(&mut self) {
        self.still += 1;
        if self.still > STILL_EVENTS_MAX && self.run.failure.is_none() {
            let text = format!(
                "{STILL_EVENTS_MAX} things happened and the time did not move\n{}",
                self.threads.report(&|host| self.name(host).to_owned())
            );
            self.fail(FailureKind::Still, text);
        }
    }

    /// Ends the run with a failure; the first one counts.
    pub(super) fn fail(&mut self, kind: FailureKind, text: String) {
        if self.run.failure.is_none() {
            self.run.failure = Some(Failure { seed: self.seed, at: self.now, kind, text });
        }
    }

    /// Moves the world on until it is somebody's turn.
    pub(super) fn next_turn(&mut self) -> Turn {
        loop {
            self.tick();
            if self.run.failure.is_some() && !self.run.stopping {
                return Turn::Main(Ended::Failed);
            }
            if self.run.stopping && self.still > STILL_EVENTS_MAX {
                self.run.abandoned = true; // a destructor that waits for ever
                return Turn::Main(Ended::Failed);
            }
            if let Some((thread, host)) = self.threads.next() {
                self.record(&Event::Ran { host, thread });
                return Turn::Thread(thread);
            }
            if self.run.stopping {
                return Turn::Main(Ended::Quiet);
            }
            if self.run.goal == Goal::Foreground && self.threads.foreground() == 0 {
                return Turn::Main(Ended::Reached);
            }
            match self.next_due() {
                Some((due, source)) if due.at <= self.run.limit => {
                    self.advance(due.at);
                    self.happen(source);
                }
                next => return Turn::Main(self.rest(next.is_some())),
            }
        }
    }

    /// Nothing more happens before the limit.
    fn rest(&mut self, something_is_due: bool) -> Ended {
        if self.run.goal == Goal::Foreground && !something_is_due {
            let text = format!(
                "every thread waits, and nothing will ever happen\n{}",
                self.threads.report(&|host| self.name(host).to_owned())
            );
            self.fail(FailureKind::Deadlock, text);
            return Ended::Failed;
        }
        if something_is_due || self.run.goal == Goal::Limit {
            self.advance(self.run.limit);
        }
        if something_is_due { Ended::Limit } else { Ended::Quiet }
    }

    fn advance(&mut self, to: Instant) {
        if to > self.now {
            self.now = to;
            self.still = 0;
        }
    }

    fn next_due(&self) -> Option<(Due, Source)> {
        let net = self.net.next_due().map(|due| (due, Source::Net));
        let timer = self.timers.peek().map(|due| (due, Source::Timers));
        let action = self.actions.keys().next().map(|due| (*due, Source::Actions));
        [net, timer, action].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn happen(&mut self, source: Source) {
        match source {
            Source::Net => self.deliver(),
            Source::Timers => match self.timers.pop().map(Owner::of) {
                Some(Owner::Node(host)) => self.time_out(host),
                Some(Owner::Thread(thread)) => {
                    self.threads.ready(thread);
                }
                None => {}
            },
            Source::Actions => {
                if let Some((_, action)) = self.actions.pop_first() {
                    action(self);
                }
            }
        }
    }

    fn deliver(&mut self) {
        let Some(flight) = self.net.land() else { return };
        let (from, to) = (flight.from, flight.to);
        let arrived = Event::Arrived { from, to, datagram: &flight.datagram };
        self.trace.record(self.now, &arrived);
        let (id, port) = HostId::of(to).expect("the network carries virtual addresses only");
        let Some(host) = self.hosts.get_mut(id.index()) else {
            return self.lose(Lost::Nobody, from, to, flight.datagram);
        };
        if let Resident::Node(node) = &mut host.resident
            && port == 0
        {
            node.handle_datagram(host.clock.local(self.now), from, &flight.datagram);
            self.net.recycle(flight.datagram);
            return self.drain(id);
        }
        let Some(endpoint) = host.endpoints.get_mut(&port) else {
            return self.lose(Lost::Nobody, from, to, flight.datagram);
        };
        if endpoint.inbox.len() >= self.net.inbound_datagrams_max() {
            return self.lose(Lost::QueueFull, from, to, flight.datagram);
        }
        endpoint.inbox.push_back((from, flight.datagram));
        if let Some(receiver) = endpoint.receiver {
            self.wake(receiver);
        }
    }

    fn lose(&mut self, why: Lost, from: Address, to: Address, datagram: Vec<u8>) {
        self.net.lose(why);
        self.record(&Event::Lost { from, to, why, datagram: &datagram });
        self.net.recycle(datagram);
    }

    fn time_out(&mut self, host: usize) {
        let id = HostId(u16::try_from(host).expect("a host's number"));
        self.trace.record(self.now, &Event::Woke(id));
        let host = &mut self.hosts[host];
        if let Resident::Node(node) = &mut host.resident {
            node.handle_timeout(host.clock.local(self.now));
            self.drain(id);
        }
    }

    /// Lets a node do all it wants to do now.
    fn drain(&mut self, id: HostId) {
        let host = &mut self.hosts[id.index()];
        let Resident::Node(node) = &mut host.resident else { return };
        let now = host.clock.local(self.now);
        let owner = Owner::Node(id.index()).number();
        let mut ledger = Ledger { now: self.now, order: &mut self.order, trace: &mut self.trace };
        loop {
            self.scratch.clear();
            match node.poll_output(now, &mut self.scratch) {
                NodeOutput::Transmit { to } => {
                    self.net.send(&mut ledger, id.address(), to, &self.scratch);
                }
                NodeOutput::Wait { until: None } => return self.timers.clear(owner),
                NodeOutput::Wait { until: Some(until) } => {
                    let at = host.clock.world(until).max(self.now);
                    return self.timers.set(owner, at, &mut self.order);
                }
            }
        }
    }

    /// Ends the life of everything, in order, without recording it.
    pub(super) fn stop(&mut self) -> Vec<Action> {
        self.run.stopping = true;
        self.still = 0;
        for thread in self.threads.all() {
            self.threads.doom(thread);
            self.threads.ready(thread);
        }
        for host in &mut self.hosts {
            host.resident = Resident::Nobody;
            host.endpoints.clear();
        }
        std::mem::take(&mut self.actions).into_values().collect()
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
