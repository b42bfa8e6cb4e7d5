//! A connection: one link to one server, the protocol's machine behind one lock, and who waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::attend::Attendant;
use super::breaker::{Admission, Breaker, Sign};
use super::budget::RetryBudget;
use super::errands::Errands;
use super::helped::Helpers;
use super::journal::Keeper;
use super::kept;
use super::load::Load;
use super::parent::Parent;
use super::route::Loss;
use super::verdict::Finished;
use super::waits::{Heirs, Waits};
use crate::driver::{Gate, Link, World};
use crate::ids::CallId;
use crate::probe::{self, Mark};
use crate::protocol::{
    Arguments, CallKey, CallSpec, Client, ClientCounters, ClientEvent, Output, Record, Target,
};
use crate::random::Rng;
use crate::time::{Duration, Instant};
use crate::wire::{DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX};

/// Shared by all channels of a process that lead to one server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) world: Arc<dyn World>,
    pub(super) link: Arc<dyn Link>,
    /// What was dialled.
    pub(super) place: String,
    /// Who writes down what must outlive this process.
    pub(super) keeper: Option<Arc<Keeper>>,
    state: Mutex<State>,
    /// Where the background thread sleeps.
    pub(super) background: Arc<dyn Gate>,
    /// Whether the last call that ended means that the server is lost: see [`Loss::code`].
    loss: AtomicU8,
    /// When that was, in microseconds.
    lost_at: AtomicU64,
    /// Kept where calls are spread over several servers.
    load: OnceLock<Arc<Load>>,
    /// Threads that make calls again here.
    pub(super) helpers: Helpers,
}

/// What stands behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Client,
    /// The time of the last turn: time never goes back.
    pub(super) now: Instant,
    pub(super) waits: Waits,
    /// What may call off calls whose ends nobody asks for.
    detached: BTreeMap<CallKey, Arc<Parent>>,
    /// Whether a thread has the lead, and until when it waits for datagrams.
    pub(super) leader: Option<Option<Instant>>,
    /// What the background thread does.
    pub(super) attendant: Attendant,
    /// For whoever leads next.
    pub(super) receive_buffer: Vec<u8>,
    /// What the journal is to be told, in order.
    pub(super) records: Vec<(CallKey, CallId, Record)>,
    spare_gates: Vec<Arc<dyn Gate>>,
    /// Threads that gather the calls they start (`cork.rs`).
    pub(super) corks: usize,
    /// Since when threads that were woken together make their next calls, which the next to receive sends
    /// together (`attend.rs`).
    pub(super) gathers_since: Option<Instant>,
    /// When the last call was started.
    last_start: Instant,
    /// For calls made again, and the jitter of their waits.
    pub(super) budget: RetryBudget,
    pub(super) rng: Box<dyn Rng>,
    pub(super) retries: u64,
    pub(super) retries_denied: u64,
    /// Keeps calls back while the server keeps failing, and the call that asks for all.
    pub(super) breaker: Breaker,
    pub(super) probe: Option<CallKey>,
    /// Calls kept back.
    pub(super) kept_back: u64,
    /// Calls in a row that another server answered before this one said anything.
    pub(super) unheard: u32,
    /// Kept where calls are spread over several servers.
    load: Option<Arc<Load>>,
}

/// After so long without a call, what the server said in the meantime is read before the next one
/// is sent: that it drains, for instance.
const CATCH_UP_AFTER: Duration = Duration::from_millis(1);

/// Room for a datagram, at the least: one byte more than any of ours has, so that a longer one shows.
const RECEIVE_BYTES_MIN: usize = DATAGRAM_BYTES_MAX + 1;

/// And at the most: what a stream brings at once.
const RECEIVE_BYTES_MAX: usize = FRAME_BYTES_MAX * 2;

/// How long threads that were woken together start calls together.
const GATHERED_MAX: Duration = Duration::from_micros(100);

/// Gates kept for reuse.
const SPARE_MAX: usize = 64;

