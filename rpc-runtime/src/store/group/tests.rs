use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use super::*;
use crate::driver::World;
use crate::sim::{self, SimDisk, Simulation};
use crate::store::memory::{MemoryStore, MemoryTx, StoreFaults};
use crate::store::{Durable, RowKey};
use crate::time::{Duration, Instant};

type Bank = Durable<MemoryStore>;

/// Runs `main` on a host of a simulated world, to its end.
fn in_world(seed: u64, main: impl FnOnce() + Send + 'static) {
    let world = Simulation::new(seed);
    world.with(|control| {
        let host = control.add_host("bank");
        control.spawn(host, "main", true, main);
    });
    let ended = world.run_until_finished(Instant::START + Duration::from_secs(3_600));
    assert_eq!(ended, sim::Ended::Reached, "a thread waits for ever");
}

fn world() -> Arc<dyn World> {
    sim::current_world().expect("in a simulated world")
}

fn slow_disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed, 0);
    disk.set_flush_takes(Duration::from_millis(1));
    disk
}

fn number(tx: &mut MemoryTx, key: &[u8]) -> Result<u64, StoreError> {
    let row = tx.get(key)?;
    Ok(row.map_or(0, |row| u64::from_le_bytes(row.try_into().expect("eight bytes"))))
}

fn add_one(tx: &mut MemoryTx, key: &[u8]) -> Commit {
    Commit::of(|| {
        let sum = number(tx, key)? + 1;
        tx.put(key, &sum.to_le_bytes());
        Ok(Commit::Keep)
    })
}

fn total(store: &MemoryStore, key: &[u8]) -> u64 {
    store.peek(key).map_or(0, |row| u64::from_le_bytes(row.try_into().expect("eight bytes")))
}

/// `count` threads that each run `body` with their number; back when all have.
fn together(count: u64, bank: &Arc<Bank>, body: impl Fn(u64, &Bank) + Clone + Send + 'static) {
    let done = Arc::new(AtomicU64::new(0));
    let gate = world().gate();
    for index in 0..count {
        let (bank, body) = (Arc::clone(bank), body.clone());
        let (done, gate) = (Arc::clone(&done), Arc::clone(&gate));
        world()
            .spawn(
                &format!("caller {index}"),
                Box::new(move || {
                    body(index, &bank);
                    done.fetch_add(1, Ordering::Relaxed);
                    gate.open();
                }),
            )
            .unwrap();
    }
    while done.load(Ordering::Relaxed) < count {
        gate.wait(None);
    }
}

#[test]
fn sixty_four_callers_share_their_flushes_and_lose_nothing() {
    for seed in 0..20 {
        in_world(seed, move || {
            let store = MemoryStore::open(&slow_disk(seed)).unwrap();
            let bank = Arc::new(Durable::open(store.clone(), world()).unwrap());
            together(64, &bank, |_, bank| {
                for _ in 0..10 {
                    let ended = bank.commit(|tx| add_one(tx, b"sum")).unwrap();
                    assert!(matches!(ended, Ended::Kept));
                }
            });
            assert_eq!(total(&store, b"sum"), 640);
            let stats = bank.stats();
            assert_eq!((stats.jobs, stats.kept, stats.runs, stats.refused), (640, 640, 640, 0));
            assert!(stats.flushes <= 25, "{stats:?}");
        });
    }
}

#[test]
fn a_body_that_undoes_or_panics_takes_nobody_else_with_it() {
    for seed in 0..20 {
        in_world(seed, move || {
            let store = MemoryStore::open(&slow_disk(seed)).unwrap();
            let bank = Arc::new(Durable::open(store.clone(), world()).unwrap());
            together(40, &bank, |index, bank| {
                let ended = bank.commit(move |tx| match (index % 5, add_one(tx, b"sum")) {
                    (1, _) => Commit::Undo,
                    (2, _) => resume_unwind(Box::new("a handler's panic")),
                    (_, commit) => commit,
                });
                match (index % 5, ended.unwrap()) {
                    (1, Ended::Undone) => {}
                    (2, Ended::Panicked(payload)) => assert!(payload.is::<&str>()),
                    (0 | 3 | 4, Ended::Kept) => {}
                    (_, ended) => panic!("{index} ended {ended:?}"),
                }
            });
            assert_eq!(total(&store, b"sum"), 24);
        });
    }
}

