//! The registry's promises, one fact each, on a clock that the tests move by hand.

use rpc_runtime::Semantics;
use rpc_runtime::ids::{Incarnation, MethodFingerprint};

use super::*;

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

fn registry() -> Registry {
    Registry::new(Limits::default(), Box::new(Counting(0)))
}

fn small(registrations_max: u32, server_registrations_max: u32) -> Registry {
    let limits = Limits { registrations_max, server_registrations_max, ..Limits::default() };
    Registry::new(limits, Box::new(Counting(0)))
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

fn bank(server: u64) -> Registration {
    Registration {
        name: "bank".into(),
        version: Version::new(1, 0),
        server: ServerId(server),
        incarnation: Incarnation::new(1, 7),
        addresses: vec!["udp://10.0.0.7:4000".into()],
        fingerprint: 1,
        methods: 0,
        claim: 99,
    }
}

fn version(major: u16, minor: u16, server: u64) -> Registration {
    let fingerprint = u128::from(major) << 64 | u128::from(minor) << 32 | u128::from(server);
    Registration { version: Version::new(major, minor), fingerprint, ..bank(server) }
}

fn method(name: &str, signature: &str) -> MethodDescription {
    let covered = name.bytes().chain(signature.bytes());
    let fingerprint = covered.fold(5, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
    MethodDescription {
        name: name.into(),
        signature: signature.into(),
        form: String::new(),
        semantics: Semantics::AtMostOnce,
        fingerprint: MethodFingerprint(fingerprint),
    }
}

/// Registers and describes in one go.
fn offer(
    registry: &mut Registry,
    now: Instant,
    registration: Registration,
    methods: &[MethodDescription],
) -> Result<Lease, BinderError> {
    let methods_count = u32::try_from(methods.len()).unwrap();
    let lease = registry.register(now, Registration { methods: methods_count, ..registration })?;
    if methods.is_empty() {
        return Ok(lease);
    }
    registry.describe(now, lease.id, lease.secret, 0, methods.to_vec())
}

fn refusal(result: Result<Lease, BinderError>) -> String {
    result.unwrap_err().to_string()
}

fn found(registry: &Registry, now: Instant, requirement: &str) -> Vec<String> {
    let requirement = requirement.parse().unwrap();
    let page = registry.lookup(now, "bank", &requirement, None).unwrap();
    assert!(!page.more);
    let show = |entry: &Entry| format!("{}@{}", entry.version, entry.server.0);
    page.entries.iter().map(show).collect()
}

fn listed(registry: &Registry, now: Instant) -> Vec<String> {
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
    let Registration { name, version, server, incarnation, addresses, fingerprint, .. } = bank(1);
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
fn only_the_secret_renews_describes_and_ends_a_registration() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    let wrong = Secret(lease.secret.0 ^ 1);
    assert_eq!(registry.renew(at(1), lease.id, wrong), Err(BinderError::WrongSecret));
    assert_eq!(registry.deregister(at(1), lease.id, wrong), Err(BinderError::WrongSecret));
    assert_eq!(registry.describe(at(1), lease.id, wrong, 0, vec![]), Err(BinderError::WrongSecret));
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
        assert_eq!(page, registry.list(at(0), after.as_ref()));
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

#[test]
fn a_server_is_found_once_all_its_methods_are_described() {
    let mut registry = registry();
    let lease = registry.register(at(0), Registration { methods: 2, ..bank(1) }).unwrap();
    assert_eq!(lease.described, 0);
    assert_eq!(found(&registry, at(0), "1"), [""; 0]);
    assert_eq!(listed(&registry, at(0)), ["bank 1.0@1 announced"]);

    let one = vec![method("balance", "(str)->u64")];
    let lease = registry.describe(at(0), lease.id, lease.secret, 0, one.clone()).unwrap();
    assert_eq!(lease.described, 1);
    assert_eq!(found(&registry, at(0), "1"), [""; 0]);
    // The reply was lost, the page comes again: nothing changes.
    let lease = registry.describe(at(0), lease.id, lease.secret, 0, one).unwrap();
    assert_eq!(lease.described, 1);

    let two = vec![method("transfer", "(str,str,u64)->()")];
    let lease = registry.describe(at(0), lease.id, lease.secret, 1, two.clone()).unwrap();
    assert_eq!(lease.described, 2);
    assert_eq!(found(&registry, at(0), "1"), ["1.0@1"]);
    let place = registry.list(at(0), None).entries[0].place();
    let methods = registry.methods(at(0), &place, 1, 1).unwrap();
    assert_eq!((methods.methods, methods.total), (two, 2));
}

#[test]
fn methods_come_in_pages() {
    let mut registry = registry();
    let methods: Vec<_> = (0..30).map(|i| method(&format!("m{i}"), &"(u64)".repeat(20))).collect();
    offer(&mut registry, at(0), bank(1), &methods).unwrap();
    let place = registry.list(at(0), None).entries[0].place();
    let mut read = Vec::new();
    while read.len() < 30 {
        let from = u32::try_from(read.len()).unwrap();
        let page = registry.methods(at(0), &place, 1, from).unwrap();
        assert_eq!(page.total, 30);
        assert!(!page.methods.is_empty() && page.methods.len() < 10);
        read.extend(page.methods);
    }
    assert_eq!(read, methods);
    assert!(registry.methods(at(0), &place, 1, u32::MAX).unwrap().methods.is_empty());
    assert_eq!(registry.methods(at(0), &place, 2, 0), Err(BinderError::UnknownServer));
    assert_eq!(registry.methods(at(10), &place, 1, 0), Err(BinderError::UnknownServer));
}

#[test]
fn a_minor_version_may_add_methods() {
    let mut registry = registry();
    let one = [method("balance", "(str)->u64")];
    let two = [method("balance", "(str)->u64"), method("transfer", "(str,str,u64)->()")];
    offer(&mut registry, at(0), version(1, 1, 1), &two).unwrap();
    offer(&mut registry, at(0), version(1, 0, 2), &one).unwrap();
    offer(&mut registry, at(0), version(1, 1, 3), &two).unwrap();
    offer(&mut registry, at(0), version(1, 2, 4), &two).unwrap();
    assert_eq!(found(&registry, at(0), "1.1"), ["1.1@1", "1.1@3", "1.2@4"]);
}

#[test]
fn an_incompatible_interface_is_refused_with_the_difference_in_words() {
    let mut registry = registry();
    let live = [method("balance", "(str)->u64"), method("transfer", "(str,str,u64)->()")];
    offer(&mut registry, at(0), version(1, 1, 1), &live).unwrap();

    let removed = [method("transfer", "(str,str,u64)->()")];
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 2, 2), &removed)),
        "bank 1.2 lacks the method \"balance\" of bank 1.1 (live at server 0000000000000001): \
         keep it, or raise the major version"
    );
    let changed = [method("balance", "(u32)->u64"), live[1].clone()];
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 2, 2), &changed)),
        "bank 1.2 has \"balance\" as (u32)->u64, and bank 1.1 (live at server 0000000000000001) \
         as (str)->u64: keep the signature, or raise the major version"
    );
    let retried = MethodDescription {
        semantics: Semantics::AtLeastOnce,
        fingerprint: MethodFingerprint(1),
        ..live[0].clone()
    };
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 2, 2), &[retried, live[1].clone()])),
        "bank 1.2 has \"balance\" as at_least_once (str)->u64, and bank 1.1 (live at server \
         0000000000000001) as at_most_once (str)->u64: keep the signature, or raise the major \
         version"
    );
    let reshaped = MethodDescription { fingerprint: MethodFingerprint(1), ..live[0].clone() };
    assert!(
        refusal(offer(&mut registry, at(0), version(1, 2, 2), &[reshaped, live[1].clone()]))
            .starts_with("bank 1.2 has \"balance\" as (str)->u64 of shape 0000000000000001, and")
    );
    let added = [live[0].clone(), live[1].clone(), method("note", "(str)->")];
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 1, 2), &added)),
        "bank 1.1 has the method \"note\", which bank 1.1 (live at server 0000000000000001) \
         lacks: raise the minor version"
    );
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 0, 2), &added)),
        "bank 1.0 has the method \"note\", which bank 1.1 (live at server 0000000000000001) \
         lacks: raise the minor version"
    );
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 1, 2), &[])),
        "bank 1.1 lacks the method \"balance\" of bank 1.1 (live at server 0000000000000001): \
         keep it, or raise the major version"
    );
    assert_eq!(listed(&registry, at(0)), ["bank 1.1@1 live"]);
}

