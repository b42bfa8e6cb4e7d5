//! What is shown: services, their versions and servers, who calls whom, and sums.
//!
//! Plain data, made by [`history`](super::history) and read by everything that shows it.

use std::collections::BTreeMap;

use rpc_runtime::binder::{Callee, Entry, EntryState, Figures, Report, Version};

/// Everything that is shown of one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    /// The instant, in ms on the binder's clock.
    pub(super) now_ms: u64,
    /// How long a registration is believed without a renewal, in ms.
    pub(super) lease_ms: u64,
    /// In order of their names.
    pub(super) services: Vec<Service>,
    /// In order of who calls and who is called.
    pub(super) edges: BTreeMap<(String, String), Edge>,
    pub(super) totals: Totals,
    /// Registrations that are not shown.
    pub(super) left_out: usize,
    /// What the store said, if it has failed.
    pub(super) trouble: Option<String>,
}

/// All that is registered under one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Service {
    pub(super) name: String,
    /// The lowest first.
    pub(super) versions: Vec<(Version, Vec<Instance>)>,
    /// Handlers that begin in a second; `None` before it is known of any server.
    pub(super) rate: Option<f64>,
    /// The rates of the last two minutes, the oldest first.
    pub(super) trend: Vec<f64>,
    /// How calls to it went, as those servers say that call it.
    pub(super) seen: Outcomes,
}

impl Service {
    pub(super) fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.versions.iter().flat_map(|(_, instances)| instances)
    }
}

/// One registration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Instance {
    pub(super) entry: Entry,
    pub(super) standing: Standing,
    /// When its lease ends or ended, in ms on the binder's clock.
    pub(super) lease_end_ms: u64,
    /// What its server said when it renewed last; `None` before it did.
    pub(super) report: Option<Report>,
    /// Handlers that began in a second, between the last two renewals that were seen.
    pub(super) rate: Option<f64>,
}

impl Instance {
    pub(super) fn figures(&self) -> Option<Figures> {
        self.report.as_ref().map(|report| report.figures)
    }

    /// As [`Instance::figures`], if they speak of the present.
    pub(super) fn present(&self) -> Option<Figures> {
        self.figures().filter(|_| self.standing != Standing::Expired)
    }
}

/// How a server stands with clients, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Live,
    NotServing,
    Silent,
    Draining,
    Expired,
}

impl Standing {
    pub(super) const ALL: [Self; 5] =
        [Self::Live, Self::NotServing, Self::Silent, Self::Draining, Self::Expired];

    pub(super) const fn of(entry: &Entry) -> Self {
        match entry.state {
            EntryState::Live => Self::Live,
            EntryState::NotServing => Self::NotServing,
            EntryState::Silent => Self::Silent,
            EntryState::Draining => Self::Draining,
            EntryState::Expired => Self::Expired,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NotServing => "not serving",
            Self::Silent => "silent",
            Self::Draining => "draining",
            Self::Expired => "expired",
        }
    }

    /// As [`Standing::word`], in one word: for classes and labels.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NotServing => "not_serving",
            Self::Silent => "silent",
            Self::Draining => "draining",
            Self::Expired => "expired",
        }
    }
}

/// How calls went, as their callers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    pub(super) returned: u64,
    pub(super) not_executed: u64,
    pub(super) executed: u64,
    pub(super) unknown: u64,
}

impl Outcomes {
    pub(super) const fn of(callee: &Callee) -> Self {
        let Callee { name: _, returned, not_executed, executed, unknown } = callee;
        Self {
            returned: *returned,
            not_executed: *not_executed,
            executed: *executed,
            unknown: *unknown,
        }
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.returned = self.returned.saturating_add(other.returned);
        self.not_executed = self.not_executed.saturating_add(other.not_executed);
        self.executed = self.executed.saturating_add(other.executed);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }

    /// What has come since `before`, which may be of another life.
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            returned: self.returned.saturating_sub(before.returned),
            not_executed: self.not_executed.saturating_sub(before.not_executed),
            executed: self.executed.saturating_sub(before.executed),
            unknown: self.unknown.saturating_sub(before.unknown),
        }
    }

    pub(super) const fn failed(self) -> u64 {
        self.not_executed.saturating_add(self.executed).saturating_add(self.unknown)
    }

    pub(super) const fn all(self) -> u64 {
        self.returned.saturating_add(self.failed())
    }
}

/// Calls from the servers of one service to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Edge {
    pub(super) outcomes: Outcomes,
    /// Calls a second.
    pub(super) rate: Option<f64>,
}

/// Sums over all that is shown. Each server counts once, however many services it offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Servers that renew their leases.
    pub(super) servers: usize,
    /// Registrations by [`Standing`], in the order of [`Standing::ALL`].
    pub(super) standings: [usize; 5],
    pub(super) rate: Option<f64>,
    /// The rates of the last two minutes, the oldest first.
    pub(super) trend: Vec<f64>,
    pub(super) running: u64,
    pub(super) queued: u64,
    pub(super) refused: u64,
    pub(super) duplicates_suppressed: u64,
    pub(super) orphans_killed: u64,
    pub(super) outcomes: Outcomes,
}

/// The sum of two rates, of which either may not be known.
pub(super) fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (rate, None) | (None, rate) => rate,
    }
}
