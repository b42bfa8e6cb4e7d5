//! Histories drawn at random: the same twice, and never out of order.

use super::*;

#[test]
fn one_seed_gives_one_history() {
    let run = |seed| {
        let mut registry = Kept::new(Limits::default(), seed);
        let lease = registry.register(at(0), bank(1)).unwrap();
        (lease.id, lease.secret)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(100));
}

/// Every index names the same records, and every limit holds.
fn audit(registry: &Registry) {
    let Registry { limits, records, names, by_server, looks, gone, .. } = registry;
    assert!(records.len() <= usize::try_from(limits.registrations_max).unwrap());
    let ids: Vec<_> = names.all_after(None).collect();
    assert_eq!(ids.len(), records.len());
    assert_eq!(looks.len(), records.len());
    assert_eq!(by_server.len(), records.len());
    assert!(ids.iter().map(|id| records[id].place()).is_sorted_by(|one, next| one < next));
    for id in &ids {
        let record = &records[id];
        assert_eq!(names.at(&record.place()), Some(*id));
        assert!(looks.contains(&(record.look, *id)));
        assert!(record.is_gone || record.look <= record.lease_end.max(record.look));
        assert_eq!(record.is_gone, gone.contains(&(record.lease_end, *id)));
        let registration = &record.kept.registration;
        assert!(by_server.contains(&(registration.server, *id)));
        assert!(registry.interfaces.get(registration.fingerprint).is_some());
        assert!(names.changed(&registration.name).is_some());
        let of_server = registry.of_server(registration.server).count();
        assert!(of_server <= usize::try_from(limits.server_registrations_max).unwrap());
    }
    let named: BTreeSet<_> = ids.iter().map(|id| records[id].place().name).collect();
    assert_eq!(names.len(), named.len());
    records.audit();
    for name in &named {
        let standing = names.get(name).unwrap().after(name, None);
        for one in standing {
            assert!(std::ptr::eq(records.at(one.slot), &records[&one.id]), "of {name}");
        }
    }
}

/// What clients see: only who is live, one life a server, and methods that fit each other.
fn audit_live(registry: &Registry, now: Instant) {
    let live = registry.names.all_after(None).map(|id| &registry.records[&id]);
    let live = live.filter(|record| registry.state(now, record) == EntryState::Live);
    let live: Vec<_> = live.map(|record| (record, &record.kept.registration)).collect();
    let methods = |fingerprint| registry.interfaces.get(fingerprint).unwrap();
    for (one, registration) in &live {
        assert!(one.lease_end > now);
        for (other, beside) in &live {
            if registration.server == beside.server {
                assert_eq!(registration.incarnation, beside.incarnation);
                continue;
            }
            let candidate = one.place();
            let ours = methods(registration.fingerprint);
            let candidate = compatibility::Candidate::new(&candidate, ours);
            if registration.name == beside.name
                && registration.version.major == beside.version.major
            {
                let theirs = methods(beside.fingerprint);
                let version = other.place().version;
                let difference = candidate.difference(version, theirs, || beside.server);
                assert_eq!(difference, None);
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
        let mut registry = Kept::new(limits, seed);
        let mut now = Instant::START;
        let mut leases: Vec<Lease> = Vec::new();
        for _ in 0..400 {
            now = now + Duration::from_millis(rng.below(2_000));
            let before = registry.revision();
            match (rng.below(8), pick(&leases, &mut rng)) {
                (0..6, _) | (_, None) => {
                    let (registration, methods) = any_registration(&mut rng);
                    if let Ok(lease) = offer(&mut registry, now, registration, &methods) {
                        leases.push(lease);
                    }
                }
                (6, Some(lease)) => drop(registry.renew(now, lease.id, lease.secret)),
                (_, Some(lease)) => drop(registry.deregister(now, lease.id, lease.secret)),
            }
            assert!(registry.revision() >= before);
            audit(&registry);
            audit_live(&registry, now);
            marshalled::audit_lookups(&registry, now);
        }
    }
}

fn pick(leases: &[Lease], rng: &mut Scrambled) -> Option<Lease> {
    let recent = leases.len().saturating_sub(10);
    let bound = u64::try_from(leases.len() - recent).unwrap();
    leases.get(recent + usize::try_from(rng.below(bound)).unwrap()).copied()
}

fn any_registration(rng: &mut Scrambled) -> (Registration, Vec<MethodDescription>) {
    let mut small = |bound| u16::try_from(rng.below(bound)).unwrap();
    let signature = ["()", "()", "()", "(u8)"][usize::from(small(4))];
    let methods = (0..small(3)).map(|index| method(&format!("m{index}"), signature)).collect();
    let registration = Registration {
        name: ["bank", "ledger"][usize::from(small(2))].into(),
        version: Version::new(1 + small(2), small(3)),
        server: ServerId(1 + u64::from(small(6))),
        incarnation: Incarnation::new(1 + u32::from(small(3)), 0),
        claim: small(2).into(),
        ..bank(1)
    };
    (registration, methods)
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
