//! What stands behind the server's lock.
//!
//! A thread takes the lock for one turn: it feeds the core, drains it, and picks its next handler.
//! Whatever that asks of the world (datagrams to send, threads to wake, handlers to tell of their
//! cancellation) goes into the thread's [`Errands`] and is run after the lock was released.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::context::CallContext;
use crate::driver::{Gate, Link, World};
use crate::ids::{CallId, ClientId, GenerationId, Space};
use crate::protocol::{self, Begin, Execute, Output, ServerCounters, ServerEvent, Ticket};
use crate::server::dispatch::{Contexts, Done, Job, Went, Work};
use crate::server::errands::Errands;
use crate::server::exports::{Exports, Place};
use crate::server::figures::{Figures, Tallies};
use crate::server::lane::Lanes;
use crate::server::pace::Pace;
use crate::server::pending::Parked;
use crate::server::roster::Roster;
use crate::server::storing::{Keeper, Settled, Storing};
use crate::service::DurableCall;
use crate::store::BATCH_JOBS_MAX;
use crate::time::{Duration, Instant};

/// All that the threads of one server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Arc<dyn World>,
    pub(super) exports: Exports,
    state: Mutex<State>,
    /// Opened when the last receiving thread has ended.
    pub(super) ended: Arc<dyn Gate>,
    /// Opened when a draining server has nothing left to do.
    pub(super) drained: Arc<dyn Gate>,
    /// Where a worker waits for more calls to hand to the store.
    pub(super) bell: Arc<dyn Gate>,
}

/// What stands behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: protocol::Server,
    /// The time of the last turn.
    pub(super) now: Instant,
    /// Calls for the workers. The core bounds how many can be waiting.
    pub(super) queue: VecDeque<Box<Execute>>,
    /// What the methods of the common table take.
    pub(super) paces: Vec<Pace>,
    /// What the services have done.
    tallies: Tallies,
    /// For the store; the core bounds how many can be waiting.
    pub(super) questions: VecDeque<ServerEvent>,
    /// Durable calls whose replies their clients have: told to the store many at a time.
    pub(super) acknowledged: Vec<(ClientId, CallId)>,
    /// The handlers that threads run, for cancellations.
    pub(super) serving: Vec<(Ticket, CallContext)>,
    /// The async handlers that no thread runs.
    pub(super) parked: Parked,
    pub(super) storing: Storing,
    /// What a free worker looks for first: by turns.
    first: usize,
    pub(super) roster: Roster,
    /// Threads that are at work for workers' methods, whoever they are, and how many may be.
    pub(super) handling: usize,
    pub(super) handling_max: usize,
    pub(super) lanes: Lanes,
    pub(super) is_draining: bool,
    pub(super) is_stopping: bool,
}

impl Shared {
    pub(super) fn new(
        world: Arc<dyn World>,
        links: Vec<Arc<dyn Link>>,
        core: protocol::Server,
        exports: Exports,
        workers_max: usize,
    ) -> Arc<Self> {
        let (ended, drained, bell) = (world.gate(), world.gate(), world.gate());
        let state = State {
            core,
            now: Instant::START,
            queue: VecDeque::new(),
            paces: vec![Pace::unknown(); exports.methods()],
            tallies: Tallies::new(exports.services(), exports.services_of_methods()),
            questions: VecDeque::new(),
            acknowledged: Vec::new(),
            serving: Vec::new(),
            parked: Parked::default(),
            storing: Storing::default(),
            first: 0,
            roster: Roster::new(workers_max),
            handling: 0,
            handling_max: workers_max,
            lanes: Lanes::by(links),
            is_draining: false,
            is_stopping: false,
        };
        Arc::new(Self { world, exports, state: Mutex::new(state), ended, drained, bell })
    }

    /// As [`Shared::lock`], for a thread that is unwinding perhaps: it only tells the others.
    pub(super) fn lock_unwinding(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Panics
    ///
    /// If a thread panicked inside the core: what it promised could not be kept any more.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the core upholds its invariants")
    }

    /// Takes the lock for a turn; says what time it is. Time stands still rather than going back
    /// where a thread that looked at the clock earlier gets the lock later.
    pub(super) fn turn(&self) -> (MutexGuard<'_, State>, Instant) {
        let now = self.world.now();
        let mut state = self.lock();
        state.now = state.now.max(now);
        let now = state.now;
        (state, now)
    }

    pub(super) fn counters(&self) -> ServerCounters {
        *self.lock().core.counters()
    }

