//! A service that is not well is given to nobody, whoever says so: its server, or its silence.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rpc_runtime::binder::{
    Directory as _, DirectoryClient, Health, Registration, Traits, Version, VersionRequirement,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;
use rpc_runtime::server::{HealthCheck as _, HealthCheckClient, HealthStatus};
use rpc_runtime::{CallError, Channel, ErrorKind, Server, service};

use super::*;

#[service(name = "bank", version = "1.0")]
trait Bank {
    /// Says that it is there.
    #[rpc(timeout = "1s")]
    fn ping(&self) -> Result<u64, CallError>;
}

struct Vault;

impl Bank for Vault {
    fn ping(&self) -> Result<u64, CallError> {
        Ok(1)
    }
}

/// Waits until something has happened elsewhere.
fn wait_until(has_happened: &AtomicBool) {
    while !has_happened.load(Ordering::Acquire) {
        sim::sleep(Duration::from_millis(1));
    }
}

fn found(binder: &Binder) -> usize {
    binder.lookup("bank", &VersionRequirement::any()).unwrap().len()
}

#[test]
fn a_service_that_cannot_serve_is_found_by_nobody_from_then_on_and_again_when_it_can() {
    let stage = Stage::set(21);
    let is_over = Arc::<AtomicBool>::default();
    let over = Arc::clone(&is_over);
    stage.host("bank", move |binder| {
        let server = Server::bind("sim://bank").unwrap().export(BankService::new(Vault));
        let running = server.register(&binder).spawn().unwrap();
        let own = HealthCheckClient::connect("sim://bank").unwrap();
        let checked = || ["", "bank", "till"].map(|name| own.check(name).unwrap());
        let (serving, unknown) = (HealthStatus::Serving, HealthStatus::Unknown);
        assert_eq!((found(&binder), checked()), (1, [serving, serving, unknown]));

        let before = sim::now();
        running.set_health("bank", Health::NotServing).unwrap();
        assert_eq!(found(&binder), 0);
        assert!(sim::now().since(before) < Duration::from_millis(100), "at once");
        let ill = HealthStatus::NotServing;
        assert_eq!(checked(), [ill, ill, unknown]);
        let direct = BankClient::connect("sim://bank").unwrap();
        assert_eq!(direct.ping().unwrap(), 1, "who calls all the same is served");
        let listed = binder.list().unwrap();
        assert_eq!(
            listed.iter().map(|entry| entry.state.word()).collect::<Vec<_>>(),
            ["not serving"]
        );

        sim::sleep(LEASE * 2);
        assert_eq!(found(&binder), 0, "renewals say so too");
        running.set_health("bank", Health::Serving).unwrap();
        assert_eq!((found(&binder), checked()), (1, [serving, serving, unknown]));
        let error = running.set_health("bnak", Health::Serving).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(
            error.to_string().contains("no service \"bnak\" is exported here: bank"),
            "{error}"
        );
        over.store(true, Ordering::Release);
    });
    stage.tell(move |_| wait_until(&is_over));
}

