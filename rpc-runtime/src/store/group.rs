//! Group commit: many bodies, one transaction, one flush.
//!
//! Whoever posts a job and finds nobody at work becomes the leader: it runs up to
//! [`BATCH_JOBS_MAX`] waiting jobs in one transaction, one after another, and commits them with one
//! flush, while the next ones gather. No thread is kept for it, and no lock is held while a body or
//! the store works.
//!
//! A body that undoes its work or panics takes the transaction with it, so the batch is begun anew
//! without it, and it is the first of the next one. Its verdict stands only if it was the first: then
//! it saw nothing that was not committed. So a job's answer never depends on another's that was
//! rolled back.
//!
//! DeWitt et al., "Implementation Techniques for Main Memory Database Systems" (1984), section 5.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Commit, RowCache, RowKey, Store, StoreError, StoreErrorKind};
use crate::driver::World;
use crate::time::Duration;

mod seat;

pub(crate) use seat::Seat;

/// The most jobs in one transaction.
pub(crate) const BATCH_JOBS_MAX: usize = 64;

/// By which part the last flush counts in the time that one takes of late.
const FLUSH_TAKES_SHARE: u32 = 4;

/// A batch that lost that many jobs is committed as far as it is known to be good, so that the
/// others do not run again and again for the sake of jobs that fail.
const BATCH_UNDONE_MAX: usize = 4;

/// How a job's transaction ended, other than by a failure of the store.
pub enum Ended {
    /// Committed, with what the body's last run did.
    Kept,
    /// The body undid it: nothing of it is in the store.
    Undone,
    /// The body panicked: nothing of it is in the store.
    Panicked(Box<dyn Any + Send>),
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "Kept",
            Self::Undone => "Undone",
            Self::Panicked(_) => "Panicked",
        })
    }
}

/// A body and what is done when it has ended. Both happen on the thread of whoever leads.
pub trait Job<S: Store>: Send {
    /// The one row of the runtime's that it works with, if it reads and writes that through the
    /// cache alone: it is read ahead and written behind, together with those of the others.
    fn key(&self) -> Option<RowKey> {
        None
    }

    /// Works in a transaction. May run more than once, on a transaction of its own each time: what
    /// an earlier run found or did counts for nothing, so every run begins from the beginning.
    fn run(&mut self, tx: &mut S::Tx<'_>, rows: &mut RowCache) -> Commit;

    /// Its last run's end. Not while the transaction is open; must not wait, for others wait for
    /// the thread that it is called on.
    fn ended(self: Box<Self>, how: Result<Ended, StoreError>);
}

/// What group commit has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Jobs taken in.
    pub jobs: u64,
    /// Jobs refused because the queue was full.
    pub refused: u64,
    /// Runs of jobs' bodies, those rolled back included.
    pub runs: u64,
    /// Jobs whose work is in the store.
    pub kept: u64,
    /// Transactions begun.
    pub transactions: u64,
    /// Transactions committed, each with one flush.
    pub flushes: u64,
}

/// A job in the queue.
struct Waiting<S: Store> {
    job: Box<dyn Job<S>>,
    /// Where a thread waits that can lead, if one does.
    seat: Option<Arc<Seat>>,
}

struct Queue<S: Store> {
    waiting: VecDeque<Waiting<S>>,
    is_led: bool,
    stats: GroupStats,
    flush_takes: Duration,
}

/// The queue of a store's jobs.
pub(super) struct Group<S: Store> {
    queue: Mutex<Queue<S>>,
    waiting_max: usize,
    world: Arc<dyn World>,
}

/// What the leader does last in a transaction: whether this life may still write.
pub(super) type Guard<'g, S> =
    &'g (dyn Fn(&mut <S as Store>::Tx<'_>) -> Result<(), StoreError> + Send + Sync);

