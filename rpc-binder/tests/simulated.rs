//! Binder, servers and clients in the simulator: what crashes and a bad network do to bindings, a
//! whole story for each seed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_binder::access::rules::Rules;
use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::binder::{Binder, BinderError, Key, VersionRequirement};
use rpc_runtime::fault::Faults;
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::server::Running;
use rpc_runtime::sim::{self, Control, Ended, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Error, Execution, Server, service};

/// Counts.
#[service(name = "counter", version = "1.0")]
trait Counter {
    /// Adds one.
    #[rpc(timeout = "3s")]
    fn add(&self) -> Result<u64, CallError>;
}

/// The count survives crashes, as a disk does.
struct Disk(Arc<AtomicU64>);

impl Counter for Disk {
    fn add(&self) -> Result<u64, CallError> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What a client learned of its calls.
#[derive(Default)]
struct Verdicts {
    ok: AtomicU64,
    not_executed: AtomicU64,
    unknown: AtomicU64,
}

fn at(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

fn stay() {
    loop {
        sim::sleep(Duration::from_secs(3_600));
    }
}

fn binder_main() {
    let lease = Duration::from_secs(1);
    let _running = daemon::start("sim://names", Limits { lease, ..Limits::default() }).unwrap();
    stay();
}

/// Comes up as one life of server `id`, and keeps trying to register.
fn server_main(host: &'static str, id: u64, life: u32, disk: &Arc<AtomicU64>) {
    let binder = Binder::at("sim://names").unwrap();
    loop {
        let server = Server::bind(&format!("sim://{host}"))
            .unwrap()
            .id(ServerId(id))
            .incarnation(Incarnation::new(life, 0))
            .export(CounterService::new(Disk(Arc::clone(disk))))
            .register(&binder)
            .spawn();
        match server {
            Ok(_running) => stay(),
            Err(_no_binder) => sim::sleep(Duration::from_millis(200)),
        }
    }
}

fn client_main(calls: u64, verdicts: &Verdicts) {
    let binder = Binder::at("sim://names").unwrap();
    let client = loop {
        match CounterClient::import(&binder) {
            Ok(client) => break client,
            Err(error) => assert_eq!(error.execution(), Execution::NotExecuted, "{error}"),
        }
    };
    for _ in 0..calls {
        let started = sim::now();
        let verdict = match client.add() {
            Ok(_) => &verdicts.ok,
            Err(error) => match error.execution() {
                Execution::NotExecuted => &verdicts.not_executed,
                Execution::Unknown => &verdicts.unknown,
                Execution::Executed => panic!("the handler returns: {error}"),
            },
        };
        verdict.fetch_add(1, Ordering::Relaxed);
        let took = sim::now().since(started);
        assert!(took <= Duration::from_millis(3_001), "ended {took:?} after its start");
        sim::sleep(Duration::from_millis(50));
    }
}

fn restart(world: &mut Control, host: HostId, main: impl FnOnce() + Send + 'static) {
    world.crash(host);
    world.restart(host);
    world.spawn(host, "main", false, main);
}

/// Two servers, three clients; servers and binder crash in turn. Gives the trace's hash.
fn bad_day(seed: u64, faults: Faults) -> u64 {
    let disk = Arc::<AtomicU64>::default();
    let verdicts = Arc::<Verdicts>::default();
    let simulation = Simulation::new(seed);
    simulation.with(|world| {
        world.net.set_faults(faults);
        let names = world.add_host("names");
        let (a, b) = (world.add_host("a"), world.add_host("b"));
        world.spawn(names, "main", false, binder_main);
        for (host, name, id) in [(a, "a", 1), (b, "b", 2)] {
            let first = Arc::clone(&disk);
            world.spawn(host, "main", false, move || server_main(name, id, 1, &first));
            let disk = Arc::clone(&disk);
            world.at(at(1_500 * id), move |world| {
                restart(world, host, move || server_main(name, id, 2, &disk));
            });
        }
        world.at(at(2_200), move |world| restart(world, names, binder_main));
        world.at(at(4_000), move |world| world.crash(names));
        let disk = Arc::clone(&disk);
        world.at(at(4_500), move |world| restart(world, a, move || server_main("a", 1, 3, &disk)));
        world.at(at(6_000), move |world| {
            world.restart(names);
            world.spawn(names, "main", false, binder_main);
        });
        for name in ["x", "y", "z"] {
            let client = world.add_host(name);
            let verdicts = Arc::clone(&verdicts);
            world.spawn(client, "main", true, move || client_main(100, &verdicts));
        }
    });
    assert_eq!(simulation.run_until_finished(at(3_600_000)), Ended::Reached);

    let ran = disk.load(Ordering::Relaxed);
    let [ok, not_executed, unknown] = [&verdicts.ok, &verdicts.not_executed, &verdicts.unknown]
        .map(|count| count.load(Ordering::Relaxed));
    assert_eq!(ok + not_executed + unknown, 300);
    assert!((ok..=ok + unknown).contains(&ran), "{ran} ran: {ok} ok, {unknown} unknown");
    assert!(ok >= 200, "seed {seed}: {ok} ok, {not_executed} not executed, {unknown} unknown");
    simulation.trace_hash()
}

#[test]
fn through_crashes_of_servers_and_binder_every_verdict_is_true_and_calls_go_on() {
    for seed in 0..20 {
        bad_day(seed, Faults::default().delay(Duration::from_millis(1)));
    }
}

#[test]
fn loss_and_duplication_change_nothing_about_that() {
    for seed in 0..20 {
        bad_day(seed, Faults::default().loss(0.1).duplicate(0.1).reorder(0.2));
    }
}

#[test]
fn one_seed_is_one_story() {
    let story = |seed| bad_day(seed, Faults::default().loss(0.1).duplicate(0.1));
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}

fn key(letter: &str) -> Key {
    Key::parse(&letter.repeat(64)).unwrap()
}

/// A binder whose name `counter` is owned by key a.
fn owned_main() {
    let text = "[keys]\nann = \"a\"\neve = \"e\"\n\
                [[rule]]\nname = \"counter\"\nregister = [\"ann\"]\n";
    let rules = Rules::parse(text, |path| Ok(key(path.to_str().unwrap()))).unwrap();
    let lease = Duration::from_secs(1);
    let limits = Limits { lease, ..Limits::default() };
    let _running = daemon::start_with("sim://names", limits, rules).unwrap();
    stay();
}

fn enter(binder: &Binder, host: &str, id: u64, life: u32) -> Result<Running, CallError> {
    Server::bind(&format!("sim://{host}"))?
        .id(ServerId(id))
        .incarnation(Incarnation::new(life, 0))
        .export(CounterService::new(Disk(Arc::default())))
        .register(binder)
        .spawn()
}

/// A server with the key of a name, and one that wants the name for himself, over a bad network.
fn hijack(seed: u64) {
    let simulation = Simulation::new(seed);
    simulation.with(|world| {
        world.net.set_faults(Faults::default().loss(0.1).duplicate(0.1).reorder(0.2));
        let (names, owner) = (world.add_host("names"), world.add_host("owner"));
        let thief = world.add_host("thief");
        world.spawn(names, "main", false, owned_main);
        world.spawn(owner, "main", false, || {
            let binder = Binder::at("sim://names").unwrap().key(key("a"));
            let running =
                std::iter::repeat_with(|| enter(&binder, "owner", 1, 1)).find_map(Result::ok);
            running.unwrap().wait(); // until it has drained
        });
        world.spawn(thief, "main", true, || {
            let binder = Binder::at("sim://names").unwrap();
            let owners = || {
                let found = binder.lookup("counter", &VersionRequirement::any());
                found
                    .unwrap_or_default()
                    .into_iter()
                    .map(|entry| entry.server.0)
                    .collect::<Vec<_>>()
            };
            while owners().is_empty() {
                sim::sleep(Duration::from_millis(100));
            }
            let with_another_key = binder.clone().key(key("e"));
            for (binder, flaw) in [(&binder, "has no key"), (&with_another_key, "this is key eve")]
            {
                for id in [1, 2] {
                    let refusal = refused(|| enter(binder, "thief", id, 9).map(drop));
                    assert!(refusal.contains("counter is owned by key ann"), "{refusal}");
                    assert!(refusal.contains(flaw), "{refusal}");
                }
                let drained = loop {
                    match binder.drain(ServerId(1), None) {
                        Err(Error::Call(_)) => {}
                        other => break other,
                    }
                };
                assert!(matches!(drained, Err(Error::App(BinderError::NotAllowed { .. }))));
                assert_eq!(owners(), [1]);
            }
            let allowed = binder.clone().key(key("a"));
            while allowed.drain(ServerId(1), None).is_err() {}
            while !binder.list().is_ok_and(|all| all.is_empty()) {
                sim::sleep(Duration::from_millis(100));
            }
        });
    });
    assert_eq!(simulation.run_until_finished(at(3_600_000)), Ended::Reached, "seed {seed}");
}

/// What the binder says to it, however often the network does not let it through.
fn refused(mut ask: impl FnMut() -> Result<(), CallError>) -> String {
    loop {
        let error = ask().unwrap_err().to_string();
        if error.contains("refuses") {
            return error;
        }
        sim::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nobody_takes_a_name_or_a_server_that_is_not_his() {
    (0..20).for_each(hijack);
}
