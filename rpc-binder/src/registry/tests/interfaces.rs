//! Interfaces: described page by page, and which may be live beside which.

use rpc_runtime::binder::model::FORM_BYTES_MAX;

use super::*;

#[test]
fn an_interface_is_described_once_for_all_servers_that_have_it() {
    let mut registry = registry();
    let methods = [method("balance", "(str)->u64")];
    let fingerprint = fingerprint_of("bank", methods.iter().map(|method| method.fingerprint));
    let bare = |server| Registration { fingerprint, ..bank(server) };
    let unknown = Err(BinderError::UnknownInterface);
    assert_eq!(registry.offer(at(0), bare(1), None), unknown);
    assert!(registry.is_empty());
    let one = registry.offer(at(0), bare(1), Some(&methods)).unwrap();
    let two = registry.offer(at(0), bare(2), None).unwrap();
    assert_eq!(found(&registry, at(0), "1"), ["1.0@1", "1.0@2"]);
    registry.deregister(at(1), one.id, one.secret).unwrap();
    assert_eq!(registry.methods(fingerprint, 0).unwrap().methods, methods);
    registry.deregister(at(1), two.id, two.secret).unwrap();
    assert_eq!(registry.methods(fingerprint, 0), Err(BinderError::UnknownInterface));
    assert_eq!(registry.registry.unneeded(), [fingerprint]);
    assert_eq!(registry.offer(at(2), bare(1), None), unknown);
}

#[test]
fn a_fingerprint_that_is_not_the_interfaces_own_is_refused() {
    let mut registry = registry();
    let methods = [method("balance", "(str)->u64")];
    let lie = Registration { fingerprint: 7, ..bank(1) };
    assert_eq!(
        refusal(registry.offer(at(0), lie, Some(&methods))),
        "the fingerprint is not that of the interface described"
    );
}

#[test]
fn a_method_larger_than_a_page_comes_alone() {
    let mut registry = registry();
    let large = MethodDescription { form: "u".repeat(FORM_BYTES_MAX), ..method("large", "()") };
    let all = [method("a", "()"), large, method("z", "()")];
    offer(&mut registry, at(0), bank(1), &all).unwrap();
    let fingerprint = registry.list(at(0), None).entries[0].fingerprint;
    let page = |from| registry.methods(fingerprint, from).unwrap().methods;
    let names = |from| page(from).into_iter().map(|method| method.name).collect::<Vec<_>>();
    assert_eq!([names(0), names(1), names(2)], [["a"], ["large"], ["z"]]);
    assert_eq!(names(3), [""; 0]);
}

#[test]
fn methods_come_in_pages() {
    let mut registry = registry();
    let methods: Vec<_> = (0..30).map(|i| method(&format!("m{i}"), &"(u64)".repeat(20))).collect();
    offer(&mut registry, at(0), bank(1), &methods).unwrap();
    let fingerprint = registry.list(at(0), None).entries[0].fingerprint;
    let mut read = Vec::new();
    while read.len() < 30 {
        let from = u32::try_from(read.len()).unwrap();
        let page = registry.methods(fingerprint, from).unwrap();
        assert_eq!(page.total, 30);
        assert!(!page.methods.is_empty() && page.methods.len() < 10);
        read.extend(page.methods);
    }
    assert_eq!(read, methods);
    assert!(registry.methods(fingerprint, u32::MAX).unwrap().methods.is_empty());
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
        "\"balance\" differs: the form is (u32)->u64 here and (str)->u64 in bank 1.1 (live at server \
         0000000000000001): keep it as it is there, or raise the major version"
    );
    let retried = MethodDescription {
        semantics: Semantics::AtLeastOnce,
        fingerprint: MethodFingerprint(1),
        ..live[0].clone()
    };
    assert_eq!(
        refusal(offer(&mut registry, at(0), version(1, 2, 2), &[retried, live[1].clone()])),
        "\"balance\" differs: the semantics is at_least_once here and at_most_once in bank 1.1 \
         (live at server 0000000000000001): keep it as it is there, or raise the major version"
    );
    let reshaped = MethodDescription { fingerprint: MethodFingerprint(1), ..live[0].clone() };
    assert!(
        refusal(offer(&mut registry, at(0), version(1, 2, 2), &[reshaped, live[1].clone()]))
            .starts_with(
                "\"balance\" differs: the form is (str)->u64 of shape 0000000000000001 here"
            )
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
fn two_interfaces_that_ask_at_once_are_judged_one_after_the_other() {
    let mut registry = registry();
    let request = |server, methods: &[MethodDescription]| {
        let fingerprints = methods.iter().map(|method| method.fingerprint);
        let fingerprint = fingerprint_of("bank", fingerprints);
        let registration = Registration { fingerprint, ..version(1, 0, server) };
        Request::Register { registration, methods: Some(methods.into()) }
    };
    let mut batch = Batch::default();
    let registry = &mut registry.registry;
    let a = [method("a", "()")];
    let Planned::Plan(first) = registry.plan(at(0), request(1, &a), &mut batch) else { panic!() };
    let Planned::Plan(same) = registry.plan(at(0), request(2, &a), &mut batch) else { panic!() };
    let rival = request(3, &[method("b", "()")]);
    let Planned::NotYet(rival) = registry.plan(at(0), rival, &mut batch) else { panic!() };
    let again = request(1, &a);
    let Planned::NotYet(_) = registry.plan(at(0), again, &mut batch) else { panic!() };
    registry.apply(at(0), first);
    registry.apply(at(0), same);
    let late = registry.plan(at(0), rival, &mut Batch::default());
    assert!(matches!(late, Planned::Refused(BinderError::Incompatible { .. })));
}
