//! Quanta of durable calls: the EXTEND row and the quantum's end, over sessions and lives.

use super::super::orphans::{GRACE, QUANTUM, TICK, ask, extend, questions};
use super::*;
use crate::protocol::OrphanStrategy;

/// A bench whose durable call runs under expiration.
fn running() -> Bench {
    under(OrphanPolicy::new(OrphanStrategy::Expire, QUANTUM))
}

fn under(policy: OrphanPolicy) -> Bench {
    let mut bench = Bench::under(policy);
    bench.enable_durable(Vec::new());
    bench.prepare_durable(Prepared::Running);
    bench
}

/// The same, after a quantum: its caller was asked.
fn asked() -> Bench {
    let mut bench = running();
    let said = bench.pass(QUANTUM);
    assert_eq!(said.last(), Some(&ask(1)), "{said:?}");
    bench
}

impl Bench {
    /// An answer in the bench's session; what comes after it.
    fn d_extend(&mut self, sequence: u64, quantum: u32, answer: Answer) -> Vec<Said> {
        self.send_durable(&Pdu::Extend(extend(sequence, quantum, answer)))
    }

    /// Another session of the same life takes the generation; the one before.
    fn move_on(&mut self) -> SessionId {
        let next = self.claim(GENERATION, GENERATION, Vec::new());
        std::mem::replace(&mut self.session, next)
    }

    /// Lets time pass; in which session and space whoever is asked is asked.
    fn asked_in(&mut self, time: Duration) -> Vec<(SessionId, Space)> {
        self.now = self.now + time;
        self.server.handle_timeout(self.now);
        let is_question =
            |(_, _, said): &(Address, Envelope, Said)| questions(std::slice::from_ref(said)) > 0;
        let all = self.drain().into_iter().filter(is_question);
        all.map(|(_, envelope, _)| (envelope.session, envelope.space)).collect()
    }
}

#[test]
fn durable_slot_quantum_ends_asks_again_and_again_and_cancels_after_the_grace() {
    let mut bench = running();
    assert_eq!(questions(&bench.pass(QUANTUM - TICK)), 0, "not before its end");
    assert_eq!(bench.asked_in(TICK), [(bench.session, Space::Durable)]);
    assert_eq!(bench.pass(GRACE - TICK), vec![ask(1); 15]);
    assert!(bench.cancelled.is_empty());
    assert_eq!(bench.pass(TICK), []);
    assert_eq!(bench.cancelled, bench.running);
    let counted = bench.counters();
    assert_eq!((counted.quanta_unanswered, counted.cancelled), (1, 1));
    let end = HandlerEnd::Cancelled { partial: false };
    assert_eq!(bench.finish(end, b""), [failed(LAST, 1, ReplyStatus::Cancelled, b"")]);
    assert_eq!(bench.d_duplicate(LAST), [failed(LAST, 2, ReplyStatus::Cancelled, b"")]);
}

#[test]
fn durable_slot_quantum_begins_with_the_execution_and_is_told_in_working() {
    let mut bench = Bench::under(OrphanPolicy::new(OrphanStrategy::Expire, QUANTUM));
    bench.enable_durable(Vec::new());
    bench.prepare_durable(Prepared::Queued);
    assert_eq!(questions(&bench.pass(QUANTUM * 2)), 0);
    bench.begin();
    let Said::Working(working) = bench.d_ping(LAST)[0] else { panic!("it runs") };
    assert_eq!(working.quantum_left_us, 2_000_000);
    assert_eq!(bench.pass(QUANTUM), [ask(1)]);
}

#[test]
fn durable_slot_extend_equal_running_current_yes_gives_the_next_quantum() {
    let mut bench = asked();
    bench.pass(Duration::from_millis(1_500));
    assert_eq!(bench.d_extend(LAST, 1, Answer::Yes), []);
    assert_eq!(bench.pass(QUANTUM - Duration::from_millis(1_500) - TICK), []);
    assert_eq!(bench.pass(TICK), [ask(2)], "counted from the question");
    bench.d_extend(LAST, 2, Answer::Yes);
    assert_eq!(bench.pass(QUANTUM), [ask(3)]);
    assert_eq!(bench.counters().quanta_granted, 2);
    assert!(bench.cancelled.is_empty());
}

