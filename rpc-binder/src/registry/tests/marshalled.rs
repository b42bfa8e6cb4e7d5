//! Lookups whose answers are copied from what was marshalled before: byte for byte what the entries would be.

use super::*;

/// Looks up both ways, and gives the entries.
fn looked_up(
    registry: &Registry,
    now: Instant,
    name: &str,
    requirement: &str,
    after: Option<&Place>,
) -> Entries {
    let requirement = requirement.parse().unwrap();
    let owned = registry.lookup(now, name, &requirement, after).unwrap();
    let mut bytes = vec![9];
    registry.lookup_marshalled(now, name, &requirement, after, &mut bytes).unwrap();
    assert_eq!(bytes[1..], postcard::to_allocvec(&owned).unwrap());
    assert_eq!(bytes[0], 9, "what stood there stays");
    owned
}

/// What a lookup finds, by looking at all registrations.
fn searched(registry: &Registry, now: Instant, name: &str, requirement: &str) -> Vec<Entry> {
    let requirement: VersionRequirement = requirement.parse().unwrap();
    let all = registry.names.all_after(None).map(|id| &registry.records[&id]);
    let fitting = all.filter(|record| {
        let Registration { name: named, version, .. } = &record.kept.registration;
        named == name && requirement.matches(*version)
    });
    let entries = fitting.map(|record| record.entry(now, registry.limits.settles));
    entries.filter(|entry| entry.state == EntryState::Live).collect()
}

/// The same for all places that a client may read on from.
pub(super) fn audit_lookups(registry: &Registry, now: Instant) {
    for name in ["bank", "ledger", "nobody"] {
        for requirement in ["*", "1", "1.1", ">=1.1, <2", "2", "7"] {
            let (mut after, mut found) = (None, Vec::new());
            loop {
                let page = looked_up(registry, now, name, requirement, after.as_ref());
                after = page.entries.last().map(Entry::place);
                found.extend(page.entries);
                if !page.more {
                    break;
                }
            }
            assert_eq!(found, searched(registry, now, name, requirement));
        }
    }
}

#[test]
fn entries_of_all_sizes_are_told_as_they_are() {
    let mut registry = registry();
    let long = |what: &str, number| format!("{what}{number}").repeat(5);
    for server in 1..=300 {
        let traits = Traits {
            zone: "z".repeat(usize::try_from(server % 33).unwrap()),
            weight: u32::try_from(server * 30).unwrap(),
            labels: (0..server % 4).map(|key| (long("key", key), long("value", key))).collect(),
        };
        let addresses = (0..1 + server % 8).map(|host| format!("udp://10.0.{server}.{host}:4000"));
        let addresses = addresses.collect();
        let incarnation = Incarnation::new(1, u32::MAX / u32::try_from(server).unwrap());
        registry
            .register(at(0), Registration { addresses, traits, incarnation, ..bank(server) })
            .unwrap();
    }
    let sizes = registry.names.all_after(None).map(|id| registry.records[&id].page_bytes);
    let sizes: BTreeSet<_> = sizes.collect();
    assert!(sizes.first() < Some(&150) && sizes.last() > Some(&450), "{sizes:?}");
    audit_lookups(&registry, at(3));
}

#[test]
fn a_record_takes_the_place_of_another_and_is_told_itself() {
    let mut registry = registry();
    let mut leases = Vec::new();
    for server in 1..=300 {
        leases.push(registry.register(at(0), bank(server)).unwrap());
    }
    for lease in leases.iter().step_by(3) {
        registry.deregister(at(1), lease.id, lease.secret).unwrap();
    }
    for server in 301..=350 {
        registry.register(at(1), version(1, 0, server)).unwrap();
    }
    audit_lookups(&registry, at(2));
    let mut seen = BTreeSet::new();
    let mut after = None;
    loop {
        let page = looked_up(&registry, at(2), "bank", "1", after.as_ref());
        seen.extend(page.entries.iter().map(|entry| entry.server.0));
        after = page.entries.last().map(Entry::place);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=350).filter(|server| *server > 300 || server % 3 != 1).collect());
}

#[test]
fn who_is_not_live_is_not_told_of() {
    let mut registry = registry();
    let leases = [1, 2, 3, 4].map(|server| registry.register(at(0), bank(server)).unwrap());
    let marks = [Marks::DRAINING, Marks::NOT_SERVING, Marks::SILENT, Marks::NONE];
    for (lease, marks) in leases.iter().zip(marks) {
        registry.registry.set_marks(at(0), lease.id, marks);
    }
    let told = |now| looked_up(&registry, now, "bank", "*", None).entries.len();
    assert_eq!((told(at(9)), told(at(10))), (1, 0));
}

#[test]
fn a_name_that_is_none_is_refused_and_nothing_is_written() {
    let registry = registry();
    let any = VersionRequirement::any();
    for name in ["", "Bank", "a\n", &"n".repeat(65), &"n".repeat(1 << 20)] {
        let mut bytes = vec![9];
        let refused = registry.lookup_marshalled(at(0), name, &any, None, &mut bytes);
        assert_eq!(refused, registry.lookup(at(0), name, &any, None).map(drop));
        assert!(matches!(refused, Err(BinderError::Malformed { .. })));
        assert_eq!(bytes, [9]);
    }
}
