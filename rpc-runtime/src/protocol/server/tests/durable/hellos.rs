//! Durable slots against a store that knows what it is told.

use super::*;

const FIRST: GenerationId = GenerationId(0x61);
const SECOND: GenerationId = GenerationId(0x62);

/// A server with a store, and a client that has said nothing yet.
fn bench() -> Bench {
    let mut bench = Bench::empty(Limits::default());
    bench.server.enable_durable();
    bench
}

impl Bench {
    fn durable_hello(&mut self, resume: SessionId, generation: GenerationId) -> Hello {
        Hello { durable: 1, resume, generation, ..self.hello() }
    }

    /// Says HELLO with a good cookie; the store, if it is asked, gives what is wanted, or `fresh`.
    fn welcomed(&mut self, hello: &Hello, fresh: GenerationId) -> (SessionId, Welcome) {
        let hello = match self.say_hello(hello) {
            (_, Said::Cookie(Cookie { cookie, .. })) => Hello { has_cookie: 1, cookie, ..*hello },
            said => panic!("no proof was asked for: {said:?}"),
        };
        let envelope = Envelope { session: SessionId::NONE, ..self.envelope() };
        let mut all = self.send_as(self.from, &envelope, &Pdu::Hello(hello));
        if let Some((key, wanted)) = self.openings.pop() {
            let generation = if wanted.is_some() { wanted } else { fresh };
            let table = DurableTable { generation, rows: Vec::new() };
            self.server.generation_opened(self.now, key, Some(table));
            all.extend(self.drain());
        }
        let [(_, header, Said::Welcome(welcome))] = &all[..] else { panic!("{all:?}") };
        (header.session, *welcome)
    }

    fn durable_request(&mut self, sequence: u64) -> Vec<Said> {
        let request = self.call_of(DURABLE, sequence);
        let envelope = Envelope { space: Space::Durable, ..self.envelope() };
        let all = self.send_as(self.from, &envelope, &Pdu::Request(request));
        all.into_iter().map(|(_, _, said)| said).collect()
    }
}

/// The campaign's seed 76282: a HELLO that was under way for long gave the session other slots, in
/// which the same call ran, and was committed, again.
#[test]
fn a_session_keeps_its_generation_whatever_a_late_hello_wants() {
    let mut bench = bench();
    bench.open();
    let early = bench.durable_hello(bench.session, GenerationId::NONE);
    let hello = bench.durable_hello(bench.session, GenerationId::NONE);
    let (session, welcome) = bench.welcomed(&hello, FIRST);
    assert_eq!((session, welcome.generation), (bench.session, FIRST));
    assert_eq!(bench.durable_request(1), []);
    bench.begin();
    let (session, welcome) = bench.welcomed(&early, SECOND);
    assert_eq!((session, welcome.generation), (bench.session, FIRST));
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(1, 1)]);
    assert_eq!(bench.durable_request(1), [returned(1, 1)], "it is not run again");
    assert_eq!(bench.counters().begun, 1);
}

#[test]
fn two_hellos_that_wait_for_the_store_give_a_session_one_generation() {
    let mut bench = bench();
    bench.open();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let hello = bench.durable_hello(bench.session, GenerationId::NONE);
        let (_, said) = bench.say_hello(&hello);
        let Said::Cookie(Cookie { cookie, .. }) = said else { panic!("{said:?}") };
        let hello = Hello { has_cookie: 1, cookie, ..hello };
        let envelope = Envelope { session: SessionId::NONE, ..bench.envelope() };
        assert_eq!(bench.send_as(HOME, &envelope, &Pdu::Hello(hello)), []);
        keys.extend(bench.openings.pop());
    }
    let mut welcomed = Vec::new();
    for ((key, _), generation) in keys.into_iter().zip([FIRST, SECOND]) {
        let table = DurableTable { generation, rows: Vec::new() };
        bench.server.generation_opened(bench.now, key, Some(table));
        for said in bench.said() {
            let Said::Welcome(welcome) = said else { panic!("{said:?}") };
            welcomed.push(welcome.generation);
        }
    }
    assert_eq!(welcomed, [FIRST, FIRST]);
}

