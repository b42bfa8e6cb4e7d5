use super::*;
use crate::ids::{Sequence, SessionId, SlotIndex};
use crate::wire::{self, Envelope, Pdu, Ping};

/// SplitMix64: enough randomness for statistics.
#[derive(Debug)]
struct Counter(u64);

impl Rng for Counter {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn injector(faults: Faults) -> Injector {
    Injector::new(faults, Box::new(Counter(7)))
}

/// Whether `seen` of `tries` is within four standard deviations of a share of `p`.
#[track_caller]
fn about(seen: u64, tries: u64, p: f64) {
    let (seen, tries) = (seen as f64, tries as f64);
    let sigma = (tries * p * (1.0 - p)).sqrt();
    assert!((seen - tries * p).abs() <= 4.0 * sigma, "{seen} of {tries} for a share of {p}");
}

const DATAGRAM: [u8; 64] = [0; 64];
const NOW: Instant = Instant::from_micros(1_000_000);
const TRIES: u64 = 100_000;

#[test]
fn shares_are_as_asked_for_within_four_sigma() {
    let faults = Faults::default().loss(0.2).duplicate(0.3).reorder(0.1).corrupt(0.05);
    let mut injector = injector(faults);
    let mut whole = 0;
    for _ in 0..TRIES {
        let plan = injector.plan(NOW, &DATAGRAM);
        whole += u64::from(plan.passages().iter().any(|passage| passage.damage.is_none()));
    }
    let Injected { datagrams, duplicated, dropped, reordered, corrupted, delayed, passed } =
        injector.injected();
    assert_eq!(delayed, 0, "a delay is another thing than to be overtaken");
    assert_eq!(datagrams, TRIES);
    assert_eq!(passed, TRIES + duplicated - dropped);
    about(duplicated, TRIES, 0.3);
    about(dropped, TRIES + duplicated, 0.2);
    about(reordered, passed, 0.1);
    about(corrupted, passed, 0.05);
    let q = 1.0 - (1.0 - 0.2) * (1.0 - 0.05);
    about(whole, TRIES, 1.0 - 0.7 * q - 0.3 * q * q);
}

#[test]
fn copies_of_one_datagram_are_dropped_each_by_itself() {
    let mut injector = injector(Faults::default().duplicate(1.0).loss(0.5));
    let mut counts = [0_u64; 3];
    for _ in 0..TRIES {
        counts[injector.plan(NOW, &DATAGRAM).passages().len()] += 1;
    }
    about(counts[0], TRIES, 0.25);
    about(counts[1], TRIES, 0.5);
    about(counts[2], TRIES, 0.25);
}

#[test]
fn nothing_is_touched_without_faults() {
    let mut injector = injector(Faults::default());
    assert!((0..100).all(|_| injector.plan(NOW, &DATAGRAM).is_untouched(NOW)));
}

#[test]
fn a_reordered_datagram_is_overtaken() {
    let mut injector = injector(Faults::default().reorder(0.5).delay(Duration::from_millis(1)));
    let due: Vec<_> = (0..1_000).map(|_| injector.plan(NOW, &DATAGRAM).passages()[0].at).collect();
    let inversions = due.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(inversions > 200, "only {inversions} overtakings");
    assert!(due.iter().all(|at| *at >= NOW + Duration::from_millis(1)));
}

#[test]
fn delays_have_their_mean_and_their_cap() {
    let ms = Duration::from_millis;
    let mean_ms = |delay: Delay, cap: Duration| {
        let mut rng = Counter(3);
        let drawn: Vec<_> = (0..TRIES).map(|_| delay.sample(&mut rng)).collect();
        assert!(drawn.iter().all(|one| *one <= cap), "a delay beyond its cap");
        drawn.iter().sum::<Duration>().as_secs_f64() * 1e3 / TRIES as f64
    };
    assert_eq!(mean_ms(Delay::Constant(ms(3)), ms(3)), 3.0);
    let uniform = mean_ms(Delay::Uniform { low: ms(1), high: ms(5) }, ms(5));
    assert!((uniform - 3.0).abs() < 0.02, "{uniform}");
    let exponential = mean_ms(Delay::Exponential { mean: ms(2), cap: ms(1_000) }, ms(1_000));
    assert!((exponential - 2.0).abs() < 0.03, "{exponential}");
    // The mean of a Pareto of exponent 1 from 1 to 1000 is ln 1000 · 1000 / 999.
    let tail = mean_ms(Delay::HeavyTail { least: ms(1), cap: ms(1_000) }, ms(1_000));
    assert!((tail - 6.91).abs() < 0.3, "{tail}");
}

#[test]
fn damage_always_changes_the_bytes_and_crc_32_always_sees_it() {
    let mut rng = Counter(11);
    for try_ in 0..200_000_u32 {
        let length = 1 + usize::try_from(rng.below(200)).unwrap();
        let mut message: Vec<u8> = (0..length).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        message.extend(crc32fast::hash(&message).to_le_bytes());
        let damage = Damage::draw(message.len(), &mut rng).unwrap();
        let intact = message.clone();
        damage.apply(&mut message);
        assert_ne!(message, intact, "try {try_}: {damage:?} changed nothing");
        let (body, crc) = message.split_last_chunk::<4>().unwrap();
        assert_ne!(crc32fast::hash(body).to_le_bytes(), *crc, "try {try_}: {damage:?} passed");
    }
}

#[test]
fn a_damaged_pdu_never_decodes() {
    let mut rng = Counter(12);
    let mut intact = Vec::new();
    let (slot, sequence) = (SlotIndex(3), Sequence(41));
    let envelope = Envelope { session: SessionId(7), ..Envelope::default() };
    wire::encode(&envelope, &Pdu::Ping(Ping { slot, sequence, stamp: 99 }), &mut intact);
    for _ in 0..200_000 {
        let mut damaged = intact.clone();
        let damage = Damage::draw(damaged.len(), &mut rng).unwrap();
        damage.apply(&mut damaged);
        assert!(wire::decode(&damaged).is_err(), "{damage:?}");
    }
}

#[test]
fn an_empty_datagram_cannot_be_damaged() {
    assert_eq!(Damage::draw(0, &mut Counter(1)), None);
    let mut injector = injector(Faults::default().corrupt(1.0));
    assert_eq!(injector.plan(NOW, &[]).passages().len(), 1);
}

#[test]
fn text_and_faults_are_the_same_thing() {
    let ms = Duration::from_millis;
    let texts = [
        ("none", Faults::default()),
        ("drop=0.2,duplicate=0.25", Faults::default().loss(0.2).duplicate(0.25)),
        ("reorder=0.3,corrupt=0.01", Faults::default().reorder(0.3).corrupt(0.01)),
        ("delay=1ms..5ms", Faults::default().delay(ms(1)..=ms(5))),
        ("drop=1,delay=250us", Faults::default().loss(1.0).delay(Duration::from_micros(250))),
        (
            "delay=exp:2ms..1s",
            Faults::default().delay(Delay::Exponential { mean: ms(2), cap: ms(1_000) }),
        ),
        (
            "delay=tail:1ms..3600s",
            Faults::default().delay(Delay::HeavyTail { least: ms(1), cap: ms(3_600_000) }),
        ),
    ];
    for (text, faults) in texts {
        assert_eq!(text.parse::<Faults>().unwrap(), faults, "{text}");
        assert_eq!(faults.to_string(), text);
    }
    assert_eq!(" drop = 0.5 , delay=1ms ".parse::<Faults>().unwrap().loss, 0.5);
}

#[test]
fn a_mistake_in_the_text_is_named() {
    let said = |text: &str| text.parse::<Faults>().unwrap_err().to_string();
    assert_eq!(
        said("lost=0.2"),
        "unknown fault `lost`: known are drop, duplicate, reorder, corrupt, delay, and `none` alone"
    );
    assert_eq!(said("drop=1.5"), "`drop=1.5`: a probability is a number from 0 to 1");
    assert_eq!(said("drop=NaN"), "`drop=NaN`: a probability is a number from 0 to 1");
    assert_eq!(said("drop"), "`drop` needs a value, such as `drop=0.2`");
    assert_eq!(said("drop=0.1,drop=0.2"), "`drop` is given twice");
    assert_eq!(said(""), "no faults are named: write `none`, or such as `drop=0.2`");
    assert_eq!(said("drop=0.1,none"), "`none` stands alone: leave it out, or the other faults");
    for delay in ["5", "ms", "5ms..1ms", "5min", "exp:5ms", "wide:1ms..2ms", "1.5ms", ""] {
        assert!(said(&format!("delay={delay}")).contains("a delay is such as"), "{delay}");
    }
}

#[test]
#[should_panic(expected = "1.2 is no probability")]
fn a_share_above_one_is_refused() {
    let _ = Faults::default().loss(1.2);
}
