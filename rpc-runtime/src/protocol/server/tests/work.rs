//! The events of a slot: dispatch, the ends of a handler, its deadline; and `maybe` calls.

use super::*;
use crate::protocol::OrphanStrategy;

#[test]
fn server_slot_dispatch_past_not_after_is_refused_as_expired() {
    let mut bench = Bench::prepared(Prepared::Queued);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.try_begin(), Begin::Not);
    assert_eq!(bench.said(), [refused(LAST, RefuseReason::Expired)]);
    assert_eq!(bench.duplicate(LAST), [refused(LAST, RefuseReason::Expired)]);
    assert_eq!(bench.server.stored_bytes(), 0);
}

#[test]
fn server_slot_dispatch_past_not_after_of_a_second_run_says_nothing() {
    let mut bench = Bench::prepared(Prepared::Ran);
    bench.request_again(LAST);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.try_begin(), Begin::Not);
    assert_eq!(bench.said(), []);
    assert_eq!(bench.counters().refused, 0);
}

#[test]
fn server_slot_turned_away_is_refused_for_good_and_the_slot_goes_on() {
    let mut bench = Bench::prepared(Prepared::Queued);
    bench.turn_away();
    let reason = RefuseReason::Overload;
    let told = Said::Refuse { sequence: LAST, reason, push_back_ms: 50 };
    assert_eq!(bench.said(), std::slice::from_ref(&told));
    assert_eq!(bench.duplicate(LAST), [told]);
    assert_eq!((bench.counters().refused, bench.counters().begun), (1, 0));
    assert_eq!(bench.request(LAST + 1), []);
    assert_eq!(bench.serve(), [returned(LAST + 1, 1)]);
}

#[test]
fn server_slot_turned_away_after_it_was_sealed_stays_sealed() {
    let mut bench = Bench::prepared(Prepared::Queued);
    assert_eq!(bench.seal(LAST), [promised(LAST)]);
    bench.turn_away();
    assert_eq!(bench.said(), []);
    assert_eq!(bench.duplicate(LAST), [promised(LAST)]);
}

#[test]
fn server_slot_further_execution_turned_away_is_not_refused() {
    let mut bench = Bench::prepared(Prepared::Ran);
    bench.request_again(LAST);
    bench.turn_away();
    assert_eq!(bench.said(), [], "it has run once: whoever asks again may find somebody");
    assert_eq!(bench.counters().refused, 0);
    bench.request_again(LAST);
    assert_eq!(bench.queue.len(), 1);
}

#[test]
fn maybe_turned_away_is_dropped_and_counted() {
    let mut bench = Bench::new();
    assert_eq!(maybe(&mut bench, 1), []);
    bench.turn_away();
    assert_eq!(bench.said(), []);
    assert_eq!(bench.counters().maybe_dropped, 1);
    assert!(bench.server.sessions.values().all(|session| session.live_calls == 0));
}

#[test]
fn server_slot_dispatch_in_a_fenced_session_does_not_begin() {
    let mut bench = Bench::prepared(Prepared::Queued);
    bench.come_back();
    assert_eq!(bench.try_begin(), Begin::Not);
    assert_eq!(bench.counters().begun, 0);
}

#[test]
fn server_slot_returned_is_done_and_sent() {
    let mut bench = Bench::prepared(Prepared::Running);
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
}

#[test]
fn server_slot_panicked_is_failed_with_its_text_cut_to_what_was_promised() {
    let mut bench = Bench::prepared(Prepared::Running);
    let text = "p".repeat(100);
    let expected = failed(LAST, 1, ReplyStatus::Panicked, &text.as_bytes()[..64]);
    assert_eq!(bench.finish(HandlerEnd::Panicked, text.as_bytes()), [expected]);
}

#[test]
fn server_slot_too_large_is_failed_without_its_bytes() {
    let mut bench = Bench::prepared(Prepared::Running);
    let told = b"65 bytes, 64 fit";
    let expected = failed(LAST, 1, ReplyStatus::TooLarge, told);
    assert_eq!(bench.finish(HandlerEnd::Returned, &[0; 65]), [expected]);
    let expected = failed(LAST, 2, ReplyStatus::TooLarge, told);
    assert_eq!(bench.duplicate(LAST), [expected]);
}

#[test]
fn server_slot_reply_as_long_as_promised_is_done() {
    let mut bench = Bench::prepared(Prepared::Running);
    let said = bench.finish(HandlerEnd::Returned, &[7; 64]);
    assert_eq!(said, [failed(LAST, 1, ReplyStatus::Returned, &[7; 64])]);
}

#[test]
fn server_slot_handler_failed_is_failed_with_its_report() {
    let mut bench = Bench::prepared(Prepared::Running);
    let expected = failed(LAST, 1, ReplyStatus::HandlerFailed, b"report");
    assert_eq!(bench.finish(HandlerEnd::HandlerFailed, b"report"), [expected]);
    let mut bench = Bench::prepared(Prepared::Running);
    let expected = failed(LAST, 1, ReplyStatus::HandlerFailed, b"");
    assert_eq!(bench.finish(HandlerEnd::HandlerFailed, &[0; 65]), [expected]);
}

#[test]
fn server_slot_returned_in_spite_of_its_flag_has_its_reply_kept() {
    let mut bench = Bench::prepared(Prepared::Running);
    bench.cancel(LAST);
    let said = bench.finish(HandlerEnd::Returned, b"reply");
    assert_eq!(said, [returned(LAST, 1)]);
    assert_eq!(bench.seal(LAST), [returned(LAST, 0)]);
}

