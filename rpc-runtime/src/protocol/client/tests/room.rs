//! Who gets a slot when there are not enough (protocol tables, M9 and 1b.6).

use super::*;

/// A bench whose server grants so many slots, all of them taken that outermost calls may take.
fn crowded(slots: u32) -> (Bench, u32) {
    let mut bench = Bench::new();
    bench.slots = slots;
    let (_, said) = bench.call();
    assert_eq!(bench.welcome_hello(&said), [request(1)]);
    let mut taken = 1;
    loop {
        let (_, said) = bench.call();
        if said.is_empty() {
            return (bench, taken);
        }
        assert_eq!(said, [Said::Request { slot: taken, sequence: 1, transmission: 1 }]);
        taken += 1;
    }
}

#[test]
fn a_quarter_of_the_slots_is_kept_for_nested_calls() {
    for (slots, for_outermost) in [(1, 1), (2, 2), (4, 3), (8, 6), (64, 48)] {
        let (mut bench, taken) = crowded(slots);
        assert_eq!(taken, for_outermost, "of {slots}");
        for slot in taken..slots {
            let nested = CallSpec { depth: 1, ..bench.spec() };
            let (_, said) = bench.start(nested);
            assert_eq!(said, [Said::Request { slot, sequence: 1, transmission: 1 }]);
        }
        let (_, said) = bench.start(CallSpec { depth: 1, ..bench.spec() });
        assert_eq!(said, [], "all {slots} are taken");
    }
}

#[test]
fn a_call_that_waits_gets_the_slot_that_is_freed_and_the_first_come_is_served_first() {
    let (mut bench, taken) = crowded(4);
    let (second, _) = bench.call();
    assert_eq!(taken, 3);
    let said = bench.tell(&reply_in(1, 1, ReplyStatus::Returned));
    assert_eq!(said, [Said::Request { slot: 1, sequence: 2, transmission: 1 }]);
    assert_eq!(bench.client.call_id(second), Some(CallId::UNSENT));
    let said = bench.tell(&reply_in(0, 1, ReplyStatus::Returned));
    assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
    assert_eq!(bench.client.call_id(second), Some(place(2)));
}

#[test]
fn a_call_given_up_makes_room_for_one_that_waits() {
    let (mut bench, _) = crowded(1);
    let first = *bench.under_way.keys().next().expect("the first call");
    assert_eq!(
        bench.cancel(first),
        [CANCEL, Said::Request { slot: 0, sequence: 2, transmission: 1 }]
    );
}

#[test]
fn a_maybe_call_passes_those_that_wait_for_a_slot() {
    let (mut bench, _) = crowded(1);
    bench.start(CallSpec { depth: 1, ..bench.spec() });
    let (_, said) = bench.start(CallSpec { semantics: Semantics::Maybe, ..bench.spec() });
    assert_eq!(said, [Said::Maybe { sequence: 1 }]);
}

#[test]
fn no_more_slots_are_used_than_were_granted_or_are_wanted() {
    let limits = Limits { slots_max: 2, ..Limits::default() };
    for granted in [0, 1, 2, u32::MAX] {
        let mut bench = Bench::with(limits.clone(), ANYBODY);
        bench.slots = granted;
        let (_, said) = bench.call();
        bench.welcome_hello(&said);
        for _ in 0..5 {
            bench.call();
        }
        let expected = usize::try_from(granted.min(2)).unwrap();
        assert_eq!(bench.client.slots.slots.len(), expected);
    }
}
