//! What stands behind the server's lock, and the errands that its turns leave for afterwards.
//!
//! A thread takes the lock for one turn: it feeds the core, drains it, and picks its next handler.
//! Whatever that asks of the world (datagrams to send, threads to wake, handlers to tell of their
//! cancellation) goes into the thread's [`Errands`] and is run after the lock was released.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;

use crate::address::Address;
use crate::context::CallContext;
use crate::driver::{Gate, Link, World};
use crate::ids::{CallId, GenerationId, Space};
use crate::protocol::{self, Begin, Execute, Output, ServerCounters, ServerEvent, Ticket};
use crate::server::dispatch::{Contexts, Done, Job, Went, Work};
use crate::server::exports::Exports;
use crate::server::pending::{Parked, Pending};
use crate::server::workers;
use crate::service::DurableCall;
use crate::time::Instant;

/// Buffers for datagrams that a thread keeps from one turn to the next.
const DATAGRAMS_KEPT_MAX: usize = 64;

/// All that the threads of one server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Arc<dyn World>,
    pub(super) exports: Exports,
    state: Mutex<State>,
    /// Opened when the receiving thread has ended.
    pub(super) ended: Arc<dyn Gate>,
    /// Opened when a draining server has nothing left to do.
    pub(super) drained: Arc<dyn Gate>,
}

/// What stands behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: protocol::Server,
    /// The time of the last turn.
    now: Instant,
    /// `None` once the server was stopped: the address is free when the last thread let go of it.
    pub(super) link: Option<Arc<dyn Link>>,
    /// Calls for the workers. The core bounds how many can be waiting.
    queue: VecDeque<Execute>,
    /// Calls for the receiving thread.
    inline: VecDeque<Execute>,
    /// For the store; the core bounds how many can be waiting.
    pub(super) questions: VecDeque<ServerEvent>,
    /// The handlers that threads run, for cancellations.
    serving: Vec<(Ticket, CallContext)>,
    /// The async handlers that no thread runs.
    parked: Parked,
    /// Whether a free worker goes on with one of those before it begins another call: by turns.
    resumes_first: bool,
    /// The workers' gates by number, and who of them waits: the one that waited least goes first,
    /// because its memory is still warm.
    gates: Vec<Option<Arc<dyn Gate>>>,
    idle: Vec<usize>,
    workers_max: usize,
    pub(super) receiver: Receiver,
    pub(super) receiving_thread: Option<ThreadId>,
    pub(super) is_draining: bool,
    pub(super) is_stopping: bool,
}

/// What the receiving thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    /// It looks at the state before it waits again.
    Busy,
    /// It waits for a datagram, or for this time.
    Waits { until: Option<Instant> },
    /// It has ended.
    Gone,
}

