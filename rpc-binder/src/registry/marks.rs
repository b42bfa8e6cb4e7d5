//! What is marked of registrations beside that they are there: why clients get none of them, for one.
//!
//! A binder's own registry is marked at once, and nothing of it lasts. Where several binders share a store
//! that is asked for it, so that all of them know.

use rpc_runtime::binder::{Health, RegistrationId, Report};
use rpc_runtime::time::Instant;

use super::plan::Request;
use super::{Registry, bounded};

/// What is marked of a registration, each of it or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It gets no more clients.
    pub const DRAINING: Self = Self(1);
    /// Its server is to be told that it shall drain.
    pub const ASKED_TO_DRAIN: Self = Self(1 << 1);
    /// Its server has said that it cannot serve.
    pub const NOT_SERVING: Self = Self(1 << 2);
    /// Its server wants to be asked how it is, and does not answer.
    pub const SILENT: Self = Self(1 << 3);

    const ALL: u8 =
        Self::DRAINING.0 | Self::ASKED_TO_DRAIN.0 | Self::NOT_SERVING.0 | Self::SILENT.0;

    /// As a store has them; what this binder does not know is not there.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & Self::ALL)
    }

    /// For a store.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// These and `others`.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These but for `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// What follows when something is to be marked.
#[derive(Debug, Default)]
pub struct Marked {
    /// The name under which clients see a change, if they do.
    pub name: Option<String>,
    /// What is to be asked for, where only a store marks.
    pub request: Option<Request>,
}

impl Registry {
    /// Takes in what a server says when it renews.
    pub(super) fn hear(&mut self, now: Instant, id: RegistrationId, report: &Report) -> Marked {
        let record = self.record_mut(id);
        let (mut set, mut clear) = (Marks::NONE, Marks::NONE);
        if report.is_draining {
            set = set.with(Marks::DRAINING);
        }
        // A renewal that was under way when the server told its news may come after it.
        let is_late = record.report.as_ref().is_some_and(|known| known.number > report.number);
        if !is_late {
            record.note(now, bounded(report));
            if report.health == Health::NotServing {
                set = set.with(Marks::NOT_SERVING);
            } else {
                clear = clear.with(Marks::NOT_SERVING);
            }
            self.plan_poll(now, id, report);
            if self.records[&id].poll.is_none() {
                clear = clear.with(Marks::SILENT); // nobody would find out that it speaks again
            }
        }
        self.mark(now, id, set, clear)
    }

    /// Marks a registration with `set` and no longer with `clear`, or says what is to be asked for.
    pub(super) fn mark(
        &mut self,
        now: Instant,
        id: RegistrationId,
        set: Marks,
        clear: Marks,
    ) -> Marked {
        let known = self.records[&id].marks;
        let marks = known.without(clear).with(set);
        if marks == known {
            return Marked::default();
        }
        if self.limits.is_shared {
            let request = Some(Request::Mark { ids: vec![id], set, clear });
            return Marked { name: None, request };
        }
        Marked { name: self.set_marks(now, id, marks), request: None }
    }

    /// Whether its owner is to be told that its server shall drain.
    pub(super) fn is_asked_to_drain(&self, id: RegistrationId) -> bool {
        self.records.get(&id).is_some_and(|record| record.marks.has(Marks::ASKED_TO_DRAIN))
    }

    /// What is marked of a registration from now on; gives the name under which clients see a change.
    pub(super) fn set_marks(
        &mut self,
        now: Instant,
        id: RegistrationId,
        marks: Marks,
    ) -> Option<String> {
        let settles = self.limits.settles;
        let record = self.records.get_mut(&id).filter(|record| !record.is_gone)?;
        let before = record.state(now, settles);
        record.marks = marks;
        if record.state(now, settles) == before {
            return None;
        }
        let name = record.kept.registration.name.clone();
        self.touch(&name);
        Some(name)
    }
}
