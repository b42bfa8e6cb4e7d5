//! The store is looked after while it is used: what clients have acknowledged need not be kept, and
//! what nobody has asked for in a long time is deleted (protocol tables, M6).
//!
//! The machine says when, and what is in use; the store and its calendar are the driver's.

use crate::ids::{ClientId, GenerationId};
use crate::protocol::server::{Server, ServerEvent, TimerKey};
use crate::time::Instant;

/// How often within the retention time the store is looked after: the contact that it remembers is
/// late by at most this part.
const LOOKS_PER_RETENTION_COUNT: u32 = 30;

impl Server {
    /// A generation came into use: from now on the store is looked after. At once if that was not
    /// done for long, but not before those whom nobody could ask in the life before had the time to.
    pub(super) fn watch_store(&mut self, now: Instant) {
        let timer =
            *self.durable.retain_timer.get_or_insert_with(|| self.timers.add(TimerKey::Retain));
        if !self.timers.is_set(timer) {
            let at = *self.durable.retain_at.get_or_insert(now + self.limits.lease);
            self.timers.set(timer, at.max(now));
        }
    }

    /// It is time. With nothing in use nothing is due before the next client comes: then an idle
    /// server has no timer.
    pub(in crate::protocol::server) fn on_retain_timer(&mut self, now: Instant) {
        if self.durable.generations.is_empty() || self.durable.is_fenced {
            return;
        }
        let every = self.limits.retention / LOOKS_PER_RETENTION_COUNT;
        self.durable.retain_at = Some(now + every);
        self.watch_store(now);
        let used = self.durable.generations.iter();
        let in_use: Vec<(ClientId, GenerationId)> =
            used.map(|(id, known)| (known.client, *id)).collect();
        self.outbox.event(ServerEvent::Retain { in_use });
    }
}