#[test]
fn another_major_version_or_the_end_of_what_was_live_admits_any_interface() {
    let mut registry = registry();
    let old = [method("balance", "(str)->u64")];
    let new = [method("balance", "(u32)->u64")];
    offer(&mut registry, at(0), version(1, 0, 1), &old).unwrap();
    offer(&mut registry, at(0), version(2, 0, 2), &new).unwrap();
    assert!(offer(&mut registry, at(9), version(1, 0, 3), &new).is_err());
    assert!(offer(&mut registry, at(10), version(1, 0, 3), &new).is_ok());
}

#[test]
fn a_server_may_change_its_own_interface_when_it_restarts() {
    let mut registry = registry();
    let old = [method("balance", "(str)->u64")];
    let new = [method("balance", "(u32)->u64")];
    offer(&mut registry, at(0), version(1, 0, 1), &old).unwrap();
    let restarted = Registration { incarnation: Incarnation::new(2, 0), ..version(1, 0, 1) };
    offer(&mut registry, at(1), restarted, &new).unwrap();
    assert_eq!(found(&registry, at(1), "1"), ["1.0@1"]);
}

#[test]
fn an_interface_whose_rival_went_live_meanwhile_is_refused_at_its_last_method() {
    let mut registry = registry();
    let announced = Registration { methods: 1, ..version(1, 0, 1) };
    let slow = registry.register(at(0), announced).unwrap();
    offer(&mut registry, at(1), version(1, 0, 2), &[method("a", "()")]).unwrap();
    let late = registry.describe(at(2), slow.id, slow.secret, 0, vec![method("b", "()")]);
    assert!(matches!(late, Err(BinderError::Incompatible { .. })));
    assert_eq!(listed(&registry, at(2)), ["bank 1.0@2 live"]);
}