impl<S: Store> Group<S> {
    pub(super) fn new(waiting_max: usize, world: Arc<dyn World>) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            is_led: false,
            stats: GroupStats::default(),
            flush_takes: Duration::ZERO,
        };
        Self { queue: Mutex::new(queue), waiting_max, world }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> GroupStats {
        self.lock().stats
    }

    /// How long a commit took of late, from the last body's end to the flush's.
    pub(super) fn flush_takes(&self) -> Duration {
        self.lock().flush_takes
    }

    /// Takes a job in, to be run by whoever leads.
    pub(super) fn post(
        &self,
        job: Box<dyn Job<S>>,
        seat: Option<Arc<Seat>>,
    ) -> Result<(), (Box<dyn Job<S>>, StoreError)> {
        let mut queue = self.lock();
        if queue.waiting.len() >= self.waiting_max {
            queue.stats.refused += 1;
            drop(queue);
            let detail = format!("{} wait", self.waiting_max);
            return Err((job, StoreError::new(StoreErrorKind::Busy, detail)));
        }
        queue.stats.jobs += 1;
        queue.waiting.push_back(Waiting { job, seat });
        Ok(())
    }

    /// Leads until nothing waits. Returns at once if somebody else leads.
    ///
    /// # Panics
    ///
    /// Here and in [`Group::attend`]: as the store or a job did at its end. That is put off until the
    /// lead is given up: others wait for whoever leads, and may not have anybody else.
    pub(super) fn work(&self, store: &S, guard: Guard<'_, S>) {
        let mut panic = None;
        let mut lead = self.try_lead();
        while let Some(mut leader) = lead {
            leader.batch(store, guard, &mut panic);
            lead = leader.step_down(false);
        }
        go_on_with(panic);
    }

    /// Waits until all jobs of `seat` have ended; leads if nobody does, or when told to.
    pub(super) fn attend(&self, seat: &Seat, store: &S, guard: Guard<'_, S>) {
        let mut panic = None;
        loop {
            let (has_ended, is_told_to_lead) = seat.look();
            if has_ended {
                assert!(!is_told_to_lead, "only the leader ends jobs, and it was to be this one");
                return go_on_with(panic);
            }
            let lead = if is_told_to_lead { Some(Lead { group: self }) } else { self.try_lead() };
            let Some(mut lead) = lead else {
                seat.wait();
                continue;
            };
            while !seat.has_ended() {
                lead.batch(store, guard, &mut panic);
            }
            while let Some(mut still) = lead.step_down(true) {
                still.batch(store, guard, &mut panic);
                lead = still;
            }
        }
    }

    /// The lead, if nobody has it and something waits.
    fn try_lead(&self) -> Option<Lead<'_, S>> {
        let mut queue = self.lock();
        let is_free = !queue.is_led && !queue.waiting.is_empty();
        queue.is_led |= is_free;
        is_free.then(|| Lead { group: self })
    }
}

/// What a leader panicked with, and goes on with when it leads no more.
type Panic = Option<Box<dyn Any + Send>>;

fn go_on_with(panic: Panic) {
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// The right to run jobs, of which there is one. Dropping it gives it up.
struct Lead<'g, S: Store> {
    group: &'g Group<S>,
}

impl<S: Store> Drop for Lead<'_, S> {
    fn drop(&mut self) {
        self.group.lock().is_led = false;
    }
}

/// Where one attempt at a batch stopped.
enum Stop {
    /// Not at all: every body kept its work.
    No,
    /// That body undid its work.
    Undone(usize),
    /// That body panicked.
    Panicked(usize, Box<dyn Any + Send>),
    /// The store failed that body.
    Failed(usize),
}

impl<'g, S: Store> Lead<'g, S> {
    /// Gives the lead up if nothing waits, or to a waiting thread if it may and one does. Else there
    /// is more to do.
    fn step_down(self, may_hand_over: bool) -> Option<Self> {
        let group = self.group;
        let mut queue = group.lock();
        if queue.waiting.is_empty() {
            queue.is_led = false;
            std::mem::forget(self); // given up, under the lock that saw the queue empty
            return None;
        }
        let seats = queue.waiting.iter().filter(|_| may_hand_over);
        let seat = seats.filter_map(|waiting| waiting.seat.clone()).next();
        drop(queue);
        let Some(seat) = seat else { return Some(self) };
        std::mem::forget(self); // the seat has it
        seat.tell_to_lead();
        None
    }

    /// Runs the jobs that wait, as many as one transaction takes. Those that a panic met are dropped.
    fn batch(&mut self, store: &S, guard: Guard<'_, S>, panic: &mut Panic) {
        // What is broken by it is the store's or the job's own; the queue is locked for moments in
        // which nothing of theirs runs.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.try_batch(store, guard))) {
            *panic = Some(payload);
        }
    }

    fn try_batch(&mut self, store: &S, guard: Guard<'_, S>) {
        let mut queue = self.group.lock();
        let count = queue.waiting.len().min(BATCH_JOBS_MAX);
        let jobs: VecDeque<_> = queue.waiting.drain(..count).collect();
        drop(queue);
        let mut batch = Batch {
            good: jobs.len(),
            jobs,
            again: Vec::new(),
            lost: 0,
            one_by_one: false,
            stats: GroupStats::default(),
            world: &*self.group.world,
            flush_took: None,
        };
        while !batch.jobs.is_empty() {
            batch.step(store, guard);
        }
        let Batch { again, stats, flush_took, .. } = batch;
        let mut queue = self.group.lock();
        for waiting in again.into_iter().rev() {
            queue.waiting.push_front(waiting);
        }
        if let Some(took) = flush_took {
            let before = queue.flush_takes;
            queue.flush_takes = before - before / FLUSH_TAKES_SHARE + took / FLUSH_TAKES_SHARE;
        }
        let total = &mut queue.stats;
        total.runs += stats.runs;
        total.kept += stats.kept;
        total.transactions += stats.transactions;
        total.flushes += stats.flushes;
    }
}