#[test]
fn a_verdict_of_undone_saw_only_what_was_committed() {
    // Every odd caller refuses when it finds an even sum. All sums that a refusal saw must have
    // been committed at some time: with the count below, refusals and sums add up.
    for seed in 0..50 {
        in_world(seed, move || {
            let store = MemoryStore::open(&slow_disk(seed)).unwrap();
            let bank = Arc::new(Durable::open(store.clone(), world()).unwrap());
            together(30, &bank, |index, bank| {
                let saw = Arc::new(AtomicU64::new(u64::MAX));
                let told = Arc::clone(&saw);
                let ended = bank.commit(move |tx| {
                    Commit::of(|| {
                        let sum = number(tx, b"sum")?;
                        told.store(sum, Ordering::Relaxed);
                        // Spoils what others of the batch see, if they are let.
                        tx.put(b"sum", &(sum + 1000).to_le_bytes());
                        if index % 3 == 0 {
                            return Ok(Commit::Undo);
                        }
                        Ok(add_one(tx, b"count").and_then_put(tx, sum + 1))
                    })
                });
                let is_undone = matches!(ended.unwrap(), Ended::Undone);
                assert_eq!(is_undone, index % 3 == 0);
                assert!(saw.load(Ordering::Relaxed) <= 20, "saw what was rolled back");
            });
            assert_eq!((total(&store, b"sum"), total(&store, b"count")), (20, 20));
        });
    }
}

trait AndThenPut {
    fn and_then_put(self, tx: &mut MemoryTx, sum: u64) -> Self;
}

impl AndThenPut for Commit {
    fn and_then_put(self, tx: &mut MemoryTx, sum: u64) -> Self {
        tx.put(b"sum", &sum.to_le_bytes());
        self
    }
}

/// A job that tells its end through a channel.
struct Posted(mpsc::Sender<bool>);

impl Job<MemoryStore> for Posted {
    fn run(&mut self, tx: &mut MemoryTx, _: &mut RowCache) -> Commit {
        add_one(tx, b"sum")
    }

    fn ended(self: Box<Self>, how: Result<Ended, StoreError>) {
        self.0.send(matches!(how, Ok(Ended::Kept))).expect("the test listens");
    }
}

#[test]
fn posted_jobs_are_done_by_whoever_works_even_if_no_thread_waits_for_one() {
    for seed in 0..20 {
        in_world(seed, move || {
            let store = MemoryStore::open(&slow_disk(seed)).unwrap();
            let bank = Arc::new(Durable::open(store.clone(), world()).unwrap());
            let (tell, told) = mpsc::channel();
            together(20, &bank, move |index, bank| {
                for _ in 0..20 {
                    if (index + seed) % 3 == 0 {
                        assert!(matches!(bank.commit(|tx| add_one(tx, b"sum")), Ok(Ended::Kept)));
                    } else {
                        bank.post(Box::new(Posted(tell.clone())));
                        bank.work();
                    }
                }
            });
            bank.work();
            sim::sleep(Duration::from_secs(1));
            assert_eq!(total(&store, b"sum"), 400);
            assert!(told.try_iter().all(|is_kept| is_kept));
        });
    }
}

#[test]
fn a_full_queue_refuses_and_says_so() {
    in_world(1, || {
        let store = MemoryStore::new();
        let bank = Durable::open_with(store.clone(), world(), 3).unwrap();
        let (tell, told) = mpsc::channel();
        for _ in 0..5 {
            bank.post(Box::new(Posted(tell.clone())));
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [false, false]);
        bank.work();
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [true, true, true]);
        assert_eq!(bank.stats().refused, 2);
        assert_eq!(total(&store, b"sum"), 3);
    });
}

