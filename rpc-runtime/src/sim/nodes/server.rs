//! A server machine whose handlers are scripted: how long each execution takes and how it ends.

use std::collections::VecDeque;
use std::fmt;

use super::super::checker::{Bounds, Fact, Fenced, Watched};
use super::super::node::{Node, NodeOutput};
use super::Journal;
use super::disk::{Disk, Record};
use crate::address::Address;
use crate::ids::{ClientId, GenerationId, Incarnation, ServerId, Space};
use crate::protocol::limits::OWNER_TRIES;
use crate::protocol::{
    Begin, Execute, HandlerEnd, OnFence, OpeningKey, Output, Server, ServerEvent, Ticket,
};
use crate::time::{Duration, Instant};
use crate::wire::ReplyStatus;

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
    digest: u64,
    ends: Instant,
    work: Work,
    reply: Vec<u8>,
    reply_bytes_max: usize,
}

/// A server without threads.
#[derive(Debug)]
pub struct ServerNode<B> {
    machine: Server,
    identity: (ServerId, Incarnation),
    behaviour: B,
    journal: Journal,
    workers: usize,
    queue: VecDeque<Box<Execute>>,
    running: Vec<Running>,
    /// The last time it looked at a clock: when it died, if it does.
    last_seen: Instant,
    disk: Option<Disk>,
    /// Questions to the disk that are not answered yet.
    opening: VecDeque<(Instant, OpeningKey, ClientId, GenerationId)>,
    generations: u64,
}

/// How long the disk takes to find a generation.
const LOOK_UP: Duration = Duration::from_micros(300);

impl<B: Behaviour> ServerNode<B> {
    /// Runs `machine` with `workers` handlers at a time.
    pub fn new(
        machine: Server,
        identity: (ServerId, Incarnation),
        behaviour: B,
        workers: usize,
        journal: Journal,
    ) -> Self {
        Self {
            machine,
            identity,
            behaviour,
            journal,
            workers,
            queue: VecDeque::new(),
            running: Vec::new(),
            last_seen: Instant::START,
            disk: None,
            opening: VecDeque::new(),
            generations: 0,
        }
    }

