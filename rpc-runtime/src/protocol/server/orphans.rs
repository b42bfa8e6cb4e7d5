//! Running calls are watched lest they be orphans: quanta, and what a later life of the client
//! does to the work of earlier ones (EXTEND, OWNER, ALIVE, and the last rows of "Server slot").
//!
//! Quanta are those of both spaces: a [`Spot`] is a slot of a session, or of a generation. Whoever
//! asked about a call last is asked for it, and only that session's answer counts. Later lives are a
//! matter of sessions alone.
//!
//! All of it hangs on the one timer of the call's slot, so a call that ends before it is reported
//! costs nothing. Quanta are counted from the moment at which the caller was asked, not from that
//! of its answer: a late yes lengthens nothing, and an orphan lives for at most one quantum and one
//! grace period.

use super::durable::Durable;
use super::recent::Recent;
use super::session::Session;
use super::slot::{Asked, Live, OwnerAsked, Slot, Spot, State};
use super::{Origin, Server, ServerEvent, Ticket, envelope};
use crate::ids::{Incarnation, Sequence, SessionId, SlotIndex, Space};
use crate::protocol::limits::{EXTEND_TRIES, OWNER_TRIES};
use crate::protocol::orphan::{OnFence, OrphanPolicy};
use crate::time::{Duration, Instant};
use crate::wire::{Alive, Answer, Envelope, Extend, Owner, Pdu};

/// Why a running call is called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its caller said so, its slot is wanted, or its deadline is over.
    CalledOff,
    /// The caller does not wait for it.
    QuantumRefused,
    /// The caller did not answer.
    QuantumUnanswered,
    /// A later life of the client was welcomed.
    Reincarnated,
    /// Its owner waits no longer, or does not answer.
    OwnerMissing,
}

impl Server {
    /// A call has begun: its first quantum runs.
    pub(super) fn watch(&mut self, now: Instant, spot: Spot) {
        let Some((live, policy)) = self.running_call(spot) else { return };
        live.quantum_ends = policy.quantum.map(|quantum| now + quantum);
        // The timer is set to the report already; as a rule that comes first.
        let first = |report| live.quantum_ends.is_none_or(|ends| report <= ends);
        if !live.report_at.is_some_and(first) {
            self.arm(spot);
        }
    }

    /// The timer of a slot: the call is reported, asked for, called off or counted.
    pub(super) fn on_call_timer(&mut self, now: Instant, spot: Spot) {
        let Some(live) = self.slot_at(spot).and_then(Slot::live) else { return };
        let report = live.report_at.take_if(|at| now >= *at);
        if now >= live.not_after {
            self.call_off_running(now, spot, Why::CalledOff);
        } else if report.is_some() {
            self.report(now, spot);
        }
        self.check_quantum(now, spot);
        if let Spot::Session(id, index) = spot {
            self.check_owner(now, id, index);
        }
        self.count_stubborn(now, spot);
        self.arm(spot);
    }

    /// Sets a slot's timer to the next thing that is due of its call.
    fn arm(&mut self, spot: Spot) {
        let grace = self.limits.grace;
        let Some(slot) = self.slot_at(spot) else { return };
        let Some(timer) = slot.timer else { return };
        let is_queued = matches!(slot.state, State::Queued(_));
        let Some(live) = slot.live() else { return };
        match if is_queued { live.report_at } else { live.next_running(grace) } {
            Some(due) => self.timers.set(timer, due),
            None => self.timers.clear(timer),
        }
    }

    /// At the end of a quantum the caller is asked, again and again for the grace period.
    fn check_quantum(&mut self, now: Instant, spot: Spot) {
        let grace = self.limits.grace;
        let interval = (grace / EXTEND_TRIES).max(self.limits.retransmit_floor);
        let Some((live, _)) = self.running_call(spot) else { return };
        let Some(ends) = live.quantum_ends.filter(|_| !live.cancelled) else { return };
        let asked = match live.asked {
            None if now < ends => return,
            None => Asked { at: now, again: now + interval },
            Some(asked) if now >= asked.at + grace => {
                return self.call_off_running(now, spot, Why::QuantumUnanswered);
            }
            Some(asked) if now < asked.again => return,
            Some(asked) => Asked { again: now + interval, ..asked },
        };
        live.asked = Some(asked);
        let quantum = live.quantum;
        self.ask_owner_of(spot, |_, slot, sequence| {
            let (answer, pad) = (Answer::Ask, [0; 3]);
            Pdu::Extend(Extend { slot, sequence, quantum, answer, pad })
        });
    }

