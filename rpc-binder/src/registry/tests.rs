//! The registry's promises, one fact each, on a clock that the tests move by hand.

use std::sync::Arc;

use rpc_runtime::Semantics;
use rpc_runtime::binder::{MethodDescription, Registration, Traits, Version};
use rpc_runtime::ids::{Incarnation, MethodFingerprint};
use rpc_runtime::interface::fingerprint_of;

use super::plan::{Batch, Change, Planned, Request};
use super::*;
use crate::samples::bank;

mod history;
mod interfaces;
mod limits;
mod marks;
mod marshalled;
mod polls;
mod takeover;

/// Counts up from the seed: distinct, and the same in every run.
#[derive(Debug)]
struct Counting(u64);

impl Rng for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A registry in which all that is planned is kept at once.
#[derive(Debug)]
struct Kept {
    registry: Registry,
}

impl Kept {
    fn new(limits: Limits, seed: u64) -> Self {
        Self { registry: Registry::new(limits, Box::new(Counting(seed)), Revision::NONE) }
    }

    /// Keeps what time has ended.
    fn tick(&mut self, now: Instant) {
        while let Some(plan) = self.registry.due(now, &Batch::default()) {
            self.registry.apply(now, plan);
        }
    }

    fn ask(&mut self, now: Instant, request: Request) -> Result<Option<Lease>, BinderError> {
        self.tick(now);
        if let Request::Register { registration, methods } = &request {
            self.registry.limits.check(registration, methods.as_deref())?;
        }
        match self.registry.plan(now, request, &mut Batch::default()) {
            Planned::Plan(plan) => Ok(self.registry.apply(now, plan)),
            Planned::Refused(refusal) => Err(refusal),
            Planned::NotYet(request) => panic!("nothing else is in the batch: {request:?}"),
        }
    }

    fn offer(
        &mut self,
        now: Instant,
        registration: Registration,
        methods: Option<&[MethodDescription]>,
    ) -> Result<Lease, BinderError> {
        let methods = methods.map(Arc::from);
        let lease = self.ask(now, Request::Register { registration, methods })?;
        Ok(lease.expect("it begins"))
    }

    /// Registers an interface without methods, under whatever fingerprint its name has.
    fn register(&mut self, now: Instant, registration: Registration) -> Result<Lease, BinderError> {
        offer(self, now, registration, &[])
    }

    fn deregister(
        &mut self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
    ) -> Result<(), BinderError> {
        self.ask(now, Request::Deregister { id, secret }).map(drop)
    }

    fn renew(
        &mut self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
    ) -> Result<Lease, BinderError> {
        self.tick(now);
        self.registry.renew(now, id, secret, &Report::default()).map(|(lease, _)| lease)
    }
}

