//! Async handlers on real loopback sockets: they wait without a thread, and end however they may.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::*;
use crate::service::{self, Handling};

static HALL: Interface = Interface::new(
    "hall",
    (1, 0),
    &[
        Method::new("wait", "(bytes)->bytes", Semantics::AtMostOnce),
        Method::new("spin", "(bytes)->bytes", Semantics::AtMostOnce),
        Method::new("panic", "(bytes)->bytes", Semantics::AtMostOnce),
        Method::new("clumsy", "(bytes)->bytes", Semantics::AtMostOnce),
        Method::new("inline", "(bytes)->bytes", Semantics::AtMostOnce).inline(),
        Method::new("work", "(bytes)->bytes", Semantics::AtMostOnce).worker(),
        Method::new("note", "(bytes)->", Semantics::Maybe),
    ],
);

const WAIT: usize = 0;
const SPIN: usize = 1;
const PANIC: usize = 2;
const CLUMSY: usize = 3;
const INLINE: usize = 4;
const WORK: usize = 5;
const NOTE: usize = 6;

/// Where handlers wait.
#[derive(Default)]
struct Door(Mutex<(bool, Vec<Waker>)>);

impl Door {
    async fn passed(&self) {
        poll_fn(|task| {
            let (is_open, waiting) = &mut *self.0.lock().unwrap();
            if *is_open {
                return Poll::Ready(());
            }
            waiting.push(task.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets everybody through; gives the wakers, which are old now.
    fn open(&self) -> Vec<Waker> {
        self.0.lock().unwrap().0 = true;
        self.knock()
    }

    /// Wakes everybody.
    fn knock(&self) -> Vec<Waker> {
        let waiting = std::mem::take(&mut self.0.lock().unwrap().1);
        for waker in &waiting {
            waker.wake_by_ref();
        }
        waiting
    }
}

/// What handlers say.
#[derive(Clone)]
struct Said(Arc<Mutex<Sender<String>>>);

impl Said {
    fn tell(&self, what: &str) {
        let call = crate::context::current().map(|context| context.id().slot.0);
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = self.0.lock().unwrap().send(format!("{what} {call:?} {thread}"));
    }
}

/// Something that a handler holds.
struct Held {
    said: Said,
    is_clumsy: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.said.tell("dropped");
        if self.is_clumsy {
            std::panic::resume_unwind(Box::new("fell"));
        }
    }
}

struct Hall {
    door: Arc<Door>,
    said: Said,
}

impl Service for Hall {
    fn interface(&self) -> &'static Interface {
        &HALL
    }

    fn dispatch(&self, method: usize, incoming: Incoming<'_>) -> Dispatched {
        let (door, said) = (Arc::clone(&self.door), self.said.clone());
        let (arguments, reply) = (std::mem::take(incoming.arguments), incoming.reply);
        if method == WORK {
            said.tell("worked");
            return Dispatched::Now(service::Answer { end: HandlerEnd::Returned, body: arguments });
        }
        Dispatched::Later(Handling::new(async move {
            said.tell("entered");
            let held = Held { said: said.clone(), is_clumsy: method == CLUMSY };
            if method == SPIN {
                spin(&door).await;
            } else {
                door.passed().await;
            }
            if method == PANIC {
                std::panic::resume_unwind(Box::new("out of paper"));
            }
            said.tell("went on");
            drop(held);
            let mut body = reply;
            body.extend_from_slice(&arguments);
            (service::Answer { end: HandlerEnd::Returned, body }, arguments)
        }))
    }
}

/// Wakes itself until the door is open.
async fn spin(door: &Door) {
    poll_fn(|task| {
        task.waker().wake_by_ref();
        if door.0.lock().unwrap().0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

struct Fair {
    running: Running,
    door: Arc<Door>,
    seen: Receiver<String>,
}

impl Fair {
    fn with(change: impl FnOnce(Server) -> Server) -> Self {
        let (sender, seen) = mpsc::channel();
        let (door, said) = (Arc::<Door>::default(), Said(Arc::new(Mutex::new(sender))));
        let hall = Hall { door: Arc::clone(&door), said };
        let server = Server::bind_in(&reactor::world(), "127.0.0.1:0").expect("a free port");
        let running = change(server.export(hall)).spawn().expect("starts");
        Self { running, door, seen }
    }

    fn seen(&self) -> String {
        self.seen.recv_timeout(Duration::from_secs(10)).expect("somebody says something")
    }

    /// What is said next, without the thread.
    fn told(&self) -> String {
        let seen = self.seen();
        seen.rsplit_once(' ').expect("a thread").0.to_owned()
    }
}

fn panicked(text: &str) -> Answer {
    Answer::Reply { status: ReplyStatus::Panicked, body: text.as_bytes().to_vec() }
}

const CANCELLED: Answer = Answer::Reply { status: ReplyStatus::CancelledPartial, body: vec![] };

#[test]
fn a_thousand_handlers_wait_on_two_workers_and_all_of_them_end() {
    let fair = Fair::with(|server| server.workers(2));
    let place = fair.running.addr().to_string();
    let mut peer = Peer::open_wide(reactor::world(), &place, 1_001);
    for slot in 0..1_000 {
        peer.request(slot, 1, &HALL, WAIT, &slot.to_le_bytes());
        assert_eq!(fair.told(), format!("entered Some({slot})"));
        if slot % 50 == 49 {
            // Work goes on meanwhile; and what the server says of the others is read.
            let round = u64::from(slot / 50 + 1);
            peer.request(1_000, round, &HALL, WORK, b"worked");
            assert_eq!(peer.answer(1_000, round), returned(b"worked"));
            assert_eq!(fair.told(), "worked Some(1000)");
        }
    }
    let old = fair.door.open();
    for slot in 0..1_000 {
        peer.request(slot, 1, &HALL, WAIT, &slot.to_le_bytes()); // its reply may have been lost
        assert_eq!(peer.answer(slot, 1), returned(&slot.to_le_bytes()));
    }
    old.iter().for_each(Waker::wake_by_ref); // of handlers that have ended: no harm
    peer.request(1_000, 21, &HALL, WORK, b"still there?");
    assert_eq!(peer.answer(1_000, 21), returned(b"still there?"));
    let threads: std::collections::BTreeSet<_> = std::iter::from_fn(|| fair.seen.try_recv().ok())
        .map(|seen| seen.rsplit_once(' ').expect("a thread").1.to_owned())
        .collect();
    assert!(threads.len() <= 2, "{threads:?}");
}

#[test]
fn a_handler_knows_its_call_in_every_poll_and_when_it_is_dropped() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    for slot in [3, 5] {
        peer.request(slot, 1, &HALL, WAIT, b"");
        assert_eq!(fair.told(), format!("entered Some({slot})"));
    }
    fair.door.knock(); // for nothing
    fair.door.open();
    for _ in [3, 5] {
        let went_on = fair.told();
        let slot = went_on.strip_prefix("went on ").expect("the next poll");
        assert_eq!(fair.told(), format!("dropped {slot}"));
    }
    peer.request(7, 1, &HALL, WORK, b"");
    assert_eq!(fair.told(), "worked Some(7)");
}

#[test]
fn a_cancelled_handler_is_dropped_where_it_waits_and_the_call_ends_as_cancelled() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    peer.request(2, 1, &HALL, WAIT, b"");
    assert_eq!(fair.told(), "entered Some(2)");
    peer.cancel(2, 1);
    assert_eq!(fair.told(), "dropped Some(2)");
    assert_eq!(peer.answer(2, 1), CANCELLED);
    fair.door.open();
    peer.request(2, 2, &HALL, WAIT, b"again");
    assert_eq!(peer.answer(2, 2), returned(b"again"));
}

#[test]
fn a_handler_that_is_busy_waking_itself_is_cancelled_too() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    peer.request(2, 1, &HALL, SPIN, b"");
    assert_eq!(fair.told(), "entered Some(2)");
    peer.cancel(2, 1);
    assert_eq!(fair.told(), "dropped Some(2)");
    assert_eq!(peer.answer(2, 1), CANCELLED);
}

#[test]
fn handlers_that_wake_themselves_and_calls_that_begin_take_turns() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    for slot in 0..3 {
        peer.request(slot, 1, &HALL, SPIN, b"spun");
        assert_eq!(fair.told(), format!("entered Some({slot})"));
    }
    for sequence in 1..=20 {
        peer.request(9, sequence, &HALL, WORK, b"worked");
        assert_eq!(peer.answer(9, sequence), returned(b"worked"));
    }
    fair.door.open();
    for slot in 0..3 {
        assert_eq!(peer.answer(slot, 1), returned(b"spun"));
    }
}

#[test]
fn a_panic_in_a_later_poll_is_caught_and_told_and_the_rest_is_dropped() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    peer.request(0, 1, &HALL, PANIC, b"");
    assert_eq!(fair.told(), "entered Some(0)");
    fair.door.open();
    assert_eq!(peer.answer(0, 1), panicked("out of paper"));
    assert_eq!(fair.told(), "dropped Some(0)");
    peer.request(0, 2, &HALL, PANIC, b""); // in the first poll
    assert_eq!(peer.answer(0, 2), panicked("out of paper"));
    peer.request(0, 3, &HALL, WORK, b"still there?");
    assert_eq!(peer.answer(0, 3), returned(b"still there?"));
}

