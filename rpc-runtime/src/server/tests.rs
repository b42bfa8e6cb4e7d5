//! Servers on real loopback sockets, driven by hand-made PDUs and by garbage.
#![cfg(feature = "reactor")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use super::*;
use crate::interface::{Interface, Method};
use crate::protocol::HandlerEnd;
use crate::reactor;
use crate::semantics::Semantics;
use crate::service::{self, Dispatched, Incoming};
use crate::time::Duration;
use crate::wire::{RefuseReason, ReplyStatus, SealedVerdict};

mod addresses;
mod lanes;
mod leading;
mod threads;
mod peer;
#[cfg(feature = "sim")]
mod simulated;
mod waiting;

use peer::{Answer, Peer};

static PROBE: Interface = Interface::new(
    "probe",
    (1, 0),
    &[
        Method::new("echo", "(bytes)->bytes", Semantics::AtMostOnce).inline(),
        Method::new("work", "(bytes)->bytes", Semantics::AtMostOnce),
        Method::new("panic", "(str)->()", Semantics::AtMostOnce),
        Method::new("block", "()->str", Semantics::AtMostOnce),
        Method::new("note", "(str)->", Semantics::Maybe),
        Method::new("undecodable", "()->()", Semantics::AtMostOnce),
        Method::new("context", "()->str", Semantics::AtMostOnce),
    ],
);

const ECHO: usize = 0;
const WORK: usize = 1;
const PANIC: usize = 2;
const BLOCK: usize = 3;
const NOTE: usize = 4;
const UNDECODABLE: usize = 5;
const CONTEXT: usize = 6;

/// A service that does what its tests need, and tells them what it did.
struct Probe {
    seen: Mutex<Sender<String>>,
    executions: Arc<AtomicUsize>,
    release: Arc<Release>,
}

/// Lets blocked handlers go on, all at once.
#[derive(Default)]
struct Release {
    is_open: Mutex<bool>,
    changed: std::sync::Condvar,
}

impl Release {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.changed.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

impl Probe {
    fn tell(&self, what: impl Into<String>) {
        let _ = self.seen.lock().unwrap().send(what.into());
    }

    /// Waits until released or cancelled.
    fn block(&self) -> String {
        let context = crate::context::current().expect("inside a handler");
        let (release, cancelled) = (Arc::clone(&self.release), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&cancelled);
        let open = Arc::clone(&release);
        context.on_cancel(move || {
            told.store(true, Ordering::SeqCst);
            open.open();
        });
        self.tell("blocked");
        release.wait();
        let end = if cancelled.load(Ordering::SeqCst) { "cancelled" } else { "released" };
        self.tell(end);
        end.to_owned()
    }
}

impl Service for Probe {
    fn interface(&self) -> &'static Interface {
        &PROBE
    }

    fn dispatch(&self, method: usize, incoming: Incoming<'_>) -> Dispatched {
        self.executions.fetch_add(1, Ordering::SeqCst);
        let mut body = incoming.reply;
        let mut end = HandlerEnd::Returned;
        match method {
            ECHO | WORK => {
                body.extend_from_slice(incoming.arguments);
                let thread = std::thread::current();
                self.tell(thread.name().unwrap_or_default());
            }
            PANIC => std::panic::resume_unwind(Box::new(
                String::from_utf8(incoming.arguments.to_vec()).unwrap(),
            )),
            BLOCK => body.extend_from_slice(self.block().as_bytes()),
            NOTE => self.tell(String::from_utf8(incoming.arguments.to_vec()).unwrap()),
            UNDECODABLE => end = HandlerEnd::BadArguments,
            CONTEXT => {
                let context = crate::context::current().expect("inside a handler");
                let (caller, depth) = (context.caller(), context.depth());
                let is_timely = context.remaining() <= Duration::from_secs(10)
                    && context.remaining() > Duration::from_secs(5);
                let text = format!("{} {} {depth} {is_timely}", context.id(), caller.client);
                body.extend_from_slice(text.as_bytes());
            }
            unknown => unreachable!("no method {unknown}"),
        }
        Dispatched::Now(service::Answer { end, body })
    }
}

struct Bench {
    running: Running,
    seen: Receiver<String>,
    executions: Arc<AtomicUsize>,
    release: Arc<Release>,
}

impl Bench {
    fn with(change: impl FnOnce(Server) -> Server) -> Self {
        Self::within(&reactor::world(), change)
    }

