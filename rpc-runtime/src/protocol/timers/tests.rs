use super::*;
use std::collections::BTreeSet;

#[test]
fn agrees_with_a_sorted_set_over_random_operations() {
    let mut timers = Timers::new();
    let ids: Vec<_> = (0..50_u64).map(|key| timers.add(key)).collect();
    let mut model = BTreeSet::new();
    let mut set = [None; 50];
    let mut state = 7_u64;
    for _ in 0..10_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let which = (state >> 33) as usize % 50;
        let when = Instant::from_micros((state >> 40) % 1_000);
        if let Some(old) = set[which].take() {
            model.remove(&(old, which));
        }
        if state >> 63 == 0 {
            timers.set(ids[which], when);
            model.insert((when, which));
            set[which] = Some(when);
        } else {
            timers.clear(ids[which]);
        }
        let expected = model.first().map(|&(when, which)| (when, which as u64));
        let next = timers.next();
        assert_eq!(next.is_some(), expected.is_some());
        assert!(next.map(|(when, _)| when) <= expected.map(|(when, _)| when), "never too late");
        if state >> 40 & 7 == 0 {
            timers.tidy();
            assert_eq!(timers.next(), expected);
        }
    }
    while let Some((when, which)) = model.pop_first() {
        assert_eq!(timers.pop_due(when), Some(which as u64));
    }
    assert_eq!(timers.next(), None);
}

/// Times of all sizes, many of them equal.
fn time(state: u64, now: u64) -> u64 {
    let ahead = (state >> 20) & ((1 << ((state >> 8) % 40)) - 1);
    now.saturating_sub(5) + ahead
}

#[test]
fn agrees_with_a_sorted_set_while_time_goes_on() {
    const TIMERS: usize = 40;
    let mut timers = Timers::new();
    let ids: Vec<_> = (0..TIMERS).map(|key| timers.add(key)).collect();
    let mut model = BTreeSet::new();
    let mut set = [None; TIMERS];
    let (mut state, mut now) = (3_u64, 0);
    for step in 0..200_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (mixed, which) = (state >> 16 ^ state, (state >> 33) as usize % TIMERS);
        if let Some(old) = set[which].take() {
            model.remove(&(old, which));
        }
        if mixed % 3 > 0 {
            let when = Instant::from_micros(time(mixed, now));
            timers.set(ids[which], when);
            model.insert((when, which));
            set[which] = Some(when);
        } else {
            timers.clear(ids[which]);
        }
        if mixed % 5 == 0 {
            now = time(mixed.rotate_left(23), now).max(now);
        }
        let at = Instant::from_micros(now);
        let first = |model: &BTreeSet<(Instant, usize)>| model.first().copied();
        let wake = if mixed % 7 == 0 {
            timers.next_after(at)
        } else {
            timers.next().map(|(when, _)| when)
        };
        assert_eq!(wake.is_some(), !model.is_empty(), "step {step}");
        assert!(wake <= first(&model).map(|(when, _)| when), "step {step}: never too late");
        if mixed % 4 == 0 {
            while let Some((when, which)) = first(&model).filter(|(when, _)| *when <= at) {
                model.remove(&(when, which));
                set[which] = None;
                assert_eq!(timers.pop_due(at), Some(which), "step {step}");
            }
            assert_eq!(timers.pop_due(at), None, "step {step}");
            let next = timers.next().map(|(when, _)| when);
            assert!(next.is_none_or(|next| next > at), "step {step}: who waits until then waits");
        }
        if mixed % 11 == 0 {
            timers.tidy();
            assert_eq!(timers.next(), first(&model), "step {step}");
        }
    }
}

#[test]
fn a_timer_that_is_awaited_alone_is_looked_at_a_few_times_at_the_most() {
    let mut timers = Timers::new();
    let ids = [timers.add('a'), timers.add('b')];
    let hour = Instant::from_micros(3_600_000_000);
    timers.set(ids[0], hour);
    timers.set(ids[1], Instant::from_micros(10));
    timers.clear(ids[1]);
    let mut looks = 0;
    while let Some((when, _)) = timers.next().filter(|_| timers.pop_due(hour).is_none()) {
        looks += 1;
        assert_eq!(timers.pop_due(when), None);
    }
    assert_eq!(looks, 0, "what is due fires at once, wherever it stands");
    timers.set(ids[0], hour + Duration::from_secs(3_600));
    timers.set(ids[1], hour + Duration::from_secs(1));
    timers.clear(ids[1]);
    loop {
        let (when, _) = timers.next().unwrap();
        looks += 1;
        if timers.pop_due(when).is_some() {
            assert_eq!(when, hour + Duration::from_secs(3_600));
            break;
        }
    }
    assert!(looks < 10, "{looks}");
}

#[test]
fn one_look_that_comes_too_early_is_the_only_one() {
    let mut timers = Timers::new();
    let ids: Vec<_> = (0..100_u64).map(|key| timers.add(key)).collect();
    for (&id, micros) in ids.iter().zip(1..) {
        timers.set(id, Instant::from_micros(micros));
    }
    timers.set(ids[7], Instant::from_micros(5_000));
    ids.iter().enumerate().filter(|(key, _)| *key != 7).for_each(|(_, &id)| timers.clear(id));
    let (early, _) = timers.next().unwrap();
    assert_eq!(timers.clone().next_after(early), Some(Instant::from_micros(5_000)));
    assert_eq!(timers.pop_due(early), None);
    assert_eq!(timers.next(), Some((Instant::from_micros(5_000), 7)));
    assert_eq!(timers.pop_due(Instant::from_micros(5_000)), Some(7));
    assert_eq!(timers.next(), None);
}

#[test]
fn a_removed_timer_never_fires_and_its_place_is_used_again() {
    let mut timers = Timers::new();
    let first = timers.add('a');
    timers.set(first, Instant::START);
    timers.remove(first);
    assert_eq!(timers.pop_due(Instant::from_micros(1)), None);
    assert_eq!(timers.add('b'), first);
}
