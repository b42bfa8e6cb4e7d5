//! What is marked of registrations: at once by a binder alone, and by what the store tells where several
//! share one.

use rpc_runtime::binder::Health;

use super::super::follow::{Step, Whole};
use super::super::polls::SILENCES_MAX;
use super::*;

const ID: RegistrationId = RegistrationId(7);

fn kept() -> super::super::Kept {
    super::super::Kept { registration: bank(1), secret: Secret(9) }
}

fn described() -> Vec<(u128, Vec<MethodDescription>)> {
    vec![(bank(1).fingerprint, Vec::new())]
}

/// One registration, as another binder's batch began it.
fn shared() -> Registry {
    let limits = Limits { is_shared: true, ..Limits::default() };
    let mut registry = Registry::new(limits, Box::new(Counting(1)), Revision::NONE);
    let begun = vec![(ID, kept())];
    let step = Step { revision: Revision(1), described: described(), begun, ..Step::default() };
    registry.follow(at(0), step);
    registry
}

fn state(registry: &Registry, now: Instant) -> EntryState {
    registry.list(now, None).entries[0].state
}

fn renew(registry: &mut Registry, now: Instant, report: &Report) -> Marked {
    registry.renew_shared(now, ID, Secret(9), report, || Ok(now + Duration::from_secs(10))).1
}

/// What is to be asked of the store for it, as it would tell of it.
fn planned(registry: &mut Registry, now: Instant, marked: Marked) -> Vec<(RegistrationId, Marks)> {
    assert_eq!(marked.name, None, "only the store says so");
    let Some(request) = marked.request else { return Vec::new() };
    let Planned::Plan(plan) = registry.plan(now, request, &mut Batch::default()) else { panic!() };
    let marks = plan.changes().map(|change| {
        let Change::Mark(id, marks) = change else { panic!("{change:?}") };
        (id, marks)
    });
    marks.collect()
}

fn told(registry: &mut Registry, now: Instant, marks: Marks) -> bool {
    let marked = vec![(ID, marks)];
    let revision = registry.revision().next();
    !registry.follow(now, Step { revision, marked, ..Step::default() }).is_empty()
}

#[test]
fn where_a_store_is_shared_only_what_it_tells_is_marked() {
    let mut registry = shared();
    let ill = Report { number: 1, health: Health::NotServing, ..Report::default() };
    let marked = renew(&mut registry, at(1), &ill);
    assert_eq!(planned(&mut registry, at(1), marked), [(ID, Marks::NOT_SERVING)]);
    assert_eq!(state(&registry, at(1)), EntryState::Live, "it is not kept yet");
    assert!(told(&mut registry, at(2), Marks::NOT_SERVING));
    assert_eq!(state(&registry, at(2)), EntryState::NotServing);
    let marked = renew(&mut registry, at(2), &ill);
    assert_eq!(planned(&mut registry, at(2), marked), [], "that is known");

    // What is asked for twice is done already, and refused to nobody.
    let set = Marks::NOT_SERVING;
    let again = Marked {
        request: Some(Request::Mark { ids: vec![ID], set, clear: Marks::NONE }),
        name: None,
    };
    assert_eq!(planned(&mut registry, at(2), again), []);

    // Clients see no change in who drains and is ill, or well again.
    assert!(told(&mut registry, at(3), Marks::DRAINING));
    assert!(!told(&mut registry, at(3), Marks::DRAINING.with(Marks::NOT_SERVING)));
    assert_eq!(state(&registry, at(3)), EntryState::Draining);
    let gone = Request::Mark { ids: vec![RegistrationId(8)], set, clear: Marks::NONE };
    let planned = registry.plan(at(3), gone, &mut Batch::default());
    assert!(matches!(planned, Planned::Refused(BinderError::UnknownRegistration)));
}

#[test]
fn whatever_is_not_among_all_that_a_store_holds_is_not_marked() {
    let mut registry = shared();
    told(&mut registry, at(1), Marks::DRAINING.with(Marks::ASKED_TO_DRAIN));
    // The same process again: what the store has stays.
    let begun = vec![(ID, kept())];
    registry.follow(at(2), Step { revision: Revision(9), begun, ..Step::default() });
    assert_eq!(state(&registry, at(2)), EntryState::Draining);
    let whole = |marked| Whole {
        revision: Revision(10),
        interfaces: described(),
        registrations: vec![(ID, kept())],
        marked,
    };
    let names = registry.start_over(at(3), whole(Vec::new()));
    assert_eq!((names.len(), state(&registry, at(3))), (1, EntryState::Live));
    let marked = vec![(ID, Marks::SILENT), (RegistrationId(8), Marks::SILENT)];
    registry.start_over(at(4), whole(marked));
    assert_eq!(state(&registry, at(4)), EntryState::Silent);
}

#[test]
fn a_server_that_renews_elsewhere_is_asked_there() {
    let mut registry = shared();
    let report = Report { poll_ms: 1_000, ..Report::default() };
    renew(&mut registry, at(0), &report);
    for second in 1..=u64::from(SILENCES_MAX) {
        let question = registry.take_poll(at(second)).unwrap();
        let marked = registry.polled(at(second), question.id, Some(false));
        let is_silent = second == u64::from(SILENCES_MAX);
        let marks = if is_silent { vec![(ID, Marks::SILENT)] } else { Vec::new() };
        assert_eq!(planned(&mut registry, at(second), marked), marks);
    }
    told(&mut registry, at(3), Marks::SILENT);
    registry.take_poll(at(10)).unwrap();
    let marked = registry.polled(at(10), ID, Some(true));
    assert_eq!(planned(&mut registry, at(10), marked), [(ID, Marks::NONE)]);
    assert_eq!(registry.next_poll(), Some(at(11)));
    assert_eq!(registry.take_poll(at(11)), None, "it has not renewed here for more than a lease");
    assert_eq!(registry.next_poll(), None);

    // Whoever does not want to be asked any more is not silent.
    let marked = renew(&mut registry, at(12), &Report::default());
    assert_eq!(planned(&mut registry, at(12), marked), [(ID, Marks::NONE)]);
}

#[test]
fn a_silence_that_another_binder_has_found_ends_with_an_answer() {
    let mut registry = shared();
    told(&mut registry, at(0), Marks::SILENT);
    let report = Report { poll_ms: 1_000, ..Report::default() };
    let marked = renew(&mut registry, at(0), &report);
    assert_eq!(planned(&mut registry, at(0), marked), [], "it may be silent still");
    for (second, has_answered, marks) in
        [(1, Some(false), None), (2, None, None), (3, Some(true), Some((ID, Marks::NONE)))]
    {
        registry.take_poll(at(second)).unwrap();
        let marked = registry.polled(at(second), ID, has_answered);
        assert_eq!(planned(&mut registry, at(second), marked), Vec::from_iter(marks));
    }
}
