//! The server answers: the receiving rows of the table "Client slot".

use super::Client;
use super::call::{Stage, joined};
use super::fragments::outcome_of;
use super::session::Link;
use super::slots::State;
use crate::ids::{Sequence, SlotIndex, Space};
use crate::protocol::{DoubtCause, Outcome, path};
use crate::time::{Duration, Instant};
use crate::wire::{Envelope, Pdu, RefuseReason, Reply, SealedVerdict, Unseen, Working};

/// A call's place, as an answer names it.
pub(super) type Place = (Space, SlotIndex, Sequence);

impl Client {
    pub(super) fn handle_pdu(&mut self, now: Instant, envelope: &Envelope, pdu: &Pdu<'_>) {
        if let Pdu::Owner(owner) = pdu {
            // Asked of a former life it is for whoever lives in its place (M18).
            return self.on_owner(now, envelope, owner);
        }
        if envelope.target != self.identity.incarnation.tag() {
            self.counters.foreign += 1; // for a former life, or another process
            return;
        }
        match pdu {
            Pdu::Cookie(cookie) => return self.on_cookie(now, envelope, cookie),
            Pdu::Welcome(welcome) => return self.on_welcome(now, envelope, welcome),
            Pdu::Reject(reject) => return self.on_reject(now, reject),
            Pdu::NoSession(_) if self.on_former(now, envelope, pdu) => return,
            Pdu::NoSession(_) => return self.on_no_session(now, envelope),
            Pdu::Extend(extend) => return self.on_extend(now, envelope, extend),
            Pdu::Reply(_)
            | Pdu::Refuse(_)
            | Pdu::Working(_)
            | Pdu::Unseen(_)
            | Pdu::Sealed(_)
            | Pdu::Ack(_)
            | Pdu::Goaway(_)
            | Pdu::Bye(_)
            | Pdu::Probed(_) => {}
            // The rest is for servers.
            Pdu::Owner(_)
            | Pdu::Hello(_)
            | Pdu::Request(_)
            | Pdu::Ping(_)
            | Pdu::Cancel(_)
            | Pdu::Seal(_)
            | Pdu::Alive(_)
            | Pdu::Probe(_) => {
                self.counters.foreign += 1;
                return;
            }
        }
        // An answer of another session, or of another life of the server, says nothing (C8).
        let current = self.session().is_some_and(|session| {
            session.id == envelope.session && session.incarnation == envelope.incarnation
        });
        if !current && self.on_former(now, envelope, pdu) {
            return;
        }
        if !current || envelope.space == Space::Maybe {
            self.counters.stale += 1;
            return;
        }
        self.last_heard = Some(now);
        self.handle_answer(now, envelope.space, pdu);
    }

    fn handle_answer(&mut self, now: Instant, space: Space, pdu: &Pdu<'_>) {
        if let Link::Live(session) = &mut self.link {
            session.is_used |= matches!(pdu, Pdu::Reply(_) | Pdu::Working(_) | Pdu::Sealed(_));
        }
        match pdu {
            Pdu::Reply(reply) => {
                self.hear_time(now, reply.session_time_us);
                self.on_reply(now, space, reply);
            }
            Pdu::Refuse(refuse) => {
                self.hear_time(now, refuse.session_time_us);
                // A refusal for want of the generation says nothing of the call: the server has
                // deleted what it knew (C3).
                let outcome = if refuse.reason == RefuseReason::Generation {
                    Outcome::InDoubt(DoubtCause::GenerationEnded)
                } else {
                    Outcome::Refused {
                        reason: refuse.reason,
                        push_back: self.push_back(refuse.push_back_ms),
                        detail: refuse.detail.to_owned(),
                    }
                };
                self.settle(now, (space, refuse.slot, refuse.sequence), outcome);
            }
            Pdu::Sealed(sealed) => {
                let outcome = match sealed.verdict {
                    SealedVerdict::NotExecuted => Outcome::Sealed,
                    SealedVerdict::Closed => Outcome::InDoubt(DoubtCause::Closed),
                };
                self.settle(now, (space, sealed.slot, sealed.sequence), outcome);
            }
            Pdu::Working(working) => {
                self.hear_time(now, working.session_time_us);
                self.on_working(now, space, working);
            }
            Pdu::Unseen(unseen) => {
                self.hear_time(now, unseen.session_time_us);
                self.on_unseen(now, space, unseen);
            }
            Pdu::Ack(ack) => self.on_ack(now, space, ack),
            Pdu::Goaway(_) => self.on_goaway(now),
            Pdu::Bye(_) => self.on_bye(now),
            Pdu::Probed(probed) => self.on_probed(now, probed),
            Pdu::Hello(_)
            | Pdu::Cookie(_)
            | Pdu::Welcome(_)
            | Pdu::Reject(_)
            | Pdu::NoSession(_)
            | Pdu::Request(_)
            | Pdu::Ping(_)
            | Pdu::Extend(_)
            | Pdu::Cancel(_)
            | Pdu::Seal(_)
            | Pdu::Owner(_)
            | Pdu::Alive(_)
            | Pdu::Probe(_) => unreachable!("sorted out by handle_pdu"),
        }
    }

