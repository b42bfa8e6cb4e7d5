//! Who receives when: blocking callers, futures and calls nobody waits for yet, in virtual time for
//! the most part.
//!
//! The network loses nothing here, so that every delay is somebody's who was not woken.
#![cfg(feature = "sim")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use rpc_runtime::{CallError, Channel, service};

use crate::driver::{Gate, World};
use crate::time::{Duration, Instant};
use crate::{reactor, sim};

mod handover;
mod hedged;
mod nested;
mod threads;
mod wakers;

/// There and back again, by the simulator's network, and a little for what is computed on the way.
const WAY: Duration = Duration::from_millis(1);

#[service(name = "clock", version = "1.0")]
trait Clock {
    /// Answers at once.
    fn quick(&self) -> Result<(), CallError>;
    /// Answers at once, and must do so soon.
    #[rpc(timeout = "15ms")]
    fn hasty(&self) -> Result<(), CallError>;
    /// Answers after so many microseconds.
    fn slow(&self, micros: u64) -> Result<(), CallError>;
}

struct Sleeper;

impl Clock for Sleeper {
    fn quick(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn hasty(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn slow(&self, micros: u64) -> Result<(), CallError> {
        sleep(Duration::from_micros(micros));
        Ok(())
    }
}

fn here() -> Arc<dyn World> {
    sim::current_world().unwrap_or_else(reactor::world)
}

fn now() -> Instant {
    here().now()
}

fn sleep(duration: Duration) {
    let (gate, until) = (here().gate(), now() + duration);
    while now() < until {
        gate.wait(Some(until));
    }
}

/// Runs `body` against a server of the clock, once for each of `seeds`.
fn check(seeds: u64, body: impl Fn(&Channel) + Clone + Send + Sync + 'static) {
    check_fresh(seeds, move |channel| {
        ClockClient::on(channel).quick().expect("the first call opens the session");
        body(channel);
    });
}

/// As [`check`], without a session yet.
fn check_fresh(seeds: u64, body: impl Fn(&Channel) + Clone + Send + Sync + 'static) {
    sim::check(0..seeds, |world| {
        let body = body.clone();
        world.server("clock", || ClockService::new(Sleeper));
        world.client("caller", move || {
            let channel = Channel::connect("sim://clock").expect("a host of this name");
            body(&channel);
        });
    });
}

/// Opens a gate.
struct Opens(Arc<dyn Gate>);

impl Wake for Opens {
    fn wake(self: Arc<Self>) {
        self.0.open();
    }
}

/// Polls with a waker that opens a gate of its own.
fn block_on<F: Future>(future: F) -> F::Output {
    let gate = here().gate();
    let waker = Waker::from(Arc::new(Opens(Arc::clone(&gate))));
    let mut future = pin!(future);
    loop {
        match poll(future.as_mut(), &waker) {
            Poll::Ready(value) => return value,
            Poll::Pending => gate.wait(None),
        }
    }
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// A thread, and how to wait for its end.
struct Thread(Arc<dyn Gate>);

impl Thread {
    fn spawn(body: impl FnOnce() + Send + 'static) -> Self {
        let done = here().gate();
        let inside = Arc::clone(&done);
        let body = move || {
            body();
            inside.open();
        };
        here().spawn("caller", Box::new(body)).unwrap();
        Self(done)
    }

    fn join(self) {
        self.0.wait(None);
    }
}

/// How long it takes.
fn timed<T>(body: impl FnOnce() -> T) -> Duration {
    let begun = now();
    let _ = body();
    now().since(begun)
}

/// The most that was seen of something, by several threads.
#[derive(Clone, Default)]
struct Most(Arc<Mutex<Duration>>);

impl Most {
    fn see(&self, seen: Duration) {
        let mut most = self.0.lock().expect("nobody panics");
        *most = seen.max(*most);
    }

    fn get(&self) -> Duration {
        *self.0.lock().expect("nobody panics")
    }
}
