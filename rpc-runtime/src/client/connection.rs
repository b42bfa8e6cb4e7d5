//! A connection: one link to one server, the protocol's machine behind one lock, and who waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use super::breaker::{Admission, Breaker, Sign};
use super::budget::RetryBudget;
use super::helped::Helpers;
use super::route::Loss;
use super::verdict::Finished;
use crate::address::Address;
use crate::driver::{Gate, Link, Received, World};
use crate::ids::CallId;
use crate::protocol::{CallKey, CallSpec, Client, ClientCounters, ClientEvent, Output, Target};
use crate::random::Rng;
use crate::time::{Duration, Instant};

/// Shared by all channels of a process that lead to one server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) world: Arc<dyn World>,
    pub(super) link: Arc<dyn Link>,
    state: Mutex<State>,
    /// Where the background thread sleeps.
    pub(super) background: Arc<dyn Gate>,
    /// Whether the last call that ended means that the server is lost: see [`Loss::code`].
    loss: AtomicU8,
    /// Threads that make calls again here.
    pub(super) helpers: Helpers,
}

/// What stands behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Client,
    /// The time of the last turn: time never goes back.
    now: Instant,
    /// Who waits, by the place of the call in the machine.
    waits: Vec<Wait>,
    /// Calls that have ended and were not asked for yet. Apart from `waits`, because the machine
    /// gives the place of a call that has ended to the next one.
    finished: BTreeMap<CallKey, Finished>,
    /// Whether a thread receives, and until when it waits.
    pub(super) leader: Option<Option<Instant>>,
    /// Threads that wait for their calls while another one leads.
    pub(super) followers: VecDeque<(CallKey, Arc<dyn Gate>)>,
    /// What the background thread does.
    pub(super) attendant: Attendant,
    /// For whoever leads next.
    pub(super) receive_buffer: Vec<u8>,
    spare_gates: Vec<Arc<dyn Gate>>,
    spare_errands: Vec<Errands>,
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
}

/// After so long without a call, what the server said in the meantime is read before the next one
/// is sent: that it drains, for instance.
const CATCH_UP_AFTER: Duration = Duration::from_millis(1);

/// How many datagrams are read then; a server says little unasked.
const CATCH_UP_DATAGRAMS_MAX: usize = 64;

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

/// Who waits for a call.
#[derive(Debug, Default)]
struct Wait {
    key: Option<CallKey>,
    gate: Option<Arc<dyn Gate>>,
    waker: Option<Waker>,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(super) struct Errands {
    datagrams: Vec<(Address, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    gates: Vec<Arc<dyn Gate>>,
    wakers: Vec<Waker>,
    pub(super) open_background: bool,
    pub(super) wake_leader: bool,
    /// What the ends of calls say of the server, if any ended.
    loss: Option<Option<Loss>>,
}

/// Gates and errands kept for reuse.
const SPARE_MAX: usize = 64;

impl Connection {
    pub(super) fn new(world: Arc<dyn World>, link: Arc<dyn Link>, core: Client) -> Arc<Self> {
        let background = world.gate();
        let (now, rng) = (world.now(), world.rng());
        let state = State {
            core,
            now,
            waits: Vec::new(),
            finished: BTreeMap::new(),
            leader: None,
            followers: VecDeque::new(),
            attendant: Attendant::Absent,
            receive_buffer: vec![0; 2_048],
            spare_gates: Vec::new(),
            spare_errands: Vec::new(),
            last_start: Instant::START,
            budget: RetryBudget::new(now),
            rng,
            retries: 0,
            retries_denied: 0,
            breaker: Breaker::new(),
            probe: None,
            kept_back: 0,
        };
        let (loss, helpers) = (AtomicU8::new(0), Helpers::default());
        Arc::new(Self { world, link, state: Mutex::new(state), background, loss, helpers })
    }

    /// # Panics
    ///
    /// If a thread panicked inside the core: what it promised could not be kept any more.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the core upholds its invariants")
    }

    /// Takes the lock for a turn; says what time it is.
    pub(super) fn turn(&self) -> (MutexGuard<'_, State>, Instant) {
        let now = self.world.now();
        let mut state = self.lock();
        state.now = state.now.max(now);
        let now = state.now;
        (state, now)
    }

    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.lock().core.take_buffer()
    }

