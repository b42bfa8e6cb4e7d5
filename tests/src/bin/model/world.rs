//! The world as a state that actions turn into others: both machines, a network that is a set which
//! only grows, workers, and the record.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rpc_runtime::ids::{GenerationId, Space};
use rpc_runtime::protocol::{DurableTable, OpeningKey, Ticket};

use crate::config::Config;
use crate::journal::Journal;
use crate::message::Message;
use crate::record::{HandlerEndKind, Lives, Record};
use crate::sides::{ClientSide, ServerSide, address};
use crate::store::Contents;

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) client: Arc<ClientSide>,
    pub(crate) server: Arc<ServerSide>,
    /// The process before, which has stalled and believes that it still is the server.
    pub(crate) stalled: Option<Arc<ServerSide>>,
    /// By hash: everything that was ever said, or, without faults, what is under way.
    pub(crate) net: Arc<Vec<Message>>,
    pub(crate) rest: Arc<Rest>,
}

/// All else, compared as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rest {
    pub(crate) record: Record,
    pub(crate) work: Work,
    /// That of the process which has stalled.
    pub(crate) stalled: Work,
    pub(crate) store: Contents,
    pub(crate) journal: Journal,
    pub(crate) lives: Lives,
    /// The place in the list of servers.
    pub(crate) server_place: usize,
    pub(crate) address: u8,
    pub(crate) cancels: u8,
    pub(crate) resolves: u8,
    pub(crate) loads: u8,
    pub(crate) drained: bool,
    pub(crate) closed: bool,
    /// A bound of the world was met: nothing beyond is explored.
    pub(crate) beyond: bool,
}

/// What the workers of a server have before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Work {
    pub(crate) queued: Vec<Queued>,
    pub(crate) running: Vec<Running>,
    /// What the store is to be asked, or has answered.
    pub(crate) questions: Vec<Question>,
}

/// A call that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queued {
    pub(crate) ticket: Ticket,
    pub(crate) number: u8,
    pub(crate) digest: u64,
}

impl Queued {
    pub(crate) fn is_durable(&self) -> bool {
        self.ticket.call_id().space == Space::Durable
    }
}

/// An execution under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Running {
    pub(crate) call: Queued,
    pub(crate) execution: u8,
    /// How a durable one has ended in the store, of which nobody has been told.
    pub(crate) ended: Option<(HandlerEndKind, Vec<u8>)>,
}

impl Running {
    /// Whether its transaction is still to come.
    pub(crate) fn must_commit(&self) -> bool {
        self.call.is_durable() && self.ended.is_none()
    }
}

/// What goes on between a server and its store about a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Open(OpeningKey, GenerationId),
    Opened(OpeningKey, DurableTable),
    Forget(GenerationId),
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Self::Open(key, wanted) => (key, wanted).hash(hasher),
            Self::Forget(generation) => generation.hash(hasher),
            Self::Opened(key, table) => {
                (key, table.generation, table.rows.len()).hash(hasher);
                for row in &table.rows {
                    let body = row.ended.as_ref().map(|(_, body)| body);
                    (row.slot, row.sequence, row.digest, body).hash(hasher);
                }
            }
        }
    }
}

/// What may happen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Call,
    GiveUp(u8),
    Resolve(u8),
    Deliver(Message),
    DeliverLate(Message),
    Begin(usize),
    Return(usize),
    Panic(usize),
    /// The transaction of a durable execution comes to its end: as it should, or by a panic.
    Commit(usize),
    CommitPanic(usize),
    /// The store does what it was asked for, or its answer arrives.
    Ask(usize),
    /// What the stalled process does.
    StalledBegin(usize),
    StalledCommit(usize),
    StalledReturn(usize),
    Report,
    ClientTick,
    ServerTick,
    BothTick,
    Overload(bool),
    Drain,
    Close,
    RestartServer,
    /// All that clients left in the store has become too old meanwhile.
    RestartServerLate,
    RestartClient,
    /// An entry of the client's journal gets to the disk.
    Write,
    /// The client looks after a call of an earlier life.
    TakeOver(u8),
    Move,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digests() == other.digests() && self.net == other.net && self.rest == other.rest
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digests().hash(hasher);
        for message in &*self.net {
            hasher.write_u64(message.hash());
        }
        self.rest.hash(hasher);
    }
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = config.limits();
        let lives = Lives { client: 1, server: 1, server_id: config.servers[0] };
        let mut store = Contents::default();
        if config.is_durable() {
            store.take();
        }
        let server = ServerSide::new(1, lives.server_id, &limits, config.is_durable());
        let mut client = ClientSide::new(1, address(0), &limits);
        if config.journal {
            client.keep_journal();
        }
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
            stalled: None,
            net: Arc::default(),
            rest: Arc::new(Rest {
                record: Record::default(),
                work: Work::default(),
                stalled: Work::default(),
                store,
                journal: Journal::default(),
                lives,
                server_place: 0,
                address: 0,
                cancels: 0,
                resolves: 0,
                loads: 0,
                drained: false,
                closed: false,
                beyond: false,
            }),
        }
    }

    fn digests(&self) -> (u64, u64, Option<u64>) {
        let stalled = self.stalled.as_ref().map(|side| side.digest);
        (self.client.digest, self.server.digest, stalled)
    }

    pub(crate) fn rest_mut(&mut self) -> &mut Rest {
        Arc::make_mut(&mut self.rest)
    }

    /// Puts a message on the network, unless it is there.
    pub(crate) fn say(&mut self, message: Message) {
        if let Err(place) = self.net.binary_search_by_key(&message.hash(), Message::hash) {
            Arc::make_mut(&mut self.net).insert(place, message);
        }
    }

    /// Takes a message off a network that repeats nothing.
    pub(crate) fn unsay(&mut self, message: &Message) {
        if let Ok(place) = self.net.binary_search_by_key(&message.hash(), Message::hash) {
            Arc::make_mut(&mut self.net).remove(place);
        }
    }
}
