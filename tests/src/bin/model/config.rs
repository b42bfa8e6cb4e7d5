//! What may happen in each explored world, and which worlds a size has.

use rpc_runtime::protocol::Limits;

use crate::record::Told;
use crate::sides::{WATCHED, limits};

/// A world to be explored: who takes part, and how often what may happen.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    /// The calls in their order, by method: see [`crate::sides::METHODS`].
    pub(crate) calls: &'static [usize],
    /// Calls under way at once.
    pub(crate) calls_at_once: usize,
    /// After how many ticks a caller gives up by itself.
    pub(crate) patience: Option<u8>,
    pub(crate) slots: u32,
    /// The processes that live at the server's address one after another, by server id.
    pub(crate) servers: &'static [u8],
    /// Lives of the client.
    pub(crate) client_lives: u8,
    /// Addresses of the client, which does not know that they change.
    pub(crate) client_addresses: u8,
    pub(crate) cancels: u8,
    pub(crate) resolves: u8,
    /// How often the server's load changes.
    pub(crate) loads: u8,
    pub(crate) drains: bool,
    pub(crate) closes: bool,
    pub(crate) panics: bool,
    /// Whether a request may arrive after its caller's patience.
    pub(crate) late: bool,
    pub(crate) cookie_always: bool,
    /// Nothing is lost, late or repeated, and both clocks go alike.
    pub(crate) faultless: bool,
    /// A server that was replaced has only stalled, and goes on.
    pub(crate) stalls: bool,
    /// What clients left in the store may become too old between two lives of the server.
    pub(crate) ages: bool,
    /// The client keeps a journal.
    pub(crate) journal: bool,
    /// HELLOs with a nonce of their own that a life of the client may send.
    pub(crate) nonces: u64,
    /// Sessions over all lives.
    pub(crate) sessions: usize,
    /// Executions of one call.
    pub(crate) executions: u8,
    /// Of so many states one is tried for whether calm ends its calls; 0 is none.
    pub(crate) calm_every: u64,
    /// What must be reached.
    pub(crate) expects: &'static [Told],
}

impl Config {
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = limits();
        limits.slots_max = self.slots;
        limits.cookie_always = self.cookie_always;
        limits
    }

    /// Whether the server has a store.
    pub(crate) fn is_durable(&self) -> bool {
        self.calls.contains(&EXACTLY)
    }

    const fn new(name: &'static str, calls: &'static [usize]) -> Self {
        Self {
            name,
            calls,
            calls_at_once: 1,
            patience: None,
            slots: 1,
            servers: &[1],
            client_lives: 1,
            client_addresses: 1,
            cancels: 0,
            resolves: 0,
            loads: 0,
            drains: false,
            closes: false,
            panics: false,
            late: false,
            cookie_always: false,
            faultless: false,
            stalls: false,
            ages: false,
            journal: false,
            nonces: 2,
            sessions: 2,
            executions: 2,
            calm_every: 1,
            expects: &[Told::Success],
        }
    }
}

/// `at_most_once`, `at_least_once`, `maybe`, `exactly_once`.
const ONCE: usize = 0;
const AGAIN: usize = 1;
const MAYBE: usize = 2;
const EXACTLY: usize = 3;

/// How much is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Size {
    Tiny,
    Small,
    Default,
    Large,
}

/// The worlds of a size: those of the smaller ones, and more.
pub(crate) fn all(size: Size) -> Vec<Config> {
    let mut worlds = tiny();
    if size >= Size::Small {
        worlds.extend(small());
    }
    if size >= Size::Default {
        worlds.extend(default());
    }
    if size >= Size::Large {
        worlds.extend(large());
    }
    worlds
}

