//! The daemon as a process of its own, killed and restarted, with a server and clients beside it on
//! real sockets. Each test waits for what it needs by asking, never by sleeping for long.

#![expect(clippy::disallowed_methods, reason = "a pause between two looks at the real world")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::io::Read as _;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rpc_runtime::binder::{
    Binder, BinderError, Directory as _, DirectoryClient, Lease, Registration, Report, Secret,
    VersionRequirement,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::server::Running;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, Error, ErrorKind, Execution, Options, Server, service};

use support::{
    Counter as _, CounterClient, CounterService, Daemon, Shared, counter, enter, eventually,
    lasting_place, life_of, live, run,
};

/// A later interface of the same name that lost a method.
mod changed {
    use super::{CallError, service};

    /// Counts otherwise.
    #[service(name = "counter", version = "1.1")]
    pub(crate) trait Counter {
        /// Adds many.
        fn add_many(&self, count: u64) -> Result<u64, CallError>;
    }

    pub(crate) struct Nothing;

    impl Counter for Nothing {
        fn add_many(&self, count: u64) -> Result<u64, CallError> {
            Ok(count)
        }
    }
}

#[test]
fn the_command_line_serves_lists_looks_up_and_leaves_on_a_signal() {
    let mut daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let url = daemon.url.clone();
    let place = url.strip_prefix("udp://").unwrap();
    assert_eq!(run(&["list", "--json", "--binder", &url]), (0, String::new(), String::new()));
    assert_eq!(
        run(&["lookup", "counter", "1", "--binder", &url]),
        (
            1,
            String::new(),
            format!("rpc-binder: no server named \"counter\" 1.x is registered (asked {place})\n")
        )
    );

    let binder = Binder::at(&url).unwrap();
    let server = counter(&binder, &Arc::default());
    let (code, listed, _) = run(&["list", "--json", "--binder", &url]);
    let row: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(code, 0);
    assert_eq!((&row["name"], &row["version"]), (&"counter".into(), &"1.0".into()));
    assert_eq!(row["id"], server.id().to_string());
    assert_eq!(row["addresses"][0], server.url());
    assert_eq!(row["incarnation"], server.incarnation().to_string());
    assert_eq!(row["state"], "live");
    assert!(row["lease_left_ms"].as_u64().unwrap() <= 10_000);
    let (code, looked_up, _) = run(&["lookup", "counter", ">=1, <2", "--binder", &url]);
    assert_eq!(code, 0);
    assert!(looked_up.starts_with("NAME "), "{looked_up}");
    assert!(looked_up.ends_with("1 server, 1 live\n"), "{looked_up}");

    drop(server);
    assert_eq!(run(&["list", "--json", "--binder", &url]), (0, String::new(), String::new()));

    daemon.signal("TERM");
    assert!(daemon.child.wait().unwrap().success());
    let mut rest = String::new();
    daemon.out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn wrong_usage_a_wrong_url_and_no_binder_are_told_apart() {
    let (code, _, complaint) = run(&["list", "--nope"]);
    assert_eq!(code, 2, "{complaint}");
    let (code, _, complaint) = run(&["list", "--binder", "127.0.0.1:7000"]);
    assert_eq!(code, 78);
    assert!(complaint.starts_with("rpc-binder: not executed: "), "{complaint}");

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", silent.local_addr().unwrap());
    let (code, out, complaint) = run(&["list", "--binder", &url, "--timeout", "300ms"]);
    assert_eq!((code, out.as_str()), (75, ""), "a script may try again");
    assert!(
        complaint.starts_with("rpc-binder: not executed: no server answers at "),
        "{complaint}"
    );

    let (code, _, complaint) = run(&["serve", "--listen", &url]);
    assert_eq!(code, 78);
    assert!(complaint.contains("in use"), "{complaint}");
}

#[test]
fn calls_go_on_while_the_binder_is_dead_and_registrations_come_back_when_it_lives() {
    let daemon = Daemon::start(&lasting_place(20_001), "600ms");
    let url = daemon.url.clone();
    let binder = Binder::at(&url).unwrap().patience(Duration::from_millis(300));
    let count = Arc::default();
    let server = counter(&binder, &count);
    let client = CounterClient::import(&binder).unwrap();
    assert_eq!(client.add().unwrap(), 1);

    daemon.signal("KILL");
    drop(daemon);
    for expected in 2..=50 {
        assert_eq!(client.add().unwrap(), expected);
    }
    let again = CounterClient::import(&binder).unwrap();
    assert_eq!(again.add().unwrap(), 51);
    let found = binder.find("counter", &VersionRequirement::major(1)).unwrap();
    assert_eq!(found.entries[0].server, server.id());
    assert!(found.age > Duration::ZERO);

    let daemon = Daemon::start(&url, "600ms");
    eventually("the registration", || live(&binder) == 1);
    let other = Binder::at(&daemon.url).unwrap();
    assert_eq!(CounterClient::import(&other).unwrap().add().unwrap(), 52);
}

#[test]
fn a_server_whose_registration_is_in_trouble_says_so() {
    let daemon = Daemon::start(&lasting_place(20_002), "600ms");
    let url = daemon.url.clone();
    let binder = Binder::at(&url).unwrap().patience(Duration::from_millis(300));
    let server = counter(&binder, &Arc::default());
    let trouble = || server.registrations()[0].trouble.clone();
    assert_eq!(server.registrations()[0].directory, url);
    assert_eq!(trouble(), None);

    drop(daemon);
    eventually("trouble", || trouble().is_some());
    let _daemon = Daemon::start(&url, "600ms");
    eventually("the end of trouble", || trouble().is_none());
}

/// What an earlier life of the server told it that [`next_life`] starts.
fn former(life: u32) -> Registration {
    life_of(ServerId(7), Incarnation::new(life, 0), "udp://127.0.0.1:9")
}

fn next_life(binder: &Binder, life: u32) -> Result<Running, CallError> {
    let count = CounterService::new(Shared::default());
    let server = Server::bind("udp://127.0.0.1:0").unwrap().export(count);
    server.id(ServerId(7)).incarnation(Incarnation::new(life, 0)).register(binder).spawn()
}

#[test]
fn a_server_that_crashed_has_its_place_again_after_its_lease_or_at_once_with_its_claim() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "1s");
    let binder = Binder::at(&daemon.url).unwrap();
    let directory = DirectoryClient::connect(&daemon.url).unwrap();
    let registered =
        || binder.lookup("counter", &VersionRequirement::any()).unwrap()[0].incarnation.0 >> 32;

    let started = std::time::Instant::now(); // before the lease begins
    enter(&directory, &former(1)).unwrap();
    let second = next_life(&binder, 2).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(900), "it waited for the lease");
    assert_eq!(registered(), 2);
    drop(second);

    enter(&directory, &former(3)).unwrap();
    let _fourth = next_life(&binder.clone().claim(1), 4).unwrap();
    assert_eq!(registered(), 4);
}

