//! Servers at which several threads receive: who gets what, what ends with whom, and whose the address is.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use super::threads::Scarce;
use super::*;
use crate::driver::watched::{Switch, Watch, watched};
use crate::fault::Faults;
use crate::reactor::Faulty;
use crate::time::Instant;

/// A server with two lanes.
fn two_at(url: &str) -> Bench {
    Bench::at(Server::bind(url).expect("a free place"), |server| server.lanes(2))
}

fn place(running: &Running) -> String {
    let url = running.url();
    url.strip_prefix("udp://").unwrap_or(&url).to_owned()
}

/// The threads of a server with two lanes.
fn both() -> BTreeSet<String> {
    ["rpc-receive", "rpc-receive-1"].map(ToOwned::to_owned).into()
}

#[test]
fn all_lanes_serve_and_what_workers_and_timers_say_reaches_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix://{}/socket", folder.path().display());
    for url in ["udp://127.0.0.1:0", "udp://127.0.0.1:0,[::1]:0", "tcp://127.0.0.1:0", &unix] {
        let server = Server::bind(url).expect("a free place").quick_handlers_here(false);
        let bench = Bench::at(server, |server| server.lanes(2));
        assert_eq!(bench.running.lanes(), 2, "{url}");
        let place = place(&bench.running);
        let mut peers: Vec<_> = (0..32).map(|_| Peer::open_at(&place)).collect();
        let mut threads = BTreeSet::new();
        for peer in &mut peers {
            peer.request(0, 1, &PROBE, ECHO, b"inline");
            assert_eq!(peer.answer(0, 1), returned(b"inline"), "{url}");
            threads.insert(bench.seen());
            peer.request(1, 1, &PROBE, WORK, b"by a worker");
            assert_eq!(peer.answer(1, 1), returned(b"by a worker"), "{url}");
            assert!(bench.seen().starts_with("rpc-worker"));
        }
        assert_eq!(threads, both(), "{url}");
        assert_eq!(bench.executions(), 64);
        let drained = thread::scope(|scope| {
            let draining = || bench.running.drain(Duration::from_secs(10));
            let draining = thread::Builder::new().spawn_scoped(scope, draining).expect("a thread");
            peers.iter_mut().for_each(Peer::await_goaway);
            draining.join().expect("no panic")
        });
        assert!(drained.is_complete(), "{drained:?}");
    }
}

#[test]
fn calls_in_waves_of_all_lanes_are_each_answered_once() {
    for url in ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"] {
        let bench = two_at(url);
        let place = place(&bench.running);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut peer = Peer::open_at(&place);
                    for sequence in 1..=200 {
                        for slot in 0..8 {
                            let method = if slot == 0 { WORK } else { ECHO };
                            peer.request(slot, sequence, &PROBE, method, b"wave");
                        }
                        for slot in 0..8 {
                            assert_eq!(peer.answer(slot, sequence), returned(b"wave"));
                        }
                    }
                });
            }
        });
        assert_eq!(bench.executions(), 8 * 200 * 8, "{url}");
    }
}

#[test]
fn a_caller_whose_stream_breaks_goes_on_by_another_lane_and_nothing_runs_twice() {
    let bench = two_at("tcp://127.0.0.1:0");
    let place = place(&bench.running);
    let mut first = Peer::open_at(&place);
    let mut second = Peer::open_at(&place);
    for peer in [&mut first, &mut second] {
        peer.request(0, 1, &PROBE, ECHO, b"inline");
        assert_eq!(peer.answer(0, 1), returned(b"inline"));
    }
    assert_eq!([bench.seen(), bench.seen()], ["rpc-receive", "rpc-receive-1"]);
    drop(first);
    let patience = reactor::world().now() + Duration::from_secs(10);
    while bench.running.streams().ended == 0 {
        assert!(reactor::world().now() < patience, "{:?}", bench.running.streams());
        thread::yield_now();
    }
    second.dial_again(&place);
    second.request(0, 1, &PROBE, ECHO, b"inline");
    assert_eq!(second.answer(0, 1), returned(b"inline"), "it was kept");
    assert_eq!(bench.executions(), 2, "it did not run again");
    second.request(0, 2, &PROBE, ECHO, b"inline");
    assert_eq!(second.answer(0, 2), returned(b"inline"));
    assert_eq!(bench.seen(), "rpc-receive", "the lane with the fewest streams has it");
}

