//! REQUEST and ACK against every state of a slot.

use super::*;

#[test]
fn server_slot_request_below_last_is_dropped_in_every_state() {
    for state in [
        Prepared::Queued,
        Prepared::Running,
        Prepared::Done,
        Prepared::Failed,
        Prepared::Refused,
        Prepared::Sealed,
        Prepared::Acked,
        Prepared::Ran,
        Prepared::Closed,
    ] {
        let mut bench = Bench::prepared(state);
        let queued = bench.queue.len();
        assert_eq!(bench.request(LAST - 1), [], "{state:?}");
        assert_eq!(bench.queue.len(), queued, "{state:?}");
    }
}

#[test]
fn server_slot_request_equal_with_another_digest_is_dropped_and_reported() {
    for state in [
        Prepared::Queued,
        Prepared::Running,
        Prepared::Done,
        Prepared::Failed,
        Prepared::Refused,
        Prepared::Ran,
    ] {
        let mut bench = Bench::prepared(state);
        let queued = bench.queue.len();
        let request = Request { digest: 1, ..bench.call(LAST) };
        assert_eq!(bench.send(&Pdu::Request(request)), [], "{state:?}");
        assert_eq!(bench.counters().mismatches, 1, "{state:?}");
        assert_eq!(bench.queue.len(), queued, "{state:?}");
    }
}

