use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::client::journal::codec::{Ending, StartedCall};
use crate::client::journal::file::DiskFile;
use crate::client::journal::ledger::Call;
use crate::ids::{
    CallId, GenerationId, MethodFingerprint, Sequence, ServerId, SessionId, SlotIndex, Space,
};
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
        digest: sequence,
        in_doubt: false,
        unix_ms: 4,
        over_unix_ms: 10_004,
        label: "till.pay".to_owned(),
        place: "127.0.0.1:7000".to_owned(),
        arguments: vec![0xaa; arguments],
    }
}

fn sequences(book: &Book) -> Vec<u64> {
    book.ledger().open().map(|call| call.call.sequence.0).collect()
}

fn open_at(path: &Path, seed: u64) -> Result<Book, JournalError> {
    Book::open(Box::new(DiskFile::open(path)?), &mut rng(seed))
}

fn open_on(disk: &SimDisk) -> Book {
    Book::open(Box::new(disk.open().unwrap()), &mut rng(1)).unwrap()
}

fn start(book: &Book, call: StartedCall) -> Result<(), JournalError> {
    book.write(&[Entry::Started(call)]).remove(0)
}

fn end(book: &Book, sequence: u64, ending: Ending) -> Result<(), JournalError> {
    book.write(&[Entry::Ended(call(sequence, 0).call, ending)]).remove(0)
}

#[test]
fn a_later_life_learns_who_it_is_and_what_was_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let first = open_at(&path, 1).unwrap();
    for sequence in 1..=3 {
        start(&first, call(sequence, 10)).unwrap();
    }
    end(&first, 2, Ending::Returned(vec![7])).unwrap();
    let (client, incarnation) = (first.client(), first.incarnation());
    drop(first);
    let second = open_at(&path, 2).unwrap();
    assert_eq!((second.client(), second.cut_bytes()), (client, 0));
    assert!(second.incarnation() > incarnation);
    let open: Vec<_> = second.ledger().open().cloned().collect();
    assert_eq!(open, [call(1, 10), call(3, 10)]);
    let ended = Call { started: call(2, 10), ending: Some(Ending::Returned(vec![7])) };
    assert_eq!(second.ledger().call(call(2, 0).call), Some(&ended), "its end may be unreported");
    assert_eq!(second.ledger().generations_at(ServerId(1)), [GenerationId(7)]);
    assert_eq!(second.ledger().generations_at(ServerId(2)), []);
    let table = second.ledger().table(GenerationId(7)).unwrap();
    let slot = table.slots[0];
    assert_eq!((slot.slot, slot.sequence, slot.is_open), (SlotIndex(3), Sequence(3), true));
}

#[test]
fn sequences_are_never_used_again_whatever_is_forgotten() {
    let disk = SimDisk::new(1, 0);
    let book = open_on(&disk);
    for sequence in 1..=5_000 {
        start(&book, call(sequence, 0)).unwrap();
        end(&book, sequence, Ending::NotExecuted).unwrap();
    }
    assert!(book.ledger().call(call(1, 0).call).is_none(), "only the last ends are kept");
    assert!(book.ledger().call(call(5_000, 0).call).is_some());
    drop(book);
    for _life in 0..3 {
        let book = open_on(&disk);
        let table = book.ledger().table(GenerationId(7)).unwrap();
        assert_eq!((table.slots[0].sequence, table.slots[0].is_open), (Sequence(5_000), false));
    }
    let book = open_on(&disk);
    book.write(&[Entry::Forgotten(GenerationId(7))]);
    drop(book);
    assert_eq!(open_on(&disk).ledger().table(GenerationId(7)), None);
}

#[test]
fn a_withdrawn_call_leaves_nothing() {
    let disk = SimDisk::new(1, 0);
    let book = open_on(&disk);
    let all = [Entry::Started(call(1, 0)), Entry::Withdrawn(call(1, 0).call)];
    assert_eq!(book.write(&all), [Ok(()), Ok(())]);
    assert_eq!(book.ledger().calls().count(), 0);
    assert_eq!(disk.stats().flushes, 2, "one at the opening, one for both");
}

