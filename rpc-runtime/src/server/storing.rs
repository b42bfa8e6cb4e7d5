//! Calls that commit in a store: one worker takes all that wait, hands them to group commit, and ends
//! them together, so that their replies share datagrams as they shared the flush.
//!
//! While the store flushes, the next ones gather here. Does not know the store's type.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::context::CallContext;
use crate::protocol::{Execute, Ticket};
use crate::server::dispatch::{Done, Job, Went, panicked};
use crate::server::state::Shared;
use crate::service::{Answer, Desk, Dispatched, DurableCall, End, Incoming};
use crate::store::BATCH_JOBS_MAX;
use crate::time::{Duration, Instant};

/// The longest that calls are let gather for.
const GATHERING_MAX: Duration = Duration::from_millis(5);

/// What is shorter than this is not worth a wait.
const GATHERING_MIN: Duration = Duration::from_micros(100);

/// The calls that wait for the store, and who sees to them.
#[derive(Debug, Default)]
pub(super) struct Storing {
    /// The core bounds how many there can be.
    pub(super) calls: VecDeque<Execute>,
    pub(super) keeper: Keeper,
    /// Calls of which the store must say whether they were committed.
    pub(super) doubts: Vec<Open>,
    gathering: Gathering,
}

/// When to wait for more calls before the next transaction.
///
/// Callers that were answered mostly call again. Where all of them are back before a flush ends, the
/// flushes bound the rate: then one for all is better than one for the first and one for the others.
/// Where they are not, the processors do, and have work while the store flushes.
#[derive(Debug, Default)]
struct Gathering {
    /// Callers that were answered before the last transaction began.
    answered: usize,
    /// Until when, and for how many calls, the next transaction waits.
    until: Option<(Instant, usize)>,
    /// Whether the last wait was for all that it hoped for.
    is_worth_it: bool,
}

/// The worker that sees to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keeper {
    #[default]
    None,
    /// One was woken, and will look.
    Called,
    /// One hands calls to the store: no other does.
    Works,
    /// One waits for more calls.
    Gathers,
}

/// An execution that has begun, and whose end is the store's to say.
#[derive(Debug)]
pub(super) struct Open {
    ticket: Ticket,
    arguments: Vec<u8>,
    context: CallContext,
    call: Option<DurableCall>,
}

/// What came of calls that were handed to the store.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) dones: Vec<Done>,
    pub(super) doubts: Vec<Open>,
    flush_takes: Duration,
}

impl Storing {
    /// Whether calls wait that nobody will look after.
    pub(super) fn wants_keeper(&self) -> bool {
        self.keeper == Keeper::None && !(self.calls.is_empty() && self.doubts.is_empty())
    }

    /// The keeper is through with a transaction.
    pub(super) fn stored(&mut self, now: Instant, settled: &Settled) {
        self.keeper = Keeper::None;
        let ended = settled.dones.len() + settled.doubts.len();
        self.gathering.stored(now, ended, self.calls.len(), settled.flush_takes);
    }

    /// Until when to wait for more calls, if that is worth it.
    pub(super) fn gathers_until(&mut self, now: Instant) -> Option<Instant> {
        self.gathering.until(now, self.calls.len())
    }

    /// Whether the keeper waits for calls and has them all.
    pub(super) fn has_gathered(&self) -> bool {
        let is_enough = |(_, callers)| self.calls.len() >= callers;
        self.keeper == Keeper::Gathers && self.gathering.until.is_none_or(is_enough)
    }
}

impl Gathering {
    /// A transaction ended `ended` calls, while others came that wait.
    fn stored(&mut self, now: Instant, ended: usize, waiting: usize, flush_takes: Duration) {
        let all_are_back = self.answered > 0 && waiting >= self.answered;
        self.answered = ended;
        let wait = (flush_takes / 4 * 3).min(GATHERING_MAX);
        let is_worth_it = (all_are_back || self.is_worth_it) && wait >= GATHERING_MIN;
        let callers = (ended + waiting).min(BATCH_JOBS_MAX);
        self.until = is_worth_it.then_some((now + wait, callers));
    }

    /// Until when to wait, where so many calls are waiting.
    fn until(&mut self, now: Instant, waiting: usize) -> Option<Instant> {
        let (until, callers) = self.until?;
        self.is_worth_it = waiting >= callers;
        if now < until && waiting < callers {
            return Some(until);
        }
        self.until = None;
        None
    }
}

impl Open {
    fn done(self, answer: Answer) -> Done {
        Done::new(self.ticket, self.arguments, answer, self.context)
    }
}

/// Runs these calls in the store to their ends.
pub(super) fn store(jobs: Vec<Job>, shared: &Arc<Shared>) -> Went {
    let mut settled = Settled::default();
    let mut opens = Vec::with_capacity(jobs.len());
    let desk = Desk::new(shared.world.gate());
    for job in jobs {
        let Job { ticket, method, mut arguments, reply, context, durable: call } = job;
        let (service, method) = shared.exports.find(method);
        let incoming = Incoming { arguments: &mut arguments, reply, durable: call };
        let entered = context.enter();
        let dispatched = catch_unwind(AssertUnwindSafe(|| service.dispatch(method, incoming)));
        drop(entered);
        let open = Open { ticket, arguments, context, call };
        match dispatched {
            Ok(Dispatched::Stored(call)) => {
                desk.post(call, opens.len());
                opens.push(Some(open));
            }
            Ok(Dispatched::Now(answer)) => settled.dones.push(open.done(answer)),
            // No future is durable: the macro refuses it.
            Ok(Dispatched::Later(_)) => settled.dones.push(open.done(Answer::NOT_COMMITTED)),
            Err(payload) => settled.dones.push(open.done(panicked(&*payload))),
        }
    }
    if let Some(ledger) = shared.exports.ledger() {
        ledger.attend(&desk);
        settled.flush_takes = ledger.flush_takes();
    }
    for (place, end) in desk.take_ends() {
        let Some(open) = opens[place].take() else { continue };
        match end {
            End::Known(answer) => settled.dones.push(open.done(answer)),
            End::InDoubt => settled.doubts.push(open),
        }
    }
    Went::Stored(settled)
}

/// Asks the store for what became of calls that may have been committed, each once. Those that it
/// does not say anything of are asked for again, as long as somebody waits for them.
pub(super) fn ask(doubts: Vec<Open>, shared: &Arc<Shared>) -> Went {
    let mut settled = Settled::default();
    let ledger = shared.exports.ledger();
    for open in doubts {
        let recorded = ledger.zip(open.call.as_ref()).map(|(ledger, call)| ledger.recorded(call));
        match recorded {
            Some(Ok(answer)) => settled.dones.push(open.done(answer)),
            Some(Err(_)) if !open.context.remaining().is_zero() => settled.doubts.push(open),
            Some(Err(_)) | None => settled.dones.push(open.done(Answer::UNSETTLED)),
        }
    }
    if !settled.doubts.is_empty()
        && let Some(ledger) = ledger
    {
        ledger.pause();
    }
    Went::Asked(settled)
}
