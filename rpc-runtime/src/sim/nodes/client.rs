//! A client machine whose user is a script: what to call next, when to give up, when to ask again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::super::checker::{CallNumber, Fact, Verdict};
use super::super::node::{Node, NodeOutput};
use super::Journal;
use crate::address::Address;
use crate::client::journal::codec::Entry;
use crate::client::journal::{Book, StartedCall};
use crate::error::Execution;
use crate::ids::{CallId, GenerationId, Incarnation, ServerId, Space};
use crate::protocol::limits::ARGUMENT_BYTES_MAX;
use crate::protocol::{
    Arguments, CallKey, CallSpec, Client, ClientEvent, FormerCall, OnDisk, Outcome, Output, Record,
};
use crate::time::Instant;

/// A call that a [`Script`] wants made.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Which of the client's connections carries it.
    pub connection: usize,
    /// Method, semantics and deadline.
    pub spec: CallSpec,
    /// What follows the call's number in the arguments.
    pub arguments: Vec<u8>,
    /// When the user gives up by itself, before the deadline.
    pub cancel_at: Option<Instant>,
}

/// What a script wants next.
#[derive(Clone, Debug)]
pub enum Action {
    /// This call.
    Call(Planned),
    /// Nothing before then.
    Idle(Instant),
    /// Nothing before one of the calls under way has ended.
    Await,
}

/// The user of a [`ClientNode`].
pub trait Script: Send + fmt::Debug {
    /// What to do now, with `outstanding` calls under way.
    fn next(&mut self, now: Instant, outstanding: usize) -> Action;

    /// A call has its number, and its planned `arguments` can follow from that.
    fn numbered(&mut self, call: CallNumber, arguments: &mut Vec<u8>) {
        let _ = (call, arguments);
    }

    /// A call ended; gives the deadline to resolve it until, if the user wants to know more.
    fn ended(&mut self, now: Instant, outcome: &Outcome) -> Option<Instant>;

    /// The machine's own words about a call that ended (before [`Script::ended`]) or was resolved.
    fn told(&mut self, now: Instant, call: CallNumber, id: CallId, outcome: &Outcome) {
        let _ = (now, call, id, outcome);
    }
}

/// What a key stands for.
#[derive(Debug)]
struct Open {
    call: CallNumber,
    cancel_at: Option<Instant>,
    resolving: bool,
}

/// One connection and its calls under way.
#[derive(Debug)]
struct Connection {
    machine: Client,
    bound: (ServerId, Incarnation),
    open: BTreeMap<CallKey, Open>,
    retransmissions: u64,
}

/// A client without threads.
#[derive(Debug)]
pub struct ClientNode<S> {
    connections: Vec<Connection>,
    script: S,
    journal: Journal,
    /// What the client must not forget when it dies.
    book: Option<Book>,
    idle_until: Option<Instant>,
    awaiting: bool,
}

impl<S: Script> ClientNode<S> {
    /// Runs `script` over `machines`, each bound to a server where that is some.
    pub fn new(
        machines: Vec<(Client, (ServerId, Incarnation))>,
        script: S,
        journal: Journal,
    ) -> Self {
        let connections = machines
            .into_iter()
            .map(|(machine, bound)| Connection {
                machine,
                bound,
                open: BTreeMap::new(),
                retransmissions: 0,
            })
            .collect();
        Self { connections, script, journal, book: None, idle_until: None, awaiting: false }
    }

    /// Has the machines' calls recorded in `book`, whose client they are.
    #[must_use]
    pub fn keeping(mut self, book: Book) -> Self {
        for connection in &mut self.connections {
            connection.machine.keep_journal();
        }
        Self { book: Some(book), ..self }
    }

    /// The client's book, if it keeps one.
    #[must_use]
    pub const fn book(&self) -> Option<&Book> {
        self.book.as_ref()
    }

