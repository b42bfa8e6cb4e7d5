//! A call in its slot: the table "Client slot", row by row, without lost sessions and `resolve`.

use super::*;

#[test]
fn a_free_slot_takes_a_call_under_its_next_sequence() {
    let mut bench = Bench::prepared(Prepared::Free);
    bench.outcome();
    for sequence in 2..5 {
        let (key, said) = bench.call();
        assert_eq!(said, [Said::Request { slot: 0, sequence, transmission: 1 }]);
        assert_eq!(bench.client.call_id(key), Some(place(sequence)));
        assert_eq!(bench.said_in, [A]);
        bench.tell(&reply(sequence));
        assert_eq!((bench.outcome(), bench.client.call_id(key)), (returned(), None));
    }
}

#[test]
fn calls_at_one_time_get_slots_of_their_own_and_freed_ones_are_used_first() {
    let (mut bench, _) = Bench::busy();
    for slot in 1..3 {
        let (_, said) = bench.call();
        assert_eq!(said, [Said::Request { slot, sequence: 1, transmission: 1 }]);
    }
    bench.tell(&reply_in(1, 1, ReplyStatus::Returned));
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 1, sequence: 2, transmission: 1 }]);
}

#[test]
fn a_request_says_how_long_it_is_good_by_both_clocks() {
    let (mut bench, _) = Bench::busy();
    let asked = bench.asked.clone().unwrap();
    assert_eq!((asked.remaining_us, &asked.arguments[..]), (1_000_000, &b"arguments"[..]));
    // Seven seconds by the server's clock at the WELCOME, and one of patience, less 200 ppm.
    assert_eq!(asked.not_after_us, 8_000_000 - 200 - 1);
    bench.step();
    let again = bench.asked.clone().unwrap();
    assert_eq!(again.digest, asked.digest, "the same request");
    assert_eq!(again.not_after_us, asked.not_after_us, "a deadline does not move");
    assert_eq!(again.remaining_us, 980_000, "after 20 ms");
}

#[test]
fn working_renews_the_reading_of_the_server_s_clock_but_never_sets_it_back() {
    for (reading, expected) in [(7_500_000, 8_500_000 - 200 - 1), (1, 8_000_000 - 200 - 1)] {
        let (mut bench, _) = Bench::busy();
        let Pdu::Working(answer) = working(1, 1) else { unreachable!() };
        bench.tell(&Pdu::Working(Working { session_time_us: reading, ..answer }));
        bench.call();
        assert_eq!(bench.asked.clone().unwrap().not_after_us, expected);
    }
}

#[test]
fn a_busy_slot_without_answer_sends_its_request_again_ever_more_slowly() {
    let mut bench = Bench::new();
    let spec = CallSpec { deadline: bench.now + Duration::from_secs(60), ..bench.spec() };
    let (_, said) = bench.start(spec);
    bench.welcome_hello(&said);
    let mut before = Duration::ZERO;
    for transmission in 2..12 {
        let (waited, said) = bench.step();
        assert_eq!(said, [request(transmission)]);
        let ceiling = Limits::default().retransmit_ceiling;
        assert!(waited > before || waited >= ceiling, "{transmission}: {waited:?}");
        assert!(waited <= ceiling * 5 / 4, "{transmission}: {waited:?}");
        before = waited.min(ceiling);
    }
    assert_eq!(bench.counters().retransmissions, 10);
}

#[test]
fn a_busy_slot_that_works_is_only_probed() {
    let mut bench = Bench::prepared(Prepared::Working);
    for _ in 0..2 {
        assert_eq!(bench.step().1, [PING]);
    }
    assert_eq!(bench.tell(&working(1, 1)), [], "an answer to the probe");
    assert_eq!(bench.step().1, [PING]);
    bench.tell(&reply(1));
    let ended = bench.last_ended();
    assert_eq!(ended.outcome, returned());
    assert!(ended.evidence.working_seen);
    assert_eq!(ended.evidence.transmissions, 1);
}

#[test]
fn a_slot_in_which_an_older_call_works_is_asked_again_with_the_request() {
    let (mut bench, _) = Bench::busy();
    assert_eq!(bench.tell(&working(1, 0)), [], "not at once: that would be a storm");
    assert_eq!(bench.step().1, [request(2)]);
}

