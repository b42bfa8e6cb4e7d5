//! The desk before a store that other binders have too: what is seen is what the store tells of, and a
//! request is answered when that has been seen. Where another binder was first, it is planned anew. A
//! refusal is given only if no other binder was first: it too rests on what is seen here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Waker;

use rpc_runtime::binder::{BinderError, Lease, RegistrationId, Revision, Secret};
use rpc_runtime::driver::Gate;
use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::time::{Duration, Instant};

use super::answer::{Answer, Outcome};
use super::{Again, Inner, RETRY, Shared, Waiting, Work, ended};
use crate::registry::Limits;
use crate::registry::plan::{Batch, Plan};
use crate::store::shared::{BatchId, Leases, News, Room, SharedStore};

/// What a batch may still take.
#[derive(Debug)]
pub(super) struct Left {
    room: Room,
    /// As much as any one plan takes.
    largest: Room,
}

impl Left {
    pub(super) fn new(room: Room, limits: &Limits) -> Self {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        // A later life of a server ends all that an earlier one had, and describes what it offers.
        let changes = size(limits.server_registrations_max).saturating_add(2);
        let bytes = size(limits.description_bytes_max).saturating_add(REGISTRATION_BYTES_MAX);
        Self { room, largest: Room { changes, bytes } }
    }

    /// Whether there is room for one more plan, whatever it is.
    pub(super) const fn is_enough(&self) -> bool {
        self.room.changes >= self.largest.changes && self.room.bytes >= self.largest.bytes
    }

    pub(super) fn take(&mut self, plan: &Plan) {
        self.room.changes = self.room.changes.saturating_sub(plan.changes().count());
        self.room.bytes = self.room.bytes.saturating_sub(plan.bytes());
    }
}

/// How long a store is believed to be well of which nothing was asked.
const PROBE: Duration = Duration::from_secs(5);

/// How long a batch is waited for: longer than a store takes to decide one, shorter than forever.
const DEADLINE: Duration = Duration::from_secs(6);

/// Upper bound of what a registration takes, in bytes.
const REGISTRATION_BYTES_MAX: usize = 8 << 10;

/// What is being kept.
#[derive(Debug)]
struct Pending {
    batch: BatchId,
    work: Work,
    /// What had been seen when it began.
    began_at: Revision,
    /// When nobody waits for it any longer.
    deadline: Instant,
    /// Once it is decided: the news up to which revision tell of it, and what is known before.
    decided: Option<(Revision, Option<bool>)>,
    /// Registrations that it is about, and that the store does not have any more: news will tell.
    gone: Option<Vec<RegistrationId>>,
    /// Whether not all steps were told since it began.
    is_skipped: bool,
}

/// What became of it.
enum Fate {
    Kept,
    /// It is to be planned anew.
    Overtaken,
    NotKept(StoreError),
}

/// A shared store, and what is under way there.
#[derive(Debug)]
pub(super) struct Sharing {
    store: Box<dyn SharedStore>,
    leases: Arc<dyn Leases>,
    pending: Option<Pending>,
    /// Up to where the store has told. Not the registry's revision: that never goes back.
    seen: Revision,
    /// Why it does not tell what comes to pass, until it does.
    deaf: Option<StoreError>,
    /// When it is looked whether the store is well, if nothing is asked of it until then.
    probe_at: Instant,
}

impl Sharing {
    /// `gate` is opened when there is something to hear.
    pub(super) fn new(
        mut store: Box<dyn SharedStore>,
        leases: Arc<dyn Leases>,
        gate: Arc<dyn Gate>,
    ) -> Self {
        store.ring(gate);
        let (seen, probe_at) = (Revision::NONE, Instant::START);
        Self { store, leases, pending: None, seen, deaf: None, probe_at }
    }

    /// Whether it is to be looked whether the store is well; else `until` is no later than that, or than
    /// what is under way is waited for.
    pub(super) fn is_in_doubt(&self, now: Instant, until: &mut Option<Instant>) -> bool {
        let next = self.pending.as_ref().map_or(self.probe_at, |pending| pending.deadline);
        *until = Some(until.map_or(next, |until| until.min(next)));
        !self.is_busy() && now >= self.probe_at
    }