#[test]
fn a_network_with_faults_has_them_in_all_lanes() {
    let faulty = Faulty::new(reactor::world(), Faults::default(), 7);
    let bench = Bench::within(&faulty.world(), |server| server.lanes(2));
    assert_eq!(bench.running.lanes(), 2);
    let mut threads = BTreeSet::new();
    for _ in 0..32 {
        let mut peer = bench.peer();
        peer.request(0, 1, &PROBE, ECHO, b"inline");
        assert_eq!(peer.answer(0, 1), returned(b"inline"));
        threads.insert(bench.seen());
    }
    assert_eq!(threads, both());
    assert!(faulty.injected().datagrams >= 64, "{:?}", faulty.injected());
}

#[test]
fn an_address_is_free_once_all_lanes_have_ended_and_taken_before() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix://{}/socket", folder.path().display());
    for url in ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", &unix] {
        let bench = two_at(url);
        let url = bench.running.url();
        let refused = Server::bind(&url).expect_err("taken");
        assert_eq!(refused.kind(), ErrorKind::BadAddress);
        assert!(refused.to_string().contains("is in use by another endpoint"), "{refused}");
        let mut peers: Vec<_> = (0..4).map(|_| Peer::open_at(&place(&bench.running))).collect();
        peers[0].request(0, 1, &PROBE, BLOCK, b"");
        assert_eq!(bench.seen(), "blocked");
        bench.running.stop();
        assert_eq!(bench.seen(), "cancelled");
        let again = Server::bind(&url);
        assert!(again.is_ok(), "{again:?}");
    }
}

#[test]
#[ignore = "the other process of the test below"]
fn a_server_in_another_process() {
    let bench = two_at("udp://127.0.0.1:0");
    writeln!(std::io::stderr(), "serves at {}", bench.running.url()).unwrap();
    let _ = std::io::stdin().lock().read_line(&mut String::new()); // until the other one is through
}

#[test]
fn another_process_s_lanes_let_nobody_in() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "server::tests::lanes::a_server_in_another_process"])
        .args(["--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut urls = said.filter_map(|line| Some(line.ok()?.split_once("serves at ")?.1.to_owned()));
    let url = urls.next().expect("it starts");
    let refused = Server::bind(&url).expect_err("taken");
    assert!(refused.to_string().contains("is in use by another endpoint"), "{refused}");
    writeln!(child.stdin.take().unwrap(), "done").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(Server::bind(&url).is_ok());
}

#[test]
fn a_server_without_a_thread_for_its_second_lane_does_not_start_and_gives_its_address_back() {
    let (_scarce, world) = Scarce::of("receive-1");
    let server = Server::bind_in(&world, "127.0.0.1:0").expect("a free port").lanes(3);
    let address = server.link.local().to_string();
    let begun = world.now();
    let error = server.spawn().expect_err("nobody would receive there");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("no thread is to be had"), "{error}");
    assert!(world.now().since(begun) < Duration::from_millis(500), "it waits for nobody");
    assert!(Server::bind_in(&reactor::world(), &address).is_ok());
}

/// Panics in the second lane once told to.
struct Bad(Switch);

impl Watch for Bad {
    fn asked(&self, what: &'static str) {
        let is_second = || thread::current().name() == Some("rpc-receive-1");
        if self.0.is_thrown() && what == "Link::receive" && is_second() {
            std::panic::resume_unwind(Box::new("a link that panics"));
        }
    }
}