    /// Its one receiving thread has a name that tests know, unless they want more of them.
    fn within(world: &Arc<dyn World>, change: impl FnOnce(Server) -> Server) -> Self {
        let server = Server::bind_in(world, "127.0.0.1:0").expect("a free port");
        Self::at(server.lanes(1), change)
    }

    fn at(server: Server, change: impl FnOnce(Server) -> Server) -> Self {
        let (sender, seen) = mpsc::channel();
        let (executions, release) = (Arc::<AtomicUsize>::default(), Arc::<Release>::default());
        let probe = Probe {
            seen: Mutex::new(sender),
            executions: Arc::clone(&executions),
            release: Arc::clone(&release),
        };
        let running = change(server.export(probe)).spawn().expect("starts");
        Self { running, seen, executions, release }
    }

    fn new() -> Self {
        Self::with(|server| server)
    }

    fn peer(&self) -> Peer {
        Peer::open(&self.running)
    }

    fn seen(&self) -> String {
        self.seen.recv_timeout(Duration::from_secs(10)).expect("the handler runs")
    }

    fn executions(&self) -> usize {
        self.executions.load(Ordering::SeqCst)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.release.open(); // no test leaves a thread behind
    }
}

fn returned(body: &[u8]) -> Answer {
    Answer::Reply { status: ReplyStatus::Returned, body: body.to_vec() }
}

#[test]
fn inline_and_worker_methods_answer_from_threads_of_their_own() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, ECHO, b"here");
    assert_eq!(peer.answer(0, 1), returned(b"here"));
    assert_eq!(bench.seen(), "rpc-receive");
    peer.request(0, 2, &PROBE, WORK, b"there");
    assert_eq!(peer.answer(0, 2), returned(b"there"));
    assert_eq!(bench.seen(), "rpc-worker-0");
}

#[test]
fn a_duplicate_is_answered_and_not_executed_again() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    for _ in 0..3 {
        peer.request(0, 1, &PROBE, WORK, b"once");
        assert_eq!(peer.answer(0, 1), returned(b"once"));
    }
    assert_eq!(bench.executions(), 1);
}

#[test]
fn a_panic_is_caught_and_told_and_the_server_lives_on() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, PANIC, b"out of paper");
    let told = Answer::Reply { status: ReplyStatus::Panicked, body: b"out of paper".to_vec() };
    assert_eq!(peer.answer(0, 1), told);
    peer.request(0, 2, &PROBE, PANIC, "ä".repeat(300).as_bytes());
    let Answer::Reply { body, .. } = peer.answer(0, 2) else { panic!("not a reply") };
    assert_eq!(body, "ä".repeat(100).as_bytes());
    peer.request(0, 3, &PROBE, WORK, b"still there?");
    assert_eq!(peer.answer(0, 3), returned(b"still there?"));
}

#[test]
fn arguments_that_do_not_decode_are_refused_not_executed() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, UNDECODABLE, b"?");
    assert_eq!(peer.answer(0, 1).refusal(), Some(RefuseReason::BadArguments));
}

#[test]
fn a_handler_knows_the_call_it_serves() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(3, 1, &PROBE, CONTEXT, b"");
    let text = format!("{} {} 2 true", peer.call(3, 1), peer.client());
    assert_eq!(peer.answer(3, 1), returned(text.as_bytes()));
}

#[test]
fn an_unknown_method_is_refused_and_a_changed_one_told_apart() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    let here = PROBE.name_hash(WORK);
    for (sequence, name, reason, detail) in [
        (1, 0xdead, RefuseReason::UnknownMethod, "it exports: probe"),
        (2, here ^ 1, RefuseReason::UnknownMethod, "`probe` has: echo, work, panic, block"),
        (3, here, RefuseReason::ChangedMethod, "`probe.work` exists there with another signature"),
    ] {
        // A late duplicate is told the same.
        for _ in 0..2 {
            peer.request_of(0, sequence, 0xdead, name, Semantics::AtMostOnce, b"");
            let answer = peer.answer(0, sequence);
            assert_eq!(answer.refusal(), Some(reason));
            assert!(answer.detail().starts_with(detail), "{answer:?}");
        }
    }
    assert_eq!(bench.executions(), 0);
}

#[test]
fn an_unknown_session_is_told_so() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.forge_session();
    peer.request(0, 1, &PROBE, WORK, b"");
    assert_eq!(peer.answer(0, 1), Answer::NoSession);
    assert_eq!(bench.executions(), 0);
}