    /// Whether something is under way.
    pub(super) const fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    pub(super) fn room(&self) -> Room {
        self.store.room()
    }

    /// Has the store begin to keep it.
    pub(super) fn begin(&mut self, work: Work, now: Instant) {
        let batch = self.store.begin(&work.changes());
        self.pending = Some(Pending {
            batch,
            work,
            began_at: self.seen,
            deadline: now + DEADLINE,
            decided: None,
            gone: None,
            is_skipped: false,
        });
    }

    /// Has clients see what the store tells of.
    pub(super) fn hear(&mut self, shared: &Shared) {
        while let Some(news) = self.store.news() {
            let told = match news {
                News::Step { step, batch } => {
                    let now = shared.world.now();
                    self.told(step.revision);
                    self.see(shared, |inner| inner.registry.follow(now, step));
                    batch
                }
                News::Whole { whole, batch } => {
                    let now = shared.world.now();
                    self.told(whole.revision);
                    self.see(shared, |inner| inner.registry.start_over(now, whole));
                    self.pending.iter_mut().for_each(|pending| pending.is_skipped = true);
                    batch
                }
                News::Decided { batch, at, is_kept } => {
                    let own = self.pending.as_mut().filter(|pending| pending.batch == batch);
                    own.into_iter().for_each(|own| own.decided = Some((at, is_kept)));
                    None
                }
                News::Gone { batch, ids } => {
                    let own = self.pending.as_mut().filter(|pending| pending.batch == batch);
                    own.into_iter().for_each(|own| own.gone = Some(ids.clone()));
                    None
                }
                News::Deaf { error } => {
                    shared.lock().trouble = Some(error.to_string());
                    self.deaf = Some(error);
                    None
                }
                News::Failed { batch, error } => {
                    let own = self.pending.take_if(|pending| pending.batch == batch);
                    own.into_iter()
                        .for_each(|own| self.end(shared, own.work, Fate::NotKept(error.clone())));
                    None
                }
            };
            self.look(shared, told);
        }
        let now = shared.world.now();
        if let Some(late) = self.pending.take_if(|pending| pending.deadline <= now) {
            let text = format!("it does not tell within {DEADLINE:?} what became of it");
            let error = StoreError::new(StoreErrorKind::Lost, text).doubtful();
            self.end(shared, late.work, Fate::NotKept(error));
        }
    }

    /// The store has told all up to there.
    fn told(&mut self, revision: Revision) {
        self.seen = revision;
        self.deaf = None;
    }

