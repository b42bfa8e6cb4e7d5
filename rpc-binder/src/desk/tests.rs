//! The desk on a real clock, with a store that does as it is told.

#![expect(clippy::disallowed_methods, reason = "tests wait in real time")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use rpc_runtime::binder::{
    Directory as _, MethodDescription, Registration, Report, Version, VersionRequirement,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;
use rpc_runtime::store::StoreErrorKind;
use rpc_runtime::time::Duration;

use super::*;
use crate::daemon::Daemon;
use crate::samples::bank as registration;

mod shared;
mod together;
use crate::store::Embedded;

/// Ends when its future does.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// What the store has been given: one list of changes for each transaction.
type Given = Arc<Mutex<Vec<Vec<String>>>>;

/// Keeps as long as it is let, and then fails as it is told.
struct Told {
    given: Given,
    /// Each permits one transaction, or has it fail.
    orders: mpsc::Receiver<Result<(), StoreError>>,
    /// Whether it keeps when nobody asks it to.
    heals: Arc<AtomicBool>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl Store for Told {
    fn keep(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        if changes.is_empty() {
            // Nobody asked: it is only tried.
            let full = || StoreError::new(StoreErrorKind::DiskFull, "no room");
            return if self.heals.load(Ordering::Relaxed) { Ok(()) } else { Err(full()) };
        }
        let words = changes.iter().map(|change| match change {
            Change::Forget(_) => "forget".to_owned(),
            Change::Describe(..) => "describe".to_owned(),
            Change::Begin(_, kept) => format!("begin {}", kept.registration.server.0),
            Change::Mark(..) => "mark".to_owned(),
            Change::End(_) => "end".to_owned(),
        });
        let words = words.collect();
        self.given.lock().unwrap().push(words);
        self.orders.recv().unwrap_or(Ok(()))
    }
}

struct Bench {
    desk: Arc<Desk>,
    given: Given,
    orders: mpsc::Sender<Result<(), StoreError>>,
    heals: Arc<AtomicBool>,
}

fn bench(limits: Limits) -> Bench {
    let given = Given::default();
    let (orders, told) = mpsc::channel();
    let heals = Arc::new(AtomicBool::new(true));
    let store = Told { given: Arc::clone(&given), orders: told, heals: Arc::clone(&heals) };
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let desk = Desk::open(&world, limits, Some((Box::new(store), Found::default())));
    Bench { desk: Arc::new(desk), given, orders, heals }
}

fn register(server: u64) -> Request {
    let methods: Arc<[MethodDescription]> = Arc::new([]);
    Request::Register { registration: registration(server), methods: Some(methods) }
}

impl Bench {
    fn found(&self) -> Vec<u64> {
        let any = VersionRequirement::any();
        let page = self.desk.with(|now, registry| registry.lookup(now, "bank", &any, None));
        page.unwrap().entries.iter().map(|entry| entry.server.0).collect()
    }

    /// Asks, and gives the answer when it comes.
    fn ask(&self, request: Request) -> std::thread::JoinHandle<Result<Option<Lease>, BinderError>> {
        let answered = self.desk.ask(request).unwrap();
        std::thread::spawn(move || block_on(answered))
    }

