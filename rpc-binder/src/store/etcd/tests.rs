//! What is said to etcd and made of its answers, word by word, without one.

use rpc_runtime::binder::{Registration, Secret, Traits, Version};
use rpc_runtime::ids::{Incarnation, ServerId};

use super::message::{Event, Streamed, WatchAnswer};
use super::*;
use crate::registry::Kept;
use crate::registry::marks::Marks;

fn kept() -> Kept {
    let registration = Registration {
        name: "bank".into(),
        version: Version::new(1, 0),
        server: ServerId(7),
        incarnation: Incarnation::new(1, 1),
        addresses: vec!["udp://10.0.0.7:4000".into()],
        fingerprint: 5,
        traits: Traits::default(),
        claim: 1,
    };
    Kept { registration, secret: Secret(9) }
}

/// What the threads share, before one member.
pub(super) fn shared(place: &str) -> Arc<Shared> {
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let gateway = Arc::new(Gateway::new(Arc::clone(&world), vec![place.to_owned()]));
    let lease = Duration::from_secs(10);
    let leases = Arc::new(Table::new(Arc::clone(&world), Arc::clone(&gateway), lease));
    Arc::new(Shared {
        world,
        gateway,
        keys: keys(),
        leases,
        founded_min: 0,
        inbox: Mutex::default(),
        gate: OnceLock::new(),
        awaited: Mutex::default(),
        is_doubted: AtomicBool::new(false),
        is_ended: AtomicBool::new(false),
    })
}

fn keys() -> Keys {
    Keys::new("p")
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(&bytes.0).unwrap()
}

#[test]
fn a_transaction_reads_as_etcds_gateway_takes_it() {
    let keys = keys();
    let epoch = RangeRequest { key: keys.epoch(), ..RangeRequest::default() };
    let question = TxnRequest {
        compare: vec![Compare::written_at(keys.epoch(), 41)],
        success: vec![
            Operation::Put(PutRequest {
                key: Bytes(b"k".to_vec()),
                value: Bytes(vec![]),
                lease: Some(Number(-1)),
            }),
            keys.operations(&[Change::End(RegistrationId(1))]).remove(0),
        ],
        failure: vec![Operation::Range(epoch)],
    };
    assert_eq!(
        json(&question),
        concat!(
            r#"{"compare":[{"target":"MOD","result":"EQUAL","key":"L3AvZXBvY2g=","mod_revision":"41"}],"#,
            r#""success":[{"request_put":{"key":"aw==","value":"","lease":"-1"}},"#,
            r#"{"request_delete_range":{"key":"L3AvcmVnaXN0cmF0aW9uLzAwMDAwMDAwMDAwMDAwMDE="}}],"#,
            r#""failure":[{"request_range":{"key":"L3AvZXBvY2g="}}]}"#,
        )
    );
    assert_eq!(json(&GrantRequest { ttl: Number(2), id: Number(77) }), r#"{"TTL":"2","ID":"77"}"#);
    assert_eq!((text(&keys.first()), text(&keys.end())), ("/p/", "/p0"));
}

#[test]
fn each_key_is_written_once_and_registrations_have_their_leases() {
    let (id, kept) = (RegistrationId(u64::MAX), kept());
    let changes = [
        Change::Forget(5),
        Change::Describe(5, &[]),
        Change::Describe(5, &[]),
        Change::Begin(id, &kept),
        Change::Mark(id, Marks::DRAINING),
        Change::End(RegistrationId(2)),
    ];
    let operations = keys().operations(&changes);
    let words = operations.iter().map(|operation| match operation {
        Operation::Put(put) => format!("{} {:?}", text(&put.key), put.lease.map(|lease| lease.0)),
        Operation::Delete(delete) => format!("{} -", text(&delete.key)),
        Operation::Range(range) => format!("{range:?}"),
    });
    let lease = i64::MAX;
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            "/p/interface/00000000000000000000000000000005 None".into(),
            format!("/p/mark/ffffffffffffffff Some({lease})"),
            "/p/registration/0000000000000002 -".into(),
            format!("/p/registration/ffffffffffffffff Some({lease})"),
        ]
    );
    assert_eq!(rows::lease_of(RegistrationId(1 << 63)), Number(1), "0 would let etcd choose");
}

