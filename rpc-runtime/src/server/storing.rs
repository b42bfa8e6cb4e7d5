//! Calls that commit in a store: one worker takes all that wait, hands them to group commit, and ends
//! them together, so that their replies share datagrams as they shared the flush.
//!
//! While the store flushes, the next ones gather here. Does not know the store's type.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::context::CallContext;
use crate::ids::{CallId, ClientId};
use crate::protocol::{Execute, ServerEvent};
use crate::server::dispatch::{Done, Job, Went, panicked};
use crate::server::errands::Errands;
use crate::server::state::{Shared, State};
use crate::service::{Answer, Desk, Dispatched, DurableCall, End, Incoming};
use crate::store::{BATCH_JOBS_MAX, StoreError, StoreErrorKind};
use crate::time::{Duration, Instant};

/// The longest that calls are let gather for.
const GATHERING_MAX: Duration = Duration::from_millis(5);

/// In less than this few come: then calls wait for what they would have had sooner.
const GATHERING_MIN: Duration = Duration::from_micros(400);

/// The calls that wait for the store, and who sees to them.
#[derive(Debug, Default)]
pub(super) struct Storing {
    /// The core bounds how many there can be.
    pub(super) calls: VecDeque<Box<Execute>>,
    pub(super) keeper: Keeper,
    /// Calls of which the store must say whether they were committed.
    pub(super) doubts: Vec<Open>,
    gathering: Gathering,
}

/// When to wait for more calls before the next transaction.
///
/// Callers that were answered mostly call again. Where all of them are back long before a flush ends,
/// so that no more come, the flushes bound the rate: then one for all is better than one for the first
/// and one for the others. Where calls come all the time the processors do, and have work while the
/// store flushes.
#[derive(Debug, Default)]
struct Gathering {
    /// When the last call came.
    last_came: Instant,
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
    call: Box<Execute>,
    context: CallContext,
    durable: Option<DurableCall>,
}

/// What came of calls that were handed to the store.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) dones: Vec<Done>,
    pub(super) doubts: Vec<Open>,
    flush_takes: Duration,
}

impl Storing {
    /// Whether calls wait that nobody will look after. Those that have begun need no room.
    pub(super) fn wants_keeper(&self, has_room: bool) -> bool {
        let can_begin = has_room && !self.calls.is_empty();
        self.keeper == Keeper::None && (can_begin || !self.doubts.is_empty())
    }

    /// Whoever was called to look after them does not come, or sees to something else first.
    pub(super) fn call_again(&mut self) {
        if self.keeper == Keeper::Called {
            self.keeper = Keeper::None;
        }
    }

    /// Takes a call in.
    pub(super) fn accept(&mut self, now: Instant, call: Box<Execute>) {
        self.calls.push_back(call);
        self.gathering.last_came = now;
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
        let all_are_back = waiting > 0 && self.last_came.until(now) >= flush_takes / 4;
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
        Done::new(self.call, answer, self.context)
    }
}