    /// A session asks about a durable call: from now on that one is told how it ends and, at the end
    /// of a quantum, asked for it; at once if its predecessor is being asked in vain.
    pub(super) fn take_over(&mut self, now: Instant, spot: Spot, id: SessionId) {
        let Some(live) = self.slot_at(spot).and_then(Slot::live) else { return };
        if live.asker == id {
            return;
        }
        live.asker = id;
        if let Some(asked) = &mut live.asked {
            asked.again = now;
            self.check_quantum(now, spot);
            self.arm(spot);
        }
    }

    /// The caller's answer to the end of a quantum: for that call and that quantum, or none (H10).
    pub(super) fn on_extend(&mut self, now: Instant, origin: Origin, extend: &Extend) {
        let Some(id) = self.session_for(now, origin, None) else { return };
        let Envelope { space, incarnation, .. } = origin.envelope;
        let own = self.sessions.get(&id).filter(|session| session.incarnation == incarnation);
        let spot = own.map(|session| session.spot(space, extend.slot));
        let call = spot.and_then(|spot| Some((spot, self.waiting_call(spot, extend.sequence)?)));
        let asked = call.and_then(|(spot, (live, policy))| {
            let asked = live.asked.filter(|_| live.quantum == extend.quantum)?;
            (live.asker == id).then_some((spot, asked, policy.quantum?, live))
        });
        let Some((spot, asked, quantum, live)) = asked else {
            self.counters.stale += 1;
            return;
        };
        match extend.answer {
            Answer::Yes => {
                live.quantum = live.quantum.wrapping_add(1);
                let ends = asked.at + quantum;
                live.quantum_ends = Some(ends);
                // So late that the next one is over too: its grace period runs already.
                live.asked = (ends < now).then_some(Asked { at: ends, again: now });
                self.counters.quanta_granted += 1;
                self.check_quantum(now, spot);
                self.arm(spot);
            }
            Answer::No => self.call_off_running(now, spot, Why::QuantumRefused),
            Answer::Ask => self.counters.stale += 1,
        }
    }

    /// A later life of the client was welcomed: what runs in this session is treated as its methods
    /// say.
    pub(super) fn judge_orphans(&mut self, now: Instant, id: SessionId, announced: Incarnation) {
        let Some(session) = self.sessions.get(&id) else { return };
        let running = |(index, slot): (SlotIndex, &Slot)| {
            matches!(slot.state, State::Running(_)).then_some(index)
        };
        let running: Vec<SlotIndex> = session.slots.iter().filter_map(running).collect();
        for index in running {
            let spot = Spot::Session(id, index);
            let Some((live, policy)) = self.running_call(spot) else { continue };
            match policy.on_fence {
                OnFence::Leave => {}
                OnFence::Cancel => self.call_off_running(now, spot, Why::Reincarnated),
                OnFence::AskOwner if live.cancelled => {}
                OnFence::AskOwner => {
                    // Asked for already: the question is another from now on, its end stays.
                    let fresh = OwnerAsked { announced, tries: 0, again: now };
                    let asked = live.owner.map(|asked| OwnerAsked { announced, ..asked });
                    live.owner = Some(asked.unwrap_or(fresh));
                    self.check_owner(now, id, index);
                    self.arm(spot);
                }
            }
        }
    }

    /// Asks for a call's owner once more, or gives it up.
    fn check_owner(&mut self, now: Instant, id: SessionId, index: SlotIndex) {
        let interval = self.limits.retransmit_initial;
        let spot = Spot::Session(id, index);
        let Some((live, _)) = self.running_call(spot) else { return };
        let Some(owner) = &mut live.owner else { return };
        if now < owner.again {
            return;
        }
        if owner.tries >= OWNER_TRIES {
            return self.call_off_running(now, spot, Why::OwnerMissing);
        }
        owner.tries += 1;
        owner.again = now + interval;
        let announced = owner.announced;
        self.ask_owner_of(spot, |session, slot, sequence| {
            let (client, client_incarnation) = (session.client, session.incarnation);
            let (session, pad) = (session.id, [0; 4]);
            Pdu::Owner(Owner {
                client,
                client_incarnation,
                announced,
                session,
                slot,
                sequence,
                pad,
            })
        });
    }

    /// The answer to OWNER. Only the life that made the call can say yes; whoever lives in its place
    /// can say no (M18).
    pub(super) fn on_alive(&mut self, now: Instant, origin: Origin, alive: &Alive) {
        let Some(id) = self.session_for(now, origin, None) else { return };
        let Some(session) = self.sessions.get(&id) else { return };
        let is_owner = origin.envelope.incarnation == session.incarnation;
        let named = (alive.client, alive.client_incarnation, alive.session);
        let exact = named == (session.client, session.incarnation, id);
        let spot = Spot::Session(id, alive.slot);
        let call = self.waiting_call(spot, alive.sequence).filter(|_| exact);
        let asked = call
            .filter(|(live, _)| live.owner.is_some_and(|owner| owner.announced == alive.announced));
        let Some((live, _)) = asked else {
            self.counters.stale += 1;
            return;
        };
        match alive.answer {
            Answer::Yes if is_owner => {
                live.owner = None;
                self.counters.owners_found += 1;
                self.arm(spot);
            }
            Answer::No => self.call_off_running(now, spot, Why::OwnerMissing),
            Answer::Yes | Answer::Ask => self.counters.stale += 1,
        }
    }