    /// What a service has done, by its number among the exported ones.
    pub(super) fn figures(&self, service: usize) -> Figures {
        let state = self.lock();
        let counters = state.core.counters();
        let (queued, _running) = state.left();
        Figures {
            refused: counters.refused,
            duplicates_suppressed: counters.duplicates_suppressed,
            orphans_killed: counters.orphans_killed(),
            queued: u32::try_from(queued).unwrap_or(u32::MAX),
            ..state.tallies.of(service)
        }
    }

    /// Has a worker go on with a parked handler. Whoever calls this may be unwinding, so that it
    /// does not panic, and holds no lock of ours.
    pub(super) fn call_for(self: &Arc<Self>, ticket: Ticket) {
        let Ok(mut state) = self.state.lock() else { return };
        let mut errands = Errands::default();
        if state.parked.call_for(ticket) {
            state.roster.call(&mut errands);
        }
        drop(state);
        errands.run(self);
    }

    /// The thread of the worker `number` unwinds: what it was about to do, or was called for, is for
    /// the others.
    pub(super) fn leave(self: &Arc<Self>, number: usize, has_seat: bool, errands: &mut Errands) {
        let Ok(mut state) = self.state.lock() else { return };
        errands.datagrams.lose();
        state.roster.leave(number);
        state.handling -= usize::from(has_seat);
        state.storing.call_again();
        state.call_next(errands);
        drop(state);
        errands.run(self);
    }
}

impl State {
    /// Takes everything out of the core; says until when it needs no attention.
    pub(super) fn drain(&mut self, now: Instant, shared: &Shared, errands: &mut Errands) -> Wake {
        self.drain_by(false, now, shared, errands)
    }

    /// The same, but for a datagram that more replies may join.
    pub(super) fn drain_held(
        &mut self,
        now: Instant,
        shared: &Shared,
        errands: &mut Errands,
    ) -> Wake {
        self.drain_by(true, now, shared, errands)
    }

    fn drain_by(
        &mut self,
        is_held: bool,
        now: Instant,
        shared: &Shared,
        errands: &mut Errands,
    ) -> Wake {
        let until = loop {
            match self.core.poll_in_parts(now, errands.datagrams.next(), is_held) {
                Output::Event(ServerEvent::Execute(call)) => self.accept(call, shared, errands),
                Output::Event(ServerEvent::Cancel(ticket)) => {
                    let serving = self.serving.iter().find(|(served, _)| *served == ticket);
                    let context = serving.map(|(_, context)| context);
                    let context = context.or_else(|| self.parked.context(ticket));
                    errands.cancels.extend(context.cloned());
                }
                Output::Event(ServerEvent::Fenced { .. } | ServerEvent::SessionClosed(_)) => {}
                Output::Event(
                    event @ (ServerEvent::OpenGeneration { .. }
                    | ServerEvent::ForgetGeneration { .. }
                    | ServerEvent::Retain { .. }),
                ) => {
                    self.questions.push_back(event);
                    self.roster.call(errands);
                }
                Output::Event(ServerEvent::Acknowledged { client, call }) => {
                    self.acknowledge((client, call), errands);
                }
                Output::Transmit { to } => {
                    errands.datagrams.send_parts_to(to, self.core.take_part());
                }
                Output::Wait { until, .. } => break until,
            }
        };
        if self.is_draining && self.core.is_drained() {
            errands.gates.push(Arc::clone(&shared.drained));
        }
        if errands.lane.is_none() {
            errands.link.clone_from(&self.lanes.first().link);
        }
        until
    }

    /// A call to execute: to a receiving thread, to a waiting worker, to a fresh one, or to
    /// whichever gets free first.
    fn accept(&mut self, call: Box<Execute>, shared: &Shared, errands: &mut Errands) {
        if call.ticket.call_id().space == Space::Durable {
            self.storing.accept(self.now, call);
            if self.storing.has_gathered() {
                errands.gates.push(Arc::clone(&shared.bell));
            }
            self.call_keeper(errands);
            return;
        }
        match shared.exports.place(call.method) {
            Place::Receiver => self.lanes.of(errands).here.push_back(call),
            Place::ByPace if self.takes_here(call.method, errands) => {
                let lane = self.lanes.of(errands);
                lane.here_by_pace += 1;
                lane.here.push_back(call);
            }
            Place::ByPace | Place::Workers => self.enqueue(call, errands),
        }
    }