    fn see(&self, shared: &Shared, work: impl FnOnce(&mut Inner) -> BTreeSet<String>) {
        let mut inner = shared.lock();
        let names = work(&mut inner);
        let woken: Vec<Waker> = names.iter().flat_map(|name| inner.watchers.of(name)).collect();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether it is known what became of what is under way, now that a batch was told.
    fn look(&mut self, shared: &Shared, told: Option<BatchId>) {
        let Some(pending) = &self.pending else { return };
        let decided = pending.decided.filter(|(at, _)| *at <= self.seen);
        let is_gone = pending.gone.as_ref().is_some_and(|ids| {
            let inner = shared.lock();
            !ids.iter().any(|id| inner.registry.is_kept(*id))
        });
        let fate = match (told == Some(pending.batch), decided) {
            (true, _) | (false, Some((_, Some(true)))) => Fate::Kept,
            (false, None) if is_gone => Fate::Overtaken,
            (false, None) => return,
            // Overtaken by what was known when it was planned: that is not what the store holds now.
            (false, Some((at, None))) if at <= pending.began_at => {
                self.store.start_over();
                let text = "it holds another history than it told: all is read anew";
                Fate::NotKept(StoreError::new(StoreErrorKind::Conflict, text))
            }
            (false, Some((_, None))) if pending.is_skipped => {
                let text = "too much has come to pass to tell what became of it";
                Fate::NotKept(StoreError::new(StoreErrorKind::Conflict, text).doubtful())
            }
            (false, Some((_, None | Some(false)))) => Fate::Overtaken,
        };
        if let Some(pending) = self.pending.take() {
            self.end(shared, pending.work, fate);
        }
    }

    fn end(&mut self, shared: &Shared, work: Work, fate: Fate) {
        let now = shared.world.now();
        let pause = if matches!(fate, Fate::NotKept(_)) { RETRY } else { PROBE };
        self.probe_at = now + pause;
        let mut answers: Vec<(Outcome, Arc<Answer>)> = Vec::new();
        let mut inner = shared.lock();
        let plans = work.plans.into_iter();
        let plans = plans.filter_map(|(plan, answer)| answer.map(|answer| (plan, answer)));
        inner.trouble = match &fate {
            Fate::Kept | Fate::Overtaken => self.deaf.as_ref().map(StoreError::to_string),
            Fate::NotKept(error) => Some(error.to_string()),
        };
        match fate {
            Fate::Kept => {
                let refused = work.refused.into_iter();
                answers.extend(refused.map(|(refusal, answer)| (Err(refusal), answer)));
                let lease = |(id, secret)| self.lease(&inner, now, id, secret);
                answers.extend(plans.map(|(plan, answer)| (Ok(plan.begins().map(lease)), answer)));
            }
            Fate::Overtaken => {
                inner.registry.keep_describing(work.unneeded);
                let plans: Vec<_> = plans.collect();
                plans.iter().for_each(|(plan, _)| inner.registry.reuse(plan));
                let refused = work.refused.into_iter().map(|(_, answer)| answer);
                let in_vain = work.in_vain.into_iter().zip(refused);
                let planned =
                    work.requests.into_iter().zip(plans.into_iter().map(|(_, answer)| answer));
                let again: Vec<_> = planned.chain(in_vain).collect();
                for (Again { request, host, was }, answer) in again.into_iter().rev() {
                    inner.queued.retake(host);
                    inner.queue.push_front(Waiting { request, answer, host, was });
                }
            }
            Fate::NotKept(error) => {
                inner.registry.keep_describing(work.unneeded);
                let refusal = BinderError::NotKept { reason: error.to_string() };
                let refused = work.refused.into_iter().map(|(_, answer)| answer);
                let all = plans.map(|(_, answer)| answer).chain(refused);
                answers.extend(all.map(|answer| (Err(refusal.clone()), answer)));
            }
        }
        drop(inner);
        answers.into_iter().for_each(|(outcome, answer)| answer.give(outcome));
    }

    fn lease(&self, inner: &Inner, now: Instant, id: RegistrationId, secret: Secret) -> Lease {
        let end = self.leases.end_of(id).unwrap_or(now);
        inner.registry.lease_until(now, id, secret, end)
    }
}

impl Drop for Sharing {
    /// Nobody waits for what nobody will hear.
    fn drop(&mut self) {
        let Some(Pending { work, .. }) = self.pending.take() else { return };
        let planned = work.plans.into_iter().filter_map(|(_, answer)| answer);
        let refused = work.refused.into_iter().map(|(_, answer)| answer);
        planned.chain(refused).for_each(|answer| answer.give(Err(ended())));
    }
}

/// Whoever was about to be registered still is not registered anew when somebody has ended that: a server
/// that has left does not come back by itself.
pub(super) fn ended_meanwhile() -> BinderError {
    BinderError::NotKept { reason: "it was deregistered meanwhile: register again".into() }
}

impl Inner {
    /// What time does where only the store ends leases: nothing, but that it forgets what was only shown.
    pub(super) fn only_forget(&mut self, now: Instant) -> Work {
        let nothing = self.registry.due(now, &Batch::default());
        debug_assert_eq!(nothing, None, "the store ends leases");
        Work::default()
    }

    /// Has interfaces forgotten that nobody has, beside what else is kept, as far as there is room. What
    /// begins with one of them keeps it.
    pub(super) fn let_go(&mut self, work: &mut Work, left: &Left) {
        if work.plans.is_empty() {
            return;
        }
        let begun: BTreeSet<_> =
            work.plans.iter().filter_map(|(plan, _)| plan.begins_with()).collect();
        let (mut later, unneeded): (Vec<_>, Vec<_>) =
            self.registry.unneeded().into_iter().partition(|print| begun.contains(print));
        let mut unneeded = unneeded.into_iter();
        work.unneeded = unneeded.by_ref().take(left.room.changes).collect();
        later.extend(unneeded);
        self.registry.keep_describing(later);
    }
}
