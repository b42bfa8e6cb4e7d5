use super::*;
use crate::ids::{MethodFingerprint, Sequence, SessionId, SlotIndex, Space};
use crate::semantics::Semantics;
use crate::sim::SimDisk;
use crate::sim::random::{Purpose, SimRng};

fn rng(seed: u64) -> SimRng {
    SimRng::new(seed, Purpose::Scenario, 0)
}

fn call(sequence: u64, arguments: usize) -> StartedCall {
    StartedCall {
        call: CallId {
            session: SessionId(7),
            space: Space::Durable,
            slot: SlotIndex(3),
            sequence: Sequence(sequence),
        },
        server: ServerId(1),
        incarnation: Incarnation(1),
        method: MethodFingerprint(9),
        name: 8,
        semantics: Semantics::ExactlyOnce,
        identity: sequence,
        digest: 5,
        target: "udp://127.0.0.1:7000".to_owned(),
        arguments: vec![0xaa; arguments],
    }
}

fn sequences(journal: &Journal) -> Vec<u64> {
    journal.pending().iter().map(|call| call.call.sequence.0).collect()
}

#[test]
fn a_later_life_learns_who_it_is_and_what_was_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let first = Journal::open_at(&path, &mut rng(1)).unwrap();
    first.record_generation(ServerId(1), GenerationId(7)).unwrap();
    for sequence in 1..=3 {
        first.record_started(call(sequence, 10)).unwrap();
    }
    first.record_ended(call(2, 0).call, Verdict::Returned).unwrap();
    let (client, incarnation) = (first.client(), first.incarnation());
    drop(first);
    let second = Journal::open_at(&path, &mut rng(2)).unwrap();
    assert_eq!((second.client(), second.cut_bytes()), (client, 0));
    assert!(second.incarnation() > incarnation);
    assert_eq!(second.pending(), [call(1, 10), call(3, 10)]);
    assert_eq!(second.generation(ServerId(1)), Some(GenerationId(7)));
    assert_eq!(second.generation(ServerId(2)), None);
}

#[test]
fn one_process_has_a_journal_open_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let first = Journal::open(&path).unwrap();
    let refused = Journal::open(&path).unwrap_err();
    assert!(matches!(refused, JournalError::InUse(_)), "{refused}");
    drop(first);
    Journal::open(&path).unwrap();
    let refused = Journal::open(folder.path().join("missing/journal")).unwrap_err();
    assert!(matches!(refused, JournalError::CannotOpen(_)), "{refused}");
}

#[test]
fn a_torn_tail_is_cut_off_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    journal.record_started(call(1, 10)).unwrap();
    journal.record_started(call(2, 10)).unwrap();
    drop(journal);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(sequences(&journal), [1]);
    assert!(journal.cut_bytes() > 0);
    journal.record_started(call(3, 10)).unwrap();
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    assert_eq!((sequences(&journal), journal.cut_bytes()), (vec![1, 3], 0));
}

#[test]
fn a_journal_stays_short_however_many_calls_go_through_it() {
    let disk = SimDisk::new(1, 0);
    disk.set_room(4 << 20);
    let journal = Journal::open_file(Box::new(disk.open().unwrap()), &mut rng(1)).unwrap();
    journal.record_started(call(1_000_000, 100)).unwrap();
    for sequence in 1..=20_000 {
        journal.record_started(call(sequence, 1_000)).unwrap();
        journal.record_ended(call(sequence, 0).call, Verdict::Returned).unwrap();
    }
    assert_eq!(sequences(&journal), [1_000_000]);
    drop(journal);
    let journal = Journal::open_file(Box::new(disk.open().unwrap()), &mut rng(1)).unwrap();
    assert_eq!(sequences(&journal), [1_000_000]);
}

#[test]
fn a_full_disk_refuses_a_call_and_keeps_those_it_has() {
    let disk = SimDisk::new(1, 0);
    let journal = Journal::open_file(Box::new(disk.open().unwrap()), &mut rng(1)).unwrap();
    journal.record_started(call(1, 100)).unwrap();
    disk.set_room(400);
    let refused = journal.record_started(call(2, 1_000)).unwrap_err();
    assert!(matches!(refused, JournalError::DiskFull(_)), "{refused}");
    assert_eq!(sequences(&journal), [1]);
    disk.set_room(40_000);
    journal.record_started(call(3, 1_000)).unwrap();
    drop(journal);
    let journal = Journal::open_file(Box::new(disk.open().unwrap()), &mut rng(1)).unwrap();
    assert_eq!(sequences(&journal), [1, 3]);
}

#[test]
fn whatever_was_recorded_survives_a_power_failure() {
    let mut cut = 0;
    for seed in 0..300 {
        let mut rng = rng(seed);
        let disk = SimDisk::new(seed, 0);
        let mut expected = std::collections::BTreeSet::new();
        let mut next = 1;
        for _life in 0..5 {
            let file = disk.open().unwrap();
            let journal = Journal::open_file(Box::new(file), &mut rng).unwrap();
            cut += journal.cut_bytes();
            let mut found: std::collections::BTreeSet<_> =
                sequences(&journal).into_iter().collect();
            // The last one was written, perhaps, and never flushed.
            found.remove(&u64::MAX);
            assert_eq!(found, expected, "seed {seed}");
            for _ in 0..rng.below(6) {
                if rng.chance(0.6) || expected.is_empty() {
                    journal.record_started(call(next, 20)).unwrap();
                    expected.insert(next);
                    next += 1;
                } else {
                    let ended = *expected.first().unwrap();
                    journal.record_ended(call(ended, 0).call, Verdict::NotExecuted).unwrap();
                    expected.remove(&ended);
                }
            }
            let mut torn = Vec::new();
            let place = journal.lock().written;
            codec::encode(&Entry::Started(call(u64::MAX, 50)), place, &mut torn);
            journal.file.append(place, &torn).unwrap();
            disk.crash();
            assert!(journal.record_started(call(next, 1)).is_err(), "the dead write nothing");
        }
    }
    assert!(cut > 1_000, "some tails were torn: {cut}");
}

#[test]
fn threads_that_record_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = Journal::open(&path).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let journal = &journal;
            threads.spawn(move || {
                for turn in 0..30 {
                    let sequence = thread * 1_000 + turn;
                    journal.record_started(call(sequence, 20_000)).unwrap();
                    if turn % 10 != 0 {
                        journal.record_ended(call(sequence, 0).call, Verdict::Returned).unwrap();
                    }
                }
            });
        }
    });
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    let expected: Vec<u64> =
        (0..8).flat_map(|t| [0, 10, 20].map(|turn| t * 1_000 + turn)).collect();
    assert_eq!((sequences(&journal), journal.cut_bytes()), (expected, 0));
}
