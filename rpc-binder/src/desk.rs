//! The front desk: takes requests, has their outcomes kept, and tells those who wait.
//!
//! ```text
//!   handlers ──ask──► queue ──batch──► keeping thread ──► store
//!      ▲                                    │
//!      └──────── answered, changed ◄──apply─┘
//! ```
//!
//! One thread keeps: all that waits goes to the store in one piece (group commit), and only then is
//! seen and answered. Whoever waits is a future, which holds no thread. Renewals and lookups go past
//! the queue. Where several binders share a store, what is seen is what that tells of, and whoever waits
//! is answered when it tells of his request ([`sharing`]). Does not know what a request means, or how a
//! store keeps it.

mod answer;
mod marking;
mod shares;
mod sharing;
mod watchers;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::address::Host;
use rpc_runtime::binder::{BinderError, Lease, Limit, RegistrationId, Revision};
use rpc_runtime::driver::{Gate, World};
use rpc_runtime::store::StoreError;
use rpc_runtime::time::{Duration, Instant};

use crate::registry::plan::{Batch, Change, Plan, Planned, Request};
use crate::registry::{Limits, Registry};
use crate::store::shared::{Leases, Room, SharedStore};
use crate::store::{Found, Store};
use answer::Answer;
use shares::{Shares, asking_host};
use sharing::{Left, Sharing};
use watchers::Watchers;

pub use answer::Answered;
pub use watchers::Watching;

/// Requests that may wait for the store.
const QUEUE_MAX: usize = 4_096;
/// Requests whose outcomes are kept together. Nothing is looked up while they are planned.
const BATCH_MAX: usize = 256;
/// What a life's revisions begin with at random, so that another history is told from this one. Far below the
/// changes of a life.
const HISTORY_MASK: u64 = 0xff_ffff;
/// How long nothing is tried that nobody waits for, after the store has failed.
const RETRY: Duration = Duration::from_secs(1);

/// Takes requests. Ends its thread when it is dropped.
#[derive(Debug)]
pub struct Desk {
    shared: Arc<Shared>,
    /// Who knows the leases, where only a shared store ends them.
    leases: Option<Arc<dyn Leases>>,
}

/// What handlers and the keeping thread share.
#[derive(Debug)]
struct Shared {
    world: Arc<dyn World>,
    gate: Arc<dyn Gate>,
    inner: Mutex<Inner>,
}

/// A request that waits for the store.
#[derive(Debug)]
struct Waiting {
    request: Request,
    answer: Arc<Answer>,
    /// Who asked.
    host: Option<Host>,
    /// The registration that it was planned to begin again, when another binder was first.
    was: Option<RegistrationId>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    queue: VecDeque<Waiting>,
    queued: Shares,
    watchers: Watchers,
    is_ended: bool,
    /// What the store said when it failed, until it has kept something again.
    trouble: Option<String>,
}

impl Desk {
    /// Opens, with what `store` had kept; without one nothing lasts.
    #[must_use]
    pub fn open(
        world: &Arc<dyn World>,
        limits: Limits,
        kept: Option<(Box<dyn Store>, Found)>,
    ) -> Self {
        let now = world.now();
        let (store, found) =
            kept.map_or_else(|| (None, Found::default()), |(store, found)| (Some(store), found));
        let before = match &store {
            // Another history than that of a store that was here and is gone, whose lives were counted too.
            Some(_) => {
                Revision(u64::from(found.life) << 32 | world.rng().next_u64() & HISTORY_MASK)
            }
            None => Revision(world.unix_ms() << 20), // later lives come later, as long as the clock is right
        };
        let mut registry = Registry::new(limits, world.rng(), before);
        let doubtful = registry.restore(now, found.interfaces, found.registrations);
        let shared = Arc::new(Shared::new(world, registry));
        let keeps = store.map_or(Keeps::Nothing, Keeps::Own);
        Self::start(shared, keeps, doubtful, None)
    }

