//! Who may take a server's place: whoever proves to be that server, or comes when its lease is over.

use super::*;

/// The server's next life.
fn later(claim: u64) -> Registration {
    Registration { incarnation: Incarnation::new(2, 0), claim, ..bank(1) }
}

#[test]
fn a_later_life_with_the_same_claim_takes_the_place_of_the_earlier_one_under_every_name() {
    let mut registry = registry();
    let old = registry.register(at(0), bank(1)).unwrap();
    registry.register(at(0), Registration { name: "ledger".into(), ..bank(1) }).unwrap();
    registry.register(at(1), later(bank(1).claim)).unwrap();
    assert_eq!(listed(&registry, at(1)), ["bank 1.0@1 live"]);
    assert_eq!(registry.list(at(1), None).entries[0].incarnation, Incarnation::new(2, 0));
    assert_eq!(registry.renew(at(1), old.id, old.secret), Err(BinderError::UnknownRegistration));
}

#[test]
fn nobody_else_strikes_a_server_off_whatever_life_he_says_he_is() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    for name in ["bank", "ledger"] {
        let life = Incarnation(u64::MAX);
        let stranger = Registration { name: name.into(), incarnation: life, ..later(5) };
        let refused = registry.register(at(9), stranger);
        assert_eq!(refused, Err(BinderError::FormerLife { left_ms: 1_000 }));
    }
    assert_eq!(listed(&registry, at(9)), ["bank 1.0@1 live"]);
    assert_eq!(registry.list(at(9), None).entries[0].incarnation, bank(1).incarnation);
    assert!(registry.renew(at(9), lease.id, lease.secret).is_ok());
    assert_eq!(
        registry.register(at(12), later(5)),
        Err(BinderError::FormerLife { left_ms: 7_000 })
    );
}

#[test]
fn a_later_life_without_the_claim_comes_in_when_the_earlier_lease_is_over() {
    let mut registry = registry();
    registry.register(at(0), bank(1)).unwrap();
    registry.register(at(4), Registration { name: "ledger".into(), ..bank(1) }).unwrap();
    let refused = registry.register(at(10), later(5));
    assert_eq!(refused, Err(BinderError::FormerLife { left_ms: 4_000 }));
    assert!(registry.register(at(14), later(5)).is_ok());
    assert_eq!(found(&registry, at(14), "1"), ["1.0@1"]);
}
