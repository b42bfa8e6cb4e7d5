//! What happens next, and whose turn it is then.
//!
//! The loop of the simulator: the first thing due moves the time and happens; as soon as a thread
//! has something to go on with, it is that thread's turn. Threads that are ready come before
//! things that are due, in the order they became ready.

use std::sync::atomic::Ordering;

use super::super::hosts::HostId;
use super::super::net::{Due, Landed, Ledger};
use super::super::node::NodeOutput;
use super::super::threads::ThreadId;
use super::super::trace::{Event, Lost};
use super::{Action, Control, Ended, Failure, FailureKind, Goal, Owner, Resident, Turn};
use crate::address::Address;
use crate::time::Instant;

/// How often something may happen without the time moving before the run is declared stuck.
const STILL_EVENTS_MAX: u64 = 5_000_000;

/// The three places that hold what is due.
enum Source {
    Net,
    Timers,
    Actions,
}

impl Control {
    /// Makes a thread wait until it is woken, or until `until` by its host's clock has come.
    pub(in crate::sim) fn block(&mut self, thread: ThreadId, host: HostId, until: Option<Instant>) {
        self.threads.block(thread, until);
        if let Some(until) = until {
            let at = self.hosts[host.index()].clock.world(until).max(self.now);
            self.timers.set(Owner::Thread(thread).number(), at, &mut self.order);
        }
    }

    /// Ends a thread's wait. Nothing happens if it is not waiting.
    pub(in crate::sim) fn wake(&mut self, thread: ThreadId) -> bool {
        let woken = self.threads.ready(thread);
        if woken {
            self.timers.clear(Owner::Thread(thread).number());
        }
        woken
    }

    /// Counts one more thing that happened at this very moment.
    pub(in crate::sim) fn tick(&mut self) {
        self.still += 1;
        // Only who holds the lock writes: no need for an atomic addition.
        self.pulse.store(self.pulse.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        if self.still > STILL_EVENTS_MAX && self.run.failure.is_none() {
            let text = format!(
                "{STILL_EVENTS_MAX} things happened and the time did not move\n{}",
                self.threads.report(&|host| self.name(host).to_owned())
            );
            self.fail(FailureKind::Still, text);
        }
    }

    /// Ends the run with a failure; the first one counts.
    pub(in crate::sim) fn fail(&mut self, kind: FailureKind, text: String) {
        if self.run.failure.is_none() {
            self.run.failure = Some(Failure { seed: self.seed, at: self.now, kind, text });
        }
    }

    /// Moves the world on until it is somebody's turn.
    pub(in crate::sim) fn next_turn(&mut self) -> Turn {
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
        let mut ledger = Ledger { now: self.now, order: &mut self.order, trace: &mut self.trace };
        let hosts = &self.hosts;
        let landed = self.net.land(&mut ledger, |address| {
            let place = HostId::of(address);
            place.is_some_and(|(id, port)| {
                hosts.get(id.index()).is_some_and(|host| host.receives_at(port))
            })
        });
        let flight = match landed {
            Landed::Datagram(flight) => flight,
            Landed::Break { from, to } => return self.tell_break(from, to),
            Landed::Nothing => return,
        };
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
        if endpoint.inbox.len() >= host.inbound_datagrams_max {
            self.lose(Lost::QueueFull, from, to, flight.datagram);
            let mut ledger =
                Ledger { now: self.now, order: &mut self.order, trace: &mut self.trace };
            return self.net.overrun(&mut ledger, from, to);
        }
        endpoint.inbox.push_back((from, flight.datagram));
        if let Some(receiver) = endpoint.receiver {
            self.wake(receiver);
        }
    }

    /// The host that opened a stream learns that it broke.
    fn tell_break(&mut self, from: Address, to: Address) {
        let (id, port) = HostId::of(to).expect("the network carries virtual addresses only");
        let host = &mut self.hosts[id.index()];
        if let Resident::Node(node) = &mut host.resident {
            node.handle_break(host.clock.local(self.now), from);
            self.drain(id);
        } else if let Some(endpoint) = host.endpoints.get_mut(&port) {
            endpoint.is_broken = true;
            if let Some(receiver) = endpoint.receiver {
                self.wake(receiver);
            }
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
    pub(super) fn drain(&mut self, id: HostId) {
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
    pub(in crate::sim) fn stop(&mut self) -> Vec<Action> {
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
