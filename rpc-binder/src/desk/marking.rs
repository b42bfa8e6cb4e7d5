//! What servers say when they renew, what asking them comes to, and what operators want of them: marked at
//! once, or where several binders share a store, asked for there.

use rpc_runtime::binder::{BinderError, Lease, RegistrationId, Report, Secret};
use rpc_runtime::ids::ServerId;
use rpc_runtime::time::Instant;

use super::{Answered, Desk};
use crate::registry::Registry;
use crate::registry::managed::marks_of_drain;
use crate::registry::marks::{Marked, Marks};
use crate::registry::plan::Request;

impl Desk {
    /// Extends a registration's lease.
    ///
    /// # Errors
    ///
    /// As [`Registry::renew`]; or nobody knows whether the store lets it live long enough.
    pub fn renew(
        &self,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
    ) -> Result<Lease, BinderError> {
        let Some(leases) = &self.leases else {
            return self.marking(|now, registry| match registry.renew(now, id, secret, report) {
                Ok((lease, marked)) => (Ok(lease), marked),
                Err(refusal) => (Err(refusal), Marked::default()),
            });
        };
        let not_kept = |reason| BinderError::NotKept { reason };
        self.marking(|now, registry| {
            let vouch = || leases.vouch(now, id).map_err(not_kept);
            registry.renew_shared(now, id, secret, report, vouch)
        })
    }

    /// A server that was asked how it is has answered, or has not; see [`Registry::polled`].
    pub fn polled(&self, id: RegistrationId, has_answered: Option<bool>) {
        self.marking(|now, registry| ((), registry.polled(now, id, has_answered)));
    }

    /// Has clients leave a server, of one service or of all; of all, its process hears of it too. Says how
    /// many registrations that are; where several binders share a store, it is so once that has it.
    ///
    /// # Errors
    ///
    /// [`BinderError::UnknownServer`]; or too much waits for the store.
    pub fn drain(
        &self,
        server: ServerId,
        name: Option<&str>,
    ) -> Result<(u32, Option<Answered>), BinderError> {
        if self.leases.is_none() {
            let drained = self.changing(|now, registry| match registry.drain(now, server, name) {
                Ok((count, changed)) => (Ok(count), changed),
                Err(refusal) => (Err(refusal), std::collections::BTreeSet::new()),
            });
            return drained.map(|count| (count, None));
        }
        let ids = self.with(|now, registry| registry.meant(now, server, name))?;
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let request = Request::Mark { ids, set: marks_of_drain(name), clear: Marks::NONE };
        Ok((count, Some(self.ask(request)?)))
    }

    /// As [`Desk::changing`], for what is marked.
    fn marking<T>(&self, work: impl FnOnce(Instant, &mut Registry) -> (T, Marked)) -> T {
        let (done, request) = self.changing(|now, registry| {
            let (done, Marked { name, request }) = work(now, registry);
            ((done, request), name)
        });
        if let Some(request) = request {
            // Nobody waits for it: the next renewal, or the next poll, asks for it again.
            drop(self.ask(request));
        }
        done
    }
}
