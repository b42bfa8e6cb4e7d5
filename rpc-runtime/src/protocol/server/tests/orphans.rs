//! Quanta and later lives: the EXTEND row, the last two events of the table "Server slot", and OWNER.

use super::*;
use crate::protocol::OrphanStrategy;
use crate::protocol::limits::OWNER_TRIES;

const QUANTUM: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_micros(1);

fn under(strategy: OrphanStrategy) -> Bench {
    let mut bench = Bench::under(OrphanPolicy::new(strategy, QUANTUM));
    bench.prepare(Prepared::Running);
    bench
}

/// A bench whose call has run for a quantum, and was asked for.
fn asked() -> Bench {
    let mut bench = under(OrphanStrategy::Expire);
    let said = bench.pass(QUANTUM);
    assert_eq!(said.last(), Some(&ask(1)), "{said:?}");
    bench
}

const fn extend(sequence: u64, quantum: u32, answer: Answer) -> Extend {
    Extend { slot: SLOT, sequence: Sequence(sequence), quantum, answer, pad: [0; 3] }
}

fn ask(quantum: u32) -> Said {
    Said::Extend(extend(LAST, quantum, Answer::Ask))
}

fn questions(said: &[Said]) -> usize {
    said.iter().filter(|said| matches!(said, Said::Extend(_) | Said::Owner(_))).count()
}

impl Bench {
    fn extend(&mut self, sequence: u64, quantum: u32, answer: Answer) {
        let said = self.send(&Pdu::Extend(extend(sequence, quantum, answer)));
        assert_eq!(said, [], "an answer is not answered");
    }

    /// The owner asked for is heard from, in the life `life`.
    fn alive(&mut self, life: Incarnation, answer: Answer) {
        let owner = self.owners[0].2;
        self.alive_with(life, owner, answer);
    }

    fn alive_with(&mut self, life: Incarnation, owner: Owner, answer: Answer) {
        let Owner { client, client_incarnation, announced, session, slot, sequence, .. } = owner;
        let pad = [0; 3];
        let alive =
            Alive { client, client_incarnation, announced, session, slot, sequence, answer, pad };
        let session = self.owners[0].1.session;
        let envelope = Envelope { incarnation: life, session, ..self.envelope() };
        assert!(self.send_as(HOME, &envelope, &Pdu::Alive(alive)).is_empty());
    }
}

#[test]
fn server_slot_quantum_ends_asks_again_and_again_and_cancels_after_the_grace() {
    let mut bench = under(OrphanStrategy::Expire);
    assert_eq!(questions(&bench.pass(QUANTUM - TICK)), 0, "not before its end");
    assert_eq!(bench.pass(TICK), [ask(1)]);
    let said = bench.pass(GRACE - TICK);
    assert_eq!(said, vec![ask(1); 15], "a sixteenth of the grace period apart");
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.pass(TICK), []);
    assert_eq!(bench.cancelled, bench.running);
    assert_eq!(bench.pass(Duration::from_secs(60)), [], "nobody is asked any more");
    let counted = bench.counters();
    assert_eq!((counted.quanta_unanswered, counted.cancelled, counted.stubborn), (1, 1, 1));
}

#[test]
fn server_slot_quantum_that_is_never_reached_asks_nothing() {
    let mut bench = under(OrphanStrategy::Expire);
    bench.pass(QUANTUM - TICK);
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    assert_eq!(bench.pass(QUANTUM), []);
}

#[test]
fn server_slot_quantum_begins_with_the_execution_and_not_in_the_queue() {
    let mut bench = Bench::under(OrphanPolicy::new(OrphanStrategy::Expire, QUANTUM));
    bench.prepare(Prepared::Queued);
    assert_eq!(questions(&bench.pass(QUANTUM * 2)), 0);
    bench.begin();
    assert_eq!(questions(&bench.pass(QUANTUM - TICK)), 0);
    assert_eq!(bench.pass(TICK), [ask(1)]);
}

