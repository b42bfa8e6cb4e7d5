//! A server that runs out of threads, or loses the one it cannot do without.

use super::*;
use crate::driver::watched::{Switch, Watch, watched};

/// Gives no thread of a name that contains this, until there are some.
pub(super) struct Scarce(&'static str, Switch);

impl Scarce {
    pub(super) fn of(name: &'static str) -> (Arc<Self>, Arc<dyn World>) {
        let scarce = Arc::new(Self(name, Switch::default()));
        let world = watched(reactor::world(), Arc::clone(&scarce));
        (scarce, world)
    }
}

impl Watch for Scarce {
    fn has_thread(&self, name: &str) -> bool {
        self.1.is_thrown() || !name.contains(self.0)
    }
}

#[test]
fn a_server_without_workers_turns_calls_away_serves_inline_and_tries_again() {
    let (scarce, world) = Scarce::of("worker");
    let bench = Bench::within(&world, |server| server);
    let mut peer = bench.peer();
    for sequence in [1, 3] {
        peer.request(0, sequence, &PROBE, WORK, b"nobody");
        assert_eq!(peer.answer(0, sequence).refusal(), Some(RefuseReason::Overload));
        peer.request(0, sequence + 1, &PROBE, ECHO, b"inline");
        assert_eq!(peer.answer(0, sequence + 1), returned(b"inline"));
        assert_eq!(bench.seen(), "rpc-receive");
    }
    scarce.1.throw();
    peer.request(0, 5, &PROBE, WORK, b"somebody");
    assert_eq!(peer.answer(0, 5), returned(b"somebody"));
    assert_eq!(bench.seen(), "rpc-worker-0");
}

#[test]
fn a_server_with_one_worker_of_many_lets_calls_wait_for_it() {
    let (_scarce, world) = Scarce::of("worker-1");
    let bench = Bench::within(&world, |server| server);
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    peer.request(1, 1, &PROBE, WORK, b"waits");
    peer.request(2, 1, &PROBE, ECHO, b"inline");
    assert_eq!(peer.answer(2, 1), returned(b"inline"));
    bench.release.open();
    assert_eq!(peer.answer(0, 1), returned(b"released"));
    assert_eq!(peer.answer(1, 1), returned(b"waits"));
}

#[test]
fn a_server_without_a_thread_to_receive_does_not_start_and_gives_its_address_back() {
    let (_scarce, world) = Scarce::of("receive");
    let (sender, _) = mpsc::channel();
    let probe =
        Probe { seen: Mutex::new(sender), executions: Arc::default(), release: Arc::default() };
    let server = Server::bind_in(&world, "127.0.0.1:0").expect("a free port");
    let address = server.link.local().to_string();
    let begun = world.now();
    let error = server.export(probe).spawn().expect_err("nobody would receive");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("no thread is to be had"), "{error}");
    assert!(world.now().since(begun) < Duration::from_millis(500), "it waits for nobody");
    assert!(Server::bind_in(&reactor::world(), &address).is_ok());
}

/// Panics in a worker that sends, the first time.
struct Weak(Switch, Mutex<Sender<()>>);

impl Watch for Weak {
    fn asked(&self, what: &'static str) {
        let is_worker =
            std::thread::current().name().is_some_and(|name| name.starts_with("rpc-worker"));
        if is_worker && what == "Link::send" && !self.0.is_thrown() {
            self.0.throw();
            let _ = self.1.lock().unwrap().send(());
            std::panic::resume_unwind(Box::new("a link that panics"));
        }
    }
}

#[test]
fn a_worker_that_unwinds_is_replaced_and_no_call_waits_for_it() {
    let (sender, panics) = mpsc::channel();
    let weak = Arc::new(Weak(Switch::default(), Mutex::new(sender)));
    let bench = Bench::within(&watched(reactor::world(), weak), |server| server);
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, WORK, b"its reply is lost");
    panics.recv_timeout(Duration::from_secs(10)).expect("it sends");
    for slot in 1..=3 {
        peer.request(slot, 1, &PROBE, WORK, b"served");
        assert_eq!(peer.answer(slot, 1), returned(b"served"));
    }
    peer.request(0, 1, &PROBE, WORK, b"its reply is lost");
    assert_eq!(peer.answer(0, 1), returned(b"its reply is lost"));
    assert_eq!(bench.executions(), 4);
}

/// Panics in the thread that receives, once told to; says when it does.
struct Bad(Switch, Mutex<Sender<()>>);

impl Watch for Bad {
    fn asked(&self, what: &'static str) {
        if self.0.is_thrown() && what == "Link::receive" {
            let _ = self.1.lock().unwrap().send(());
            std::panic::resume_unwind(Box::new("a link that panics"));
        }
    }
}

#[test]
fn a_server_whose_receiving_thread_unwinds_is_stopped_without_waiting_for_it() {
    let (sender, panics) = mpsc::channel();
    let bad = Arc::new(Bad(Switch::default(), Mutex::new(sender)));
    let world = watched(reactor::world(), Arc::clone(&bad));
    let bench = Bench::within(&world, |server| server);
    let mut peer = bench.peer();
    bad.0.throw();
    peer.request(0, 1, &PROBE, ECHO, b"the last one that wakes it");
    panics.recv_timeout(Duration::from_secs(10)).expect("it receives once more");
    let begun = world.now();
    bench.running.stop();
    assert!(world.now().since(begun) < Duration::from_millis(500));
}
