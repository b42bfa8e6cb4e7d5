//! Blocking code in virtual time: real threads of which exactly one runs.
//!
//! Whoever runs holds the *baton*. A thread that would block in the runtime tells the scheduler
//! what it waits for, lets the world go on until it is some thread's turn, and gives that thread
//! the baton; no scheduler thread stands in between. So a run does not depend on how the system
//! schedules threads, and no lock of user code is ever contended.
//!
//! Knows turns, unwinding and the watchdog; what happens next is `schedule`'s decision.

mod baton;
mod future;
mod table;
mod world;

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use baton::Baton;
pub use future::block_on;
pub(in crate::sim) use table::{Endpoint, ThreadId, Threads};
pub use world::HostWorld;

use super::hosts::HostId;
use super::schedule::{Control, Ended, Failure, FailureKind, Goal, Turn};
use crate::driver::World;
use crate::time::{Duration, Instant};

/// What a thread runs.
type Body = Box<dyn FnOnce() + Send>;

/// How long, in real time, a thread may run without coming back to the runtime, when nothing else
/// is said.
pub const STALL: Duration = Duration::from_secs(10);

/// How often the watchdog looks, in real time.
const WATCH: Duration = Duration::from_millis(50);

/// A simulated world: its hosts, its network, its one time.
///
/// Made from a seed; the same seed and the same code give the same run. Dropping it unwinds its
/// threads.
pub struct Simulation {
    shared: Arc<Shared>,
    stall: Duration,
}