#[test]
fn a_later_life_fences_an_earlier_one_even_in_mid_transaction() {
    in_world(1, || {
        let store = MemoryStore::new();
        let first = Arc::new(Durable::open(store.clone(), world()).unwrap());
        let zombie = Arc::clone(&first);
        let gate = world().gate();
        let awake = Arc::clone(&gate);
        world()
            .spawn(
                "zombie",
                Box::new(move || {
                    let ended = zombie.commit(|tx| {
                        let commit = add_one(tx, b"sum");
                        sim::sleep(Duration::from_secs(100));
                        commit
                    });
                    assert_eq!(ended.unwrap_err().kind(), StoreErrorKind::Fenced);
                    awake.open();
                }),
            )
            .unwrap();
        sim::sleep(Duration::from_secs(10));
        let second = Durable::open(store.clone(), world()).unwrap();
        assert_eq!(second.server(), first.server());
        assert!(second.incarnation() > first.incarnation());
        gate.wait(None);
        assert!(first.is_fenced() && !second.is_fenced());
        assert_eq!(total(&store, b"sum"), 0);
        assert!(matches!(second.commit(|tx| add_one(tx, b"sum")), Ok(Ended::Kept)));
        let refused = first.commit(|_| panic!("must not begin")).unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Fenced);
        assert_eq!(total(&store, b"sum"), 1);
    });
}

#[test]
fn a_leader_whose_job_panics_at_its_end_leaves_nobody_waiting() {
    struct Bad;
    impl Job<MemoryStore> for Bad {
        fn run(&mut self, tx: &mut MemoryTx, _: &mut RowCache) -> Commit {
            add_one(tx, b"bad") // has a flush, behind which the others gather
        }
        fn ended(self: Box<Self>, _: Result<Ended, StoreError>) {
            resume_unwind(Box::new("at its end"));
        }
    }
    in_world(1, || {
        let bank =
            Arc::new(Durable::open(MemoryStore::open(&slow_disk(1)).unwrap(), world()).unwrap());
        let leader = Arc::clone(&bank);
        world()
            .spawn(
                "leader",
                Box::new(move || {
                    leader.post(Box::new(Bad));
                    let died = catch_unwind(AssertUnwindSafe(|| leader.work()));
                    assert!(died.is_err());
                }),
            )
            .unwrap();
        together(10, &bank, |_, bank| {
            let ended = bank.commit(|tx| add_one(tx, b"sum"));
            assert!(ended.is_ok() || ended.unwrap_err().is_doubtful());
        });
        assert!(matches!(bank.commit(|tx| add_one(tx, b"sum")), Ok(Ended::Kept)));
    });
}

#[test]
fn a_broken_connection_is_told_to_all_and_what_is_doubtful_is_called_so() {
    for seed in 0..50 {
        in_world(seed, move || {
            let store = MemoryStore::open(&slow_disk(seed)).unwrap();
            let bank = Arc::new(Durable::open(store.clone(), world()).unwrap());
            let faults = StoreFaults {
                lost_before_commit: 0.2,
                lost_after_commit: 0.2,
                conflict: 0.3,
                ..StoreFaults::default()
            };
            store.set_faults(faults);
            let (kept, doubtful) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let (sure, perhaps) = (Arc::clone(&kept), Arc::clone(&doubtful));
            together(10, &bank, move |_, bank| {
                for _ in 0..10 {
                    match bank.commit(|tx| add_one(tx, b"sum")) {
                        Ok(_) => sure.fetch_add(1, Ordering::Relaxed),
                        Err(error) if error.is_doubtful() => {
                            perhaps.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), StoreErrorKind::Lost);
                            0
                        }
                    };
                }
            });
            let (kept, doubtful) = (kept.load(Ordering::Relaxed), doubtful.load(Ordering::Relaxed));
            let sum = total(&store, b"sum");
            assert!(kept <= sum && sum <= kept + doubtful, "{kept} {sum} {doubtful}");
        });
    }
}

#[test]
fn a_damaged_row_fails_the_job_that_reads_it_and_no_other() {
    in_world(1, || {
        let store = MemoryStore::open(&slow_disk(1)).unwrap();
        let bank = Arc::new(Durable::open(store.clone(), world()).unwrap());
        together(20, &bank, |index, bank| {
            let ended = bank.commit(move |tx| {
                if index == 7 {
                    let error = StoreError::new(StoreErrorKind::Corrupt, "row 7");
                    return Commit::Failed(error);
                }
                add_one(tx, b"sum")
            });
            assert_eq!(ended.is_err(), index == 7);
        });
        assert_eq!(total(&store, b"sum"), 19);
        let row = RowKey::Incarnation;
        assert!(!store.look(crate::store::Rows::of_key(row), 1).unwrap().is_empty());
    });
}
