use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::ids::{ClientId, GenerationId, SlotIndex};
use crate::random::Rng;
use crate::sim::Simulation;
use crate::sim::random::{Purpose, SimRng};
use crate::store::Durable;
use crate::time::Instant;

const CALLERS: u32 = 6;

fn slot(index: u32) -> RowKey {
    RowKey::Slot(ClientId(1), GenerationId(1), SlotIndex(index))
}

fn count(row: Option<Vec<u8>>) -> u64 {
    row.map_or(0, |row| u64::from_le_bytes(row.try_into().expect("eight bytes")))
}

/// A call: its effect is a row of the application, its record the slot.
fn call(tx: &mut MemoryTx, index: u32) -> Commit {
    Commit::of(|| {
        let last = count(MemoryStore::get(tx, slot(index))?);
        let effect = count(tx.get(&index.to_le_bytes())?);
        assert_eq!(last, effect, "effect and record agree in every transaction");
        tx.put(&index.to_le_bytes(), &(effect + 1).to_le_bytes());
        MemoryStore::put(tx, slot(index), &(last + 1).to_le_bytes())?;
        Ok(Commit::Keep)
    })
}

/// Six callers for ever on the only host of a world.
fn start(world: &Simulation, disk: &SimDisk, told: &Arc<Vec<AtomicU64>>) {
    let (disk, told) = (disk.clone(), Arc::clone(told));
    world.with(|control| {
        let host = control.add_host("bank");
        control.spawn(host, "main", true, move || {
            let world = current_world().expect("in a simulated world");
            let store = MemoryStore::open(&disk).expect("nobody else has it");
            let bank = Arc::new(Durable::open(store, Arc::clone(&world)).expect("a new life"));
            for index in 0..CALLERS {
                let (bank, told) = (Arc::clone(&bank), Arc::clone(&told));
                let body = move || {
                    while bank.commit(move |tx| call(tx, index)).is_ok() {
                        told[index as usize].fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_micros(100));
                    }
                };
                world.spawn("caller", Box::new(body)).unwrap();
            }
        });
    });
}

#[test]
fn after_a_power_failure_effect_and_record_agree_and_nothing_told_is_lost() {
    let (mut torn, mut more_than_told) = (0, 0);
    for seed in 0..150 {
        let mut rng = SimRng::new(seed, Purpose::Scenario, 0);
        let disk = SimDisk::new(seed, 0);
        disk.set_flush_takes(Duration::from_millis(1));
        let told: Arc<Vec<_>> = Arc::new((0..CALLERS).map(|_| AtomicU64::new(0)).collect());
        for life in 0..4 {
            let world = Simulation::new(seed * 10 + life);
            start(&world, &disk, &told);
            world.run_until(Instant::START + Duration::from_micros(rng.below(30_000)));
            disk.crash();
            drop(world);
            let store = MemoryStore::open(&disk).expect("it opens after every crash");
            torn += u32::from(store.cut_bytes() > 0);
            for index in 0..CALLERS {
                let row = store.look(Rows::of_key(slot(index)), 1).unwrap().pop();
                let last = count(row.map(|(_, row)| row));
                assert_eq!(last, count(store.peek(&index.to_le_bytes())), "seed {seed}");
                let told = &told[index as usize];
                let before = told.swap(last, Ordering::Relaxed);
                assert!(last >= before, "seed {seed}: {last} kept of {before} told");
                more_than_told += u32::from(last > before);
            }
        }
    }
    assert!(torn > 50 && more_than_told > 50, "{torn} torn, {more_than_told} doubtful");
}

#[test]
fn a_log_does_not_grow_with_what_is_overwritten() {
    let disk = SimDisk::new(1, 0);
    disk.set_room(3 << 20);
    let store = MemoryStore::open(&disk).unwrap();
    for turn in 0..1_000_u32 {
        let row = [turn.to_le_bytes().as_slice(), &[7; 20_000]].concat();
        store
            .transact(&mut |tx| {
                tx.put(b"row", &row);
                Commit::Keep
            })
            .unwrap();
    }
    drop(store);
    let store = MemoryStore::open(&disk).unwrap();
    assert_eq!(store.peek(b"row").unwrap()[..4], 999_u32.to_le_bytes());
}

#[test]
fn a_full_disk_is_an_error_that_ends_when_there_is_room() {
    let disk = SimDisk::new(1, 0);
    let store = MemoryStore::open(&disk).unwrap();
    disk.set_room(100);
    let fill = || {
        store.transact(&mut |tx| {
            tx.put(b"row", &[7; 1_000]);
            Commit::Keep
        })
    };
    let error = fill().unwrap_err();
    assert_eq!((error.kind(), error.is_doubtful()), (StoreErrorKind::DiskFull, false));
    assert_eq!(store.peek(b"row"), None);
    disk.set_room(10_000);
    fill().unwrap();
    assert!(store.peek(b"row").is_some());
}
