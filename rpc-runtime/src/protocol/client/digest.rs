//! The client's state as a model checker compares it.

use std::hash::Hasher;

use super::Client;
use super::call::Call;
use super::session::{Link, Session};
use super::slots::{SlotTable, State};
use crate::protocol::Outcome;
use crate::protocol::digest::Digest;
use crate::time::{Duration, Instant};

impl Client {
    /// Feeds what decides about the next steps to `hasher`; between drains only.
    pub fn digest<H: Hasher>(&self, now: Instant, hasher: &mut H) {
        let mut digest = Digest::new(now, &self.limits, hasher);
        digest.add((self.identity.incarnation, self.rng.position(), self.digests.position()));
        digest.add((self.known, self.jumped, self.draining, self.closed));
        digest.add((&self.given_up, &self.waiting, self.maybe_sequence, self.generation));
        let target = self.target;
        digest.add((target.address, target.server, target.incarnation));
        self.link.digest(&mut digest);
        digest.add(self.resumed.is_some());
        if let Some(resumed) = self.resumed {
            digest.since(resumed, self.trip.timeout());
        }
        let lease = self.session().map_or(Duration::ZERO, Session::lease);
        digest.add(self.last_heard.is_some());
        if let Some(heard) = self.last_heard {
            digest.since(heard, lease / 2);
        }
        if let Some(reject) = self.rejected {
            digest.variant(&reject.reason);
            digest.add((reject.server, reject.highest, reject.push_back));
        }
        digest.add((self.calls.len(), self.calls.vacant_key()));
        for (index, call) in &self.calls {
            digest.add(index);
            call.digest(&mut digest);
        }
        self.slots.digest(&mut digest);
        let durable = &self.durable;
        digest.add((durable.is_wanted, durable.is_asked, durable.generation, durable.server));
        digest.add(self.keeps_journal);
        durable.slots.digest(&mut digest);
        digest.add(self.way.is_ambiguous());
        for position in self.partials.positions() {
            digest.add(position);
        }
        digest.timers(&self.timers);
    }
}

impl SlotTable {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        digest.add((self.slots.len(), &self.free, &self.lingering));
        for slot in &self.slots {
            digest.add((slot.sequence, slot.unacknowledged, slot.in_doubt, slot.resolver));
            digest.add((slot.recorded, slot.reply_fragments));
            digest.add(slot.calling_off.map(|calling_off| calling_off.tries));
            digest.variant(&slot.state);
            match &slot.state {
                State::Free | State::Linger => {}
                State::Busy(key) => digest.add(key),
                State::Resolved(outcome) => fact(outcome, digest),
            }
        }
    }
}

/// What `resolve` would tell.
fn fact<H: Hasher>(outcome: &Outcome, digest: &mut Digest<'_, H>) {
    digest.variant(outcome);
    match outcome {
        Outcome::Returned(body) | Outcome::Failed { body, .. } => digest.add(body),
        Outcome::InDoubt(cause) => digest.variant(cause),
        Outcome::Refused { reason, .. } => digest.variant(reason),
        Outcome::Sent | Outcome::Rejected { .. } | Outcome::NotSent(_) | Outcome::Sealed => {}
    }
}

impl Link {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        digest.variant(self);
        match self {
            Self::None => {}
            Self::Opening(opening) => {
                digest.add((opening.nonce, opening.cookie, opening.resume.is_some()));
                if let Some(session) = opening.resume {
                    session.digest(digest);
                }
            }
            Self::Live(session) => session.digest(digest),
        }
    }
}

impl Session {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        digest.add((self.id, self.server, self.incarnation, self.lease(), self.slots_max));
        digest.add((self.generation, self.is_used));
    }
}

impl Call {
    fn digest<H: Hasher>(&self, digest: &mut Digest<'_, H>) {
        let spec = &self.spec;
        digest.add((self.generation, self.id, self.stage, self.digest));
        digest.add((spec.method, spec.semantics, spec.depth, self.probing, self.in_doubt));
        digest.add((self.recorded, self.former, self.stops, self.outcome.is_some()));
        digest.add(self.outgoing.as_ref().map(|outgoing| outgoing.position()));
        digest.add((self.deaths, self.carrier));
        if let Some(outcome) = &self.outcome {
            fact(outcome, digest);
        }
        digest.until(spec.deadline);
    }
}
