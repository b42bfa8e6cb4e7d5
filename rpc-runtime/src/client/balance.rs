//! How a channel that leads to several servers spreads its calls.
//!
//! ```text
//!   the binder's news ──► members ──pick──► connection of the next call
//!                                  ▲
//!        load: calls under way, latency of those that ended
//! ```
//!
//! A member is left out while it is lost or silent, and tried again a moment later; one that joins
//! others gets its share little by little. Does not know who finds servers, or how a call is made.
//!
//! Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); the moving average that
//! rises faster than it falls is that of Finagle's P2CLoadBalancer. Rendezvous hashing: Thaler &
//! Ravishankar (1998).

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::connection::Connection;
use super::route::Loss;
use crate::driver::World;
use crate::hash::{Hasher, SipKey};
use crate::ids::ServerId;
use crate::time::{Duration, Instant};

/// How long a server that did not answer is left out, until one call tries it.
const SILENT_LEFT_OUT: Duration = Duration::from_secs(1);
/// How long a server that joins others takes to get its whole share.
const SLOW_START: Duration = Duration::from_secs(10);
/// The share that it begins with, in percent.
const SLOW_START_PERCENT: u64 = 10;
/// A difference in latency up to this factor is noise.
const NOISE: u64 = 2;

/// Which of several servers the next call goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Of two drawn at random, the one that is expected to answer sooner: by its latency and by the calls
    /// that this process has there already. `peak_ewma`.
    #[default]
    PeakEwma,
    /// One after the other. `round_robin`.
    RoundRobin,
    /// Any. `random`.
    Random,
    /// Any, as often as its weight says ([`Server::weight`](crate::Server::weight)). `weighted`.
    Weighted,
    /// The same for calls of the same key (`#[rpc(key)]` on a parameter), as long as that
    /// server is there; calls without a key go to any. `hash`.
    Hash,
    /// All to one, until that is lost. `sticky`.
    Sticky,
}

impl Balance {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::PeakEwma, Self::RoundRobin, Self::Random, Self::Weighted, Self::Hash, Self::Sticky];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeakEwma => "peak_ewma",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::Weighted => "weighted",
            Self::Hash => "hash",
            Self::Sticky => "sticky",
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|balance| balance.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no way to balance calls: known are {known}")
        })
    }
}

/// One of several servers.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(super) connection: Arc<Connection>,
    pub(crate) server: ServerId,
    pub(crate) weight: u32,
    /// Whether it stands in the client's own zone.
    pub(crate) is_near: bool,
    /// When it joined others; at the start if it was among the first.
    joined: Instant,
}

impl Member {
    pub(crate) fn new(
        channel: &super::Channel,
        server: ServerId,
        weight: u32,
        is_near: bool,
    ) -> Self {
        let connection = channel.connection();
        Self { connection, server, weight, is_near, joined: Instant::START }
    }
}

/// Where a call goes.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) connection: Arc<Connection>,
    /// Whether the server was silent, and this call tries it.
    pub(super) is_trial: bool,
}

/// Spreads the calls of a route.
#[derive(Debug)]
pub(super) struct Balancer {
    world: Arc<dyn World>,
    balance: Balance,
    /// Those of the client's own zone first.
    members: RwLock<Arc<[Member]>>,
    turns: AtomicU64,
    /// Randomness enough to spread calls: a counter, mixed.
    draws: AtomicU64,
}

impl Balancer {
    pub(super) fn new(world: &Arc<dyn World>, balance: Balance) -> Self {
        Self {
            world: Arc::clone(world),
            balance,
            members: RwLock::default(),
            turns: AtomicU64::new(0),
            draws: AtomicU64::new(world.rng().next_u64()),
        }
    }

    /// Who there is from now on; gives those that are no members any more.
    pub(super) fn set(&self, mut members: Vec<Member>) -> Vec<Arc<Connection>> {
        let before = self.members();
        let now = self.world.now();
        for member in &mut members {
            let known = before.iter().find(|known| known.server == member.server);
            member.joined = match known {
                Some(known) => known.joined,
                None if before.is_empty() => Instant::START,
                None => now,
            };
        }
        members.sort_by_key(|member| !member.is_near);
        let gone = before.iter().map(|member| &member.connection);
        let gone = gone.filter(|connection| {
            !members.iter().any(|member| Arc::ptr_eq(&member.connection, connection))
        });
        let gone = gone.cloned().collect();
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members.into();
        gone
    }

    pub(super) fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the next call goes; nowhere if no member is well. One that was silent is tried again now and
    /// then, by one call; it is well when that is answered.
    pub(super) fn pick(&self, key: Option<u64>) -> Option<Picked> {
        let members = self.members();
        let trial = members.iter().find(|member| {
            let is_silent = member.connection.loss() == Some(Loss::Silent);
            is_silent && member.connection.may_try_again(SILENT_LEFT_OUT)
        });
        if let Some(member) = trial {
            return Some(Picked { connection: Arc::clone(&member.connection), is_trial: true });
        }
        let near = members.iter().take_while(|member| member.is_near).count();
        let (near, far) = members.split_at(near);
        let picked = self.pick_of(near, key).or_else(|| self.pick_of(far, key))?;
        Some(Picked { connection: Arc::clone(&picked.connection), is_trial: false })
    }

