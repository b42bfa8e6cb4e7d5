//! Histories drawn at random: the same twice, and never out of order.

use super::*;

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