    pub(super) fn recycle(&self, buffer: Vec<u8>) {
        self.lock().core.recycle(buffer);
    }

    pub(super) fn set_loss(&self, loss: Option<Loss>) {
        self.loss.store(Loss::code(loss), Ordering::Relaxed);
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
    pub(super) fn start_in(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        now: Instant,
        spec: CallSpec,
        arguments: Vec<u8>,
        admission: Admission,
    ) -> CallKey {
        let mut errands = state.errands();
        let pause = now.since(std::mem::replace(&mut state.last_start, now));
        if pause >= CATCH_UP_AFTER && state.leader.is_none() {
            state.catch_up(now, &*self.link, &mut errands);
        }
        let key = state.core.start(now, spec, arguments);
        if admission == Admission::Probe {
            state.probe = Some(key);
        }
        state.expect(key);
        self.after(state, now, std::mem::take(&mut errands));
        key
    }

    pub(super) fn resolve(self: &Arc<Self>, call: CallId, deadline: Instant) -> CallKey {
        let (mut state, now) = self.turn();
        let mut errands = state.errands();
        let key = state.core.resolve(now, call, deadline);
        state.expect(key);
        self.after(state, now, std::mem::take(&mut errands));
        key
    }

    /// Calls a call off; its end is still to be taken.
    pub(super) fn cancel(self: &Arc<Self>, key: CallKey) {
        let (mut state, now) = self.turn();
        let mut errands = state.errands();
        state.core.cancel(now, key);
        self.after(state, now, std::mem::take(&mut errands));
    }

    /// The end of the call, if it has come; else `waker` is woken when it does.
    pub(super) fn poll(self: &Arc<Self>, key: CallKey, waker: Waker) -> Option<Finished> {
        let mut state = self.lock();
        if let Some(finished) = state.take(key) {
            return Some(finished);
        }
        state.wake(key, &waker);
        let mut errands = state.errands();
        self.attend_now(&state, &mut errands);
        drop(state);
        self.run(errands);
        None
    }

    /// Nobody will ask for this call's end any more.
    pub(super) fn abandon(self: &Arc<Self>, key: CallKey, cancel: bool) {
        let (mut state, now) = self.turn();
        let mut errands = state.errands();
        if cancel {
            state.core.cancel(now, key);
        }
        state.drain(now, &mut errands);
        if state.take(key).is_none() && !state.is_finished(key) {
            state.waits[key.index()] = Wait::default();
        }
        self.after(state, now, std::mem::take(&mut errands));
    }

    /// The machine was spoken to: drains it, sees to it that somebody attends to what is left, and
    /// does all that needs no lock.
    pub(super) fn after(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        now: Instant,
        mut errands: Errands,
    ) {
        state.drain(now, &mut errands);
        self.arrange(&mut state, &mut errands);
        drop(state);
        self.run(errands);
    }

    /// Does what was left for after the lock.
    pub(super) fn run(self: &Arc<Self>, mut errands: Errands) {
        for (to, datagram) in errands.datagrams.drain(..) {
            // A datagram that did not leave is one that was lost: the protocol sees to it.
            let _ = self.link.send(to, &datagram);
            errands.spare.push(datagram);
        }
        for gate in errands.gates.drain(..) {
            gate.open();
        }
        for waker in errands.wakers.drain(..) {
            waker.wake();
        }
        if std::mem::take(&mut errands.wake_leader) {
            self.link.wake();
        }
        if std::mem::take(&mut errands.open_background) {
            self.call_background();
        }
        if let Some(loss) = errands.loss.take() {
            self.set_loss(loss);
        }
        errands.spare.truncate(SPARE_MAX);
        let mut state = self.lock();
        if state.spare_errands.len() < SPARE_MAX {
            state.spare_errands.push(errands);
        }
    }
}

impl State {
    pub(super) fn errands(&mut self) -> Errands {
        self.spare_errands.pop().unwrap_or_default()
    }

