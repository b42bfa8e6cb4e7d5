//! What a client remembers of a binder's answers, so that it goes on while the binder is away.
//!
//! Knows names, answers and their age, and which servers turned out to be gone or silent; the time is
//! an argument. Does not know how the binder is asked. Bounded: the oldest answer makes room.

use std::collections::BTreeMap;

use super::model::{Entry, Revision};
use super::version::VersionRequirement;
use crate::address::Address;
use crate::ids::{Incarnation, ServerId};
use crate::random::Rng;
use crate::time::{Duration, Instant};

/// Most answers that are remembered.
const ANSWERS_MAX: usize = 256;
/// Most servers that are avoided at a time.
const AVOIDED_MAX: usize = 1024;
/// How long a life of a server that is over is not tried again: longer than a binder believes in
/// it. It never comes back, so only memory is saved by forgetting.
const GONE_AVOIDED: Duration = Duration::from_secs(300);
/// How long a server that did not answer is tried last.
const SILENT_AVOIDED: Duration = Duration::from_secs(1);
/// How long an address at which a server did not answer is tried after its others. Longer than that
/// server is avoided: which network leads nowhere does not change soon.
const ADDRESS_AVOIDED: Duration = Duration::from_secs(60);

/// Servers that a binder named, and how long ago it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The servers, in the binder's order.
    pub entries: Vec<Entry>,
    /// How old the answer is: zero if it came just then, more if the binder is away.
    pub age: Duration,
}

/// Why a server is not to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// It does not answer, or takes no new calls.
    Silent,
    /// This life of it is over: another one, or another server, stands at its address.
    Gone,
}

/// What one client remembers.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: BTreeMap<(String, VersionRequirement), Answer>,
    avoided: BTreeMap<(ServerId, Incarnation), (Flaw, Instant)>,
    /// At which addresses servers did not answer, and when.
    silent: BTreeMap<(ServerId, Address), Instant>,
}

#[derive(Debug)]
struct Answer {
    entries: Vec<Entry>,
    revision: Revision,
    at: Instant,
}

impl Cache {
    /// Remembers what the binder answered, as of `revision`.
    pub(super) fn store(
        &mut self,
        now: Instant,
        name: &str,
        requirement: &VersionRequirement,
        revision: Revision,
        entries: Vec<Entry>,
    ) {
        let wish = (name.to_owned(), requirement.clone());
        if self.answers.len() >= ANSWERS_MAX && !self.answers.contains_key(&wish) {
            let oldest = self.answers.iter().min_by_key(|(_, answer)| answer.at);
            let oldest = oldest.map(|(wish, _)| wish.clone());
            oldest.and_then(|wish| self.answers.remove(&wish));
        }
        self.answers.insert(wish, Answer { entries, revision, at: now });
    }

    /// The last answer to this wish holds still.
    pub(super) fn confirm(&mut self, now: Instant, name: &str, requirement: &VersionRequirement) {
        if let Some(answer) = self.answers.get_mut(&(name.to_owned(), requirement.clone())) {
            answer.at = now;
        }
    }

    /// What the last answer to this wish was as of.
    pub(super) fn revision(&self, name: &str, requirement: &VersionRequirement) -> Revision {
        let answer = self.answers.get(&(name.to_owned(), requirement.clone()));
        answer.map_or(Revision::NONE, |answer| answer.revision)
    }

    /// The last answer to this wish, without the servers that are gone.
    pub(super) fn known(
        &self,
        now: Instant,
        name: &str,
        requirement: &VersionRequirement,
    ) -> Option<Found> {
        let answer = self.answers.get(&(name.to_owned(), requirement.clone()))?;
        let entries = answer.entries.iter().filter(|entry| !self.is_gone(now, entry));
        Some(Found { entries: entries.cloned().collect(), age: now.since(answer.at) })
    }