#[test]
fn server_slot_quantum_shorter_than_a_report_ends_before_it() {
    let quantum = Duration::from_millis(4);
    let mut bench = Bench::under(OrphanPolicy::new(OrphanStrategy::Expire, quantum));
    bench.prepare(Prepared::Running);
    assert_eq!(bench.pass(quantum), [ask(1)]);
}

#[test]
fn server_slot_extend_equal_running_current_yes_gives_the_next_quantum() {
    let mut bench = asked();
    bench.extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.pass(QUANTUM - TICK), []);
    assert_eq!(bench.pass(TICK), [ask(2)]);
    bench.extend(LAST, 2, Answer::Yes);
    assert_eq!(bench.pass(QUANTUM), [ask(3)]);
    assert_eq!(bench.counters().quanta_granted, 2);
    assert!(bench.cancelled.is_empty());
}

#[test]
fn server_slot_extend_late_yes_lengthens_nothing() {
    let mut bench = asked();
    bench.pass(Duration::from_millis(1_500));
    bench.extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.pass(QUANTUM - Duration::from_millis(1_500) - TICK), []);
    assert_eq!(bench.pass(TICK), [ask(2)], "counted from the question");
}

#[test]
fn server_slot_extend_yes_that_comes_after_the_next_quantum_ends_that_one_in_its_own_grace() {
    let quantum = Duration::from_millis(100);
    let mut bench = Bench::under(OrphanPolicy::new(OrphanStrategy::Expire, quantum));
    bench.prepare(Prepared::Running);
    bench.pass(quantum + GRACE - TICK);
    let yes = bench.send(&Pdu::Extend(extend(LAST, 1, Answer::Yes)));
    assert_eq!(yes, [ask(2)], "asked at once");
    bench.pass(quantum);
    assert!(bench.cancelled.is_empty());
    bench.pass(TICK);
    assert_eq!(bench.cancelled.len(), 1, "two quanta and one grace period after it began");
}

#[test]
fn server_slot_extend_equal_running_current_no_cancels_at_once() {
    let mut bench = asked();
    bench.extend(LAST, 1, Answer::No);
    assert_eq!(bench.cancelled, bench.running);
    assert_eq!(bench.counters().quanta_refused, 1);
    assert_eq!(bench.pass(GRACE), []);
}

#[test]
fn server_slot_extend_equal_running_of_another_quantum_is_dropped() {
    for answer in [Answer::Yes, Answer::No] {
        for quantum in [0, 2, u32::MAX] {
            let mut bench = asked();
            bench.extend(LAST, quantum, answer);
            assert!(bench.cancelled.is_empty(), "{answer:?} {quantum}");
            bench.pass(GRACE);
            assert_eq!(bench.cancelled.len(), 1, "the quantum still ends");
        }
    }
}

#[test]
fn server_slot_extend_that_was_not_asked_for_is_dropped() {
    for answer in [Answer::Yes, Answer::No, Answer::Ask] {
        let mut bench = under(OrphanStrategy::Expire);
        bench.extend(LAST, 1, answer);
        assert!(bench.cancelled.is_empty());
        assert_eq!(bench.pass(QUANTUM).last(), Some(&ask(1)));
        assert_eq!(bench.counters().stale, 1);
    }
}

#[test]
fn server_slot_extend_to_an_earlier_execution_at_least_once_is_dropped() {
    let mut bench = Bench::new();
    bench.request_again(LAST);
    bench.begin();
    let quantum = OrphanPolicy::default().quantum.unwrap();
    let far = Request { remaining_us: u64::MAX, ..bench.call_of(AGAIN, LAST) };
    bench.finish(HandlerEnd::Returned, b"reply");
    bench.send(&Pdu::Request(Request { not_after_us: u64::MAX, ..far }));
    bench.begin();
    assert_eq!(bench.pass(quantum).last(), Some(&ask(2)), "quanta count on");
    bench.extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.counters().quanta_granted, 0);
    bench.extend(LAST, 2, Answer::Yes);
    assert_eq!(bench.counters().quanta_granted, 1);
}

