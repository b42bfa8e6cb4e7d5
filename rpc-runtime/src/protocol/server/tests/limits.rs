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
    // Room for 18 replies of 64 bytes of one session, which leaves twice as much to others.
    let limits = Limits {
        reply_bytes_stored_max: 3 * REPLY_BYTES_MAX,
        reply_bytes_durable_max: 64,
        ..Limits::default()
    };
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

/// A client of its own says HELLO, and proves its address if it must; the answer.
fn newcomer(bench: &mut Bench, number: u64) -> (SessionId, Said) {
    let hello = Hello { client: ClientId(number), slots: 1_024, ..bench.hello() };
    match bench.say_hello(&hello) {
        (_, Said::Cookie(Cookie { cookie, .. })) => {
            bench.say_hello(&Hello { has_cookie: 1, cookie, ..hello })
        }
        answered => answered,
    }
}

#[test]
fn one_host_that_opens_all_it_can_and_keeps_it_shuts_nobody_else_out() {
    for other_host in [false, true] {
        let mut bench = Bench::empty(Limits::default());
        let (mut sessions, mut slots) = (Vec::new(), 0);
        for number in 1..100_000 {
            bench.from = ip("192.0.2.1", 1_024 + u16::try_from(number % 60_000).unwrap());
            let (session, said) = newcomer(&mut bench, number);
            let Said::Welcome(welcome) = said else { break };
            bench.session = session;
            bench.seal(1); // now it was used, and is kept for its lease
            sessions.push((session, bench.from));
            slots += welcome.slots as usize;
        }
        assert!(sessions.len() > 1_000, "many clients may share a host: {}", sessions.len());
        let limits = Limits::default();
        assert!(sessions.len() <= limits.host_sessions_max && slots <= limits.host_slots_max);
        for _ in 0..20 {
            bench.pass(Duration::from_secs(29));
            for &(session, from) in &sessions {
                (bench.session, bench.from) = (session, from);
                bench.ping(1);
            }
        }
        bench.from = if other_host { ip("192.0.2.2", 7) } else { ip("192.0.2.1", 7) };
        let (_, said) = newcomer(&mut bench, 1_000_000);
        if other_host {
            let Said::Welcome(welcome) = said else { panic!("{said:?}") };
            assert_eq!(welcome.slots, 1_024);
        } else {
            let Said::Reject(reject) = said else { panic!("{said:?}") };
            assert_eq!((reject.reason, reject.push_back_ms), (RejectReason::NoRoom, 50));
        }
    }
}

#[test]
fn what_a_host_gave_back_it_may_have_again() {
    let limits = Limits { host_sessions_max: 2, host_slots_max: 100, ..Limits::default() };
    let mut bench = Bench::empty(limits);
    bench.from = ip("2001:db8:0:1::1", 7);
    let first = newcomer(&mut bench, 1);
    bench.from = ip("2001:db8:0:1:ffff::2", 8); // a host of IPv6 has a whole network
    let second = newcomer(&mut bench, 2);
    assert!(matches!((first.1, second.1), (Said::Welcome(_), Said::Welcome(_))));
    assert!(matches!(newcomer(&mut bench, 3).1, Said::Reject(_)));
    bench.from = ip("2001:db8:0:2::1", 7);
    assert!(matches!(newcomer(&mut bench, 4).1, Said::Welcome(_)));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.server.sessions(), 0);
    bench.from = ip("2001:db8:0:1::1", 7);
    assert!(matches!(newcomer(&mut bench, 5).1, Said::Welcome(_)));
}

fn ip(host: &str, port: u16) -> Address {
    Address::Ip(std::net::SocketAddr::new(host.parse().unwrap(), port))
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

#[test]
fn so_many_clients_without_a_session_are_remembered_however_many_have_one() {
    let mut bench = Bench::empty(Limits { sessions_max: 1_000, ..Limits::default() });
    for number in 1..=1_000 {
        bench.from = ip("192.0.2.1", 1_024 + u16::try_from(number).unwrap());
        let (session, said) = newcomer(&mut bench, number);
        assert!(matches!(said, Said::Welcome(_)), "{said:?}");
        bench.session = session;
        bench.seal(1);
    }
    // The server is full: of these nothing but their life is known.
    bench.from = ip("192.0.2.2", 7);
    let mut most = 0;
    for number in 1_001..1_001 + 70_000 {
        let (_, said) = newcomer(&mut bench, number);
        assert!(matches!(said, Said::Reject(_)), "{said:?}");
        most = most.max(bench.server.clients.len());
    }
    assert_eq!(most, 65_536 + 1_000);
    assert!(bench.server.clients.len() >= 1_000, "who has a session is not forgotten");
}

#[test]
fn copies_of_the_last_four_hellos_of_a_session_are_answered_alike() {
    let mut bench = Bench::prepared(Prepared::Done);
    let mut hellos = Vec::new();
    for _ in 0..5 {
        let hello = Hello { resume: bench.session, ..bench.hello() };
        bench.say_hello(&hello);
        hellos.push(Hello { resume: SessionId::NONE, ..hello });
    }
    for hello in &hellos[1..] {
        assert_eq!(bench.say_hello(hello).0, bench.session);
    }
    assert_ne!(bench.say_hello(&hellos[0]).0, bench.session, "that one is forgotten");
}
