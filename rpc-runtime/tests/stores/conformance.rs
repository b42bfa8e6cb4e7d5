//! What every store promises, as tests that run on any.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use redb::TableDefinition;
use rpc_runtime::driver::World;
use rpc_runtime::ids::{ClientId, GenerationId, Sequence, SlotIndex};
use rpc_runtime::reactor;
use rpc_runtime::store::memory::{MemoryStore, MemoryTx};
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::record::{MetaRecord, SlotRecord};
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Durable, Ended, RowKey, Rows, Store, StoreError, StoreErrorKind};
use rpc_runtime::wire::ReplyStatus;

/// The application that the tests play: accounts with a balance.
pub(crate) trait Application: Store {
    fn balance(tx: &mut Self::Tx<'_>, account: &str) -> u64;
    fn set_balance(tx: &mut Self::Tx<'_>, account: &str, balance: u64);
}

const ACCOUNTS: TableDefinition<'static, &str, u64> = TableDefinition::new("accounts");

impl Application for Redb {
    fn balance(tx: &mut redb::WriteTransaction, account: &str) -> u64 {
        let accounts = tx.open_table(ACCOUNTS).unwrap();
        let balance = redb::ReadableTable::get(&accounts, account).unwrap();
        balance.map_or(0, |balance| balance.value())
    }

    fn set_balance(tx: &mut redb::WriteTransaction, account: &str, balance: u64) {
        tx.open_table(ACCOUNTS).unwrap().insert(account, balance).unwrap();
    }
}

impl Application for MemoryStore {
    fn balance(tx: &mut MemoryTx, account: &str) -> u64 {
        let row = tx.get(account.as_bytes()).unwrap_or_default();
        row.map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap()))
    }

    fn set_balance(tx: &mut MemoryTx, account: &str, balance: u64) {
        tx.put(account.as_bytes(), &balance.to_le_bytes());
    }
}

impl Application for Postgres {
    fn balance(tx: &mut postgres::Transaction<'_>, account: &str) -> u64 {
        let query = "SELECT balance FROM accounts WHERE name = $1";
        let row = tx.query_opt(query, &[&account]).unwrap();
        row.map_or(0, |row| row.get::<_, i64>(0).cast_unsigned())
    }

    fn set_balance(tx: &mut postgres::Transaction<'_>, account: &str, balance: u64) {
        let put = "INSERT INTO accounts VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET balance = excluded.balance";
        tx.execute(put, &[&account, &balance.cast_signed()]).unwrap();
    }
}

/// Where a store is: opened again and again, one handle at a time; by another process at the same
/// time if the store can be shared.
pub(crate) struct Place<'p, S, F: Fn() -> S> {
    pub(crate) open: F,
    pub(crate) another: Option<&'p dyn Fn() -> S>,
}

pub(crate) fn world() -> Arc<dyn World> {
    reactor::world()
}

pub(crate) fn all<S: Application, F: Fn() -> S>(place: &Place<'_, S, F>) {
    rows_are_kept_replaced_and_deleted(&(place.open)());
    rows_are_read_and_written_many_at_a_time(&(place.open)());
    rows_are_scanned_in_order(&(place.open)());
    what_is_undone_failed_or_panicked_leaves_nothing(&(place.open)());
    effect_and_row_are_in_together_after_reopening(place);
    lives_are_counted_and_the_server_keeps_its_id(place);
    many_callers_share_transactions((place.open)());
    a_store_of_another_version_is_refused(place);
    a_damaged_store_is_refused(place);
    rows_that_are_kept_back_are_seen_by_all((place.open)());
    if let Some(another) = place.another {
        a_later_life_fences_the_earlier((place.open)(), another);
    }
}

fn slot(index: u32) -> RowKey {
    RowKey::Slot(ClientId(7), GenerationId(9), SlotIndex(index))
}