#[test]
fn garbage_of_any_kind_is_dropped_and_disturbs_nobody() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.send_raw(b"");
    peer.send_raw(b"hello?");
    peer.send_raw(&[0xff; 1232]);
    peer.send_raw(&vec![1; 40_000]);
    let whole = peer.encoded_request(0, 1, &PROBE, WORK, b"whole");
    for len in 0..whole.len() {
        peer.send_raw(&whole[..len]);
    }
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        peer.send_raw(&damaged);
    }
    assert_eq!(bench.executions(), 0);
    peer.send_raw(&whole);
    assert_eq!(peer.answer(0, 1), returned(b"whole"));
    assert_eq!(bench.executions(), 1);
}

#[test]
fn a_maybe_call_runs_and_is_not_answered() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, NOTE, b"dear diary");
    assert_eq!(bench.seen(), "dear diary");
    peer.request(0, 1, &PROBE, NOTE, b"dear diary"); // a duplicate
    peer.request(0, 1, &PROBE, WORK, b"x");
    assert_eq!(peer.answer(0, 1), returned(b"x"));
    assert_eq!(bench.executions(), 2);
}

#[test]
fn a_full_queue_refuses_what_comes_on_top_and_the_rest_runs() {
    let bench = Bench::with(|server| server.workers(1).queue(2));
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    for slot in 1..=2 {
        peer.request(slot, 1, &PROBE, WORK, b"waits");
    }
    peer.request(3, 1, &PROBE, WORK, b"one too many");
    assert_eq!(peer.answer(3, 1).refusal(), Some(RefuseReason::Overload));
    peer.request(4, 1, &PROBE, ECHO, b"inline");
    bench.release.open();
    for slot in 1..=2 {
        assert_eq!(peer.answer(slot, 1), returned(b"waits"));
    }
    assert_eq!(peer.answer(0, 1), returned(b"released"));
}

#[test]
fn handlers_run_side_by_side_up_to_the_number_of_workers() {
    let bench = Bench::with(|server| server.workers(3));
    let mut peer = bench.peer();
    for slot in 0..3 {
        peer.request(slot, 1, &PROBE, BLOCK, b"");
    }
    for _ in 0..3 {
        assert_eq!(bench.seen(), "blocked");
    }
    bench.release.open();
    for slot in 0..3 {
        assert_eq!(peer.answer(slot, 1), returned(b"released"));
    }
}

#[test]
fn a_cancelled_handler_is_told() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    peer.cancel(0, 1);
    assert_eq!(bench.seen(), "cancelled");
}

#[test]
fn a_call_cancelled_in_the_queue_never_runs() {
    let bench = Bench::with(|server| server.workers(1));
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    peer.request(1, 1, &PROBE, WORK, b"too late");
    peer.cancel(1, 1);
    assert_eq!(peer.answer(1, 1), Answer::Sealed(SealedVerdict::NotExecuted));
    bench.release.open();
    assert_eq!(peer.answer(0, 1), returned(b"released"));
    assert_eq!(bench.executions(), 1);
}

#[test]
fn a_drain_refuses_new_calls_and_waits_for_those_that_run() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    let drained = std::thread::scope(|scope| {
        let (running, release) = (&bench.running, &bench.release);
        let draining = std::thread::Builder::new()
            .spawn_scoped(scope, || running.drain(Duration::from_secs(10)))
            .expect("a thread");
        peer.await_goaway();
        peer.request(1, 1, &PROBE, WORK, b"too late");
        assert_eq!(peer.answer(1, 1).refusal(), Some(RefuseReason::Draining));
        release.open();
        assert_eq!(peer.answer(0, 1), returned(b"released"));
        draining.join().expect("no panic")
    });
    assert!(drained.is_complete(), "{drained:?}");
}

#[test]
fn a_drain_whose_time_is_over_says_what_it_left_and_cancels_it() {
    let bench = Bench::with(|server| server.workers(1));
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    peer.request(1, 1, &PROBE, WORK, b"waits");
    peer.request(2, 1, &PROBE, ECHO, b"came later");
    assert_eq!(peer.answer(2, 1), returned(b"came later"));
    assert_eq!(bench.seen(), "rpc-receive");
    let drained = bench.running.drain(Duration::from_millis(5));
    assert_eq!((drained.running, drained.queued), (1, 1));
    assert_eq!(bench.seen(), "cancelled");
}

#[test]
fn an_idle_server_drains_at_once() {
    let bench = Bench::new();
    let drained = bench.running.drain(Duration::from_secs(1_000));
    assert!(drained.is_complete());
}

