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

/// A generation is one server's.
fn server_of(generation: u64) -> ServerId {
    ServerId(generation + 1_000)
}

fn started() -> impl Strategy<Value = StartedCall> {
    let semantics = vec![Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];
    let semantics = prop::sample::select(semantics);
    let numbers: [std::ops::RangeInclusive<u64>; 5] = std::array::from_fn(|_| 0..=u64::MAX);
    let texts = [".{0,20}", ".{0,20}"];
    let arguments = prop::collection::vec(any::<u8>(), 0..200);
    (call(), numbers, any::<u32>(), semantics, texts, arguments).prop_map(
        |(
            call,
            [incarnation, method, digest, unix_ms, over_unix_ms],
            name,
            semantics,
            [label, place],
            arguments,
        )| {
            StartedCall {
                call,
                server: server_of(call.session.0),
                incarnation: Incarnation(incarnation),
                method: MethodFingerprint(method),
                name,
                semantics,
                digest,
                in_doubt: digest % 2 == 1,
                unix_ms,
                over_unix_ms,
                label,
                place,
                arguments,
            }
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let body = || prop::collection::vec(any::<u8>(), 0..50);
    let ending = prop_oneof![
        body().prop_map(Ending::Returned),
        (prop::sample::select(STATUSES[1..].to_vec()), body())
            .prop_map(|(status, body)| Ending::Failed(status, body)),
        Just(Ending::NotExecuted),
        prop::sample::select(CAUSES.to_vec()).prop_map(Ending::Unknown),
    ];
    let slots = prop::collection::vec((0..3_u32, 1..4_u64), 0..4);
    prop_oneof![
        any::<(u64, u64)>().prop_map(|(a, b)| Entry::Life(ClientId(a), Incarnation(b))),
        (0..4_u64, slots).prop_map(|(generation, slots)| {
            let slots = slots.into_iter().map(|(a, b)| (SlotIndex(a), Sequence(b))).collect();
            Entry::Generation(server_of(generation), GenerationId(generation), slots)
        }),
        started().prop_map(Entry::Started),
        (call(), ending).prop_map(|(call, ending)| Entry::Ended(call, ending)),
        call().prop_map(Entry::Withdrawn),
        (0..4_u64).prop_map(|generation| Entry::Forgotten(GenerationId(generation))),
    ]
}

fn added(entries: &[Entry]) -> Ledger {
    let mut ledger = Ledger::default();
    entries.iter().cloned().for_each(|entry| ledger.add(entry));
    ledger
}

fn damaged(entries: &[Entry], damaged_bytes: usize) -> Ledger {
    let mut ledger = added(entries);
    ledger.damaged_bytes = damaged_bytes;
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
        prop_assert_eq!(Ledger::of(&bytes), damaged(&entries[..whole], damaged_bytes));
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
        prop_assert_eq!(Ledger::of(&bytes), damaged(&others, damaged_bytes));
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_add_anything(bytes: Vec<u8>) {
        let ledger = Ledger::of(&bytes);
        prop_assert_eq!(ledger, damaged(&[], bytes.len()));
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
        encode(&Entry::Ended(call, Ending::NotExecuted), place, &mut arguments);
    }
    let started = |call, arguments| StartedCall {
        call,
        server: ServerId(1),
        incarnation: Incarnation(1),
        method: MethodFingerprint(1),
        name: 1,
        semantics: Semantics::ExactlyOnce,
        digest: 1,
        in_doubt: false,
        unix_ms: 1,
        over_unix_ms: 2,
        label: String::new(),
        place: String::new(),
        arguments,
    };
    let first = started(call, Vec::new());
    let other = CallId { sequence: Sequence(2), ..call };
    let entries = [Entry::Started(first), Entry::Started(started(other, arguments))];
    let (mut bytes, places) = encoded(&entries);
    bytes[places[1]] ^= 1;
    let ledger = Ledger::of(&bytes);
    assert!(ledger.open().map(|open| open.call).eq([call]), "its end is none");
}