fn keep<S: Store>(store: &S, body: impl Fn(&mut S::Tx<'_>) -> Result<(), StoreError>) {
    store.transact(&mut |tx| body(tx).map_or_else(Commit::Failed, |()| Commit::Keep)).unwrap();
}

fn look<S: Store>(store: &S, key: RowKey) -> Option<Vec<u8>> {
    let mut found = store.look(Rows::of_key(key), 10).unwrap();
    assert!(found.len() <= 1);
    found.pop().map(|(found, row)| {
        assert_eq!(found, key);
        row
    })
}

fn rows_are_kept_replaced_and_deleted<S: Store>(store: &S) {
    assert_eq!(look(store, slot(0)), None);
    let long = vec![0xa5; 1 << 20];
    keep(store, |tx| {
        assert_eq!(S::get(tx, slot(0))?, None);
        S::put(tx, slot(0), b"first")?;
        assert_eq!(S::get(tx, slot(0))?.as_deref(), Some(b"first".as_slice()));
        S::put(tx, slot(0), b"second")?;
        S::put(tx, slot(1), &long)?;
        S::put(tx, slot(2), b"")
    });
    assert_eq!(look(store, slot(0)).as_deref(), Some(b"second".as_slice()));
    assert_eq!(look(store, slot(1)).as_deref(), Some(long.as_slice()));
    assert_eq!(look(store, slot(2)).as_deref(), Some(b"".as_slice()));
    keep(store, |tx| {
        assert_eq!(S::get(tx, slot(1))?.as_deref(), Some(long.as_slice()));
        S::delete(tx, slot(0))?;
        assert_eq!(S::get(tx, slot(0))?, None);
        S::delete(tx, slot(1))?;
        S::delete(tx, slot(2))?;
        S::delete(tx, slot(3))
    });
    assert_eq!(look(store, slot(0)), None);
    assert!(store.look(Rows::of_all_clients(), 10).unwrap().is_empty());
}

fn rows_are_read_and_written_many_at_a_time<S: Store>(store: &S) {
    let long = vec![0x5a; 1 << 16];
    keep(store, |tx| {
        assert_eq!(S::get_all(tx, &[]), Ok(vec![]));
        assert_eq!(S::get_all(tx, &[slot(5), slot(4)]), Ok(vec![]));
        S::put_all(tx, &[(slot(6), b"six"), (slot(4), &long), (slot(7), b"")])?;
        S::put_all(tx, &[(slot(6), b"another six")])?;
        S::put_all(tx, &[])?;
        let mut found = S::get_all(tx, &[slot(7), slot(5), slot(6), slot(4)])?;
        found.sort_unstable();
        let expected =
            [(slot(4), long.clone()), (slot(6), b"another six".to_vec()), (slot(7), vec![])];
        assert_eq!(found, expected);
        Ok(())
    });
    assert_eq!(look(store, slot(6)).as_deref(), Some(b"another six".as_slice()));
    keep(store, |tx| [4, 6, 7].into_iter().try_for_each(|index| S::delete(tx, slot(index))));
}

fn rows_are_scanned_in_order<S: Store>(store: &S) {
    let client = ClientId(u64::MAX);
    let (first, second) = (GenerationId(1), GenerationId(u64::MAX));
    let mut keys = Vec::new();
    for generation in [first, second] {
        keys.push(RowKey::Generation(client, generation));
        keys.extend((0..5).map(|slot| RowKey::Slot(client, generation, SlotIndex(slot * 1_000))));
    }
    keep(store, |tx| {
        keys.iter().rev().try_for_each(|&key| S::put(tx, key, key.to_bytes().as_slice()))
    });
    let found = |rows, limit| -> Vec<_> {
        let looked = store.look(rows, limit).unwrap();
        let mut scanned = Vec::new();
        keep(store, |_| Ok(()));
        store
            .transact(&mut |tx| {
                scanned = S::scan(tx, rows, limit).unwrap();
                Commit::Undo
            })
            .unwrap();
        assert_eq!(looked, scanned);
        for (key, row) in &looked {
            assert_eq!(key.to_bytes().as_slice(), row);
        }
        looked.into_iter().map(|(key, _)| key).collect()
    };
    let all = Rows::of_client(client);
    assert_eq!(found(all, 100), keys);
    assert_eq!(found(all, 3), keys[..3]);
    assert_eq!(found(all, 0), []);
    assert_eq!(found(all.behind(keys[2]), 2), keys[3..5]);
    assert_eq!(found(all.behind(keys[11]), 2), []);
    assert_eq!(found(all.behind_generation(client, first), 1), keys[6..7]);
    assert_eq!(found(Rows::of_slots(client, second), 100), keys[7..]);
    assert_eq!(found(Rows::of_client(ClientId(1)), 100), []);
    keep(store, |tx| {
        S::delete(tx, keys[0])?;
        let rest: Vec<_> = S::scan(tx, all, 2)?.into_iter().map(|(key, _)| key).collect();
        assert_eq!(rest, keys[1..3], "a transaction sees its own writes");
        keys.iter().try_for_each(|&key| S::delete(tx, key))
    });
}

fn what_is_undone_failed_or_panicked_leaves_nothing<S: Application>(store: &S) {
    let write = |tx: &mut S::Tx<'_>| {
        S::put(tx, slot(0), b"row").unwrap();
        S::set_balance(tx, "undone", 7);
    };
    store
        .transact(&mut |tx| {
            write(tx);
            Commit::Undo
        })
        .unwrap();
    let error = StoreError::new(StoreErrorKind::Corrupt, "the body's own");
    let failed = store.transact(&mut |tx| {
        write(tx);
        Commit::Failed(error.clone())
    });
    assert_eq!(failed, Err(error));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.transact(&mut |tx| {
            write(tx);
            std::panic::resume_unwind(Box::new("the body's own"))
        })
    }));
    let payload = panicked.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the body's own"));
    let mut balance = u64::MAX;
    store
        .transact(&mut |tx| {
            assert_eq!(S::get(tx, slot(0)).unwrap(), None);
            balance = S::balance(tx, "undone");
            Commit::Undo
        })
        .unwrap();
    assert_eq!((balance, look(store, slot(0))), (0, None));
}

