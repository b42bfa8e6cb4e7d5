//! Interfaces: described page by page, and which may be live beside which.

use super::*;

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
