//! Durable slots of the client: the rows of "Client slot" that differ for `exactly_once`.

use super::orphans::extend;
use super::*;
use crate::ids::GenerationId;

const GENERATION: GenerationId = GenerationId(0x6e);
const NEXT_GENERATION: GenerationId = GenerationId(0x6f);

/// A place in the durable slot 0.
fn durable_place(sequence: u64) -> CallId {
    CallId { session: SessionId(GENERATION.0), space: Space::Durable, ..place(sequence) }
}

impl Bench {
    fn durable_spec(&self) -> CallSpec {
        let deadline = self.now + Duration::from_secs(20);
        CallSpec { semantics: Semantics::ExactlyOnce, deadline, ..self.spec() }
    }

    /// With the first durable call of slot 0 under way.
    fn durable() -> (Self, CallKey) {
        let mut bench = Self::new();
        let spec = bench.durable_spec();
        let (key, said) = bench.start(spec);
        let said = bench.welcome_hello(&said);
        let hello = hello_in(&said);
        assert_eq!((hello.durable, hello.generation, hello.resume), (1, GenerationId::NONE, A));
        assert_eq!(bench.grant(&hello, GENERATION), [request(1)]);
        (bench, key)
    }

    /// The server's WELCOME, with a generation.
    fn grant(&mut self, hello: &Hello, generation: GenerationId) -> Vec<Said> {
        let welcome = Welcome { generation, ..self.welcome_of(hello.nonce) };
        let envelope = self.envelope();
        self.tell_as(&envelope, &Pdu::Welcome(welcome))
    }

    /// The server says BYE; what the client says until it asks for another session.
    fn lose_session(&mut self) -> Hello {
        self.tell(&Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
        loop {
            let (_, said) = self.step();
            if let Some(Said::Hello(hello)) = said.first() {
                return *hello;
            }
        }
    }

    /// The server died; its next life welcomes the client in session B.
    fn next_life(&mut self, life: u32, generation: GenerationId) -> Vec<Said> {
        let hello = self.lose_session();
        self.life = Incarnation::new(life, 7);
        self.session = SessionId(0x100 + u64::from(life));
        self.grant(&hello, generation)
    }
}

fn hello_in(said: &[Said]) -> Hello {
    let hello = |said: &Said| if let Said::Hello(hello) = said { Some(*hello) } else { None };
    said.iter().rev().find_map(hello).expect("it says HELLO")
}

#[test]
fn a_durable_call_has_a_place_in_its_generation_and_ends_as_others_do() {
    for (answer, outcome) in terminal_answers() {
        let (mut bench, key) = Bench::durable();
        assert_eq!(bench.client.call_id(key), Some(durable_place(1)));
        assert_eq!(bench.tell_durable(&answer), []);
        let ended = bench.last_ended();
        assert_eq!((ended.outcome, ended.call), (outcome, durable_place(1)));
        let spec = bench.durable_spec();
        let (_, said) = bench.start(spec);
        assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
    }
}

#[test]
fn equal_arguments_never_have_equal_digests_in_durable_calls() {
    let (mut bench, _) = Bench::durable();
    let first = bench.asked.clone().unwrap();
    bench.tell_durable(&reply(1));
    let spec = bench.durable_spec();
    bench.start(spec);
    let second = bench.asked.clone().unwrap();
    assert_eq!(first.arguments, second.arguments);
    assert_ne!(first.digest, second.digest);
    bench.pass(Duration::from_millis(300));
    assert_eq!(bench.asked.unwrap().digest, second.digest, "the same call sent again");
}

#[test]
fn answers_to_a_durable_call_in_the_session_space_and_the_reverse_are_ignored() {
    let (mut bench, _) = Bench::durable();
    for (answer, _) in terminal_answers() {
        bench.tell(&answer);
    }
    assert!(bench.ended.is_empty());
    bench.tell_durable(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn busy_durable_session_lost_is_kept_and_sent_again_in_the_next() {
    let (mut bench, _) = Bench::durable();
    let hello = bench.lose_session();
    assert!(bench.ended.is_empty());
    assert_eq!((hello.durable, hello.generation, hello.resume), (1, GENERATION, SessionId::NONE));
    bench.session = B;
    assert_eq!(bench.grant(&hello, GENERATION), [request(2)]);
    assert_eq!(bench.said_in, [B]);
    bench.tell_durable(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn busy_durable_refusals_and_seals_count_in_the_current_session_only() {
    let (mut bench, _) = Bench::durable();
    let hello = bench.lose_session();
    bench.session = B;
    bench.grant(&hello, GENERATION);
    let old = Envelope { space: Space::Durable, session: A, ..bench.envelope() };
    for (answer, _) in terminal_answers() {
        assert_eq!(bench.tell_as(&old, &answer), []);
    }
    assert!(bench.ended.is_empty());
    bench.tell_durable(&refuse(1, RefuseReason::Draining));
    assert_eq!(bench.outcome().execution(), Execution::NotExecuted, "in the current one it does");
}

#[test]
fn busy_durable_generation_ended_is_in_doubt_and_the_slots_begin_anew() {
    let (mut bench, _) = Bench::durable();
    assert_eq!(bench.next_life(6, NEXT_GENERATION), []);
    let ended = bench.last_ended();
    assert_eq!(ended.outcome, Outcome::InDoubt(DoubtCause::GenerationEnded));
    assert_eq!(ended.call, durable_place(1));
    let spec = bench.durable_spec();
    let (key, said) = bench.start(spec);
    assert_eq!(said, [request(1)], "sequence 1 of the new one");
    assert_eq!(bench.client.call_id(key).unwrap().session, SessionId(NEXT_GENERATION.0));
}

#[test]
fn busy_durable_refused_for_want_of_its_generation_is_in_doubt() {
    let (mut bench, _) = Bench::durable();
    bench.tell_durable(&refuse(1, RefuseReason::Generation));
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::GenerationEnded));
}

#[test]
fn a_server_without_a_store_is_told_by_the_first_call_and_nothing_is_sent() {
    let mut bench = Bench::new();
    let spec = bench.durable_spec();
    let (_, said) = bench.start(spec);
    let hello = hello_in(&bench.welcome_hello(&said));
    assert_eq!(bench.grant(&hello, GenerationId::NONE), []);
    assert_eq!(bench.outcome(), Outcome::NotSent(NotSentCause::Unsupported));
}

#[test]
fn lingering_durable_is_asked_about_in_a_later_session_of_a_later_life() {
    for (answer, expected) in terminal_answers() {
        let (mut bench, key) = Bench::durable();
        assert_eq!(bench.cancel(key), [CANCEL]);
        assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::Cancelled));
        let (_, said) = bench.resolve(durable_place(1), Duration::from_secs(9));
        assert_eq!(said, [SEAL]);
        assert_eq!(bench.next_life(6, GENERATION), [SEAL]);
        bench.tell_durable(&answer);
        assert_eq!(bench.outcome(), expected);
    }
}

#[test]
fn lingering_durable_of_an_ended_generation_stays_in_doubt() {
    let (mut bench, key) = Bench::durable();
    bench.cancel(key);
    bench.ended.clear();
    bench.resolve(durable_place(1), Duration::from_secs(9));
    bench.next_life(6, NEXT_GENERATION);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::GenerationEnded));
    let (_, said) = bench.resolve(durable_place(1), PATIENCE);
    assert_eq!(said, []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
}

