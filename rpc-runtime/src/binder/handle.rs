//! A client's handle on a binder: asks it, remembers its answers, and goes on without it.
//!
//! Knows retries and the cache; does not know who imports or exports, or how an answer is divided into
//! pages ([`pages`](super::pages)). No lock is held across a call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cache::{Cache, Flaw, Found};
use super::key::Key;
use super::model::{BinderError, Entry, Revision};
use super::pages::read_pages;
use super::report::{CALLEES_MAX, Callee};
use super::service::{Directory as _, DirectoryClient};
use super::version::VersionRequirement;
use super::watch::Followed;
use super::ways::{Silence, Ways};
use crate::address::Address;
use crate::client::{Balance, Channel, Ends};
use crate::driver::World;
use crate::error::{CallError, Error, ErrorKind, Execution, Result};
use crate::ids::{Incarnation, ServerId};
use crate::scheme;
use crate::time::{Duration, Instant};

/// How long a binder is asked before it counts as away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one of several is asked at least, however little time there is.
const PATIENCE_EACH_MIN: Duration = Duration::from_millis(300);
/// Most verdicts on pairs of interfaces that are remembered.
const VERDICTS_MAX: usize = 256;
/// Most services of which it is counted how calls to them ended.
const SERVICES_COUNTED_MAX: usize = 256;

/// Where servers register and clients find them.
///
/// Cheap to clone; clones share the cache, which keeps serving while the binder is away.
///
/// ```
/// use rpc_runtime::{Binder, CallError, service};
///
/// #[service]
/// trait Bank {
///     fn balance(&self, account: &str) -> Result<u64, CallError>;
/// }
///
/// fn balance_of_ann() -> Result<u64, CallError> {
///     let binder = Binder::at("udp://127.0.0.1:7000")?;
///     let bank = BankClient::import(&binder)?; // fails if no server is registered
///     bank.balance("ann")
/// }
/// ```
#[derive(Clone)]
pub struct Binder {
    shared: Arc<Shared>,
    patience: Duration,
    claim: Option<u64>,
    balance: Balance,
    zone: Option<Arc<str>>,
    key: Option<Key>,
}

struct Shared {
    url: String,
    /// What stands before `://` in URLs of this binder's world; `None` if all of them are.
    scheme: Option<String>,
    ways: Ways,
    world: Arc<dyn World>,
    memory: Mutex<Memory>,
    followed: Mutex<Followed>,
    /// How the calls at each imported service ended.
    ends: Mutex<BTreeMap<String, Arc<Ends>>>,
}

#[derive(Debug, Default)]
struct Memory {
    cache: Cache,
    /// By the fingerprints of a client's and a server's interface: the first difference, if the
    /// client cannot use the server.
    verdicts: BTreeMap<(u128, u128), Option<String>>,
}