fn effect_and_row_are_in_together_after_reopening<S: Application, F: Fn() -> S>(
    place: &Place<'_, S, F>,
) {
    let store = (place.open)();
    keep(&store, |tx| {
        S::set_balance(tx, "anna", 58);
        S::put(tx, slot(1), b"done")
    });
    drop(store);
    let store = (place.open)();
    let mut found = (0, None);
    store
        .transact(&mut |tx| {
            found = (S::balance(tx, "anna"), S::get(tx, slot(1)).unwrap());
            Commit::Undo
        })
        .unwrap();
    assert_eq!(found, (58, Some(b"done".to_vec())));
    keep(&store, |tx| S::delete(tx, slot(1)));
}

fn lives_are_counted_and_the_server_keeps_its_id<S: Store, F: Fn() -> S>(place: &Place<'_, S, F>) {
    let first = Durable::open((place.open)(), world()).unwrap();
    let (server, incarnation) = (first.server(), first.incarnation());
    assert!(server.is_some());
    drop(first);
    let second = Durable::open((place.open)(), world()).unwrap();
    assert_eq!(second.server(), server);
    assert_eq!(second.incarnation().0 >> 32, (incarnation.0 >> 32) + 1);
}

/// The handler of a call in slot `index`: adds one to an account, and records the call.
pub(crate) fn call<S: Application>(tx: &mut S::Tx<'_>, index: u32) -> Commit {
    Commit::of(|| {
        let row = S::get(tx, slot(index))?;
        let last = row.map_or(Ok(0), |row| SlotRecord::decode(&row).map(|row| row.sequence.0))?;
        let account = format!("account {index}");
        let balance = S::balance(tx, &account) + 1;
        S::set_balance(tx, &account, balance);
        let record = SlotRecord {
            sequence: Sequence(last + 1),
            digest: 0,
            identity: 0,
            status: ReplyStatus::Returned,
            is_acked: false,
            reply: &balance.to_le_bytes(),
        };
        S::put(tx, slot(index), &record.to_row())?;
        Ok(Commit::Keep)
    })
}

/// The last sequence of a slot and the balance of its account, which agree if all is well.
pub(crate) fn outcome<S: Application>(store: &S, index: u32) -> (u64, u64) {
    let mut found = (0, 0);
    store
        .transact(&mut |tx| {
            let row = S::get(tx, slot(index)).unwrap();
            let sequence = row.map_or(0, |row| SlotRecord::decode(&row).unwrap().sequence.0);
            found = (sequence, S::balance(tx, &format!("account {index}")));
            Commit::Undo
        })
        .unwrap();
    found
}

/// Callers that work with one row through the cache, and others that work past it.
fn rows_that_are_kept_back_are_seen_by_all<S: Application>(store: S) {
    const CALLERS: u64 = 12;
    const CALLS: u64 = 20;
    let bank = Durable::open(store, world()).unwrap();
    let key = slot(900);
    let number =
        |row: Option<&[u8]>| row.map_or(0, |row| u64::from_le_bytes(row.try_into().unwrap())) + 1;
    std::thread::scope(|threads| {
        for index in 0..CALLERS {
            let bank = &bank;
            threads.spawn(move || {
                for turn in 0..CALLS {
                    let ended = if (index + turn) % 3 == 0 {
                        bank.commit(move |tx| {
                            Commit::of(|| {
                                let next = number(S::get(tx, key)?.as_deref());
                                S::put(tx, key, &next.to_le_bytes())?;
                                Ok(Commit::Keep)
                            })
                        })
                    } else {
                        bank.commit_row(key, move |tx, rows| {
                            Commit::of(|| {
                                let next = number(rows.get::<S>(tx, key)?);
                                rows.put(key, next.to_le_bytes().to_vec());
                                Ok(Commit::Keep)
                            })
                        })
                    };
                    assert!(matches!(ended, Ok(Ended::Kept)), "{ended:?}");
                }
            });
        }
    });
    let row = look(bank.store(), key);
    assert_eq!(number(row.as_deref()), CALLERS * CALLS + 1);
    keep(bank.store(), |tx| S::delete(tx, key));
}