    /// Opens before a store that other binders have too, and that tells what it has kept.
    #[must_use]
    pub fn share(world: &Arc<dyn World>, mut limits: Limits, store: Box<dyn SharedStore>) -> Self {
        let leases = store.leases();
        limits.is_shared = true;
        limits.lease = leases.duration();
        let registry = Registry::new(limits, world.rng(), Revision::NONE);
        let shared = Arc::new(Shared::new(world, registry));
        let mut sharing = Sharing::new(store, Arc::clone(&leases), Arc::clone(&shared.gate));
        sharing.hear(&shared);
        Self::start(shared, Keeps::Shared(sharing), BTreeSet::new(), Some(leases))
    }

    fn start(
        shared: Arc<Shared>,
        keeps: Keeps,
        doubtful: BTreeSet<RegistrationId>,
        leases: Option<Arc<dyn Leases>>,
    ) -> Self {
        let retry_at = shared.world.now();
        let keeping = Keeping { shared: Arc::clone(&shared), keeps, doubtful, retry_at };
        // Without a thread every request is refused when its time is over; there is always one at start.
        let started = shared.world.spawn("rpc-binder-keep", Box::new(move || keeping.run()));
        if started.is_err() {
            shared.end();
        }
        Self { shared, leases }
    }

    /// Has an outcome of `request` kept.
    ///
    /// # Errors
    ///
    /// Too many wait already.
    pub fn ask(&self, request: Request) -> Result<Answered, BinderError> {
        let mut inner = self.shared.lock();
        if inner.is_ended {
            return Err(ended());
        }
        let host = asking_host();
        inner.queued.take(host)?;
        let answer = Arc::<Answer>::default();
        inner.queue.push_back(Waiting { request, answer: Arc::clone(&answer), host, was: None });
        let is_first = inner.queue.len() == 1;
        drop(inner);
        if is_first {
            self.shared.gate.open();
        }
        Ok(Answered::new(answer))
    }

    /// Looks at the registry, or does what need not be kept.
    pub fn with<T>(&self, work: impl FnOnce(Instant, &mut Registry) -> T) -> T {
        let mut inner = self.shared.lock();
        work(self.shared.world.now(), &mut inner.registry)
    }

    /// As [`Desk::with`], for what changes what clients see under a name: those who wait are told.
    pub fn changing<T, N: IntoIterator<Item = String>>(
        &self,
        work: impl FnOnce(Instant, &mut Registry) -> (T, N),
    ) -> T {
        let mut inner = self.shared.lock();
        let (done, changed) = work(self.shared.world.now(), &mut inner.registry);
        let woken: Vec<_> = changed.into_iter().flat_map(|name| inner.watchers.of(&name)).collect();
        drop(inner);
        woken.into_iter().for_each(std::task::Waker::wake);
        done
    }

    /// Waits until something has changed under `name` since `known`, or until `until`.
    #[must_use]
    pub fn watch(&self, name: &str, known: Revision, until: Instant) -> Watching {
        Watching::new(Arc::clone(&self.shared), name.to_owned(), known, until)
    }