#[test]
fn one_process_has_a_journal_open_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let first = open_at(&path, 1).unwrap();
    let refused = open_at(&path, 1).unwrap_err();
    assert!(matches!(refused, JournalError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    drop(first);
    open_at(&path, 1).unwrap();
    let refused = open_at(&folder.path().join("missing/journal"), 1).unwrap_err();
    assert!(matches!(refused, JournalError::CannotOpen(_)), "{refused}");
}

#[test]
fn a_torn_tail_is_cut_off_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let book = open_at(&path, 1).unwrap();
    start(&book, call(1, 10)).unwrap();
    start(&book, call(2, 10)).unwrap();
    drop(book);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let book = open_at(&path, 1).unwrap();
    assert_eq!(sequences(&book), [1]);
    assert!(book.cut_bytes() > 0);
    start(&book, call(3, 10)).unwrap();
    drop(book);
    let book = open_at(&path, 1).unwrap();
    assert_eq!((sequences(&book), book.cut_bytes()), (vec![1, 3], 0));
}

#[test]
fn a_journal_stays_short_however_many_calls_go_through_it() {
    let disk = SimDisk::new(1, 0);
    disk.set_room(6 << 20);
    let book = open_on(&disk);
    start(&book, call(1_000_000, 100)).unwrap();
    for sequence in 1..=20_000 {
        start(&book, call(sequence, 1_000)).unwrap();
        end(&book, sequence, Ending::Returned(vec![0; 100])).unwrap();
    }
    assert_eq!(sequences(&book), [1_000_000]);
    drop(book);
    let book = open_on(&disk);
    assert_eq!(sequences(&book), [1_000_000]);
    assert!(book.ledger().bytes() < 2 << 20, "{}", book.ledger().bytes());
}

#[test]
fn a_full_disk_refuses_a_call_and_keeps_those_it_has() {
    let disk = SimDisk::new(1, 0);
    let book = open_on(&disk);
    start(&book, call(1, 100)).unwrap();
    disk.set_room(500);
    let refused = start(&book, call(2, 1_000)).unwrap_err();
    assert!(matches!(refused, JournalError::DiskFull(_)), "{refused}");
    assert_eq!(sequences(&book), [1]);
    let end = Entry::Ended(call(1, 0).call, Ending::NotExecuted);
    let results = book.write(&[Entry::Started(call(3, 1_000)), end]);
    assert!(matches!(results[..], [Err(JournalError::DiskFull(_)), Ok(())]), "{results:?}");
    assert_eq!(sequences(&book), [] as [u64; 0]);
    disk.set_room(40_000);
    start(&book, call(4, 1_000)).unwrap();
    drop(book);
    assert_eq!(sequences(&open_on(&disk)), [4]);
}

#[test]
fn whatever_was_written_survives_a_power_failure() {
    let mut cut = 0;
    for seed in 0..300 {
        let mut rng = rng(seed);
        let disk = SimDisk::new(seed, 0);
        let mut expected = BTreeSet::new();
        let mut next = 1;
        for _life in 0..5 {
            let book = Book::open(Box::new(disk.open().unwrap()), &mut rng).unwrap();
            cut += book.cut_bytes();
            let mut found: BTreeSet<_> = sequences(&book).into_iter().collect();
            // The last one was written, perhaps, and never flushed.
            found.remove(&u64::MAX);
            assert_eq!(found, expected, "seed {seed}");
            for _ in 0..rng.below(6) {
                if rng.chance(0.6) || expected.is_empty() {
                    start(&book, call(next, 20)).unwrap();
                    expected.insert(next);
                    next += 1;
                } else {
                    let ended = *expected.first().unwrap();
                    end(&book, ended, Ending::NotExecuted).unwrap();
                    expected.remove(&ended);
                }
            }
            book.append(&[Entry::Started(call(u64::MAX, 50))]).remove(0).unwrap();
            disk.crash();
            assert!(start(&book, call(next, 1)).is_err(), "the dead write nothing");
        }
    }
    assert!(cut > 1_000, "some tails were torn: {cut}");
}

#[test]
fn threads_that_write_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let book = open_at(&path, 1).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let book = &book;
            threads.spawn(move || {
                for turn in 0..30 {
                    let sequence = thread * 1_000 + turn;
                    start(book, call(sequence, 20_000)).unwrap();
                    if turn % 10 != 0 {
                        end(book, sequence, Ending::NotExecuted).unwrap();
                    }
                }
            });
        }
    });
    drop(book);
    let book = open_at(&path, 1).unwrap();
    let expected: Vec<u64> =
        (0..8).flat_map(|t| [0, 10, 20].map(|turn| t * 1_000 + turn)).collect();
    assert_eq!((sequences(&book), book.cut_bytes()), (expected, 0));
}

