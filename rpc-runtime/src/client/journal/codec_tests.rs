use proptest::prelude::*;

use super::*;

fn call() -> impl Strategy<Value = CallId> {
    let spaces = vec![Space::Session, Space::Durable, Space::Maybe];
    (0..4_u64, prop::sample::select(spaces), 0..3_u32, 1..4_u64).prop_map(
        |(session, space, slot, sequence)| CallId {
            session: SessionId(session),
            space,
            slot: SlotIndex(slot),
            sequence: Sequence(sequence),
        },
    )
}

fn started() -> impl Strategy<Value = StartedCall> {
    let semantics = vec![Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];
    let semantics = prop::sample::select(semantics);
    let numbers: [std::ops::RangeInclusive<u64>; 4] = std::array::from_fn(|_| 0..=u64::MAX);
    let arguments = prop::collection::vec(any::<u8>(), 0..200);
    (call(), numbers, any::<u32>(), semantics, any::<u128>(), ".{0,20}", arguments).prop_map(
        |(
            call,
            [server, incarnation, method, identity],
            name,
            semantics,
            digest,
            target,
            arguments,
        )| {
            StartedCall {
                call,
                server: ServerId(server),
                incarnation: Incarnation(incarnation),
                method: MethodFingerprint(method),
                name,
                semantics,
                identity,
                digest,
                target,
                arguments,
            }
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let verdicts =
        vec![Verdict::Returned, Verdict::Executed, Verdict::NotExecuted, Verdict::Unknown];
    prop_oneof![
        any::<(u64, u64)>().prop_map(|(a, b)| Entry::Life(ClientId(a), Incarnation(b))),
        any::<(u64, u64)>().prop_map(|(a, b)| Entry::Generation(ServerId(a), GenerationId(b))),
        started().prop_map(Entry::Started),
        (call(), prop::sample::select(verdicts)).prop_map(|(c, v)| Entry::Ended(c, v)),
    ]
}

fn added(entries: &[Entry]) -> Ledger {
    let mut ledger = Ledger::default();
    entries.iter().cloned().for_each(|entry| ledger.add(entry));
    ledger
}

/// The journal of these entries, and where each begins and the last ends.
fn encoded(entries: &[Entry]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut places) = (Vec::new(), vec![0]);
    for entry in entries {
        let place = bytes.len() as u64;
        encode(entry, place, &mut bytes);
        places.push(bytes.len());
    }
    (bytes, places)
}

proptest! {
    #[test]
    fn a_journal_adds_up_to_its_entries_and_so_does_its_shortest_form(
        entries in prop::collection::vec(entry(), 0..20),
    ) {
        let ledger = added(&entries);
        prop_assert_eq!(&Ledger::of(&encoded(&entries).0), &ledger);
        prop_assert_eq!(Ledger::of(&ledger.to_bytes()), ledger);
    }

    #[test]
    fn a_torn_end_costs_the_entry_that_it_tore_and_no_other(
        entries in prop::collection::vec(entry(), 1..10),
        kept in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (mut bytes, places) = encoded(&entries);
        let whole = entries.len() - 1;
        let torn_bytes = kept.index(bytes.len() - places[whole]);
        let missing = bytes.split_off(places[whole] + torn_bytes);
        prop_assume!(!garbage.starts_with(&missing)); // that would make it whole
        bytes.extend_from_slice(&garbage);
        let damaged_bytes = torn_bytes + garbage.len();
        prop_assert_eq!(Ledger::of(&bytes), Ledger { damaged_bytes, ..added(&entries[..whole]) });
    }

    #[test]
    fn damage_in_the_middle_costs_the_entry_that_it_hit_and_no_other(
        entries in prop::collection::vec(entry(), 1..10),
        hit in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        damage in 1..=255_u8,
    ) {
        let hit = hit.index(entries.len());
        let (mut bytes, places) = encoded(&entries);
        let damaged_bytes = places[hit + 1] - places[hit];
        bytes[places[hit] + place.index(damaged_bytes)] ^= damage;
        let mut others = entries.clone();
        others.remove(hit);
        prop_assert_eq!(Ledger::of(&bytes), Ledger { damaged_bytes, ..added(&others) });
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_add_anything(bytes: Vec<u8>) {
        let ledger = Ledger::of(&bytes);
        prop_assert_eq!(ledger, Ledger { damaged_bytes: bytes.len(), ..Ledger::default() });
    }
}

#[test]
fn an_entry_of_a_later_release_is_told_from_damage() {
    let (mut bytes, _) = encoded(&[Entry::Life(ClientId(1), Incarnation(2))]);
    bytes[2] = VERSION + 1;
    let checksum = checksum(&bytes, 0);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(Ledger::of(&bytes).later_version, Some(VERSION + 1));
}

#[test]
fn arguments_that_look_like_an_entry_are_none_even_in_a_damaged_one() {
    let call = CallId { session: SessionId(1), sequence: Sequence(1), ..CallId::UNSENT };
    let mut arguments = Vec::new();
    for place in [0, 12, 100] {
        encode(&Entry::Ended(call, Verdict::NotExecuted), place, &mut arguments);
    }
    let started = |call, arguments| StartedCall {
        call,
        server: ServerId(1),
        incarnation: Incarnation(1),
        method: MethodFingerprint(1),
        name: 1,
        semantics: Semantics::ExactlyOnce,
        identity: 1,
        digest: 1,
        target: String::new(),
        arguments,
    };
    let first = started(call, Vec::new());
    let other = CallId { sequence: Sequence(2), ..call };
    let entries = [Entry::Started(first), Entry::Started(started(other, arguments))];
    let (mut bytes, places) = encoded(&entries);
    bytes[places[1]] ^= 1;
    assert!(Ledger::of(&bytes).pending.contains_key(&call));
}