#[test]
fn a_panic_of_what_a_cancelled_handler_held_is_told_as_one_of_the_handler() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    peer.request(0, 1, &HALL, CLUMSY, b"");
    assert_eq!(fair.told(), "entered Some(0)");
    peer.cancel(0, 1);
    assert_eq!(peer.answer(0, 1), panicked("fell"));
    peer.request(0, 2, &HALL, WORK, b"still there?");
    assert_eq!(peer.answer(0, 2), returned(b"still there?"));
}

#[test]
fn no_more_handlers_wait_than_calls_may_run() {
    let limits = Limits { calls_running_max: 2, ..Limits::default() };
    let fair = Fair::with(|server| server.workers(2).limits(limits));
    let mut peer = Peer::open(&fair.running);
    for slot in 0..2 {
        peer.request(slot, 1, &HALL, WAIT, b"waited");
        assert_eq!(fair.told(), format!("entered Some({slot})"));
    }
    peer.request(2, 1, &HALL, WAIT, b"one too many");
    assert_eq!(peer.answer(2, 1).refusal(), Some(RefuseReason::Overload));
    // A call that nobody waits for is not refused: it begins when there is room.
    peer.request(0, 1, &HALL, NOTE, b"");
    peer.cancel(1, 1);
    assert_eq!(fair.told(), "dropped Some(1)");
    assert_eq!(peer.answer(1, 1), CANCELLED);
    assert_eq!(fair.told(), "entered Some(0)");
    fair.door.open();
    assert_eq!(peer.answer(0, 1), returned(b"waited"));
}

