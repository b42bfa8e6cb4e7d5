//! Large messages, the client's side: requests leave in fragments, replies are put together.
//!
//! Knows the PDUs and the slots that `fragment.rs` does not: which call a fragment belongs to, who is
//! told of it, and when its whole is an answer (`answers.rs` does the rest).

use std::borrow::Cow;
use std::ops::Range;

use super::call::{Call, Stage};
use super::session::{Link, Session};
use super::slots::State;
use super::{CallKey, Client, answers::Place};
use crate::ids::{CallId, Space};
use crate::protocol::Outcome;
use crate::protocol::fragment::{
    AckProtocol, Cut, Has, Lane, Name, Next, Outgoing, Taken, fragments_of, is_quiet, place_of,
};
use crate::protocol::path;
use crate::semantics::Semantics;
use crate::time::Instant;
use crate::wire::{Ack, Envelope, Pdu, Ping, Reply, ReplyStatus, Request};

impl Call {
    /// Bytes that stand before the arguments, and go with each fragment of them.
    pub(super) fn extension_bytes(&self) -> usize {
        usize::from(self.spec.extension_bytes)
    }

    /// Bytes of the arguments.
    pub(super) fn message_bytes(&self) -> usize {
        self.arguments.len() - self.extension_bytes()
    }

    /// Where a fragment of its arguments stands behind the extensions.
    fn place_of(&self, fragment: u16, cut: Cut) -> Range<usize> {
        let before = self.extension_bytes();
        let place = place_of(self.message_bytes(), fragment, cut.each_bytes);
        before + place.start..before + place.end
    }

    /// The arguments.
    pub(super) fn message(&self) -> Cow<'_, [u8]> {
        self.arguments.bytes(self.extension_bytes()..self.arguments.len())
    }

    /// The REQUEST that carries these extensions and arguments, which are `fragment` of all.
    pub(super) fn request<'a>(
        &self,
        now: Instant,
        session: &Session,
        (fragment, fragments): (u16, u16),
        (extensions, arguments): (&'a [u8], &'a [u8]),
    ) -> Request<'a> {
        let remaining = now.until(self.spec.deadline).as_micros();
        Request {
            slot: self.id.slot,
            sequence: self.id.sequence,
            method: self.spec.method,
            name: self.spec.name,
            digest: self.digest,
            remaining_us: u64::try_from(remaining).unwrap_or(u64::MAX),
            not_after_us: session.server_time_us(self.spec.deadline),
            fragment,
            fragments,
            transmission: u16::try_from(self.transmissions).unwrap_or(u16::MAX),
            depth: self.spec.depth,
            semantics: self.spec.semantics,
            extensions,
            arguments,
        }
    }
}

impl Client {
    /// The longest argument bytes that one REQUEST carries whatever the path.
    pub(super) const fn request_bytes(&self) -> usize {
        path::argument_bytes(self.target.address)
    }

    /// Whether a call's arguments take more than one datagram, unless the path carries longer ones.
    pub(super) fn is_large(&self, call: &Call) -> bool {
        call.arguments.len() > self.request_bytes()
    }

    /// A large request begins to leave, from its first fragment on.
    pub(super) fn begin_large_request(&mut self, now: Instant, session: &Session, index: usize) {
        let (default, each_bytes) = (self.limits.ack, self.request_bytes());
        let call = &mut self.calls[index];
        call.tries += 1;
        if call.spec.semantics == Semantics::Maybe {
            // Nobody would say that a longer datagram was swallowed.
            let cut = Cut::of(call.message_bytes(), each_bytes - call.extension_bytes());
            for fragment in 0..cut.fragments {
                self.send_fragment(now, session, index, (fragment, cut), false);
            }
            return;
        }
        let (protocol, bytes) = (call.spec.ack.unwrap_or(default), call.message_bytes());
        self.stop_outgoing(index);
        self.discover(now, session, bytes);
        let cut = self.cut(index);
        self.calls[index].outgoing = Some(Box::new(Outgoing::new(cut, protocol, false)));
        if self.way_queue.is_empty() {
            return self.pour_request(now, session, index);
        }
        // Or who needs much room would never find it where others begin all the time.
        self.wait_behind_others(index);
        self.pour_queued(now, session);
    }