/// Jobs on their way through one transaction, or through several if some of them fail.
struct Batch<'w, S: Store> {
    jobs: VecDeque<Waiting<S>>,
    /// How many of them to run in the next transaction.
    good: usize,
    /// Jobs that failed after others had run: to be tried again as the first.
    again: Vec<Waiting<S>>,
    /// How many have been taken out.
    lost: usize,
    /// A transaction of several failed by the fault of one of them.
    one_by_one: bool,
    stats: GroupStats,
    world: &'w dyn World,
    /// How long the last commit took that succeeded.
    flush_took: Option<Duration>,
}

impl<S: Store> Batch<'_, S> {
    /// One transaction, and its consequences.
    fn step(&mut self, store: &S, guard: Guard<'_, S>) {
        let (stop, result) = self.attempt(store, guard);
        match (stop, result) {
            (Stop::No, Ok(())) => {
                self.stats.flushes += 1;
                self.stats.kept += u64::try_from(self.good).unwrap_or(u64::MAX);
                self.end_good(|| Ok(Ended::Kept));
            }
            (Stop::Undone(0), Ok(())) => self.end(0, Ok(Ended::Undone)),
            (Stop::Panicked(0, payload), Ok(())) => self.end(0, Ok(Ended::Panicked(payload))),
            (Stop::Undone(index) | Stop::Panicked(index, _), Ok(())) => {
                let job = self.take(index);
                self.again.push(job);
                if self.lost >= BATCH_UNDONE_MAX {
                    self.good = index;
                }
            }
            (Stop::Failed(index), Ok(())) => {
                let detail = "it said that a failed transaction was well";
                self.end(index, Err(StoreError::new(StoreErrorKind::Other, detail)));
            }
            (Stop::Failed(index), Err(error)) if error.kind() == StoreErrorKind::Corrupt => {
                self.end(index, Err(error));
            }
            (_, Err(error)) if self.good > 1 && is_of_one_job(&error) => {
                self.one_by_one = true;
                self.set_good();
            }
            (_, Err(error)) => self.end_good(|| Err(error.clone())),
        }
    }

    fn attempt(&mut self, store: &S, guard: Guard<'_, S>) -> (Stop, Result<(), StoreError>) {
        let Self { jobs, good, stats, world, .. } = self;
        let mut stop = Stop::No;
        let mut commit_began = None;
        let result = store.transact(&mut |tx| {
            stop = Stop::No;
            stats.transactions += 1;
            let keys = jobs.iter().take(*good).filter_map(|waiting| waiting.job.key());
            let mut rows = match RowCache::read_ahead::<S>(tx, keys) {
                Ok(rows) => rows,
                Err(error) => return Commit::Failed(error),
            };
            for (index, waiting) in jobs.iter_mut().take(*good).enumerate() {
                stats.runs += 1;
                if waiting.job.key().is_none()
                    && let Err(error) = rows.write_behind::<S>(tx)
                {
                    return Commit::Failed(error);
                }
                // The body begins from the beginning in every run, and is asked nothing after its
                // panic but to be told of it.
                let ran = catch_unwind(AssertUnwindSafe(|| waiting.job.run(tx, &mut rows)));
                let failed = match ran {
                    Ok(Commit::Keep) => continue,
                    Ok(Commit::Undo) => (Stop::Undone(index), Commit::Undo),
                    Ok(Commit::Failed(error)) => (Stop::Failed(index), Commit::Failed(error)),
                    Err(payload) => (Stop::Panicked(index, payload), Commit::Undo),
                };
                stop = failed.0;
                return failed.1;
            }
            commit_began = Some(world.now());
            let written = rows.write_behind::<S>(tx).and_then(|()| guard(tx));
            written.map_or_else(Commit::Failed, |()| Commit::Keep)
        });
        if let (Ok(()), Some(began)) = (&result, commit_began) {
            self.flush_took = Some(began.until(self.world.now()));
        }
        (stop, result)
    }

    /// Takes a job out, and lets the next transaction have all the others.
    fn take(&mut self, index: usize) -> Waiting<S> {
        let job = self.jobs.remove(index).expect("a job that ran is in the batch");
        self.lost += 1;
        self.set_good();
        job
    }

    /// The next transaction has all that are left, if there is no reason against it.
    fn set_good(&mut self) {
        self.good = if self.one_by_one { self.jobs.len().min(1) } else { self.jobs.len() };
    }

    fn end(&mut self, index: usize, how: Result<Ended, StoreError>) {
        let Waiting { job, .. } = self.take(index);
        job.ended(how);
    }

    /// Ends the jobs of the transaction; the next one has the others.
    fn end_good(&mut self, how: impl Fn() -> Result<Ended, StoreError>) {
        for _ in 0..self.good {
            let waiting = self.jobs.pop_front().expect("the good ones are jobs of the batch");
            waiting.job.ended(how());
        }
        self.set_good();
    }
}

/// Whether a failure may be the fault of one job, so that the others deserve another try.
const fn is_of_one_job(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Conflict | StoreErrorKind::Other) && !error.is_doubtful()
}

#[cfg(test)]
mod tests;
