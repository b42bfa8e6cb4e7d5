//! What the watch does before members that do not tell what there is.

use std::sync::Arc;

use super::super::fake::{self, http};
use super::super::tests::shared;
use super::*;
use crate::registry::follow::Whole;

const CREATED: &str = "{\"result\":{HEADER,\"created\":true}}\n";

/// Runs a watch from `known` on until there is news of that kind.
fn first<T>(shared: &Arc<Shared>, known: EtcdRevision, wanted: impl Fn(News) -> Option<T>) -> T {
    let watching = Arc::clone(shared);
    shared.world.spawn("watch", Box::new(move || run(&watching, known))).unwrap();
    let gate = shared.world.gate();
    loop {
        let heard = shared.inbox().pop_front();
        if let Some(found) = heard.and_then(|heard| wanted(heard.news)) {
            shared.is_ended.store(true, Ordering::Relaxed);
            return found;
        }
        gate.wait(Some(shared.world.now() + Duration::from_millis(1)));
    }
}

fn whole(news: News) -> Option<Whole> {
    match news {
        News::Whole { whole, .. } => Some(whole),
        News::Step { .. }
        | News::Decided { .. }
        | News::Gone { .. }
        | News::Deaf { .. }
        | News::Failed { .. } => None,
    }
}

/// The answer to a question for keys: the epoch, written at a revision, while etcd is at 9.
fn epoch(revision: u32) -> fake::Answer {
    fake::ok(&format!(r#"{{HEADER,"kvs":[{{"key":"L3AvZXBvY2g=","mod_revision":"{revision}"}}]}}"#))
}

#[test]
fn what_members_do_not_tell_though_it_is_there_is_read_anew() {
    let member = fake::Member::start(|path, _| match path {
        "/v3/watch" => fake::Answer::stream(CREATED),
        _ => epoch(8),
    });
    let shared = shared(&member.place);
    assert_eq!(first(&shared, 4, whole).revision, shared.revision(9));
    assert!(member.count("/v3/watch") >= 2, "one member may be behind");
}

#[test]
fn a_history_that_has_gone_back_is_read_anew() {
    let member = fake::Member::start(|path, _| match path {
        "/v3/watch" => fake::Answer::stream(CREATED),
        _ => epoch(8),
    });
    let shared = shared(&member.place);
    assert_eq!(first(&shared, 40, whole).revision, shared.revision(9));
    assert!(member.count("/v3/watch") <= 2, "the first to say so is enough");
}

#[test]
fn silence_of_those_who_have_nothing_to_tell_is_believed() {
    let member = fake::Member::start(|path, _| match path {
        "/v3/watch" => fake::Answer::stream(CREATED),
        _ => epoch(4),
    });
    let shared = shared(&member.place);
    let mut watch = Watch { known: 4, created: Some(9), silent: 5, ..Watch::default() };
    watch.look(&shared, false, 9); // others write other keys
    assert!(!watch.is_compacted);
    watch.look(&shared, true, 9);
    assert!(watch.is_compacted, "what is too long is never heard");
    assert_eq!(member.count("/v3/kv/range"), 1);
}

#[test]
fn what_cannot_be_read_is_told() {
    let member = fake::Member::start(|path, _| match path {
        "/v3/watch" => {
            let compacted = r#"{"result":{HEADER,"canceled":true,"compact_revision":"7"}}"#;
            fake::Answer::stream(&format!("{CREATED}{compacted}\n"))
        }
        _ => fake::Answer::whole(http("400 X", r#"{"error":"it is not well","code":3}"#)),
    });
    let shared = shared(&member.place);
    let error = first(&shared, 4, |news| match news {
        News::Deaf { error } => Some(error),
        News::Whole { .. }
        | News::Step { .. }
        | News::Decided { .. }
        | News::Gone { .. }
        | News::Failed { .. } => None,
    });
    assert!(error.to_string().contains("it is not well"), "{error}");
    assert!(member.count("/v3/watch") <= 2, "nobody is asked for what cannot be had");
}

#[test]
fn a_member_that_does_not_tell_what_is_awaited_has_its_time_and_no_more() {
    let shared = shared("127.0.0.1:1");
    let now = shared.world.now();
    let watch = Watch { known: 4, ..Watch::default() };
    let is_late = |awaited| {
        *shared.awaited() = awaited;
        watch.is_late(&shared)
    };
    assert!(!is_late(None) && !is_late(Some((5, now + LATE * 100))));
    let gate = shared.world.gate();
    while shared.world.now() < now + LATE {
        gate.wait(Some(now + LATE));
    }
    assert!(!is_late(Some((4, now))) && shared.awaited().is_none(), "it is told");
    assert!(is_late(Some((5, now))));
    assert!(shared.awaited().is_some_and(|(_, since)| since > now), "the next has its time too");
}