    fn send_fragment(
        &mut self,
        now: Instant,
        session: &Session,
        index: usize,
        (fragment, cut): (u16, Cut),
        is_again: bool,
    ) {
        let (to, call) = (self.target.address, &self.calls[index]);
        let envelope = self.envelope(session, call.id.space);
        let extensions = call.arguments.bytes(0..call.extension_bytes());
        let request = |arguments| {
            let number = (fragment, cut.fragments);
            Pdu::Request(call.request(now, session, number, (&extensions, arguments)))
        };
        let place = call.place_of(fragment, cut);
        let part = path::is_stream(to).then(|| call.arguments.part(place.clone())).flatten();
        match part {
            Some((before, part)) => {
                self.outbox.send_before(to, &envelope, &request(before), part);
            }
            None => self.outbox.send(to, &envelope, &request(&call.arguments.bytes(place))),
        }
        self.counters.fragments_out += 1;
        self.counters.fragments_resent += u64::from(is_again);
    }

    /// Sends what may leave now of a large request.
    fn pour_request(&mut self, now: Instant, session: &Session, index: usize) {
        loop {
            let call = &mut self.calls[index];
            let key = CallKey { index, generation: call.generation };
            let Some(outgoing) = &mut call.outgoing else { return };
            let cut = outgoing.cut();
            match outgoing.poll(now, &mut self.way, &self.trip) {
                Next::Fragment(fragment, is_again) => {
                    self.send_fragment(now, session, index, (fragment, cut), is_again);
                }
                Next::Nothing => break,
                Next::Queue => {
                    self.way_queue.push_back(key);
                    break;
                }
            }
        }
        self.watch_request(index);
    }

    /// Sets the timer of a large request that is under way.
    fn watch_request(&mut self, index: usize) {
        let call = &self.calls[index];
        let due = call.outgoing.as_ref().and_then(|outgoing| outgoing.due(&self.way));
        if let Some(timer) = call.timer {
            // What waits for others on the way has nothing of its own to wait for but its deadline.
            self.timers
                .set(timer, due.map_or(call.spec.deadline, |due| due.min(call.spec.deadline)));
        }
    }

    /// Large requests that wait for others to make room on the way.
    pub(super) fn pour_queued(&mut self, now: Instant, session: &Session) {
        while let Some(&key) = self.way_queue.front() {
            let call = self.calls.get_mut(key.index);
            let call = call.filter(|call| call.generation == key.generation);
            let outgoing = call.and_then(|call| call.outgoing.as_mut());
            if outgoing.as_ref().is_some_and(|outgoing| outgoing.waits_for_room(&self.way)) {
                return; // it is its turn, however long its fragments
            }
            self.way_queue.pop_front();
            if let Some(outgoing) = outgoing {
                outgoing.leave_queue();
                self.pour_request(now, session, key.index);
            }
        }
    }

    /// A large request is not sent any more, if one was.
    pub(super) fn stop_outgoing(&mut self, index: usize) -> bool {
        let outgoing = self.calls[index].outgoing.take();
        let was_sent = outgoing.is_some();
        if let Some(mut outgoing) = outgoing {
            outgoing.leave(&mut self.way);
        }
        was_sent
    }