impl std::ops::Deref for Kept {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

fn registry() -> Kept {
    Kept::new(Limits::default(), 0)
}

fn small(registrations_max: u32, server_registrations_max: u32) -> Kept {
    let limits = Limits { registrations_max, server_registrations_max, ..Limits::default() };
    Kept::new(limits, 0)
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

fn version(major: u16, minor: u16, server: u64) -> Registration {
    Registration { version: Version::new(major, minor), ..bank(server) }
}

fn method(name: &str, signature: &str) -> MethodDescription {
    let covered = name.bytes().chain(signature.bytes());
    let fingerprint = covered.fold(5, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    MethodDescription {
        name: name.into(),
        signature: signature.into(),
        parameters: Vec::new(),
        form: String::new(),
        semantics: Semantics::AtMostOnce,
        fingerprint: MethodFingerprint(fingerprint),
        is_exterminated: false,
    }
}

/// Registers with that interface.
fn offer(
    registry: &mut Kept,
    now: Instant,
    registration: Registration,
    methods: &[MethodDescription],
) -> Result<Lease, BinderError> {
    let fingerprints = methods.iter().map(|method| method.fingerprint);
    let fingerprint = fingerprint_of(&registration.name, fingerprints);
    registry.offer(now, Registration { fingerprint, ..registration }, Some(methods))
}

fn refusal(result: Result<Lease, BinderError>) -> String {
    result.unwrap_err().to_string()
}

fn found(registry: &Kept, now: Instant, requirement: &str) -> Vec<String> {
    let requirement = requirement.parse().unwrap();
    let page = registry.lookup(now, "bank", &requirement, None).unwrap();
    assert!(!page.more);
    let show = |entry: &Entry| format!("{}@{}", entry.version, entry.server.0);
    page.entries.iter().map(show).collect()
}

fn listed(registry: &Kept, now: Instant) -> Vec<String> {
    let show = |entry: &Entry| {
        format!("{} {}@{} {}", entry.name, entry.version, entry.server.0, entry.state.word())
    };
    registry.list(now, None).entries.iter().map(show).collect()
}

#[test]
fn a_registered_server_is_found_until_its_lease_ends() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    assert_eq!(lease.duration(), Duration::from_secs(10));
    assert_eq!(found(&registry, at(0), "1"), ["1.0@1"]);
    assert_eq!(found(&registry, at(9), "1"), ["1.0@1"]);
    assert_eq!(found(&registry, at(10), "1"), [""; 0]);
}

#[test]
fn an_entry_says_what_was_registered_and_what_is_left_of_the_lease() {
    let mut registry = registry();
    registry.register(at(0), bank(1)).unwrap();
    let page = registry.lookup(at(4), "bank", &VersionRequirement::any(), None).unwrap();
    let Registration { name, version, server, incarnation, addresses, traits, .. } = bank(1);
    let fingerprint = fingerprint_of("bank", std::iter::empty());
    let state = EntryState::Live;
    assert_eq!(
        page.entries,
        [Entry {
            name,
            version,
            server,
            incarnation,
            addresses,
            fingerprint,
            traits,
            lease_left_ms: 6_000,
            state
        }]
    );
}

#[test]
fn a_renewal_starts_the_lease_anew() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    assert_eq!(registry.renew(at(9), lease.id, lease.secret), Ok(lease));
    assert_eq!(found(&registry, at(18), "1"), ["1.0@1"]);
    assert_eq!(found(&registry, at(19), "1"), [""; 0]);
}

#[test]
fn a_renewal_after_the_lease_ended_must_register_again() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    assert_eq!(
        registry.renew(at(10), lease.id, lease.secret),
        Err(BinderError::UnknownRegistration)
    );
    let again = registry.register(at(10), bank(1)).unwrap();
    assert_ne!(again.id, lease.id);
    assert_eq!(found(&registry, at(10), "1"), ["1.0@1"]);
}

#[test]
fn an_expired_registration_is_shown_for_a_while_and_then_forgotten() {
    let mut registry = registry();
    registry.register(at(0), bank(1)).unwrap();
    assert_eq!(listed(&registry, at(10)), ["bank 1.0@1 expired"]);
    assert_eq!(listed(&registry, at(69)), ["bank 1.0@1 expired"]);
    assert_eq!(listed(&registry, at(70)), [""; 0]);
    registry.register(at(70), bank(2)).unwrap();
    assert_eq!(registry.len(), 1);
}

#[test]
fn only_the_secret_renews_and_ends_a_registration() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    let wrong = Secret(lease.secret.0 ^ 1);
    assert_eq!(registry.renew(at(1), lease.id, wrong), Err(BinderError::WrongSecret));
    assert_eq!(registry.deregister(at(1), lease.id, wrong), Err(BinderError::WrongSecret));
    assert_eq!(found(&registry, at(1), "1"), ["1.0@1"]);

    assert_eq!(registry.deregister(at(1), lease.id, lease.secret), Ok(()));
    assert!(registry.is_empty());
    assert_eq!(
        registry.deregister(at(1), lease.id, lease.secret),
        Err(BinderError::UnknownRegistration)
    );
}