#[test]
fn a_busy_slot_told_unseen_sends_its_request() {
    // It was lost, or (1b.1) it is `at_least_once`, has run, and its reply was lost.
    for semantics in [Semantics::AtMostOnce, Semantics::AtLeastOnce] {
        let (mut bench, _) = Bench::busy_with(semantics);
        bench.tell(&working(1, 1));
        assert_eq!(bench.step().1, [PING]);
        assert_eq!(bench.tell(&unseen(1)), [request(2)]);
        assert_eq!(bench.tell(&unseen(1)), [], "a copy of the answer");
        assert_eq!(bench.step().1, [request(3)], "it does not work any more");
    }
}

#[test]
fn an_unseen_that_no_probe_asked_for_makes_no_request() {
    let (mut bench, _) = Bench::busy();
    assert_eq!(bench.tell(&unseen(1)), []);
    assert_eq!(bench.step().1, [request(2)]);
}

#[test]
fn a_busy_slot_ended_by_an_answer_is_free_and_the_call_is_what_the_answer_says() {
    for (answer, expected) in terminal_answers() {
        let (mut bench, key) = Bench::busy();
        assert_eq!(bench.tell(&answer), []);
        let ended = bench.last_ended();
        assert_eq!((ended.key, ended.call), (key, place(1)));
        assert_eq!(ended.outcome, expected);
        let execution = match expected {
            Outcome::Returned(_) | Outcome::Failed { .. } => Execution::Executed,
            Outcome::Refused { .. } | Outcome::Sealed => Execution::NotExecuted,
            Outcome::Sent
            | Outcome::Rejected { .. }
            | Outcome::NotSent(_)
            | Outcome::InDoubt(_) => Execution::Unknown,
        };
        assert_eq!(ended.outcome.execution(), execution, "{expected:?}");
        assert_eq!(ended.evidence.server, SERVER);
        assert_eq!(ended.evidence.incarnation, LIFE_OF_SERVER);
        let (_, said) = bench.call();
        assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
    }
}

#[test]
fn a_busy_slot_ended_by_sealed_closed_is_unknown() {
    let (mut bench, _) = Bench::busy();
    bench.tell(&sealed(1, SealedVerdict::Closed));
    assert_eq!(bench.outcome().execution(), Execution::Unknown);
}

#[test]
fn the_next_call_in_the_slot_acknowledges_the_reply() {
    let mut bench = Bench::prepared(Prepared::Free);
    bench.call();
    bench.tell(&refuse(2, RefuseReason::Overload));
    assert_eq!(bench.pass(PATIENCE), [], "a refusal has no bytes to be freed");
    assert!(bench.client.is_quiet());
}

#[test]
fn an_idle_client_acknowledges_its_last_replies_once_and_is_quiet_then() {
    let (mut bench, _) = Bench::busy();
    for _ in 1..3 {
        bench.call();
    }
    for slot in 0..3 {
        assert_eq!(bench.tell(&reply_in(slot, 1, ReplyStatus::Returned)), []);
    }
    assert!(!bench.client.is_quiet());
    let (waited, said) = bench.step();
    assert_eq!(waited, Limits::default().ack_delay);
    assert_eq!(said, [0, 1, 2].map(|slot| Said::Ack { slot, sequence: 1 }));
    assert!(bench.client.is_quiet());
    assert_eq!(bench.pass(LEASE * 10), [], "no keep-alive");
}

#[test]
fn a_client_without_replies_to_acknowledge_is_quiet_at_once() {
    let (mut bench, _) = Bench::busy();
    bench.tell(&refuse(1, RefuseReason::Overload));
    assert!(bench.client.is_quiet(), "no timer runs for nothing");
}

#[test]
fn a_client_with_calls_under_way_acknowledges_nothing() {
    let (mut bench, _) = Bench::busy();
    let spec = CallSpec { deadline: bench.now + LEASE, ..bench.spec() };
    bench.start(spec);
    bench.tell(&reply(1));
    let said = bench.pass(PATIENCE);
    assert!(!said.contains(&ACK), "{said:?}");
}

#[test]
fn a_busy_slot_at_its_deadline_lingers_the_call_is_unknown_and_one_seal_is_sent() {
    let (mut bench, _) = Bench::busy();
    let said = bench.pass(PATIENCE);
    assert_eq!(said.iter().filter(|said| **said == SEAL).count(), 1);
    assert_eq!(said.last(), Some(&SEAL));
    let ended = bench.last_ended();
    assert_eq!(ended.outcome, Outcome::InDoubt(DoubtCause::NoReply));
    assert_eq!(ended.evidence.ended.since(ended.evidence.started), PATIENCE);
    assert_eq!(bench.pass(LEASE), [], "nobody asks any more");
    assert!(bench.client.is_quiet());
}