    /// The server's clock as read when it answered: a session that is never idle, and so says HELLO
    /// never again, has no other news of it.
    fn hear_time(&mut self, now: Instant, time_us: u64) {
        if let Link::Live(session) = &mut self.link {
            session.renew_base(now, time_us);
        }
    }

    fn on_reply(&mut self, now: Instant, space: Space, reply: &Reply<'_>) {
        // More than every path carries at once is acknowledged, in however many datagrams it came.
        let is_large = reply.body.len() > path::reply_bytes(self.target.address);
        if reply.fragments != 1 || is_large {
            return self.on_reply_fragment(now, space, reply);
        }
        let place = (space, reply.slot, reply.sequence);
        let Some(index) = self.expected(place) else { return };
        if let State::Busy(key) = self.table(space).slots[index].state {
            let call = &self.calls[key.index];
            // Karn: only a request that was sent once has an unambiguous round trip.
            if call.transmissions == 1 && !self.is_large(call) {
                let held = Duration::from_micros(u64::from(reply.handler_us));
                self.trip.sample(now.since(call.sent_at).saturating_sub(held));
            }
        }
        let body = self.pool.copy(reply.body);
        let outcome = outcome_of(reply.status, body);
        // What is recorded is acknowledged only once its end is written down.
        if !self.table(space).slots[index].recorded {
            self.table(space).set_unacknowledged(index, true);
        }
        self.settle(now, place, outcome);
    }

    /// The slot, if `sequence` is its last call and has had no answer.
    pub(super) fn expected(&mut self, (space, slot, sequence): Place) -> Option<usize> {
        let index = usize::try_from(slot.0).ok()?;
        let expected = self.table(space).slots.get(index).is_some_and(|slot| {
            slot.sequence == sequence && matches!(slot.state, State::Busy(_) | State::Linger)
        });
        if !expected {
            self.counters.stale += 1;
            return None;
        }
        Some(index)
    }

    /// A terminal answer: the call ends, or, if it was given up, becomes a fact for `resolve`.
    pub(super) fn settle(&mut self, now: Instant, place: Place, outcome: Outcome) {
        let Some(index) = self.expected(place) else { return };
        let space = place.0;
        self.forget_partial(place);
        match self.table(space).slots[index].state {
            State::Busy(key) => {
                let call = &self.calls[key.index];
                if call.stage != Stage::Busy(index) {
                    self.counters.stale += 1; // its end, or its start, is being written down
                    return;
                }
                let outcome = call.joined(outcome);
                self.conclude(now, key, Some(index), outcome);
            }
            State::Linger => {
                self.stop_calling_off(space, index);
                let slot = &mut self.table(space).slots[index];
                let outcome = joined(slot.in_doubt, outcome);
                let resolver = slot.resolver.take();
                slot.state = State::Resolved(outcome.clone());
                if let Some(resolver) = resolver {
                    self.conclude(now, resolver, None, outcome);
                } else if self.calls.is_empty() {
                    self.fall_quiet(now);
                }
            }
            State::Free | State::Resolved(_) => {}
        }
    }

    /// The server is at it: probe from now on. A busy slot is asked again instead.
    fn on_working(&mut self, now: Instant, space: Space, working: &Working) {
        let place = (space, working.slot, working.sequence);
        let Some(index) = self.expected(place) else { return };
        let State::Busy(key) = self.table(space).slots[index].state else {
            return self.on_working_off(now, space, (index, working));
        };
        if working.stamp != 0 && working.stamp <= now.as_micros() {
            self.trip.sample(Duration::from_micros(now.as_micros() - working.stamp));
        }
        if working.running != working.sequence {
            return; // its timer sends it again
        }
        if self.calls[key.index].stage == Stage::Busy(index) {
            self.request_has_come(now, key.index);
        }
        let call = &mut self.calls[key.index];
        if call.stage != Stage::Busy(index) {
            return;
        }
        call.working_seen = true;
        call.probes_unanswered = 0;
        if !call.probing {
            call.probing = true;
            let wait = self.trip.wait(call.tries, &mut *self.rng);
            if let Some(timer) = call.timer {
                self.timers.set(timer, (now + wait).min(call.spec.deadline));
            }
        }
    }

    fn on_unseen(&mut self, now: Instant, space: Space, unseen: &Unseen) {
        let place = (space, unseen.slot, unseen.sequence);
        let Some(index) = self.expected(place) else { return };
        let State::Busy(key) = self.table(space).slots[index].state else { return };
        let call = &self.calls[key.index];
        let asked = call.outgoing.as_ref().map_or(call.probing, |outgoing| outgoing.tries() > 0);
        let probing = asked && call.stage == Stage::Busy(index);
        // Only an answer to a probe: a forged or late one must not make requests.
        if let (Link::Live(session), true) = (self.link, probing)
            && !self.start_over(now, &session, key.index)
        {
            self.send_request(now, &session, key.index);
        }
    }

    /// Whether a call is under way in a slot, for the stage of a resolve.
    pub(super) fn is_busy(&mut self, space: Space, index: usize) -> bool {
        let State::Busy(key) = self.table(space).slots[index].state else { return false };
        matches!(self.calls[key.index].stage, Stage::Busy(_))
    }
}