    /// Reads what came while nobody received. Calls that end by it are told of at once: the machine
    /// gives their places to the next ones.
    fn catch_up(&mut self, now: Instant, link: &dyn Link, errands: &mut Errands) {
        let mut buffer = std::mem::take(&mut self.receive_buffer);
        for _ in 0..CATCH_UP_DATAGRAMS_MAX {
            let Received::Datagram { len, from } = link.take(&mut buffer) else { break };
            self.core.handle_datagram(now, from, &buffer[..len]);
        }
        self.receive_buffer = buffer;
        self.drain(now, errands);
    }

    /// Takes everything out of the machine.
    pub(super) fn drain(&mut self, now: Instant, errands: &mut Errands) {
        let mut datagram = errands.spare.pop().unwrap_or_default();
        loop {
            match self.core.poll_output(now, &mut datagram) {
                Output::Event(ClientEvent::Ended { key, call, outcome, evidence, arguments }) => {
                    let finished = Finished { call, outcome, evidence, arguments };
                    self.ended(now, key, finished, errands);
                }
                Output::Transmit { to } => {
                    let next = errands.spare.pop().unwrap_or_default();
                    errands.datagrams.push((to, std::mem::replace(&mut datagram, next)));
                }
                Output::Wait { .. } => break,
            }
        }
        errands.spare.push(datagram);
    }

    fn ended(&mut self, now: Instant, key: CallKey, finished: Finished, errands: &mut Errands) {
        let is_probe = self.probe == Some(key);
        if is_probe {
            self.probe = None;
        }
        self.breaker.ended(now, Sign::of(&finished), is_probe, &mut *self.rng);
        errands.loss = Some(Loss::of(&finished));
        let wait = self.waits.get_mut(key.index()).filter(|wait| wait.key == Some(key));
        let Some(wait) = wait else {
            // Nobody asks for it any more.
            self.core.recycle(finished.arguments);
            if let crate::protocol::Outcome::Returned(body) = finished.outcome {
                self.core.recycle(body);
            }
            return;
        };
        let Wait { gate, waker, .. } = std::mem::take(wait);
        errands.gates.extend(gate);
        errands.wakers.extend(waker);
        self.finished.insert(key, finished);
    }

    /// Somebody will ask for the end of this call.
    fn expect(&mut self, key: CallKey) {
        if self.waits.len() <= key.index() {
            self.waits.resize_with(key.index() + 1, Wait::default);
        }
        self.waits[key.index()] = Wait { key: Some(key), ..Wait::default() };
    }

    /// The end of a call, if it has come.
    pub(super) fn take(&mut self, key: CallKey) -> Option<Finished> {
        self.finished.remove(&key)
    }

    /// The place of a call that is under way, or has ended and was not asked for.
    pub(super) fn call_id(&self, key: CallKey) -> Option<CallId> {
        let ended = self.finished.get(&key).map(|finished| finished.call);
        ended.or_else(|| self.core.call_id(key)).filter(|id| *id != CallId::UNSENT)
    }

    pub(super) fn is_finished(&self, key: CallKey) -> bool {
        self.waits.get(key.index()).is_none_or(|wait| wait.key != Some(key))
    }

    /// Opens `gate` when the call has ended.
    pub(super) fn notify(&mut self, key: CallKey, gate: &Arc<dyn Gate>) {
        self.waits[key.index()].gate = Some(Arc::clone(gate));
    }

    /// Wakes `waker`, the newest one counts, when the call has ended.
    pub(super) fn wake(&mut self, key: CallKey, waker: &Waker) {
        let known = &mut self.waits[key.index()].waker;
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
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

    /// The next thread to receive, when the leader leaves.
    pub(super) fn promote(&mut self, errands: &mut Errands) {
        while let Some((key, gate)) = self.followers.pop_front() {
            if !self.is_finished(key) {
                errands.gates.push(gate);
                return;
            }
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
            for (to, datagram) in &errands.datagrams {
                let _ = self.link.send(*to, datagram);
            }
        }
        self.background.open();
    }
}