    /// Gives the server a disk, so that it takes durable calls. Lives before this one are fenced.
    #[must_use]
    pub fn with_disk(mut self, disk: Disk) -> Self {
        disk.open(self.identity.1);
        self.machine.enable_durable();
        self.disk = Some(disk);
        self
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
            ServerEvent::OpenGeneration { key, client, wanted } => {
                self.opening.push_back((now + LOOK_UP, key, client, wanted));
            }
            ServerEvent::ForgetGeneration { generation, .. } => {
                if let Some(disk) = &self.disk {
                    disk.forget(generation);
                }
            }
            ServerEvent::Acknowledged { call, .. } => {
                if let Some(disk) = &self.disk {
                    disk.acknowledge(self.identity.1, call);
                }
            }
            ServerEvent::Retain { in_use } => {
                let retention = self.machine.limits().retention;
                if let Some(disk) = &self.disk {
                    disk.retain(self.identity.1, now, &in_use, retention);
                }
            }
        }
    }

    /// Answers for the disk what is due.
    fn open_due(&mut self, now: Instant) {
        while let Some(&(due, key, client, wanted)) = self.opening.front()
            && due <= now
        {
            self.opening.pop_front();
            self.generations += 1;
            let fresh = GenerationId(self.identity.1.0 ^ (self.generations << 40));
            let life = self.identity.1;
            let open = |disk: &Disk| disk.generation((life, now), client, wanted, fresh);
            let table = self.disk.as_ref().and_then(open);
            self.machine.generation_opened(now, key, table);
        }
    }

    /// Begins what is queued while there are workers for it.
    fn dispatch(&mut self, now: Instant) {
        while self.running.len() < self.workers {
            let Some(execute) = self.queue.pop_front() else { return };
            if self.machine.begin(now, execute.ticket) == Begin::Run {
                self.begin(now, &execute);
            }
            self.machine.recycle_call(execute);
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
        let (ticket, digest, ends) = (execute.ticket, execute.digest, now + work.takes);
        let reply_bytes_max = self.machine.reply_bytes_max(execute.method);
        self.running.push(Running {
            ticket,
            call,
            execution,
            digest,
            ends,
            work,
            reply,
            reply_bytes_max,
        });
        self.end_due(now);
    }

    /// How long an execution may go on without its caller; `None` for one that does not stop.
    fn bounds(&self, execute: &Execute, work: &Work) -> Option<Bounds> {
        let policy = self.machine.orphan_policy(execute.method);
        let space = execute.ticket.call_id().space;
        if policy.no_cancel || space == Space::Maybe || !work.heeds_cancel {
            return None;
        }
        let limits = self.machine.limits();
        // A durable call is none of one life's alone: later ones leave it to its quanta.
        let is_fenced = |which| policy.on_fence == which && space == Space::Session;
        let on_fence = |which, bound| is_fenced(which).then_some(bound);
        Some(Bounds {
            expires: policy.quantum.map(|quantum| quantum + limits.grace),
            reincarnates: on_fence(OnFence::Cancel, Duration::ZERO),
            gentle: on_fence(OnFence::AskOwner, limits.retransmit_initial * OWNER_TRIES),
        })
    }

    /// Ends the executions whose time has come, in the order in which they began.
    fn end_due(&mut self, now: Instant) {
        while let Some(due) = self.running.iter().position(|running| running.ends <= now) {
            let ended = self.running.remove(due);
            self.journal.note(now, Fact::Over { execution: ended.execution });
            if ended.ticket.call_id().space == Space::Durable {
                self.commit(now, ended);
                continue;
            }
            let Running { ticket, call, work, reply, .. } = ended;
            if work.end == HandlerEnd::Returned {
                self.journal.note(now, Fact::Returned { call, reply: reply.clone() });
            }
            self.machine.finish(now, ticket, work.end, reply);
        }
    }

    /// A durable execution has ended: what it leaves behind is written before it is told.
    fn commit(&mut self, now: Instant, ended: Running) {
        let Running { ticket, call, digest, work, reply, reply_bytes_max, .. } = ended;
        let returned = work.end == HandlerEnd::Returned && reply.len() <= reply_bytes_max;
        let fits = returned || work.end != HandlerEnd::Returned;
        let status = if fits { work.end.status() } else { ReplyStatus::TooLarge };
        // A handler that failed has its effects rolled back; that it failed is kept.
        let body = if returned { reply.clone() } else { Vec::new() };
        let effect = returned.then_some(call);
        let record = Record { call: ticket.call_id(), digest, status, body, effect };
        let life = self.identity.1;
        let done = self.disk.as_ref().is_some_and(|disk| disk.commit(life, &record));
        if done && returned {
            self.journal.note(now, Fact::Returned { call, reply: reply.clone() });
            self.journal.note(now, Fact::Committed { call });
        }
        self.journal.note(now, Fact::Stopped { call, incarnation: life });
        if self.disk.as_ref().is_some_and(|disk| disk.is_fenced(life)) {
            self.machine.fence_durable();
        }
        let end = if done { work.end } else { HandlerEnd::NotCommitted };
        self.machine.finish(now, ticket, end, reply);
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
        self.open_due(now);
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> NodeOutput {
        loop {
            self.dispatch(now);
            self.open_due(now);
            match self.machine.poll_output(now, datagram) {
                Output::Event(event) => self.on_event(now, event),
                Output::Transmit { to } => return NodeOutput::Transmit { to },
                Output::Wait { until, .. } => {
                    let ends = self.running.iter().map(|running| running.ends).min();
                    let opens = self.opening.front().map(|&(due, ..)| due);
                    let until = until.into_iter().chain(ends).chain(opens).min();
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
