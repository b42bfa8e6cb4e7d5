//! Stories about calls: given, when, then. One world of machines a story, on a network that does
//! what the story says, and the checker at the end.
//!
//! A [`World`] has servers and clients by name, [`Link`]s between them to lose, hold, double and
//! forge PDUs on, and calls whose executions and outcomes it remembers. It drives the machines
//! through `rpc_runtime::sim` and knows nothing of their insides, so that stories survive changes.
//!
//! Every story is told twice with one seed, and both tellings must leave the same trace.

mod durable;
mod journals;
mod link;
mod people;
mod users;

use std::collections::BTreeMap;
use std::sync::PoisonError;

use rpc_runtime::error::Execution;
use rpc_runtime::ids::CallId;
use rpc_runtime::protocol::Outcome;
use rpc_runtime::sim::checker::{CallNumber, Fact};
use rpc_runtime::sim::nodes::{ClientNode, Disk, Journal};
use rpc_runtime::sim::{Control, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::wire::{self, Envelope, Pdu};

use link::Wire;
pub use link::{Held, Link};
use people::{ClientPlan, ServerPlan};
use users::{Notebook, User};
pub use users::{Plan, again, durable, maybe, once};

/// A call of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    client: HostId,
    number: CallNumber,
}

/// Where a story happens.
#[derive(Debug)]
pub struct World {
    simulation: Simulation,
    journal: Journal,
    story: String,
    wire: Wire,
    notebook: Notebook,
    servers: BTreeMap<HostId, ServerPlan>,
    clients: BTreeMap<HostId, ClientPlan>,
    /// The servers' disks, those of servers that were replaced among them.
    disks: Vec<Disk>,
    is_checked: bool,
}

/// How many of the last events are shown when a story fails.
const EVENTS_SHOWN: usize = 40;
/// How often the tables' sizes are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a story may take to settle.
const SETTLED_MAX: Duration = Duration::from_secs(3_600);
/// After the last call: the last acknowledgements and copies.
const GRACE: Duration = Duration::from_secs(5);
/// How long it must then be silent: longer than any lease of a story that ends idle.
const SILENCE: Duration = Duration::from_secs(40);
/// Later than any deadline by any clock.
const AFTER_ALL: Duration = Duration::from_secs(1_000 * 24 * 3_600);

/// Milliseconds.
#[must_use]
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Seconds.
#[must_use]
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Tells a story, twice, and has it judged. The function that calls this gives the story its name.
///
/// # Panics
///
/// The story fails, or an invariant is broken.
pub fn story<F: Fn(&mut World)>(tell: F) {
    tell_twice(false, tell);
}

/// Tells a story in which nothing goes wrong: doubt and retransmissions break an invariant there.
///
/// # Panics
///
/// The story fails, or an invariant is broken.
pub fn faultless_story<F: Fn(&mut World)>(tell: F) {
    tell_twice(true, tell);
}

fn tell_twice<F: Fn(&mut World)>(faultless: bool, tell: F) {
    let path = std::any::type_name::<F>();
    let name = path.rsplit("::").find(|part| !part.starts_with('{')).unwrap_or(path);
    let seed = seed(name);
    let mut first = World::new(name, seed, faultless);
    tell(&mut first);
    let hash = first.judge(None);
    let mut second = World::new(name, seed, faultless);
    tell(&mut second);
    second.judge(Some(hash));
}

/// `RPC_SEED`, or else a seed of the story's own.
#[expect(clippy::disallowed_methods, reason = "a test's only argument")]
fn seed(name: &str) -> u64 {
    let Ok(text) = std::env::var("RPC_SEED") else {
        // FNV-1a: any mixing does, as long as it stays the same.
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        return name.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    };
    let digits = text.strip_prefix("0x");
    let seed = digits.map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    seed.unwrap_or_else(|_| panic!("RPC_SEED is a number, not `{text}`"))
}

impl World {
    /// An empty world; `faultless` if nothing will go wrong in it.
    #[must_use]
    pub fn new(story: &str, seed: u64, faultless: bool) -> Self {
        let simulation = Simulation::new(seed);
        simulation.with(|control| control.trace.keep(EVENTS_SHOWN));
        Self {
            simulation,
            journal: Journal::new(faultless),
            story: story.to_owned(),
            wire: Wire::default(),
            notebook: Notebook::default(),
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            disks: Vec::new(),
            is_checked: false,
        }
    }

    /// Everybody's link takes datagrams as long as real ones do, and probes for what paths carry. To be
    /// said before anybody is there.
    pub fn carry_long_datagrams(&mut self) {
        self.with(|control| control.net.set_datagram_bytes_max(65_507));
    }