#[test]
fn a_busy_slot_cancelled_by_its_caller_lingers_and_the_server_is_told() {
    let (mut bench, key) = Bench::busy();
    assert_eq!(bench.cancel(key), [CANCEL]);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::Cancelled));
    assert_eq!(bench.cancel(key), [], "it has ended");
}

#[test]
fn a_call_never_handed_over_is_not_executed_and_leaves_its_slot_as_it_was() {
    let mut bench = Bench::new();
    let (_, said) = bench.call();
    let first = only_hello(&said);
    bench.pass(PATIENCE);
    let ended = bench.last_ended();
    assert_eq!(ended.outcome, Outcome::NotSent(NotSentCause::Unreachable));
    assert_eq!(ended.call, CallId::UNSENT);
    assert!(ended.evidence.transmissions > 1, "HELLOs for its sake");
    let (key, said) = bench.call();
    assert_eq!(said, [], "the HELLO under way serves it too");
    assert_eq!(bench.cancel(key), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Cancelled));
    bench.call();
    assert_eq!(bench.welcome(first.nonce), [request(1)]);
}

#[test]
fn what_cannot_be_sent_ends_at_once_without_a_byte() {
    let mut bench = Bench::with(Limits { calls_waiting_max: 1, ..Limits::default() }, ANYBODY);
    let spec = bench.spec();
    bench.start(CallSpec { deadline: bench.now, ..spec });
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Expired));
    let largest = crate::protocol::limits::MESSAGE_BYTES_MAX;
    let key = bench.client.start(bench.now, spec, vec![0; largest + 1]);
    bench.enter(key, spec.deadline);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::TooLarge));
    let key = bench.client.start(bench.now, spec, vec![0; largest]);
    bench.enter(key, spec.deadline);
    only_hello(&bench.drain());
    bench.call();
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::QueueFull));
}

#[test]
fn a_call_that_finds_no_slot_before_its_deadline_is_not_executed() {
    let mut bench = Bench::new();
    bench.slots = 1;
    let far = CallSpec { deadline: bench.now + LEASE / 3, ..bench.spec() };
    let (_, said) = bench.start(far);
    bench.welcome_hello(&said);
    let (_, said) = bench.call();
    assert_eq!(said, []);
    let said = bench.pass(PATIENCE);
    assert!(said.iter().all(|said| matches!(said, Said::Request { sequence: 1, .. })), "{said:?}");
    let ended = bench.last_ended();
    assert_eq!(ended.outcome, Outcome::NotSent(NotSentCause::NoFreeSlot));
    assert_eq!((ended.call, ended.evidence.transmissions), (CallId::UNSENT, 0));
}

#[test]
fn a_lingering_slot_takes_an_answer_as_the_fact_about_its_call_and_tells_nobody() {
    for (answer, expected) in terminal_answers() {
        let mut bench = Bench::prepared(Prepared::Linger);
        assert_eq!(bench.tell(&answer), []);
        assert!(bench.ended.is_empty());
        let stale = bench.counters().stale;
        bench.tell(&reply(1));
        assert_eq!(bench.counters().stale, stale + 1, "the first answer stands");
        let (_, said) = bench.resolve(place(1), PATIENCE);
        assert_eq!((bench.outcome(), said), (expected, vec![]));
    }
}

#[test]
fn the_late_reply_of_a_call_given_up_is_acknowledged_too() {
    let mut bench = Bench::prepared(Prepared::Resolved);
    assert_eq!(bench.step().1, [ACK]);
    assert!(bench.client.is_quiet());
}

#[test]
fn a_call_that_finds_no_free_slot_takes_the_one_that_lingers_longest() {
    let mut bench = Bench::new();
    bench.slots = 4;
    let (first, said) = bench.call();
    bench.welcome_hello(&said);
    let (second, _) = bench.call();
    bench.cancel(second);
    bench.cancel(first);
    bench.ended.clear();
    let slots = [(2, 1), (3, 1), (1, 2)]; // never used ones first, then slot 1, given up first
    for (slot, sequence) in slots {
        let (_, said) = bench.call();
        assert_eq!(said, [Said::Request { slot, sequence, transmission: 1 }]);
    }
    bench.tell(&reply_in(2, 1, ReplyStatus::Returned));
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 2, sequence: 2, transmission: 1 }], "1b.6");
    bench.tell(&reply_in(2, 2, ReplyStatus::Returned));
    bench.ended.clear();
    assert_eq!(bench.tell(&reply_in(1, 1, ReplyStatus::Returned)), [], "of the call before");
    assert!(bench.ended.is_empty());
}