    /// Tells a running handler, once, that nobody wants its call.
    pub(super) fn call_off_running(&mut self, now: Instant, spot: Spot, why: Why) {
        let grace = self.limits.grace;
        let Some((live, policy)) = self.running_call(spot) else { return };
        if live.cancelled {
            return;
        }
        live.cancelled = true;
        live.stopped = true; // what was ever cancelled does not run again
        live.asked = None;
        live.owner = None;
        if policy.no_cancel {
            self.counters.not_cancellable += 1;
            return;
        }
        live.stubborn_at = Some(now + grace);
        let not_after = live.not_after;
        let counters = &mut self.counters;
        counters.cancelled += 1;
        match why {
            Why::CalledOff => {}
            Why::QuantumRefused => counters.quanta_refused += 1,
            Why::QuantumUnanswered => counters.quanta_unanswered += 1,
            Why::Reincarnated => counters.reincarnated += 1,
            Why::OwnerMissing => counters.owners_missing += 1,
        }
        let Some(slot) = self.slot_at(spot) else { return };
        let (call, attempt) = (spot.call_id(slot.last), slot.attempt);
        self.outbox.event(ServerEvent::Cancel(Ticket { call, attempt, not_after }));
        self.arm(spot);
    }

    /// Counts a handler that did not stop in time, once.
    fn count_stubborn(&mut self, now: Instant, spot: Spot) {
        let Some((live, _)) = self.running_call(spot) else { return };
        if live.stubborn_at.is_some_and(|at| now >= at) {
            live.stubborn_at = None;
            self.counters.stubborn += 1;
        }
    }

    /// Asks the life whose session asked about a running call last, where that was heard last. A
    /// server that has lost its store asks for no durable call: whatever is said, it cannot commit.
    fn ask_owner_of<'p>(
        &mut self,
        spot: Spot,
        question: impl FnOnce(&Session, SlotIndex, Sequence) -> Pdu<'p>,
    ) {
        let Some(slot) = self.slot_at(spot) else { return };
        let sequence = slot.last;
        let Some(asker) = slot.live().map(|live| live.asker) else { return };
        let space = spot.space();
        let in_vain = space == Space::Durable && self.durable.is_fenced;
        let Some(session) = self.sessions.get(&asker).filter(|_| !in_vain) else { return };
        let target = session.incarnation.tag();
        let envelope = Envelope { target, ..envelope(self.identity.incarnation, session, space) };
        let pdu = question(session, spot.index(), sequence);
        self.outbox.send(session.home, &envelope, &pdu);
    }

    /// The call that runs in a slot, if it is `sequence` and was not called off.
    fn waiting_call(
        &mut self,
        spot: Spot,
        sequence: Sequence,
    ) -> Option<(&mut Live, OrphanPolicy)> {
        if self.slot_at(spot)?.last != sequence {
            return None;
        }
        self.running_call(spot).filter(|(live, _)| !live.cancelled)
    }

    /// The call that runs in a slot, and what holds for its method.
    fn running_call(&mut self, spot: Spot) -> Option<(&mut Live, OrphanPolicy)> {
        let slot = slot_in(&mut self.sessions, &mut self.durable, spot)?;
        let State::Running(live) = &mut slot.state else { return None };
        let policy = self.methods[live.method].orphans;
        Some((live, policy))
    }

    /// A slot that was used before.
    pub(super) fn slot_at(&mut self, spot: Spot) -> Option<&mut Slot> {
        slot_in(&mut self.sessions, &mut self.durable, spot)
    }
}

fn slot_in<'s>(
    sessions: &'s mut Recent<SessionId, Session>,
    durable: &'s mut Durable,
    spot: Spot,
) -> Option<&'s mut Slot> {
    match spot {
        Spot::Session(id, index) => sessions.get_mut(&id)?.slots.get_mut(index),
        Spot::Durable(id, index) => durable.generations.get_mut(&id)?.slots.get_mut(&index),
    }
}

impl Live {
    /// What is due next of a call that runs.
    fn next_running(&self, grace: Duration) -> Option<Instant> {
        if self.cancelled {
            return self.report_at.into_iter().chain(self.stubborn_at).min();
        }
        let quantum = match self.asked {
            None => self.quantum_ends,
            Some(asked) => Some(asked.again.min(asked.at + grace)),
        };
        let owner = self.owner.map(|owner| owner.again);
        [self.report_at, Some(self.not_after), quantum, owner].into_iter().flatten().min()
    }
}
