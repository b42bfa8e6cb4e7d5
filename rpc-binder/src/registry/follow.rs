//! Following a store that several binders share: what is seen is what the store tells of, in its order,
//! so that all binders see the same history. Their own plans come back that way too.
//!
//! Does not know the store, or who planned what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rpc_runtime::binder::{
    BinderError, Lease, MethodDescription, RegistrationId, Report, Revision, Secret,
};
use rpc_runtime::time::{Duration, Instant};

use super::marks::{Marked, Marks};
use super::plan::Plan;
use super::record::Kept;
use super::{Registry, millis};

/// Names of registrations that are drawn and not used.
const SPARE_MAX: usize = 256;

/// What has come to pass in the store at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// At which.
    pub revision: Revision,
    /// Interfaces that it has now, by their fingerprints.
    pub described: Vec<(u128, Vec<MethodDescription>)>,
    /// Registrations that ended because somebody ended them.
    pub ended: Vec<RegistrationId>,
    /// Registrations that ended because their leases did: these are shown for a while.
    pub expired: Vec<RegistrationId>,
    /// Registrations that began, or were given another form.
    pub begun: Vec<(RegistrationId, Kept)>,
    /// What is marked of registrations.
    pub marked: Vec<(RegistrationId, Marks)>,
    /// Interfaces that it has no more.
    pub forgotten: Vec<u128>,
}

/// All that a store holds at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// At which.
    pub revision: Revision,
    /// Interfaces by their fingerprints.
    pub interfaces: Vec<(u128, Vec<MethodDescription>)>,
    /// Registrations.
    pub registrations: Vec<(RegistrationId, Kept)>,
    /// What is marked of them, where something is.
    pub marked: Vec<(RegistrationId, Marks)>,
}

impl Registry {
    /// Has clients see one step. Gives the names under which that changes something.
    pub fn follow(&mut self, now: Instant, step: Step) -> BTreeSet<String> {
        self.revision = self.revision.max(step.revision);
        let mut names = BTreeSet::new();
        for (fingerprint, methods) in step.described {
            self.interfaces.add(fingerprint, &Arc::from(methods));
            self.interfaces.review(fingerprint);
        }
        for id in step.ended {
            names.extend(self.name_of(id));
            self.remove(id);
        }
        for id in step.expired {
            let Some(record) = self.records.get_mut(&id).filter(|record| !record.is_gone) else {
                continue;
            };
            record.lease_end = now;
            names.insert(record.kept.registration.name.clone());
            self.only_show(id);
        }
        for (id, kept) in step.begun {
            names.extend(self.begin(now, id, kept));
        }
        for (id, marks) in step.marked {
            names.extend(self.set_marks(now, id, marks));
        }
        for fingerprint in step.forgotten {
            self.interfaces.forget(fingerprint);
        }
        names
    }

    /// As [`Registry::follow`], after steps of which nobody can tell any more.
    pub fn start_over(&mut self, now: Instant, whole: Whole) -> BTreeSet<String> {
        let Whole { revision, interfaces, registrations, marked } = whole;
        let is_there: BTreeSet<_> = registrations.iter().map(|(id, _)| *id).collect();
        let unmarked = is_there.iter().map(|id| (*id, Marks::NONE));
        let marked: BTreeMap<_, _> = unmarked.chain(marked).collect();
        let described: BTreeSet<_> = interfaces.iter().map(|(print, _)| *print).collect();
        let gone = self.all_kept().map(|(id, _)| id).filter(|id| !is_there.contains(id));
        let ended = gone.collect();
        let mut begun = registrations;
        begun.retain(|(id, kept)| {
            let known = self.records.get(id).filter(|record| !record.is_gone);
            known.is_none_or(|record| record.kept != *kept)
        });
        let forgotten = self.interfaces.all().filter(|print| !described.contains(print)).collect();
        let names = self.follow(
            now,
            Step {
                revision,
                described: interfaces,
                ended,
                expired: Vec::new(),
                begun,
                marked: marked.into_iter().collect(),
                forgotten,
            },
        );
        // Of what was not told nobody knows when it was.
        self.forgotten = self.revision;
        self.names.touch_all(self.revision);
        names
    }

    /// Takes in one that the store has. One that no binder would have kept there is not seen.
    fn begin(&mut self, now: Instant, id: RegistrationId, kept: Kept) -> Option<String> {
        let registration = &kept.registration;
        let is_sound = self.limits.check(registration, None).is_ok()
            && self.interfaces.get(registration.fingerprint).is_some();
        if !is_sound {
            return None;
        }
        let name = registration.name.clone();
        self.insert(now, id, kept);
        Some(name)
    }

    /// A plan came to nothing for certain: what was drawn for it serves another. What somebody knows does
    /// not, wherever it is gone to.
    pub fn reuse(&mut self, plan: &Plan) {
        if self.spare.len() < SPARE_MAX {
            self.spare.extend(plan.drawn());
        }
    }

    /// Whether the store has a registration, as far as it has told.
    #[must_use]
    pub fn is_kept(&self, id: RegistrationId) -> bool {
        self.records.get(&id).is_some_and(|record| !record.is_gone)
    }

    /// Whether a registration is seen no more, not even as one that has expired: somebody ended it.
    #[must_use]
    pub fn was_ended(&self, id: RegistrationId) -> bool {
        !self.records.contains_key(&id)
    }

    /// A renewal where only the store ends leases: `vouch` says until when it does not. Also says what
    /// others need to learn of it, even if it is refused for what `vouch` says.
    ///
    /// # Errors
    ///
    /// As [`Registry::renew`], or what `vouch` says.
    pub fn renew_shared(
        &mut self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
        vouch: impl FnOnce() -> Result<Instant, BinderError>,
    ) -> (Result<Lease, BinderError>, Marked) {
        if let Err(refusal) = self.check_secret(now, id, secret) {
            return (Err(refusal), Marked::default());
        }
        let marked = self.hear(now, id, report);
        let vouched = vouch();
        if let Ok(end) = vouched {
            self.record_mut(id).lease_end = end;
        }
        (vouched.map(|end| self.lease_until(now, id, secret, end)), marked)
    }

    /// What the owner of a registration needs to know that the store does not end before `end`.
    #[must_use]
    pub fn lease_until(
        &self,
        now: Instant,
        id: RegistrationId,
        secret: Secret,
        end: Instant,
    ) -> Lease {
        let told = promised(self.limits.lease).min(now.until(end)).max(Duration::from_millis(1));
        let is_asked_to_drain = self.is_asked_to_drain(id);
        Lease { id, secret, lease_ms: millis(told), is_asked_to_drain }
    }

    fn name_of(&self, id: RegistrationId) -> Option<String> {
        let record = self.records.get(&id).filter(|record| !record.is_gone);
        record.map(|record| record.kept.registration.name.clone())
    }
}

/// What owners are told of a lease of which the store ends `lease` after it was prolonged there: renewals
/// within this time are answered without asking it.
#[must_use]
pub fn promised(lease: Duration) -> Duration {
    lease / 2
}
