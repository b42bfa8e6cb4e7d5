//! Async methods from end to end, over UDP and in the simulator: who waits, who is called off, who
//! inherits what.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rpc_runtime::sim::{self, Faults};
use rpc_runtime::{CallError, Error, ErrorKind, Execution, Options, Resolution, Server, service};

#[service]
trait Hall {
    /// Waits for the door; says its name then, which it borrowed, and whether it is the same call.
    async fn wait(&self, name: &str) -> rpc_runtime::Result<String, String>;
    fn open(&self) -> Result<(), CallError>;
    fn shut(&self) -> Result<(), CallError>;
    fn waiting(&self) -> Result<u32, CallError>;
    /// What the bell at `url` has left of its time when it is asked to say so on behalf of this.
    async fn ask(&self, url: &str) -> Result<(u64, u64, u8), CallError>;
    /// Has the bell at `url` ring until it is called off.
    #[rpc(timeout = "5s")]
    async fn ring(&self, url: &str) -> Result<(), CallError>;
    async fn fall(&self, text: &str) -> Result<(), CallError>;
}

/// Nothing here is async.
#[service]
trait Bell {
    fn left(&self) -> Result<(u64, u8), CallError>;
    fn ring(&self) -> Result<(), CallError>;
}

/// Whether one may pass, and who waits for that.
#[derive(Default)]
struct Door {
    is_open: bool,
    waiting: VecDeque<Waker>,
}

#[derive(Default)]
struct MyHall {
    door: Mutex<Door>,
    ended: Arc<AtomicUsize>,
}

