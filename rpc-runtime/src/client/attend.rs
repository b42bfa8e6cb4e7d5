//! Who receives, and who looks after timers.
//!
//! # The rule
//!
//! At most one thread has the **lead**. Only it reads the link, and only it runs timers, once
//! nothing is left to be read: what has come counts before what is late. It gives the lead up when
//! its own call has ended, and whenever it has wakers to call, which are others' code.
//!
//! A caller that finds the lead free takes it; one that does not sleeps (a *follower*). Where no
//! follower could, the background thread takes the lead when it is *wanted*: when a future waits,
//! a call has yet to leave because it waits for a session or a slot, the link holds something that
//! its socket did not take, or a timer is due. It keeps the lead while calls are under way.
//!
//! Whoever changed who needs what **settles**, in the same turn of the lock:
//!
//! 1. Somebody leads: it is woken if it would sleep over a timer.
//! 2. Else a follower whose call has not ended is called, the one that has slept longest.
//! 3. Else the background thread is called, if it is wanted or would sleep over a timer.
//!
//! So a call that has left and that nobody waits for yet takes nobody's time: what comes for it is
//! read when one of its timers is due, or by whoever leads next.
//!
//! Where no background thread is to be had, whoever called it does once what it would do, and wakes
//! all futures: they are polled again, and call it again.
//!
//! # Why nobody sleeps for ever
//!
//! Whenever the lock is free, one of these holds: somebody leads; somebody who was called has yet
//! to look; nobody waits, and the background thread wakes in time for the next timer.
//!
//! - A follower goes to sleep in the turn in which it saw that somebody leads.
//! - A future is noted, and calls are started and ended, in turns that settle.
//! - Every way out of the lead settles. A thread that unwinds calls all who wait instead.
//! - A follower that was called takes the lead, or sees that somebody else has it, or finds that its
//!   call has ended: then the turn in which that happened has called the next one. One whose patience
//!   has ended settles.
//! - The background thread notes that it sleeps in the turn in which it saw that it is not needed.
//!   Until then it is noted as awake, and whoever relies on that is seen by the look still to come.
//!   If it unwinds it is noted as absent, and all who wait are called.
//!
//! The pattern is Leader/Followers (Schmidt et al., 2000).

use std::sync::{Arc, MutexGuard, Weak};
use std::task::Waker;

use super::connection::{Connection, State};
use super::errands::{self, Background, Errands};
use super::kept;
use super::verdict::Finished;
use crate::driver::{Gate, Received};
use crate::probe::{self, Mark};
use crate::protocol::CallKey;
use crate::time::{Duration, Instant};

/// How many datagrams are read, at most, before a timer that is due gets its turn.
const READ_BEFORE_TIMERS_MAX: usize = 64;

/// How many datagrams are read, at most, before those hear whose calls have ended by them.
const READ_TOGETHER_MAX: usize = 64;

/// So many threads are woken together, at the least, for what they start next to be sent together.
const WOKEN_TOGETHER_MIN: usize = 2;

/// How long the leader rests before it asks a closed link again: that returns at once.
const CLOSED_PAUSE: Duration = Duration::from_millis(10);

/// What the background thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attendant {
    /// There is none.
    Absent,
    /// It looks at the state before it sleeps again.
    Awake,
    /// It sleeps until then; `None` is until it is called.
    Asleep(Option<Instant>),
}

/// Who is to be called, for somebody to look at the machine in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nobody,
    /// The leader sleeps for too long.
    Leader,
    /// The one that has slept longest, to lead.
    Follower,
    Background(Background),
}

impl Connection {
    /// Waits until the call has ended, receiving for all if nobody else does.
    pub(super) fn wait(self: &Arc<Self>, key: CallKey) -> Finished {
        self.wait_until(key, None).expect("only its end ends this wait")
    }

