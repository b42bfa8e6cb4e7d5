//! Asks servers how they are that want to be asked.
//!
//! ```text
//!   registry ──due──► dispatcher ──► threads, at most so many ──rpc.health──► servers
//!       ▲                                  │
//!       └──── answered, or not ────────────┘
//! ```
//!
//! A thread asks one server at a time, waits for its answer for a second at the most, and goes on to
//! the next that is due. So servers that never answer, or are none, cost a bounded number of threads
//! and datagrams, and those that do answer do not wait for them. A server of several addresses is asked
//! at the next one after it did not answer. Nothing is asked where a registration could lead the binder
//! astray: at names, which somebody would have to look up, and at files of this host.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::driver::{Gate, World};
use rpc_runtime::server::{HealthCheck as _, HealthCheckClient};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Channel, ErrorKind, Execution, Options, scheme};

use crate::desk::Desk;
use crate::registry::polls::Question;

/// Servers that are asked at a time.
const UNDER_WAY_MAX: usize = 16;
/// How long an answer is waited for at least, however often one is wanted, and at most.
const PATIENCE_MIN: Duration = Duration::from_millis(500);
const PATIENCE_MAX: Duration = Duration::from_secs(1);
/// How long nothing is asked after no thread was to be had for it.
const REFUSED: Duration = Duration::from_secs(1);

/// Asks servers. Ends its threads when it is dropped.
#[derive(Debug)]
pub(crate) struct Poller {
    pool: Arc<Pool>,
}

/// What its threads share.
#[derive(Debug)]
struct Pool {
    world: Arc<dyn World>,
    desk: Arc<Desk>,
    gate: Arc<dyn Gate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_dispatcher: bool,
    under_way: usize,
    is_ended: bool,
}

impl Poller {
    /// One that asks nobody as long as nobody wants it.
    #[must_use]
    pub(crate) fn new(world: &Arc<dyn World>, desk: &Arc<Desk>) -> Self {
        let (world, desk, gate) = (Arc::clone(world), Arc::clone(desk), world.gate());
        Self { pool: Arc::new(Pool { world, desk, gate, state: Mutex::default() }) }
    }

    /// Somebody wants to be asked, from now on or still.
    pub(crate) fn look(&self) {
        let pool = &self.pool;
        {
            let mut state = pool.lock();
            if state.is_ended || state.has_dispatcher {
                drop(state);
                pool.gate.open(); // perhaps this one is due before all others
                return;
            }
            state.has_dispatcher = true;
        }
        let theirs = Arc::clone(pool);
        let started = pool.world.spawn("rpc-binder-polls", Box::new(move || theirs.dispatch()));
        if started.is_err() {
            pool.lock().has_dispatcher = false; // the next renewal tries again
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.pool.lock().is_ended = true;
        self.pool.gate.open();
    }
}

impl Pool {
    /// The dispatcher's body.
    fn dispatch(self: Arc<Self>) {
        let mut not_before = Instant::START;
        loop {
            let (is_ended, has_room) = {
                let state = self.lock();
                (state.is_ended, state.under_way < UNDER_WAY_MAX)
            };
            if is_ended {
                return;
            }
            let (now, next) = self.desk.with(|now, registry| (now, registry.next_poll()));
            let next = next.map(|next| next.max(not_before));
            if !has_room || next.is_none_or(|next| next > now) {
                self.gate.wait(next.filter(|_| has_room));
                continue;
            }
            if let Some(question) = self.desk.with(|now, registry| registry.take_poll(now))
                && !Self::hire(&self, question)
            {
                not_before = now + REFUSED;
            }
        }
    }

    /// Has a thread of its own ask; says whether there is one.
    fn hire(pool: &Arc<Self>, question: Question) -> bool {
        pool.lock().under_way += 1;
        let (id, theirs) = (question.id, Arc::clone(pool));
        let asking = Asking(theirs);
        let started = pool.world.spawn("rpc-binder-poll", Box::new(move || asking.run(question)));
        if started.is_err() {
            pool.desk.polled(id, None);
        }
        started.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that asks. Without it there is room for another one, however it ended.
struct Asking(Arc<Pool>);

impl Drop for Asking {
    fn drop(&mut self) {
        let Self(pool) = self;
        pool.lock().under_way -= 1;
        // It may unwind because its world has ended: then that refuses everything.
        let _ = catch_unwind(AssertUnwindSafe(|| pool.gate.open()));
    }
}

impl Asking {
    /// Asks one server after another, as long as one is due.
    fn run(self, first: Question) {
        let Self(pool) = &self;
        let mut next = Some(first);
        while let Some(question) = next {
            let has_answered = ask(&question);
            pool.desk.polled(question.id, has_answered);
            let is_ended = pool.lock().is_ended;
            next = if is_ended {
                None
            } else {
                pool.desk.with(|now, registry| registry.take_poll(now))
            };
        }
    }
}

/// Whether a server has answered, in that life; `None` if it cannot be asked.
fn ask(question: &Question) -> Option<bool> {
    let Question { name, server, incarnation, addresses, every, silences, .. } = question;
    let addresses: Vec<_> = addresses.iter().filter(|address| may_be_asked(address)).collect();
    let turn = usize::try_from(*silences).unwrap_or_default();
    let address = addresses.get(turn.checked_rem(addresses.len())?)?;
    let (world, place) = scheme::open(address).ok()?;
    let channel = Channel::to(&world, &place, *server, *incarnation).ok()?;
    let options = Options::new().timeout((*every).clamp(PATIENCE_MIN, PATIENCE_MAX));
    let options = options.retry(false).circuit_breaker(false);
    match HealthCheckClient::on(&channel.with(options)).check(name) {
        Ok(_status) => Some(true), // how it is, it has told by itself
        Err(error) => Some(is_answer(&error)),
    }
}

/// Whether the failure of the call comes from the server that was meant, in that life.
fn is_answer(error: &CallError) -> bool {
    let is_refused = matches!(
        error.kind(),
        ErrorKind::Overloaded
            | ErrorKind::Draining
            | ErrorKind::UnknownMethod
            | ErrorKind::ChangedMethod
            | ErrorKind::BadArguments
            | ErrorKind::Unauthorised
            | ErrorKind::VersionMismatch
    );
    is_refused || error.execution() == Execution::Executed
}

/// Whether anybody may have this binder send datagrams, or open a stream, to that address.
fn may_be_asked(address: &str) -> bool {
    match address.split_once("://") {
        Some(("udp" | "tcp", place)) => place.parse::<SocketAddr>().is_ok_and(|to| is_one(to.ip())),
        Some(("sim", _)) => true,
        Some(_) | None => false,
    }
}

/// Whether that is the address of one host.
fn is_one(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_by_name_by_file_or_at_more_than_one_host() {
        for good in ["udp://127.0.0.1:7001", "tcp://[::1]:7001", "sim://bank"] {
            assert!(may_be_asked(good), "{good}");
        }
        for bad in [
            "udp://bank.example:7001",
            "unix:///run/bank.sock",
            "shm:///run/bank.sock",
            "mem://bank",
            "udp://224.0.0.1:7001",
            "udp://255.255.255.255:7001",
            "udp://[ff02::1]:7001",
            "udp://[::ffff:224.0.0.1]:7001",
            "binder://127.0.0.1:7000/bank",
            "127.0.0.1:7001",
            "",
        ] {
            assert!(!may_be_asked(bad), "{bad}");
        }
    }
}