    /// A call waits for a worker.
    pub(super) fn enqueue(&mut self, call: Box<Execute>, errands: &mut Errands) {
        self.queue.push_back(call);
        if self.has_seat() {
            self.roster.call(errands);
        }
    }

    /// Whether one more thread may be at work for workers' methods.
    const fn has_seat(&self) -> bool {
        self.handling < self.handling_max
    }

    /// Calls a worker for what a thread that ends its turn leaves to be done.
    pub(super) fn call_next(&mut self, errands: &mut Errands) {
        let has_calls = !self.queue.is_empty() && !self.is_full();
        let has_work = (has_calls || self.parked.is_anybody_called()) && self.has_seat();
        if has_work || !self.questions.is_empty() {
            self.roster.call(errands);
        }
        self.call_keeper(errands);
    }

    /// Sees to it that a worker looks after the calls that wait for the store, if none does.
    fn call_keeper(&mut self, errands: &mut Errands) {
        let is_wanted = self.has_seat() && self.storing.wants_keeper(!self.is_full());
        if is_wanted && self.roster.call(errands) {
            self.storing.keeper = Keeper::Called;
        }
    }

    /// No thread is to be had for the worker `number`. Those that there are see to what waits; where
    /// there is none it is turned away, and the next call, or async handler that was called, tries
    /// again.
    pub(super) fn do_without(&mut self, now: Instant, number: usize, errands: &mut Errands) {
        self.storing.call_again(); // perhaps it was this one that was called
        if self.roster.do_without(number, errands) {
            return;
        }
        for call in self.queue.drain(..).chain(self.storing.calls.drain(..)) {
            self.core.turn_away(now, call.ticket);
            self.core.recycle_call(call);
        }
        for question in self.questions.drain(..) {
            if let ServerEvent::OpenGeneration { key, .. } = question {
                self.core.generation_opened(now, key, None); // as if the store failed
            }
        }
    }

    /// What a worker does next. Calls that begin, async handlers that go on and calls for the store
    /// take turns, so that none keeps the others waiting.
    pub(super) fn next_work(&mut self, now: Instant, turn: &mut Turn<'_>) -> Option<Work> {
        const KINDS: usize = 3;
        if !self.has_seat() {
            self.storing.call_again();
            return None;
        }
        self.first = (self.first + 1) % KINDS;
        let first = self.first;
        let work = (first..first + KINDS).find_map(|kind| match kind % KINDS {
            0 => self.next_called(),
            1 => self.next_queued(now, turn),
            _ => self.next_stored(now, turn),
        });
        let is_for_store = matches!(work, Some(Work::Store(_) | Work::Ask(_) | Work::Gather(_)));
        if !is_for_store {
            self.storing.call_again(); // perhaps it was this one that was called
        }
        self.handling += usize::from(work.is_some());
        work
    }

    /// Takes up the next async handler that was called.
    fn next_called(&mut self) -> Option<Work> {
        let pending = self.parked.next_called()?;
        self.serving.push((pending.ticket, pending.context.clone()));
        Some(Work::Resume(pending))
    }

    /// Begins the next call of those that wait for a worker, unless as many run as may.
    fn next_queued(&mut self, now: Instant, turn: &mut Turn<'_>) -> Option<Work> {
        while !self.is_full() {
            let call = self.queue.pop_front()?;
            if let Some(job) = self.begin(now, call, turn) {
                return Some(Work::Begin(job));
            }
        }
        None
    }

    /// Begins the calls that wait for the store, as many as go into one transaction, unless another
    /// worker does that. Those that wait for the store's word go first.
    fn next_stored(&mut self, now: Instant, turn: &mut Turn<'_>) -> Option<Work> {
        if matches!(self.storing.keeper, Keeper::Works | Keeper::Gathers) {
            return None;
        }
        self.storing.keeper = Keeper::None;
        if !self.storing.doubts.is_empty() {
            return Some(Work::Ask(std::mem::take(&mut self.storing.doubts)));
        }
        if self.queue.is_empty()
            && let Some(until) = self.storing.gathers_until(now)
        {
            self.storing.keeper = Keeper::Gathers;
            return Some(Work::Gather(until));
        }
        let mut jobs = Vec::new();
        while jobs.len() < BATCH_JOBS_MAX && !self.is_full() {
            let Some(call) = self.storing.calls.pop_front() else { break };
            jobs.extend(self.begin(now, call, turn));
        }
        if jobs.is_empty() {
            return None;
        }
        self.storing.keeper = Keeper::Works;
        Some(Work::Store(jobs))
    }