    /// Why nothing is registered now, in words: the store failed when it was asked last, or the desk has ended.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let inner = self.shared.lock();
        if inner.is_ended {
            Some("the binder is about to end".into())
        } else {
            inner.trouble.clone()
        }
    }

    /// Takes nothing more, and lets all who wait go.
    pub fn end(&self) {
        self.shared.end();
        self.shared.gate.open();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn new(world: &Arc<dyn World>, registry: Registry) -> Self {
        let inner = Inner {
            registry,
            queue: VecDeque::new(),
            queued: Shares::new(QUEUE_MAX, Limit::Requests, Limit::RequestsOfHost),
            watchers: Watchers::default(),
            is_ended: false,
            trouble: None,
        };
        Self { world: Arc::clone(world), gate: world.gate(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut inner = self.lock();
        inner.is_ended = true;
        let queue = std::mem::take(&mut inner.queue);
        let watching = inner.watchers.all();
        drop(inner);
        queue.into_iter().for_each(|waiting| waiting.answer.give(Err(ended())));
        watching.into_iter().for_each(std::task::Waker::wake);
    }
}

/// What goes to the store together.
#[derive(Debug, Default)]
struct Work {
    plans: Vec<(Plan, Option<Arc<Answer>>)>,
    /// What was planned, where it may have to be planned anew.
    requests: Vec<Again>,
    /// Puts right what a failure left in doubt; changes nothing that is seen.
    repairs: Vec<Plan>,
    unneeded: Vec<u128>,
    refused: Vec<(BinderError, Arc<Answer>)>,
    /// What was refused, where that may have to be thought over.
    in_vain: Vec<Again>,
}

/// What may have to be asked again, for whoever waits.
#[derive(Debug)]
struct Again {
    request: Request,
    host: Option<Host>,
    was: Option<RegistrationId>,
}

impl Inner {
    /// What waits, as far as it can be kept together; with what time has ended and what is to be put right,
    /// unless the store has failed just now.
    fn work(
        &mut self,
        now: Instant,
        doubtful: &BTreeSet<RegistrationId>,
        is_time: bool,
        room: Option<Room>,
    ) -> Work {
        let mut work = Work::default();
        if room.is_none() {
            // First of all: what is planned from here on may rely on what is let go of from here on.
            work.unneeded = self.registry.unneeded();
        }
        let mut left = room.map(|room| Left::new(room, self.registry.limits()));
        let mut batch = Batch::default();
        let mut put_off = Vec::new();
        while work.plans.len() < BATCH_MAX
            && put_off.len() < BATCH_MAX
            && work.refused.len() < QUEUE_MAX
            && (work.plans.is_empty() || left.as_ref().is_none_or(Left::is_enough))
            && let Some(Waiting { request, answer, host, was }) = self.queue.pop_front()
        {
            self.queued.give_back(host);
            let again = left.as_ref().map(|_| Again { request: request.clone(), host, was });
            let planned = if was.is_some_and(|id| self.registry.was_ended(id)) {
                Planned::Refused(sharing::ended_meanwhile())
            } else {
                self.registry.plan(now, request, &mut batch)
            };
            match planned {
                Planned::Plan(plan) => {
                    left.iter_mut().for_each(|left| left.take(&plan));
                    let was = plan.begins_again();
                    work.plans.push((plan, Some(answer)));
                    work.requests.extend(again.map(|again| Again { was, ..again }));
                }
                Planned::Refused(refusal) => {
                    work.refused.push((refusal, answer));
                    work.in_vain.extend(again);
                }
                Planned::NotYet(request) => put_off.push(Waiting { request, answer, host, was }),
            }
        }
        for waiting in put_off.into_iter().rev() {
            self.queued.retake(waiting.host);
            self.queue.push_front(waiting);
        }
        if let Some(left) = left {
            self.let_go(&mut work, &left);
        }
        if is_time {
            let due = self.registry.due(now, &batch);
            work.plans.extend(due.map(|plan| (plan, None)));
        }
        if is_time || !work.is_empty() {
            work.repairs = doubtful.iter().map(|id| self.registry.repair(*id)).collect();
        }
        work
    }

    fn next_wake(&self) -> Option<Instant> {
        self.registry.next_look().into_iter().chain(self.watchers.next_end()).min()
    }
}

impl Work {
    fn is_empty(&self) -> bool {
        self.plans.is_empty() && self.unneeded.is_empty() && self.repairs.is_empty()
    }

    /// All that is to be kept, in the order in which it must be.
    fn changes(&self) -> Vec<Change<'_>> {
        let unneeded = self.unneeded.iter().map(|print| Change::Forget(*print));
        let plans = self.plans.iter().map(|(plan, _)| plan);
        unneeded.chain(self.repairs.iter().chain(plans).flat_map(Plan::changes)).collect()
    }
}

/// Where it is kept.
enum Keeps {
    /// Nowhere.
    Nothing,
    /// In this binder's own store.
    Own(Box<dyn Store>),
    /// Where other binders keep theirs too.
    Shared(Sharing),
}

/// The thread that keeps.
struct Keeping {
    shared: Arc<Shared>,
    keeps: Keeps,
    /// Registrations of which the store may hold something else than what is seen.
    doubtful: BTreeSet<RegistrationId>,
    /// After a failure: until when nothing is tried that nobody waits for.
    retry_at: Instant,
}

impl Drop for Keeping {
    /// Nobody waits for a thread that is gone, however it went.
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Keeping {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            if let Keeps::Shared(sharing) = &mut self.keeps {
                sharing.hear(&shared);
            }
            let mut inner = shared.lock();
            let now = shared.world.now();
            if inner.is_ended {
                return;
            }
            let is_time = now >= self.retry_at;
            let work = match &self.keeps {
                Keeps::Nothing | Keeps::Own(_) => inner.work(now, &self.doubtful, is_time, None),
                Keeps::Shared(sharing) if sharing.is_busy() => inner.only_forget(now),
                Keeps::Shared(sharing) => {
                    inner.work(now, &self.doubtful, is_time, Some(sharing.room()))
                }
            };
            let late = inner.watchers.due(now);
            let mut until = inner.next_wake();
            if !is_time {
                until = Some(self.retry_at);
            }
            let is_in_doubt = match &self.keeps {
                Keeps::Nothing | Keeps::Own(_) => is_time && inner.trouble.is_some(),
                Keeps::Shared(sharing) => sharing.is_in_doubt(now, &mut until),
            };
            drop(inner);
            late.into_iter().for_each(std::task::Waker::wake);
            if !work.is_empty() || !work.refused.is_empty() {
                self.keep(work);
            } else if is_in_doubt {
                self.try_store();
            } else {
                shared.gate.wait(until);
            }
        }
    }

    fn keep(&mut self, mut work: Work) {
        if let Keeps::Shared(sharing) = &mut self.keeps {
            return sharing.begin(work, self.shared.world.now());
        }
        for (refusal, answer) in work.refused.drain(..) {
            answer.give(Err(refusal));
        }
        if work.is_empty() {
            return;
        }
        let kept = match &mut self.keeps {
            Keeps::Nothing => Ok(()),
            Keeps::Own(store) => store.keep(&work.changes()),
            Keeps::Shared(_) => return,
        };
        match kept {
            Ok(()) => {
                self.doubtful.clear();
                self.apply(work);
            }
            Err(error) => self.give_up(work, &error),
        }
    }

    /// Whether a store that has failed keeps again, while nobody asks it to.
    fn try_store(&mut self) {
        let tried = match &mut self.keeps {
            Keeps::Nothing => Ok(()),
            Keeps::Own(store) => store.keep(&[]),
            Keeps::Shared(sharing) => {
                return sharing.begin(Work::default(), self.shared.world.now());
            }
        };
        if tried.is_err() {
            self.retry_at = self.shared.world.now() + RETRY;
        }
        self.shared.lock().trouble = tried.err().map(|error| error.to_string());
    }

    /// Lets everybody see what was kept.
    fn apply(&self, work: Work) {
        let now = self.shared.world.now();
        let mut answers: Vec<(Option<Lease>, Arc<Answer>)> = Vec::new();
        let mut woken = Vec::new();
        let mut inner = self.shared.lock();
        inner.trouble = None;
        for (plan, answer) in work.plans {
            let names = inner.registry.names_of(&plan);
            let lease = inner.registry.apply(now, plan);
            answers.extend(answer.map(|answer| (lease, answer)));
            for name in names {
                woken.extend(inner.watchers.of(&name));
            }
        }
        drop(inner);
        answers.into_iter().for_each(|(lease, answer)| answer.give(Ok(lease)));
        woken.into_iter().for_each(std::task::Waker::wake);
    }

    /// Nothing of it happened, as far as anybody sees.
    fn give_up(&mut self, work: Work, error: &StoreError) {
        self.retry_at = self.shared.world.now() + RETRY;
        if error.is_doubtful() {
            self.doubtful.extend(work.plans.iter().flat_map(|(plan, _)| plan.touches()));
        }
        let mut inner = self.shared.lock();
        inner.trouble = Some(error.to_string());
        inner.registry.keep_describing(work.unneeded);
        work.plans.iter().for_each(|(plan, _)| inner.registry.was_not_kept(plan));
        drop(inner);
        for answer in work.plans.into_iter().filter_map(|(_, answer)| answer) {
            answer.give(Err(BinderError::NotKept { reason: error.to_string() }));
        }
    }
}

fn ended() -> BinderError {
    BinderError::NotKept { reason: "it is about to end".into() }
}

#[cfg(test)]
mod tests;