    /// The timer of a call whose request is under way: the next burst, or nobody has answered. Then
    /// the server is also asked what it has, which it says even if it has all (H7).
    pub(super) fn on_request_timer(&mut self, now: Instant, session: &Session, index: usize) {
        let call = &mut self.calls[index];
        let (slot, sequence, space) = (call.id.slot, call.id.sequence, call.id.space);
        let Some(outgoing) = &mut call.outgoing else { return };
        if outgoing.expire(now, &mut self.way, &self.trip) {
            call.probes_unanswered = call.probes_unanswered.saturating_add(1);
            let envelope = self.envelope(session, space);
            let ping = Pdu::Ping(Ping { slot, sequence, stamp: now.as_micros() });
            self.outbox.send(self.target.address, &envelope, &ping);
            self.counters.probes += 1;
            self.leave_black_hole(now, index);
        }
        self.pour_request(now, session, index);
    }

    /// What the server has of a large request.
    pub(super) fn on_ack(&mut self, now: Instant, space: Space, ack: &Ack) {
        let Some(index) = self.expected((space, ack.slot, ack.sequence)) else { return };
        let State::Busy(key) = self.table(space).slots[index].state else { return };
        let Link::Live(session) = self.link else { return };
        let index = key.index;
        let call = &mut self.calls[index];
        let Some(outgoing) = call.outgoing.as_mut() else {
            self.counters.stale += 1;
            return;
        };
        call.probes_unanswered = 0;
        let is_all = Has::said(ack).is_all() && ack.fragments > 0;
        if ack.fragments != outgoing.fragments() {
            if is_all {
                return self.request_has_come(now, index); // however it was cut
            }
            self.counters.stale += 1; // of a coarser cut
            return;
        }
        let heard = outgoing.on_ack(now, (ack.cumulative, ack.bitmap), &mut self.way, &self.trip);
        self.counters.acks_ahead += u64::from(heard.of_the_future);
        if let Some(sample) = heard.sample {
            self.trip.sample(sample);
        }
        if is_all {
            self.request_has_come(now, index);
        } else if self.way_queue.is_empty() {
            self.pour_request(now, &session, index);
        } else {
            self.wait_behind_others(index); // for the room that it has made
        }
    }

    /// Others wait for room on the way, and it waits behind them.
    fn wait_behind_others(&mut self, index: usize) {
        let call = &mut self.calls[index];
        let key = CallKey { index, generation: call.generation };
        if call.outgoing.as_mut().is_some_and(|outgoing| outgoing.enter_queue()) {
            self.way_queue.push_back(key);
        }
        self.watch_request(index);
    }

    /// The server has all of a large request: from now on it is only asked how the call is.
    pub(super) fn request_has_come(&mut self, now: Instant, index: usize) {
        if !self.stop_outgoing(index) {
            return;
        }
        let call = &mut self.calls[index];
        call.probing = true;
        // A call that runs on is reported before the time-out. A reply that fits one datagram has nothing behind
        // it whose coming would tell of its loss, so once it is asked for sooner (RFC 8985, section 7), which is no
        // try: the next question comes a time-out later. Who is not known any more when it has run might have to
        // run again.
        let is_kept = match call.spec.semantics {
            Semantics::AtMostOnce | Semantics::ExactlyOnce => true,
            Semantics::AtLeastOnce | Semantics::Maybe => false,
        };
        let sooner = self.trip.probe_after().filter(|_| is_kept && !self.way.is_stream());
        if sooner.is_some() {
            call.tries = call.tries.saturating_sub(1);
        }
        let wait = sooner.unwrap_or_else(|| self.trip.timeout());
        if let Some(timer) = call.timer {
            self.timers.set(timer, (now + wait).min(call.spec.deadline));
        }
    }

    /// The session goes on by another way: what was under way of a large request is lost, and the rest
    /// is not. Says whether one is under way.
    pub(super) fn go_on(&mut self, now: Instant, session: &Session, index: usize) -> bool {
        let Some(outgoing) = &mut self.calls[index].outgoing else { return false };
        outgoing.lose_flight(&mut self.way);
        self.pour_request(now, session, index);
        true
    }