    /// Asks what became of a call of a former life, or has it run if it did not.
    pub fn settle(
        &mut self,
        now: Instant,
        call: CallNumber,
        started: &StartedCall,
        (until, completes): (Instant, bool),
    ) {
        let Some(book) = &self.book else { return };
        let id = started.call;
        let generation = GenerationId(id.session.0);
        let is_durable = id.space == Space::Durable;
        // Whoever has the slots or the session asks, else whoever may lead to that server.
        let has = |connection: &Connection| {
            let machine = &connection.machine;
            let has_slots = is_durable && machine.generation() == generation;
            has_slots || machine.session_id() == Some(id.session)
        };
        let leads = |connection: &Connection| {
            let is_free = !is_durable || !connection.machine.generation().is_some();
            is_free && [ServerId::NONE, started.server].contains(&connection.machine.server())
        };
        let place = self.connections.iter().position(has);
        let place = place.or_else(|| self.connections.iter().position(leads));
        let Some(connection) = place.and_then(|place| self.connections.get_mut(place)) else {
            return;
        };
        let machine = &mut connection.machine;
        let key = if is_durable {
            if let Some(table) = book.ledger().table(generation) {
                machine.restore(now, table);
            }
            if completes {
                self.journal.note(now, Fact::Awaited { call });
                machine.complete(now, id, started.to_record(until), until)
            } else {
                machine.resolve(now, id, until)
            }
        } else if machine.session_id() == Some(id.session) {
            machine.resolve(now, id, until)
        } else {
            let StartedCall { server, incarnation, in_doubt, .. } = *started;
            let former = FormerCall { call: id, server, incarnation, in_doubt };
            machine.resolve_former(now, former, until, false)
        };
        connection.open.insert(key, Open { call, cancel_at: None, resolving: true });
    }

    /// Writes down what a machine wants written; the disk takes no time here.
    fn on_record(
        &mut self,
        now: Instant,
        index: usize,
        (key, call, record): (CallKey, CallId, Record),
    ) {
        let (Some(book), Some(connection)) = (&self.book, self.connections.get_mut(index)) else {
            return;
        };
        let (is_start, is_end) =
            (matches!(record, Record::Started(_)), matches!(record, Record::Ended(_)));
        let is_written = book.write(&[Entry::of(call, record)]).iter().all(Result::is_ok);
        if is_start {
            // A simulated disk has no room, or flushes.
            let on_disk = if is_written { OnDisk::Yes } else { OnDisk::No };
            connection.machine.started_recorded(now, key, call, on_disk);
        } else if is_end {
            connection.machine.ended_recorded(now, key, call, is_written);
        }
    }

    /// Gives a machine durable slots of a former life.
    fn on_wanted(&mut self, now: Instant, index: usize, server: ServerId) {
        let held: Vec<GenerationId> = self.machines().map(|machine| machine.generation()).collect();
        let (Some(book), Some(connection)) = (&self.book, self.connections.get_mut(index)) else {
            return;
        };
        let ledger = book.ledger();
        let free = ledger.generations_at(server).into_iter().find(|one| !held.contains(one));
        connection.machine.generation_found(now, free.and_then(|one| ledger.table(one)));
    }

