//! What a server asks of its store, over a simulated one: tables are opened, kept, freed, deleted.

use super::*;
use crate::ids::{Sequence, SessionId, SlotIndex, Space};
use crate::protocol::HandlerEnd;
use crate::store::StoreErrorKind;
use crate::store::memory::MemoryStore;
use crate::wire::ReplyStatus;

const ANN: ClientId = ClientId(1);
const BOB: ClientId = ClientId(2);
const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn generation(number: u64) -> GenerationId {
    GenerationId(number)
}

fn ledger() -> (MemoryStore, Durable<MemoryStore>) {
    let store = MemoryStore::new();
    (store.clone(), next_life(&store))
}

/// Takes the store for another life of the server.
fn next_life(store: &MemoryStore) -> Durable<MemoryStore> {
    let (world, _) = crate::scheme::open("udp://127.0.0.1:0").expect("there are sockets");
    Durable::open(store.clone(), world).expect("it opens")
}

fn call(generation: GenerationId, slot: u32, sequence: u64) -> CallId {
    let (slot, sequence) = (SlotIndex(slot), Sequence(sequence));
    CallId { session: SessionId(generation.0), space: Space::Durable, slot, sequence }
}

/// Commits a call, with its reply.
fn commit(ledger: &Durable<MemoryStore>, client: ClientId, call: CallId) {
    let key = RowKey::Slot(client, GenerationId(call.session.0), call.slot);
    let row = SlotRecord {
        sequence: call.sequence,
        digest: 7,
        identity: 7,
        status: ReplyStatus::Returned,
        is_acked: false,
        reply: b"reply",
    }
    .to_row();
    let ended = ledger
        .commit(move |tx| Commit::of(|| MemoryStore::put(tx, key, &row).map(|()| Commit::Keep)));
    assert!(matches!(ended, Ok(Ended::Kept)));
}

fn rows(ledger: &Durable<MemoryStore>) -> usize {
    ledger.look(Rows::of_all_clients(), usize::MAX).expect("it can be read").len()
}

#[test]
fn a_generation_is_its_client_s_and_keeps_what_was_committed() {
    let (store, ledger) = ledger();
    let fresh = generation(10);
    let table = ledger.open_generation(ANN, GenerationId::NONE, fresh, 5).unwrap();
    assert_eq!((table.generation, table.rows.len()), (fresh, 0));
    commit(&ledger, ANN, call(fresh, 3, 9));
    let ledger = next_life(&store);
    let table = ledger.open_generation(ANN, fresh, generation(11), 6).unwrap();
    let row = DurableRow {
        slot: SlotIndex(3),
        sequence: Sequence(9),
        digest: 7,
        ended: Some((ReplyStatus::Returned, b"reply".to_vec())),
    };
    assert_eq!((table.generation, table.rows), (fresh, vec![row]));
    let table = ledger.open_generation(BOB, fresh, generation(12), 7).unwrap();
    assert_eq!((table.generation, table.rows.len()), (generation(12), 0), "not Bob's");
    assert_eq!(rows(&ledger), 3);
}

#[test]
fn an_acknowledged_reply_loses_its_bytes_and_nothing_else() {
    let (_, ledger) = ledger();
    let table = ledger.open_generation(ANN, GenerationId::NONE, generation(10), 5).unwrap();
    let id = table.generation;
    let calls: Vec<CallId> = (0..600).map(|slot| call(id, slot, 2)).collect();
    for &call in &calls {
        commit(&ledger, ANN, call);
    }
    // The first was followed by another call in its slot; of the last nothing was ever written.
    commit(&ledger, ANN, call(id, 0, 3));
    let told = calls.iter().copied().chain([call(id, 600, 1)]).map(|call| (ANN, call));
    let told: Vec<_> = told.collect();
    ledger.acknowledge(&told).unwrap();
    let table = ledger.open_generation(ANN, id, generation(11), 6).unwrap();
    assert_eq!(table.rows.len(), 600);
    for row in table.rows {
        let expected = if row.slot == SlotIndex(0) { (3, true) } else { (2, false) };
        assert_eq!((row.sequence.0, row.ended.is_some()), expected, "{:?}", row.slot);
        assert_eq!(row.digest, 7);
    }
}

#[test]
fn what_nobody_has_asked_for_within_retention_is_deleted_and_nothing_else() {
    let (_, ledger) = ledger();
    let now = 100 * DAY_MS;
    let ages = [(ANN, 1, 40), (ANN, 2, 29), (BOB, 3, 31), (BOB, 4, 40), (BOB, 5, 0)];
    for (client, number, days) in ages {
        let contact = now - days * DAY_MS;
        let fresh = generation(number);
        ledger.open_generation(client, GenerationId::NONE, fresh, contact).unwrap();
        for slot in 0..3 {
            commit(&ledger, client, call(fresh, slot, 1));
        }
    }
    let in_use = [(BOB, generation(4))];
    assert_eq!(ledger.retain(&in_use, now, now - 30 * DAY_MS).unwrap(), 2);
    assert_eq!(rows(&ledger), 3 * 4);
    let open = |client, number| {
        let fresh = generation(100 + number);
        ledger.open_generation(client, generation(number), fresh, now).unwrap()
    };
    for (client, number, is_kept) in
        [(ANN, 1, false), (ANN, 2, true), (BOB, 3, false), (BOB, 4, true), (BOB, 5, true)]
    {
        let table = open(client, number);
        assert_eq!(table.generation == generation(number), is_kept, "{number}");
        assert_eq!(table.rows.len(), if is_kept { 3 } else { 0 }, "{number}");
    }
    // What is in use counts as asked for.
    let later = now + 20 * DAY_MS;
    assert_eq!(ledger.retain(&[], later, later - 30 * DAY_MS).unwrap(), 0);
}