fn tiny() -> Vec<Config> {
    use Told::{Failure, Lost, NotExecuted, Resolved, Resumed, Success, Unknown};
    let base = Config::new;
    vec![
        Config { expects: &[Success, Lost], ..base("call", &[ONCE]) },
        Config {
            cancels: 1,
            resolves: 1,
            expects: &[Success, Unknown, Resolved],
            ..base("seal", &[ONCE])
        },
        Config { servers: &[1, 1], expects: &[Success, Lost], ..base("restart", &[ONCE]) },
        Config {
            servers: &[1, 2],
            expects: &[Success, NotExecuted],
            ..base("another server", &[ONCE])
        },
        Config { loads: 2, expects: &[Success, NotExecuted], ..base("overload", &[ONCE]) },
        Config { loads: 2, expects: &[Success, Unknown], ..base("again", &[AGAIN]) },
        Config { panics: true, expects: &[Success, Failure], ..base("panic", &[ONCE]) },
        Config {
            faultless: true,
            nonces: 9,
            sessions: 9,
            expects: &[Success, Resumed],
            ..base("no fault", &[ONCE, ONCE, AGAIN])
        },
        Config { expects: &[], ..base("maybe", &[MAYBE, MAYBE]) },
        Config { drains: true, expects: &[Success, NotExecuted], ..base("drain", &[ONCE]) },
        Config { cancels: 1, expects: &[Success, Unknown], ..base("cancel", &[ONCE]) },
        Config { cookie_always: true, ..base("cookie", &[ONCE]) },
        base("durable", &[EXACTLY]),
        base("quanta", &[WATCHED]),
        Config {
            patience: Some(2),
            late: true,
            expects: &[Success, Unknown, NotExecuted],
            ..base("deadline", &[ONCE])
        },
    ]
}

fn small() -> Vec<Config> {
    use Told::{Success, Unknown};
    let base = Config::new;
    vec![
        Config { closes: true, ..base("close", &[ONCE, ONCE]) },
        Config { client_addresses: 2, ..base("move", &[ONCE]) },
        Config { client_lives: 2, ..base("client restart", &[ONCE, ONCE]) },
        Config { cancels: 1, ..base("slot reuse", &[ONCE, ONCE]) },
        Config {
            servers: &[1, 1],
            ages: true,
            nonces: 3,
            expects: &[Success, Unknown],
            ..base("store grows old", &[EXACTLY])
        },
        Config { loads: 1, servers: &[1, 1], nonces: 3, ..base("durable restart", &[EXACTLY]) },
        Config { client_lives: 2, ..base("durable client dies", &[EXACTLY]) },
        Config { client_lives: 2, journal: true, ..base("heir", &[ONCE]) },
        Config { client_lives: 2, journal: true, ..base("durable heir", &[EXACTLY]) },
    ]
}

fn default() -> Vec<Config> {
    let base = Config::new;
    vec![
        Config { nonces: 3, sessions: 3, ..base("revive", &[ONCE, ONCE]) },
        Config { calls_at_once: 2, slots: 2, cancels: 1, ..base("two slots", &[ONCE, ONCE]) },
        Config { cancels: 1, resolves: 1, ..base("reuse and resolve", &[ONCE, ONCE]) },
        Config { cancels: 1, servers: &[1, 1], ..base("reuse and restart", &[ONCE, ONCE]) },
        Config { loads: 2, drains: true, ..base("overload and drain", &[ONCE, ONCE]) },
        Config {
            loads: 2,
            servers: &[1, 1],
            nonces: 3,
            sessions: 3,
            ..base("again and restart", &[AGAIN])
        },
        Config { client_lives: 2, servers: &[1, 1], ..base("both restart", &[ONCE, ONCE]) },
        Config { servers: &[1, 2, 1], nonces: 3, ..base("taken over", &[ONCE]) },
        Config { calls_at_once: 2, slots: 2, ..base("mixed", &[AGAIN, ONCE]) },
        Config { patience: Some(2), late: true, ..base("two deadlines", &[ONCE, ONCE]) },
        Config { client_addresses: 2, cancels: 1, resolves: 1, ..base("move and seal", &[ONCE]) },
        Config { nonces: 3, sessions: 3, ..base("durable sessions", &[EXACTLY]) },
        Config { nonces: 3, ..base("two durable calls", &[EXACTLY, EXACTLY]) },
    ]
}

fn large() -> Vec<Config> {
    let base = Config::new;
    vec![
        Config { client_lives: 2, ..base("durable client restart", &[EXACTLY, EXACTLY]) },
        Config { client_lives: 2, journal: true, loads: 2, ..base("journal", &[EXACTLY]) },
        Config { loads: 1, servers: &[1, 1], nonces: 3, stalls: true, ..base("stall", &[EXACTLY]) },
        Config { cancels: 2, resolves: 1, ..base("three calls", &[ONCE, ONCE, ONCE]) },
        Config { client_lives: 3, ..base("three lives", &[ONCE, ONCE, ONCE]) },
        Config { nonces: 4, sessions: 3, cancels: 1, ..base("three sessions", &[ONCE, ONCE]) },
    ]
}