#[test]
fn durable_slot_extend_equal_running_current_no_cancels_at_once() {
    let mut bench = asked();
    assert_eq!(bench.d_extend(LAST, 1, Answer::No), []);
    assert_eq!(bench.cancelled, bench.running);
    assert_eq!(bench.counters().quanta_refused, 1);
    assert_eq!(bench.pass(GRACE - TICK), []);
    assert_eq!(bench.counters().stubborn, 0);
    bench.pass(TICK);
    assert_eq!(bench.counters().stubborn, 1, "it did not stop");
}

#[test]
fn durable_slot_extend_that_was_not_asked_for_like_this_is_dropped() {
    let others = [(LAST - 1, 1), (LAST + 1, 1), (LAST, 0), (LAST, 2), (LAST, u32::MAX)];
    for (sequence, quantum) in others {
        for answer in [Answer::Yes, Answer::No, Answer::Ask] {
            let mut bench = asked();
            assert_eq!(bench.d_extend(sequence, quantum, answer), []);
            assert!(bench.cancelled.is_empty(), "{sequence} {quantum} {answer:?}");
            bench.pass(GRACE);
            assert_eq!(bench.cancelled.len(), 1, "the quantum still ends");
        }
    }
    let mut bench = running();
    assert_eq!(bench.d_extend(LAST, 1, Answer::No), []);
    assert_eq!((bench.cancelled.len(), bench.counters().stale), (0, 1));
}

#[test]
fn durable_slot_extend_equal_ended_is_dropped() {
    for state in EVERY.into_iter().filter(|state| *state != Prepared::Running) {
        let mut bench = Bench::durably(state);
        let before = bench.d_duplicate(LAST);
        assert_eq!(bench.d_extend(LAST, 1, Answer::No), []);
        assert_eq!(bench.d_duplicate(LAST), before, "{state:?}");
        assert!(bench.cancelled.is_empty());
        assert_eq!(bench.counters().stale, 1, "{state:?}");
    }
}

#[test]
fn durable_slot_extend_in_the_other_space_is_dropped() {
    let mut bench = asked();
    bench.send(&Pdu::Extend(extend(LAST, 1, Answer::No)));
    assert!(bench.cancelled.is_empty());
    bench.send(&Pdu::Extend(extend(LAST, 1, Answer::Yes)));
    assert_eq!(bench.counters().quanta_granted, 0);
}

#[test]
fn durable_slot_quantum_ends_asks_the_session_that_asked_last_and_believes_only_that() {
    for answer in [Answer::Yes, Answer::No] {
        let mut bench = running();
        let first = bench.move_on();
        let second = bench.session;
        bench.d_ping(LAST);
        assert_eq!(bench.asked_in(QUANTUM), [(second, Space::Durable)]);
        bench.session = first;
        assert_eq!(bench.d_extend(LAST, 1, answer), []);
        assert_eq!((bench.cancelled.len(), bench.counters().quanta_granted), (0, 0));
        bench.session = second;
        bench.d_extend(LAST, 1, answer);
        let granted = u64::from(answer == Answer::Yes);
        assert_eq!(bench.counters().quanta_granted, granted);
        assert_eq!(bench.cancelled.len() as u64, 1 - granted);
    }
}

#[test]
fn durable_slot_of_a_generation_that_was_claimed_and_not_asked_about_is_still_the_former_s() {
    let mut bench = running();
    let first = bench.move_on();
    assert_eq!(bench.asked_in(QUANTUM), [(first, Space::Durable)]);
    bench.d_extend(LAST, 1, Answer::No);
    assert!(bench.cancelled.is_empty(), "it may mean another call (1b.3)");
    bench.session = first;
    bench.d_extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.counters().quanta_granted, 1);
}

#[test]
fn durable_slot_that_moves_to_another_session_is_asked_for_there_at_once_and_for_no_longer() {
    let mut bench = asked();
    bench.pass(GRACE - Duration::from_millis(1));
    bench.move_on();
    let said = bench.d_duplicate(LAST);
    let [Said::Extend(question), Said::Working(_)] = said[..] else { panic!("{said:?}") };
    assert_eq!(Said::Extend(question), ask(1));
    Bench::assert_working(&bench.d_duplicate(LAST), LAST, LAST);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.cancelled.len(), 1, "the grace period is the same");

    let mut bench = asked();
    bench.move_on();
    bench.d_duplicate(LAST);
    bench.d_extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.pass(QUANTUM), [ask(2)]);
}

