//! What the store holds is what is seen, after whatever was asked together: histories drawn at random,
//! on a clock moved by hand.

use std::collections::BTreeMap;

use rpc_runtime::ids::MethodFingerprint;
use rpc_runtime::random::Rng;
use rpc_runtime::{Semantics, reactor};

use super::*;
use crate::registry::Kept;

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

/// What a store would hold.
#[derive(Debug, Default)]
struct Held {
    registrations: BTreeMap<RegistrationId, Kept>,
    interfaces: BTreeSet<u128>,
}

impl Held {
    fn keep(&mut self, change: Change<'_>) {
        match change {
            Change::Forget(fingerprint) => drop(self.interfaces.remove(&fingerprint)),
            Change::Describe(fingerprint, _) => drop(self.interfaces.insert(fingerprint)),
            Change::Begin(id, kept) => drop(self.registrations.insert(id, kept.clone())),
            Change::Mark(..) => {}
            Change::End(id) => drop(self.registrations.remove(&id)),
        }
    }

    /// A restart would find what is seen, and nothing else.
    fn audit(&self, registry: &Registry, seed: u64) {
        let seen: BTreeMap<_, _> = registry.all_kept().collect();
        assert_eq!(
            self.registrations.keys().collect::<Vec<_>>(),
            seen.keys().collect::<Vec<_>>(),
            "{seed}"
        );
        for (id, kept) in &self.registrations {
            assert_eq!(Some(&kept), seen.get(id), "seed {seed}");
            let fingerprint = kept.registration.fingerprint;
            assert!(self.interfaces.contains(&fingerprint), "seed {seed}: {id} has no interface");
        }
    }
}

fn any_request(rng: &mut Scrambled, leases: &[Lease]) -> Request {
    let count = u64::try_from(leases.len()).unwrap();
    if count > 0 && rng.chance(0.3) {
        let Lease { id, secret, .. } = leases[usize::try_from(rng.below(count)).unwrap()];
        return Request::Deregister { id, secret };
    }
    let name = ["bank", "ledger", "note"][usize::try_from(rng.below(3)).unwrap()];
    let methods: Vec<_> = (0..rng.below(3))
        .map(|index| MethodDescription {
            name: format!("m{index}"),
            fingerprint: MethodFingerprint(index + 1),
            ..any_method()
        })
        .collect();
    let fingerprints = methods.iter().map(|method| method.fingerprint);
    let minor = u16::try_from(methods.len()).unwrap();
    let registration = Registration {
        name: name.into(),
        version: Version::new(1, minor),
        server: ServerId(1 + rng.below(8)),
        incarnation: Incarnation::new(1 + u32::try_from(rng.below(2)).unwrap(), 1),
        fingerprint: fingerprint_of(name, fingerprints),
        ..registration(1)
    };
    let methods = rng.chance(0.6).then(|| methods.into());
    Request::Register { registration, methods }
}

fn any_method() -> MethodDescription {
    MethodDescription {
        name: String::new(),
        signature: "()".into(),
        parameters: Vec::new(),
        form: "()->()".into(),
        semantics: Semantics::AtMostOnce,
        fingerprint: MethodFingerprint(0),
        is_exterminated: false,
    }
}

#[test]
fn whatever_is_asked_together_a_restart_would_find_what_was_seen() {
    for seed in 0..200 {
        let mut rng = Scrambled(seed);
        let limits = Limits {
            lease: Duration::from_secs(10),
            expired_kept: Duration::from_secs(5),
            registrations_max: 6,
            ..Limits::default()
        };
        let registry = Registry::new(limits, reactor::world().rng(), Revision::NONE);
        let (queue, watchers) = (VecDeque::new(), Watchers::default());
        let queued = Shares::new(QUEUE_MAX, Limit::Requests, Limit::RequestsOfHost);
        let mut inner = Inner { registry, queue, queued, watchers, is_ended: false, trouble: None };
        let (mut held, mut leases) = (Held::default(), Vec::<Lease>::new());
        let (mut now, mut doubtful) = (Instant::START, BTreeSet::new());
        for _ in 0..200 {
            now = now + Duration::from_millis(rng.below(4_000));
            for _ in 0..rng.below(6) {
                let request = any_request(&mut rng, &leases);
                inner.queued.retake(None);
                inner.queue.push_back(Waiting {
                    request,
                    answer: Arc::default(),
                    host: None,
                    was: None,
                });
            }
            for lease in leases.iter().rev().take(4) {
                let _late = inner.registry.renew(now, lease.id, lease.secret, &Report::default());
            }
            let work = inner.work(now, &doubtful, true, None);
            let fails = rng.chance(0.1);
            if !fails || rng.chance(0.5) {
                work.changes().into_iter().for_each(|change| held.keep(change));
            }
            if fails {
                doubtful.extend(work.plans.iter().flat_map(|(plan, _)| plan.touches()));
                inner.registry.keep_describing(work.unneeded);
                work.plans.iter().for_each(|(plan, _)| inner.registry.was_not_kept(plan));
                continue;
            }
            if !work.is_empty() {
                doubtful.clear();
            }
            for (plan, _) in work.plans {
                leases.extend(inner.registry.apply(now, plan));
            }
            if doubtful.is_empty() {
                held.audit(&inner.registry, seed);
            }
        }
        assert!(leases.len() > 20, "seed {seed}: {} registrations", leases.len());
    }
}