#[test]
fn three_lives_that_died_of_a_call_are_enough_and_the_fourth_is_told_to_leave_it_alone() {
    let (mut bench, _) = Bench::durable();
    assert_eq!(bench.next_life(6, GENERATION), [request(2)]);
    assert_eq!(bench.next_life(7, GENERATION), [request(3)]);
    assert_eq!(bench.next_life(8, GENERATION), [SEAL]);
    let ended = bench.last_ended();
    assert_eq!(ended.outcome, Outcome::InDoubt(DoubtCause::ServerDied));
    assert_eq!(ended.evidence.server_deaths, 3);
    let (_, said) = bench.resolve(durable_place(1), PATIENCE);
    assert_eq!(said, [SEAL]);
    bench.tell_durable(&sealed(1, SealedVerdict::NotExecuted));
    assert_eq!(bench.outcome(), Outcome::Sealed);
}

#[test]
fn sessions_that_are_lost_while_the_server_lives_are_no_deaths() {
    let (mut bench, _) = Bench::durable();
    for session in 0x20..0x26 {
        let hello = bench.lose_session();
        bench.session = SessionId(session);
        assert!(matches!(bench.grant(&hello, GENERATION)[..], [Said::Request { .. }]));
    }
    bench.tell_durable(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

/// The server asks, in the session `id`, whether the call `sequence` of durable slot 0 is wanted.
fn asked_for(bench: &mut Bench, id: SessionId, sequence: u64) -> Option<Answer> {
    let envelope = Envelope { space: Space::Durable, session: id, ..bench.envelope() };
    let question = extend(sequence, 7, Answer::Ask);
    match bench.tell_as(&envelope, &Pdu::Extend(question))[..] {
        [] => None,
        [Said::Extend(said)] => {
            assert_eq!(Extend { answer: Answer::Ask, ..said }, question);
            assert_eq!(bench.said_in, [id]);
            Some(said.answer)
        }
        ref said => panic!("{said:?}"),
    }
}

#[test]
fn a_quantum_of_a_durable_call_is_granted_while_its_caller_waits_and_refused_otherwise() {
    let (mut bench, key) = Bench::durable();
    assert_eq!(asked_for(&mut bench, A, 1), Some(Answer::Yes));
    assert_eq!(asked_for(&mut bench, A, 2), Some(Answer::No));
    let in_session = bench.tell(&Pdu::Extend(extend(1, 7, Answer::Ask)));
    assert_eq!(in_session, [Said::Extend(extend(1, 7, Answer::No))], "its own space counts");
    bench.cancel(key);
    assert_eq!(asked_for(&mut bench, A, 1), Some(Answer::No));
    bench.resolve(durable_place(1), PATIENCE);
    assert_eq!(asked_for(&mut bench, A, 1), Some(Answer::No), "who asks what became of it");
    let counted = (bench.counters().quanta_granted, bench.counters().quanta_refused);
    assert_eq!(counted, (1, 4));
    let (mut bench, _) = Bench::durable();
    bench.tell_durable(&reply(1));
    assert_eq!(asked_for(&mut bench, A, 1), Some(Answer::No));
}

#[test]
fn a_quantum_of_a_durable_call_is_granted_in_the_session_that_it_moved_to() {
    let (mut bench, _) = Bench::durable();
    let hello = bench.lose_session();
    assert_eq!(asked_for(&mut bench, A, 1), None, "a no would end what is wanted");
    assert_eq!(asked_for(&mut bench, A, 2), Some(Answer::No), "nobody wants that anywhere");
    bench.session = B;
    bench.grant(&hello, GENERATION);
    assert_eq!(asked_for(&mut bench, A, 1), None);
    assert_eq!(asked_for(&mut bench, B, 1), Some(Answer::Yes));
    assert_eq!(bench.counters().quanta_granted, 1);
}

#[test]
fn a_quantum_of_a_durable_call_is_granted_while_the_session_is_resumed() {
    let (mut bench, _) = Bench::durable();
    bench.no_session();
    assert_eq!(asked_for(&mut bench, A, 1), Some(Answer::Yes));
}

#[test]
fn a_quantum_of_a_durable_call_of_an_ended_generation_is_refused() {
    let (mut bench, _) = Bench::durable();
    bench.next_life(6, NEXT_GENERATION);
    let session = bench.session;
    assert_eq!(asked_for(&mut bench, session, 1), Some(Answer::No));
}

#[test]
fn a_durable_call_that_was_given_up_is_called_off_in_the_next_session_too() {
    let (mut bench, key) = Bench::durable();
    assert_eq!(bench.cancel(key), [CANCEL]);
    bench.tell(&BYE);
    let spec = bench.durable_spec();
    let (_, said) = bench.start(spec);
    bench.session = B;
    let hello = only_hello(&said);
    assert_eq!(bench.grant(&hello, GENERATION).len(), 1, "the new call");
    let said = bench.pass(PATIENCE);
    assert!(said.contains(&CANCEL), "{said:?}");
    bench.client.close(bench.now);
    bench.ended.clear();
    bench.drain();
    assert!(bench.client.is_quiet());
}

#[test]
fn a_client_that_closes_with_all_settled_has_its_slots_forgotten() {
    let (mut bench, _) = Bench::durable();
    bench.tell_durable(&reply(1));
    bench.client.close(bench.now);
    assert_eq!(bench.goodbyes(), [ByeReason::Forget]);
    let (mut bench, key) = Bench::durable();
    bench.cancel(key);
    bench.client.close(bench.now);
    assert_eq!(bench.goodbyes(), [ByeReason::Done], "somebody may ask for it yet");
}

impl Bench {
    /// The reasons of all BYEs that wait to be sent.
    fn goodbyes(&mut self) -> Vec<ByeReason> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        while let Output::Transmit { .. } = self.client.poll_output(self.now, &mut buffer) {
            let mut rest = &buffer[..];
            while let Ok((_, pdu, after)) = decode(rest) {
                if let Pdu::Bye(bye) = pdu {
                    all.push(bye.reason);
                }
                rest = after;
            }
        }
        all
    }
}