#[test]
fn durable_slot_whose_session_is_gone_is_asked_for_nowhere_and_ends_with_the_grace() {
    let mut bench = running();
    let first = bench.move_on();
    bench.session = first;
    bench.send(&Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] }));
    assert_eq!(bench.closed, [first]);
    assert_eq!(questions(&bench.pass(QUANTUM + GRACE - TICK)), 0);
    assert!(bench.cancelled.is_empty());
    bench.pass(TICK);
    assert_eq!(bench.cancelled, bench.running);
}

#[test]
fn durable_slot_of_another_life_is_granted_by_nobody_but_its_own() {
    let mut bench = asked();
    bench.come_back();
    bench.d_extend(LAST, 1, Answer::Yes);
    bench.d_extend(LAST, 1, Answer::No);
    assert_eq!((bench.cancelled.len(), bench.counters().quanta_granted), (0, 0));
    bench.life = LIFE;
    bench.d_extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.counters().quanta_granted, 1, "an owner that lives goes on");
    assert!(bench.owners.is_empty());
}

#[test]
fn durable_slot_quantum_of_a_server_that_lost_its_store_ends_and_nobody_is_asked() {
    let mut bench = running();
    bench.server.fence_durable();
    assert_eq!(questions(&bench.pass(QUANTUM + GRACE)), 0);
    assert_eq!(bench.cancelled, bench.running);
}

#[test]
fn durable_slot_quanta_count_on_in_a_call_that_was_not_committed_and_anew_in_the_next() {
    let mut bench = asked();
    assert_eq!(bench.finish(HandlerEnd::NotCommitted, b""), []);
    assert_eq!(bench.d_duplicate(LAST), []);
    bench.begin();
    assert_eq!(bench.pass(QUANTUM).last(), Some(&ask(2)));
    bench.d_extend(LAST, 1, Answer::Yes);
    assert_eq!(bench.counters().quanta_granted, 0, "that was the execution before");
    bench.d_extend(LAST, 2, Answer::Yes);
    assert_eq!(bench.counters().quanta_granted, 1);
    bench.finish(HandlerEnd::Returned, b"reply");
    assert_next_is_asked_for_the_first_time(&mut bench);
}

fn assert_next_is_asked_for_the_first_time(bench: &mut Bench) {
    bench.d_request(LAST + 1);
    bench.begin();
    let first = extend(LAST + 1, 1, Answer::Ask);
    assert_eq!(bench.pass(QUANTUM).last(), Some(&Said::Extend(first)));
}

#[test]
fn durable_slot_quanta_begin_anew_after_a_call_that_was_sealed() {
    let mut bench = asked();
    bench.d_seal(LAST);
    bench.finish(HandlerEnd::NotCommitted, b"");
    assert_next_is_asked_for_the_first_time(&mut bench);
    let mut bench = asked();
    bench.finish(HandlerEnd::NotCommitted, b"");
    assert_eq!(bench.d_seal(LAST), [promised(LAST)]);
    assert_next_is_asked_for_the_first_time(&mut bench);
}

#[test]
fn durable_slot_no_cancel_has_no_quantum_and_goes_on_whatever_is_said() {
    let policy = OrphanPolicy::new(OrphanStrategy::Expire, QUANTUM).no_cancel();
    let mut bench = under(policy);
    Bench::assert_working(&bench.d_cancel(LAST), LAST, LAST);
    assert_eq!(questions(&bench.pass(Duration::from_secs(100))), 0);
    assert!(bench.cancelled.is_empty());
    assert_eq!((bench.counters().cancelled, bench.counters().not_cancellable), (0, 1));
    assert_eq!(bench.finish(HandlerEnd::Returned, b"reply"), [returned(LAST, 1)]);
}

#[test]
fn durable_slot_under_a_strategy_without_quanta_is_never_asked_for() {
    let mut bench = under(OrphanPolicy::new(OrphanStrategy::Gentle, QUANTUM));
    assert_eq!(questions(&bench.pass(Duration::from_secs(9))), 0);
    assert!(bench.cancelled.is_empty());
}