#[test]
fn many_in_use_are_all_kept() {
    let (_, ledger) = ledger();
    let in_use: Vec<_> = (1..=700).map(|number| (ANN, generation(number))).collect();
    for &(client, fresh) in &in_use {
        ledger.open_generation(client, GenerationId::NONE, fresh, 0).unwrap();
    }
    assert_eq!(ledger.retain(&in_use, 40 * DAY_MS, 10 * DAY_MS).unwrap(), 0);
    assert_eq!(ledger.retain(&[], 41 * DAY_MS, 11 * DAY_MS).unwrap(), 0, "they were touched");
    assert_eq!(ledger.retain(&[], 71 * DAY_MS, 41 * DAY_MS).unwrap(), 700);
    assert_eq!(rows(&ledger), 0);
}

#[test]
fn a_clock_set_back_deletes_nothing() {
    let (_, ledger) = ledger();
    ledger.open_generation(ANN, GenerationId::NONE, generation(1), 50 * DAY_MS).unwrap();
    let now = 49 * DAY_MS;
    assert_eq!(ledger.retain(&[], now, now - 30 * DAY_MS).unwrap(), 0);
}

#[test]
fn a_generation_that_was_forgotten_is_not_found_again() {
    let (_, ledger) = ledger();
    ledger.open_generation(ANN, GenerationId::NONE, generation(1), 0).unwrap();
    commit(&ledger, ANN, call(generation(1), 0, 1));
    ledger.forget_generation(ANN, generation(1)).unwrap();
    assert_eq!(rows(&ledger), 0);
    let table = ledger.open_generation(ANN, generation(1), generation(2), 1).unwrap();
    assert_eq!((table.generation, table.rows.len()), (generation(2), 0));
}

#[test]
fn an_earlier_life_does_none_of_it_any_more() {
    let (store, ledger) = ledger();
    ledger.open_generation(ANN, GenerationId::NONE, generation(1), 0).unwrap();
    commit(&ledger, ANN, call(generation(1), 0, 1));
    assert!(!Ledger::is_fenced(&ledger));
    let next = next_life(&store);
    let fenced = |result: Result<(), StoreError>| {
        assert_eq!(result.unwrap_err().kind(), StoreErrorKind::Fenced);
    };
    let before = ledger.look(Rows::of_all_clients(), 10).unwrap();
    fenced(ledger.open_generation(ANN, generation(1), generation(2), 1).map(drop));
    fenced(ledger.acknowledge(&[(ANN, call(generation(1), 0, 1))]));
    fenced(ledger.retain(&[], 90 * DAY_MS, 60 * DAY_MS).map(drop));
    fenced(ledger.forget_generation(ANN, generation(1)));
    assert!(Ledger::is_fenced(&ledger));
    assert_eq!(next.look(Rows::of_all_clients(), 10).unwrap(), before);
}

#[test]
fn of_a_call_whose_slot_was_used_again_or_cannot_be_read_nothing_is_known() {
    let (_, ledger) = ledger();
    let table = ledger.open_generation(ANN, GenerationId::NONE, generation(10), 5).unwrap();
    let asked = |slot: u32, sequence: u64| {
        let CallId { slot, sequence, .. } = call(table.generation, slot, sequence);
        let (client, generation) = (ANN, table.generation);
        let call =
            DurableCall { client, generation, slot, sequence, digest: 7, reply_bytes_max: 9 };
        ledger.recorded(&call).map(|answer| answer.end)
    };
    commit(&ledger, ANN, call(table.generation, 1, 9));
    assert_eq!(asked(1, 9).unwrap(), HandlerEnd::Returned);
    assert_eq!(asked(1, 10).unwrap(), HandlerEnd::NotCommitted);
    assert_eq!(asked(2, 1).unwrap(), HandlerEnd::NotCommitted);
    assert_eq!(asked(1, 8).unwrap(), HandlerEnd::Unsettled, "it may have been there before");
    let key = RowKey::Slot(ANN, table.generation, SlotIndex(3));
    let rubbish = ledger
        .commit(move |tx| Commit::of(|| MemoryStore::put(tx, key, b"?").map(|()| Commit::Keep)));
    assert!(matches!(rubbish, Ok(Ended::Kept)));
    assert_eq!(asked(3, 1).unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[test]
fn an_acknowledged_call_has_ended_and_its_reply_is_not_invented() {
    let (_, ledger) = ledger();
    let table = ledger.open_generation(ANN, GenerationId::NONE, generation(10), 5).unwrap();
    let id = call(table.generation, 1, 9);
    commit(&ledger, ANN, id);
    ledger.acknowledge(&[(ANN, id)]).unwrap();
    let (client, generation) = (ANN, table.generation);
    let CallId { slot, sequence, .. } = id;
    let call = DurableCall { client, generation, slot, sequence, digest: 7, reply_bytes_max: 9 };
    assert_eq!(ledger.recorded(&call).unwrap().end, HandlerEnd::Unsettled);
}