#[test]
fn a_malformed_registration_is_refused_with_what_is_wrong() {
    let mut registry = registry();
    let id = "a server needs an id and an incarnation";
    for (registration, why) in [
        (
            Registration { name: "Bank".into(), ..bank(1) },
            "\"Bank\" cannot name a service: 'B' is none of a-z 0-9 . _ -",
        ),
        (bank(0), id),
        (Registration { incarnation: Incarnation::NONE, ..bank(1) }, id),
        (Registration { addresses: vec![], ..bank(1) }, "a server needs an address"),
        (
            Registration { addresses: vec!["10.0.0.7:1".into()], ..bank(1) },
            "\"10.0.0.7:1\" is no address: write scheme://place",
        ),
        (
            Registration {
                addresses: vec!["udp://h:1".into(), "udp://0.0.0.0:1".into()],
                ..bank(1)
            },
            "\"udp://0.0.0.0:1\" stands for all addresses of a host: name one",
        ),
        (
            Registration { addresses: vec!["udp://[::]:1".into()], ..bank(1) },
            "\"udp://[::]:1\" stands for all addresses of a host: name one",
        ),
        (
            Registration { addresses: vec!["udp://10.0.0.7:0".into()], ..bank(1) },
            "\"udp://10.0.0.7:0\" has no port",
        ),
        (
            Registration { addresses: vec!["udp://a\u{7}".into()], ..bank(1) },
            "\"udp://a\\u{7}\" is no address: write scheme://place",
        ),
    ] {
        assert_eq!(refusal(registry.register(at(0), registration)), why);
    }
    let named = registry.lookup(at(0), "a\u{1b}", &VersionRequirement::any(), None);
    assert!(matches!(named, Err(BinderError::Malformed { .. })));
    assert!(registry.is_empty());
}