#[test]
fn server_slot_cancelled_at_least_once_never_runs_again() {
    let mut bench = Bench::new();
    bench.request_again(LAST);
    bench.begin();
    bench.cancel(LAST);
    bench.finish(HandlerEnd::Cancelled { partial: true }, b"");
    assert_eq!(bench.request_again(LAST), [closed(LAST)]);
    assert!(bench.queue.is_empty());
}

#[test]
fn server_slot_bad_arguments_are_refused_because_the_handler_was_never_entered() {
    let mut bench = Bench::prepared(Prepared::Running);
    let expected = refused(LAST, RefuseReason::BadArguments);
    assert_eq!(bench.finish(HandlerEnd::BadArguments, b""), *std::slice::from_ref(&expected));
    assert_eq!(bench.duplicate(LAST), [expected]);
    assert_eq!(bench.server.stored_bytes(), 0);
}

#[test]
fn server_slot_fenced_while_running_runs_to_its_end_under_expiration() {
    let mut bench = Bench::under(OrphanPolicy::new(OrphanStrategy::Expire, Duration::from_secs(1)));
    bench.prepare(Prepared::Running);
    bench.come_back();
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
}

#[test]
fn server_slot_running_past_its_deadline_is_told_to_stop_once() {
    let mut bench = Bench::prepared(Prepared::Running);
    bench.pass(Duration::from_millis(9_999));
    assert!(bench.cancelled.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.cancelled, bench.running);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.cancelled.len(), 1);
    assert_eq!(bench.server.sessions(), 1, "what ignores its flag keeps the session");
}

#[test]
fn server_slot_with_less_time_than_a_report_takes_is_stopped_and_not_reported() {
    let mut bench = Bench::new();
    let request = Request { remaining_us: 5_000, ..bench.call(1) };
    bench.send(&Pdu::Request(request));
    bench.begin();
    assert_eq!(bench.pass(Duration::from_secs(1)), []);
    assert_eq!(bench.cancelled, bench.running);
}

#[test]
fn server_slot_at_work_for_long_is_reported_once_unasked() {
    for state in [Prepared::Queued, Prepared::Running] {
        let mut bench = Bench::prepared(state);
        assert_eq!(bench.pass(Duration::from_micros(9_999)), [], "{state:?}");
        let said = bench.pass(Duration::from_micros(1));
        Bench::assert_working(&said, LAST, LAST);
        assert_eq!(bench.pass(Duration::from_secs(5)), [], "{state:?}");
    }
}

#[test]
fn server_slot_cancelled_early_is_still_reported_and_nothing_spins() {
    let mut bench = Bench::prepared(Prepared::Running);
    bench.cancel(LAST);
    Bench::assert_working(&bench.pass(Duration::from_secs(20)), LAST, LAST);
    assert_eq!(bench.cancelled.len(), 1);
}

#[test]
fn server_slot_that_ends_quickly_leaves_no_timer_but_the_lease() {
    let mut bench = Bench::prepared(Prepared::Done);
    bench.server.tidy();
    let mut buffer = Vec::new();
    let output = bench.server.poll_output(bench.now, &mut buffer);
    let Output::Wait { why, .. } = output else { panic!("{output:?}") };
    assert_eq!(why, Reason::Lease);
}

fn maybe(bench: &mut Bench, sequence: u64) -> Vec<Said> {
    let request = bench.call_of(MAYBE, sequence);
    send_maybe(bench, &request)
}

fn send_maybe(bench: &mut Bench, request: &Request<'_>) -> Vec<Said> {
    let envelope = Envelope { space: Space::Maybe, ..bench.envelope() };
    let all = bench.send_as(HOME, &envelope, &Pdu::Request(*request));
    all.into_iter().map(|(_, _, said)| said).collect()
}

#[test]
fn maybe_runs_once_however_often_it_comes_and_nothing_is_said() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        for sequence in [2, 1] {
            assert_eq!(maybe(&mut bench, sequence), []);
        }
    }
    assert_eq!(bench.queue.len(), 2);
    assert_eq!(bench.counters().maybe_dropped, 4);
    for _ in 0..2 {
        assert_eq!(bench.serve(), []);
    }
    assert!(bench.server.sessions.values().all(|session| session.live_calls == 0));
}

#[test]
fn maybe_takes_no_slot_and_shares_no_number_with_one() {
    let mut bench = Bench::prepared(Prepared::Running);
    assert_eq!(maybe(&mut bench, LAST), []);
    assert_eq!(bench.queue.len(), 1);
    assert_eq!(bench.queue[0].ticket.call_id().space, Space::Maybe);
}

#[test]
fn maybe_that_is_late_unknown_or_fenced_is_dropped() {
    let mut bench = Bench::new();
    let late = Request { remaining_us: 0, ..bench.call_of(MAYBE, 1) };
    let once = bench.call_of(ONCE, 2);
    let unknown = Request { method: MethodFingerprint(1), ..bench.call_of(MAYBE, 3) };
    for request in [late, once, unknown] {
        assert_eq!(send_maybe(&mut bench, &request), []);
    }
    assert!(bench.queue.is_empty());
    maybe(&mut bench, 4);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.try_begin(), Begin::Not, "late in the queue");
    maybe(&mut bench, 5);
    bench.come_back();
    assert_eq!(bench.try_begin(), Begin::Not, "fenced in the queue");
    assert_eq!(bench.counters().maybe_dropped, 5);
}
