//! EXTEND and OWNER against every state of a slot: yes only for what is waited for.

use super::*;

pub(super) const fn extend(sequence: u64, quantum: u32, answer: Answer) -> Extend {
    let (slot, sequence) = (SlotIndex(0), Sequence(sequence));
    Extend { slot, sequence, quantum, answer, pad: [0; 3] }
}

fn asked(bench: &mut Bench, sequence: u64) -> Vec<Said> {
    bench.tell(&Pdu::Extend(extend(sequence, 7, Answer::Ask)))
}

fn extended(sequence: u64, answer: Answer) -> Vec<Said> {
    vec![Said::Extend(extend(sequence, 7, answer))]
}

const fn owner(sequence: u64) -> Owner {
    Owner {
        client: ME.id,
        client_incarnation: LIFE,
        announced: Incarnation(LIFE.0 + 1),
        session: A,
        slot: SlotIndex(0),
        sequence: Sequence(sequence),
        pad: [0; 4],
    }
}

fn alive(owner: Owner, answer: Answer) -> Vec<Said> {
    let Owner { client, client_incarnation, announced, session, slot, sequence, .. } = owner;
    let pad = [0; 3];
    vec![Said::Alive(Alive {
        client,
        client_incarnation,
        announced,
        session,
        slot,
        sequence,
        answer,
        pad,
    })]
}

/// What is said of the call of slot 0 in a state: the caller waits, or not.
const fn expected(state: Prepared) -> Answer {
    match state {
        Prepared::Busy | Prepared::Working => Answer::Yes,
        Prepared::Free | Prepared::Linger | Prepared::Resolved | Prepared::Resolving => Answer::No,
    }
}

#[test]
fn a_quantum_is_granted_while_the_caller_waits_and_refused_otherwise() {
    for state in ALL_STATES {
        let mut bench = Bench::prepared(state);
        bench.drain();
        assert_eq!(asked(&mut bench, 1), extended(1, expected(state)), "{state:?}");
        assert_eq!(bench.said_in, [A]);
        let counted = (bench.counters().quanta_granted, bench.counters().quanta_refused);
        let yes = u64::from(expected(state) == Answer::Yes);
        assert_eq!(counted, (yes, 1 - yes));
    }
}

#[test]
fn a_quantum_of_a_call_that_nobody_made_is_refused() {
    for sequence in [0, 2, u64::MAX] {
        let (mut bench, _) = Bench::busy();
        assert_eq!(asked(&mut bench, sequence), extended(sequence, Answer::No));
    }
    let (mut bench, _) = Bench::busy();
    let elsewhere = Extend { slot: SlotIndex(u32::MAX), ..extend(1, 7, Answer::Ask) };
    let no = Extend { answer: Answer::No, ..elsewhere };
    assert_eq!(bench.tell(&Pdu::Extend(elsewhere)), [Said::Extend(no)]);
}

#[test]
fn a_quantum_of_a_cancelled_call_is_refused_even_if_the_cancel_was_lost() {
    let (mut bench, key) = Bench::busy();
    bench.cancel(key);
    assert_eq!(asked(&mut bench, 1), extended(1, Answer::No));
}

#[test]
fn each_question_is_answered_once_and_an_answer_never() {
    let (mut bench, _) = Bench::busy();
    for _ in 0..3 {
        assert_eq!(asked(&mut bench, 1), extended(1, Answer::Yes));
    }
    for answer in [Answer::Yes, Answer::No] {
        assert_eq!(bench.tell(&Pdu::Extend(extend(1, 7, answer))), []);
    }
    assert_eq!(bench.counters().foreign, 2);
}

#[test]
fn a_quantum_in_a_session_that_was_given_up_is_refused_there() {
    let (mut bench, _) = Bench::busy();
    bench.tell(&BYE);
    bench.drain();
    assert_eq!(asked(&mut bench, 1), extended(1, Answer::No));
    assert_eq!(bench.said_in, [A]);
}

#[test]
fn a_quantum_is_granted_while_the_session_is_resumed() {
    let (mut bench, _) = Bench::busy();
    bench.no_session();
    assert_eq!(asked(&mut bench, 1), extended(1, Answer::Yes));
}

#[test]
fn a_quantum_in_the_space_of_calls_without_slots_is_none() {
    let (mut bench, _) = Bench::busy();
    let envelope = Envelope { space: Space::Maybe, ..bench.envelope() };
    assert_eq!(bench.tell_as(&envelope, &Pdu::Extend(extend(1, 7, Answer::Ask))), []);
    assert_eq!(bench.counters().foreign, 1);
}

#[test]
fn a_quantum_asked_of_another_life_is_nothing_to_this_one() {
    let (mut bench, _) = Bench::busy();
    let envelope = Envelope { target: 9, ..bench.envelope() };
    assert_eq!(bench.tell_as(&envelope, &Pdu::Extend(extend(1, 1, Answer::Ask))), []);
    assert_eq!(bench.counters().foreign, 1);
}

#[test]
fn an_owner_says_truthfully_whether_it_waits() {
    for state in ALL_STATES {
        let mut bench = Bench::prepared(state);
        let said = bench.tell(&Pdu::Owner(owner(1)));
        assert_eq!(said, alive(owner(1), expected(state)), "{state:?}");
        let said = bench.tell(&Pdu::Owner(owner(2)));
        assert_eq!(said, alive(owner(2), Answer::No), "{state:?}");
    }
}

#[test]
fn a_later_life_in_the_owner_s_place_says_no() {
    let (mut bench, _) = Bench::busy();
    let former = Owner { client_incarnation: Incarnation(LIFE.0 - 1), ..owner(1) };
    let envelope = Envelope { target: former.client_incarnation.tag(), ..bench.envelope() };
    assert_eq!(bench.tell_as(&envelope, &Pdu::Owner(former)), alive(former, Answer::No));
}

#[test]
fn another_process_in_the_owner_s_place_is_silent() {
    let (mut bench, _) = Bench::busy();
    let others = [
        Owner { client: ClientId(9), ..owner(1) },
        Owner { client_incarnation: Incarnation(LIFE.0 + 1), ..owner(1) },
        Owner { session: B, ..owner(1) },
    ];
    for other in others {
        assert_eq!(bench.tell(&Pdu::Owner(other)), []);
    }
    assert_eq!(bench.counters().foreign, 3);
}

#[test]
fn an_answer_is_not_longer_than_its_question() {
    const { assert!(Alive::LEN <= Owner::LEN) }
}