impl Simulation {
    /// An empty world at its beginning.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let pulse = Arc::new(AtomicU64::new(0));
        let shared = Arc::new_cyclic(|shared| Shared {
            control: Mutex::new(Control::new(seed, Arc::clone(&pulse), shared.clone())),
            main: Mutex::new(None),
            pulse,
        });
        Self { shared, stall: STALL }
    }

    /// Sets how long, in real time, a thread may compute without coming back to the runtime before
    /// the run fails.
    pub fn set_stall(&mut self, stall: Duration) {
        self.stall = stall;
    }

    /// Looks at the world, or changes it. Not while it runs, but from any of its threads.
    pub fn with<T>(&self, look: impl FnOnce(&mut Control) -> T) -> T {
        look(&mut self.shared.lock())
    }

    /// A handle for code in the world to look at it and change it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// The world's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.with(|control| control.now())
    }

    /// The trace's hash so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.with(|control| control.trace.hash())
    }

    /// Runs everything due up to and at `until`, which is then the time.
    ///
    /// # Panics
    ///
    /// Here and in the other `run_` functions: when the run fails, with the [`Failure`]'s text.
    pub fn run_until(&self, until: Instant) -> Ended {
        self.raise(self.try_run(until, Goal::Limit))
    }

    /// Runs everything due in the next `duration`.
    pub fn run_for(&self, duration: Duration) -> Ended {
        self.run_until(self.now() + duration)
    }

    /// Runs until nothing is left to happen, or `limit`.
    pub fn run_until_quiet(&self, limit: Instant) -> Ended {
        self.raise(self.try_run(limit, Goal::Quiet))
    }

    /// Runs until every foreground thread has finished, or `limit`.
    pub fn run_until_finished(&self, limit: Instant) -> Ended {
        self.raise(self.try_run(limit, Goal::Foreground))
    }

    /// As [`Simulation::run_until_finished`].
    ///
    /// # Errors
    ///
    /// The failure, instead of a panic.
    pub fn try_run_until_finished(&self, limit: Instant) -> Result<Ended, Failure> {
        self.try_run(limit, Goal::Foreground)
    }

    /// As [`Simulation::run_until_quiet`].
    ///
    /// # Errors
    ///
    /// The failure, instead of a panic.
    pub fn try_run_until_quiet(&self, limit: Instant) -> Result<Ended, Failure> {
        self.try_run(limit, Goal::Quiet)
    }

    fn raise(&self, ended: Result<Ended, Failure>) -> Ended {
        ended.unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn try_run(&self, limit: Instant, goal: Goal) -> Result<Ended, Failure> {
        assert!(!is_inside(&self.shared), "a thread of a simulated world cannot run that world");
        let mut control = self.shared.lock();
        control.run.goal = goal;
        control.run.limit = limit.max(control.now());
        let ended = self.turn(control);
        let control = self.shared.lock();
        control.run.failure.clone().map_or(Ok(ended), Err)
    }

    /// Lets the world go on until the baton is back here.
    fn turn(&self, mut control: MutexGuard<'_, Control>) -> Ended {
        let baton = Arc::new(Baton::mine());
        *self.shared.main() = Some(Arc::clone(&baton));
        match next_turn(&mut control) {
            Turn::Main(ended) => ended,
            Turn::Thread(thread) => {
                let next = control.threads.baton(thread);
                drop(control);
                next.give();
                self.watch(&baton)
            }
        }
    }

    /// Waits for the baton, and watches that somebody moves.
    fn watch(&self, baton: &Baton) -> Ended {
        let mut still = Duration::ZERO;
        let mut seen = self.shared.pulse.load(Ordering::Relaxed);
        while !baton.take_within(WATCH) {
            let pulse = self.shared.pulse.load(Ordering::Relaxed);
            still = if pulse == seen { still + WATCH } else { Duration::ZERO };
            seen = pulse;
            if still >= self.stall {
                self.abandon();
                return Ended::Failed;
            }
        }
        self.shared.lock().run.ended.take().expect("who gave the baton back said why")
    }

    /// The thread with the baton does not come back.
    fn abandon(&self) {
        let Ok(mut control) = self.shared.control.try_lock() else {
            // The world is locked while nodes and actions run. No state can be changed or read.
            let is_unwinding = std::thread::panicking();
            assert!(is_unwinding, "a node or an action blocks: both must return at once");
            return;
        };
        let report = control.threads.report(&|host| control.name(host).to_owned());
        let text = format!(
            "a thread has not come back to the runtime for {:?} of real time. It waits for something outside the simulated world: a lock that another thread holds across a call, std::thread::sleep, a channel, real I/O; or it computes for ever\n{report}",
            self.stall
        );
        control.run.abandoned = true;
        control.fail(FailureKind::Stalled, text);
    }

    /// Unwinds all threads and waits until they are gone.
    fn stop(&self) {
        let mut control = self.shared.lock();
        let leftovers = control.stop();
        if control.run.abandoned {
            drop(control);
        } else {
            self.turn(control);
        }
        drop(leftovers); // outside the lock: they may own links
        let ended = self.shared.lock().threads.take_ended();
        if !self.shared.lock().run.abandoned {
            for thread in ended {
                // A thread's root catches everything: there is no panic to pass on.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// Looks at a world and changes it, from inside or outside.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// As [`Simulation::with`].
    pub fn with<T>(&self, look: impl FnOnce(&mut Control) -> T) -> T {
        look(&mut self.shared.enter().control)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// What all threads of a world share.
pub(super) struct Shared {
    control: Mutex<Control>,
    /// Where whoever runs the world waits.
    main: Mutex<Option<Arc<Baton>>>,
    /// Counts what happens in the world.
    pulse: Arc<AtomicU64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn main(&self) -> MutexGuard<'_, Option<Arc<Baton>>> {
        self.main.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A runtime entry. A thread whose host has crashed does not come back from here, unless it is
    /// unwinding already: then the entry is inert.
    fn enter(self: &Arc<Self>) -> Entry<'_> {
        let me =
            current(|current| Arc::ptr_eq(current.world.shared(), self).then_some(current.thread));
        let mut control = self.lock();
        control.tick();
        let mut is_inert = false;
        if let Some(me) = me.flatten() {
            let is_lost = control.threads.is_doomed(me) || control.run.abandoned;
            let is_stuck = control.run.failure.is_some();
            if (is_lost || is_stuck) && !std::thread::panicking() {
                control.threads.doom(me);
                drop(control);
                resume_unwind(Box::new(Crashed));
            }
            is_inert = is_lost;
        }
        Entry { shared: self, control, me: me.flatten(), is_inert }
    }

    /// Gives the baton to whoever is next, `me` perhaps, in which case nothing was given.
    fn hand_over<'a>(
        &'a self,
        mut control: MutexGuard<'a, Control>,
        me: Option<ThreadId>,
    ) -> Option<MutexGuard<'a, Control>> {
        if control.run.abandoned {
            return None;
        }
        let baton = match next_turn(&mut control) {
            Turn::Thread(next) if Some(next) == me => return Some(control),
            Turn::Thread(next) => control.threads.baton(next),
            Turn::Main(ended) => {
                control.run.ended = Some(ended);
                self.main().clone().expect("somebody runs the world")
            }
        };
        drop(control);
        baton.give();
        None
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.control.try_lock() {
            Ok(control) => control.fmt(f),
            Err(_) => f.write_str("Control(in use)"),
        }
    }
}

/// Moves the world on. A panic of a node or an action is the run's failure, not that of the thread
/// that happened to have the baton.
fn next_turn(control: &mut Control) -> Turn {
    catch_unwind(AssertUnwindSafe(|| control.next_turn())).unwrap_or_else(|payload| {
        let text = format!("a node or an action panicked: {}", words(&*payload));
        control.fail(FailureKind::Panicked, text);
        Turn::Main(Ended::Failed)
    })
}

/// One thread inside the runtime.
struct Entry<'a> {
    shared: &'a Arc<Shared>,
    control: MutexGuard<'a, Control>,
    me: Option<ThreadId>,
    /// The thread unwinds because its host is gone: nothing it does has an effect any more.
    is_inert: bool,
}

impl Entry<'_> {
    /// The calling thread, which is about to block.
    fn blocking(&self, what: &str) -> ThreadId {
        self.me.unwrap_or_else(|| {
            panic!("{what} blocks, and was called from outside of the simulated world")
        })
    }

    /// Waits to be woken or for `until` by the clock of `host`. Comes back doomed, perhaps: then
    /// [`Entry::leave`] unwinds.
    fn wait(mut self, host: HostId, until: Option<Instant>) -> Self {
        let me = self.blocking("a wait");
        self.control.block(me, host, until);
        self.pass(me)
    }

    /// Lets all others have a turn; for threads that unwind while others do.
    fn give_way(mut self) {
        if let Some(me) = self.me {
            self.control.threads.give_way(me);
            self.pass(me);
        }
    }

    /// Gives the baton away, and comes back with it.
    fn pass(self, me: ThreadId) -> Self {
        let Self { shared, control, is_inert, .. } = self;
        let baton = control.threads.baton(me);
        let control = shared.hand_over(control, Some(me)).unwrap_or_else(|| {
            baton.take();
            shared.lock()
        });
        Self { shared, control, me: Some(me), is_inert }
    }

    /// Leaves the runtime; unwinds if the host has crashed meanwhile.
    fn leave(self) {
        let is_doomed = self.me.is_some_and(|me| self.control.threads.is_doomed(me));
        drop(self.control);
        if is_doomed && !std::thread::panicking() {
            resume_unwind(Box::new(Crashed));
        }
    }
}