#[test]
fn a_server_whose_earlier_life_renews_its_lease_is_refused_for_that_one_lives() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "3s");
    let binder = Binder::at(&daemon.url).unwrap();
    let directory = DirectoryClient::connect(&daemon.url).unwrap();
    let lease = enter(&directory, &former(1)).unwrap();
    let is_refused = AtomicBool::new(false);
    let error = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_refused.load(Ordering::Relaxed) {
                directory.renew(lease.id, lease.secret, &Report::default()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let second = next_life(&binder, 2).map(|_| ());
        is_refused.store(true, Ordering::Relaxed);
        second.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("an earlier life of this server is registered"), "{error}");
}

#[test]
fn of_several_binders_the_next_is_asked_when_one_is_silent() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = daemon.url.strip_prefix("udp://").unwrap();
    let list = format!("udp://{},{place}", silent.local_addr().unwrap());
    let binder = Binder::at(&list).unwrap();
    let _server = counter(&binder, &Arc::default());
    assert_eq!(CounterClient::import(&binder).unwrap().add().unwrap(), 1);
    let (code, found, complaint) = run(&["lookup", "counter", "--json", "--binder", &list]);
    assert_eq!((code, found.lines().count(), &*complaint), (0, 1, ""));
    let client = CounterClient::connect(&format!("binder://{}/counter", &list["udp://".len()..]));
    assert_eq!(client.unwrap().add().unwrap(), 2);
}