#[test]
fn the_same_process_that_asks_again_gets_the_same_registration() {
    let mut registry = registry();
    let first = registry.register(at(0), bank(1)).unwrap();
    let moved = Registration { addresses: vec!["udp://10.0.0.8:1".into()], ..bank(1) };
    let second = registry.register(at(5), moved).unwrap();
    assert_eq!(first, second);
    assert_eq!(registry.len(), 1);
    let page = registry.list(at(14), None);
    assert_eq!(page.entries[0].addresses, ["udp://10.0.0.8:1"]);
    assert_eq!(page.entries[0].state, EntryState::Live);
}

#[test]
fn another_process_with_the_same_identity_is_refused_while_the_first_lives() {
    let mut registry = registry();
    registry.register(at(0), bank(1)).unwrap();
    let clone = Registration { claim: 100, ..bank(1) };
    assert_eq!(registry.register(at(9), clone.clone()), Err(BinderError::IdentityInUse));
    assert!(registry.register(at(10), clone).is_ok());
}

#[test]
fn an_earlier_life_is_refused_while_a_later_one_lives() {
    let mut registry = registry();
    let life = Incarnation::new(2, 0);
    registry.register(at(0), Registration { incarnation: life, ..bank(1) }).unwrap();
    assert_eq!(
        refusal(registry.register(at(1), bank(1))),
        "a later life of this server is registered: 2.00000000"
    );
    assert_eq!(registry.list(at(1), None).entries[0].incarnation, life);
}

#[test]
fn one_server_may_offer_several_services_and_versions() {
    let mut registry = registry();
    registry.register(at(0), bank(1)).unwrap();
    registry.register(at(0), version(2, 0, 1)).unwrap();
    registry.register(at(0), Registration { name: "ledger".into(), ..bank(1) }).unwrap();
    assert_eq!(
        listed(&registry, at(0)),
        ["bank 1.0@1 live", "bank 2.0@1 live", "ledger 1.0@1 live"]
    );
}

#[test]
fn a_lookup_finds_the_versions_that_will_do() {
    let mut registry = registry();
    for (major, minor, server) in [(1, 0, 1), (1, 0, 2), (1, 2, 3), (2, 0, 4)] {
        registry.register(at(0), version(major, minor, server)).unwrap();
    }
    assert_eq!(found(&registry, at(0), "1"), ["1.0@1", "1.0@2", "1.2@3"]);
    assert_eq!(found(&registry, at(0), "1.2"), ["1.2@3"]);
    assert_eq!(found(&registry, at(0), ">=1.2, <2"), ["1.2@3"]);
    assert_eq!(found(&registry, at(0), "2"), ["2.0@4"]);
    assert_eq!(found(&registry, at(0), "*"), ["1.0@1", "1.0@2", "1.2@3", "2.0@4"]);
    assert_eq!(found(&registry, at(0), "3"), [""; 0]);
    let none = registry.lookup(at(0), "bankrupt", &VersionRequirement::any(), None).unwrap();
    assert!(none.entries.is_empty());
}

#[test]
fn long_results_come_in_pages_that_lose_and_repeat_nothing() {
    let mut registry = registry();
    for server in 1..=40 {
        let addresses = vec![format!("udp://10.0.0.{server}:4000"); 4];
        registry.register(at(0), Registration { addresses, ..bank(server) }).unwrap();
    }
    let mut seen = Vec::new();
    let mut after: Option<Place> = None;
    let mut pages = 0;
    loop {
        let page =
            registry.lookup(at(0), "bank", &VersionRequirement::any(), after.as_ref()).unwrap();
        assert_eq!(page.entries, registry.list(at(0), after.as_ref()).entries);
        assert!(rough_bytes(&page) <= PAGE_BYTES_MAX);
        seen.extend(page.entries.iter().map(|entry| entry.server.0));
        pages += 1;
        after = page.entries.last().map(Entry::place);
        if !page.more {
            break;
        }
    }
    assert!(pages > 3);
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

fn rough_bytes(page: &Entries) -> usize {
    page.entries.iter().map(Entry::page_bytes).sum()
}
