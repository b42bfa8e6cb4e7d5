//! What becomes of batches, before an etcd that does as it is told.

use super::super::fake::{self, http};
use super::super::message::Compare;
use super::super::tests::shared;
use super::*;
use crate::store::shared::Leases as _;

fn commit(begins: &[u64], marks: &[u64], shared: &Shared) -> Commit {
    let ids = |ids: &[u64]| ids.iter().copied().map(RegistrationId).collect();
    let compare = vec![Compare::written_at(shared.keys.epoch(), 1)];
    let batch = BatchId(5);
    let success = vec![shared.keys.sign(batch)];
    let question = TxnRequest { compare, success, failure: Vec::new() };
    Commit { batch, begins: ids(begins), marks: ids(marks), question }
}

#[test]
fn a_mark_begins_no_lease_for_a_registration_that_is_gone() {
    let member = fake::Member::start(|path, body| match path {
        "/v3/lease/grant" => fake::ok(r#"{HEADER,"TTL":"10"}"#),
        "/v3/kv/txn" if body.contains("request_put") => {
            let refusal = r#"{"error":"etcdserver: requested lease not found","code":5}"#;
            fake::Answer::whole(http("404 Not Found", refusal))
        }
        "/v3/kv/txn" => fake::ok(concat!(
            r#"{HEADER,"succeeded":true,"responses":["#,
            r#"{"response_range":{"header":{"revision":"9"},"kvs":[{"key":"aw=="}],"count":"1"}},"#,
            r#"{"response_range":{"header":{"revision":"9"}}}]}"#,
        )),
        other => panic!("{other}"),
    });
    let shared = shared(&member.place);
    let deadline = shared.world.now() + Duration::from_secs(60);
    let news = shared.commit(&commit(&[1], &[2, 3], &shared), deadline).unwrap();
    assert_eq!(news, News::Gone { batch: BatchId(5), ids: vec![RegistrationId(3)] });
    assert_eq!(member.count("/v3/lease/grant"), 1, "that of what begins");
    let ends = [1, 2, 3].map(|id| shared.leases.end_of(RegistrationId(id)).is_some());
    assert_eq!(ends, [true, false, false]);
    assert_eq!(member.count("/v3/kv/txn"), 2, "it is not tried again");
}

#[test]
fn a_lease_that_was_gone_when_it_was_needed_is_begun_again() {
    let member = fake::Member::start(|path, _| match path {
        "/v3/lease/grant" => fake::ok(r#"{HEADER,"TTL":"10"}"#),
        "/v3/kv/txn" => {
            let refusal = r#"{"error":"etcdserver: requested lease not found","code":5}"#;
            fake::Answer::whole(http("404 Not Found", refusal))
        }
        other => panic!("{other}"),
    });
    let shared = shared(&member.place);
    let deadline = shared.world.now() + Duration::from_secs(60);
    let refused = shared.commit(&commit(&[1], &[], &shared), deadline).unwrap_err();
    assert!(matches!(refused, Trouble::Refused { code: NOT_FOUND, .. }), "{refused:?}");
    assert_eq!(member.count("/v3/lease/grant"), 3);
}

#[test]
fn a_thread_that_fails_says_so() {
    let news = settled(BatchId(5), || panic!("on purpose"));
    let News::Failed { batch: BatchId(5), error } = news else { panic!("{news:?}") };
    assert!(error.is_doubtful());
}
