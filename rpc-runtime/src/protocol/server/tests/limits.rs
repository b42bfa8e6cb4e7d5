//! Every limit of the server, reached.

use super::*;

fn pushed_back(sequence: u64) -> Said {
    Said::Refuse { sequence, reason: RefuseReason::Overload, push_back_ms: 50 }
}

fn in_slot(bench: &Bench, slot: u32) -> Request<'static> {
    Request { slot: SlotIndex(slot), ..bench.call(1) }
}

#[test]
fn a_full_queue_refuses_with_push_back_and_the_refusal_is_kept() {
    let mut bench = Bench::with(Limits { calls_queued_max: 2, ..Limits::default() });
    for slot in 0..2 {
        let request = in_slot(&bench, slot);
        assert_eq!(bench.send(&Pdu::Request(request)), []);
    }
    let third = in_slot(&bench, 2);
    assert_eq!(bench.send(&Pdu::Request(third)), [pushed_back(1)]);
    bench.serve();
    assert_eq!(bench.send(&Pdu::Request(third)), [pushed_back(1)]);
    let next = Request { sequence: Sequence(2), ..third };
    assert_eq!(bench.send(&Pdu::Request(next)), []);
}

#[test]
fn a_full_queue_answers_duplicates_as_ever() {
    let mut bench = Bench::with(Limits { calls_queued_max: 1, ..Limits::default() });
    bench.prepare(Prepared::Done);
    let other = in_slot(&bench, 1);
    bench.send(&Pdu::Request(other));
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    assert_eq!(bench.request(LAST + 1), [pushed_back(LAST + 1)]);
}

#[test]
fn a_full_queue_of_a_draining_server_takes_no_rerun_either() {
    let mut bench = Bench::with(Limits { calls_queued_max: 1, ..Limits::default() });
    bench.prepare(Prepared::Ran);
    bench.send(&Pdu::Request(in_slot(&bench, 1)));
    bench.server.drain(bench.now, Duration::from_secs(1));
    bench.said();
    assert_eq!(bench.request_again(LAST), []);
    assert_eq!(bench.server.queued(), 1);
}

#[test]
fn calls_sealed_in_the_queue_count_until_a_handler_asked_for_them() {
    let mut bench = Bench::with(Limits { calls_queued_max: 2, ..Limits::default() });
    for sequence in 1..3 {
        assert_eq!(bench.request(sequence), []);
        assert_eq!(bench.seal(sequence), [promised(sequence)]);
    }
    assert_eq!(bench.request(3), [pushed_back(3)]);
    assert_eq!(bench.try_begin(), Begin::Not);
    assert_eq!(bench.request(4), []);
}

#[test]
fn a_full_reply_budget_refuses_and_evicts_nothing() {
    // Room for 18 replies of 64 bytes.
    let limits = Limits { reply_bytes_stored_max: REPLY_BYTES_MAX, ..Limits::default() };
    let mut bench = Bench::with(limits);
    for slot in 0..18 {
        let request = in_slot(&bench, slot);
        assert_eq!(bench.send(&Pdu::Request(request)), []);
        bench.begin();
        bench.finish(HandlerEnd::Returned, &[7; 64]);
    }
    assert_eq!(bench.server.stored_bytes(), 18 * 64);
    let another = in_slot(&bench, 18);
    assert_eq!(bench.send(&Pdu::Request(another)), [pushed_back(1)]);
    let first = in_slot(&bench, 0);
    let kept = failed(1, 1, ReplyStatus::Returned, &[7; 64]);
    assert_eq!(bench.send(&Pdu::Request(first)), [kept]);
    // The next call of a slot acknowledges the reply before it, and takes its place.
    assert_eq!(bench.request(2), []);
    assert_eq!(bench.serve(), [returned(2, 1)]);
    bench.ack(2);
    let another = Request { sequence: Sequence(2), ..another };
    assert_eq!(bench.send(&Pdu::Request(another)), []);
}