#[test]
fn server_slot_extend_below_and_above_last_are_dropped() {
    for sequence in [LAST - 1, LAST + 1] {
        for answer in [Answer::Yes, Answer::No] {
            let mut bench = asked();
            bench.extend(sequence, 1, answer);
            assert!(bench.cancelled.is_empty());
            bench.pass(GRACE);
            assert_eq!(bench.cancelled.len(), 1);
        }
    }
}

#[test]
fn server_slot_extend_equal_ended_is_dropped_because_a_stored_reply_wins() {
    let mut bench = asked();
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
    bench.extend(LAST, 1, Answer::No);
    assert_eq!(bench.duplicate(LAST), [returned(LAST, 2)]);
    for state in [Prepared::Queued, Prepared::Refused, Prepared::Sealed, Prepared::Acked] {
        let mut bench = Bench::prepared(state);
        bench.extend(LAST, 1, Answer::No);
        assert!(bench.cancelled.is_empty());
        assert_eq!(bench.counters().stale, 1, "{state:?}");
    }
}

#[test]
fn server_slot_extend_of_another_life_or_place_is_dropped() {
    let mut bench = asked();
    let first = bench.session;
    bench.come_back();
    // The later life may ask about what runs in the earlier one's session; it does not speak for it.
    bench.session = first;
    bench.extend(LAST, 1, Answer::No);
    assert_eq!(bench.counters().stale, 1);
    let envelope = Envelope { incarnation: LIFE, ..bench.envelope() };
    let no = Pdu::Extend(extend(LAST, 1, Answer::No));
    bench.send_as(ELSEWHERE, &envelope, &no);
    assert!(bench.cancelled.is_empty());
}

#[test]
fn server_slot_granted_for_ever_ends_at_its_deadline() {
    let mut bench = under(OrphanStrategy::Expire);
    for quantum in 1..5 {
        bench.pass(QUANTUM);
        bench.extend(LAST, quantum, Answer::Yes);
    }
    assert!(bench.cancelled.is_empty());
    bench.pass(QUANTUM);
    assert_eq!(bench.cancelled.len(), 1, "ten seconds are over");
}

#[test]
fn server_slot_quantum_ends_in_a_server_that_slept_gives_the_caller_its_grace() {
    let mut bench = under(OrphanStrategy::Expire);
    bench.now = bench.now + QUANTUM + GRACE + GRACE;
    bench.server.handle_timeout(bench.now);
    let said = bench.said();
    assert_eq!(said.last(), Some(&ask(1)));
    bench.extend(LAST, 1, Answer::Yes);
    assert!(bench.cancelled.is_empty());
}

#[test]
fn server_slot_working_tells_what_is_left_of_the_quantum() {
    let mut bench = under(OrphanStrategy::Expire);
    let Said::Working(working) = bench.ping(LAST)[0] else { panic!("it runs") };
    assert_eq!(working.quantum_left_us, 2_000_000);
}

#[test]
fn server_slot_no_cancel_runs_to_its_end_whatever_is_said() {
    let policy = OrphanPolicy::new(OrphanStrategy::Reincarnate, QUANTUM).no_cancel();
    let mut bench = Bench::under(policy);
    bench.prepare(Prepared::Running);
    Bench::assert_working(&bench.cancel(LAST), LAST, LAST);
    let session = bench.session;
    bench.come_back();
    bench.session = session;
    let said = bench.pass(Duration::from_secs(100));
    assert_eq!(questions(&said), 0);
    assert!(bench.cancelled.is_empty());
    assert_eq!((bench.counters().cancelled, bench.counters().not_cancellable), (0, 1));
    bench.finish(HandlerEnd::Returned, b"reply");
    assert_eq!(bench.seal(LAST), [returned(LAST, 0)], "kept for resolve");
}