impl Binder {
    /// The binder at `url`, such as `udp://127.0.0.1:7000`. It is asked when something is wanted
    /// of it, not here.
    ///
    /// Several binders before one store are named as a list: `udp://a:7000,udp://b:7000`. The one that
    /// answered last is asked first; one that is silent costs its share of the patience, and the next is
    /// asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadAddress`](crate::ErrorKind::BadAddress) when the URL cannot be used.
    pub fn at(url: &str) -> std::result::Result<Self, CallError> {
        let (ways, world) = Ways::open(url)?;
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.trim().to_owned());
        Ok(Self::open(world, ways, url, scheme))
    }

    /// As [`Binder::at`], at `place` (what stands behind `://`) of a given world: one with injected
    /// faults, for instance. The servers that it names are looked for in that world too.
    ///
    /// # Errors
    ///
    /// As [`Binder::at`].
    pub fn at_in(world: &Arc<dyn World>, place: &str) -> std::result::Result<Self, CallError> {
        Ok(Self::open(Arc::clone(world), Ways::one(world, place)?, place, None))
    }

    fn open(world: Arc<dyn World>, ways: Ways, url: &str, scheme: Option<String>) -> Self {
        let shared = Shared {
            url: url.to_owned(),
            scheme,
            ways,
            world,
            memory: Mutex::new(Memory::default()),
            followed: Mutex::new(Followed::default()),
            ends: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            patience: PATIENCE,
            claim: None,
            balance: Balance::default(),
            zone: None,
            key: None,
        }
    }

    /// The same binder, asked for at most `patience` (2 s by default) before it counts as away.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same binder, to which servers prove by `claim` that they are who they say they are.
    ///
    /// Only for a server that keeps its id over its lives: one that has crashed and knows its claim
    /// takes its place back at once, and else when its former lease is over. Whoever knows the claim
    /// can take the place too, so draw it at random and keep it to the server.
    #[must_use]
    pub const fn claim(mut self, claim: u64) -> Self {
        self.claim = Some(claim);
        self
    }

    /// The same binder, to which servers prove this key if its access rules want one: only whoever has it may
    /// register under some names, or have their servers drain. Without one the file is asked that the
    /// environment names by `RPC_BINDER_KEY`.
    ///
    /// ```no_run
    /// use rpc_runtime::binder::{Binder, Key};
    ///
    /// let binder = Binder::at("udp://127.0.0.1:7000")?.key(Key::from_file("bank.key")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    pub(super) const fn own_key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The same binder, to whose servers calls are spread so: what is imported by this handle goes to all
    /// of them. [`Balance::PeakEwma`] unless this is called.
    ///
    /// ```
    /// use rpc_runtime::{Balance, Binder};
    ///
    /// let binder = Binder::at("udp://127.0.0.1:7000")?.balance(Balance::RoundRobin).zone("eu-1a");
    /// # Ok::<(), rpc_runtime::CallError>(())
    /// ```
    #[must_use]
    pub const fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// The same binder, of whose servers those of this zone come first: others are called only while
    /// none of these is well.
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        self.zone = Some(zone.into());
        self
    }

    pub(super) const fn own_balance(&self) -> Balance {
        self.balance
    }

    pub(super) fn is_near(&self, entry: &Entry) -> bool {
        self.zone.as_deref().is_some_and(|zone| zone == entry.traits.zone)
    }

    /// Looks at what is followed.
    pub(super) fn followed<T>(&self, look: impl FnOnce(&mut Followed) -> T) -> T {
        look(&mut self.shared.followed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) const fn own_claim(&self) -> Option<u64> {
        self.claim
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The live servers that offer `name` in a version that will do, as the binder knows them now.
    ///
    /// # Errors
    ///
    /// The binder does not answer, or `name` cannot name a service.
    pub fn lookup(
        &self,
        name: &str,
        requirement: &VersionRequirement,
    ) -> Result<Vec<Entry>, BinderError> {
        let until = self.world().now() + self.patience;
        let (revision, entries) = read_pages(|after| {
            self.ask_until(until, |directory| directory.lookup(name, requirement, after))
        })?;
        Ok(self.remember(name, requirement, revision, entries))
    }

    /// Takes note of what the binder said just now, as of `revision`. Gives what there is to go by: of
    /// several binders, one may not have heard yet what another has told.
    pub(super) fn remember(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        revision: Revision,
        entries: Vec<Entry>,
    ) -> Vec<Entry> {
        let now = self.world().now();
        let cache = &mut self.memory().cache;
        if self.has_several() && revision < cache.revision(name, requirement) {
            cache.confirm(now, name, requirement); // it has no later news
            let known = cache.known(now, name, requirement);
            return known.map_or(entries, |found| found.entries);
        }
        cache.store(now, name, requirement, revision, entries.clone());
        entries
    }

    /// What is remembered for this wish is as of.
    pub(super) fn remembered(&self, name: &str, requirement: &VersionRequirement) -> Revision {
        self.memory().cache.revision(name, requirement)
    }

    /// As [`Binder::lookup`], or from memory if the binder does not answer: the answer says how old
    /// it is. Servers that turned out to be gone are left out.
    ///
    /// # Errors
    ///
    /// The binder does not answer and never answered this before, or `name` cannot name a service.
    pub fn find(&self, name: &str, requirement: &VersionRequirement) -> Result<Found, BinderError> {
        let failure = self.lookup(name, requirement).err();
        let known = self.memory().cache.known(self.world().now(), name, requirement);
        match (failure, known) {
            (None | Some(Error::Call(_)), Some(found)) => Ok(found),
            (Some(failure), _) => Err(failure),
            (None, None) => Ok(Found { entries: Vec::new(), age: Duration::ZERO }),
        }
    }

    /// How the calls went that were made at services of this binder, imported by this handle or a clone:
    /// the most called first, at most [`CALLEES_MAX`]. Servers that are registered by it report the same.
    /// A call counts when somebody learns how it ended.
    #[must_use]
    pub fn callees(&self) -> Vec<Callee> {
        let mut callees = self.all_callees();
        callees.sort_by_key(|callee| std::cmp::Reverse(callee.calls())); // else by name
        callees.truncate(CALLEES_MAX);
        callees
    }

    /// All of them, by name.
    pub(crate) fn all_callees(&self) -> Vec<Callee> {
        let callee = |(name, ends): (&String, &Arc<Ends>)| {
            let counts = ends.counts();
            (counts.all() > 0).then(|| Callee {
                name: name.clone(),
                returned: counts.returned,
                not_executed: counts.not_executed,
                executed: counts.executed,
                unknown: counts.unknown,
            })
        };
        self.ends().iter().filter_map(callee).collect()
    }

    /// Where it is counted how the calls at a service end.
    pub(super) fn ends_of(&self, name: &str) -> Option<Arc<Ends>> {
        let mut ends = self.ends();
        if let Some(known) = ends.get(name) {
            return Some(Arc::clone(known));
        }
        if ends.len() >= SERVICES_COUNTED_MAX {
            return None;
        }
        Some(Arc::clone(ends.entry(name.to_owned()).or_default()))
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Ends>>> {
        self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn world(&self) -> &Arc<dyn World> {
        &self.shared.world
    }

    /// The binder's address; of several, that of the one that answered last.
    pub(super) fn peer(&self) -> Address {
        self.shared.ways.peer()
    }

    /// A channel to one server in one of its lives: at the first of its URLs that can be used and did
    /// not lead nowhere lately, else at the one that did so longest ago.
    pub(super) fn channel(&self, entry: &Entry) -> std::result::Result<Channel, CallError> {
        let (server, incarnation) = (entry.server, entry.incarnation);
        let mut failure = None;
        let mut silent: Option<(Instant, Channel)> = None;
        for url in &entry.addresses {
            let channel = self
                .place_of(url)
                .and_then(|(world, place)| Channel::to(&world, &place, server, incarnation));
            match channel {
                Ok(channel) => match self.silent_since(server, channel.peer()) {
                    None => return Ok(channel),
                    Some(since) if silent.as_ref().is_none_or(|(other, _)| since < *other) => {
                        silent = Some((since, channel));
                    }
                    Some(_) => {}
                },
                Err(error) => failure = Some(error),
            }
        }
        if let Some((_, channel)) = silent {
            return Ok(channel);
        }
        Err(failure.unwrap_or_else(|| {
            let error = CallError::new(ErrorKind::BadAddress, Execution::NotExecuted);
            error.with_detail(format!("server {server} is registered without an address"))
        }))
    }

    /// Where a server's URL leads. The binder's own world is kept if the URL can be of it.
    fn place_of(&self, url: &str) -> std::result::Result<(Arc<dyn World>, String), CallError> {
        let own = |scheme: &str| self.shared.scheme.as_deref().is_none_or(|own| own == scheme);
        match url.split_once("://") {
            Some((scheme, place)) if own(scheme) => {
                Ok((Arc::clone(&self.shared.world), place.to_owned()))
            }
            _ => scheme::open(url),
        }
    }

    pub(super) fn patience_max(&self) -> Duration {
        self.patience
    }

    /// Whether it stands for several binders before one store.
    pub(super) fn has_several(&self) -> bool {
        self.shared.ways.are_several()
    }

    /// How long it may take at least until one of several has answered, if others are silent.
    pub(super) fn patience_min(&self) -> Duration {
        PATIENCE_EACH_MIN * self.shared.ways.count()
    }

    /// Asks the binder, for `patience` in all.
    pub(super) fn ask<T, E: Silence>(
        &self,
        patience: Duration,
        call: impl FnMut(&DirectoryClient) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.ask_until(self.world().now() + patience, call)
    }

    /// Asks the binder; of several each that is silent for `patience`.
    pub(super) fn ask_each<T, E: Silence>(
        &self,
        patience: Duration,
        call: impl FnMut(&DirectoryClient) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.shared.ways.ask_each(patience, call)
    }

    /// Asks the binder for `patience`; of several the one that answered last, and another one next time
    /// if it is silent.
    pub(super) fn ask_first<T, E: Silence>(
        &self,
        patience: Duration,
        call: impl FnOnce(&DirectoryClient) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.shared.ways.ask_first(patience, call)
    }

    /// As [`Self::ask`], until `until`: one question may take several calls.
    pub(super) fn ask_until<T, E: Silence>(
        &self,
        until: Instant,
        call: impl FnMut(&DirectoryClient) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.shared.ways.ask(self.world(), until, call)
    }

    /// What is remembered for this wish.
    pub(super) fn known(&self, name: &str, requirement: &VersionRequirement) -> Option<Found> {
        self.memory().cache.known(self.world().now(), name, requirement)
    }

    /// As [`Self::known`], if the answer is younger than `fresh` and names somebody who showed no
    /// flaw since.
    pub(super) fn fresh(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        fresh: Duration,
    ) -> Option<Found> {
        let now = self.world().now();
        let memory = self.memory();
        let found = memory.cache.known(now, name, requirement)?;
        let will_do = found.age < fresh && memory.cache.is_promising(now, &found.entries);
        will_do.then_some(found)
    }

    /// Whether a server has shown no flaw lately.
    pub(super) fn is_promising(&self, entry: &Entry) -> bool {
        let now = self.world().now();
        self.memory().cache.is_promising(now, std::slice::from_ref(entry))
    }

    /// The order in which to try servers.
    pub(super) fn order(&self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut rng = self.world().rng();
        self.memory().cache.order(self.world().now(), entries, &mut *rng)
    }

    /// Notes that a life of a server is over, or does not answer.
    pub(super) fn avoid(&self, server: ServerId, incarnation: Incarnation, flaw: Flaw) {
        let now = self.world().now();
        self.memory().cache.avoid(now, server, incarnation, flaw);
    }

    /// Notes that a server did not answer at this one of its addresses.
    pub(super) fn avoid_address(&self, server: ServerId, address: Address) {
        let now = self.world().now();
        self.memory().cache.avoid_address(now, server, address);
    }

    fn silent_since(&self, server: ServerId, address: Address) -> Option<Instant> {
        self.memory().cache.silent_since(self.world().now(), server, address)
    }

    /// What is remembered of a pair of interfaces: `Some(None)` is "fits".
    pub(super) fn verdict(&self, client: u128, server: u128) -> Option<Option<String>> {
        self.memory().verdicts.get(&(client, server)).cloned()
    }

    /// Remembers whether a client can use a server.
    pub(super) fn remember_verdict(&self, client: u128, server: u128, verdict: Option<String>) {
        let verdicts = &mut self.memory().verdicts;
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear(); // computed again when needed
        }
        verdicts.insert((client, server), verdict);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Binder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binder({})", self.shared.url)
    }
}