    /// The way from one host to another.
    pub fn link(&mut self, from: HostId, to: HostId) -> Link<'_> {
        Link { world: self, from, to }
    }

    /// Cuts both ways between two hosts.
    pub fn part(&mut self, here: HostId, there: HostId) {
        self.link(here, there).cut();
        self.link(there, here).cut();
    }

    /// Mends both ways between two hosts.
    pub fn rejoin(&mut self, here: HostId, there: HostId) {
        self.link(here, there).mend();
        self.link(there, here).mend();
    }

    /// Delivers what was held back, now. A second time delivers it again.
    ///
    /// # Panics
    ///
    /// Nothing was held back: the story is not what it seems.
    pub fn deliver(&mut self, held: &Held) {
        let datagrams = held.datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!datagrams.is_empty(), "no {} was held back", held.kind.name());
        let (from, to) = (held.from.address(), held.to.address());
        self.simulation.with(|control| {
            for datagram in datagrams.iter() {
                control.inject(from, to, datagram, Duration::ZERO);
            }
        });
    }

    /// Sends a PDU in a host's name, past all links. It arrives now.
    pub fn forge(&mut self, from: HostId, to: HostId, header: &Envelope, pdu: &Pdu<'_>) {
        let mut datagram = Vec::new();
        wire::encode(header, pdu, &mut datagram);
        self.with(|control| {
            control.inject(from.address(), to.address(), &datagram, Duration::ZERO);
        });
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.simulation.now() + duration;
        while self.simulation.now() < end {
            let next = (self.simulation.now() + LOOK).min(end);
            self.simulation.run_until(next);
            self.look();
        }
    }

    /// Lets time pass until a call has ended.
    ///
    /// # Panics
    ///
    /// It does not end.
    pub fn run_until_ended(&mut self, call: Call) {
        let limit = self.simulation.now() + SETTLED_MAX;
        while !self.has_ended(call) {
            assert!(self.simulation.now() < limit, "call {} never ends", call.number);
            self.run(ms(1));
        }
    }

    /// Starts a call.
    ///
    /// # Panics
    ///
    /// The client is down.
    pub fn call(&mut self, client: HostId, plan: Plan) -> Call {
        let number = self.with_client(client, |node, now| node.call(now, plan.at(now)));
        Call { client, number }
    }

    /// Makes a call and waits until it has ended.
    pub fn finish_call(&mut self, client: HostId, plan: Plan) -> Call {
        let call = self.call(client, plan);
        self.run_until_ended(call);
        call
    }

    /// The user gives a call up.
    pub fn cancel(&mut self, call: Call) {
        self.with_client(call.client, |node, now| node.cancel(now, call.number));
    }

    /// The user asks what became of a call that ended in doubt.
    ///
    /// # Panics
    ///
    /// The call has not ended.
    pub fn start_resolve(&mut self, call: Call, within: Duration) {
        let (id, _) = self.told(call).first().cloned().expect("the call has ended");
        self.with_client(call.client, |node, now| {
            node.resolve(now, 0, call.number, id, now + within);
        });
    }

    /// The same, and the user waits for the answer.
    ///
    /// # Panics
    ///
    /// The call has not ended, or the answer does not come.
    pub fn resolve(&mut self, call: Call, within: Duration) -> Outcome {
        let answers = self.told(call).len();
        self.start_resolve(call, within);
        let limit = self.simulation.now() + within + ms(2);
        while self.told(call).len() == answers && self.simulation.now() < limit {
            self.run(ms(1));
        }
        self.told(call).into_iter().nth(answers).expect("a resolve ends in time").1
    }

    /// What the user was told who asked what became of the call, if anything.
    #[must_use]
    pub fn resolution(&self, call: Call) -> Option<Outcome> {
        self.told(call).into_iter().nth(1).map(|(_, outcome)| outcome)
    }

    /// Whether the user was told how the call ended.
    #[must_use]
    pub fn has_ended(&self, call: Call) -> bool {
        !self.told(call).is_empty()
    }

    /// How the call ended.
    ///
    /// # Panics
    ///
    /// It has not.
    #[must_use]
    pub fn outcome(&self, call: Call) -> Outcome {
        let told = self.told(call);
        let number = call.number;
        told.into_iter().next().unwrap_or_else(|| panic!("call {number} has not ended")).1
    }

    /// Whether the call ran, as its user was told.
    #[must_use]
    pub fn verdict(&self, call: Call) -> Execution {
        self.outcome(call).execution()
    }

    /// How often the call began to run.
    #[must_use]
    pub fn executions(&self, call: Call) -> usize {
        self.notebook.open().executions.get(&call.number).map_or(0, Vec::len)
    }

    /// What the `nth` execution of the call returned, counted from 1.
    ///
    /// # Panics
    ///
    /// It did not run so often.
    #[must_use]
    pub fn returned(&self, call: Call, nth: usize) -> Outcome {
        let notes = self.notebook.open();
        let replies = notes.executions.get(&call.number);
        let reply = replies.and_then(|replies| replies.get(nth - 1));
        Outcome::Returned(reply.expect("it ran so often").clone())
    }

    /// The requests that carried the call, in order: where and how often it was sent.
    #[must_use]
    pub fn requests(&self, call: Call) -> Vec<CallId> {
        let wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for sighting in wire.iter().filter(|sighting| sighting.from == call.client) {
            sighting.each(|envelope, pdu| {
                let Pdu::Request(request) = pdu else { return };
                if request.arguments.starts_with(&call.number.to_le_bytes()) {
                    let (session, space) = (envelope.session, envelope.space);
                    let (slot, sequence) = (request.slot, request.sequence);
                    found.push(CallId { session, space, slot, sequence });
                }
            });
        }
        found
    }

    /// The time since the story began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.simulation.now().since(Instant::START)
    }

    /// Lets every call end and the network fall silent, and asks the checker for its judgement.
    ///
    /// # Panics
    ///
    /// An invariant is broken.
    pub fn check(&mut self) {
        self.judge(None);
    }

    /// As [`World::check`]; `twin` is the trace's hash of an earlier telling.
    fn judge(&mut self, twin: Option<u64>) -> u64 {
        self.settle();
        let before = self.with(|control| control.net.counters().sent);
        self.run(SILENCE);
        let noise = self.with(|control| control.net.counters().sent) - before;
        let now = self.simulation.now();
        if noise > 0 {
            let what = format!("{noise} datagrams, long after the last call,");
            self.journal.note(now, Fact::Noise { what });
        }
        for (call, times) in self.all_effects() {
            self.journal.note(now, Fact::Kept { call, times });
        }
        let hash = self.simulation.trace_hash();
        self.journal.deterministic(now, twin.unwrap_or(hash), hash);
        self.is_checked = true;
        let broken = self.journal.finish(now + AFTER_ALL);
        let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "{}: {}", self.story, broken.join("\n  "));
        hash
    }

    fn settle(&mut self) {
        let limit = self.simulation.now() + SETTLED_MAX;
        while !self.is_idle() {
            assert!(self.simulation.now() < limit, "the story never settles");
            self.run(ms(100));
        }
        self.run(GRACE);
    }

    fn told(&self, call: Call) -> Vec<(CallId, Outcome)> {
        self.notebook.open().told.get(&call.number).cloned().unwrap_or_default()
    }

    fn with<T>(&self, look: impl FnOnce(&mut Control) -> T) -> T {
        self.simulation.with(look)
    }

    fn with_client<T>(
        &self,
        client: HostId,
        look: impl FnOnce(&mut ClientNode<User>, Instant) -> T,
    ) -> T {
        self.with(|control| control.node(client, look)).expect("the client is up")
    }
}

