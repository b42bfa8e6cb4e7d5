//! PING, SEAL and CANCEL against every state of a slot.

use super::*;

const EVERY: [Prepared; 9] = [
    Prepared::Queued,
    Prepared::Running,
    Prepared::Done,
    Prepared::Failed,
    Prepared::Refused,
    Prepared::Sealed,
    Prepared::Acked,
    Prepared::Ran,
    Prepared::Closed,
];

/// The answer to SEAL, CANCEL and PING about a call that has ended for good.
fn stored(state: Prepared) -> Option<Said> {
    match state {
        Prepared::Done => Some(returned(LAST, 0)),
        Prepared::Failed => Some(failed(LAST, 0, ReplyStatus::Panicked, b"panic")),
        Prepared::Refused => Some(refused(LAST, RefuseReason::UnknownMethod)),
        Prepared::Sealed => Some(promised(LAST)),
        Prepared::Acked | Prepared::Closed => Some(closed(LAST)),
        Prepared::Queued | Prepared::Running | Prepared::Ran => None,
    }
}

#[test]
fn server_slot_ping_seal_cancel_below_last_are_closed() {
    for state in EVERY {
        let mut bench = Bench::prepared(state);
        for say in [Bench::ping, Bench::seal, Bench::cancel] {
            assert_eq!(say(&mut bench, LAST - 1), [closed(LAST - 1)], "{state:?}");
        }
        assert!(bench.cancelled.is_empty(), "{state:?}");
    }
}

#[test]
fn server_slot_ping_seal_cancel_equal_ended_repeat_the_stored_answer() {
    for state in EVERY {
        let Some(expected) = stored(state) else { continue };
        for say in [Bench::ping, Bench::seal, Bench::cancel] {
            let mut bench = Bench::prepared(state);
            assert_eq!(say(&mut bench, LAST), *std::slice::from_ref(&expected), "{state:?}");
            assert_eq!(say(&mut bench, LAST), *std::slice::from_ref(&expected), "{state:?}");
        }
    }
}

#[test]
fn server_slot_seal_equal_queued_promises_and_keeps_the_promise() {
    for say in [Bench::seal, Bench::cancel] {
        let mut bench = Bench::prepared(Prepared::Queued);
        assert_eq!(say(&mut bench, LAST), [promised(LAST)]);
        assert_eq!(bench.try_begin(), Begin::Not);
        assert_eq!(bench.said(), []);
        assert_eq!(bench.duplicate(LAST), [promised(LAST)]);
        assert_eq!(bench.counters().begun, 0);
        assert_eq!((bench.counters().sealed, bench.server.stored_bytes()), (1, 0));
    }
}

#[test]
fn server_slot_seal_equal_running_is_working_and_answered_at_the_end() {
    let mut bench = Bench::prepared(Prepared::Running);
    Bench::assert_working(&bench.seal(LAST), LAST, LAST);
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
}

