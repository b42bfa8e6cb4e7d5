//! Rings in memory of the test's own: what crosses, what finds no room, and a peer that writes anything.

use proptest::prelude::*;

use super::*;

/// Memory for rings of so many bytes each.
struct Heap {
    words: Vec<AtomicU32>,
    bytes: Vec<AtomicU64>,
}

impl Heap {
    fn of(ring_bytes: usize) -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU32::new(0)).collect(),
            bytes: (0..2 * ring_bytes / STEP_BYTES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn rings(&self, side: Side) -> Rings<'_> {
        Rings::of(side, &self.words, &self.bytes)
    }
}

fn datagram(number: usize, len: usize) -> Vec<u8> {
    (number..number + len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// As many datagrams as a caller can write, each `len` long.
fn fill(writer: &mut Writer, rings: &Rings<'_>, len: usize) -> usize {
    (0..).take_while(|number| writer.write(rings, &datagram(*number, len)) == Ok(true)).count()
}

#[test]
fn datagrams_of_every_length_cross_whole_and_in_order_round_and_round() {
    let heap = Heap::of(2_048);
    let (caller, called) = (heap.rings(Side::Caller), heap.rings(Side::Called));
    for (here, there) in [(caller, called), (called, caller)] {
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        // Their counts go round in the midst of it.
        let start = 0_u32.wrapping_sub(4_096);
        here.ours.tail.store(start, Ordering::Relaxed);
        there.ours.head.store(start, Ordering::Relaxed);
        (writer.tail, writer.head, reader.head) = (start, start, start);
        let mut buffer = [0; 512];
        for len in 1..=400 {
            assert!(!reader.has_news(&there));
            assert_eq!(reader.read(&there, &mut buffer), Ok(0));
            for number in [len, len + 1] {
                assert_eq!(writer.write(&here, &datagram(number, len)), Ok(true), "{len}");
            }
            assert!(reader.has_news(&there));
            let mut come = Vec::new();
            while come.len() < 2 * len {
                let read = reader.read(&there, &mut buffer).unwrap();
                assert!(read > 0);
                come.extend_from_slice(&buffer[..read]);
            }
            assert_eq!(come, [datagram(len, len), datagram(len + 1, len)].concat());
        }
    }
}

#[test]
fn one_read_brings_what_finds_room_and_cuts_only_what_is_longer_than_all_of_it() {
    let heap = Heap::of(1_024);
    let (here, there) = (heap.rings(Side::Caller), heap.rings(Side::Called));
    let (mut writer, mut reader) = (Writer::default(), Reader::default());
    for number in 0..5 {
        assert_eq!(writer.write(&here, &datagram(number, 40)), Ok(true));
    }
    let mut buffer = [0; 100];
    assert_eq!(reader.read(&there, &mut buffer), Ok(80));
    assert_eq!(reader.read(&there, &mut buffer), Ok(80));
    assert_eq!(reader.read(&there, &mut buffer[..10]), Ok(10));
    assert_eq!(buffer[..10], datagram(4, 10));
    assert_eq!(writer.unread(&here), Ok(0));
}

#[test]
fn a_full_ring_takes_nothing_and_its_reader_tells_when_there_is_room() {
    let heap = Heap::of(1_024);
    let (here, there) = (heap.rings(Side::Called), heap.rings(Side::Caller));
    let (mut writer, mut reader) = (Writer::default(), Reader::default());
    assert_eq!(fill(&mut writer, &here, 56), 16);
    assert_eq!(writer.unread(&here), Ok(1_024));
    assert_eq!(writer.is_choked(&here), Ok(true));
    let mut buffer = [0; 56];
    for left in (0..16).rev() {
        assert_eq!(reader.read(&there, &mut buffer), Ok(56));
        // Once, as soon as no more than a quarter is unread.
        assert_eq!(reader.owes_room(&there), left == 4, "{left}");
    }
    assert_eq!(writer.is_choked(&here), Ok(false));
    assert_eq!(fill(&mut writer, &here, 56), 16);
}

#[test]
fn a_ring_whose_reader_keeps_up_uses_a_page() {
    let heap = Heap::of(65_536);
    let (here, there) = (heap.rings(Side::Caller), heap.rings(Side::Called));
    let (mut writer, mut reader) = (Writer::default(), Reader::default());
    for number in 0..10_000 {
        assert_eq!(writer.write(&here, &datagram(number, 100)), Ok(true));
        assert_eq!(reader.read(&there, &mut [0; 100]), Ok(100));
    }
    let used = heap.bytes.iter().rposition(|word| word.load(Ordering::Relaxed) != 0);
    assert!(used.unwrap() < 4_096 / STEP_BYTES, "{used:?}");
}

#[test]
fn an_empty_ring_has_room_for_as_much_wherever_it_is() {
    let heap = Heap::of(65_536);
    let (here, there) = (heap.rings(Side::Caller), heap.rings(Side::Called));
    let (mut writer, mut reader) = (Writer::default(), Reader::default());
    for turn in 0..40 {
        // One less where its end is not at the ring's.
        let written = fill(&mut writer, &here, 1_000);
        assert!(written >= 64, "{written}, turn {turn}");
        assert!(writer.is_choked(&here).unwrap());
        let mut buffer = vec![0; 65_536];
        assert_eq!(reader.read(&there, &mut buffer), Ok(written * 1_000));
        for number in 0..turn {
            assert_eq!(writer.write(&here, &datagram(number, 100)), Ok(true));
            assert_eq!(writer.is_choked(&here), Ok(false), "a single one is not much");
            assert_eq!(reader.read(&there, &mut buffer), Ok(100));
        }
    }
}

#[test]
fn counts_and_lengths_that_cannot_be_are_hostile() {
    let heap = Heap::of(1_024);
    let (here, there) = (heap.rings(Side::Caller), heap.rings(Side::Called));
    let mut writer = Writer::default();
    assert_eq!(writer.write(&here, &datagram(0, 20)), Ok(true));
    for tail in [31, 33, 1_025, 1_032, u32::MAX, 0_u32.wrapping_sub(8)] {
        here.ours.tail.store(tail, Ordering::Relaxed);
        assert_eq!(Reader::default().read(&there, &mut [0; 64]), Err(Hostile), "{tail}");
    }
    here.ours.tail.store(32, Ordering::Relaxed);
    for origin in [1, 31, 0_u32.wrapping_sub(24)] {
        here.ours.origin.store(origin, Ordering::Relaxed);
        assert_eq!(Reader::default().read(&there, &mut [0; 64]), Err(Hostile), "{origin}");
    }
    here.ours.origin.store(0, Ordering::Relaxed);
    for length in [0, 25, 65_537, 1 << 32, SKIP - 1, SKIP] {
        here.to_write[0].store(length, Ordering::Relaxed);
        assert_eq!(Reader::default().read(&there, &mut [0; 64]), Err(Hostile), "{length}");
    }
    for head in [1, 40, 0_u32.wrapping_sub(8), 1 << 31] {
        there.ours.head.store(head, Ordering::Relaxed);
        assert_eq!(writer.write(&here, &[1]), Err(Hostile), "{head}");
        assert_eq!(writer.is_choked(&here), Err(Hostile));
    }
    there.ours.head.store(32, Ordering::Relaxed);
    assert_eq!(writer.unread(&here), Ok(0));
    there.ours.head.store(24, Ordering::Relaxed);
    assert_eq!(writer.unread(&here), Err(Hostile), "nothing becomes unread again");
}

#[test]
fn what_one_thread_writes_another_one_reads() {
    const DATAGRAMS: usize = if cfg!(miri) { 200 } else { 100_000 };
    let heap = Heap::of(4_096);
    let len = |number: usize| 1 + number * 7 % 300;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let (rings, mut writer) = (heap.rings(Side::Caller), Writer::default());
            for number in 0..DATAGRAMS {
                while !writer.write(&rings, &datagram(number, len(number))).unwrap() {
                    std::thread::yield_now();
                }
            }
        });
        let (rings, mut reader) = (heap.rings(Side::Called), Reader::default());
        let mut buffer = [0; 1_000];
        let mut number = 0;
        while number < DATAGRAMS {
            let mut come = &buffer[..0];
            if reader.has_news(&rings) {
                let read = reader.read(&rings, &mut buffer).unwrap();
                come = &buffer[..read];
            } else {
                std::thread::yield_now();
            }
            while !come.is_empty() {
                let (first, rest) = come.split_at(len(number));
                assert_eq!(first, datagram(number, len(number)));
                (come, number) = (rest, number + 1);
            }
        }
    });
}

