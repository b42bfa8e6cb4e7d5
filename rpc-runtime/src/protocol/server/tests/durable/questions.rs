//! PING, SEAL and CANCEL against every state of a durable slot.

use super::*;

/// The answer to a question about a call that has ended for good.
fn answer(state: Prepared) -> Option<Said> {
    if state == Prepared::Acked { Some(closed(LAST)) } else { stored(state, 0) }
}

#[test]
fn durable_slot_ping_seal_cancel_below_last_are_closed() {
    for state in EVERY {
        let mut bench = Bench::durably(state);
        for say in [Bench::d_ping, Bench::d_seal, Bench::d_cancel] {
            assert_eq!(say(&mut bench, LAST - 1), [closed(LAST - 1)], "{state:?}");
        }
        assert!(bench.cancelled.is_empty(), "{state:?}");
    }
}

#[test]
fn durable_slot_ping_seal_cancel_equal_ended_repeat_the_stored_answer() {
    for state in EVERY {
        let Some(expected) = answer(state) else { continue };
        for say in [Bench::d_ping, Bench::d_seal, Bench::d_cancel] {
            let mut bench = Bench::durably(state);
            for _ in 0..2 {
                assert_eq!(say(&mut bench, LAST), *std::slice::from_ref(&expected), "{state:?}");
            }
        }
    }
}

#[test]
fn durable_slot_seal_and_cancel_equal_queued_promise_and_keep_the_promise() {
    for say in [Bench::d_seal, Bench::d_cancel] {
        let mut bench = Bench::durably(Prepared::Queued);
        assert_eq!(say(&mut bench, LAST), [promised(LAST)]);
        assert_eq!(bench.try_begin(), Begin::Not);
        assert_eq!(bench.said(), []);
        assert_eq!(bench.d_duplicate(LAST), [promised(LAST)]);
        assert_eq!((bench.counters().sealed, bench.counters().begun), (1, 0));
        assert_eq!((bench.live(), bench.server.stored_bytes()), (0, 0));
    }
}

#[test]
fn durable_slot_seal_equal_running_is_working_and_answered_at_the_end() {
    let mut bench = Bench::durably(Prepared::Running);
    Bench::assert_working(&bench.d_seal(LAST), LAST, LAST);
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
}

#[test]
fn durable_slot_cancel_equal_running_is_working_and_tells_the_handler_once() {
    let mut bench = Bench::durably(Prepared::Running);
    Bench::assert_working(&bench.d_cancel(LAST), LAST, LAST);
    Bench::assert_working(&bench.d_cancel(LAST), LAST, LAST);
    assert_eq!(bench.cancelled, bench.running);
    let end = HandlerEnd::Cancelled { partial: true };
    assert_eq!(bench.finish(end, b""), [failed(LAST, 1, ReplyStatus::CancelledPartial, b"")]);
    assert_eq!(bench.d_seal(LAST), [failed(LAST, 0, ReplyStatus::CancelledPartial, b"")]);
}

#[test]
fn durable_slot_ping_equal_at_work_is_working() {
    for state in AT_WORK {
        let mut bench = Bench::durably(state);
        Bench::assert_working(&bench.d_ping(LAST), LAST, LAST);
        assert!(bench.cancelled.is_empty());
    }
}

#[test]
fn durable_slot_seal_and_cancel_above_at_work_are_busy_and_store_nothing() {
    for state in AT_WORK {
        for say in [Bench::d_seal, Bench::d_cancel] {
            let mut bench = Bench::durably(state);
            Bench::assert_working(&say(&mut bench, LAST + 1), LAST + 1, LAST);
            assert!(bench.cancelled.is_empty());
            Bench::assert_working(&bench.d_ping(LAST), LAST, LAST);
        }
    }
}

#[test]
fn durable_slot_seal_and_cancel_above_idle_leave_a_tombstone() {
    for say in [Bench::d_seal, Bench::d_cancel] {
        for state in EVERY.into_iter().filter(|state| !AT_WORK.contains(state)) {
            let mut bench = Bench::durably(state);
            assert_eq!(say(&mut bench, LAST + 2), [promised(LAST + 2)], "{state:?}");
            assert_eq!(bench.d_duplicate(LAST + 2), [promised(LAST + 2)], "{state:?}");
            assert_eq!(bench.d_duplicate(LAST), [], "{state:?}");
            assert!(bench.queue.is_empty());
            assert_eq!(bench.server.stored_bytes(), 0);
        }
    }
}

#[test]
fn durable_slot_ping_above_is_unseen_and_makes_no_state() {
    for state in EVERY {
        let mut bench = Bench::durably(state);
        let (sequence, last) = (Sequence(LAST + 1), Sequence(LAST));
        let expected = Unseen { slot: SLOT, sequence, last, session_time_us: 0, stamp: 0 };
        assert_eq!(bench.d_ping(LAST + 1), [Said::Unseen(expected)], "{state:?}");
    }
    let mut bench = Bench::durable();
    let ping = Ping { slot: SlotIndex(9), sequence: Sequence(1), stamp: 7 };
    let said = bench.send_durable(&Pdu::Ping(ping));
    assert!(matches!(said[..], [Said::Unseen(Unseen { last: Sequence(0), stamp: 7, .. })]));
}

#[test]
fn durable_slot_questions_of_kinds_that_servers_do_not_answer_are_foreign() {
    let mut bench = Bench::durably(Prepared::Running);
    let before = bench.counters().foreign;
    let bye = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
    let hello = Pdu::Hello(bench.hello());
    for pdu in [bye, hello] {
        assert_eq!(bench.send_durable(&pdu), []);
    }
    assert_eq!(bench.counters().foreign, before + 2);
}
