//! Who is asked how it is, and what follows when there is no answer.

use rpc_runtime::binder::Health;

use super::super::polls::{DOUBTED_MAX, POLLED_MAX, SILENCES_MAX};
use super::*;

fn after(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

fn polled_every(poll_ms: u32) -> Report {
    Report { poll_ms, ..Report::default() }
}

#[test]
fn a_service_that_cannot_serve_is_not_found_and_shown_all_the_same() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    let revision = registry.revision_of("bank");
    let ill = Report { number: 1, health: Health::NotServing, ..Report::default() };
    let (_, changed) = registry.registry.renew(at(1), lease.id, lease.secret, &ill).unwrap();
    assert_eq!(changed.name.as_deref(), Some("bank"), "who watches is told");
    assert!(registry.revision_of("bank") > revision);
    assert!(found(&registry, at(1), "1").is_empty());
    assert_eq!(registry.list(at(1), None).entries[0].state, EntryState::NotServing);
    let (_, changed) = registry.registry.renew(at(2), lease.id, lease.secret, &ill).unwrap();
    assert_eq!(changed.name, None, "that was known");
    let well = Report { number: 2, ..Report::default() };
    let (_, changed) = registry.registry.renew(at(3), lease.id, lease.secret, &well).unwrap();
    assert_eq!(changed.name.as_deref(), Some("bank"));
    assert_eq!(found(&registry, at(3), "1").len(), 1);
}

#[test]
fn what_an_earlier_report_says_that_comes_late_does_not_count() {
    let mut registry = registry();
    let lease = registry.register(at(0), bank(1)).unwrap();
    let ill = Report { number: 7, health: Health::NotServing, ..Report::default() };
    registry.registry.renew(at(1), lease.id, lease.secret, &ill).unwrap();
    let before = Report { number: 6, poll_ms: 500, ..Report::default() };
    let (_, changed) = registry.registry.renew(at(2), lease.id, lease.secret, &before).unwrap();
    assert_eq!((changed.name, registry.next_poll()), (None, None));
    assert_eq!(registry.list(at(2), None).entries[0].state, EntryState::NotServing);
}

#[test]
fn a_server_is_asked_when_it_wants_and_silent_after_three_questions_without_an_answer() {
    let mut kept = registry();
    let lease = kept.register(at(0), bank(1)).unwrap();
    let registry = &mut kept.registry;
    assert_eq!(registry.next_poll(), None, "who does not want it is not asked");
    registry.renew(at(0), lease.id, lease.secret, &polled_every(500)).unwrap();
    for round in 1..=u64::from(SILENCES_MAX) {
        let now = after(500 * round);
        assert_eq!(registry.next_poll(), Some(now));
        assert_eq!(registry.take_poll(now - Duration::from_millis(1)), None);
        let question = registry.take_poll(now).unwrap();
        assert_eq!((question.id, &*question.name), (lease.id, "bank"));
        assert_eq!(registry.take_poll(now), None, "once at a time");
        let changed = registry.polled(now, lease.id, Some(false));
        assert_eq!(changed.name.is_some(), round == u64::from(SILENCES_MAX));
    }
    assert_eq!(registry.list(after(1_500), None).entries[0].state, EntryState::Silent);
    registry.renew(after(1_600), lease.id, lease.secret, &polled_every(500)).unwrap();
    assert_eq!(registry.list(after(1_600), None).entries[0].state, EntryState::Silent);
    assert_eq!(registry.next_poll(), Some(after(2_500)), "not so often any more");
    registry.take_poll(after(2_500)).unwrap();
    assert_eq!(registry.polled(after(2_500), lease.id, Some(true)).name.as_deref(), Some("bank"));
    assert_eq!(registry.list(after(2_500), None).entries[0].state, EntryState::Live);
    assert_eq!(registry.next_poll(), Some(after(3_000)));
}

#[test]
fn an_answer_between_counts_and_one_that_could_not_be_asked_is_no_silence() {
    let mut kept = registry();
    let lease = kept.register(at(0), bank(1)).unwrap();
    let registry = &mut kept.registry;
    registry.renew(at(0), lease.id, lease.secret, &polled_every(100)).unwrap();
    let answers = [Some(false), Some(false), Some(true), Some(false), Some(false), None, None];
    for (round, has_answered) in (1..).zip(answers) {
        registry.take_poll(after(100 * round)).unwrap();
        assert_eq!(registry.polled(after(100 * round), lease.id, has_answered).name, None);
    }
}