    fn await_transactions(&self, count: usize) {
        for _ in 0..2_000 {
            if self.given.lock().unwrap().len() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the store was asked {} times", self.given.lock().unwrap().len());
    }
}

#[test]
fn nobody_sees_a_registration_before_the_store_has_it() {
    let bench = bench(Limits::default());
    let one = bench.ask(register(1));
    bench.await_transactions(1);
    assert_eq!(bench.found(), [0; 0]);
    assert!(!one.is_finished());
    bench.orders.send(Ok(())).unwrap();
    let lease = one.join().unwrap().unwrap().unwrap();
    assert_eq!(bench.found(), [1]);

    let end = bench.ask(Request::Deregister { id: lease.id, secret: lease.secret });
    bench.await_transactions(2);
    assert_eq!(bench.found(), [1], "its end is not kept yet");
    bench.orders.send(Ok(())).unwrap();
    end.join().unwrap().unwrap();
    assert_eq!(bench.found(), [0; 0]);
}

#[test]
fn what_comes_while_the_store_is_busy_is_kept_together() {
    let bench = bench(Limits::default());
    let first = bench.ask(register(1));
    bench.await_transactions(1);
    let others: Vec<_> = (2..=50).map(|server| bench.ask(register(server))).collect();
    bench.orders.send(Ok(())).unwrap();
    bench.await_transactions(2);
    bench.orders.send(Ok(())).unwrap();
    first.join().unwrap().unwrap();
    for other in others {
        other.join().unwrap().unwrap();
    }
    let given = bench.given.lock().unwrap();
    assert_eq!(given.len(), 2);
    assert_eq!(given[0], ["describe", "begin 1"]);
    assert_eq!(given[1].len(), 49, "the interface is known by then");
}

#[test]
fn what_the_store_refuses_did_not_happen_and_can_be_asked_for_again() {
    let bench = bench(Limits::default());
    bench.orders.send(Err(StoreError::new(StoreErrorKind::DiskFull, "no room"))).unwrap();
    let refusal = bench.ask(register(1)).join().unwrap().unwrap_err();
    assert!(matches!(&refusal, BinderError::NotKept { reason } if reason.contains("no room")));
    assert_eq!(bench.found(), [0; 0]);
    bench.orders.send(Ok(())).unwrap();
    bench.ask(register(1)).join().unwrap().unwrap();
    assert_eq!(bench.found(), [1]);
}

#[test]
fn a_store_that_fails_is_in_trouble_until_it_keeps_again_though_nobody_asks_it() {
    let bench = bench(Limits::default());
    assert_eq!(bench.desk.trouble(), None);
    bench.heals.store(false, Ordering::Relaxed);
    bench.orders.send(Err(StoreError::new(StoreErrorKind::DiskFull, "no room"))).unwrap();
    bench.ask(register(1)).join().unwrap().unwrap_err();
    assert!(bench.desk.trouble().unwrap().contains("no room"));
    bench.heals.store(true, Ordering::Relaxed);
    while bench.desk.trouble().is_some() {
        std::thread::sleep(Duration::from_millis(10));
    }
    bench.desk.end();
    assert!(bench.desk.trouble().unwrap().contains("about to end"));
}

#[test]
fn what_a_failure_left_in_doubt_is_put_right_by_the_next_transaction() {
    let bench = bench(Limits::default());
    bench.orders.send(Ok(())).unwrap();
    let lease = bench.ask(register(1)).join().unwrap().unwrap().unwrap();
    let doubt = || StoreError::new(StoreErrorKind::Other, "the disk went away").doubtful();
    bench.orders.send(Err(doubt())).unwrap();
    let end = Request::Deregister { id: lease.id, secret: lease.secret };
    assert!(bench.ask(end).join().unwrap().is_err());
    bench.orders.send(Err(doubt())).unwrap();
    assert!(bench.ask(register(2)).join().unwrap().is_err());
    assert_eq!(bench.found(), [1], "neither happened, as far as anybody sees");
    bench.orders.send(Ok(())).unwrap();
    bench.ask(register(3)).join().unwrap().unwrap();
    let given = bench.given.lock().unwrap();
    let last = given.last().unwrap();
    assert!(last.contains(&"begin 1".to_owned()) && last.contains(&"end".to_owned()), "{last:?}");
    assert_eq!(last.last().unwrap(), "begin 3");
    drop(given);
    assert_eq!(bench.found(), [1, 3]);
}

#[test]
fn the_end_of_a_lease_is_seen_when_it_is_kept_or_after_a_while_all_the_same() {
    let lease = Duration::from_millis(100);
    let settles = Duration::from_millis(300);
    let bench = bench(Limits { lease, settles, ..Limits::default() });
    bench.orders.send(Ok(())).unwrap();
    let begun = bench.ask(register(1)).join().unwrap().unwrap().unwrap();
    bench.await_transactions(2); // the store is told of the end
    assert_eq!(bench.found(), [1], "the store has not kept it");
    let late = bench.desk.with(|now, registry| {
        registry.renew(now, begun.id, begun.secret, &Report::default()).map(|_| ())
    });
    assert!(matches!(late, Err(BinderError::NotKept { .. })), "{late:?}");
    std::thread::sleep(Duration::from_millis(310));
    assert_eq!(bench.found(), [0; 0], "it has had its time");
    bench.orders.send(Ok(())).unwrap();
}

#[test]
fn whoever_watches_is_called_at_a_change_and_at_the_end_of_his_patience() {
    let bench = bench(Limits::default());
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let until = |millis| world.now() + Duration::from_millis(millis);
    let known = bench.desk.with(|_, registry| registry.revision_of("bank"));
    let started = std::time::Instant::now();
    block_on(bench.desk.watch("bank", known, until(50))).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(50));
    block_on(bench.desk.watch("bank", Revision::NONE, until(60_000))).unwrap();