impl Connection {
    pub(super) fn new(
        world: Arc<dyn World>,
        link: Arc<dyn Link>,
        core: Client,
        (place, keeper): (&str, Option<Arc<Keeper>>),
    ) -> Arc<Self> {
        let place = place.to_owned();
        let room = link.datagram_bytes_max().clamp(RECEIVE_BYTES_MIN, RECEIVE_BYTES_MAX);
        let background = world.gate();
        let (now, rng) = (world.now(), world.rng());
        let state = State {
            core,
            now,
            waits: Waits::default(),
            detached: BTreeMap::new(),
            leader: None,
            attendant: Attendant::Absent,
            receive_buffer: vec![0; room],
            records: Vec::new(),
            spare_gates: Vec::new(),
            corks: 0,
            gathers_since: None,
            last_start: Instant::START,
            budget: RetryBudget::new(now),
            rng,
            retries: 0,
            retries_denied: 0,
            breaker: Breaker::new(),
            probe: None,
            kept_back: 0,
            unheard: 0,
            load: None,
        };
        Arc::new(Self {
            world,
            link,
            place,
            keeper,
            state: Mutex::new(state),
            background,
            loss: AtomicU8::new(0),
            lost_at: AtomicU64::new(0),
            load: OnceLock::new(),
            helpers: Helpers::default(),
        })
    }

