//! The service that is called, and the blocking code that calls it: the same on sockets and in the
//! simulator.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rpc_runtime::binder::VersionRequirement;
use rpc_runtime::driver::World;
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::sim::checker::{Fact, Verdict};
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::time::Instant;
use rpc_runtime::{Binder, CallError, Channel, Options, Semantics, Stub as _, service};

use super::experiment::{Ledger, PATIENCE, Seen};
use super::vault::{Effects, Vault as _, VaultClient};

/// Servers of a run; each registers with the binder, and each client is bound to one of them.
pub(crate) const SERVERS: usize = 2;

/// Between two `maybe` calls of one client: the window that drops their duplicates reaches back 64
/// calls, and a datagram that is held back must not fall out of it.
const MAYBE_GAP: Duration = Duration::from_millis(4);
/// How long `maybe` calls that are still under way get to arrive: nobody waits for them.
pub(crate) const MAYBE_TAIL: Duration = Duration::from_millis(300);
/// Between two looks whether all servers are registered.
const LOOK_GAP: Duration = Duration::from_millis(20);
/// Looks before a client gives up.
const LOOKS: u32 = 500;

/// One method of each semantics; each says which execution answered.
#[service(name = "lab.echo", version = "1.0")]
pub(crate) trait Echo {
    #[rpc(maybe)]
    fn maybe(&self, call: u64);
    #[rpc(at_least_once)]
    fn at_least_once(&self, call: u64) -> Result<u64, CallError>;
    #[rpc(at_most_once)]
    fn at_most_once(&self, call: u64) -> Result<u64, CallError>;
}

/// A server's object: tells the checker what runs, and enters it in the servers' record.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) world: Arc<dyn World>,
    pub(crate) stage: Stage,
}

/// What all servers and clients of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    executions: Arc<AtomicU64>,
}

impl Stage {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, ledger: Ledger::default(), executions: Arc::default() }
    }

    /// All is over, and this is what the stores hold: so often each call was committed.
    pub(crate) fn close(&self, at: Instant, effects: &Effects) {
        for (&call, &times) in effects {
            for _ in 0..times {
                self.journal.note(at, Fact::Committed { call });
            }
        }
    }
}

impl Witness {
    fn execute(&self, call: u64) -> u64 {
        let execution = self.begin(call);
        self.stage.ledger.enter(call);
        self.returned(call, execution);
        execution
    }

    /// The same, with an effect that lasts only if the transaction does that it is made in.
    pub(crate) fn execute_in(
        &self,
        call: u64,
        effect: impl FnOnce() -> Result<(), CallError>,
    ) -> Result<u64, CallError> {
        let execution = self.begin(call);
        let done = effect();
        let incarnation = Incarnation::NONE;
        self.stage.journal.note(self.world.now(), Fact::Stopped { call, incarnation });
        done?;
        self.returned(call, execution);
        Ok(execution)
    }

    fn begin(&self, call: u64) -> u64 {
        let (server, incarnation) = (ServerId::NONE, Incarnation::NONE);
        self.stage.journal.note(self.world.now(), Fact::Began { call, server, incarnation });
        self.stage.executions.fetch_add(1, Ordering::Relaxed)
    }

    fn returned(&self, call: u64, execution: u64) {
        let reply = execution.to_le_bytes().to_vec();
        self.stage.journal.note(self.world.now(), Fact::Returned { call, reply });
    }
}

impl Echo for Witness {
    fn maybe(&self, call: u64) {
        self.execute(call);
    }

    fn at_least_once(&self, call: u64) -> Result<u64, CallError> {
        Ok(self.execute(call))
    }

    fn at_most_once(&self, call: u64) -> Result<u64, CallError> {
        Ok(self.execute(call))
    }
}

/// A client's stub, of the service that has the semantics in question.
#[derive(Debug)]
enum Stub {
    Echo(EchoClient),
    Vault(VaultClient),
}