    let watch = bench.desk.watch("bank", known, until(60_000));
    let other = bench.desk.watch("ledger", known, until(60_000));
    let watching = std::thread::spawn(move || block_on(watch));
    let mut other = pin!(other);
    let waker = Waker::noop();
    assert!(other.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    bench.orders.send(Ok(())).unwrap();
    bench.ask(register(1)).join().unwrap().unwrap();
    watching.join().unwrap().unwrap();
    assert!(bench.desk.with(|_, registry| registry.revision_of("bank")) > known);
}

#[test]
fn a_restarted_binder_knows_who_was_registered_and_gives_each_a_whole_lease() {
    let folder = tempfile::tempdir().unwrap();
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let open = || {
        let (store, found) = Embedded::open(folder.path()).unwrap();
        Daemon::new(Arc::clone(&world), Limits::default(), Some((Box::new(store), found)))
    };
    let methods = || Some(Vec::new());
    let any = VersionRequirement::any();
    let first = open();
    let one = block_on(first.register(&registration(1), methods())).unwrap();
    let two = block_on(first.register(&registration(2), methods())).unwrap();
    block_on(first.deregister(two.id, two.secret)).unwrap();
    let before = first.lookup("bank", &any, None).unwrap().revision;
    drop(first);
    // The thread that keeps may be about to end.
    let second = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        Embedded::open(folder.path()).ok()
    });
    let (store, found) = second.unwrap();
    assert_eq!(found.registrations.len(), 1);
    let second = Daemon::new(Arc::clone(&world), Limits::default(), Some((Box::new(store), found)));
    let page = second.lookup("bank", &any, None).unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].server, ServerId(1));
    assert!(page.entries[0].lease_left_ms > 9_000);
    assert!(page.revision > before, "{} after {before}", page.revision);
    let renewed = second.renew(one.id, one.secret, &Report::default()).unwrap();
    assert_eq!(renewed.id, one.id);
    let gone = second.renew(two.id, two.secret, &Report::default()).unwrap_err();
    assert!(matches!(gone, rpc_runtime::Error::App(BinderError::UnknownRegistration)));
    // The interface is known: nobody need describe it again.
    assert!(block_on(second.register(&registration(3), None)).is_ok());
}

#[test]
fn a_store_that_was_wiped_begins_another_history() {
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let first_of = || {
        let folder = tempfile::tempdir().unwrap();
        let (store, found) = Embedded::open(folder.path()).unwrap();
        assert_eq!(found.life, 1);
        let desk = Desk::open(&world, Limits::default(), Some((Box::new(store), found)));
        desk.with(|_, registry| registry.revision())
    };
    // Of 20 that begin at one of 16 million places hardly two are the same.
    let begun: BTreeSet<_> = std::iter::repeat_with(first_of).take(20).collect();
    assert!(begun.len() >= 19, "{begun:?}");
    let second = u64::from(2_u32) << 32;
    assert!(begun.iter().all(|revision| revision.0 < second), "later lives come later");
}