fn event(kind: &str, key: &str, value: &[u8], revision: u32) -> String {
    let (key, value) = (json(&Bytes(key.into())), json(&Bytes(value.to_vec())));
    format!(r#"{{{kind}"kv":{{"key":{key},"mod_revision":"{revision}","value":{value}}}}}"#)
}

fn events(all: &[String]) -> Vec<Event> {
    let item = format!(r#"{{"result":{{"header":{{}},"events":[{}]}}}}"#, all.join(","));
    serde_json::from_str::<Streamed<WatchAnswer>>(&item).unwrap().result.events
}

const DELETE: &str = r#""type":"DELETE","#;

#[test]
fn what_ends_with_a_batch_was_ended_and_what_ends_without_one_has_expired() {
    let end = event(DELETE, "/p/registration/00000000000000aa", b"", 8);
    let id = RegistrationId(0xaa);
    let heard = keys().step(Revision(8), &events(std::slice::from_ref(&end)));
    let News::Step { step, batch: None } = heard.news else { panic!("{heard:?}") };
    assert_eq!((step.expired, step.ended, heard.epoch), (vec![id], vec![], None));

    let epoch = event("", "/p/epoch", b"000000000000000000000000000000ff", 8);
    let heard = keys().step(Revision(8), &events(&[end, epoch]));
    let News::Step { step, batch: Some(BatchId(0xff)) } = heard.news else { panic!("{heard:?}") };
    assert_eq!((step.expired, step.ended, heard.epoch), (vec![], vec![id], Some(8)));
}

#[test]
fn what_is_marked_travels_as_one_byte_and_what_is_not_known_is_not_there() {
    let (id, marks) = (RegistrationId(0xaa), Marks::DRAINING.with(Marks::SILENT));
    let operations = keys().operations(&[Change::Mark(id, marks)]);
    let [Operation::Put(put)] = &*operations else { panic!("{operations:?}") };
    assert_eq!((text(&put.key), &put.value.0[..]), ("/p/mark/00000000000000aa", &[9][..]));

    let marked = |events: &[Event]| {
        let heard = keys().step(Revision(8), events);
        let News::Step { step, .. } = heard.news else { panic!("{heard:?}") };
        step.marked
    };
    let row = |value: &[u8]| events(&[event("", "/p/mark/aa", value, 8)]);
    assert_eq!(marked(&row(&[9])), [(id, marks)]);
    assert_eq!(marked(&row(&[0xf9])), [(id, marks)], "a later binder may know more");
    assert_eq!(marked(&row(&[])), []);
    assert_eq!(marked(&row(&[9, 9])), []);
    assert_eq!(marked(&events(&[event(DELETE, "/p/mark/aa", b"", 8)])), [(id, Marks::NONE)]);

    let rows = |value: &[u8]| row(value).into_iter().map(|event| event.kv).collect::<Vec<_>>();
    let heard = keys().whole(Revision(8), &rows(&[4])).unwrap();
    let News::Whole { whole, .. } = heard.news else { panic!("{heard:?}") };
    assert_eq!(whole.marked, [(id, Marks::NOT_SERVING)]);
    let error = keys().whole(Revision(8), &rows(&[])).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[test]
fn what_no_binder_has_written_is_not_seen_when_it_comes_and_named_at_start() {
    let kept = super::super::written(&kept());
    let strange = [
        event("", "/p/registration/aa", &[9, 1], 8),
        event("", "/p/registration/zz", &kept, 8),
        event("", "/p/interface/5", b"", 8),
        event("", "/p/what/5", b"", 8),
        event("", "/q/registration/5", &kept, 8),
        event(DELETE, "/p/epoch", b"", 8),
        event("", "/p/registration/5", &kept, 8),
    ];
    let heard = keys().step(Revision(8), &events(&strange));
    let News::Step { step, batch: None } = heard.news else { panic!("{heard:?}") };
    assert_eq!(step.begun.len(), 1);
    assert_eq!((step.described.len(), heard.epoch), (0, Some(0)));

    let rows: Vec<_> = events(&strange[..1]).into_iter().map(|event| event.kv).collect();
    let error = keys().whole(Revision(8), &rows).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OtherVersion);
    assert!(
        error.to_string().contains("registration r#00000000000000aa is of format 9"),
        "{error}"
    );
}

#[test]
fn a_watch_that_cannot_be_read_is_an_error() {
    for item in
        ["", "{}", "[]", r#"{"result":{"events":{}}}"#, r#"{"result":{"events":[{"type":"X"}]}}"#]
    {
        assert!(serde_json::from_str::<Streamed<WatchAnswer>>(item).is_err(), "{item}");
    }
    let item = r#"{"result":{"header":{"raft_term":"2"},"canceled":true,"compact_revision":"3"}}"#;
    let answer = serde_json::from_str::<Streamed<WatchAnswer>>(item).unwrap().result;
    assert_eq!((answer.canceled, answer.compact_revision.0), (true, 3));
}