/// What a thread of a crashed host unwinds with: no panic hook runs, no message is printed.
struct Crashed;

/// The life of a thread, from its first turn to its last.
fn root(
    shared: Arc<Shared>,
    world: Arc<HostWorld>,
    thread: ThreadId,
    baton: Arc<Baton>,
    body: Body,
) -> impl FnOnce() + Send {
    move || {
        baton.take();
        CURRENT.set(Some(Current { world, thread }));
        let is_doomed = shared.lock().threads.is_doomed(thread);
        let outcome =
            catch_unwind(AssertUnwindSafe(move || if is_doomed { drop(body) } else { body() }));
        CURRENT.set(None);
        let panic = outcome.err().filter(|payload| !payload.is::<Crashed>());
        let panic = panic.map(|payload| words(&*payload).to_owned());
        let mut control = shared.lock();
        if let Some(words) = panic
            && !control.threads.is_doomed(thread)
        {
            let (host, name) = control.threads.who(thread);
            let text = format!("thread `{name}` on `{}` panicked: {words}", control.name(host));
            control.fail(FailureKind::Panicked, text);
        }
        let stopping = control.run.stopping;
        control.threads.finish(thread, stopping);
        shared.hand_over(control, None);
    }
}

/// The message of a panic.
fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}

/// The simulated thread that this real one is.
struct Current {
    world: Arc<HostWorld>,
    thread: ThreadId,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

fn current<T>(look: impl FnOnce(&Current) -> T) -> Option<T> {
    let seen = CURRENT.try_with(|current| current.borrow().as_ref().map(look));
    seen.ok().flatten()
}

fn is_inside(shared: &Arc<Shared>) -> bool {
    current(|current| Arc::ptr_eq(current.world.shared(), shared)).unwrap_or(false)
}

fn current_host(what: &str) -> Arc<HostWorld> {
    current(|current| Arc::clone(&current.world))
        .unwrap_or_else(|| panic!("{what} was called from outside of a simulated world"))
}

/// The world as the simulated host sees it whose thread is calling; the same `Arc` for one life of
/// the host. `None` outside of a simulated world.
#[must_use]
pub fn current_world() -> Option<Arc<dyn World>> {
    current(|current| Arc::clone(&current.world) as Arc<dyn World>)
}

/// The time by the clock of the host whose thread is calling.
///
/// # Panics
///
/// Here and below: when called from outside of a simulated world.
#[must_use]
pub fn now() -> Instant {
    current_host("sim::now").now()
}

/// Sleeps in virtual time, by the clock of the host whose thread is calling: costs no real time.
pub fn sleep(duration: Duration) {
    let world = current_host("sim::sleep");
    let until = world.now() + duration;
    loop {
        let entry = world.shared().enter();
        if entry.is_inert {
            return entry.give_way();
        }
        let entry = entry.wait(world.host(), Some(until));
        let is_over = entry.control.local(world.host()) >= until;
        entry.leave();
        if is_over {
            return;
        }
    }
}

/// Writes something into the trace of the calling thread's world: it becomes part of the hash.
pub fn note(text: &str) {
    let world = current_host("sim::note");
    world.shared().enter().control.note(text);
}

#[cfg(test)]
mod tests;