#[test]
fn every_limit_is_reached_and_named() {
    let mut registry = registry();
    let long = format!("udp://{}", "h".repeat(ADDRESS_BYTES_MAX));
    let many = vec!["udp://h:1".to_owned(); ADDRESSES_MAX + 1];
    for (registration, why) in [
        (
            Registration { addresses: vec![long], ..bank(1) },
            "the limit of 96 bytes of an address is reached",
        ),
        (
            Registration { addresses: many, ..bank(1) },
            "the limit of 8 addresses of one server is reached",
        ),
        (
            Registration { methods: 257, ..bank(1) },
            "the limit of 256 methods of one interface is reached",
        ),
    ] {
        assert_eq!(refusal(registry.register(at(0), registration)), why);
    }
    let fat: Vec<_> = (0..40).map(|i| method(&format!("m{i}"), &"s".repeat(512))).collect();
    assert_eq!(
        refusal(offer(&mut registry, at(0), bank(1), &fat)),
        "the limit of 16384 bytes of one interface's description is reached"
    );
}

#[test]
fn the_number_of_registrations_is_limited_and_expired_ones_make_room() {
    let mut registry = small(2, 8);
    registry.register(at(0), bank(1)).unwrap();
    registry.register(at(5), bank(2)).unwrap();
    assert_eq!(
        refusal(registry.register(at(5), bank(3))),
        "the limit of 2 registrations at this binder is reached"
    );
    // Taking one's own place needs no room.
    let restarted = Registration { incarnation: Incarnation::new(2, 0), ..bank(1) };
    registry.register(at(5), restarted).unwrap();
    registry.register(at(15), bank(3)).unwrap();
    assert_eq!(registry.len(), 2);
}

#[test]
fn the_registrations_of_one_server_are_limited() {
    let mut registry = small(8, 2);
    registry.register(at(0), version(1, 0, 1)).unwrap();
    registry.register(at(0), version(2, 0, 1)).unwrap();
    assert_eq!(
        refusal(registry.register(at(0), version(3, 0, 1))),
        "the limit of 2 registrations of one server is reached"
    );
    assert!(registry.register(at(0), version(3, 0, 2)).is_ok());
}

#[test]
fn a_malformed_description_is_refused_and_changes_nothing() {
    let mut registry = registry();
    let lease = registry.register(at(0), Registration { methods: 2, ..bank(1) }).unwrap();
    let long = method(&"n".repeat(65), "()");
    for (page, why) in [
        (vec![method("", "()")], "a method's name has 1 to 64 bytes, and \"\" has 0"),
        (
            vec![long],
            &*format!("a method's name has 1 to 64 bytes, and {:?} has 65", "n".repeat(64)),
        ),
        (vec![method("a", "\n")], "control characters in the description of \"a\""),
        (vec![method("a", &"s".repeat(385))], "the signature of \"a\" has more than 384 bytes"),
        (
            vec![method("a", "()"), method("b", "()"), method("c", "()")],
            "2 methods were announced, and more are described",
        ),
    ] {
        assert_eq!(refusal(registry.describe(at(0), lease.id, lease.secret, 0, page)), why);
    }
    let twice = vec![method("a", "()"), method("a", "(u8)")];
    assert_eq!(
        refusal(registry.describe(at(0), lease.id, lease.secret, 0, twice)),
        "the interface has two methods named \"a\""
    );
}

#[test]
fn one_seed_gives_one_history() {
    let run = |seed| {
        let mut registry = Registry::new(Limits::default(), Box::new(Counting(seed)));
        let lease = registry.register(at(0), bank(1)).unwrap();
        (lease.id, lease.secret)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(100));
}