    /// Notes that a life of a server is not to be tried.
    pub(super) fn avoid(
        &mut self,
        now: Instant,
        server: ServerId,
        incarnation: Incarnation,
        flaw: Flaw,
    ) {
        let key = (server, incarnation);
        let end = now
            + match flaw {
                Flaw::Gone => GONE_AVOIDED,
                Flaw::Silent => SILENT_AVOIDED,
            };
        self.avoided.retain(|_, (_, end)| *end > now);
        if self.avoided.get(&key).is_some_and(|(known, _)| *known > flaw) {
            return;
        }
        if self.avoided.len() >= AVOIDED_MAX && !self.avoided.contains_key(&key) {
            let first = self.avoided.iter().min_by_key(|(_, (_, end))| *end).map(|(key, _)| *key);
            first.and_then(|key| self.avoided.remove(&key));
        }
        self.avoided.insert(key, (flaw, end));
    }

    /// Notes that a server did not answer at one of its addresses.
    pub(super) fn avoid_address(&mut self, now: Instant, server: ServerId, address: Address) {
        let key = (server, address);
        self.silent.retain(|_, since| now.since(*since) < ADDRESS_AVOIDED);
        if self.silent.len() >= AVOIDED_MAX && !self.silent.contains_key(&key) {
            let first = self.silent.iter().min_by_key(|(_, since)| **since).map(|(key, _)| *key);
            first.and_then(|key| self.silent.remove(&key));
        }
        self.silent.insert(key, now);
    }

    /// Since when a server does not answer at this address, if it did not lately.
    pub(super) fn silent_since(
        &self,
        now: Instant,
        server: ServerId,
        address: Address,
    ) -> Option<Instant> {
        let since = self.silent.get(&(server, address)).copied();
        since.filter(|since| now.since(*since) < ADDRESS_AVOIDED)
    }

    /// Whether any of these servers has shown no flaw lately.
    pub(super) fn is_promising(&self, now: Instant, entries: &[Entry]) -> bool {
        entries.iter().any(|entry| self.flaw(now, entry).is_none())
    }

    /// Whether `entry` names a life that is over.
    fn is_gone(&self, now: Instant, entry: &Entry) -> bool {
        self.flaw(now, entry) == Some(Flaw::Gone)
    }

    fn flaw(&self, now: Instant, entry: &Entry) -> Option<Flaw> {
        let avoided = self.avoided.get(&(entry.server, entry.incarnation));
        avoided.filter(|(_, end)| *end > now).map(|(flaw, _)| *flaw)
    }