fn many_callers_share_transactions<S: Application>(store: S) {
    const CALLERS: u32 = 16;
    const CALLS: u32 = 25;
    let bank = Durable::open(store, world()).unwrap();
    std::thread::scope(|threads| {
        for index in 0..CALLERS {
            let bank = &bank;
            threads.spawn(move || {
                for turn in 0..CALLS {
                    let is_refused = turn % 10 == 3;
                    let ended = bank.commit(move |tx| match call::<S>(tx, index) {
                        Commit::Keep if is_refused => Commit::Undo,
                        commit @ (Commit::Keep | Commit::Undo | Commit::Failed(_)) => commit,
                    });
                    match ended.unwrap() {
                        Ended::Kept => assert!(!is_refused),
                        Ended::Undone => assert!(is_refused),
                        Ended::Panicked(_) => panic!("nothing panics here"),
                    }
                }
            });
        }
    });
    let kept = u64::from(CALLS - 3);
    for index in 0..CALLERS {
        assert_eq!(outcome(bank.store(), index), (kept, kept));
    }
    let stats = bank.stats();
    assert_eq!(stats.kept, u64::from(CALLERS) * kept);
    assert!(stats.flushes <= stats.kept, "{stats:?}");
    keep(bank.store(), |tx| (0..CALLERS).try_for_each(|index| S::delete(tx, slot(index))));
}

fn a_store_of_another_version_is_refused<S: Store, F: Fn() -> S>(place: &Place<'_, S, F>) {
    let store = (place.open)();
    let before = look(&store, RowKey::Format).unwrap();
    keep(&store, |tx| S::put(tx, RowKey::Format, &MetaRecord(99).to_row()));
    drop(store);
    let refused = Durable::open((place.open)(), world()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::OtherVersion);
    assert!(refused.to_string().contains("99"), "{refused}");
    keep(&(place.open)(), |tx| S::put(tx, RowKey::Format, &before));
    drop(Durable::open((place.open)(), world()).unwrap());
}

fn a_damaged_store_is_refused<S: Store, F: Fn() -> S>(place: &Place<'_, S, F>) {
    let store = (place.open)();
    let before = look(&store, RowKey::Incarnation).unwrap();
    keep(&store, |tx| S::put(tx, RowKey::Incarnation, b"rubbish"));
    drop(store);
    let refused = Durable::open((place.open)(), world()).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
    keep(&(place.open)(), |tx| S::put(tx, RowKey::Incarnation, &before));
}

fn a_later_life_fences_the_earlier<S: Application>(store: S, another: &dyn Fn() -> S) {
    let first = Durable::open(store, world()).unwrap();
    let mut second = None;
    // The first life stalls in its handler; meanwhile the second begins, and waits for nothing.
    let stalled = std::thread::scope(|threads| {
        let (stall, resume) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let (stall, resume) = (Arc::new(stall), Arc::new(resume));
        let zombie = {
            let (first, stall, resume) = (&first, Arc::clone(&stall), Arc::clone(&resume));
            threads.spawn(move || {
                let mut runs = 0;
                first.commit(move |tx| {
                    let commit = call::<S>(tx, 77);
                    runs += 1;
                    if runs == 1 {
                        stall.wait();
                        resume.wait();
                    }
                    commit
                })
            })
        };
        stall.wait();
        second = Some(Durable::open(another(), world()).unwrap());
        resume.wait();
        zombie.join().unwrap()
    });
    let second = second.unwrap();
    assert_eq!(stalled.unwrap_err().kind(), StoreErrorKind::Fenced);
    assert!(first.is_fenced());
    assert_eq!(outcome(second.store(), 77), (0, 0), "nothing of the fenced life is in");
    assert!(matches!(second.commit(|tx| call::<S>(tx, 77)), Ok(Ended::Kept)));
    assert_eq!(outcome(second.store(), 77), (1, 1));
    keep(second.store(), |tx| S::delete(tx, slot(77)));
}