#[test]
fn an_inline_handler_that_waits_is_left_to_the_workers() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    peer.request(0, 1, &HALL, INLINE, b"waited");
    assert_eq!(fair.seen(), "entered Some(0) rpc-receive");
    while fair.door.0.lock().unwrap().1.is_empty() {
        std::thread::yield_now(); // it is about to wait
    }
    fair.door.open();
    assert_eq!(fair.seen(), "went on Some(0) rpc-worker-0");
    assert_eq!(peer.answer(0, 1), returned(b"waited"));
}

#[test]
fn a_drain_waits_for_handlers_that_wait() {
    let fair = Fair::with(|server| server.workers(1));
    let mut peer = Peer::open(&fair.running);
    peer.request(0, 1, &HALL, WAIT, b"waited");
    assert_eq!(fair.told(), "entered Some(0)");
    let drained = std::thread::scope(|scope| {
        let running = &fair.running;
        let draining = std::thread::Builder::new()
            .spawn_scoped(scope, || running.drain(Duration::from_secs(10)))
            .expect("a thread");
        peer.await_goaway();
        peer.request(1, 1, &HALL, WAIT, b"too late");
        assert_eq!(peer.answer(1, 1).refusal(), Some(RefuseReason::Draining));
        fair.door.open();
        assert_eq!(peer.answer(0, 1), returned(b"waited"));
        draining.join().expect("no panic")
    });
    assert!(drained.is_complete(), "{drained:?}");
}

#[test]
fn a_server_that_ends_drops_the_handlers_that_wait_before_it_says_so() {
    for is_drained in [true, false] {
        let fair = Fair::with(|server| server.workers(1));
        let mut peer = Peer::open(&fair.running);
        for slot in 0..5 {
            let method = if slot == 2 { CLUMSY } else { WAIT };
            peer.request(slot, 1, &HALL, method, b"");
            assert_eq!(fair.told(), format!("entered Some({slot})"));
        }
        peer.request(9, 1, &HALL, WORK, b"");
        assert_eq!(fair.told(), "worked Some(9)"); // so the only worker has left the last of them
        if is_drained {
            let drained = fair.running.drain(Duration::from_millis(5));
            assert!((5..=6).contains(&drained.running), "{drained:?}");
        } else {
            fair.running.stop();
        }
        let mut dropped: Vec<_> = std::iter::from_fn(|| fair.seen.try_recv().ok()).collect();
        dropped.sort_unstable();
        assert_eq!(dropped.len(), 5, "{dropped:?}");
        assert!(dropped[4].starts_with("dropped Some(4)"), "{dropped:?}");
        fair.door.open(); // nobody is there any more
    }
}