#[test]
fn a_stopped_servers_address_is_free_and_a_taken_one_is_in_use() {
    let bench = Bench::new();
    let address = bench.running.addr().to_string();
    let refused = Server::bind_in(&reactor::world(), &address).expect_err("taken");
    assert_eq!(refused.kind(), ErrorKind::BadAddress);
    assert_eq!(
        refused.to_string(),
        format!("not executed: {address} is in use by another endpoint")
    );
    bench.running.stop();
    bench.running.stop();
    let again = Server::bind_in(&reactor::world(), &address);
    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn stopping_with_a_busy_worker_frees_the_address_and_cancels_the_handler() {
    let bench = Bench::new();
    let mut peer = bench.peer();
    peer.request(0, 1, &PROBE, BLOCK, b"");
    assert_eq!(bench.seen(), "blocked");
    let address = bench.running.addr().to_string();
    bench.running.stop();
    assert_eq!(bench.seen(), "cancelled");
    assert!(Server::bind_in(&reactor::world(), &address).is_ok());
}

#[test]
fn two_services_of_one_name_are_refused() {
    let probe = || {
        let (sender, _) = mpsc::channel();
        Probe { seen: Mutex::new(sender), executions: Arc::default(), release: Arc::default() }
    };
    let server = Server::bind_in(&reactor::world(), "127.0.0.1:0").expect("a free port");
    let refused = server.export(probe()).export(probe()).spawn().expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Misconfigured);
    assert!(refused.to_string().contains("\"probe\""), "{refused}");
}

#[test]
fn a_server_at_two_addresses_serves_at_both() {
    let (sender, _seen) = mpsc::channel();
    let probe =
        Probe { seen: Mutex::new(sender), executions: Arc::default(), release: Arc::default() };
    let server = Server::bind_in(&reactor::world(), "127.0.0.1:0,[::1]:0").expect("free ports");
    let running = server.export(probe).spawn().expect("starts");
    assert_eq!(running.urls().len(), 2);
    for url in running.urls() {
        let mut peer = Peer::open_at(url.strip_prefix("udp://").expect("a UDP server"));
        peer.request(0, 1, &PROBE, WORK, url.as_bytes());
        assert_eq!(peer.answer(0, 1), returned(url.as_bytes()));
    }
}

/// A directory that keeps nothing but notes of who came and went.
#[derive(Clone)]
struct Notes(Arc<Mutex<Vec<String>>>);

#[derive(Debug)]
struct Entry(Arc<Mutex<Vec<String>>>);

impl Registrar for Notes {
    fn register(&self, exported: &Exported) -> Result<Box<dyn Lease>, CallError> {
        let name = exported.interfaces[0].name();
        if exported.urls == ["udp://refused:1"] {
            return Err(CallError::new(ErrorKind::Unreachable, Execution::NotExecuted));
        }
        self.0.lock().unwrap().push(format!("{name} at {}", exported.urls[0]));
        Ok(Box::new(Entry(Arc::clone(&self.0))))
    }
}

impl Lease for Entry {
    fn standing(&self) -> Standing {
        Standing { directory: "notes".to_owned(), trouble: None }
    }

    fn drain(&self) {
        self.0.lock().unwrap().push("drains".to_owned());
    }

    fn tell(&self) {
        self.0.lock().unwrap().push("tells".to_owned());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("gone".to_owned());
    }
}

#[test]
fn a_server_is_registered_while_it_serves() {
    let notes = Notes(Arc::default());
    let bench = Bench::with(|server| server.register(&notes));
    let entered = format!("probe at {}", bench.running.url());
    assert_eq!(*notes.0.lock().unwrap(), std::slice::from_ref(&entered));
    bench.running.set_health("probe", Health::NotServing).unwrap();
    assert_eq!(bench.running.health("probe"), Some(Health::NotServing));
    assert!(bench.running.drain(Duration::from_secs(10)).is_complete());
    let told = ["tells", "drains", "gone"].map(str::to_owned);
    assert_eq!(*notes.0.lock().unwrap(), [&[entered][..], &told].concat());
}

#[test]
fn a_server_that_cannot_be_registered_does_not_start() {
    let notes = Notes(Arc::default());
    let server = Server::bind_in(&reactor::world(), "127.0.0.1:0").expect("a free port");
    let address = server.link.local().to_string();
    let refused = server.advertise("udp://refused:1").register(&notes);
    let (sender, _) = mpsc::channel();
    let probe =
        Probe { seen: Mutex::new(sender), executions: Arc::default(), release: Arc::default() };
    let refused = refused.export(probe).spawn().expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Unreachable);
    assert!(Server::bind_in(&reactor::world(), &address).is_ok());
}
