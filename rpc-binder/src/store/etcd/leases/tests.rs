//! What is promised of leases, before an etcd that gives what it is told.

use super::super::fake::{self, http};
use super::*;

fn table(member: &fake::Member, duration: Duration) -> Table {
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let gateway = Gateway::new(Arc::clone(&world), vec![member.place.clone()]);
    Table::new(world, Arc::new(gateway), duration)
}

#[test]
fn no_more_is_promised_than_etcd_gives() {
    let member = fake::Member::start(|path, _| match path {
        "/v3/lease/grant" => {
            let exists = r#"{"error":"etcdserver: lease already exists","code":9}"#;
            fake::Answer::whole(http("400 Bad Request", exists))
        }
        // Another binder has begun it, for less.
        "/v3/lease/keepalive" => fake::ok(r#"{"result":{HEADER,"ID":"1","TTL":"40"}}"#),
        other => panic!("{other}"),
    });
    let table = table(&member, Duration::from_secs(1_000));
    let id = RegistrationId(1);
    table.ensure(&[id], table.world.now() + Duration::from_secs(60)).unwrap();
    let end = table.end_of(id).unwrap();
    let now = table.world.now();
    assert!(now.until(end) <= Duration::from_secs(40), "{:?}", now.until(end));
    assert_eq!(table.vouch(now, id), Ok(end));

    // By its own length it is due, and is not promised any longer.
    let is_due = |now| table.book().known[&id].is_due(now);
    let begun = end - Duration::from_secs(40);
    assert!(!is_due(begun + Duration::from_secs(10)) && is_due(begun + Duration::from_secs(15)));
    assert!(table.vouch(begun + Duration::from_secs(21), id).is_err());
}

#[test]
fn many_leases_are_begun_together() {
    let member = fake::Member::start(|_, _| fake::ok(r#"{HEADER,"ID":"1","TTL":"40"}"#));
    let table = table(&member, Duration::from_secs(40));
    let ids: Vec<_> = (1..=20).map(RegistrationId).collect();
    table.ensure(&ids, table.world.now() + Duration::from_secs(60)).unwrap();
    assert!(ids.iter().all(|id| table.end_of(*id).is_some()));
}