    /// # Panics
    ///
    /// If a thread panicked inside the core: what it promised could not be kept any more.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the core upholds its invariants")
    }

    /// Whether a thread panicked inside the core.
    pub(super) fn is_poisoned(&self) -> bool {
        self.state.is_poisoned()
    }

    /// As [`Connection::lock`], for a thread that is unwinding: it only tells the others.
    pub(super) fn lock_unwinding(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock for a turn; says what time it is.
    pub(super) fn turn(&self) -> (MutexGuard<'_, State>, Instant) {
        self.turn_at(self.world.now())
    }

    /// The same for a thread that has looked at the clock just now. Others may have had turns since.
    pub(super) fn turn_at(&self, now: Instant) -> (MutexGuard<'_, State>, Instant) {
        let mut state = self.lock();
        state.now = state.now.max(now);
        let now = state.now;
        (state, now)
    }

    /// An empty buffer for arguments.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        kept::buffer().unwrap_or_else(|| self.lock().core.take_buffer())
    }

    /// Gives the machine back what no call needs any more.
    pub(super) fn recycle(&self, buffers: impl IntoIterator<Item = Vec<u8>>) {
        let mut state = self.lock();
        buffers.into_iter().for_each(|buffer| state.core.recycle(buffer));
    }

    /// An empty buffer for arguments that take so many bytes.
    pub(super) fn take_buffer_for(&self, bytes: usize) -> Vec<u8> {
        self.lock().core.take_buffer_for(bytes)
    }

    /// Gives the machine back what told of a call's end, now or with the thread's next call.
    pub(super) fn recycle_end(&self, end: Finished) {
        if let Some(end) = kept::keep_end(end) {
            let mut state = self.lock();
            kept::give_back(&mut state.core);
            state.core.recycle_end(end);
        }
    }

    pub(super) fn set_loss(&self, loss: Option<Loss>) {
        if loss.is_some() {
            self.lost_at.store(self.world.now().as_micros(), Ordering::Relaxed);
        }
        self.loss.store(Loss::code(loss), Ordering::Relaxed);
    }

    /// Whether it is time to try a server again that was lost: one caller is told so, in `every`.
    pub(super) fn may_try_again(&self, every: Duration) -> bool {
        let lost_at = self.lost_at.load(Ordering::Relaxed);
        let now = self.world.now();
        now.since(Instant::from_micros(lost_at)) >= every
            && self
                .lost_at
                .compare_exchange(lost_at, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// What the server is burdened with, from now on.
    pub(super) fn load(&self) -> &Load {
        self.load.get_or_init(|| {
            let load = Arc::<Load>::default();
            self.lock().load = Some(Arc::clone(&load));
            load
        })
    }

    pub(super) fn target(&self) -> Target {
        self.lock().core.target()
    }

    /// Whether the last call that ended means that the server is lost.
    pub(super) fn loss(&self) -> Option<Loss> {
        Loss::from_code(self.loss.load(Ordering::Relaxed))
    }

    pub(super) fn counters(&self) -> ClientCounters {
        *self.lock().core.counters()
    }

    /// Sends what a call makes the machine say.
    pub(super) fn start_in<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        mut now: Instant,
        spec: &CallSpec,
        arguments: Arguments,
        admission: Admission,
    ) -> CallKey {
        let mut errands = None;
        kept::give_back(&mut state.core);
        let pause = now.since(std::mem::replace(&mut state.last_start, now));
        if pause >= CATCH_UP_AFTER && state.leader.is_none() {
            let errands = errands.insert(kept::errands());
            (state, now) = self.catch_up(state, errands);
        }
        probe::stamp(Mark::Admitted);
        let key = state.core.start_by(now, spec, arguments);
        if let Some(load) = &state.load {
            load.began();
        }
        if admission == Admission::Probe {
            state.probe = Some(key);
        }
        state.waits.expect(key);
        let is_held = state.corks > 0 || state.is_gathering(now);
        if is_held && errands.is_none() && state.core.may_wait() && self.is_settled(&state) {
            return key; // it joins others, and nothing else is to be done
        }
        let mut errands = errands.unwrap_or_else(kept::errands);
        if is_held {
            state.drain_held(now, &mut errands);
            self.tell(state, errands);
        } else {
            self.after(state, now, errands);
        }
        key
    }

    /// Has the machine ask about a call; gives the question's key.
    pub(super) fn ask(
        self: &Arc<Self>,
        ask: impl FnOnce(&mut Client, Instant) -> CallKey,
    ) -> CallKey {
        let (mut state, now) = self.turn();
        let key = ask(&mut state.core, now);
        if let Some(load) = &state.load {
            load.began();
        }
        state.waits.expect(key);
        self.after(state, now, kept::errands());
        key
    }

    /// Calls a call off; its end is still to be taken.
    pub(super) fn cancel(self: &Arc<Self>, key: CallKey) {
        let (mut state, now) = self.turn();
        state.core.cancel(now, key);
        self.after(state, now, kept::errands());
    }

    /// Nobody will ask for this call's end any more: it is called off.
    pub(super) fn abandon(self: &Arc<Self>, key: CallKey) {
        let (mut state, now) = self.turn();
        let mut errands = kept::errands();
        state.core.cancel(now, key);
        state.drain(now, &mut errands);
        state.let_go(key, &mut errands);
        self.after(state, now, errands);
    }

    /// Nobody will ask for this call's end any more. What may call it off is let go of then.
    pub(super) fn detach(self: &Arc<Self>, key: CallKey, parent: &Arc<Parent>) {
        let (mut state, now) = self.turn();
        let mut errands = kept::errands();
        if state.let_go(key, &mut errands) && !parent.is_nobody() {
            state.detached.insert(key, Arc::clone(parent));
        }
        self.after(state, now, errands);
    }

    /// The machine was spoken to: drains it, sees to it that somebody attends to what is left, and
    /// does all that needs no lock.
    pub(super) fn after(
        self: &Arc<Self>,
        state: MutexGuard<'_, State>,
        now: Instant,
        errands: Box<Errands>,
    ) {
        let errands = self.settled(state, now, errands);
        probe::stamp(Mark::Encoded);
        self.run(errands);
        probe::stamp(Mark::Sent);
    }

    /// As [`Connection::after`], but leaves what needs no lock to be [run](Connection::run), for
    /// those who hold another one.
    #[must_use = "somebody waits for what is to be run"]
    pub(super) fn settled(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        now: Instant,
        mut errands: Box<Errands>,
    ) -> Box<Errands> {
        state.drain(now, &mut errands);
        self.tell_in(&mut state, &mut errands);
        drop(state);
        errands
    }

    fn tell(self: &Arc<Self>, mut state: MutexGuard<'_, State>, mut errands: Box<Errands>) {
        self.tell_in(&mut state, &mut errands);
        drop(state);
        self.run(errands);
    }

    fn tell_in(&self, state: &mut State, errands: &mut Errands) {
        // Whoever leads may wait for a call that has ended in this turn, which is another's.
        errands.must_wake_leader |= errands.has_untold && state.leader.is_some();
        self.settle(state, errands);
    }

    /// Does what was left for after the lock.
    pub(super) fn run(self: &Arc<Self>, mut errands: Box<Errands>) {
        errands.run(self);
        kept::keep_errands(errands);
    }
}

