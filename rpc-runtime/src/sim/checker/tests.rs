//! The checker against small histories, good and bad.

use super::*;

const DEADLINE: Instant = Instant::from_micros(10_000);

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn run(semantics: Semantics, facts: Vec<Fact>) -> Vec<Invariant> {
    run_in(Checker::new(false), semantics, facts)
}

fn run_in(mut checker: Checker, semantics: Semantics, facts: Vec<Fact>) -> Vec<Invariant> {
    let (server, incarnation) = (ServerId(7), Incarnation(1));
    let started = Fact::Started { call: 0, semantics, deadline: DEADLINE, server, incarnation };
    checker.observe(at(0), started);
    for (step, fact) in facts.into_iter().enumerate() {
        checker.observe(at(100 * (step as u64 + 1)), fact);
    }
    checker.finish(at(1_000_000)).iter().map(|violation| violation.invariant).collect()
}

fn began() -> Fact {
    Fact::Began { call: 0, server: ServerId(7), incarnation: Incarnation(1) }
}

fn ended(verdict: Verdict) -> Fact {
    Fact::Ended { call: 0, verdict }
}

fn failed(execution: Execution) -> Fact {
    ended(Verdict::Failed(execution))
}

fn returned() -> Fact {
    Fact::Returned { call: 0, reply: vec![1] }
}

fn reply() -> Fact {
    ended(Verdict::Reply(vec![1]))
}

#[test]
fn a_good_call_breaks_nothing() {
    assert_eq!(run(Semantics::AtMostOnce, vec![began(), returned(), reply()]), []);
}

#[test]
fn a_second_execution_breaks_at_most_once_and_only_there() {
    let twice = || vec![began(), began(), returned(), reply()];
    assert_eq!(run(Semantics::AtMostOnce, twice()), [Invariant::AtMostOnce]);
    assert_eq!(run(Semantics::AtLeastOnce, twice()), []);
    let twice = vec![ended(Verdict::Sent), began(), began()];
    assert_eq!(run(Semantics::Maybe, twice), [Invariant::AtMostOnce]);
}

#[test]
fn not_executed_is_a_lie_before_and_after_an_execution() {
    let told = || failed(Execution::NotExecuted);
    assert_eq!(run(Semantics::AtMostOnce, vec![told(), began()]), [Invariant::Truth]);
    assert_eq!(run(Semantics::AtMostOnce, vec![began(), told()]), [Invariant::Truth]);
    assert_eq!(run(Semantics::AtMostOnce, vec![told()]), []);
}

#[test]
fn a_reply_needs_an_execution_that_returned_it() {
    let other = ended(Verdict::Reply(vec![2]));
    assert_eq!(run(Semantics::AtMostOnce, vec![began(), returned(), other]), [Invariant::Truth]);
    assert_eq!(run(Semantics::AtMostOnce, vec![failed(Execution::Executed)]), [Invariant::Truth]);
}

#[test]
fn a_call_that_never_ends_is_incomplete_unless_its_client_died() {
    assert_eq!(run(Semantics::AtMostOnce, vec![]), [Invariant::Completion]);
    assert_eq!(run(Semantics::AtMostOnce, vec![Fact::ClientGone { calls: vec![0] }]), []);
}

#[test]
fn another_server_or_another_life_breaks_the_binding() {
    let other = Fact::Began { call: 0, server: ServerId(8), incarnation: Incarnation(1) };
    let later = Fact::Began { call: 0, server: ServerId(7), incarnation: Incarnation(2) };
    for began in [other, later] {
        let facts = vec![began, returned(), reply()];
        assert_eq!(run(Semantics::AtMostOnce, facts), [Invariant::Binding]);
    }
}

#[test]
fn without_faults_doubt_and_retransmission_are_violations() {
    let doubt = vec![failed(Execution::Unknown)];
    let found = run_in(Checker::new(true), Semantics::AtMostOnce, doubt.clone());
    assert_eq!(found, [Invariant::NoDoubt]);
    assert_eq!(run(Semantics::AtMostOnce, doubt), []);
    let again = vec![Fact::Retransmitted, began(), returned(), reply()];
    let found = run_in(Checker::new(true), Semantics::AtMostOnce, again);
    assert_eq!(found, [Invariant::NoDoubt]);
}

#[test]
fn limits_and_noise_are_seen_at_once() {
    let used = Fact::Used { what: "sessions", used: 5, limit: 4 };
    let facts = vec![used, began(), returned(), reply()];
    assert_eq!(run(Semantics::AtMostOnce, facts), [Invariant::Bounded]);
    let noise = Fact::Noise { what: "PING".to_owned() };
    let facts = vec![began(), returned(), reply(), noise];
    assert_eq!(run(Semantics::AtMostOnce, facts), [Invariant::Quiet]);
}

#[test]
fn two_hashes_of_one_seed_break_determinism() {
    let mut checker = Checker::new(false);
    checker.deterministic(at(1), 1, 2);
    assert_eq!(checker.finish(at(2))[0].invariant, Invariant::Deterministic);
}

#[test]
#[should_panic(expected = "a run was not judged")]
fn an_unjudged_run_panics() {
    let mut checker = Checker::new(false);
    let semantics = Semantics::Maybe;
    checker.observe(
        at(0),
        Fact::Started {
            call: 0,
            semantics,
            deadline: DEADLINE,
            server: ServerId::NONE,
            incarnation: Incarnation::NONE,
        },
    );
}
