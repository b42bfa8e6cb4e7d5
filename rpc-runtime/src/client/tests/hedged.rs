//! Calls that are made at a second server, at the moments in which one could be forgotten. On real
//! sockets, with a clock that goes on between two looks at it.

use std::thread::{self, ThreadId};

use super::*;
use crate::client::route::{Finder, Loss, Route};
use crate::client::whereabouts::Whereabouts;
use crate::driver::watched::{Switch, Watch, watched};
use crate::ids::ServerId;
use crate::protocol::Target;
use crate::server::{Running, Server};

#[service(name = "book", version = "1.0")]
trait Book {
    /// Says which server answers.
    #[rpc(at_least_once, timeout = "5s", hedge = "100ms")]
    fn find(&self) -> Result<u64, CallError>;
}

/// Answers with its number, after as many seconds.
struct Librarian(u64);

impl Book for Librarian {
    fn find(&self) -> Result<u64, CallError> {
        let context = crate::current().expect("inside a handler");
        let until = now() + Duration::from_secs(self.0);
        while now() < until && !context.cancelled() {
            here().gate().wait(Some(now() + Duration::from_millis(5)));
        }
        Ok(self.0)
    }
}

/// A clock that goes on by `jump` after so many looks of one thread.
#[derive(Debug, Default)]
struct Clock(Mutex<Jump>);

#[derive(Debug, Default)]
struct Jump {
    length: Duration,
    looks: u32,
    who: Option<ThreadId>,
}

impl Watch for Clock {
    fn now(&self, now: Instant) -> Instant {
        let mut jump = self.0.lock().unwrap();
        if jump.looks == 0 {
            return now + jump.length;
        }
        jump.looks -= u32::from(jump.who == Some(thread::current().id()));
        now
    }
}

/// Two servers, the second of which is found at once, or when a gate is opened.
#[derive(Debug)]
struct Two {
    first: Channel,
    second: Channel,
    behind: Option<Arc<dyn Gate>>,
}

impl Finder for Two {
    fn find(&self, _deadline: Instant, _call: &Whereabouts) -> Result<Channel, CallError> {
        Ok(self.first.clone())
    }

    fn find_other(&self, _than: Target, _deadline: Instant) -> Option<Channel> {
        if let Some(gate) = &self.behind {
            gate.wait(None);
        }
        Some(self.second.clone())
    }

    fn lost(&self, _target: Target, _loss: Loss) {}
}

/// A slow server and one that answers at once, and a client of both.
struct Library {
    _servers: [Running; 2],
    clock: Arc<Clock>,
    channel: Channel,
}

impl Library {
    fn new(behind: Option<Arc<dyn Gate>>) -> Self {
        let clock = Arc::new(Clock::default());
        let world = watched(reactor::world(), Arc::clone(&clock));
        let open = |number: u64, takes: u64| {
            let server = Server::bind_in(&reactor::world(), "127.0.0.1:0").unwrap();
            let service = BookService::new(Librarian(takes));
            let server = server.id(ServerId(number)).export(service).spawn().unwrap();
            let place = server.addr().to_string();
            let incarnation = crate::ids::Incarnation::NONE;
            let channel = Channel::to(&world, &place, ServerId(number), incarnation).unwrap();
            (server, channel)
        };
        let ((slow, first), (quick, second)) = (open(1, 3), open(2, 0));
        let two = Two { first, second, behind };
        let channel = Channel::found(Box::new(two), Instant::START).unwrap();
        Self { _servers: [slow, quick], clock, channel }
    }

    fn route(&self) -> &Arc<Route> {
        self.channel.route.as_ref().expect("it was found")
    }
}

/// Notes that it was woken, and opens a gate.
#[derive(Debug)]
struct Bell(Switch, Arc<dyn Gate>);

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self(Switch::default(), here().gate()))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.throw();
        self.1.open();
    }
}

const HEDGE: Duration = Duration::from_millis(100);

/// Waits until it rings; says whether it did so soon.
fn rings(bell: &Bell) -> bool {
    let until = now() + Duration::from_secs(1);
    while !bell.0.is_thrown() && now() < until {
        bell.1.wait(Some(until));
    }
    bell.0.is_thrown()
}

#[test]
fn a_hedge_whose_time_comes_between_two_looks_at_the_clock_is_made() {
    for looks in 0..4 {
        let library = Library::new(None);
        let book = BookClient::on(&library.channel);
        let mut call = pin!(book.start().find());
        assert!(poll(call.as_mut(), Waker::noop()).is_pending());
        let who = Some(thread::current().id());
        *library.clock.0.lock().unwrap() = Jump { length: HEDGE, looks, who };
        let bell = Bell::new();
        assert!(poll(call.as_mut(), &Waker::from(Arc::clone(&bell))).is_pending());
        library.clock.0.lock().unwrap().looks = 0;
        assert!(rings(&bell), "it is forgotten after {looks} looks");
        assert_eq!(threads::block_on(call).unwrap(), 0, "the second one answers");
    }
}

#[test]
fn a_call_that_is_polled_ten_thousand_times_during_a_search_waits_for_it_once() {
    let gate = here().gate();
    let library = Library::new(Some(Arc::clone(&gate)));
    let book = BookClient::on(&library.channel);
    let mut call = Box::pin(book.start().find());
    assert!(poll(call.as_mut(), Waker::noop()).is_pending());
    *library.clock.0.lock().unwrap() = Jump { length: HEDGE, looks: 0, who: None };
    for _ in 0..10_000 {
        let waker = Waker::from(Bell::new());
        assert!(poll(call.as_mut(), &waker).is_pending());
    }
    let waiting = || library.route().lock().spare.seekers.len();
    assert_eq!(waiting(), 1);
    drop(call);
    assert_eq!(waiting(), 0, "nobody is left to be told");
    gate.open();
}

/// Finds a server, once.
#[derive(Debug)]
struct Once(Mutex<Option<Channel>>);

impl Finder for Once {
    fn find(&self, _deadline: Instant, _call: &Whereabouts) -> Result<Channel, CallError> {
        let found = self.0.lock().unwrap().take();
        Ok(found.unwrap_or_else(|| std::panic::resume_unwind(Box::new("none is left"))))
    }

    fn find_other(&self, _than: Target, _deadline: Instant) -> Option<Channel> {
        None
    }

    fn lost(&self, _target: Target, _loss: Loss) {}
}

#[test]
fn a_thread_that_unwinds_while_it_makes_a_call_again_leaves_nobody_waiting() {
    let nobody = Channel::connect_in(&reactor::world(), "127.0.0.1:9").unwrap();
    let channel = Channel::found(Box::new(Once(Mutex::new(Some(nobody)))), now()).unwrap();
    let route = channel.route.as_ref().expect("it was found");
    route.lose(&route.current(), Loss::Gone);
    let error = threads::block_on(BookClient::on(&channel).start().find()).unwrap_err();
    assert_eq!(error.execution(), crate::Execution::Unknown, "{error}");
    assert!(error.to_string().contains("panicked"), "{error}");
}
