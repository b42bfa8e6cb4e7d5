//! The server's state as a model checker compares it, and the load that one gives it.

use std::hash::Hasher;

use super::Server;
use super::durable::Generation;
use super::session::Session;
use super::slot::{Live, Slot, State};
use crate::protocol::Limits;
use crate::protocol::digest::Digest;
use crate::time::{Duration, Instant};

impl Server {
    /// Feeds what decides about the next steps to `hasher`; between drains only.
    pub fn digest<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        let mut digest = Digest::new(now, &self.limits, hasher);
        digest.add((self.identity.id, self.identity.incarnation, self.draining));
        digest.add((self.counters.sessions_opened, self.queued, self.running, self.stored_bytes));
        digest.add(self.limits.calls_queued_max);
        digest.add((self.durable.enabled, self.durable.is_fenced));
        for (client, known) in &self.clients {
            digest.add((client, known.highest, &known.sessions));
        }
        digest.add(self.sessions.len());
        for session in self.sessions.values() {
            session.digest(&self.limits, &mut digest);
        }
        for (id, generation) in &self.durable.generations {
            digest.add(id);
            generation.digest(&mut digest);
        }
        for (key, (origin, hello)) in &self.durable.openings {
            let session = (origin.envelope.session, origin.envelope.incarnation);
            digest.add((key, origin.from, session, hello.resume, hello.generation));
        }
        for position in self.fragments.partials.positions() {
            digest.add(position);
        }
        for (lane, pouring) in &self.fragments.replies {
            digest.add((lane, pouring.sequence, pouring.outgoing.position()));
        }
        digest.timers(&self.timers);
    }

    /// The limits, to be changed under way: how a model overloads a server.
    pub const fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }
}

impl Session {
    fn digest<H: Hasher>(&self, limits: &Limits, digest: &mut Digest<'_, H>) {
        digest.add(&self.replies_lately_bytes);
        digest.add((self.id, self.client, self.incarnation, self.address, self.speaker));
        digest.add((self.elsewhere, self.proved, self.slots_max, self.window, self.live_calls));
        digest.add((self.generation, self.home));
        digest.add((self.used, self.fenced, self.closing, self.nonces, self.next_nonce));
        digest.add((self.receives_at, self.probes_are_ambiguous()));
        digest.since(self.last_heard, limits.lease);
        digest.add(self.slots.len());
        for (index, slot) in self.slots.iter() {
            digest.add(index);
            slot.digest(digest);
        }
    }
}

impl Generation {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        digest.add((self.client, self.session, self.live_calls, self.slots_max, self.slots.len()));
        for (index, slot) in &self.slots {
            digest.add(index);
            slot.digest(digest);
        }
    }
}

impl Slot {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        digest.add((self.last, self.digest, self.attempt, self.stored_bytes, self.quantum));
        digest.add(self.row_bytes);
        digest.variant(&self.state);
        match &self.state {
            State::Queued(live) | State::Running(live) => live.digest(digest),
            State::Done(stored) => {
                digest.variant(&stored.status);
                digest.add(&stored.body[..]);
            }
            State::Refused { reason, push_back, name } => {
                digest.variant(reason);
                digest.add((push_back, name));
            }
            State::Empty | State::Sealed | State::Acked | State::Forgotten | State::Closed => {}
        }
    }
}

impl Live {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        digest.add((self.repeatable, self.reply_bytes_max, self.cancelled, self.stopped));
        digest.add((self.method, self.quantum, self.asker));
        digest.until(self.not_after);
        digest.until_any(self.report_at);
        digest.until_any(self.quantum_ends);
        digest.until_any(self.stubborn_at);
        digest.add(self.asked.is_some());
        if let Some(asked) = self.asked {
            // Grace and quantum are counted from it; it is given up when the grace period is over.
            digest.since(asked.at, Duration::MAX);
            digest.until(asked.again);
        }
        digest.add(self.owner.map(|owner| (owner.announced, owner.tries)));
        digest.until_any(self.owner.map(|owner| owner.again));
    }
}