    /// As [`Connection::wait`], no longer than until `patience`.
    pub(super) fn wait_until(
        self: &Arc<Self>,
        key: CallKey,
        patience: Option<Instant>,
    ) -> Option<Finished> {
        let mut state = self.lock();
        let mut may_be_gathered = state.corks > 0;
        loop {
            if let Some(finished) = state.take(key) {
                return Some(finished);
            }
            if std::mem::take(&mut may_be_gathered) {
                state = self.send_gathered(state);
                continue;
            }
            if patience.is_some_and(|patience| patience <= self.world.now()) {
                let (now, mut errands) = (state.now, kept::errands());
                state.drain(now, &mut errands);
                self.settle(&mut state, &mut errands); // it may have been called to lead
                drop(state);
                self.run(errands);
                return None;
            }
            if state.leader.is_some() {
                state = self.follow(state, key, patience);
                continue;
            }
            if let Some(finished) = self.lead(state, Some(key), patience) {
                return Some(finished);
            }
            state = self.lock();
        }
    }

    /// The end of the call, if it has come; else `waker` is woken when it does.
    pub(super) fn poll(self: &Arc<Self>, key: CallKey, waker: Waker) -> Option<Finished> {
        let mut state = self.lock();
        let mut errands = kept::errands();
        let finished = state.take(key);
        if finished.is_some() {
            errands.discard(Some(waker));
        } else {
            errands.discard(state.waits.wake(key, waker));
            let now = state.now;
            state.drain(now, &mut errands);
            self.settle(&mut state, &mut errands);
        }
        drop(state);
        self.run(errands);
        finished
    }