/// Runs these calls in the store to their ends.
pub(super) fn store(jobs: Vec<Job>, shared: &Arc<Shared>) -> Went {
    let mut settled = Settled::default();
    let mut opens = Vec::with_capacity(jobs.len());
    let desk = Desk::new(shared.world.gate());
    for job in jobs {
        let Job { mut call, reply, context, durable } = job;
        let (service, method) = shared.exports.find(call.method);
        let durable = durable.map(|durable| *durable);
        let incoming = Incoming { arguments: &mut call.arguments, reply, durable };
        let entered = context.enter();
        let dispatched = catch_unwind(AssertUnwindSafe(|| service.dispatch(method, incoming)));
        drop(entered);
        let open = Open { call, context, durable };
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
        // A panic is the store's: the calls that it met are in doubt, and the others have ended.
        let _panic = catch_unwind(AssertUnwindSafe(|| ledger.attend(&desk)));
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

/// Asks the store for what became of calls that may have been committed, each once: behind all
/// transactions that may still be committing. Those that it does not say anything of are asked for
/// again, whether or not their time is over: their clients are told that they are being worked on, and
/// learn what became of them once the store is back.
pub(super) fn ask(doubts: Vec<Open>, shared: &Arc<Shared>) -> Went {
    let mut settled = Settled::default();
    let Some(ledger) = shared.exports.ledger() else {
        settled.dones.extend(doubts.into_iter().map(|open| open.done(Answer::UNSETTLED)));
        return Went::Asked(settled);
    };
    let all_ended = asked(|| ledger.settle());
    for open in doubts {
        let recorded = open.durable.as_ref().map(|call| {
            all_ended.clone()?;
            asked(|| ledger.recorded(call))
        });
        match recorded {
            Some(Ok(answer)) => settled.dones.push(open.done(answer)),
            Some(Err(error)) if may_mend(error.kind()) => settled.doubts.push(open),
            Some(Err(_)) | None => settled.dones.push(open.done(Answer::UNSETTLED)),
        }
    }
    if !settled.doubts.is_empty() {
        ledger.pause();
    }
    Went::Asked(settled)
}

/// Acknowledged replies that are worth a transaction of their own.
const ACKNOWLEDGED_TOGETHER: usize = 256;

/// What a worker asks the store.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) event: Option<ServerEvent>,
    pub(super) acknowledged: Vec<(ClientId, CallId)>,
    /// For how long what nobody asks for is kept.
    pub(super) retention: Duration,
}

impl State {
    /// A reply need not be kept any more: the store hears of it with others, or when it is looked
    /// after. That is allowed to be lost.
    pub(super) fn acknowledge(&mut self, acknowledged: (ClientId, CallId), errands: &mut Errands) {
        self.acknowledged.push(acknowledged);
        if self.acknowledged.len() == ACKNOWLEDGED_TOGETHER {
            self.roster.call(errands);
        }
    }

    /// What to ask the store next.
    pub(super) fn next_question(&mut self) -> Option<Question> {
        let event = self.questions.pop_front();
        let is_time = matches!(event, Some(ServerEvent::Retain { .. }));
        let acknowledged = if is_time || self.acknowledged.len() >= ACKNOWLEDGED_TOGETHER {
            std::mem::take(&mut self.acknowledged)
        } else {
            Vec::new()
        };
        let retention = self.core.limits().retention;
        (event.is_some() || !acknowledged.is_empty()).then_some(Question {
            event,
            acknowledged,
            retention,
        })
    }
}

/// Whether a store that failed like that may yet say what became of a call.
const fn may_mend(failure: StoreErrorKind) -> bool {
    !matches!(failure, StoreErrorKind::Corrupt | StoreErrorKind::Fenced)
}

/// Asks the store, which may be anybody's: a panic of its is a failure of its.
pub(super) fn asked<T>(question: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let failed = |_| Err(StoreError::new(StoreErrorKind::Other, "it panicked"));
    catch_unwind(AssertUnwindSafe(question)).unwrap_or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLUSH: Duration = Duration::from_millis(2);

    fn at(micros: u64) -> Instant {
        Instant::START + Duration::from_micros(micros)
    }

    #[test]
    fn where_all_were_back_long_before_the_flush_ended_they_are_waited_for() {
        let mut gathering = Gathering { last_came: at(1_000), ..Gathering::default() };
        gathering.stored(at(2_000), 5, 27, FLUSH);
        assert_eq!(gathering.until(at(2_000), 27), Some(at(3_500)));
        assert_eq!(gathering.until(at(2_400), 31), Some(at(3_500)));
        assert_eq!(gathering.until(at(2_500), 32), None, "all are there");
        // They came in time, so that it is done again, though nobody waits this time.
        gathering.stored(at(5_000), 32, 0, FLUSH);
        assert_eq!(gathering.until(at(5_000), 0), Some(at(6_500)));
    }

    #[test]
    fn a_wait_that_was_in_vain_is_not_done_again() {
        let mut gathering = Gathering { last_came: at(1_000), ..Gathering::default() };
        gathering.stored(at(2_000), 5, 1, FLUSH);
        assert_eq!(gathering.until(at(2_000), 1), Some(at(3_500)));
        assert_eq!(gathering.until(at(3_500), 2), None, "it was long enough");
        gathering.last_came = at(5_400);
        gathering.stored(at(5_500), 2, 4, FLUSH);
        assert_eq!(gathering.until(at(5_500), 4), None, "they come all the time");
    }

    #[test]
    fn nobody_is_waited_for_where_flushes_are_cheap_or_nobody_else_calls() {
        let mut gathering = Gathering { last_came: at(0), ..Gathering::default() };
        gathering.stored(at(1_000), 5, 27, Duration::from_micros(200));
        assert_eq!(gathering.until(at(1_000), 27), None);
        gathering.stored(at(9_000), 1, 0, FLUSH);
        assert_eq!(gathering.until(at(9_000), 0), None);
    }

    #[test]
    fn no_wait_is_longer_than_a_few_milliseconds_nor_for_more_than_go_into_a_transaction() {
        let mut gathering = Gathering { last_came: at(0), ..Gathering::default() };
        gathering.stored(at(90_000), 40, 60, Duration::from_millis(80));
        assert_eq!(gathering.until(at(90_000), 60), Some(at(95_000)));
        assert_eq!(gathering.until(at(90_000), 64), None);
    }
}