#[test]
fn server_slot_request_equal_queued_is_working() {
    let mut bench = Bench::prepared(Prepared::Queued);
    Bench::assert_working(&bench.duplicate(LAST), LAST, LAST);
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn server_slot_request_equal_running_is_working() {
    let mut bench = Bench::prepared(Prepared::Running);
    let said = bench.duplicate(LAST);
    Bench::assert_working(&said, LAST, LAST);
    let Said::Working(working) = said[0] else { unreachable!() };
    assert_eq!(working.quantum_left_us, 10_000_000);
    assert!(bench.queue.is_empty() && bench.cancelled.is_empty());
}

#[test]
fn server_slot_request_equal_done_resends_the_stored_reply() {
    let mut bench = Bench::prepared(Prepared::Done);
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    assert!(bench.queue.is_empty());
    assert_eq!(bench.counters().begun, 1);
}

#[test]
fn server_slot_request_equal_failed_resends_the_stored_failure() {
    let mut bench = Bench::prepared(Prepared::Failed);
    let expected = failed(LAST, 2, ReplyStatus::Panicked, b"panic");
    assert_eq!(bench.duplicate(LAST), [expected]);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_equal_refused_is_refused_again() {
    let mut bench = Bench::prepared(Prepared::Refused);
    assert_eq!(bench.duplicate(LAST), [refused(LAST, RefuseReason::UnknownMethod)]);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_equal_sealed_is_promised_whatever_its_digest() {
    let mut bench = Bench::prepared(Prepared::Sealed);
    for digest in [1, 2] {
        let request = Request { digest, ..bench.call(LAST) };
        assert_eq!(bench.send(&Pdu::Request(request)), [promised(LAST)]);
    }
    assert!(bench.queue.is_empty());
    assert_eq!(bench.counters().mismatches, 0);
}

#[test]
fn server_slot_request_equal_acked_is_dropped() {
    let mut bench = Bench::prepared(Prepared::Acked);
    assert_eq!(bench.duplicate(LAST), []);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_equal_done_at_least_once_runs_again_with_the_next_attempt() {
    let mut bench = Bench::prepared(Prepared::Ran);
    for attempt in 2..5 {
        assert_eq!(bench.request_again(LAST), []);
        let said = bench.serve();
        let status = ReplyStatus::Returned;
        let body = b"reply".to_vec();
        let expected = Said::Reply { sequence: LAST, attempt, transmission: 1, status, body };
        assert_eq!(said, [expected]);
    }
    assert_eq!((bench.counters().begun, bench.counters().reruns), (4, 3));
}

#[test]
fn server_slot_request_equal_done_at_least_once_fenced_is_dropped() {
    let mut bench = Bench::prepared(Prepared::Ran);
    let session = bench.session;
    bench.come_back();
    bench.session = session;
    assert_eq!(bench.request_again(LAST), []);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_equal_closed_at_least_once_never_runs_again() {
    let mut bench = Bench::prepared(Prepared::Closed);
    assert_eq!(bench.request_again(LAST), [closed(LAST)]);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_equal_acked_at_least_once_is_dropped() {
    let mut bench = Bench::prepared(Prepared::Ran);
    bench.ack(LAST);
    assert_eq!(bench.request_again(LAST), []);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_equal_done_at_least_once_is_never_refused() {
    let mut bench = Bench::prepared(Prepared::Ran);
    bench.pass(Duration::from_secs(11));
    let late = Request { not_after_us: 1, ..bench.call_of(AGAIN, LAST) };
    assert_eq!(bench.send(&Pdu::Request(late)), []);
    let unknown = Request { method: MethodFingerprint(1), ..bench.call_of(AGAIN, LAST) };
    assert_eq!(bench.send(&Pdu::Request(unknown)), []);
    bench.server.drain(bench.now, Duration::from_secs(1));
    bench.drain();
    assert_eq!(bench.request_again(LAST), []);
    assert_eq!(bench.queue.len(), 1);
    assert_eq!(bench.counters().refused, 0);
}

#[test]
fn server_slot_request_above_queued_is_busy_and_the_older_one_is_not_begun() {
    let mut bench = Bench::prepared(Prepared::Queued);
    Bench::assert_working(&bench.request(LAST + 1), LAST + 1, LAST);
    assert_eq!(bench.queue.len(), 1);
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.try_begin(), Begin::Not);
    assert_eq!(bench.duplicate(LAST), [promised(LAST)]);
    assert_eq!(bench.request(LAST + 1), []);
    assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
}

#[test]
fn server_slot_request_above_running_is_busy_and_the_older_one_is_cancelled_once() {
    let mut bench = Bench::prepared(Prepared::Running);
    Bench::assert_working(&bench.request(LAST + 1), LAST + 1, LAST);
    Bench::assert_working(&bench.request(LAST + 1), LAST + 1, LAST);
    assert_eq!(bench.cancelled, bench.running);
    assert!(bench.queue.is_empty());
    let end = HandlerEnd::Cancelled { partial: true };
    assert_eq!(bench.finish(end, b""), [failed(LAST, 1, ReplyStatus::CancelledPartial, b"")]);
    // Nothing of the later one was stored: it runs when it comes again, once.
    assert_eq!(bench.request(LAST + 1), []);
    assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
    assert_eq!(bench.counters().begun, 2);
}

#[test]
fn server_slot_request_above_is_accepted_in_every_idle_state_with_any_gap() {
    for state in [
        Prepared::Done,
        Prepared::Failed,
        Prepared::Refused,
        Prepared::Sealed,
        Prepared::Acked,
        Prepared::Ran,
        Prepared::Closed,
    ] {
        let mut bench = Bench::prepared(state);
        assert_eq!(bench.request(LAST + 7), [], "{state:?}");
        assert_eq!(bench.serve(), [returned(LAST + 7, 1)], "{state:?}");
        assert_eq!(bench.duplicate(LAST), [], "{state:?}");
    }
}

#[test]
fn server_slot_request_above_empty_is_accepted_with_all_that_a_handler_needs() {
    let mut bench = Bench::new();
    let request = Request { depth: 3, remaining_us: 2_000_000, ..bench.call(1) };
    assert_eq!(bench.send(&Pdu::Request(request)), []);
    let call = &bench.queue[0];
    let id =
        CallId { session: bench.session, space: Space::Session, slot: SLOT, sequence: Sequence(1) };
    assert_eq!(call.ticket.call_id(), id);
    assert_eq!((call.method, call.depth), (ONCE, 3));
    assert_eq!((call.client, call.peer), (CLIENT, HOME));
    assert_eq!(call.arguments, b"arguments");
    assert_eq!(call.not_after, bench.now + Duration::from_secs(2));
}

#[test]
fn server_slot_request_above_fenced_is_dropped() {
    let mut bench = Bench::prepared(Prepared::Done);
    let session = bench.session;
    bench.come_back();
    bench.session = session;
    assert_eq!(bench.request(LAST + 1), []);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_above_past_not_after_is_refused_and_stays_so() {
    let mut bench = Bench::new();
    bench.pass(Duration::from_secs(1));
    let late = Request { not_after_us: 1_000_000, ..bench.call(1) };
    assert_eq!(bench.send(&Pdu::Request(late)), [refused(1, RefuseReason::Expired)]);
    assert_eq!(bench.duplicate(1), [refused(1, RefuseReason::Expired)]);
    let spent = Request { remaining_us: 0, ..bench.call(2) };
    assert_eq!(bench.send(&Pdu::Request(spent)), [refused(2, RefuseReason::Expired)]);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_above_while_draining_is_refused() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.server.drain(bench.now, Duration::from_secs(3));
    bench.drain();
    let reason = RefuseReason::Draining;
    let expected = Said::Refuse { sequence: LAST + 1, reason, push_back_ms: 50 };
    for _ in 0..2 {
        assert_eq!(bench.request(LAST + 1), *std::slice::from_ref(&expected));
    }
}

#[test]
fn server_slot_request_above_for_a_method_not_here_is_refused() {
    let mut bench = Bench::new();
    let unknown = Request { method: MethodFingerprint(1), name: 1, ..bench.call(1) };
    let changed = Request { method: MethodFingerprint(1), ..bench.call(2) };
    let other = Request { semantics: Semantics::AtLeastOnce, ..bench.call(3) };
    let durable = bench.call_of(DURABLE, 4);
    let maybe = bench.call_of(MAYBE, 5);
    for (request, reason) in [
        (unknown, RefuseReason::UnknownMethod),
        (changed, RefuseReason::ChangedMethod),
        (other, RefuseReason::ChangedMethod),
        (durable, RefuseReason::UnknownMethod),
        (maybe, RefuseReason::BadArguments),
    ] {
        let sequence = request.sequence.0;
        assert_eq!(bench.send(&Pdu::Request(request)), [refused(sequence, reason)]);
    }
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_request_above_with_an_extension_that_may_not_be_skipped_is_refused() {
    let mut bench = Bench::new();
    let optional = Request { extensions: &[1, 0x80, 2, 0, 7, 7], ..bench.call(1) };
    assert_eq!(bench.send(&Pdu::Request(optional)), []);
    bench.serve();
    let demanded = Request { extensions: &[1, 0, 2, 0, 7, 7], ..bench.call(2) };
    let expected = refused(2, RefuseReason::BadArguments);
    assert_eq!(bench.send(&Pdu::Request(demanded)), [expected]);
}

#[test]
fn server_slot_fragment_above_of_too_long_a_message_is_refused_and_stays_so() {
    let mut bench = Bench::new();
    let part = Request { fragments: 20_000, ..bench.call(1) };
    assert_eq!(bench.send(&Pdu::Request(part)), [refused(1, RefuseReason::TooLarge)]);
    assert_eq!(bench.duplicate(1), [refused(1, RefuseReason::TooLarge)]);
}

#[test]
fn server_slot_fragment_at_last_is_as_the_request_if_it_is_the_last_one() {
    let mut bench = Bench::prepared(Prepared::Done);
    let part = Request { fragments: 2, ..bench.call(LAST) };
    assert_eq!(bench.send(&Pdu::Request(part)), []);
    let part = Request { fragment: 1, ..part };
    assert_eq!(bench.send(&Pdu::Request(part)), [returned(LAST, 1)]);
    let older = Request { fragments: 2, ..bench.call(LAST - 1) };
    assert_eq!(bench.send(&Pdu::Request(older)), []);
}

#[test]
fn server_slot_ack_below_or_above_last_is_dropped() {
    let mut bench = Bench::prepared(Prepared::Done);
    for sequence in [LAST - 1, LAST + 1] {
        assert_eq!(bench.ack(sequence), []);
    }
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
}

#[test]
fn server_slot_ack_equal_done_and_failed_frees_the_bytes() {
    for state in [Prepared::Done, Prepared::Failed] {
        let mut bench = Bench::prepared(state);
        assert!(bench.server.stored_bytes() > 0);
        assert_eq!(bench.ack(LAST), []);
        assert_eq!(bench.server.stored_bytes(), 0);
        assert_eq!(bench.duplicate(LAST), []);
        assert_eq!(bench.seal(LAST), [closed(LAST)]);
    }
}

#[test]
fn server_slot_ack_equal_otherwise_is_dropped() {
    for state in [Prepared::Refused, Prepared::Sealed, Prepared::Queued, Prepared::Running] {
        let mut bench = Bench::prepared(state);
        let before = bench.duplicate(LAST);
        assert_eq!(bench.ack(LAST), [], "{state:?}");
        assert_eq!(bench.duplicate(LAST), before, "{state:?}");
    }
}

#[test]
fn what_a_slot_drops_is_counted() {
    let mut bench = Bench::prepared(Prepared::Done);
    assert_eq!(bench.request(LAST - 1), []);
    assert_eq!(bench.counters().duplicates_suppressed, 1);
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    assert_eq!(bench.counters().duplicates_suppressed, 2);
}

#[test]
fn what_names_no_slot_or_no_call_is_foreign() {
    let mut bench = Bench::prepared(Prepared::Done);
    let beyond = Ping { slot: SlotIndex(u32::MAX), sequence: Sequence(LAST), stamp: 1 };
    assert_eq!(bench.send(&Pdu::Ping(beyond)), []);
    assert_eq!(bench.counters().foreign, 1);
    assert_eq!(bench.ping(0), []);
    assert_eq!(bench.counters().foreign, 2);
    bench.life = Incarnation(LIFE.0 - 1);
    assert_eq!(bench.ping(LAST), []);
    assert_eq!(bench.counters().foreign, 3, "no life of the session's");
}