impl State {
    /// Takes everything out of the machine.
    pub(super) fn drain(&mut self, now: Instant, errands: &mut Errands) {
        self.drain_by(false, now, errands);
    }

    /// The same, but for a datagram that more calls may join.
    pub(super) fn drain_held(&mut self, now: Instant, errands: &mut Errands) {
        self.drain_by(true, now, errands);
    }

    fn drain_by(&mut self, is_held: bool, now: Instant, errands: &mut Errands) {
        loop {
            match self.core.poll_in_parts(now, errands.datagrams.next(), is_held) {
                Output::Event(ClientEvent::Ended(finished)) => self.ended(now, finished, errands),
                Output::Event(ClientEvent::Record { key, call, record }) => {
                    self.records.push((key, call, *record));
                    errands.journal.has_records = true;
                }
                Output::Event(ClientEvent::WantGeneration { server }) => {
                    errands.journal.wanted = Some(server);
                }
                Output::Transmit { to } => {
                    errands.datagrams.send_parts_to(to, self.core.take_part());
                }
                Output::Wait { .. } => return,
            }
        }
    }

    fn ended(&mut self, now: Instant, finished: Finished, errands: &mut Errands) {
        let key = finished.key;
        let is_probe = self.probe == Some(key);
        if is_probe {
            self.probe = None;
        }
        let sign = Sign::of(&finished);
        if sign == Sign::Alive {
            self.unheard = 0;
        }
        self.breaker.ended(now, sign, is_probe, &mut *self.rng);
        match Loss::of(&finished) {
            None if sign != Sign::Alive => {} // that says nothing of the server
            loss => errands.loss = Some(loss),
        }
        if let Some(load) = &self.load {
            let took = finished.evidence.ended.since(finished.evidence.started);
            load.ended(now, took, sign);
        }
        if !self.detached.is_empty() {
            errands.parents.extend(self.detached.remove(&key));
        }
        let (Heirs { gate, waker }, unwanted) = self.waits.end(finished);
        errands.has_untold |= gate.is_none() && waker.is_none() && unwanted.is_none();
        errands.gates.extend(gate);
        errands.wakers.extend(waker);
        if let Some(finished) = unwanted {
            self.core.recycle_end(finished);
        }
    }

    /// Nobody asks for this call's end; says whether that is still to come.
    fn let_go(&mut self, key: CallKey, errands: &mut Errands) -> bool {
        let is_under_way = self.waits.take(key).is_none();
        if is_under_way {
            errands.discard(self.waits.forget(key));
        }
        is_under_way
    }

    /// Whether somebody who receives for all, or was called to, is about to send what others start.
    fn is_gathering(&self, now: Instant) -> bool {
        self.gathers_since.is_some_and(|since| now.since(since) < GATHERED_MAX)
            && (self.leader.is_some() || self.waits.first_follower().is_some())
    }

    /// The end of a call, if it has come.
    pub(super) fn take(&mut self, key: CallKey) -> Option<Finished> {
        self.waits.take(key)
    }

    /// The place of a call that is under way, or has ended and was not asked for.
    pub(super) fn call_id(&self, key: CallKey) -> Option<CallId> {
        let ended = self.waits.ended(key).map(|finished| finished.call);
        ended.or_else(|| self.core.call_id(key)).filter(|id| *id != CallId::UNSENT)
    }

    pub(super) fn take_gate(&mut self, world: &Arc<dyn World>) -> Arc<dyn Gate> {
        self.spare_gates.pop().unwrap_or_else(|| world.gate())
    }

    pub(super) fn give_gate(&mut self, gate: Arc<dyn Gate>) {
        // A gate that somebody else may still open must not be used for another wait.
        if Arc::strong_count(&gate) == 1 && self.spare_gates.len() < SPARE_MAX {
            self.spare_gates.push(gate);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let now = self.world.now();
        if let Ok(state) = self.state.get_mut() {
            state.core.close(now);
            let mut errands = Errands::default();
            state.drain(now, &mut errands);
            errands.datagrams.send(&*self.link);
        }
        self.background.open();
    }
}
