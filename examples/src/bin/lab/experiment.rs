//! One row of the comparison: what is tried, and what came of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use rpc_runtime::Semantics;
use rpc_runtime::fault::Faults;
use rpc_runtime::sim::checker::{Fact, Tally};
use rpc_runtime::sim::nodes::Journal;
use rpc_runtime::time::Instant;
use serde::Serialize;

use super::vault::Effects;

/// What is compared.
pub(crate) const SEMANTICS: [Semantics; 4] =
    [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];

/// How long a caller waits for one call.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The longest latency that is told from longer ones, in microseconds: far beyond any deadline.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Where calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum World {
    /// The simulator, its clients and server driven without threads.
    Sim,
    /// The simulator, with the blocking code that runs on sockets.
    SimThreads,
    /// Real UDP sockets.
    Udp,
}

impl World {
    /// The word for it, as on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::SimThreads => "sim-threads",
            Self::Udp => "udp",
        }
    }
}

/// What is tried.
#[derive(Clone, Debug)]
pub(crate) struct Experiment {
    pub(crate) world: World,
    pub(crate) semantics: Semantics,
    pub(crate) faults: Faults,
    pub(crate) calls: u64,
    pub(crate) seed: u64,
}

impl Experiment {
    /// How many of the calls the `n`th of `clients` makes.
    pub(crate) fn share(&self, n: u64, clients: u64) -> u64 {
        self.calls / clients + u64::from(n < self.calls % clients)
    }

    /// Judges what was measured.
    pub(crate) fn row(&self, measured: &Measured) -> Row {
        // Of a durable call the store is the record: what is not in it did not happen.
        for (&call, &times) in &measured.effects {
            measured.journal.note(measured.ended, Fact::Kept { call, times });
            measured.ledger.enter(call);
        }
        let violations = measured.journal.finish(measured.ended);
        let tally = measured.journal.tally();
        let ran = measured.ledger.entries().len() as u64;
        let is_maybe = self.semantics == Semantics::Maybe;
        Row {
            world: self.world,
            semantics: self.semantics,
            faults: self.faults.to_string(),
            seed: self.seed,
            tally,
            effects_lost: measured.ledger.lost(&measured.seen.confirmed),
            sent_not_run: if is_maybe { tally.ok.saturating_sub(ran) } else { 0 },
            violations: violations.len() as u64,
            first_violation: violations.first().map(ToString::to_string),
            datagrams: measured.datagrams,
            retransmissions: measured.retransmissions,
            p50_us: measured.seen.latencies.value_at_quantile(0.5),
            p99_us: measured.seen.latencies.value_at_quantile(0.99),
            calls_per_second: rate(self.calls, measured.seconds),
            trace_hash: measured.trace_hash.map(|hash| format!("{hash:016x}")),
        }
    }
}

/// What a run leaves behind.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) journal: Journal,
    pub(crate) ledger: Ledger,
    /// What the stores hold of `exactly_once` calls.
    pub(crate) effects: Effects,
    pub(crate) seen: Seen,
    pub(crate) datagrams: u64,
    pub(crate) retransmissions: u64,
    /// The run's last moment by its own clock.
    pub(crate) ended: Instant,
    /// How long the calls took in real time.
    pub(crate) seconds: f64,
    pub(crate) trace_hash: Option<u64>,
}

/// The servers' own record: the calls whose effect is there. All servers of a run share one, as
/// they would a database.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeSet<u64>>>);

impl Ledger {
    /// The effect of `call`, made by its handler or found in its store.
    pub(crate) fn enter(&self, call: u64) {
        self.entries().insert(call);
    }

    /// How many of the `confirmed` calls have no effect here.
    fn lost(&self, confirmed: &[u64]) -> u64 {
        let entries = self.entries();
        confirmed.iter().filter(|call| !entries.contains(call)).count() as u64
    }

    fn entries(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What clients saw of their calls.
#[derive(Debug)]
pub(crate) struct Seen {
    /// From the call to its end, in microseconds.
    latencies: Histogram<u64>,
    /// The calls that a reply came for.
    confirmed: Vec<u64>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_max(LATENCY_US_MAX, 3);
        Self { latencies: latencies.expect("three digits are allowed"), confirmed: Vec::new() }
    }

    pub(crate) fn took(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn confirmed(&mut self, call: u64) {
        self.confirmed.push(call);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("all histograms have one range");
        self.confirmed.extend_from_slice(&other.confirmed);
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) world: World,
    pub(crate) semantics: Semantics,
    pub(crate) faults: String,
    pub(crate) seed: u64,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// Calls that a client got a reply for, and whose effect is not in the servers' own record when
    /// the run is over.
    pub(crate) effects_lost: u64,
    /// `maybe` calls that were handed over and never ran: nobody was promised that they would.
    pub(crate) sent_not_run: u64,
    pub(crate) violations: u64,
    /// The first of them, in words.
    #[serde(skip)]
    pub(crate) first_violation: Option<String>,
    pub(crate) datagrams: u64,
    pub(crate) retransmissions: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) calls_per_second: u64,
    /// The same for every run of a seed; real sockets have none.
    pub(crate) trace_hash: Option<String>,
}

impl Row {
    /// Whether every promise was kept.
    pub(crate) const fn is_clean(&self) -> bool {
        self.violations == 0 && self.tally.wrong_replies == 0 && self.effects_lost == 0
    }

    /// What is wrong with it, and how to see it again.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Self { semantics, faults, seed, tally, effects_lost, violations, .. } = self;
        let (world, calls) = (self.world.word(), tally.calls);
        let first = self.first_violation.as_deref().unwrap_or("replies without an effect");
        (!self.is_clean()).then(|| {
            format!(
                "{world} {semantics}: {violations} violations, {effects_lost} effects lost; {first}\n  \
                 replay: lab compare --world {world} --faults {faults} --calls {calls} --seed {seed}"
            )
        })
    }
}

/// Calls a second, whole.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people"
)]
pub(crate) fn rate(calls: u64, seconds: f64) -> u64 {
    (calls as f64 / seconds.max(1e-9)) as u64
}