    pub(super) fn has(&self, connection: &Arc<Connection>) -> bool {
        self.members().iter().any(|member| Arc::ptr_eq(&member.connection, connection))
    }

    /// Whether there is more than one to choose from.
    pub(super) fn is_choice(&self) -> bool {
        self.members().len() > 1
    }

    /// A member that is well, and another one than `first`.
    pub(super) fn other(&self, first: &Arc<Connection>) -> Option<Arc<Connection>> {
        let members = self.members();
        let others = members.iter().filter(|member| !Arc::ptr_eq(&member.connection, first));
        let others: Vec<_> = others.cloned().collect();
        self.pick_of(&others, None).map(|member| Arc::clone(&member.connection))
    }

    fn pick_of<'m>(&self, members: &'m [Member], key: Option<u64>) -> Option<&'m Member> {
        let picked = match (members, self.balance, key) {
            ([], _, _) => return None,
            ([only], _, _) => only,
            (_, Balance::Hash, Some(key)) => return self.rendezvous(members, key),
            (_, Balance::PeakEwma | Balance::Hash, _) => self.of_two(members),
            (_, Balance::RoundRobin | Balance::Sticky, _) => {
                let turn = self.turns.fetch_add(1, Ordering::Relaxed);
                &members[below(turn, members.len())]
            }
            (_, Balance::Random, _) => &members[self.draw(members.len())],
            (_, Balance::Weighted, _) => self.by_weight(members),
        };
        if Self::is_well(picked) && self.has_its_share(picked) {
            return Some(picked);
        }
        self.any_well(members, picked)
    }

    /// Of two, the one that is expected to answer sooner.
    fn of_two<'m>(&self, members: &'m [Member]) -> &'m Member {
        let first = self.draw(members.len());
        let second = (first + 1 + self.draw(members.len() - 1)) % members.len();
        let (first, second) = (&members[first], &members[second]);
        match (Self::is_well(first), Self::is_well(second)) {
            (false, true) => return second,
            (true, false) => return first,
            _ => {}
        }
        let now = self.world.now();
        let [a, b] = [first, second].map(|member| member.connection.load().at(now));
        let is_alike = a.latency_us <= b.latency_us * NOISE && b.latency_us <= a.latency_us * NOISE;
        let is_first_better = if is_alike {
            a.under_way <= b.under_way
        } else {
            a.latency_us * (a.under_way + 1) <= b.latency_us * (b.under_way + 1)
        };
        if is_first_better { first } else { second }
    }

    fn by_weight<'m>(&self, members: &'m [Member]) -> &'m Member {
        let sum: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
        if sum == 0 {
            return &members[self.draw(members.len())];
        }
        let mut left = self.next() % sum;
        let found = members.iter().find(|member| {
            let weight = u64::from(member.weight);
            let is_it = left < weight;
            left = left.saturating_sub(weight);
            is_it
        });
        found.unwrap_or(&members[0])
    }

    /// Of those that are well, the one whose hash with the key is the highest.
    fn rendezvous<'m>(&self, members: &'m [Member], key: u64) -> Option<&'m Member> {
        let well = members.iter().filter(|member| Self::is_well(member));
        well.max_by_key(|member| {
            let mut hasher = Hasher::new(SipKey([key, member.server.0]));
            hasher.write_u64(key);
            hasher.finish()
        })
    }

    /// The next one that is well behind one that is not, or whose share is small yet.
    fn any_well<'m>(&self, members: &'m [Member], picked: &Member) -> Option<&'m Member> {
        let start = self.draw(members.len());
        let is_heavy = |member: &&Member| self.balance != Balance::Weighted || member.weight > 0;
        let all = || (0..members.len()).map(|step| &members[(start + step) % members.len()]);
        let heavy = || all().filter(is_heavy);
        let other = heavy().find(|member| member.server != picked.server && Self::is_well(member));
        other.or_else(|| all().find(|member| Self::is_well(member)))
    }

    /// Whether it answers, as far as is known.
    fn is_well(member: &Member) -> bool {
        member.connection.loss().is_none()
    }

    /// Whether it gets this call, of those that are its share.
    fn has_its_share(&self, member: &Member) -> bool {
        if member.joined == Instant::START {
            return true;
        }
        let age = self.world.now().since(member.joined);
        if age >= SLOW_START {
            return true;
        }
        let percent = age.as_millis() * 100 / SLOW_START.as_millis();
        let percent = u64::try_from(percent).unwrap_or(100).max(SLOW_START_PERCENT);
        self.next() % 100 < percent
    }

    fn draw(&self, count: usize) -> usize {
        below(self.next(), count)
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): fast, and threads need not wait for each other.
    fn next(&self) -> u64 {
        let state = self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn below(number: u64, count: usize) -> usize {
    let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
    usize::try_from(number % count).unwrap_or(0)
}