#[test]
fn a_slot_whose_late_answer_came_is_reused_last_too_so_that_it_can_be_asked_for() {
    let mut bench = Bench::prepared(Prepared::Resolved);
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 1, sequence: 1, transmission: 1 }]);
    bench.resolve(place(1), PATIENCE);
    assert_eq!(bench.outcome(), returned());
}

/// Answers of all kinds that end calls, or say something about them, in slot 0.
fn answers(slot: u32, sequence: u64) -> Vec<Pdu<'static>> {
    let mut all: Vec<_> = terminal_answers().into_iter().map(|(answer, _)| answer).collect();
    all.extend([working(1, 1), unseen(1)]);
    all.into_iter().map(|answer| placed(answer, slot, sequence)).collect()
}

/// In every state, nothing that is seen from outside, nor the timers, changes by these PDUs.
fn ignored_in_every_state(change: impl Fn(&Envelope) -> Envelope, slot: u32, sequence: u64) {
    for state in ALL_STATES {
        let mut bench = Bench::prepared(state);
        bench.ended.clear();
        let due = bench.client.next_wake();
        for pdu in answers(slot, sequence) {
            let before = bench.counters();
            let envelope = change(&bench.envelope());
            assert_eq!(bench.tell_as(&envelope, &pdu), [], "{state:?}: {pdu:?}");
            let after = bench.counters();
            let ignored = after.stale + after.foreign - before.stale - before.foreign;
            assert_eq!(ignored, 1, "{state:?}: {pdu:?}");
        }
        assert!(bench.ended.is_empty(), "{state:?}");
        assert_eq!(bench.client.next_wake(), due, "{state:?}");
        assert!(!bench.client.calls.iter().any(|(_, call)| call.generation == 0));
    }
}

#[test]
fn answers_of_another_session_are_ignored_in_every_state() {
    for session in [SessionId::NONE, B] {
        ignored_in_every_state(|envelope| Envelope { session, ..*envelope }, 0, 1);
    }
}

#[test]
fn answers_for_durable_slots_and_for_maybe_are_ignored_in_every_state() {
    for space in [Space::Durable, Space::Maybe] {
        ignored_in_every_state(|envelope| Envelope { space, ..*envelope }, 0, 1);
    }
}

#[test]
fn answers_of_another_life_of_the_server_or_to_another_of_ours_are_ignored_in_every_state() {
    for incarnation in [Incarnation::NONE, NEXT_LIFE_OF_SERVER] {
        ignored_in_every_state(|envelope| Envelope { incarnation, ..*envelope }, 0, 1);
    }
    for target in [0, LIFE.tag() + 1] {
        ignored_in_every_state(|envelope| Envelope { target, ..*envelope }, 0, 1);
    }
}

#[test]
fn answers_for_another_slot_or_sequence_are_ignored_in_every_state() {
    for (slot, sequence) in [(0, 0), (0, 2), (1, 1), (63, 1), (64, 1), (u32::MAX, u64::MAX)] {
        ignored_in_every_state(|envelope| *envelope, slot, sequence);
    }
}

#[test]
fn a_maybe_call_takes_no_slot_has_a_counter_of_its_own_and_is_sent_once() {
    let mut bench = Bench::new();
    let spec = CallSpec { semantics: Semantics::Maybe, ..bench.spec() };
    let (_, said) = bench.start(spec);
    assert_eq!(bench.welcome_hello(&said), [Said::Maybe { sequence: 1 }]);
    assert_eq!(bench.outcome(), Outcome::Sent);
    let (_, said) = bench.start(spec);
    assert_eq!(said, [Said::Maybe { sequence: 2 }]);
    let ended = bench.last_ended();
    assert_eq!((ended.outcome.execution(), ended.call.space), (Execution::Unknown, Space::Maybe));
    let (_, said) = bench.call();
    assert_eq!(said, [request(1)]);
    bench.tell(&refuse(1, RefuseReason::Overload));
    assert_eq!(bench.pass(LEASE), []);
}