#[test]
fn a_server_that_restarted_elsewhere_is_found_by_the_same_client() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let count = Arc::default();
    let first = counter(&binder, &count);
    let client = CounterClient::import(&binder).unwrap();
    assert_eq!(client.add().unwrap(), 1);
    drop(first);
    let _second = counter(&binder, &count);
    // The first call may be in doubt; it must not run twice for that.
    let outcome = client.with(Options::new().timeout(Duration::from_millis(500))).add();
    let next = client.add().unwrap();
    match outcome {
        Ok(value) => assert_eq!((value, next), (2, 3)),
        Err(error) if error.execution() == Execution::NotExecuted => assert_eq!(next, 2),
        Err(error) => {
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            // If it runs, then before the next one, after it, or beside it.
            assert!((2..=3).contains(&next), "{next}");
        }
    }
}

/// A server whose place the binder remembers under the name of a former one.
struct Impostor {
    running: Running,
    directory: DirectoryClient,
    former: Registration,
    lease: Lease,
}

impl Impostor {
    fn start(daemon: &Daemon, count: &Arc<AtomicU64>) -> Self {
        let counter = CounterService::new(Shared(Arc::clone(count)));
        let running = Server::bind("udp://127.0.0.1:0").unwrap().export(counter).spawn().unwrap();
        let directory = DirectoryClient::connect(&daemon.url).unwrap();
        let former = life_of(ServerId(7), Incarnation::new(1, 1), &running.url());
        let lease = enter(&directory, &former).unwrap();
        Self { running, directory, former, lease }
    }

    /// Registers as what it is.
    fn confess(&self) {
        let (server, incarnation) = (self.running.id(), self.running.incarnation());
        let truth = Registration { server, incarnation, ..self.former.clone() };
        self.directory.start().deregister(self.lease.id, self.lease.secret).wait().unwrap();
        enter(&self.directory, &truth).unwrap();
    }
}

#[test]
fn another_server_at_a_remembered_address_is_detected_and_never_called() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let count = Arc::default();
    let impostor = Impostor::start(&daemon, &count);
    let client = CounterClient::import(&binder).unwrap();
    let brief = client.with(Options::new().timeout(Duration::from_millis(500)));
    let error = brief.add().unwrap_err();
    assert_eq!(error.execution(), Execution::NotExecuted, "{error}");
    assert_eq!(error.kind(), ErrorKind::NoServer);
    assert_eq!(error.method(), "counter.add");
    assert_eq!(count.load(Ordering::Relaxed), 0);

    // Once the truth is registered, the same client goes there.
    impostor.confess();
    assert_eq!(client.add().unwrap(), 1);
}

#[test]
fn a_server_that_does_not_answer_at_one_address_is_called_at_its_next_one() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let count = Arc::<AtomicU64>::default();
    let counter = CounterService::new(Shared(Arc::clone(&count)));
    let running = Server::bind("udp://127.0.0.1:0").unwrap().export(counter).spawn().unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = nobody.local_addr().unwrap().port();
    let [first, second] = [1, 2].map(|host| format!("udp://127.0.0.{host}:{nowhere}"));
    let registration = Registration {
        addresses: vec![first, second, running.url()],
        ..life_of(running.id(), running.incarnation(), "")
    };
    let directory = DirectoryClient::connect(&daemon.url).unwrap();
    enter(&directory, &registration).unwrap();

    let brief = Options::new().timeout(Duration::from_millis(300));
    let client = CounterClient::import(&binder).unwrap().with(brief);
    eventually("an answer", || client.add().is_ok());
    // What was learned serves others too: one who has not learned waits at the first address.
    for _ in 0..3 {
        let before = count.load(Ordering::Relaxed); // more than one, if an answer came too late
        let client = CounterClient::import(&binder).unwrap();
        assert!(client.add().unwrap() > before);
    }
}

