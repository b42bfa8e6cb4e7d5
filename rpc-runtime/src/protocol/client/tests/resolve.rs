//! What became of that call? The rows of "Client slot" about lingering slots and `resolve`.

use super::*;

#[test]
fn a_lingering_call_is_asked_about_with_seal_until_it_is_answered() {
    for (answer, expected) in terminal_answers() {
        let mut bench = Bench::prepared(Prepared::Resolving);
        for _ in 0..3 {
            assert_eq!(bench.step().1, [SEAL]);
        }
        assert_eq!(bench.tell(&answer), []);
        let ended = bench.last_ended();
        assert_eq!((ended.outcome, ended.call), (expected, place(1)));
        assert_eq!(ended.evidence.transmissions, 4);
        assert_eq!(bench.pass(LEASE).iter().filter(|said| **said == SEAL).count(), 0);
    }
}

#[test]
fn a_question_without_answer_ends_at_its_deadline() {
    let mut bench = Bench::prepared(Prepared::Resolving);
    let said = bench.pass(PATIENCE);
    assert!(said.len() > 2 && said.iter().all(|said| *said == SEAL), "{said:?}");
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::NoReply));
    assert_eq!(bench.pass(LEASE), []);
    let (_, said) = bench.resolve(place(1), PATIENCE);
    assert_eq!(said, [SEAL], "it may be asked again");
    bench.tell(&sealed(1, SealedVerdict::NotExecuted));
    assert_eq!(bench.outcome(), Outcome::Sealed);
}

#[test]
fn a_question_whose_deadline_has_passed_ends_at_once() {
    let mut bench = Bench::prepared(Prepared::Linger);
    bench.resolve(place(1), Duration::ZERO);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::NoReply));
}

#[test]
fn working_is_no_answer_to_a_question() {
    let mut bench = Bench::prepared(Prepared::Resolving);
    assert_eq!(bench.tell(&working(1, 1)), []);
    assert_eq!(bench.tell(&unseen(1)), []);
    assert_eq!(bench.step().1, [SEAL]);
    bench.tell(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn a_call_that_had_no_place_when_it_was_named_is_never_denied() {
    let mut bench = Bench::new();
    let (key, said) = bench.call();
    let early = bench.client.call_id(key).unwrap();
    assert_eq!(early, CallId::UNSENT);
    bench.resolve(early, PATIENCE);
    assert_eq!(bench.outcome().execution(), Execution::Unknown, "it waits");
    bench.welcome_hello(&said);
    bench.tell(&reply(1));
    assert_eq!(bench.outcome(), returned());
    let (_, said) = bench.resolve(early, PATIENCE);
    assert_eq!(bench.outcome().execution(), Execution::Unknown, "it ran");
    assert_eq!(said, []);
}

#[test]
fn a_call_that_has_ended_with_an_answer_is_closed() {
    let mut bench = Bench::prepared(Prepared::Free);
    bench.ended.clear();
    let (_, said) = bench.resolve(place(1), PATIENCE);
    assert_eq!((bench.outcome(), said), (Outcome::InDoubt(DoubtCause::Closed), vec![]));
}

#[test]
fn a_call_under_way_is_not_asked_about() {
    let (mut bench, _) = Bench::busy();
    let (_, said) = bench.resolve(place(1), PATIENCE);
    assert_eq!((bench.outcome(), said), (Outcome::InDoubt(DoubtCause::NoReply), vec![]));
    bench.tell(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn a_call_is_asked_about_by_one_at_a_time() {
    let mut bench = Bench::prepared(Prepared::Resolving);
    let (_, said) = bench.resolve(place(1), PATIENCE);
    assert_eq!(said, []);
    assert_eq!(bench.outcome().execution(), Execution::Unknown);
    bench.tell(&reply(1));
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn places_that_no_call_of_this_session_had_are_unknown() {
    let mut bench = Bench::prepared(Prepared::Linger);
    for call in [
        CallId { session: B, ..place(1) },
        CallId { space: Space::Maybe, ..place(1) },
        CallId { space: Space::Durable, ..place(1) },
        CallId { slot: SlotIndex(1), ..place(1) },
        CallId { slot: SlotIndex(u32::MAX), ..place(1) },
        place(0),
        place(2),
        place(u64::MAX),
    ] {
        let (_, said) = bench.resolve(call, PATIENCE);
        assert_eq!(said, [], "{call:?}");
        assert_eq!(bench.outcome().execution(), Execution::Unknown, "{call:?}");
    }
}

#[test]
fn a_reused_slot_can_only_be_said_to_be_closed() {
    let mut bench = Bench::new();
    bench.slots = 1;
    let (first, said) = bench.call();
    bench.welcome_hello(&said);
    bench.cancel(first);
    bench.ended.clear();
    let (question, _) = bench.resolve(place(1), PATIENCE);
    let (_, said) = bench.call();
    assert_eq!(said, [Said::Request { slot: 0, sequence: 2, transmission: 1 }]);
    let ended = bench.last_ended();
    assert_eq!((ended.key, ended.outcome), (question, Outcome::InDoubt(DoubtCause::Closed)));
    bench.resolve(place(1), PATIENCE);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::Closed));
}

#[test]
fn a_question_given_up_is_forgotten_by_its_slot() {
    let mut bench = Bench::prepared(Prepared::Linger);
    let (question, _) = bench.resolve(place(1), PATIENCE);
    assert_eq!(bench.cancel(question), []);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::Cancelled));
    let (call, _) = bench.call();
    assert_eq!(call.index(), question.index(), "the place is used again");
    assert_eq!(bench.tell(&reply(1)), [], "the answer to the question");
    assert!(bench.ended.is_empty() && bench.client.call_id(call).is_some());
    bench.resolve(place(1), PATIENCE);
    assert_eq!(bench.outcome(), returned());
}

#[test]
fn a_question_ends_with_its_session() {
    let mut bench = Bench::prepared(Prepared::Resolving);
    let said = bench.no_session();
    bench.session = B;
    bench.welcome_hello(&said);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
    bench.resolve(place(1), PATIENCE);
    assert_eq!(bench.outcome(), Outcome::InDoubt(DoubtCause::SessionLost));
}

#[test]
fn a_question_put_while_the_session_is_resumed_is_sent_after_that() {
    let mut bench = Bench::prepared(Prepared::Linger);
    let said = bench.no_session();
    let (_, asked) = bench.resolve(place(1), PATIENCE);
    assert_eq!(asked, []);
    assert_eq!(bench.welcome_hello(&said), [SEAL]);
    assert_eq!(bench.step().1, [SEAL]);
    bench.tell(&sealed(1, SealedVerdict::NotExecuted));
    assert_eq!(bench.outcome(), Outcome::Sealed);
}

#[test]
fn the_last_replies_of_a_client_that_asked_are_acknowledged() {
    let mut bench = Bench::prepared(Prepared::Resolving);
    bench.tell(&reply(1));
    assert_eq!(bench.outcome(), returned());
    assert_eq!(bench.step().1, [ACK]);
    assert!(bench.client.is_quiet());
}