/// Found by the model check: a late HELLO opened a session that nobody uses, which had the slots from
/// then on, and what the client asked in its own was never answered.
#[test]
fn a_session_whose_generation_another_has_says_so_and_gets_it_back() {
    let mut bench = bench();
    bench.open();
    let hello = bench.durable_hello(bench.session, GenerationId::NONE);
    bench.welcomed(&hello, FIRST);
    let late = bench.durable_hello(SessionId::NONE, FIRST);
    let (other, welcome) = bench.welcomed(&late, SECOND);
    assert_ne!((other, welcome.generation), (bench.session, SECOND));
    let said = bench.durable_request(1);
    assert!(matches!(said[..], [Said::NoSession(_)]), "{said:?}");
    let again = bench.durable_hello(bench.session, FIRST);
    let (session, welcome) = bench.welcomed(&again, SECOND);
    assert_eq!((session, welcome.generation), (bench.session, FIRST));
    assert_eq!(bench.durable_request(1), []);
    bench.begin();
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(1, 1)]);
}

/// Found by the model check: what a life had asked for that was over by then began all the same.
#[test]
fn a_queued_call_of_a_fenced_life_begins_only_if_the_later_one_asks_for_it() {
    for asks in [false, true] {
        let mut bench = bench();
        bench.open();
        let hello = bench.durable_hello(bench.session, GenerationId::NONE);
        bench.welcomed(&hello, FIRST);
        assert_eq!(bench.durable_request(1), []);
        bench.life = NEXT_LIFE;
        let hello = bench.durable_hello(SessionId::NONE, FIRST);
        let (session, welcome) = bench.welcomed(&hello, SECOND);
        assert_eq!(welcome.generation, FIRST);
        bench.session = session;
        if asks {
            bench.durable_request(1);
            bench.begin();
            assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(1, 1)]);
        } else {
            assert_eq!(bench.try_begin(), Begin::Not);
            assert_eq!(bench.durable_request(1), [], "as if it had never come");
            bench.begin();
        }
        assert_eq!(bench.counters().begun, 1);
    }
}

#[test]
fn a_hello_that_waited_for_the_store_is_too_old_once_a_later_life_was_welcomed() {
    let mut bench = bench();
    let hello = bench.durable_hello(SessionId::NONE, FIRST);
    assert_eq!(bench.prove(&hello), []);
    let (key, _) = bench.openings.pop().unwrap();
    bench.come_back();
    let table = DurableTable { generation: FIRST, rows: Vec::new() };
    bench.server.generation_opened(bench.now, key, Some(table));
    let said = bench.said();
    let [Said::Reject(reject)] = said[..] else { panic!("{said:?}") };
    assert_eq!((reject.reason, reject.highest), (RejectReason::OldIncarnation, NEXT_LIFE));
    assert_eq!(bench.server.sessions(), 1, "its session would never be fenced");
    assert!(bench.server.durable.generations.is_empty());
}

#[test]
fn a_queued_call_whose_asker_s_session_is_over_does_not_begin() {
    let mut bench = bench();
    bench.open();
    let hello = bench.durable_hello(bench.session, GenerationId::NONE);
    bench.welcomed(&hello, FIRST);
    let minute_us = 60_000_000;
    let call = bench.call_of(DURABLE, 1);
    let call = Request { remaining_us: minute_us, not_after_us: minute_us, ..call };
    assert_eq!(bench.send_durable(&Pdu::Request(call)), []);
    let first = bench.session;
    bench.life = NEXT_LIFE;
    let hello = bench.durable_hello(SessionId::NONE, FIRST);
    (bench.session, _) = bench.welcomed(&hello, SECOND);
    for _ in 0..20 {
        bench.pass(Duration::from_secs(2));
        bench.ping(1);
    }
    assert_eq!(bench.closed, [first]);
    assert_eq!(bench.try_begin(), Begin::Not, "nobody asks for it any more");
    assert_eq!(bench.send_durable(&Pdu::Request(call)), [], "as if it had never come");
    bench.begin();
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(1, 1)]);
}