#[test]
fn how_often_is_bounded_and_can_be_taken_back() {
    let mut kept = registry();
    let lease = kept.register(at(0), bank(1)).unwrap();
    let registry = &mut kept.registry;
    registry.renew(at(0), lease.id, lease.secret, &polled_every(1)).unwrap();
    assert_eq!(registry.take_poll(after(100)).unwrap().every, Duration::from_millis(100));
    registry.renew(after(100), lease.id, lease.secret, &polled_every(u32::MAX)).unwrap();
    assert_eq!(registry.polled(after(100), lease.id, Some(true)).name, None);
    assert_eq!(registry.next_poll(), Some(after(100) + registry.limits().lease));
    registry.renew(after(200), lease.id, lease.secret, &polled_every(0)).unwrap();
    assert_eq!(registry.next_poll(), None);
    assert_eq!(registry.polled(after(300), lease.id, Some(false)).name, None, "it was not asked");
    assert_eq!(registry.polled(after(300), RegistrationId(99), Some(false)).name, None);
}

#[test]
fn nobody_is_asked_who_is_not_registered_any_more() {
    let mut kept = registry();
    let lease = kept.register(at(0), bank(1)).unwrap();
    kept.registry.renew(at(0), lease.id, lease.secret, &polled_every(100)).unwrap();
    kept.deregister(at(0), lease.id, lease.secret).unwrap();
    assert_eq!(kept.registry.next_poll(), None);
    let lease = kept.register(at(1), bank(1)).unwrap();
    kept.registry.renew(at(1), lease.id, lease.secret, &polled_every(100)).unwrap();
    kept.tick(at(1_000));
    assert_eq!(kept.registry.next_poll(), None, "its lease is over");
}

#[test]
fn so_many_are_asked_and_no_more() {
    let mut kept = registry();
    for server in 1..=POLLED_MAX as u64 + 1 {
        let lease = kept.register(at(0), bank(server)).unwrap();
        kept.registry.renew(at(0), lease.id, lease.secret, &polled_every(100)).unwrap();
    }
    let mut asked = 0;
    while let Some(question) = kept.registry.take_poll(at(1)) {
        asked += 1;
        kept.registry.polled(at(1), question.id, Some(true));
    }
    assert_eq!(asked, POLLED_MAX);
    let asked = std::iter::from_fn(|| kept.registry.take_poll(at(2))).count();
    assert_eq!(asked, POLLED_MAX, "all that answered may be asked at once");
}

#[test]
fn whoever_answers_does_not_wait_for_those_who_do_not() {
    let mut kept = registry();
    let mut polled = |server| {
        let lease = kept.register(at(0), bank(server)).unwrap();
        kept.registry.renew(at(0), lease.id, lease.secret, &polled_every(100)).unwrap();
        lease.id
    };
    let good = polled(1);
    let (few, many) = (DOUBTED_MAX as u64, 3 * DOUBTED_MAX as u64);
    for server in 2..=many {
        polled(server);
    }
    let registry = &mut kept.registry;
    let first: Vec<_> = std::iter::from_fn(|| registry.take_poll(after(100))).collect();
    assert_eq!(first.len(), DOUBTED_MAX, "of none of them it is known that it answers");
    assert!(first.iter().any(|question| question.id == good), "it has waited longest");
    registry.polled(after(110), good, Some(true));
    for question in first.iter().filter(|question| question.id != good) {
        registry.polled(after(1_100), question.id, Some(false));
    }
    let next: Vec<_> = std::iter::from_fn(|| registry.take_poll(after(1_100))).collect();
    assert_eq!(next.len() as u64, few + 1);
    assert_eq!(next[0].id, good, "before those whose time came earlier");
    assert!(next[1..].iter().all(|question| question.silences == 0), "each has its turn");
    for question in &next {
        let secret = kept.registry.records[&question.id].kept.secret;
        kept.deregister(at(2), question.id, secret).unwrap();
        kept.registry.polled(at(2), question.id, Some(false));
    }
    let others = std::iter::from_fn(|| kept.registry.take_poll(at(2))).count();
    assert_eq!(others, DOUBTED_MAX, "who has left while it was asked takes nobody's place");
}