#[test]
fn server_slot_seal_equal_running_at_least_once_is_answered_and_closes() {
    let mut bench = Bench::new();
    bench.request_again(LAST);
    bench.begin();
    Bench::assert_working(&bench.seal(LAST), LAST, LAST);
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    assert_eq!(bench.request_again(LAST), [closed(LAST)]);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_seal_equal_queued_again_at_least_once_closes_and_does_not_lie() {
    let mut bench = Bench::prepared(Prepared::Ran);
    bench.request_again(LAST);
    assert_eq!(bench.seal(LAST), [closed(LAST)]);
    assert_eq!(bench.try_begin(), Begin::Not);
}

#[test]
fn server_slot_seal_and_cancel_equal_done_at_least_once_close() {
    for say in [Bench::seal, Bench::cancel] {
        let mut bench = Bench::prepared(Prepared::Ran);
        assert_eq!(say(&mut bench, LAST), [closed(LAST)]);
        assert_eq!(bench.request_again(LAST), [closed(LAST)]);
    }
}

#[test]
fn server_slot_cancel_equal_running_is_working_and_tells_the_handler_once() {
    let mut bench = Bench::prepared(Prepared::Running);
    Bench::assert_working(&bench.cancel(LAST), LAST, LAST);
    Bench::assert_working(&bench.cancel(LAST), LAST, LAST);
    assert_eq!(bench.cancelled, bench.running);
    let end = HandlerEnd::Cancelled { partial: false };
    assert_eq!(bench.finish(end, b""), [failed(LAST, 1, ReplyStatus::Cancelled, b"")]);
    assert_eq!(bench.seal(LAST), [failed(LAST, 0, ReplyStatus::Cancelled, b"")]);
}

#[test]
fn server_slot_seal_and_cancel_above_at_work_are_busy_and_store_nothing() {
    for state in [Prepared::Queued, Prepared::Running] {
        for say in [Bench::seal, Bench::cancel] {
            let mut bench = Bench::prepared(state);
            Bench::assert_working(&say(&mut bench, LAST + 1), LAST + 1, LAST);
            assert!(bench.cancelled.is_empty());
            Bench::assert_working(&bench.ping(LAST), LAST, LAST);
        }
    }
}

#[test]
fn server_slot_seal_and_cancel_above_idle_leave_a_tombstone() {
    for say in [Bench::seal, Bench::cancel] {
        for state in
            EVERY.into_iter().filter(|state| !matches!(state, Prepared::Queued | Prepared::Running))
        {
            let mut bench = Bench::prepared(state);
            assert_eq!(say(&mut bench, LAST + 2), [promised(LAST + 2)], "{state:?}");
            assert_eq!(bench.duplicate(LAST + 2), [promised(LAST + 2)], "{state:?}");
            assert_eq!(bench.duplicate(LAST), [], "{state:?}");
            assert!(bench.queue.is_empty());
            assert_eq!(bench.server.stored_bytes(), 0);
        }
    }
}

#[test]
fn server_slot_ping_equal_at_work_is_working() {
    for state in [Prepared::Queued, Prepared::Running] {
        let mut bench = Bench::prepared(state);
        Bench::assert_working(&bench.ping(LAST), LAST, LAST);
        assert!(bench.cancelled.is_empty());
    }
}

#[test]
fn server_slot_ping_equal_done_at_least_once_is_unseen() {
    let mut bench = Bench::prepared(Prepared::Ran);
    let (sequence, last) = (Sequence(LAST), Sequence(LAST));
    let expected = Unseen { slot: SLOT, sequence, last, session_time_us: 0, stamp: 0 };
    assert_eq!(bench.ping(LAST), [Said::Unseen(expected)]);
}

#[test]
fn server_slot_ping_above_is_unseen_and_makes_no_state() {
    for state in EVERY {
        let mut bench = Bench::prepared(state);
        let (sequence, last) = (Sequence(LAST + 1), Sequence(LAST));
        let expected = Unseen { slot: SLOT, sequence, last, session_time_us: 0, stamp: 0 };
        assert_eq!(bench.ping(LAST + 1), [Said::Unseen(expected)], "{state:?}");
    }
    let mut bench = Bench::new();
    let ping = Ping { slot: SlotIndex(9), sequence: Sequence(1), stamp: 7 };
    let last = Sequence::ZERO;
    let (slot, sequence) = (SlotIndex(9), Sequence(1));
    let expected = Unseen { slot, sequence, last, session_time_us: 0, stamp: 7 };
    assert_eq!(bench.send(&Pdu::Ping(ping)), [Said::Unseen(expected)]);
    assert!(bench.server.sessions.values().all(|session| session.slots.is_empty()));
}

#[test]
fn server_slot_answers_repeat_the_stamp_of_what_they_answer() {
    let mut bench = Bench::prepared(Prepared::Sealed);
    let seal = Seal { slot: SLOT, sequence: Sequence(LAST), stamp: 77 };
    let verdict = SealedVerdict::NotExecuted;
    let expected = Said::Sealed { sequence: LAST, verdict, stamp: 77 };
    assert_eq!(bench.send(&Pdu::Seal(seal)), [expected]);
    let mut bench = Bench::prepared(Prepared::Running);
    let ping = Ping { slot: SLOT, sequence: Sequence(LAST), stamp: 78 };
    let said = bench.send(&Pdu::Ping(ping));
    assert!(matches!(said[..], [Said::Working(Working { stamp: 78, .. })]), "{said:?}");
}

#[test]
fn server_slot_answers_about_a_call_tell_the_session_s_time() {
    for state in EVERY {
        let mut bench = Bench::prepared(state);
        bench.pass(Duration::from_secs(9));
        for sequence in [LAST, LAST + 1] {
            let ping = Pdu::Ping(Ping { slot: SLOT, sequence: Sequence(sequence), stamp: 0 });
            let (mut datagram, mut answer) = (Vec::new(), Vec::new());
            encode(&bench.envelope(), &ping, &mut datagram);
            bench.server.handle_datagram(bench.now, bench.from, &datagram);
            let Output::Transmit { .. } = bench.server.poll_output(bench.now, &mut answer) else {
                continue;
            };
            let pdu = decode(&answer).unwrap().1;
            let time_us = if let Pdu::Reply(reply) = pdu {
                reply.session_time_us
            } else if let Pdu::Refuse(refuse) = pdu {
                refuse.session_time_us
            } else if let Pdu::Unseen(unseen) = pdu {
                unseen.session_time_us
            } else if let Pdu::Working(working) = pdu {
                working.session_time_us
            } else {
                continue; // nothing that a busy session lives by
            };
            assert_eq!(time_us, 9_000_000, "{state:?}, {sequence}");
        }
    }
}

#[test]
fn server_slot_ten_thousand_cancels_for_calls_that_never_came_leave_a_tombstone_each_slot_and_no_more()
 {
    let mut bench = Bench::prepared(Prepared::Done);
    let slots_max = bench.server.limits().slots_max;
    for number in 0..10_000 {
        let (slot, sequence) =
            (SlotIndex(number % (2 * slots_max)), Sequence(2 + u64::from(number)));
        let said = bench.send(&Pdu::Cancel(Cancel { slot, sequence, stamp: 0 }));
        let is_ours = slot.0 < bench.server.limits().slots_max;
        assert!(said.len() <= usize::from(is_ours), "{number}: {said:?}");
    }
    assert!(bench.cancelled.is_empty() && bench.queue.is_empty());
    assert_eq!((bench.server.sessions(), bench.server.stored_bytes()), (1, 0));
    assert_eq!((bench.counters().begun, bench.counters().cancelled), (1, 0), "as it was before");
    assert_eq!(bench.duplicate(20_000), []);
    assert_eq!(bench.serve(), [returned(20_000, 2)], "a call that does come runs");
}