#[test]
fn a_reply_counts_as_the_memory_that_holds_it() {
    let mut bench = Bench::prepared(Prepared::Running);
    let ticket = bench.running.remove(0);
    let mut roomy = Vec::with_capacity(10_000);
    roomy.push(1);
    bench.server.finish(bench.now, ticket, HandlerEnd::Returned, roomy);
    bench.drain();
    assert_eq!(bench.server.stored_bytes(), 64);
}

#[test]
fn ten_thousand_half_open_sessions_do_not_keep_an_honest_client_out() {
    let mut bench = Bench::empty(Limits::default());
    for number in 0..10_000 {
        bench.from = Address::Virtual(1000 + number);
        let client = ClientId(1000 + u64::from(number));
        let hello = Hello { client, ..bench.hello() };
        bench.say_hello(&hello);
    }
    assert_eq!((bench.server.sessions(), bench.server.sessions_unused), (256, 256));
    bench.from = HOME;
    bench.open();
    assert_eq!(bench.request(1), []);
    assert_eq!(bench.serve(), [returned(1, 1)]);
    bench.pass(Duration::from_secs(4));
    assert_eq!((bench.server.sessions(), bench.server.sessions_unused), (1, 0));
}

#[test]
fn slots_take_memory_at_their_first_use_and_not_more_than_granted() {
    let mut bench = Bench::with(Limits { slots_max: 4, ..Limits::default() });
    let used = |bench: &Bench| {
        bench.server.sessions.values().map(|session| session.slots.len()).sum::<usize>()
    };
    assert_eq!(used(&bench), 0);
    for slot in 0..10 {
        let request = in_slot(&bench, slot);
        bench.send(&Pdu::Request(request));
    }
    assert_eq!((used(&bench), bench.queue.len()), (4, 4));
}

#[test]
fn a_deadline_beyond_all_reason_is_cut() {
    let mut bench =
        Bench::with(Limits { deadline_max: Duration::from_secs(5), ..Limits::default() });
    let (remaining_us, not_after_us) = (u64::MAX, u64::MAX);
    let request = Request { remaining_us, not_after_us, ..bench.call(1) };
    bench.send(&Pdu::Request(request));
    assert_eq!(bench.queue[0].not_after, bench.now + Duration::from_secs(5));
}

#[test]
fn one_client_has_so_many_sessions_and_no_more_and_others_are_welcome() {
    let mut bench = Bench::with(Limits { client_sessions_max: 2, ..Limits::default() });
    bench.open();
    let third = bench.hello();
    let (_, said) = bench.say_hello(&third);
    let Said::Reject(reject) = said else { panic!("{said:?}") };
    assert_eq!((reject.reason, reject.push_back_ms), (RejectReason::NoRoom, 50));
    let other = Hello { client: ClientId(2), ..bench.hello() };
    bench.opened(&other);
}

#[test]
fn slots_are_granted_ever_more_sparingly_and_given_back() {
    let mut bench = Bench::empty(Limits { slots_granted_max: 640, ..Limits::default() });
    let mut granted = Vec::new();
    for client in 1.. {
        let hello = Hello { client: ClientId(client), ..bench.hello() };
        let mut said = bench.say_hello(&hello).1;
        if let Said::Cookie(Cookie { cookie, .. }) = said {
            said = bench.say_hello(&Hello { has_cookie: 1, cookie, ..hello }).1;
        }
        if let Said::Reject(reject) = said {
            assert_eq!(reject.reason, RejectReason::NoRoom);
            break;
        }
        let Said::Welcome(welcome) = said else { panic!("{said:?}") };
        granted.push(welcome.slots);
    }
    assert_eq!((granted[0], granted[1], granted.last()), (40, 38, Some(&1)));
    assert_eq!(granted.iter().sum::<u32>(), 640);
    bench.pass(Duration::from_secs(60));
    let hello = Hello { client: ClientId(9_999), ..bench.hello() };
    bench.opened(&hello);
    assert_eq!(bench.server.sessions(), 1);
}