    /// What was gathered leaves: somebody waits for it.
    fn send_gathered<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
    ) -> MutexGuard<'s, State> {
        let (now, mut errands) = (state.now, kept::errands());
        state.drain(now, &mut errands);
        drop(state);
        self.run(errands);
        self.lock()
    }

    /// Sleeps until the call has ended, this thread is called to lead, or its patience has.
    fn follow<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        key: CallKey,
        patience: Option<Instant>,
    ) -> MutexGuard<'s, State> {
        let gate = state.take_gate(&self.world);
        state.waits.follow(key, Arc::clone(&gate));
        drop(state);
        gate.wait(patience);
        let mut state = self.lock();
        state.waits.rise(key);
        state.give_gate(gate);
        state
    }

    /// Receives until the call `own` has ended, or, without one, until the background thread is not
    /// needed for it; and only until there are wakers to call, and until `patience` has ended.
    fn lead<'s>(
        self: &'s Arc<Self>,
        state: MutexGuard<'s, State>,
        own: Option<CallKey>,
        patience: Option<Instant>,
    ) -> Option<Finished> {
        let (mut lead, mut state) = Lead::take(self, state);
        let mut until = state.lead_until(patience);
        let gathers = state.gathers_since.is_some();
        drop(state);
        let mut errands = kept::errands();
        if gathers {
            until = self.gather(&mut errands, patience);
        }
        // How many datagrams were read since a timer was seen to be due, and since somebody heard.
        let (mut overdue, mut together) = (None, 0);
        let gives_all = self.link.gives_all();
        loop {
            let received = match (overdue, together) {
                (None, 0) => self.link.receive(&mut lead.buffer, until),
                _ => self.link.take(&mut lead.buffer),
            };
            probe::stamp(Mark::ReplyArrived);
            if received == Received::Closed {
                self.pause(); // nothing will come any more; timers still end every call in time
            }
            let (mut state, now) = self.turn();
            let is_more = state.feed(now, received, &lead.buffer);
            state.drain(now, &mut errands); // the machine gives places that got free to the next calls
            // What came together is told together: those who hear it then act together.
            if is_more && !gives_all && together < READ_TOGETHER_MAX && state.core.outstanding() > 0
            {
                together += 1;
                continue;
            }
            together = 0;
            overdue = match overdue {
                _ if !state.is_due(now) => None,
                Some(read) if !is_more || read == READ_BEFORE_TIMERS_MAX => {
                    state.core.handle_timeout(now);
                    state.drain(now, &mut errands);
                    None
                }
                Some(read) => Some(read + 1),
                None => Some(0),
            };
            let finished = own.and_then(|own| state.take(own));
            let is_over = match own {
                Some(_) => finished.is_some() || patience.is_some_and(|end| end <= now),
                None => !state.keeps_background(now) && !self.link.holds(),
            };
            let gathers = errands.gates.len() >= WOKEN_TOGETHER_MIN && state.corks == 0;
            state.gathers_since = gathers.then_some(now);
            if is_over || !errands.wakers.is_empty() {
                lead.give_up(&mut state);
                self.settle(&mut state, &mut errands);
                drop(state);
                self.run(errands);
                probe::stamp(Mark::ReplyChecked);
                return finished;
            }
            until = state.lead_until(patience);
            drop(state);
            errands.run(self);
            if gathers {
                until = self.gather(&mut errands, patience);
            }
        }
    }

    /// Lets the threads that were woken together make their next calls before this one waits for replies:
    /// on a processor that they share, all those calls leave by one system call, and their replies come
    /// together again. Where they run on others, this costs next to nothing.
    fn gather(
        self: &Arc<Self>,
        errands: &mut Errands,
        patience: Option<Instant>,
    ) -> Option<Instant> {
        self.world.yield_now();
        let (mut state, now) = self.turn();
        state.gathers_since = None;
        state.drain(now, errands);
        let until = state.lead_until(patience);
        drop(state);
        errands.run(self);
        until
    }

    /// Reads what came while nobody received, without waiting. Calls that end by it are told of at
    /// once: the machine gives their places to the next ones. Whoever calls this settles.
    pub(super) fn catch_up<'s>(
        self: &'s Arc<Self>,
        state: MutexGuard<'s, State>,
        errands: &mut Errands,
    ) -> (MutexGuard<'s, State>, Instant) {
        let (mut lead, mut state) = Lead::take(self, state);
        state.leader = Some(Some(Instant::START)); // it does not sleep over any timer
        let mut read = 0;
        loop {
            drop(state);
            let received = self.link.take(&mut lead.buffer);
            let now;
            (state, now) = self.turn();
            let is_more = state.feed(now, received, &lead.buffer);
            state.drain(now, errands);
            read += 1;
            if !is_more || read == READ_BEFORE_TIMERS_MAX {
                lead.give_up(&mut state);
                return (state, now);
            }
        }
    }

    fn pause(&self) {
        self.world.gate().wait(Some(self.world.now() + CLOSED_PAUSE));
    }

    /// Sees to it that somebody looks at the machine when it, or anybody who waits, next needs it:
    /// the rule of this file.
    pub(super) fn settle(&self, state: &mut State, errands: &mut Errands) {
        match self.wanted(state) {
            Wanted::Nobody => {}
            Wanted::Leader => {
                errands.must_wake_leader = true;
                state.leader = Some(state.core.next_wake());
            }
            Wanted::Follower => errands.gates.extend(state.waits.first_follower().cloned()),
            Wanted::Background(call) => {
                state.attendant = Attendant::Awake;
                errands.background = Some(call);
            }
        }
    }

    /// Whether somebody does so already.
    pub(super) fn is_settled(&self, state: &State) -> bool {
        self.wanted(state) == Wanted::Nobody
    }

    fn wanted(&self, state: &State) -> Wanted {
        let wake = state.core.next_wake();
        let is_before = |until: Option<Instant>| {
            wake.is_some_and(|wake| until.is_none_or(|until| wake < until))
        };
        if let Some(until) = state.leader {
            return if is_before(until) { Wanted::Leader } else { Wanted::Nobody };
        }
        if state.waits.first_follower().is_some() {
            return Wanted::Follower;
        }
        let (until, call) = match state.attendant {
            Attendant::Awake => return Wanted::Nobody,
            Attendant::Asleep(until) => (until, Background::Wake),
            Attendant::Absent => (None, Background::Start),
        };
        let is_wanted = state.is_background_wanted() || self.link.holds() || is_before(until);
        if is_wanted { Wanted::Background(call) } else { Wanted::Nobody }
    }

    /// Starts the background thread, which was noted as awake.
    pub(super) fn start_background(self: &Arc<Self>) {
        let (connection, gate) = (Arc::downgrade(self), Arc::clone(&self.background));
        let body = Box::new(move || attend(&connection, &gate));
        if self.world.spawn("rpc-client", body).is_err() {
            self.do_without_background();
        }
    }

    /// Does once what the background thread would, and has the futures ask again.
    fn do_without_background(self: &Arc<Self>) {
        let mut state = self.lock();
        state.attendant = Attendant::Absent;
        let mut errands = kept::errands();
        if state.leader.is_none() {
            let now;
            (state, now) = self.catch_up(state, &mut errands);
            if state.is_due(now) {
                state.core.handle_timeout(now);
                state.drain(now, &mut errands);
            }
            errands.gates.extend(state.waits.first_follower().cloned());
        }
        errands.wakers.extend(state.waits.take_all().filter_map(|heirs| heirs.waker));
        drop(state);
        self.run(errands);
    }

    /// Tells all who wait to see for themselves, for a thread that unwinds.
    fn call_all(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock_unwinding();
        change(&mut state);
        let all: Vec<_> = state.waits.take_all().collect();
        drop(state);
        for heirs in all {
            if let Some(gate) = heirs.gate {
                gate.open();
            }
            if let Some(waker) = heirs.waker {
                errands::wake(waker);
            }
        }
    }

    /// What the background thread does between two sleeps; gives the time until which it may sleep.
    fn attend_once(self: &Arc<Self>) -> Option<Instant> {
        loop {
            let (mut state, now) = self.turn();
            state.attendant = Attendant::Awake;
            let is_needed = state.needs_background(now) || self.link.holds();
            if state.leader.is_some() || !is_needed {
                // Who leads, or was called to, sees to what is due already.
                let until = state.core.next_wake().filter(|wake| *wake > now);
                state.attendant = Attendant::Asleep(until);
                return until;
            }
            self.lead(state, None, None);
        }
    }
}