    /// The server has nothing of a large request that is under way. Says whether one is.
    pub(super) fn start_over(&mut self, now: Instant, session: &Session, index: usize) -> bool {
        let Some(outgoing) = &mut self.calls[index].outgoing else { return false };
        outgoing.start_over(&mut self.way);
        self.pour_request(now, session, index);
        true
    }

    /// A fragment of a large reply.
    pub(super) fn on_reply_fragment(&mut self, now: Instant, space: Space, reply: &Reply<'_>) {
        self.counters.fragments_in += 1;
        let Some(&session) = self.session() else { return };
        let place = (space, reply.slot, reply.sequence);
        let is_known = usize::try_from(reply.slot.0).ok().filter(|&index| {
            let slot = self.table(space).slots.get(index);
            slot.is_some_and(|slot| slot.sequence == reply.sequence)
        });
        let Some(index) = is_known else {
            self.counters.stale += 1;
            return;
        };
        let slot = &self.table(space).slots[index];
        let has_come = slot.reply_fragments > 0; // however it was cut
        let has_resolver = slot.resolver.is_some();
        let (is_awaited, may_acknowledge) = match slot.state {
            State::Busy(key) => (self.calls[key.index].stage == Stage::Busy(index), false),
            State::Linger => (has_resolver, false),
            State::Free | State::Resolved(_) => (false, has_come),
        };
        let envelope = self.envelope(&session, space);
        if !is_awaited {
            self.counters.stale += 1;
            if may_acknowledge {
                self.send_ack(&envelope, reply, Has::all(reply.fragments));
            }
            return;
        }
        let key = match self.table(space).slots[index].state {
            State::Busy(key) => Some(key),
            State::Linger | State::Free | State::Resolved(_) => None,
        };
        if let Some(key) = key {
            self.request_has_come(now, key.index);
            self.put_off_probes(now, key.index);
        }
        if reply.fragments > 1 {
            self.discover(now, &session, usize::from(reply.fragments) * reply.body.len());
        }
        let lane = Lane::new(session.id, space, reply.slot);
        let Some((status, body)) = self.take_fragment(now, &envelope, lane, reply) else { return };
        let slot = &mut self.table(space).slots[index];
        slot.reply_fragments = reply.fragments;
        // What is recorded is acknowledged only once its end is written down.
        if !slot.recorded {
            self.send_ack(&envelope, reply, Has::all(reply.fragments));
        }
        self.settle(now, place, outcome_of(status, body));
    }

    /// Fragments come: nobody need ask how the call is.
    fn put_off_probes(&mut self, now: Instant, index: usize) {
        let call = &mut self.calls[index];
        call.probing = true;
        call.tries = 1;
        call.probes_unanswered = 0;
        let wait = self.trip.wait(1, &mut *self.rng);
        if let Some(timer) = call.timer {
            self.timers.set(timer, (now + wait).min(call.spec.deadline));
        }
    }

    /// Puts a fragment in its place, and acknowledges it unless it completes the reply, which is
    /// given then.
    pub(super) fn take_fragment(
        &mut self,
        now: Instant,
        envelope: &Envelope,
        lane: Lane,
        reply: &Reply<'_>,
    ) -> Option<(ReplyStatus, Vec<u8>)> {
        let each_bytes = path::reply_bytes(self.target.address);
        let bytes_max = self.limits.message_bytes_max;
        let before_last = usize::from(reply.fragments) - 1;
        let is_last = usize::from(reply.fragment) == before_last;
        if reply.fragments > fragments_of(bytes_max, each_bytes)
            || (!is_last && before_last * reply.body.len() >= bytes_max)
        {
            let text = format!("more than the {bytes_max} bytes that are taken in");
            return Some((ReplyStatus::TooLarge, text.into_bytes()));
        }
        let name = Name {
            sequence: reply.sequence,
            attempt: reply.attempt,
            digest: reply.status as u64,
            fragments: reply.fragments,
        };
        let room = self.limits.room(each_bytes, self.target.address.host(), [0, 0]);
        let never = Instant::from_micros(u64::MAX);
        let part = (reply.fragment, reply.body);
        let taken = self.partials.take(now, lane, name, part, never, &room);
        match taken {
            Taken::Whole(body) => return Some((reply.status, body)),
            Taken::Kept => {}
            Taken::Again | Taken::Ahead | Taken::SessionFull | Taken::Full => {
                self.counters.fragments_dropped += 1;
            }
            Taken::Dropped => {
                self.counters.fragments_dropped += 1;
                return None;
            }
        }
        let received = self.partials.received(lane, reply.sequence, reply.fragments);
        let is_stream = path::is_stream(self.target.address);
        if !(is_stream && is_quiet(&taken, reply.fragment, received)) {
            self.send_ack(envelope, reply, received);
        }
        None
    }

