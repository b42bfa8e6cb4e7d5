//! What those who look after servers see, and what they ask for: reports, and the drain of a server.
//!
//! Does not know who may ask.

use std::collections::BTreeSet;

use rpc_runtime::binder::model::PAGE_BYTES_MAX;
use rpc_runtime::binder::{BinderError, Place, RegistrationId, Reported, Reports};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::time::Instant;

use super::marks::Marks;
use super::{Registry, millis};

impl Registry {
    /// All registrations and what their servers said: one page, after `after`.
    #[must_use]
    pub fn reports_after(&self, now: Instant, after: Option<&Place>) -> Reports {
        let kept = self.limits.expired_kept;
        let mut room = PAGE_BYTES_MAX;
        let mut reports: Vec<Reported> = Vec::new();
        for id in self.names.all_after(after) {
            let record = &self.records[&id];
            if record.is_forgotten(now, kept) {
                continue;
            }
            let (calls, within) = record.lately();
            let reported = Reported {
                entry: record.entry(now, self.limits.settles),
                report: record.report.as_deref().cloned(),
                age_ms: millis(now.since(record.reported_at)),
                calls,
                within_ms: millis(within),
            };
            let left = room.checked_sub(reported.page_bytes());
            if left.is_none() && !reports.is_empty() {
                return Reports { reports, more: true, revision: self.revision };
            }
            room = left.unwrap_or(0);
            reports.push(reported);
        }
        Reports { reports, more: false, revision: self.revision }
    }

    /// Has clients leave a server, of one service or of all; of all, its process hears of it too. Gives the
    /// names under which clients see a change, and how many registrations it was about.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownServer`].
    pub fn drain(
        &mut self,
        now: Instant,
        server: ServerId,
        name: Option<&str>,
    ) -> Result<(u32, BTreeSet<String>), BinderError> {
        let ids = self.meant(now, server, name)?;
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let set = marks_of_drain(name);
        let marked = ids.into_iter().map(|id| self.mark(now, id, set, Marks::NONE));
        Ok((count, marked.filter_map(|marked| marked.name).collect()))
    }

    /// The registrations of a server, or those of them that have that name.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownServer`] when there is none.
    pub fn meant(
        &self,
        now: Instant,
        server: ServerId,
        name: Option<&str>,
    ) -> Result<Vec<RegistrationId>, BinderError> {
        let settles = self.limits.settles;
        let registered = self.of_server(server).filter(|(_, record)| {
            let is_meant = name.is_none_or(|name| record.kept.registration.name == name);
            is_meant && !record.is_past(now, settles)
        });
        let ids: Vec<_> = registered.map(|(id, _)| id).collect();
        if ids.is_empty() { Err(BinderError::UnknownServer) } else { Ok(ids) }
    }

    /// The names under which other lives of a server than `life` are registered.
    #[must_use]
    pub fn former_names(
        &self,
        now: Instant,
        server: ServerId,
        life: Incarnation,
    ) -> BTreeSet<String> {
        let others = self.of_server(server).filter(|(_, record)| {
            !record.is_over(now) && record.kept.registration.incarnation != life
        });
        others.map(|(_, record)| record.kept.registration.name.clone()).collect()
    }

    /// The names under which a server is registered, whichever of its lives.
    #[must_use]
    pub fn names_of_server(&self, now: Instant, server: ServerId) -> BTreeSet<String> {
        let registered = self.of_server(server).filter(|(_, record)| !record.is_over(now));
        registered.map(|(_, record)| record.kept.registration.name.clone()).collect()
    }
}

/// What is marked of the registrations of a server that clients leave, of one service or of all.
#[must_use]
pub const fn marks_of_drain(name: Option<&str>) -> Marks {
    match name {
        Some(_) => Marks::DRAINING,
        None => Marks::DRAINING.with(Marks::ASKED_TO_DRAIN),
    }
}