impl Shared {
    pub(super) fn new(
        world: Arc<dyn World>,
        link: Arc<dyn Link>,
        core: protocol::Server,
        exports: Exports,
        workers_max: usize,
    ) -> Arc<Self> {
        let (ended, drained) = (world.gate(), world.gate());
        let state = State {
            core,
            now: Instant::START,
            link: Some(link),
            queue: VecDeque::new(),
            inline: VecDeque::new(),
            questions: VecDeque::new(),
            serving: Vec::with_capacity(workers_max + 1),
            parked: Parked::default(),
            resumes_first: false,
            gates: Vec::with_capacity(workers_max),
            idle: Vec::with_capacity(workers_max),
            workers_max,
            receiver: Receiver::Busy,
            receiving_thread: None,
            is_draining: false,
            is_stopping: false,
        };
        Arc::new(Self { world, exports, state: Mutex::new(state), ended, drained })
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

    /// Has a worker go on with a parked handler. Whoever calls this may be unwinding, so that it
    /// does not panic, and holds no lock of ours.
    pub(super) fn call_for(self: &Arc<Self>, ticket: Ticket) {
        let Ok(mut state) = self.state.lock() else { return };
        let mut errands = Errands::default();
        if state.parked.call_for(ticket) {
            state.call_worker(&mut errands);
        }
        drop(state);
        errands.run(self);
    }
}

impl State {
    /// Takes everything out of the core; says until when it needs no attention.
    pub(super) fn drain(&mut self, now: Instant, shared: &Shared, errands: &mut Errands) -> Wake {
        let until = loop {
            match self.core.poll_output(now, errands.datagram()) {
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
                    | ServerEvent::ForgetGeneration { .. }),
                ) => {
                    self.questions.push_back(event);
                    self.call_worker(errands);
                }
                Output::Transmit { to } => errands.send_to(to),
                Output::Wait { until, .. } => break until,
            }
        };
        if self.is_draining && self.core.is_drained() {
            errands.gates.push(Arc::clone(&shared.drained));
        }
        errands.link.clone_from(&self.link);
        until
    }

    /// A call to execute: to the receiving thread, to a waiting worker, to a fresh one, or to
    /// whichever gets free first.
    fn accept(&mut self, call: Execute, shared: &Shared, errands: &mut Errands) {
        if shared.exports.is_inline(call.method) {
            self.inline.push_back(call);
            return;
        }
        self.queue.push_back(call);
        self.call_worker(errands);
    }

    /// Sees to it that a worker looks what there is to do.
    fn call_worker(&mut self, errands: &mut Errands) {
        if let Some(worker) = self.idle.pop() {
            errands.gates.extend(self.gates[worker].clone());
        } else if self.gates.len() < self.workers_max {
            errands.fresh_workers.push(self.gates.len());
            self.gates.push(None);
        }
    }

    /// Begins the next call of those that wait for the receiving thread. All that `begin` makes the
    /// core say is for the next drain.
    pub(super) fn next_inline(&mut self, now: Instant, turn: &mut Turn<'_>) -> Option<Job> {
        while let Some(call) = self.inline.pop_front() {
            if let Some(job) = self.begin(now, call, turn) {
                return Some(job);
            }
        }
        None
    }

    /// What a worker does next. Calls that begin and async handlers that go on take turns, so that
    /// neither keeps the other waiting.
    pub(super) fn next_work(&mut self, now: Instant, turn: &mut Turn<'_>) -> Option<Work> {
        self.resumes_first = !self.resumes_first;
        if self.resumes_first {
            self.next_called().or_else(|| self.next_queued(now, turn))
        } else {
            self.next_queued(now, turn).or_else(|| self.next_called())
        }
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

    /// Whether as many calls run as may: async handlers are not bounded by the workers.
    fn is_full(&self) -> bool {
        self.core.running() >= self.core.limits().calls_running_max
    }

    fn begin(&mut self, now: Instant, call: Execute, turn: &mut Turn<'_>) -> Option<Job> {
        match self.core.begin(now, call.ticket) {
            Begin::Run => {}
            Begin::Not => {
                self.core.recycle(call.arguments);
                return None;
            }
        }
        let context = turn.contexts.for_call(turn.world, &call);
        self.serving.push((call.ticket, context.clone()));
        let durable = durable_call(&call, self.core.reply_bytes_max(call.method));
        let Execute { ticket, method, arguments, .. } = call;
        Some(Job { ticket, method, arguments, reply: self.core.take_buffer(), context, durable })
    }

    /// A thread is through with a handler, for now or for good.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        went: Went,
        contexts: &mut Contexts,
        errands: &mut Errands,
    ) {
        match went {
            Went::Ended(done) => {
                let was_full = self.is_full();
                self.finish(now, done, contexts);
                if was_full && !self.queue.is_empty() {
                    self.call_worker(errands);
                }
            }
            Went::Waits(pending) if self.is_stopping => errands.abandoned.push(pending),
            Went::Waits(pending) => {
                self.no_longer_serving(pending.ticket);
                self.parked.park(pending);
            }
        }
    }

    /// The receiving thread leaves async handlers to the workers.
    pub(super) fn hand_over(&mut self, errands: &mut Errands) {
        if self.parked.is_anybody_called() {
            self.call_worker(errands);
        }
    }

    /// A handler has ended.
    fn finish(&mut self, now: Instant, done: Done, contexts: &mut Contexts) {
        let Done { ticket, arguments, end, body, context } = done;
        self.no_longer_serving(ticket);
        contexts.give_back(context);
        self.core.recycle(arguments);
        self.core.finish(now, ticket, end, body);
    }

    fn no_longer_serving(&mut self, ticket: Ticket) {
        if let Some(place) = self.serving.iter().position(|(served, _)| *served == ticket) {
            self.serving.swap_remove(place);
        }
    }

    /// Whether a worker's turn left something that the receiving thread must look at.
    pub(super) fn receiver_must_look(&mut self, until: Wake) -> bool {
        let Receiver::Waits { until: waits_until } = self.receiver else { return false };
        let is_earlier = match (until, waits_until) {
            (Some(until), Some(waits_until)) => until < waits_until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let must_look = is_earlier || !self.inline.is_empty();
        if must_look {
            self.receiver = Receiver::Busy; // once it was woken it looks for itself
        }
        must_look
    }

    /// The worker `number` has nothing to do, and waits at its gate.
    pub(super) fn rest(&mut self, number: usize, gate: &Arc<dyn Gate>) {
        self.gates[number].get_or_insert_with(|| Arc::clone(gate));
        self.idle.push(number);
    }

    /// The worker `number` looks again; it may have been woken for a call or by nothing at all.
    pub(super) fn rise(&mut self, number: usize) {
        self.idle.retain(|idle| *idle != number);
    }

    /// Calls that wait for a worker and calls that run.
    pub(super) fn left(&self) -> (usize, usize) {
        (self.queue.len() + self.inline.len(), self.serving.len() + self.parked.len())
    }

    /// Begins the end: no thread starts a handler any more, those that run are told, those that wait
    /// are dropped.
    pub(super) fn stop(&mut self, errands: &mut Errands) {
        self.is_stopping = true;
        self.queue.clear();
        self.inline.clear();
        errands.cancels.extend(self.serving.iter().map(|(_, context)| context.clone()));
        for pending in self.parked.take_all() {
            errands.cancels.push(pending.context.clone());
            errands.abandoned.push(pending);
        }
        errands.gates.extend(self.gates.iter().flatten().cloned());
        errands.link = self.link.take();
        errands.must_wake_receiver = true;
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

/// What is to be done once the lock is released. Each thread keeps its own, for the buffers.
#[derive(Debug, Default)]
pub(super) struct Errands {
    /// Buffers; the first `ready` of them hold datagrams and their destinations.
    datagrams: Vec<(Option<Address>, Vec<u8>)>,
    ready: usize,
    pub(super) link: Option<Arc<dyn Link>>,
    cancels: Vec<CallContext>,
    /// Async handlers that nobody will go on with.
    abandoned: Vec<Pending>,
    gates: Vec<Arc<dyn Gate>>,
    fresh_workers: Vec<usize>,
    pub(super) must_wake_receiver: bool,
}

impl Errands {
    /// The buffer for the next datagram.
    fn datagram(&mut self) -> &mut Vec<u8> {
        if self.ready == self.datagrams.len() {
            self.datagrams.push((None, Vec::new()));
        }
        &mut self.datagrams[self.ready].1
    }

    /// The buffer holds a datagram.
    fn send_to(&mut self, to: Address) {
        self.datagrams[self.ready].0 = Some(to);
        self.ready += 1;
    }

    /// Does not open this gate.
    pub(super) fn leave_shut(&mut self, gate: &Arc<dyn Gate>) {
        self.gates.retain(|other| !Arc::ptr_eq(other, gate));
    }

    /// Does all that is to be done. The lock must not be held.
    pub(super) fn run(&mut self, shared: &Arc<Shared>) {
        let link = self.link.take();
        for (to, datagram) in &mut self.datagrams[..self.ready] {
            if let (Some(to), Some(link)) = (to.take(), &link) {
                // A datagram that did not leave is one that was lost: the protocol sees to it.
                let _ = link.send(to, datagram);
            }
        }
        self.ready = 0;
        self.datagrams.truncate(DATAGRAMS_KEPT_MAX);
        if std::mem::take(&mut self.must_wake_receiver)
            && let Some(link) = link
        {
            link.wake();
        }
        for number in self.fresh_workers.drain(..) {
            workers::hire(shared, number);
        }
        for gate in self.gates.drain(..) {
            gate.open();
        }
        for context in self.cancels.drain(..) {
            context.cancel();
        }
        self.abandoned.clear();
    }
}