    /// Calls under way, those being resolved left out.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let calls = |connection: &Connection| {
            connection.open.values().filter(|open| !open.resolving).count()
        };
        self.connections.iter().map(calls).sum()
    }

    /// The numbers of the calls under way, for the day the client's process dies.
    #[must_use]
    pub fn calls(&self) -> Vec<CallNumber> {
        let open = self.connections.iter().flat_map(|connection| connection.open.values());
        open.filter(|open| !open.resolving).map(|open| open.call).collect()
    }

    /// The machines, to close them or to read their counters.
    pub fn machines(&mut self) -> impl Iterator<Item = &mut Client> {
        self.connections.iter_mut().map(|connection| &mut connection.machine)
    }

    /// Asks the script until it has nothing to do now.
    fn run_script(&mut self, now: Instant) {
        if self.awaiting || self.idle_until.is_some_and(|until| until > now) {
            return;
        }
        self.idle_until = None;
        loop {
            match self.script.next(now, self.outstanding()) {
                Action::Call(planned) => {
                    self.call(now, planned);
                }
                Action::Idle(until) if until > now => {
                    self.idle_until = Some(until);
                    return;
                }
                Action::Idle(_) => {}
                Action::Await => {
                    self.awaiting = true;
                    return;
                }
            }
        }
    }

    /// Makes a call that the script did not ask for; gives its number.
    pub fn call(&mut self, now: Instant, planned: Planned) -> CallNumber {
        let call = self.journal.next_call();
        let Some(connection) = self.connections.get_mut(planned.connection) else { return call };
        let (server, incarnation) = connection.bound;
        let Planned { spec, mut arguments, cancel_at, .. } = planned;
        self.script.numbered(call, &mut arguments);
        let (semantics, deadline) = (spec.semantics, spec.deadline);
        self.journal.note(now, Fact::Started { call, semantics, deadline, server, incarnation });
        let mut bytes = connection.machine.take_buffer();
        bytes.extend_from_slice(&call.to_le_bytes());
        // Some callers keep what is long, and have it sent from there.
        let arguments = if arguments.len() > ARGUMENT_BYTES_MAX && !call.is_multiple_of(2) {
            Arguments::lent(bytes, Arc::new(arguments))
        } else {
            bytes.extend_from_slice(&arguments);
            bytes.into()
        };
        let key = connection.machine.start_by(now, &spec, arguments);
        connection.open.insert(key, Open { call, cancel_at, resolving: false });
        call
    }

    /// Gives up a call under way.
    pub fn cancel(&mut self, now: Instant, call: CallNumber) {
        for connection in &mut self.connections {
            let open =
                connection.open.iter().find(|(_, open)| open.call == call && !open.resolving);
            if let Some((&key, _)) = open {
                connection.machine.cancel(now, key);
            }
        }
    }

    /// Asks what became of a call that ended in doubt, which had the place `id`.
    pub fn resolve(
        &mut self,
        now: Instant,
        connection: usize,
        call: CallNumber,
        id: CallId,
        until: Instant,
    ) {
        let Some(connection) = self.connections.get_mut(connection) else { return };
        let key = connection.machine.resolve(now, id, until);
        connection.open.insert(key, Open { call, cancel_at: None, resolving: true });
    }

    /// The user that the script plays.
    pub const fn script(&mut self) -> &mut S {
        &mut self.script
    }

    fn cancel_due(&mut self, now: Instant) {
        for connection in &mut self.connections {
            for (&key, open) in &mut connection.open {
                if open.cancel_at.is_some_and(|at| at <= now) {
                    open.cancel_at = None;
                    connection.machine.cancel(now, key);
                }
            }
        }
    }

    fn on_event(&mut self, now: Instant, index: usize, event: ClientEvent) {
        let (key, id, outcome) = match event {
            ClientEvent::Ended(ended) => (ended.key, ended.call, ended.outcome),
            ClientEvent::Record { key, call, record } => {
                return self.on_record(now, index, (key, call, *record));
            }
            ClientEvent::WantGeneration { server } => return self.on_wanted(now, index, server),
        };
        let Some(connection) = self.connections.get_mut(index) else { return };
        let Some(open) = connection.open.remove(&key) else { return };
        let verdict = verdict(&outcome);
        let call = open.call;
        self.script.told(now, call, id, &outcome);
        if open.resolving {
            // A resolve that learnt nothing says nothing new about the call.
            if verdict != Verdict::Failed(Execution::Unknown) {
                self.journal.note(now, Fact::Resolved { call, verdict });
            }
            return;
        }
        self.awaiting = false;
        let doubt = verdict == Verdict::Failed(Execution::Unknown);
        self.journal.note(now, Fact::Ended { call, verdict });
        if let (Some(until), true) =
            (self.script.ended(now, &outcome), doubt && id != CallId::UNSENT)
        {
            let key = connection.machine.resolve(now, id, until);
            connection.open.insert(key, Open { call, cancel_at: None, resolving: true });
        }
    }

    /// Reports requests that were sent again since the last look.
    fn note_retransmissions(&mut self, now: Instant) {
        for connection in &mut self.connections {
            let sent = connection.machine.counters().retransmissions;
            for _ in connection.retransmissions..sent {
                self.journal.note(now, Fact::Retransmitted);
            }
            connection.retransmissions = sent;
        }
    }
}

/// What the user of a client layer would be told.
fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Returned(body) => Verdict::Reply(body.clone()),
        Outcome::Sent => Verdict::Sent,
        Outcome::Failed { .. }
        | Outcome::Refused { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotSent(_)
        | Outcome::Sealed
        | Outcome::InDoubt(_) => Verdict::Failed(outcome.execution()),
    }
}

impl<S: Script + 'static> Node for ClientNode<S> {
    fn handle_datagram(&mut self, now: Instant, from: Address, datagram: &[u8]) {
        for connection in &mut self.connections {
            connection.machine.handle_datagram(now, from, datagram);
        }
    }

    fn handle_break(&mut self, now: Instant, peer: Address) {
        for connection in &mut self.connections {
            if connection.machine.target().address == peer {
                connection.machine.handle_break(now);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.cancel_due(now);
        for connection in &mut self.connections {
            connection.machine.handle_timeout(now);
        }
    }

    fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> NodeOutput {
        self.run_script(now);
        let mut until = self.idle_until;
        let mut index = 0;
        while let Some(connection) = self.connections.get_mut(index) {
            match connection.machine.poll_output(now, datagram) {
                Output::Event(event) => {
                    self.on_event(now, index, event);
                    self.run_script(now);
                    until = self.idle_until;
                    index = 0;
                }
                Output::Transmit { to } => {
                    self.note_retransmissions(now);
                    return NodeOutput::Transmit { to };
                }
                Output::Wait { until: wake, .. } => {
                    let cancel = connection.open.values().filter_map(|open| open.cancel_at).min();
                    until = until.into_iter().chain(wake).chain(cancel).min();
                    index += 1;
                }
            }
        }
        NodeOutput::Wait { until }
    }
}
