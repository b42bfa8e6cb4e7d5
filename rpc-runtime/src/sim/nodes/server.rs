//! A server machine whose handlers are scripted: how long each execution takes and how it ends.

use std::collections::VecDeque;
use std::fmt;

use super::super::checker::{Bounds, Fact, Fenced, Watched};
use super::super::node::{Node, NodeOutput};
use super::Journal;
use crate::address::Address;
use crate::ids::{Incarnation, ServerId, Space};
use crate::protocol::limits::OWNER_TRIES;
use crate::protocol::{Begin, Execute, Server, ServerEvent, Ticket};
use crate::protocol::{HandlerEnd, OnFence, Output};
use crate::time::{Duration, Instant};

/// One execution as planned by a [`Behaviour`].
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// How long the handler runs.
    pub takes: Duration,
    /// How it ends, left alone. [`HandlerEnd::BadArguments`] means that it was never entered.
    pub end: HandlerEnd,
    /// Whether it stops when it is told that it was cancelled.
    pub heeds_cancel: bool,
}

/// What a server's handlers do.
pub trait Behaviour: Send + fmt::Debug {
    /// Plans the execution that begins, and writes what it will reply.
    fn execute(&mut self, now: Instant, execute: &Execute, reply: &mut Vec<u8>) -> Work;
}

/// An execution under way.
#[derive(Debug)]
struct Running {
    ticket: Ticket,
    call: u64,
    execution: u64,
    ends: Instant,
    work: Work,
    reply: Vec<u8>,
}

/// A server without threads.
#[derive(Debug)]
pub struct ServerNode<B> {
    machine: Server,
    identity: (ServerId, Incarnation),
    behaviour: B,
    journal: Journal,
    workers: usize,
    queue: VecDeque<Execute>,
    running: Vec<Running>,
    /// The last time it looked at a clock: when it died, if it does.
    last_seen: Instant,
}

impl<B: Behaviour> ServerNode<B> {
    /// Runs `machine` with `workers` handlers at a time.
    pub fn new(
        machine: Server,
        identity: (ServerId, Incarnation),
        behaviour: B,
        workers: usize,
        journal: Journal,
    ) -> Self {
        let (queue, running) = (VecDeque::new(), Vec::new());
        let last_seen = Instant::START;
        Self { machine, identity, behaviour, journal, workers, queue, running, last_seen }
    }

    /// The machine, to drain it or to read its counters.
    pub const fn machine(&mut self) -> &mut Server {
        &mut self.machine
    }

    /// What the handlers do from here on.
    pub const fn behaviour(&mut self) -> &mut B {
        &mut self.behaviour
    }

    fn on_event(&mut self, now: Instant, event: ServerEvent) {
        match event {
            ServerEvent::Execute(execute) => {
                self.queue.push_back(execute);
                self.dispatch(now);
            }
            ServerEvent::Cancel(ticket) => {
                for running in &mut self.running {
                    if running.ticket == ticket && running.work.heeds_cancel {
                        running.work.end = HandlerEnd::Cancelled { partial: true };
                        running.ends = now;
                    }
                }
                self.end_due(now);
            }
            ServerEvent::Fenced { client, below } => {
                let (server, incarnation) = self.identity;
                let fenced = Fenced { server, incarnation, client, below };
                self.journal.note(now, Fact::Fenced(fenced));
            }
            ServerEvent::SessionClosed(_) => {}
        }
    }

    /// Begins what is queued while there are workers for it.
    fn dispatch(&mut self, now: Instant) {
        while self.running.len() < self.workers {
            let Some(execute) = self.queue.pop_front() else { return };
            if self.machine.begin(now, execute.ticket) == Begin::Run {
                self.begin(now, &execute);
            }
            self.machine.recycle(execute.arguments);
        }
    }

    fn begin(&mut self, now: Instant, execute: &Execute) {
        let mut reply = self.machine.take_buffer();
        let work = self.behaviour.execute(now, execute, &mut reply);
        let call = number_in(&execute.arguments);
        if work.end == HandlerEnd::BadArguments {
            // The handler is never entered: nothing takes time, and nothing can be cancelled.
            self.machine.finish(now, execute.ticket, work.end, reply);
            return;
        }
        let (server, incarnation) = self.identity;
        self.journal.note(now, Fact::Began { call, server, incarnation });
        let execution = self.journal.next_execution();
        if let Some(bounds) = self.bounds(execute, &work) {
            let (client, life) = (execute.client, execute.life);
            self.journal.note(
                now,
                Fact::Watched(Watched {
                    execution,
                    call,
                    client,
                    life,
                    server,
                    incarnation,
                    bounds,
                }),
            );
        }
        let (ticket, ends) = (execute.ticket, now + work.takes);
        self.running.push(Running { ticket, call, execution, ends, work, reply });
        self.end_due(now);
    }

    /// How long an execution may go on without its caller; `None` for one that does not stop.
    fn bounds(&self, execute: &Execute, work: &Work) -> Option<Bounds> {
        let policy = self.machine.orphan_policy(execute.method);
        let is_maybe = execute.ticket.call_id().space == Space::Maybe;
        if policy.no_cancel || is_maybe || !work.heeds_cancel {
            return None;
        }
        let limits = self.machine.limits();
        let on_fence = |which, bound| (policy.on_fence == which).then_some(bound);
        Some(Bounds {
            expires: policy.quantum.map(|quantum| quantum + limits.grace),
            reincarnates: on_fence(OnFence::Cancel, Duration::ZERO),
            gentle: on_fence(OnFence::AskOwner, limits.retransmit_initial * OWNER_TRIES),
        })
    }

    /// Ends the executions whose time has come, in the order in which they began.
    fn end_due(&mut self, now: Instant) {
        while let Some(due) = self.running.iter().position(|running| running.ends <= now) {
            let Running { ticket, call, execution, work, reply, .. } = self.running.remove(due);
            self.journal.note(now, Fact::Over { execution });
            if work.end == HandlerEnd::Returned {
                self.journal.note(now, Fact::Returned { call, reply: reply.clone() });
            }
            self.machine.finish(now, ticket, work.end, reply);
        }
    }
}

/// The call's number, which is how every argument list of a script begins.
fn number_in(arguments: &[u8]) -> u64 {
    arguments.first_chunk().map_or(u64::MAX, |number| u64::from_le_bytes(*number))
}

impl<B: Behaviour + 'static> Node for ServerNode<B> {
    fn handle_datagram(&mut self, now: Instant, from: Address, datagram: &[u8]) {
        self.last_seen = now;
        self.machine.handle_datagram(now, from, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.last_seen = now;
        self.end_due(now);
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> NodeOutput {
        loop {
            self.dispatch(now);
            match self.machine.poll_output(now, datagram) {
                Output::Event(event) => self.on_event(now, event),
                Output::Transmit { to } => return NodeOutput::Transmit { to },
                Output::Wait { until, .. } => {
                    let ends = self.running.iter().map(|running| running.ends).min();
                    let until = until.into_iter().chain(ends).min();
                    return NodeOutput::Wait { until };
                }
            }
        }
    }
}

/// With a server's process all that it executes dies.
impl<B> Drop for ServerNode<B> {
    fn drop(&mut self) {
        for running in &self.running {
            self.journal.note(self.last_seen, Fact::Over { execution: running.execution });
        }
    }
}