#[test]
fn server_session_of_a_client_that_is_gone_ends_after_quantum_grace_and_lease() {
    let mut bench = under(OrphanStrategy::Expire);
    bench.pass(QUANTUM + GRACE);
    bench.finish(HandlerEnd::Cancelled { partial: true }, b"");
    let lease = Limits::default().lease;
    bench.pass(lease - TICK);
    assert_eq!(bench.server.sessions(), 1);
    bench.pass(TICK);
    assert_eq!(bench.server.sessions(), 0);
    assert_eq!(bench.counters().stubborn, 0);
}

#[test]
fn server_slot_stubborn_handlers_are_counted_once() {
    let mut bench = Bench::prepared(Prepared::Running);
    bench.cancel(LAST);
    bench.pass(GRACE - TICK);
    assert_eq!(bench.counters().stubborn, 0);
    bench.pass(GRACE);
    assert_eq!(bench.counters().stubborn, 1);
}

#[test]
fn server_session_fenced_cancels_at_once_under_reincarnation() {
    let mut bench = under(OrphanStrategy::Reincarnate);
    assert_eq!(questions(&bench.pass(QUANTUM * 2)), 0, "and no quantum ends");
    bench.come_back();
    assert_eq!(bench.cancelled, bench.running);
    assert!(bench.owners.is_empty());
    assert_eq!(bench.counters().reincarnated, 1);
}

#[test]
fn server_session_hello_that_proved_nothing_kills_nothing() {
    for strategy in [OrphanStrategy::Reincarnate, OrphanStrategy::Gentle] {
        let mut bench = under(strategy);
        bench.life = NEXT_LIFE;
        let hello = bench.hello();
        let (_, said) = bench.say_hello(&hello);
        assert!(matches!(said, Said::Cookie(_)), "{said:?}");
        assert!(bench.cancelled.is_empty() && bench.owners.is_empty());
    }
}

#[test]
fn server_session_hello_of_a_former_life_kills_nothing() {
    let mut bench = under(OrphanStrategy::Reincarnate);
    bench.life = Incarnation(LIFE.0 - 1);
    let hello = bench.hello();
    let (_, said) = bench.say_hello(&hello);
    assert!(matches!(said, Said::Reject(_)), "{said:?}");
    assert!(bench.cancelled.is_empty());
}

#[test]
fn server_session_fenced_asks_for_the_owner_where_it_was_heard_last() {
    let mut bench = under(OrphanStrategy::Gentle);
    let old = bench.session;
    bench.from = ELSEWHERE;
    bench.come_back();
    let [(to, envelope, owner)] = bench.owners[..] else { panic!("{:?}", bench.owners) };
    assert_eq!((to, envelope.target, envelope.session), (HOME, LIFE.tag(), old));
    let expected = Owner {
        client: CLIENT,
        client_incarnation: LIFE,
        announced: NEXT_LIFE,
        session: old,
        slot: SLOT,
        sequence: Sequence(LAST),
        pad: [0; 4],
    };
    assert_eq!(owner, expected);
    assert!(bench.cancelled.is_empty());
}

#[test]
fn server_session_fenced_owner_that_lives_and_waits_keeps_its_call() {
    let mut bench = under(OrphanStrategy::Gentle);
    bench.from = ELSEWHERE;
    bench.come_back();
    bench.alive(LIFE, Answer::Yes);
    assert_eq!(questions(&bench.pass(Duration::from_secs(5))), 0);
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.counters().owners_found, 1);
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
}

#[test]
fn server_session_fenced_owner_that_says_no_or_a_later_life_in_its_place_ends_the_call() {
    for life in [LIFE, NEXT_LIFE] {
        let mut bench = under(OrphanStrategy::Gentle);
        bench.come_back();
        bench.alive(life, Answer::No);
        assert_eq!(bench.cancelled, bench.running);
        assert_eq!(bench.counters().owners_missing, 1);
    }
}

#[test]
fn server_session_fenced_owner_that_is_silent_ends_the_call_after_a_few_tries() {
    let mut bench = under(OrphanStrategy::Gentle);
    bench.come_back();
    let interval = Limits::default().retransmit_initial;
    let said = bench.pass(interval * OWNER_TRIES - TICK);
    assert_eq!(questions(&said), OWNER_TRIES as usize - 1, "besides the first");
    assert!(bench.cancelled.is_empty());
    bench.pass(TICK);
    assert_eq!(bench.cancelled, bench.running);
}