impl MyHall {
    async fn pass(&self) {
        poll_fn(|task| {
            let mut door = self.door.lock().unwrap();
            if door.is_open {
                return Poll::Ready(());
            }
            door.waiting.push_back(task.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Counts the handlers that were left, however they were.
struct Leaves(Arc<AtomicUsize>);

impl Drop for Leaves {
    fn drop(&mut self) {
        assert!(rpc_runtime::current().is_some(), "a handler is dropped as it runs");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Hall for MyHall {
    async fn wait(&self, name: &str) -> rpc_runtime::Result<String, String> {
        let before = rpc_runtime::current().expect("inside a handler").id();
        self.pass().await;
        let after = rpc_runtime::current().expect("still inside").id();
        if name.is_empty() {
            return Err(Error::App("nobody waits here".to_owned()));
        }
        Ok(format!("{name} {}", before == after))
    }

    fn open(&self) -> Result<(), CallError> {
        let mut door = self.door.lock().unwrap();
        door.is_open = true;
        let waiting = std::mem::take(&mut door.waiting);
        drop(door);
        waiting.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn shut(&self) -> Result<(), CallError> {
        self.door.lock().unwrap().is_open = false;
        Ok(())
    }

    fn waiting(&self) -> Result<u32, CallError> {
        let waiting = self.door.lock().unwrap().waiting.len();
        u32::try_from(waiting).map_err(|_| CallError::failed("too many"))
    }

    async fn ask(&self, url: &str) -> Result<(u64, u64, u8), CallError> {
        let left = rpc_runtime::current().expect("inside a handler").remaining();
        let bell = BellClient::connect(url)?;
        let (inherited, depth) = bell.start().left().await?;
        Ok((u64::try_from(left.as_micros()).unwrap_or(u64::MAX), inherited, depth))
    }

    async fn ring(&self, url: &str) -> Result<(), CallError> {
        let _leaves = Leaves(Arc::clone(&self.ended));
        let bell = BellClient::connect(url)?;
        bell.start().ring().await
    }

    async fn fall(&self, text: &str) -> Result<(), CallError> {
        let _leaves = Leaves(Arc::clone(&self.ended));
        self.pass().await;
        std::panic::resume_unwind(Box::new(text.to_owned()));
    }
}

struct MyBell {
    rung: Mutex<Sender<&'static str>>,
}

impl Bell for MyBell {
    fn left(&self) -> Result<(u64, u8), CallError> {
        let context = rpc_runtime::current().expect("inside a handler");
        let left = u64::try_from(context.remaining().as_micros()).unwrap_or(u64::MAX);
        Ok((left, context.depth()))
    }

    fn ring(&self) -> Result<(), CallError> {
        let (tell, told) = mpsc::channel();
        let context = rpc_runtime::current().expect("inside a handler");
        context.on_cancel(move || tell.send(()).unwrap_or_default());
        let rung = |what| self.rung.lock().unwrap().send(what).unwrap_or_default();
        rung("rings");
        let is_called_off = told.recv_timeout(Duration::from_secs(10)).is_ok();
        rung(if is_called_off { "called off" } else { "forgotten" });
        Err(CallError::failed("nobody listens"))
    }
}

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A hall and a bell, each a process of its own but for the address space.
struct Town {
    hall: rpc_runtime::server::Running,
    bell: rpc_runtime::server::Running,
    rung: Receiver<&'static str>,
    ended: Arc<AtomicUsize>,
}

impl Town {
    fn new() -> Self {
        let (rings, rung) = mpsc::channel();
        let ended = Arc::<AtomicUsize>::default();
        let hall = MyHall { ended: Arc::clone(&ended), ..MyHall::default() };
        let bind = || Server::bind("udp://127.0.0.1:0").expect("a free port");
        let halls = bind().also("udp://[::1]:0").expect("a free port");
        let bell = MyBell { rung: Mutex::new(rings) };
        Self {
            hall: halls.workers(2).export(HallService::new(hall)).spawn().expect("starts"),
            bell: bind().export(BellService::new(bell)).spawn().expect("starts"),
            rung,
            ended,
        }
    }

    fn client(&self) -> HallClient {
        self.clients().swap_remove(0)
    }

    /// One for each of the hall's addresses: each has slots of its own.
    fn clients(&self) -> Vec<HallClient> {
        let patience = Options::new().timeout(Duration::from_secs(60));
        let connect = |url: &String| HallClient::connect(url).expect("an address").with(patience);
        self.hall.urls().iter().map(connect).collect()
    }

    fn rung(&self) -> &'static str {
        self.rung.recv_timeout(Duration::from_secs(20)).expect("the bell is asked")
    }

    /// Waits until a handler was left.
    fn left(&self) {
        let world = rpc_runtime::reactor::world();
        let until = world.now() + Duration::from_secs(20);
        while self.ended.load(Ordering::SeqCst) == 0 {
            assert!(world.now() < until, "the handler is there still");
            thread::yield_now();
        }
    }
}

/// Has `count` calls wait at once, opens the door, and takes what they say. The calls are spread
/// over clients, of which none may have so many.
fn a_crowd(halls: &[HallClient], count: usize) {
    let hall = &halls[0];
    let names: Vec<_> = (0..count).map(|number| format!("guest {number}")).collect();
    let numbered = names.iter().enumerate();
    let calls: Vec<_> =
        numbered.map(|(number, name)| halls[number % halls.len()].start().wait(name)).collect();
    let unnamed = hall.start().wait("");
    while (hall.waiting().expect("a worker is free") as usize) < count + 1 {}
    hall.open().expect("a worker is free");
    for (call, name) in calls.into_iter().zip(&names) {
        assert_eq!(call.wait().expect("an answer"), format!("{name} true"));
    }
    let refused = unnamed.wait().expect_err("an error of its own");
    assert!(matches!(refused, Error::App(text) if text == "nobody waits here"));
}

#[test]
fn a_thousand_guests_wait_on_two_workers() {
    let town = Town::new();
    a_crowd(&town.clients(), 1_000);
}

#[test]
fn hundreds_of_futures_wait_on_one_thread_of_the_client() {
    let town = Town::new();
    let hall = town.client();
    let names: Vec<_> = (0..500).map(|number| format!("guest {number}")).collect();
    let all = async {
        let mut waiting: Vec<_> = names.iter().map(|name| Box::pin(hall.wait(name))).collect();
        let mut back = 0;
        let mut opener = Box::pin(async {
            while hall.start().waiting().await.expect("a worker is free") < 500 {}
            hall.start().open().await.expect("a worker is free");
        });
        let mut is_open = false;
        poll_fn(|task| {
            is_open = is_open || opener.as_mut().poll(task).is_ready();
            waiting.retain_mut(|guest| {
                let Poll::Ready(answer) = guest.as_mut().poll(task) else { return true };
                assert!(answer.expect("an answer").ends_with(" true"));
                back += 1;
                false
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        back
    };
    assert_eq!(block_on(all), 500);
}

#[test]
fn a_nested_call_inherits_what_is_left_of_the_time() {
    let town = Town::new();
    let hall = town.client().with(Options::new().timeout(Duration::from_secs(3)));
    let (left, inherited, depth) = block_on(hall.ask(&town.bell.url())).expect("an answer");
    assert!(left <= 3_000_000 && left > 0, "{left}");
    assert!(inherited < left && inherited > 0, "{inherited} of {left}");
    assert_eq!(depth, 1);
}

#[test]
fn a_future_that_is_dropped_calls_its_handler_off_and_what_that_has_called() {
    let town = Town::new();
    let (hall, url) = (town.client(), town.bell.url());
    let mut ring = Box::pin(hall.ring(&url));
    let once = |task: &mut Context<'_>| Poll::Ready(ring.as_mut().poll(task).is_pending());
    assert!(block_on(poll_fn(once)));
    assert_eq!(town.rung(), "rings");
    drop(ring);
    assert_eq!(town.rung(), "called off");
    town.left();
}

#[test]
fn a_handler_that_was_called_off_in_its_midst_has_run() {
    let town = Town::new();
    let (hall, url) = (town.client(), town.bell.url());
    let call = hall.start().ring(&url);
    assert_eq!(town.rung(), "rings");
    call.cancel();
    let error = call.wait().expect_err("it was cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert_ne!(error.execution(), Execution::NotExecuted, "{error}");
    assert_eq!(town.rung(), "called off");
    let resolved = hall.resolve(error.call()).expect("an answer");
    assert!(matches!(resolved, Resolution::Failed(_)), "{resolved:?}");
    assert_eq!(town.ended.load(Ordering::SeqCst), 1);
}

#[test]
fn a_handler_is_dropped_at_its_callers_deadline() {
    let town = Town::new();
    let hall = town.client().with(Options::new().timeout(Duration::from_secs(2)));
    let url = town.bell.url();
    let call = hall.start().ring(&url);
    assert_eq!(town.rung(), "rings");
    let error = block_on(call).expect_err("too late");
    assert_ne!(error.execution(), Execution::NotExecuted, "{error}");
    town.left();
}

#[test]
fn a_panic_after_a_wait_is_told_and_its_neighbours_live_on() {
    let town = Town::new();
    let hall = town.client();
    let (falls, waits) = (hall.start().fall("over the mat"), hall.start().wait("ann"));
    while hall.waiting().expect("a worker is free") < 2 {}
    hall.open().expect("a worker is free");
    let error = falls.wait().expect_err("it panicked");
    assert_eq!(
        (error.kind(), error.execution()),
        (ErrorKind::HandlerPanicked, Execution::Executed)
    );
    assert!(error.to_string().contains("over the mat"), "{error}");
    assert_eq!(waits.wait().expect("an answer"), "ann true");
    assert_eq!(town.ended.load(Ordering::SeqCst), 1);
}

/// A bell of the simulated world.
struct Chime(Arc<AtomicUsize>);

impl Bell for Chime {
    fn left(&self) -> Result<(u64, u8), CallError> {
        let context = rpc_runtime::current().expect("inside a handler");
        let left = u64::try_from(context.remaining().as_micros()).unwrap_or(u64::MAX);
        Ok((left, context.depth()))
    }

    fn ring(&self) -> Result<(), CallError> {
        let context = rpc_runtime::current().expect("inside a handler");
        while !context.cancelled() {
            sim::sleep(Duration::from_millis(5));
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(CallError::failed("nobody listens"))
    }
}

#[test]
fn the_same_in_the_simulator_over_a_bad_network() {
    sim::check(0..20, |world| {
        world.faults(Faults::default().loss(0.1).duplicate(0.1).reorder(0.1));
        let (ended, called_off) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (leaves, chimes) = (Arc::clone(&ended), Arc::clone(&called_off));
        world.server("hall", move || {
            let ended = Arc::clone(&leaves);
            HallService::new(MyHall { ended, ..MyHall::default() })
        });
        world.server("bell", move || BellService::new(Chime(Arc::clone(&chimes))));
        world.client("user", move || {
            let hall = HallClient::connect("sim://hall").expect("an address");
            let hall = hall.with(Options::new().timeout(Duration::from_secs(30)));
            let (left, inherited, depth) =
                sim::block_on(hall.ask("sim://bell")).expect("an answer");
            assert!(inherited < left && inherited > 0, "{inherited} of {left}");
            assert_eq!(depth, 1);
            let ring = hall.start().ring("sim://bell");
            sim::sleep(Duration::from_secs(2));
            drop(ring);
            while (ended.load(Ordering::SeqCst), called_off.load(Ordering::SeqCst)) != (1, 1) {
                sim::sleep(Duration::from_millis(10));
            }
            a_crowd(&[hall], 100);
        });
    });
}

#[test]
fn a_crash_takes_the_handlers_that_wait_along() {
    sim::check(0..20, |world| {
        let ended = Arc::<AtomicUsize>::default();
        let leaves = Arc::clone(&ended);
        world.server("hall", move || {
            let ended = Arc::clone(&leaves);
            HallService::new(MyHall { ended, ..MyHall::default() })
        });
        world.server("bell", || BellService::new(Chime(Arc::default())));
        world.crash("hall", Duration::from_secs(1), Duration::from_millis(100));
        world.client("user", move || {
            let hall = HallClient::connect("sim://hall").expect("an address");
            let (rings, falls) = (hall.start().ring("sim://bell"), hall.start().fall("x"));
            let error = rings.wait().expect_err("its server is gone");
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            let error = falls.wait().expect_err("its server is gone");
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            assert_eq!(ended.load(Ordering::SeqCst), 2);
            a_crowd(&[hall], 10);
        });
    });
}

#[test]
fn a_future_hears_of_its_end_at_once_beside_callers_that_block() {
    sim::check(0..20, |world| {
        world.server("hall", || HallService::new(MyHall::default()));
        world.client("user", || {
            let hall = HallClient::connect("sim://hall").expect("an address");
            for _ in 0..20 {
                let (theirs, told) = (hall.clone(), Arc::new(Mutex::new(None)));
                let (tell, here) = (Arc::clone(&told), sim::current_world().expect("this one"));
                let waits = move || {
                    sim::block_on(theirs.wait("ann")).expect("an answer");
                    *tell.lock().unwrap() = Some(sim::now());
                };
                here.spawn("waits", Box::new(waits)).unwrap();
                while hall.waiting().expect("a worker is free") < 1 {}
                hall.open().expect("a worker is free");
                let opened = sim::now();
                let until = opened + Duration::from_secs(5);
                while told.lock().unwrap().is_none() && sim::now() < until {
                    sim::sleep(Duration::from_millis(1));
                }
                let heard = told.lock().unwrap().expect("within five seconds");
                let late = opened.until(heard);
                assert!(late < Duration::from_millis(5), "{late:?}");
                hall.shut().expect("a worker is free");
            }
        });
    });
}