#[test]
fn clients_leave_a_service_that_cannot_serve_and_come_back() {
    let stage = Stage::set(22);
    let [is_ill, is_well, has_left] = [(); 3].map(|()| Arc::<AtomicBool>::default());
    let served = [(); 2].map(|()| Arc::<AtomicU64>::default());
    struct Counting(Arc<AtomicU64>);
    impl Bank for Counting {
        fn ping(&self) -> Result<u64, CallError> {
            Ok(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }
    let others = [Arc::clone(&is_ill), Arc::clone(&has_left)];
    let counts = served.clone();
    for (name, count) in ["one", "two"].into_iter().zip(served) {
        let [is_ill, has_left] = others.clone();
        stage.host(name, move |binder| {
            let server = Server::bind(&format!("sim://{name}")).unwrap();
            let server = server.export(BankService::new(Counting(count)));
            let running = server.register(&binder).spawn().unwrap();
            if name == "one" {
                wait_until(&is_ill);
                running.set_health("bank", Health::NotServing).unwrap();
                wait_until(&has_left);
                running.set_health("bank", Health::Serving).unwrap();
            }
            stay();
        });
    }
    let well = Arc::clone(&is_well);
    stage.host("client", move |binder| {
        sim::sleep(Duration::from_millis(200));
        let bank = BankClient::import(&binder).unwrap();
        let call = |calls| {
            for _ in 0..calls {
                bank.ping().unwrap();
            }
            counts.each_ref().map(|count| count.swap(0, Ordering::Relaxed))
        };
        let [one, two] = call(200);
        assert!(one > 40 && two > 40, "{one} and {two}");
        is_ill.store(true, Ordering::Release);
        sim::sleep(Duration::from_secs(1));
        assert_eq!(call(200), [0, 200]);
        has_left.store(true, Ordering::Release);
        sim::sleep(Duration::from_secs(1));
        let mut tries = 0..20; // it gets its share little by little
        assert!(tries.any(|_| {
            sim::sleep(Duration::from_secs(1));
            call(100)[0] > 20
        }));
        well.store(true, Ordering::Release);
    });
    stage.tell(move |_| wait_until(&is_well));
}

#[test]
fn a_server_that_renews_and_does_not_answer_is_silent_until_it_does() {
    let stage = Stage::set(23);
    let (id, life) = (ServerId(7), Incarnation::new(1, 0));
    stage.host("bank", move |binder| {
        let server = Server::bind("sim://bank").unwrap().id(id).incarnation(life);
        let server = server.export(BankService::new(Vault)).advertise("sim://door");
        let server = server.polled(Duration::from_millis(200));
        let _running = server.register(&binder).spawn().unwrap();
        stay();
    });
    let is_seen = Arc::<AtomicBool>::default();
    let seen_now = Arc::clone(&is_seen);
    stage.host("door", move |_| {
        wait_until(&is_seen);
        let server = Server::bind("sim://door").unwrap().id(id).incarnation(life);
        let _running = server.export(BankService::new(Vault)).spawn().unwrap();
        stay();
    });
    stage.tell(move |seen| {
        let report = seen.wait_for("bank", |state, _| state == EntryState::Silent);
        assert_eq!((report.poll_ms, report.health), (200, Health::Serving));
        assert!(sim::now() < Instant::START + LEASE, "within three questions, not a lease");
        sim::sleep(LEASE * 2);
        let report = seen.wait_for("bank", |state, _| state == EntryState::Silent);
        assert!(report.number > 3, "it renews all the time: {}", report.number);
        seen_now.store(true, Ordering::Release);
        seen.wait_for("bank", |state, _| state == EntryState::Live);
    });
}

#[test]
fn many_that_never_answer_or_are_no_servers_cost_the_others_nothing() {
    let stage = Stage::set(24);
    let (id, life) = (ServerId(7), Incarnation::new(1, 0));
    stage.host("bank", move |binder| {
        let server = Server::bind("sim://bank").unwrap().id(id).incarnation(life);
        let server = server.export(BankService::new(Vault)).advertise("sim://door");
        let server = server.polled(Duration::from_millis(500));
        let _running = server.register(&binder).spawn().unwrap();
        stay();
    });
    let is_shut = Arc::<AtomicBool>::default();
    let shut = Arc::clone(&is_shut);
    stage.host("door", move |_| {
        let server = Server::bind("sim://door").unwrap().id(id).incarnation(life);
        let running = server.export(BankService::new(Vault)).spawn().unwrap();
        wait_until(&is_shut);
        drop(running);
        stay();
    });
    stage.host("deaf", |_| stay());
    stage.host("liar", |_| {
        let channel = Channel::connect("sim://names").unwrap();
        let names = DirectoryClient::on(&channel);
        let addresses =
            ["sim://deaf", "sim://nobody", "sim://names", "unix:///etc/passwd", "udp://x:1"];
        let registration = |server| Registration {
            name: "lies".into(),
            version: Version::new(1, 0),
            server: ServerId(server),
            incarnation: Incarnation::new(1, 0),
            addresses: vec![addresses[usize::try_from(server).unwrap() % addresses.len()].into()],
            fingerprint: fingerprint_of("lies", std::iter::empty()),
            traits: Traits::default(),
            claim: 1,
        };
        let register =
            |server| names.start().register(&registration(server), Some(Vec::new())).wait();
        let leases: Vec<_> = (100..200).map(|server| register(server).unwrap()).collect();
        for number in 1.. {
            for lease in &leases {
                let report = Report { number, poll_ms: 1, ..Report::default() };
                names.renew(lease.id, lease.secret, &report).unwrap();
            }
            sim::sleep(LEASE / 3);
        }
    });
    stage.tell(move |seen| {
        seen.wait_for("lies", |state, _| state == EntryState::Silent);
        for _ in 0..100 {
            let (state, _) = seen.service("bank").unwrap();
            assert_eq!(state, EntryState::Live);
            sim::sleep(Duration::from_millis(100));
        }
        shut.store(true, Ordering::Release);
        let since = sim::now();
        seen.wait_for("bank", |state, _| state == EntryState::Silent);
        let took = sim::now().since(since);
        assert!(took < Duration::from_secs(6), "it is asked as often as before: {took:?}");
    });
}