    /// The order in which to try servers: at random, so that clients spread; silent ones last; of
    /// those that are gone, none.
    pub(super) fn order(
        &self,
        now: Instant,
        mut entries: Vec<Entry>,
        rng: &mut dyn Rng,
    ) -> Vec<Entry> {
        entries.retain(|entry| !self.is_gone(now, entry));
        for left in (1..entries.len()).rev() {
            let bound = u64::try_from(left + 1).expect("a list's length fits 64 bits");
            let other = usize::try_from(rng.below(bound)).expect("below a list's length");
            entries.swap(left, other);
        }
        entries.sort_by_key(|entry| self.flaw(now, entry) == Some(Flaw::Silent));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{EntryState, Traits};
    use super::super::version::Version;
    use super::*;

    #[derive(Debug)]
    struct Counting(u64);

    impl Rng for Counting {
        fn next_u64(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.0
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn entry(server: u64, life: u32) -> Entry {
        Entry {
            name: "bank".into(),
            version: Version::new(1, 0),
            server: ServerId(server),
            incarnation: Incarnation::new(life, 0),
            addresses: vec!["udp://10.0.0.7:4000".into()],
            fingerprint: 1,
            traits: Traits::default(),
            lease_left_ms: 1000,
            state: EntryState::Live,
        }
    }

    fn avoid(cache: &mut Cache, now: Instant, entry: &Entry, flaw: Flaw) {
        cache.avoid(now, entry.server, entry.incarnation, flaw);
    }

    fn any() -> VersionRequirement {
        VersionRequirement::any()
    }

    #[test]
    fn an_answer_is_remembered_with_its_age() {
        let mut cache = Cache::default();
        assert_eq!(cache.known(at(1), "bank", &any()), None);
        cache.store(at(1), "bank", &any(), Revision::NONE, vec![entry(1, 1)]);
        let known = cache.known(at(100), "bank", &any()).unwrap();
        assert_eq!(known, Found { entries: vec![entry(1, 1)], age: Duration::from_secs(99) });
        assert_eq!(cache.known(at(100), "bank", &VersionRequirement::major(1)), None);
        cache.store(at(100), "bank", &any(), Revision::NONE, vec![]);
        assert_eq!(cache.known(at(100), "bank", &any()).unwrap().entries, []);
    }

    #[test]
    fn a_life_that_is_over_is_not_named_again_even_if_the_binder_still_believes_in_it() {
        let mut cache = Cache::default();
        avoid(&mut cache, at(1), &entry(1, 1), Flaw::Gone);
        cache.store(at(2), "bank", &any(), Revision::NONE, vec![entry(1, 1), entry(1, 2)]);
        assert_eq!(cache.known(at(2), "bank", &any()).unwrap().entries, [entry(1, 2)]);
        let ordered = cache.order(at(2), vec![entry(1, 1), entry(1, 2)], &mut Counting(1));
        assert_eq!(ordered, [entry(1, 2)]);
        // What is gone does not become merely silent.
        avoid(&mut cache, at(2), &entry(1, 1), Flaw::Silent);
        assert_eq!(cache.known(at(200), "bank", &any()).unwrap().entries, [entry(1, 2)]);
    }

    #[test]
    fn a_silent_server_is_tried_last_and_only_for_a_moment() {
        let mut cache = Cache::default();
        let both = || vec![entry(1, 1), entry(2, 1)];
        avoid(&mut cache, at(1), &entry(1, 1), Flaw::Silent);
        for seed in 0..50 {
            let ordered = cache.order(at(1), both(), &mut Counting(seed));
            assert_eq!(ordered, [entry(2, 1), entry(1, 1)]);
        }
        assert!(cache.is_promising(at(1), &both()));
        assert!(!cache.is_promising(at(1), &[entry(1, 1)]));
        assert!(cache.is_promising(at(2), &[entry(1, 1)]));
        let later = |seed| cache.order(at(2), both(), &mut Counting(seed))[0] == entry(1, 1);
        assert!((0..50).any(later));
    }

    #[test]
    fn an_address_at_which_a_server_was_silent_is_remembered_for_a_minute() {
        let mut cache = Cache::default();
        let (server, here, there) = (ServerId(1), Address::Virtual(1), Address::Virtual(2));
        cache.avoid_address(at(1), server, here);
        assert_eq!(cache.silent_since(at(60), server, here), Some(at(1)));
        assert_eq!(cache.silent_since(at(61), server, here), None);
        assert_eq!(cache.silent_since(at(1), server, there), None);
        assert_eq!(cache.silent_since(at(1), ServerId(2), here), None, "another may answer there");
    }

    #[test]
    fn clients_spread_over_the_servers() {
        let cache = Cache::default();
        let all: Vec<_> = (0..4).map(|server| entry(server, 1)).collect();
        let mut rng = Counting(7);
        let mut first = [0; 4];
        for _ in 0..4000 {
            let ordered = cache.order(at(0), all.clone(), &mut rng);
            assert_eq!(ordered.len(), 4);
            first[usize::try_from(ordered[0].server.0).unwrap()] += 1;
        }
        assert!(first.iter().all(|count| (800..1200).contains(count)), "{first:?}");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_makes_room() {
        let mut cache = Cache::default();
        for number in 0..=ANSWERS_MAX {
            let second = u64::try_from(number).unwrap();
            cache.store(at(second), &format!("s{number}"), &any(), Revision::NONE, vec![]);
        }
        assert_eq!(cache.answers.len(), ANSWERS_MAX);
        assert_eq!(cache.known(at(999), "s0", &any()), None);
        assert!(cache.known(at(999), "s1", &any()).is_some());
        for server in 0..=AVOIDED_MAX {
            let server = u64::try_from(server).unwrap();
            avoid(&mut cache, at(1), &entry(server, 1), Flaw::Gone);
        }
        assert_eq!(cache.avoided.len(), AVOIDED_MAX);
        for port in 0..=AVOIDED_MAX {
            let port = u32::try_from(port).unwrap();
            cache.avoid_address(at(1), ServerId(1), Address::Virtual(port));
        }
        assert_eq!(cache.silent.len(), AVOIDED_MAX);
    }
}
