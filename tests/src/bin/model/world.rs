//! The world as a state that actions turn into others: both machines, a network that is a set which
//! only grows, workers, and the record.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rpc_runtime::protocol::Ticket;

use crate::config::Config;
use crate::message::Message;
use crate::record::{Lives, Record};
use crate::sides::{ClientSide, ServerSide, address};

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) client: Arc<ClientSide>,
    pub(crate) server: Arc<ServerSide>,
    /// By hash: everything that was ever said, or, without faults, what is under way.
    pub(crate) net: Arc<Vec<Message>>,
    pub(crate) rest: Arc<Rest>,
}

/// All else, compared as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rest {
    pub(crate) record: Record,
    pub(crate) queued: Vec<(Ticket, u8)>,
    pub(crate) running: Vec<Running>,
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

/// An execution under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Running {
    pub(crate) ticket: Ticket,
    pub(crate) number: u8,
    pub(crate) execution: u8,
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
    Report,
    ClientTick,
    ServerTick,
    BothTick,
    Overload(bool),
    Drain,
    Close,
    RestartServer,
    RestartClient,
    Move,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        (self.client.digest, self.server.digest) == (other.client.digest, other.server.digest)
            && self.net == other.net
            && self.rest == other.rest
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.client.digest, self.server.digest).hash(hasher);
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
        Self {
            client: Arc::new(ClientSide::new(1, address(0), &limits)),
            server: Arc::new(ServerSide::new(1, lives.server_id, &limits)),
            net: Arc::default(),
            rest: Arc::new(Rest {
                record: Record::default(),
                queued: Vec::new(),
                running: Vec::new(),
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