    /// Whether as many calls run as may: async handlers are not bounded by the workers.
    pub(super) fn is_full(&self) -> bool {
        self.core.running() >= self.core.limits().calls_running_max
    }

    pub(super) fn begin(
        &mut self,
        now: Instant,
        call: Box<Execute>,
        turn: &mut Turn<'_>,
    ) -> Option<Job> {
        match self.core.begin(now, call.ticket) {
            Begin::Run => {}
            Begin::Not => {
                self.core.recycle_call(call);
                return None;
            }
        }
        self.tallies.begun(call.method);
        let context = turn.contexts.for_call(turn.world, now, &call);
        self.serving.push((call.ticket, context.clone()));
        let durable = durable_call(&call, self.core.reply_bytes_max(call.method)).map(Box::new);
        let reply = self.core.take_reply_buffer(call.ticket, call.method);
        Some(Job { call, reply, context, durable })
    }

    /// A thread is through with a handler, for now or for good.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        went: Went,
        took: Duration,
        contexts: &mut Contexts,
        errands: &mut Errands,
    ) {
        match went {
            Went::Ended(done) => {
                if done.at_one_go {
                    self.paces[done.call.method].ran(took);
                }
                let took = done.at_one_go.then_some(took);
                self.finish(now, done, took, contexts);
            }
            Went::Stored(settled) => {
                self.storing.stored(now, &settled);
                self.settle_stored(now, settled, contexts);
            }
            Went::Gathered => self.storing.keeper = Keeper::None,
            Went::Asked(settled) => self.settle_stored(now, settled, contexts),
            Went::Waits(pending) if self.is_stopping => errands.abandoned.push(pending),
            Went::Waits(pending) => {
                self.no_longer_serving(pending.ticket);
                self.parked.park(pending);
            }
        }
    }

    /// The store has spoken, if not of all.
    fn settle_stored(&mut self, now: Instant, settled: Settled, contexts: &mut Contexts) {
        self.storing.doubts.extend(settled.doubts);
        for done in settled.dones {
            self.finish(now, done, None, contexts);
        }
    }

    /// A handler has ended. It took as long as it was there, where nobody knows better.
    fn finish(
        &mut self,
        now: Instant,
        done: Done,
        took: Option<Duration>,
        contexts: &mut Contexts,
    ) {
        let Done { call, at_one_go: _, end, body, context } = done;
        let ticket = call.ticket;
        let (method, begun) = context.begun();
        let took = took.unwrap_or_else(|| now.since(begun));
        self.tallies.ended(method, took, end, &body);
        self.no_longer_serving(ticket);
        contexts.give_back(context);
        self.core.recycle_call(call);
        self.core.finish(now, ticket, end, body);
    }

    fn no_longer_serving(&mut self, ticket: Ticket) {
        if let Some(place) = self.serving.iter().position(|(served, _)| *served == ticket) {
            self.serving.swap_remove(place);
        }
    }

    /// Calls that wait for a worker and calls that run.
    pub(super) fn left(&self) -> (usize, usize) {
        let waiting = self.queue.len() + self.lanes.waiting() + self.storing.calls.len();
        (waiting, self.serving.len() + self.parked.len())
    }

    /// Begins the end: no thread starts a handler any more, those that run are told, those that wait
    /// are dropped.
    pub(super) fn stop(&mut self, shared: &Shared, errands: &mut Errands) {
        self.is_stopping = true;
        self.queue.clear();
        self.storing.calls.clear();
        errands.cancels.extend(self.serving.iter().map(|(_, context)| context.clone()));
        for pending in self.parked.take_all() {
            errands.cancels.push(pending.context.clone());
            errands.abandoned.push(pending);
        }
        errands.gates.extend(self.roster.gates().cloned());
        self.lanes.stop(errands);
        if self.lanes.are_gone() {
            errands.gates.push(Arc::clone(&shared.ended));
        }
    }
}

/// A durable call's place in the store.
fn durable_call(call: &Execute, reply_bytes_max: usize) -> Option<DurableCall> {
    let CallId { session, space, slot, sequence } = call.ticket.call_id();
    (space == Space::Durable).then_some(DurableCall {
        client: call.client,
        generation: GenerationId(session.0),
        slot,
        sequence,
        digest: call.digest,
        reply_bytes_max,
    })
}

/// When somebody has to look at the core again; `None` is never.
pub(super) type Wake = Option<Instant>;

/// What a thread brings along when it begins a call.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    pub(super) world: &'t Arc<dyn World>,
    pub(super) contexts: &'t mut Contexts,
}