#[test]
fn a_server_that_loses_a_lane_ends_as_a_whole() {
    let bad = Arc::new(Bad(Switch::default()));
    let world = watched(reactor::world(), Arc::clone(&bad));
    let bench = Bench::within(&world, |server| server.lanes(2));
    let mut threads = BTreeSet::new();
    let mut peers = Vec::new();
    while threads != both() {
        let mut peer = bench.peer();
        peer.request(0, 1, &PROBE, ECHO, b"inline");
        assert_eq!(peer.answer(0, 1), returned(b"inline"));
        threads.insert(bench.seen());
        peers.push(peer);
    }
    bad.0.throw();
    for peer in &mut peers {
        peer.request(0, 2, &PROBE, ECHO, b"the last one of its lane");
    }
    let until = world.now() + Duration::from_secs(10);
    bench.running.await_receiver(Some(until)); // as `serve` does
    assert!(world.now() < until, "the other lane goes on");
    bench.running.stop();
    assert!(Server::bind(&bench.running.url()).is_ok());
}

/// Counts how often each kind of thing is asked for.
#[derive(Default)]
struct Counts {
    wakes: AtomicUsize,
    receives: AtomicUsize,
}

impl Watch for Counts {
    fn asked(&self, what: &'static str) {
        match what {
            "Link::wake" => self.wakes.fetch_add(1, Ordering::SeqCst),
            "Link::receive" => self.receives.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
    }
}

/// A client that the second lane serves.
fn peer_of_second(bench: &Bench) -> Peer {
    loop {
        let mut peer = bench.peer();
        peer.request(0, 1, &PROBE, ECHO, b"inline");
        assert_eq!(peer.answer(0, 1), returned(b"inline"));
        if bench.seen() == "rpc-receive-1" {
            return peer;
        }
    }
}

#[test]
fn calls_of_another_lane_do_not_wake_the_first_and_an_idle_server_wakes_nobody() {
    const CALLS: u64 = 2_000;
    const WAKES_MAX: usize = 20;
    let counts = Arc::new(Counts::default());
    let world = watched(reactor::world(), Arc::clone(&counts));
    let bench = Bench::within(&world, |server| server.lanes(2).quick_handlers_here(false));
    let mut peer = peer_of_second(&bench);
    for (slot, method) in [(1, ECHO), (2, WORK)] {
        let before = counts.wakes.load(Ordering::SeqCst);
        for sequence in 1..=CALLS {
            peer.request(slot, sequence, &PROBE, method, b"null");
            assert_eq!(peer.answer(slot, sequence), returned(b"null"));
        }
        let wakes = counts.wakes.load(Ordering::SeqCst) - before;
        assert!(wakes <= WAKES_MAX, "{wakes} in {CALLS} calls of method {method}");
    }
    let pause = |until: Instant| reactor::world().gate().wait(Some(until));
    pause(world.now() + Duration::from_millis(300));
    let before = counts.receives.load(Ordering::SeqCst);
    let until = world.now() + Duration::from_millis(500);
    while world.now() < until {
        pause(until);
    }
    let receives = counts.receives.load(Ordering::SeqCst) - before;
    assert!(receives < 8, "{receives}");
}

#[test]
fn what_is_due_of_any_lane_s_calls_is_seen_to_in_time() {
    let bench = Bench::with(|server| server.lanes(2));
    let mut second = peer_of_second(&bench);
    let mut others: Vec<_> = (0..8).map(|_| bench.peer()).collect();
    let limit = Duration::from_secs(2); // the next lease ends later, and leads nobody to look by then
    for peer in others.iter_mut().chain([&mut second]) {
        let begun = reactor::world().now();
        peer.request(5, 1, &PROBE, BLOCK, b"");
        peer.await_report();
        let took = reactor::world().now().since(begun);
        assert!(took < limit, "{took:?}");
    }
}