/// Every index names the same records, and every limit holds.
fn audit(registry: &Registry) {
    let Registry { limits, records, by_place, by_server, by_lease_end, .. } = registry;
    assert!(records.len() <= usize::try_from(limits.registrations_max).unwrap());
    assert_eq!(by_place.len(), records.len());
    assert_eq!(by_lease_end.len(), records.len());
    assert_eq!(by_server.values().map(BTreeSet::len).sum::<usize>(), records.len());
    for (id, record) in records {
        assert_eq!(by_place[&record.place()], *id);
        assert!(by_lease_end.contains(&(record.lease_end, *id)));
        let of_server = &by_server[&record.registration.server];
        assert!(of_server.contains(id));
        assert!(of_server.len() <= usize::try_from(limits.server_registrations_max).unwrap());
    }
}

/// What clients see: only who is live, one life a server, and methods that fit each other.
fn audit_live(registry: &Registry, now: Instant) {
    let live = registry.records.values().filter(|record| record.state(now) == EntryState::Live);
    let live: Vec<_> = live.collect();
    for one in &live {
        assert!(one.lease_end > now && one.is_described());
        for other in &live {
            if one.registration.server == other.registration.server {
                assert_eq!(one.registration.incarnation, other.registration.incarnation);
                continue;
            }
            let candidate = one.place();
            let candidate = compatibility::Candidate::new(&candidate, one.methods());
            if one.registration.name == other.registration.name
                && one.registration.version.major == other.registration.version.major
            {
                assert_eq!(candidate.difference(&other.place(), other.methods()), None);
            }
        }
    }
}

#[test]
fn whatever_is_asked_in_whatever_order_the_indices_agree_and_the_limits_hold() {
    for seed in 0..40 {
        let mut rng = Scrambled(seed);
        let limits = Limits {
            registrations_max: 12,
            server_registrations_max: 3,
            expired_kept: Duration::from_secs(5),
            ..Limits::default()
        };
        let mut registry = Registry::new(limits, Box::new(Counting(seed)));
        let mut now = Instant::START;
        let mut leases: Vec<Lease> = Vec::new();
        for _ in 0..400 {
            now = now + Duration::from_millis(rng.below(2_000));
            match (rng.below(8), pick(&leases, &mut rng)) {
                (0..4, _) | (_, None) => {
                    let registration = any_registration(&mut rng);
                    if let Ok(lease) = registry.register(now, registration) {
                        leases.push(lease);
                    }
                }
                (4 | 5, Some(lease)) => {
                    let signature = ["()", "(u8)"][usize::from(rng.chance(0.2))];
                    let page = vec![method(&format!("m{}", lease.described), signature)];
                    let from = lease.described;
                    if let Ok(later) = registry.describe(now, lease.id, lease.secret, from, page) {
                        leases.push(later);
                    }
                }
                (6, Some(lease)) => drop(registry.renew(now, lease.id, lease.secret)),
                (_, Some(lease)) => drop(registry.deregister(now, lease.id, lease.secret)),
            }
            audit(&registry);
            audit_live(&registry, now);
        }
    }
}

fn pick(leases: &[Lease], rng: &mut Scrambled) -> Option<Lease> {
    let recent = leases.len().saturating_sub(10);
    let bound = u64::try_from(leases.len() - recent).unwrap();
    leases.get(recent + usize::try_from(rng.below(bound)).unwrap()).copied()
}

fn any_registration(rng: &mut Scrambled) -> Registration {
    let mut small = |bound| u16::try_from(rng.below(bound)).unwrap();
    Registration {
        name: ["bank", "ledger"][usize::from(small(2))].into(),
        version: Version::new(1 + small(2), small(3)),
        server: ServerId(1 + u64::from(small(6))),
        incarnation: Incarnation::new(1 + u32::from(small(3)), 0),
        fingerprint: small(2).into(),
        methods: small(3).into(),
        claim: small(2).into(),
        ..bank(1)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
struct Scrambled(u64);

impl Rng for Scrambled {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