impl Drop for World {
    #[expect(clippy::print_stderr, reason = "a failed test tells its story")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = &self.story;
            eprintln!("{name}: the last events");
            self.with(|control| {
                for line in control.trace.lines() {
                    eprintln!("  {line}");
                }
                let (seed, hash) = (control.seed(), control.trace.hash());
                eprintln!(
                    "  replay: RPC_SEED={seed:#x} cargo test -p rpc-tests --test scenarios {name}"
                );
                eprintln!("  (trace hash {hash:016x})");
            });
        } else {
            assert!(self.is_checked, "{}: the world was not checked", self.story);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the world was not checked")]
    fn an_unchecked_world_panics() {
        drop(World::new("nothing", 1, true));
    }

    #[test]
    #[should_panic(expected = "invariant 9")]
    fn a_story_with_faults_is_not_faultless() {
        faultless_story(|world| {
            let bank = world.server("bank");
            let till = world.client("till", bank);
            world.link(till, bank).drop_next(wire::Kind::Request);
            world.finish_call(till, once());
        });
    }

    #[test]
    #[should_panic(expected = "no REQUEST was held back")]
    fn what_was_not_held_cannot_be_delivered() {
        story(|world| {
            let bank = world.server("bank");
            let till = world.client("till", bank);
            let held = world.link(till, bank).hold_next(wire::Kind::Request);
            world.deliver(&held);
        });
    }
}