    /// Acknowledges once all that came together is read: the last word on a message counts.
    fn send_ack(
        &mut self,
        envelope: &Envelope,
        reply: &Reply<'_>,
        Has { cumulative, bitmap, fragments }: Has,
    ) {
        let Reply { slot, sequence, .. } = *reply;
        let ack = Ack { slot, sequence, cumulative, fragments, bitmap };
        let of_one = |(other, before): &&mut (Envelope, Ack)| {
            other == envelope && (before.slot, before.sequence) == (slot, sequence)
        };
        match self.acks.last_mut().filter(of_one) {
            Some((_, before)) => *before = ack,
            None => self.acks.push((*envelope, ack)),
        }
    }

    pub(super) fn send_acks(&mut self) {
        for (envelope, ack) in self.acks.drain(..) {
            self.outbox.send(self.target.address, &envelope, &Pdu::Ack(ack));
        }
    }

    /// The end of a recorded call is written down: a large reply is acknowledged at once, because its
    /// server still sends it.
    pub(super) fn acknowledge_large(&mut self, id: CallId) {
        let index = usize::try_from(id.slot.0).unwrap_or(usize::MAX);
        let slot = self.table(id.space).slots.get(index);
        let Some(slot) = slot.filter(|slot| slot.sequence == id.sequence) else { return };
        let cumulative = slot.reply_fragments;
        let Link::Live(session) = self.link else { return };
        if cumulative == 0 {
            return;
        }
        let envelope = self.envelope(&session, id.space);
        let CallId { slot, sequence, .. } = id;
        let ack = Ack { slot, sequence, cumulative, fragments: cumulative, bitmap: 0 };
        self.outbox.send(self.target.address, &envelope, &Pdu::Ack(ack));
        self.table(id.space).set_unacknowledged(index, false);
    }

    /// A call has its answer: what came of another one is of no use.
    pub(super) fn forget_partial(&mut self, (space, slot, _): Place) {
        if self.partials.is_empty() {
            return;
        }
        if let Some(&session) = self.session() {
            let lane = Lane::new(session.id, space, slot);
            self.counters.messages_dropped += u64::from(self.partials.forget(lane));
        }
    }

    /// The bytes of arguments beyond which a call is refused here.
    #[must_use]
    pub const fn argument_bytes_max(&self, semantics: Semantics) -> usize {
        self.limits.argument_bytes_max(semantics)
    }

    /// How fragments are acknowledged where a call does not say.
    #[must_use]
    pub const fn ack_protocol(&self) -> AckProtocol {
        self.limits.ack
    }
}

/// What a reply says.
pub(super) const fn outcome_of(status: ReplyStatus, body: Vec<u8>) -> Outcome {
    match status {
        ReplyStatus::Returned => Outcome::Returned(body),
        ReplyStatus::Panicked
        | ReplyStatus::Cancelled
        | ReplyStatus::CancelledPartial
        | ReplyStatus::TooLarge
        | ReplyStatus::HandlerFailed => Outcome::Failed { status, body },
    }
}
