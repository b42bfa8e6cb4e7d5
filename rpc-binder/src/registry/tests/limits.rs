//! Malformed registrations and descriptions, and every limit.

use rpc_runtime::binder::model::{ADDRESS_BYTES_MAX, ADDRESSES_MAX};

use super::*;

fn zone(name: &str) -> Traits {
    Traits { zone: name.into(), ..Traits::default() }
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
            Registration { traits: Traits { weight: 10_001, ..Traits::default() }, ..bank(1) },
            "a weight is at most 10000, and 10001 was given",
        ),
        (
            Registration { traits: zone("eu\n"), ..bank(1) },
            "a zone has no control characters, and '\\n' was given",
        ),
    ] {
        assert_eq!(refusal(registry.register(at(0), registration)), why);
    }
    let fat: Vec<_> = (0..256).map(|i| method(&format!("m{i}"), &"s".repeat(384))).collect();
    assert_eq!(
        refusal(offer(&mut registry, at(0), bank(1), &fat)),
        "the limit of 65536 bytes of one interface's description is reached"
    );
    let many: Vec<_> = (0..257).map(|i| method(&format!("m{i}"), "")).collect();
    assert_eq!(
        refusal(offer(&mut registry, at(0), bank(1), &many)),
        "the limit of 256 methods of one interface is reached"
    );
    let limits = Limits { descriptions_bytes_max: 100, ..Limits::default() };
    let mut registry = Kept::new(limits, 0);
    offer(&mut registry, at(0), bank(1), &[method("a", "(u64)")]).unwrap();
    let ledger = Registration { name: "ledger".into(), ..bank(1) };
    assert_eq!(
        refusal(offer(&mut registry, at(0), ledger, &[method("b", &"(u64)".repeat(20))])),
        "the limit of 100 bytes of all interfaces' descriptions at this binder is reached"
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
    let long = method(&"n".repeat(65), "()");
    for (wrong, why) in [
        (method("", "()"), "a method's name has 1 to 64 bytes, and \"\" has 0"),
        (long, &*format!("a method's name has 1 to 64 bytes, and {:?} has 65", "n".repeat(64))),
        (method("a", "\n"), "control characters in the description of \"a\""),
        (method("a", &"s".repeat(385)), "the signature of \"a\" has more than 384 bytes"),
    ] {
        assert_eq!(refusal(offer(&mut registry, at(0), bank(1), &[wrong])), why);
    }
    let twice = [method("a", "()"), method("a", "(u8)")];
    assert_eq!(
        refusal(offer(&mut registry, at(0), bank(1), &twice)),
        "the interface has two methods named \"a\""
    );
}