/// What a peer does to memory that it has.
#[derive(Clone, Debug)]
enum Step {
    Word(usize, u32),
    Byte(usize, u64),
    Write(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let word = prop_oneof![0..2_048_u32, (0..256_u32).prop_map(|words| words * 8), any::<u32>()];
    let length = prop_oneof![0..600_u64, Just(SKIP), any::<u64>()];
    prop_oneof![
        (0..WORDS, word).prop_map(|(at, value)| Step::Word(at, value)),
        (0..256_usize, length).prop_map(|(at, value)| Step::Byte(at, value)),
        (1..700_usize).prop_map(Step::Write),
        (1..700_usize).prop_map(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 512 }))]

    #[test]
    fn a_peer_that_writes_anything_anywhere_is_found_out_or_read_within_bounds(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let heap = Heap::of(1_024);
        let rings = heap.rings(Side::Called);
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        for step in steps {
            match step {
                Step::Word(at, value) => heap.words[at].store(value, Ordering::Relaxed),
                Step::Byte(at, value) => heap.bytes[at].store(value, Ordering::Relaxed),
                Step::Write(len) => {
                    let written = writer.write(&rings, &datagram(0, len));
                    prop_assert!(writer.tail.wrapping_sub(writer.head) <= 1_024, "{written:?}");
                }
                Step::Read(room) => {
                    let mut buffer = vec![0xee; room];
                    if let Ok(len) = reader.read(&rings, &mut buffer) {
                        prop_assert!(len <= room);
                        prop_assert!(buffer[len..].iter().all(|byte| *byte == 0xee));
                    }
                    let _ = (reader.owes_room(&rings), writer.is_choked(&rings));
                }
            }
        }
    }
}
