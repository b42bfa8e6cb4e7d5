//! Threads of the runtime's own that are not to be had, that unwind, or that hold a lock too long.
//! On real sockets: the simulator has one thread at a time.
#![expect(clippy::disallowed_methods, reason = "it must be seen that another thread gets on")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, mpsc};

use super::*;
use crate::client::journal::Keeper;
use crate::driver::watched::{Switch, Watch, watched};
use crate::server::{Running, Server};
use crate::store::Durable;
use crate::store::memory::MemoryStore;
use crate::{Journal, Options};

/// A server on a real socket, and a client in a world that is watched.
fn bench<W: Watch + 'static>(watch: &Arc<W>) -> (Running, Channel) {
    let server = Server::bind_in(&reactor::world(), "127.0.0.1:0").expect("a free port");
    let running = server.export(ClockService::new(Sleeper)).spawn().expect("starts");
    let world = watched(reactor::world(), Arc::clone(watch));
    let channel = Channel::connect_in(&world, &running.addr().to_string()).expect("an address");
    (running, channel)
}

/// Polls with a waker that unparks the calling thread.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unparks(std::thread::Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unparks(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match poll(future.as_mut(), &waker) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Has no thread for a client.
struct NoThreads;

impl Watch for NoThreads {
    fn has_thread(&self, _name: &str) -> bool {
        false
    }
}

#[test]
fn a_client_without_a_background_thread_ends_every_call_all_the_same() {
    let (running, channel) = bench(&Arc::new(NoThreads));
    let clock = ClockClient::on(&channel);
    block_on(clock.start().quick()).unwrap();
    block_on(clock.start().slow(30_000)).unwrap();
    std::thread::scope(|threads| {
        for micros in [10_000, 20_000] {
            let clock = clock.clone();
            threads.spawn(move || clock.slow(micros).unwrap());
            let clock = ClockClient::on(&channel);
            threads.spawn(move || block_on(clock.start().slow(micros)).unwrap());
        }
    });
    running.stop();
    let impatient = clock.with(Options::new().timeout(Duration::from_millis(50)));
    let error = block_on(impatient.start().quick()).expect_err("nobody is there");
    assert_eq!(error.kind(), crate::ErrorKind::NoReply);
}

/// Panics in the background thread's next receive, once.
#[derive(Default)]
struct Bad(Switch, Switch);

impl Watch for Bad {
    fn asked(&self, what: &'static str) {
        let is_background = std::thread::current().name() == Some("rpc-client");
        if is_background && what == "Link::receive" && self.0.is_thrown() && !self.1.is_thrown() {
            self.1.throw();
            std::panic::resume_unwind(Box::new("a link that panics"));
        }
    }
}

#[test]
fn a_background_thread_that_unwinds_is_replaced_and_nobody_waits_for_it() {
    let bad = Arc::new(Bad::default());
    let (_running, channel) = bench(&bad);
    let clock = ClockClient::on(&channel);
    block_on(clock.start().slow(1_000)).unwrap();
    bad.0.throw();
    for _ in 0..5 {
        block_on(clock.start().slow(1_000)).unwrap();
        clock.quick().unwrap();
    }
    assert!(bad.1.is_thrown());
}

/// Sees whether the connection can be used while the world is asked for something. Its clock can be
/// put forward.
#[derive(Default)]
struct Locks {
    ahead_ms: AtomicU64,
    channel: OnceLock<Channel>,
    closed: Switch,
    held: Mutex<Vec<&'static str>>,
    seen: Mutex<Vec<&'static str>>,
}

impl Watch for Locks {
    fn now(&self, now: Instant) -> Instant {
        now + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }

    fn asked(&self, what: &'static str) {
        let Some(channel) = self.channel.get().cloned() else { return };
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = channel.stats();
            let _ = done.send(());
        });
        if is_done.recv_timeout(Duration::from_secs(5)).is_err() {
            self.held.lock().unwrap().push(what);
        }
        self.seen.lock().unwrap().push(what);
    }

    fn is_closed(&self) -> bool {
        self.closed.is_thrown()
    }
}

#[test]
fn no_lock_is_held_while_the_world_is_asked_for_anything() {
    let locks = Arc::new(Locks::default());
    let (_running, channel) = bench(&locks);
    let clock = ClockClient::on(&channel);
    locks.channel.set(channel).expect("once");
    clock.quick().unwrap();
    std::thread::scope(|threads| {
        for _ in 0..3 {
            let clock = clock.clone();
            threads.spawn(move || clock.slow(5_000).unwrap());
        }
        block_on(clock.start().slow(2_000)).unwrap();
    });
    locks.ahead_ms.store(5, Ordering::SeqCst); // then what came meanwhile is read first
    clock.quick().unwrap();
    locks.closed.throw();
    let impatient = clock.with(Options::new().timeout(Duration::from_millis(50)));
    impatient.quick().expect_err("nothing comes any more");
    block_on(impatient.start().quick()).expect_err("nothing comes any more");
    assert_eq!(*locks.held.lock().unwrap(), [""; 0]);
    let seen = locks.seen.lock().unwrap();
    for what in ["Link::send", "Link::receive", "Link::take", "Gate::wait", "World::spawn"] {
        assert!(seen.contains(&what), "{what} was not tried");
    }
}

#[service(name = "box", version = "1.0")]
trait CashBox {
    #[rpc(exactly_once, timeout = "5s")]
    fn put(&self, cents: u64) -> Result<u64, CallError>;
}

struct Open;

impl CashBox for Open {
    fn put(&self, cents: u64) -> Result<u64, CallError> {
        Ok(cents)
    }
}

/// Sees whether slots can be claimed from a journal while the world is asked for something.
#[derive(Default)]
struct Claims {
    keeper: OnceLock<Arc<Keeper>>,
    held: Mutex<Vec<&'static str>>,
}

impl Watch for Claims {
    fn asked(&self, what: &'static str) {
        let Some(keeper) = self.keeper.get().cloned() else { return };
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || {
            keeper.await_claims();
            let _ = done.send(());
        });
        if is_done.recv_timeout(Duration::from_secs(5)).is_err() {
            self.held.lock().unwrap().push(what);
        }
    }
}

/// Who is woken by what is sent then may make a call that claims slots itself.
#[test]
fn no_claim_of_a_journal_is_held_while_the_world_is_asked_for_anything() {
    let store = Durable::open(MemoryStore::new(), reactor::world()).unwrap();
    let service = CashBoxService::durable(&Arc::new(store), |_tx, call| call.on(&Open));
    let server = Server::bind_in(&reactor::world(), "127.0.0.1:0").unwrap();
    let running = server.export(service).spawn().unwrap();
    let claims = Arc::new(Claims::default());
    let world = watched(reactor::world(), Arc::clone(&claims));
    let file = sim::SimDisk::new(1, 0).open().unwrap();
    let journal = Journal::open_file(Box::new(file), Arc::clone(&world)).unwrap();
    let channel = Channel::connect_in(&world, &running.addr().to_string()).unwrap();
    let channel = channel.with_journal(&journal).unwrap();
    assert!(claims.keeper.set(Arc::clone(channel.connection.keeper.as_ref().unwrap())).is_ok());
    assert_eq!(CashBoxClient::on(&channel).put(5).unwrap(), 5);
    assert_eq!(*claims.held.lock().unwrap(), [""; 0]);
}