impl State {
    /// Gives the machine what was received; says whether there may be more.
    fn feed(&mut self, now: Instant, received: Received, buffer: &[u8]) -> bool {
        match received {
            Received::Datagram { len, from } => {
                self.core.handle_datagram(now, from, &buffer[..len]);
                true
            }
            Received::Broken => {
                self.core.handle_break(now);
                true
            }
            Received::Nothing | Received::Closed => false,
        }
    }

    /// Notes, and says, until when whoever leads waits for datagrams.
    fn lead_until(&mut self, patience: Option<Instant>) -> Option<Instant> {
        let until = self.core.next_wake_after(self.now).into_iter().chain(patience).min();
        self.leader = Some(until);
        until
    }

    fn is_due(&self, now: Instant) -> bool {
        self.core.next_wake().is_some_and(|wake| wake <= now)
    }

    /// Whether something hangs on what comes that nobody may be waiting for.
    fn is_background_wanted(&self) -> bool {
        // Who gathers calls waits for them, or says when they are to leave.
        self.waits.has_futures() || (self.core.has_waiting() && self.corks == 0)
    }

    /// Whether the background thread is to take the lead.
    fn needs_background(&self, now: Instant) -> bool {
        let is_wanted = self.is_background_wanted() || self.is_due(now);
        is_wanted && self.waits.first_follower().is_none()
    }

    /// Whether it is to keep the lead: callers go before it.
    fn keeps_background(&self, now: Instant) -> bool {
        let is_busy = self.core.outstanding() > 0 || self.is_due(now);
        is_busy && self.waits.first_follower().is_none()
    }
}

/// The lead. A thread that unwinds with it, by a panic of the machine or the link, calls all who
/// wait: they see for themselves.
struct Lead<'c> {
    connection: &'c Connection,
    buffer: Vec<u8>,
    is_given_up: bool,
}

impl<'c> Lead<'c> {
    /// Takes the lead, which must be free. The lock must not be released before
    /// [`State::leader`] says so; it comes second, so that who unwinds lets go of it first.
    fn take(
        connection: &'c Connection,
        mut state: MutexGuard<'c, State>,
    ) -> (Self, MutexGuard<'c, State>) {
        let buffer = std::mem::take(&mut state.receive_buffer);
        (Self { connection, buffer, is_given_up: false }, state)
    }

    fn give_up(&mut self, state: &mut State) {
        self.is_given_up = true;
        state.leader = None;
        state.receive_buffer = std::mem::take(&mut self.buffer);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.is_given_up {
            self.connection.call_all(|state| self.give_up(state));
        }
    }
}

/// The background thread: lives as long as its connection, and sleeps unless something is due.
fn attend(connection: &Weak<Connection>, gate: &Arc<dyn Gate>) {
    loop {
        let Some(alive) = connection.upgrade() else { return };
        let attending = Attending(&alive);
        let until = attending.0.attend_once();
        drop(attending);
        drop(alive);
        gate.wait(until);
    }
}

/// The background thread at its work. If it unwinds, another one is started when it is needed.
struct Attending<'c>(&'c Arc<Connection>);

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.call_all(|state| state.attendant = Attendant::Absent);
        }
    }
}