/// A client, bound by the binder.
#[derive(Debug)]
pub(crate) struct Caller {
    world: Arc<dyn World>,
    stub: Stub,
    /// One to each server, whichever the calls go to: their connections have counted them.
    channels: Vec<Channel>,
}

impl Caller {
    /// Imports the service by name, once all servers are registered.
    pub(crate) fn bind(
        world: &Arc<dyn World>,
        binder: &Binder,
        semantics: Semantics,
    ) -> Result<Self, Box<dyn Error>> {
        let is_durable = semantics == Semantics::ExactlyOnce;
        let interface = if is_durable { VaultClient::interface() } else { EchoClient::interface() };
        let entries = (0..LOOKS).find_map(|_| {
            let entries = binder.lookup(interface.name(), &VersionRequirement::any());
            let entries = entries.ok().filter(|entries| entries.len() == SERVERS);
            if entries.is_none() {
                rest(world, LOOK_GAP);
            }
            entries
        });
        let mut channels = Vec::new();
        for entry in entries.ok_or("not all servers came to be registered")? {
            let url = entry.addresses.first().ok_or("a server without an address")?;
            let place = url.split_once("://").map_or(url.as_str(), |(_, place)| place);
            channels.push(Channel::to(world, place, entry.server, entry.incarnation)?);
        }
        let options = Options::new().timeout(PATIENCE);
        let stub = if is_durable {
            Stub::Vault(VaultClient::import(binder)?.with(options))
        } else {
            Stub::Echo(EchoClient::import(binder)?.with(options))
        };
        Ok(Self { world: Arc::clone(world), stub, channels })
    }

    /// Requests sent again.
    pub(crate) fn retransmissions(&self) -> u64 {
        self.channels.iter().map(|channel| channel.stats().protocol.retransmissions).sum()
    }

    /// Makes `count` calls one after another, each of which must end at most `late` behind time.
    pub(crate) fn call(
        &self,
        journal: &Journal,
        semantics: Semantics,
        count: u64,
        late: Duration,
    ) -> Seen {
        let Self { world, stub, .. } = self;
        let mut seen = Seen::new();
        for _ in 0..count {
            let (call, started) = (journal.next_call(), world.now());
            let deadline = started + PATIENCE + late;
            let (server, incarnation) = (ServerId::NONE, Incarnation::NONE);
            journal.note(started, Fact::Started { call, semantics, deadline, server, incarnation });
            let verdict = match stub.call(semantics, call) {
                Ok(Some(execution)) => {
                    seen.confirmed(call);
                    Verdict::Reply(execution.to_le_bytes().to_vec())
                }
                Ok(None) => Verdict::Sent,
                Err(error) => Verdict::Failed(error.execution()),
            };
            let ended = world.now();
            journal.note(ended, Fact::Ended { call, verdict });
            seen.took(ended.since(started));
            if semantics == Semantics::Maybe {
                rest(world, MAYBE_GAP);
            }
        }
        seen
    }
}

impl Stub {
    /// Makes one call; gives the execution that answered, if anybody is to learn which.
    fn call(&self, semantics: Semantics, call: u64) -> Result<Option<u64>, CallError> {
        let echo = match self {
            Self::Vault(vault) => return vault.exactly_once(call).map(Some),
            Self::Echo(echo) => echo,
        };
        match semantics {
            Semantics::Maybe => echo.start().maybe(call).wait().map(|()| None),
            Semantics::AtLeastOnce => echo.at_least_once(call).map(Some),
            Semantics::AtMostOnce | Semantics::ExactlyOnce => echo.at_most_once(call).map(Some),
        }
    }
}

/// Sleeps by the world's own clock.
pub(crate) fn rest(world: &Arc<dyn World>, duration: Duration) {
    let (gate, until) = (world.gate(), world.now() + duration);
    while world.now() < until {
        gate.wait(Some(until));
    }
}