/// A file whose replacement fails in that way.
#[derive(Debug)]
struct Stubborn {
    file: crate::sim::disk::SimFile,
    why: Option<JournalError>,
    replaced: Arc<AtomicU32>,
}

impl JournalFile for Stubborn {
    fn read(&self) -> Result<Vec<u8>, JournalError> {
        JournalFile::read(&self.file)
    }

    fn append(&self, length: u64, bytes: &[u8]) -> Result<(), JournalError> {
        JournalFile::append(&self.file, length, bytes)
    }

    fn flush(&self) -> Result<(), JournalError> {
        JournalFile::flush(&self.file)
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), JournalError> {
        let is_first = self.replaced.fetch_add(1, Ordering::Relaxed) == 0; // that of the opening
        match self.why.clone().filter(|_| !is_first) {
            Some(why) => Err(why),
            None => JournalFile::replace(&self.file, bytes),
        }
    }
}

/// The bytes that are behind a name after a rename that was not flushed are not known: what is
/// written on may be in a file without a name.
#[test]
fn a_journal_that_lost_its_file_in_being_written_anew_records_nothing_more() {
    let whys = [
        (JournalError::Broken("it may have its name".to_owned()), false),
        (JournalError::CannotOpen("no handle is left".to_owned()), true),
        (JournalError::DiskFull("no room".to_owned()), true),
    ];
    for (why, goes_on) in whys {
        let disk = SimDisk::new(1, 0);
        let replaced = Arc::<AtomicU32>::default();
        let (file, counted) = (disk.open().unwrap(), Arc::clone(&replaced));
        let file = Stubborn { file, why: Some(why), replaced: counted };
        let book = Book::open(Box::new(file), &mut rng(1)).unwrap();
        let mut last = Ok(());
        for sequence in 1..=40 {
            last = start(&book, call(sequence, 100_000));
            if last.is_err() {
                break;
            }
            let _written = end(&book, sequence, Ending::NotExecuted);
        }
        assert_eq!(last.is_ok(), goes_on, "{last:?}");
        assert!(replaced.load(Ordering::Relaxed) > 1, "it was not written anew");
    }
}

#[test]
fn what_is_written_after_a_journal_was_written_anew_is_in_the_file_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let file = DiskFile::open(&path).unwrap();
    file.replace(b"one").unwrap();
    file.append(3, b" and two").unwrap();
    file.flush().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one and two");
    assert_eq!(file.read().unwrap(), b"one and two");
}

#[test]
fn a_journal_that_cannot_be_written_anew_is_let_grow_before_that_is_tried_again() {
    let disk = SimDisk::new(1, 0);
    let (file, replaced) = (disk.open().unwrap(), Arc::<AtomicU32>::default());
    let why = Some(JournalError::DiskFull("no room".to_owned()));
    let file = Stubborn { file, why, replaced: Arc::clone(&replaced) };
    let book = Book::open(Box::new(file), &mut rng(1)).unwrap();
    for sequence in 1..=40 {
        start(&book, call(sequence, 100_000)).unwrap();
        end(&book, sequence, Ending::NotExecuted).unwrap();
    }
    let tries = replaced.load(Ordering::Relaxed) - 1; // without that of the opening
    assert!((2..=4).contains(&tries), "4 MB in 80 flushes: {tries} tries");
}

/// `/dev/full` stands for a disk that is full: what is to be written anew is written there.
#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_written_anew_leaves_its_room_to_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let new = folder.path().join("journal.new");
    let file = DiskFile::open(&path).unwrap();
    file.replace(b"one").unwrap();
    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    let refused = file.replace(b"another").unwrap_err();
    assert!(matches!(refused, JournalError::DiskFull(_)), "{refused}");
    assert!(new.symlink_metadata().is_err(), "it is gone");
    file.append(3, b" and two").unwrap();
    file.flush().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one and two");
    file.replace(b"three").unwrap();
    assert_eq!(file.read().unwrap(), b"three");
}