#[test]
fn server_session_fenced_owner_answers_that_name_something_else_are_dropped() {
    let mut bench = under(OrphanStrategy::Gentle);
    bench.come_back();
    let owner = bench.owners[0].2;
    let others = [
        Owner { client: ClientId(9), ..owner },
        Owner { client_incarnation: NEXT_LIFE, ..owner },
        Owner { announced: LIFE, ..owner },
        Owner { session: SessionId(9), ..owner },
        Owner { slot: SlotIndex(1), ..owner },
        Owner { sequence: Sequence(LAST + 1), ..owner },
    ];
    for other in others {
        bench.alive_with(LIFE, other, Answer::No);
        bench.alive_with(LIFE, other, Answer::Yes);
    }
    bench.alive_with(NEXT_LIFE, owner, Answer::Yes);
    bench.alive_with(LIFE, owner, Answer::Ask);
    assert!(bench.cancelled.is_empty());
    assert_eq!((bench.counters().owners_found, bench.counters().stale), (0, 14));
}

#[test]
fn server_session_fenced_by_a_third_life_asks_another_question_and_not_for_longer() {
    let mut bench = under(OrphanStrategy::Gentle);
    bench.come_back();
    let interval = Limits::default().retransmit_initial;
    bench.pass(interval / 2);
    bench.life = Incarnation(NEXT_LIFE.0 + 1);
    let hello = bench.hello();
    bench.opened(&hello);
    bench.alive(LIFE, Answer::Yes);
    assert_eq!(bench.counters().owners_found, 0, "that was the first question");
    let said = bench.pass(interval / 2);
    let [.., Said::Owner(owner)] = said[..] else { panic!("{said:?}") };
    assert_eq!(owner.announced, bench.life);
    bench.pass(interval * (OWNER_TRIES - 1));
    assert_eq!(bench.cancelled.len(), 1);
}

#[test]
fn server_session_fenced_by_a_third_life_after_an_answer_asks_anew() {
    let mut bench = under(OrphanStrategy::Gentle);
    bench.come_back();
    bench.alive(LIFE, Answer::Yes);
    bench.life = Incarnation(NEXT_LIFE.0 + 1);
    let hello = bench.hello();
    bench.opened(&hello);
    let announced: Vec<_> = bench.owners.iter().map(|(_, _, owner)| owner.announced).collect();
    assert_eq!(announced, [NEXT_LIFE, bench.life]);
    bench.alive(LIFE, Answer::Yes);
    assert_eq!(bench.counters().owners_found, 1, "a copy of the first answer");
}

#[test]
fn server_session_fenced_leaves_calls_to_their_quanta_under_expiration_alone() {
    let mut bench = under(OrphanStrategy::Expire);
    bench.come_back();
    assert!(bench.owners.is_empty());
    bench.life = LIFE;
    assert_eq!(bench.pass(QUANTUM).last(), Some(&ask(1)));
    bench.session = bench.server.sessions.values().find(|one| one.fenced).unwrap().id;
    bench.extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.pass(QUANTUM), [ask(2)], "an owner that lives goes on");
}

#[test]
fn server_session_fenced_by_default_does_both() {
    let mut bench = under(OrphanStrategy::default());
    bench.come_back();
    assert_eq!(bench.owners.len(), 1);
    bench.alive(LIFE, Answer::Yes);
    let said = bench.pass(QUANTUM + GRACE);
    assert_eq!(questions(&said), 16);
    assert_eq!(bench.cancelled, bench.running);
}

#[test]
fn server_slot_ten_thousand_cancels_tell_the_handler_once() {
    let mut bench = Bench::prepared(Prepared::Running);
    for _ in 0..10_000 {
        Bench::assert_working(&bench.cancel(LAST), LAST, LAST);
    }
    assert_eq!((bench.cancelled.len(), bench.counters().cancelled), (1, 1));
}