#[test]
fn calls_under_way_wait_for_the_next_server_whoever_waits_for_them() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let count = Arc::<AtomicU64>::default();
    let impostor = Impostor::start(&daemon, &count);
    let client = CounterClient::import(&binder).unwrap();
    let calls: Vec<_> = (0..20).map(|_| client.start().add()).collect();
    let waiting: Vec<_> =
        calls.into_iter().map(|call| std::thread::spawn(move || block_on(call).unwrap())).collect();
    let called_off = client.start().add();
    called_off.cancel();
    assert_eq!(called_off.wait().unwrap_err().execution(), Execution::NotExecuted);
    client.start().add().detach();
    impostor.confess();
    let mut seen: Vec<_> = waiting.into_iter().map(|call| call.join().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 20, "each ran once and has its own answer");
    // The one that was let go of has one chance, which may be before the truth or after.
    assert!(count.load(Ordering::Relaxed) <= 21, "a call ran twice, or one that was called off");
}

#[test]
fn calls_that_nobody_waits_for_find_the_next_server_too() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let count = Arc::<AtomicU64>::default();
    let impostor = Impostor::start(&daemon, &count);
    let client = CounterClient::import(&binder).unwrap();
    client.bump();
    impostor.confess();
    eventually("a bump", || {
        client.bump();
        count.load(Ordering::Relaxed) > 0
    });
}

/// The smallest executor: polls, and parks until it is woken.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn only_the_secret_deregisters() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let directory = DirectoryClient::connect(&daemon.url).unwrap();
    let registration = life_of(ServerId(7), Incarnation::new(1, 1), "udp://127.0.0.1:9");
    let lease = enter(&directory, &registration).unwrap();
    let refusal =
        directory.start().deregister(lease.id, Secret(lease.secret.0 ^ 1)).wait().unwrap_err();
    assert!(matches!(refusal, Error::App(BinderError::WrongSecret)), "{refusal}");
    assert_eq!(live(&binder), 1);
    directory.start().deregister(lease.id, lease.secret).wait().unwrap();
    assert_eq!(live(&binder), 0);
}

#[test]
fn nobody_registered_and_no_binder_read_as_promised() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let place = daemon.url.strip_prefix("udp://").unwrap().to_owned();
    let binder = Binder::at(&daemon.url).unwrap().patience(Duration::from_millis(300));
    let error = CounterClient::import(&binder).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoServer, Execution::NotExecuted));
    let text = error.to_string();
    let head =
        format!("not executed: no server named \"counter\" 1.x is registered (asked {place}, ");
    assert!(text.starts_with(&head), "{text}");
    assert!(text.ends_with("; start one, or retry later"), "{text}");

    drop(daemon);
    let error = CounterClient::import(&binder).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoServer, Execution::NotExecuted));
    let text = error.to_string();
    assert!(text.starts_with(&head), "{text}");
    assert!(text.ends_with("): the binder does not answer; start one, or retry later"), "{text}");
}

#[test]
fn an_interface_that_does_not_fit_is_refused_on_both_sides_in_words() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let _server = counter(&binder, &Arc::default());
    let refused = Server::bind("udp://127.0.0.1:0")
        .unwrap()
        .export(changed::CounterService::new(changed::Nothing))
        .register(&binder)
        .spawn();
    let error = refused.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(
        error.to_string().contains("counter 1.1 lacks the method \"add\" of counter 1.0"),
        "{error}"
    );

    let error = changed::CounterClient::import(&binder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InterfaceMismatch);
    assert_eq!(error.execution(), Execution::NotExecuted);
    assert!(
        error
            .to_string()
            .contains("counter 1.0 lacks the method \"add_many\" of this client (counter 1.1)"),
        "{error}"
    );
}

#[test]
fn one_url_configures_a_client() {
    let daemon = Daemon::start("udp://127.0.0.1:0", "10s");
    let binder = Binder::at(&daemon.url).unwrap();
    let _server = counter(&binder, &Arc::default());
    let place = daemon.url.strip_prefix("udp://").unwrap();
    let client = CounterClient::connect(&format!("binder://{place}/counter?version=1")).unwrap();
    assert_eq!(client.add().unwrap(), 1);
    let error = CounterClient::connect(&format!("binder://{place}/Counter")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadAddress);
}
