//! Binders before a real etcd. Where none is installed each test says so and passes, unless
//! `RPC_TEST_ETCD` is set.

#![expect(clippy::disallowed_methods, reason = "nodes, leases and watches take real time")]
#![expect(clippy::print_stderr, reason = "says what was not tested")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::binder::{
    Binder, BinderError, Directory as _, DirectoryClient, Entry, EntryState, Health, Registration,
    Report, Traits, Version, VersionRequirement,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;
use rpc_runtime::server::Running;
use rpc_runtime::{CallError, Error, Options, Server, service};
use rpc_tests::etcd::{self, Cluster};

/// Says who answers.
#[service(name = "shop", version = "1.0")]
trait Shop {
    /// Its number.
    fn number(&self) -> Result<u64, CallError>;
}

struct Numbered(u64);

impl Shop for Numbered {
    fn number(&self) -> Result<u64, CallError> {
        Ok(self.0)
    }
}

/// A cluster of that many nodes, if there is an etcd.
fn cluster(nodes: usize) -> Option<(tempfile::TempDir, Cluster)> {
    if !etcd::is_there() {
        let is_needed = std::env::var_os("RPC_TEST_ETCD").is_some();
        assert!(!is_needed, "etcd is to be there, and is not");
        eprintln!("skipped: etcd is not installed (on Debian: etcd-server)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), nodes).unwrap();
    Some((folder, cluster))
}

fn binder(store: &str) -> Running {
    let limits = Limits { lease: Duration::from_secs(2), ..Limits::default() };
    daemon::start_before("udp://127.0.0.1:0", limits, store).unwrap()
}

fn directory(binder: &Running) -> DirectoryClient {
    let options = Options::new().timeout(Duration::from_secs(20));
    DirectoryClient::connect(&binder.url()).unwrap().with(options)
}

fn registration(server: u64, life: u32) -> Registration {
    Registration {
        name: "bank".into(),
        version: Version::new(1, 0),
        server: ServerId(server),
        incarnation: Incarnation::new(life, 1),
        addresses: vec!["udp://127.0.0.1:9".into()],
        fingerprint: fingerprint_of("bank", std::iter::empty()),
        traits: Traits::default(),
        claim: server,
    }
}

fn list(binder: &Running) -> Vec<Entry> {
    Binder::at(&binder.url()).unwrap().patience(Duration::from_secs(20)).list().unwrap()
}

fn states(binder: &Running) -> Vec<(u64, EntryState)> {
    list(binder).iter().map(|entry| (entry.server.0, entry.state)).collect()
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn binders_before_one_etcd_have_one_history() {
    let Some((_folder, cluster)) = cluster(1) else { return };
    let store = cluster.url("one");
    let (here, there) = (binder(&store), binder(&store));
    let (a, b) = (directory(&here), directory(&there));

    // Registered at one, known to the other, and the same process is the same to both.
    let methods = Some(Vec::new());
    let lease = a.start().register(&registration(1, 1), methods).wait().unwrap();
    assert_eq!(states(&here), [(1, EntryState::Live)]);
    let again = b.start().register(&registration(1, 1), None).wait().unwrap();
    assert_eq!((again.id, again.secret), (lease.id, lease.secret));
    assert_eq!(lease.lease_ms, 1_000, "half of etcd's");
    let any = VersionRequirement::any();
    let revision =
        |directory: &DirectoryClient| directory.lookup("bank", &any, None).unwrap().revision;
    eventually("both are as far", || revision(&a) == revision(&b));

    // Who drains, drains everywhere; who leaves at one is gone at the other.
    let drained = a.renew(lease.id, lease.secret, &Report::draining());
    assert!(drained.is_ok(), "{drained:?}");
    eventually("the other one hears of it", || states(&there) == [(1, EntryState::Draining)]);
    let methods = || Some(Vec::new());
    b.start().register(&registration(2, 1), methods()).wait().unwrap();
    b.start().deregister(lease.id, lease.secret).wait().unwrap();
    eventually("it is gone here", || states(&here) == [(2, EntryState::Live)]);

    // Nobody renews the other: etcd ends it, and both see that.
    eventually("its lease ends", || states(&here) == [(2, EntryState::Expired)]);
    eventually("there too", || states(&there) == [(2, EntryState::Expired)]);

    // A binder that comes later finds what there is, and revisions do not go back.
    let lease = a.start().register(&registration(3, 1), methods()).wait().unwrap();
    let known = revision(&a);
    drop((here, there));
    let later = binder(&store);
    let c = directory(&later);
    assert_eq!(states(&later), [(3, EntryState::Live)]);
    assert!(revision(&c) >= known);
    eventually("a binder that was not asked before asks etcd", || {
        match c.renew(lease.id, lease.secret, &Report::default()) {
            Ok(_) => true,
            Err(Error::App(BinderError::NotKept { .. })) => false,
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn what_is_renewed_lives_and_servers_and_clients_go_on_at_the_next_binder() {
    let Some((_folder, cluster)) = cluster(1) else { return };
    let store = cluster.url("two");
    let (here, there) = (binder(&store), binder(&store));
    let list = format!("{},{}", here.url(), there.url());
    let binders = || Binder::at(&list).unwrap();
    let server = Server::bind("udp://127.0.0.1:0").unwrap().id(ServerId(7));
    let server = server.export(ShopService::new(Numbered(7))).register(&binders()).spawn().unwrap();
    let shop = ShopClient::import(&binders()).unwrap();
    assert_eq!(shop.number().unwrap(), 7);
    drop(here);
    // Longer than its lease, renewed at the binder that is left.
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        assert_eq!(shop.number().unwrap(), 7);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(states(&there), [(7, EntryState::Live)]);
    drop(server);
    eventually("it has left", || states(&there).is_empty());
    // A client hears it from the binder that is left.
    let other = Server::bind("udp://127.0.0.1:0").unwrap().id(ServerId(8));
    let _other = other.export(ShopService::new(Numbered(8))).register(&binders()).spawn().unwrap();
    eventually("the client hears of the other", || matches!(shop.number(), Ok(8)));
}

#[test]
fn what_is_marked_at_one_binder_is_known_to_all() {
    let Some((_folder, cluster)) = cluster(1) else { return };
    let store = cluster.url("five");
    let (here, there) = (binder(&store), binder(&store));
    let [at_here, at_there] = [&here, &there].map(|one| Binder::at(&one.url()).unwrap());
    let server = Server::bind("udp://127.0.0.1:0").unwrap().id(ServerId(7));
    let server = server.export(ShopService::new(Numbered(7))).register(&at_here).spawn().unwrap();
    let is_there = |state| move |one: &Running| states(one) == [(7, state)];
    for (health, state) in
        [(Health::NotServing, EntryState::NotServing), (Health::Serving, EntryState::Live)]
    {
        server.set_health("shop", health).unwrap();
        eventually("both know", || [&here, &there].into_iter().all(is_there(state)));
    }
    // An operator asks the other one; the server hears of it where it renews.
    assert_eq!(at_there.drain(ServerId(7), None).unwrap(), 1);
    assert!(!is_there(EntryState::Live)(&there), "whoever has asked sees it");
    eventually("it drains, and leaves", || states(&here).is_empty() && states(&there).is_empty());
    server.wait();
}

#[test]
fn without_a_majority_lookups_go_on_and_registrations_are_refused_in_words() {
    let Some((_folder, mut cluster)) = cluster(3) else { return };
    let here = binder(&cluster.url("three"));
    let a = directory(&here);
    let lease = a.start().register(&registration(1, 1), Some(Vec::new())).wait().unwrap();
    cluster.kill(0).unwrap();
    cluster.kill(1).unwrap();
    let refused = a.start().register(&registration(2, 1), Some(Vec::new())).wait();
    let Err(Error::App(BinderError::NotKept { reason })) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("the connection to the store broke"), "{reason}");
    assert_eq!(states(&here), [(1, EntryState::Live)], "nobody ends a lease now");
    eventually("renewals are refused when their promise would not hold", || {
        let renewed = a.renew(lease.id, lease.secret, &Report::default());
        matches!(renewed, Err(Error::App(BinderError::NotKept { .. })))
    });
    cluster.revive(0).unwrap();
    eventually("it goes on by itself", || {
        a.start().register(&registration(3, 1), Some(Vec::new())).wait().is_ok()
    });
}

#[test]
fn an_etcd_that_has_lost_all_is_read_anew_and_goes_on() {
    let Some((folder, mut cluster)) = cluster(1) else { return };
    let here = binder(&cluster.url("six"));
    let a = directory(&here);
    for server in 1..=3 {
        a.start().register(&registration(server, 1), Some(Vec::new())).wait().unwrap();
    }
    assert_eq!(states(&here).len(), 3);
    cluster.kill(0).unwrap();
    std::fs::remove_dir_all(folder.path().join("node0")).unwrap();
    cluster.revive(0).unwrap();
    eventually("it is seen that nothing is there", || states(&here).is_empty());
    eventually("it goes on by itself", || {
        a.start().register(&registration(4, 1), Some(Vec::new())).wait().is_ok()
    });
    eventually("which is seen", || states(&here).iter().any(|(server, _)| *server == 4));
}

#[test]
fn an_etcd_that_is_not_there_is_named() {
    // Nobody listens at a port that was just given back.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let store = format!("etcd://{place}/four");
    let started = daemon::start_before("udp://127.0.0.1:0", Limits::default(), &store);
    let error = started.unwrap_err().to_string();
    assert!(error.starts_with("the store cannot be opened (etcd://127.0.0.1:"), "{error}");
}
