//! Large messages, the server's side: requests are put together, replies leave in fragments.
//!
//! Knows the PDUs and the slots that `fragment.rs` does not: when a half-received request may be
//! begun and what it is refused for, where the bytes of a reply lie, and when they are given up.

use std::collections::{BTreeMap, VecDeque};

use super::answers::fitted;
use super::durable::Durable;
use super::session::Session;
use super::slot::{Live, Slot, Spot, State, Stored};
use super::{Server, Ticket, TimerKey, envelope};
use crate::address::{Address, Host};
use crate::ids::{Sequence, SessionId, SlotIndex, Space};
use crate::protocol::fragment::{
    Cut, Has, Lane, Name, Next, Outgoing, Partials, Taken, Way, fragment_at, fragments_of,
    is_quiet, place_of,
};
use crate::protocol::limits::{EXTENSION_BYTES_MAX, Limits, REPLY_BYTES_MAX, REPLY_TRIES};
use crate::protocol::path;
use crate::protocol::retransmit::RoundTrip;
use crate::protocol::timers::TimerId;
use crate::time::{Duration, Instant};
use crate::wire::{Ack, Pdu, RefuseReason, Reply, ReplyStatus, Request};

/// Half-received messages are looked after no more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

/// The large messages of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments {
    pub(super) partials: Partials,
    sweep_timer: Option<TimerId>,
    /// The arguments of the request that has just become whole.
    whole: Option<Vec<u8>>,
    /// Bytes of large arguments, by the execution that has them: its call may be over before it is.
    arguments: BTreeMap<Ticket, (Host, usize)>,
    /// All of them.
    argument_bytes: usize,
    pub(super) replies: BTreeMap<Lane, Pouring>,
    /// What is to be said of half-received requests once all that came together is read.
    acks: Vec<(Lane, Ack)>,
    /// Sessions on whose way replies have made room for others.
    freed: Vec<SessionId>,
}

/// What the large replies of a session share.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    way: Way,
    trip: RoundTrip,
    /// Those that wait for others to make room.
    queue: VecDeque<Lane>,
}

/// A reply under way. Its bytes lie in the slot.
#[derive(Clone, Debug)]
pub(super) struct Pouring {
    pub(super) sequence: Sequence,
    pub(super) outgoing: Outgoing,
    timer: TimerId,
    transmission: u16,
    /// Whether nobody asked for it lately.
    is_parked: bool,
    /// Of a call that may run again: whether anybody called it off.
    stopped: Option<bool>,
}

/// What became of a fragment of a request.
pub(super) enum Gathered {
    /// More are to come.
    Part,
    /// That was all: the request is to be treated as if it had come in one datagram.
    Whole,
    /// The call cannot be taken.
    Refused(RefuseReason, Duration),
}

impl Server {
    /// An execution has large arguments of `host` in its hands.
    pub(super) fn hold_arguments(&mut self, ticket: Ticket, host: Host, bytes: usize) {
        self.fragments.arguments.insert(ticket, (host, bytes));
        self.fragments.argument_bytes += bytes;
        self.change_share(host, |share| share.argument_bytes += bytes);
    }

    /// An execution has ended, or will not begin.
    pub(super) fn let_go(&mut self, ticket: Ticket) {
        if self.fragments.argument_bytes > 0
            && let Some((host, bytes)) = self.fragments.arguments.remove(&ticket)
        {
            self.fragments.argument_bytes -= bytes;
            self.change_share(host, |share| share.argument_bytes -= bytes);
        }
    }

    /// Bytes of half-received messages, as if they were whole, and of large arguments whose executions
    /// have not ended, or not been turned down.
    #[must_use]
    pub const fn reassembly_bytes(&self) -> usize {
        self.fragments.partials.reserved_bytes() + self.fragments.argument_bytes
    }

    /// Whether a request is longer than any may be.
    pub(super) fn is_too_long(&self, session: &Session, request: &Request<'_>) -> bool {
        let bytes_max = self.limits.argument_bytes_max(request.semantics);
        let before_last = usize::from(request.fragments) - 1;
        let is_last = usize::from(request.fragment) == before_last;
        let extension_bytes = request.extensions.len().min(EXTENSION_BYTES_MAX);
        let each_bytes = path::argument_bytes(session.address) - extension_bytes;
        request.fragments > fragments_of(bytes_max, each_bytes)
            || (!is_last && before_last * request.arguments.len() >= bytes_max)
    }

    /// A request, or a fragment of one, whose call may be taken as far as its slot goes.
    pub(super) fn gather(
        &mut self,
        now: Instant,
        id: SessionId,
        space: Space,
        request: &Request<'_>,
    ) -> Gathered {
        if request.fragments == 1 {
            return Gathered::Whole;
        }
        self.counters.fragments_in += 1;
        let lane = match space {
            Space::Maybe => Lane::maybe(id, request.sequence),
            Space::Session | Space::Durable => Lane::new(id, space, request.slot),
        };
        // What is refused in any case need not be put together first.
        if !self.fragments.partials.has(lane, request.sequence)
            && space != Space::Maybe
            && let Some((reason, push_back)) = self.why_not(now, id, space, request)
        {
            return Gathered::Refused(reason, push_back);
        }
        let name = Name {
            sequence: request.sequence,
            attempt: 0,
            digest: request.digest,
            fragments: request.fragments,
        };
        let deadline = self.not_after(now, id, request);
        let Some(session) = self.sessions.get(&id) else { return Gathered::Part };
        let (host, each_bytes) = (session.host, path::argument_bytes(session.address));
        let is_stream = path::is_stream(session.address);
        let held = [self.share_of(host).argument_bytes, self.fragments.argument_bytes];
        let room = self.limits.room(each_bytes, host, held);
        let part = (request.fragment, request.arguments);
        let taken = self.fragments.partials.take(now, lane, name, part, deadline, &room);
        let mut received =
            self.fragments.partials.received(lane, request.sequence, request.fragments);
        let is_quiet = is_stream && is_quiet(&taken, request.fragment, received);
        let gathered = match taken {
            Taken::Kept => Gathered::Part,
            Taken::Again | Taken::Ahead | Taken::SessionFull => {
                self.counters.fragments_dropped += 1;
                Gathered::Part
            }
            Taken::Dropped => {
                self.counters.fragments_dropped += 1;
                return Gathered::Part;
            }
            Taken::Full => {
                return Gathered::Refused(RefuseReason::Overload, self.limits.push_back);
            }
            Taken::Whole(arguments) => {
                self.fragments.whole = Some(arguments);
                received = Has::all(request.fragments);
                Gathered::Whole
            }
        };
        self.watch_partials(now, deadline);
        if space != Space::Maybe && !is_quiet {
            self.send_fragment_ack(id, space, (request.slot, request.sequence), received);
        }
        gathered
    }

    /// A fragment of a `maybe` call: whether the call is whole now. A copy of one that was, or is too
    /// old, gathers nothing.
    pub(super) fn gather_maybe(
        &mut self,
        now: Instant,
        id: SessionId,
        request: &Request<'_>,
    ) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        let is_wanted = session.window.would_accept(request.sequence)
            && !session.fenced
            && !session.closing
            && !self.is_too_long(session, request);
        if !is_wanted {
            self.counters.fragments_dropped += 1;
            return false;
        }
        matches!(self.gather(now, id, Space::Maybe, request), Gathered::Whole)
    }

    /// What is told of an execution, and the bytes that it may take among those stored, where
    /// `reserved_bytes` are its own already.
    pub(super) fn fitted_stored(
        &self,
        status: ReplyStatus,
        body: Vec<u8>,
        (spot, live): (Spot, &Live),
        reserved_bytes: usize,
    ) -> (ReplyStatus, Vec<u8>, usize) {
        let (status, body) = fitted(status, body, live.reply_bytes_max);
        if let Some(stored_bytes) = self.stored_bytes_for(spot, reserved_bytes, &body) {
            return (status, body, stored_bytes);
        }
        let told = (status == ReplyStatus::Returned).then_some(body.len());
        let bytes_max = u32::try_from(REPLY_BYTES_MAX).unwrap_or(u32::MAX);
        let (status, mut body) = fitted(status, body, bytes_max);
        if let Some(bytes) = told {
            body.clear();
            body.extend_from_slice(format!("no room for {bytes} bytes now").as_bytes());
        }
        (status, body, reserved_bytes)
    }

    fn send_fragment_ack(
        &mut self,
        id: SessionId,
        space: Space,
        (slot, sequence): (SlotIndex, Sequence),
        Has { cumulative, bitmap, fragments }: Has,
    ) {
        let ack = Ack { slot, sequence, cumulative, fragments, bitmap };
        let lane = Lane::new(id, space, slot);
        let of_one =
            |(other, before): &&mut (Lane, Ack)| (*other, before.sequence) == (lane, sequence);
        match self.fragments.acks.last_mut().filter(of_one) {
            Some((_, before)) => *before = ack,
            None => self.fragments.acks.push((lane, ack)),
        }
    }

    /// All that came together is read: acknowledges fragments, and sends what there is room for now.
    pub(super) fn after_reading(&mut self, now: Instant) {
        for (lane, ack) in self.fragments.acks.drain(..) {
            let Some(session) = self.sessions.get(&lane.session) else { continue };
            let envelope = envelope(self.identity.incarnation, session, lane.space);
            self.outbox.send(session.address, &envelope, &Pdu::Ack(ack));
        }
        while let Some(id) = self.fragments.freed.pop() {
            self.pour_queued(now, id);
        }
    }

    /// Large replies that wait for others to make room on the way.
    fn pour_queued(&mut self, now: Instant, id: SessionId) {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else { return };
            let Some(outbound) = session.outbound.as_mut() else { return };
            let Some(&lane) = outbound.queue.front() else { return };
            let pouring = self.fragments.replies.get_mut(&lane);
            let waits = |pouring: &&mut Pouring| {
                !pouring.is_parked && pouring.outgoing.waits_for_room(&outbound.way)
            };
            if pouring.as_ref().is_some_and(waits) {
                return; // it is its turn, however long its fragments
            }
            outbound.queue.pop_front();
            let Some(pouring) = pouring else { continue };
            pouring.outgoing.leave_queue();
            if !pouring.is_parked {
                self.pour(now, lane);
            }
        }
    }

    /// PING on a call that is half there: says what is. Gives whether it is.
    pub(super) fn answer_partial(
        &mut self,
        id: SessionId,
        space: Space,
        slot: SlotIndex,
        sequence: Sequence,
    ) -> bool {
        let lane = Lane::new(id, space, slot);
        if !self.fragments.partials.has(lane, sequence) {
            return false;
        }
        let received = self.fragments.partials.received(lane, sequence, 1);
        self.send_fragment_ack(id, space, (slot, sequence), received);
        true
    }

    /// A call is accepted, refused or sealed: what came of it or an earlier one in fragments goes.
    pub(super) fn forget_partial(&mut self, id: SessionId, space: Space, slot: SlotIndex) {
        if !self.fragments.partials.is_empty() {
            let gone = self.fragments.partials.forget(Lane::new(id, space, slot));
            self.counters.messages_dropped += u64::from(gone);
        }
    }

    /// The arguments of a request that is accepted.
    pub(super) fn own_arguments(&mut self, request: &Request<'_>) -> Vec<u8> {
        let whole = self.fragments.whole.take().filter(|_| request.fragments > 1);
        whole.unwrap_or_else(|| self.pool.copy(request.arguments))
    }

    /// The request that became whole was not accepted.
    pub(super) fn drop_whole(&mut self) {
        self.fragments.whole = None;
    }

    fn watch_partials(&mut self, now: Instant, deadline: Instant) {
        let due = deadline.min(now + self.limits.reassembly_idle).max(now + SWEEP_EVERY);
        let add = || self.timers.add(TimerKey::Partials);
        let timer = *self.fragments.sweep_timer.get_or_insert_with(add);
        if !self.timers.is_set(timer) {
            self.timers.set(timer, due);
        }
    }

    /// Drops the half-received messages whose time is over.
    pub(super) fn on_partials_timer(&mut self, now: Instant) {
        let (dropped, due) = self.fragments.partials.sweep(now, self.limits.reassembly_idle);
        self.counters.messages_dropped += dropped;
        if let (Some(timer), Some(due)) = (self.fragments.sweep_timer, due) {
            self.timers.set(timer, due.max(now + SWEEP_EVERY));
        }
    }

    /// A session is gone, or begins nothing any more.
    pub(super) fn forget_partials_of(&mut self, id: SessionId) {
        self.counters.messages_dropped += self.fragments.partials.forget_session(id);
    }

    /// A session is gone: nobody is there to send replies to.
    pub(super) fn stop_replies_of(&mut self, id: SessionId) {
        if self.fragments.replies.is_empty() {
            return;
        }
        let first = Lane { session: id, space: Space::Session, number: 0 };
        let last = Lane { session: id, space: Space::Maybe, number: u64::MAX };
        let lanes: Vec<Lane> =
            self.fragments.replies.range(first..=last).map(|(lane, _)| *lane).collect();
        for lane in lanes {
            self.stop_reply(lane);
        }
    }

    /// A reply is not sent any more.
    pub(super) fn stop_reply(&mut self, lane: Lane) {
        if self.fragments.replies.is_empty() {
            return;
        }
        let Some(mut pouring) = self.fragments.replies.remove(&lane) else { return };
        self.timers.remove(pouring.timer);
        let session = self.sessions.get_mut(&lane.session);
        if let Some(outbound) = session.and_then(|session| session.outbound.as_mut()) {
            pouring.outgoing.leave(&mut outbound.way);
            self.fragments.freed.push(lane.session);
        }
    }

    /// Room for an outcome among the stored ones: what is longer than one datagram, and than what was
    /// reserved, is too large where there is none. Gives what is told, and what is stored.
    fn stored_bytes_for(&self, spot: Spot, reserved_bytes: usize, body: &[u8]) -> Option<usize> {
        if body.len() <= REPLY_BYTES_MAX {
            return Some(reserved_bytes);
        }
        let more_bytes = body.len().saturating_sub(reserved_bytes);
        self.has_room_for(spot, more_bytes).then_some(reserved_bytes + more_bytes)
    }

    /// The slot that a reply's bytes lie in.
    fn slot_of_lane(&self, lane: Lane) -> Option<&Slot> {
        slot_in(self.sessions.get(&lane.session)?, &self.durable, lane)
    }

    /// Whether a slot holds a reply that takes more than one datagram to this address.
    pub(super) fn holds_large(to: Address, state: &State) -> bool {
        let each_bytes = path::reply_bytes(to);
        matches!(state, State::Done(Stored { body, .. }) if body.len() > each_bytes)
    }

    /// A large reply is to be told: begins to send it, or, if it is under way, sends what is missing.
    pub(super) fn pour_stored(&mut self, now: Instant, lane: Lane, transmission: u16) {
        let Some(slot) = self.slot_of_lane(lane) else { return };
        let (State::Done(stored), sequence) = (&slot.state, slot.last) else { return };
        let (length, protocol) = (stored.body.len(), stored.ack.unwrap_or(self.limits.ack));
        let Some(session) = self.sessions.get_mut(&lane.session) else { return };
        let cut = Cut::of(length, session.reply_bytes());
        let outbound = session.outbound_by(&self.limits);
        let known = self.fragments.replies.get_mut(&lane);
        if let Some(pouring) = known.filter(|pouring| pouring.sequence == sequence) {
            pouring.outgoing.nudge(&mut outbound.way);
            pouring.is_parked = false;
            if transmission > 0 {
                pouring.transmission = transmission;
            }
            return self.pour(now, lane);
        }
        self.stop_reply(lane);
        let Some(session) = self.sessions.get(&lane.session) else { return };
        let gated = session.receives_at != Some(session.address);
        let waits = session.outbound.as_ref().is_some_and(|outbound| !outbound.queue.is_empty());
        let mut pouring = Pouring {
            sequence,
            outgoing: Outgoing::new(cut, protocol, gated),
            timer: self.timers.add(TimerKey::Reply(lane)),
            transmission,
            is_parked: false,
            stopped: None,
        };
        if !waits {
            self.fragments.replies.insert(lane, pouring);
            return self.pour(now, lane);
        }
        // Or who needs much room would never find it where others begin all the time.
        pouring.outgoing.enter_queue();
        self.fragments.replies.insert(lane, pouring);
        let session = self.sessions.get_mut(&lane.session);
        if let Some(outbound) = session.and_then(|session| session.outbound.as_mut()) {
            outbound.queue.push_back(lane);
        }
        self.pour_queued(now, lane.session);
    }

    /// Sends what may leave now of a reply.
    fn pour(&mut self, now: Instant, lane: Lane) {
        let session = self.sessions.get_mut(&lane.session);
        let Some(mut outbound) = session.and_then(|session| session.outbound.take()) else {
            return self.stop_reply(lane);
        };
        let goes_on = self.pour_by(&mut outbound, now, lane);
        if let Some(session) = self.sessions.get_mut(&lane.session) {
            session.outbound = Some(outbound);
        }
        if !goes_on {
            self.stop_reply(lane);
        }
    }

    /// The same; says whether there is still something to be sent.
    fn pour_by(&mut self, outbound: &mut Outbound, now: Instant, lane: Lane) -> bool {
        let Some(pouring) = self.fragments.replies.get_mut(&lane) else { return true };
        let session = self.sessions.get(&lane.session);
        let slot = session.and_then(|session| slot_in(session, &self.durable, lane));
        let slot = slot.filter(|slot| slot.last == pouring.sequence);
        let (Some(session), Some(slot)) = (session, slot) else { return false };
        let State::Done(stored) = &slot.state else { return false };
        let own = self.identity.incarnation;
        let (envelope, to) = (envelope(own, session, lane.space), session.address);
        let (before, length) = (pouring.outgoing.cut(), stored.body.len());
        if before.each_bytes > session.reply_bytes() {
            // Its client has moved, or the path has swallowed what was as long.
            let cut = before.finer(length, session.reply_bytes());
            if cut != before {
                pouring.outgoing.cut_anew(cut, &mut outbound.way);
                self.counters.black_holes += 1;
            }
        }
        let Cut { each_bytes, fragments } = pouring.outgoing.cut();
        loop {
            let next = pouring.outgoing.poll(now, &mut outbound.way, &outbound.trip);
            let (fragment, is_again) = match next {
                Next::Fragment(fragment, is_again) => (fragment, is_again),
                Next::Nothing => break,
                Next::Queue => {
                    outbound.queue.push_back(lane);
                    break;
                }
            };
            let reply = Reply {
                slot: SlotIndex(u32::try_from(lane.number).unwrap_or(u32::MAX)),
                sequence: pouring.sequence,
                attempt: slot.attempt,
                handler_us: stored.handler_us,
                fragment,
                fragments,
                transmission: pouring.transmission,
                status: stored.status,
                session_time_us: session.time_us(now),
                body: fragment_at(&stored.body, fragment, each_bytes),
            };
            let part = stored.body.part(place_of(length, fragment, each_bytes));
            match part.filter(|_| path::is_stream(to)) {
                Some(part) => {
                    let reply = Reply { body: &[], ..reply };
                    self.outbox.send_before(to, &envelope, &Pdu::Reply(reply), part);
                }
                None => self.outbox.send(to, &envelope, &Pdu::Reply(reply)),
            }
            self.counters.fragments_out += 1;
            self.counters.fragments_resent += u64::from(is_again);
        }
        match pouring.outgoing.due(&outbound.way) {
            Some(due) => self.timers.set(pouring.timer, due),
            None => self.timers.clear(pouring.timer),
        }
        true
    }

    /// Whether a large reply is under way to somebody who was heard lately.
    #[must_use]
    pub fn is_pouring(&self) -> bool {
        let is_taken = |pouring: &Pouring| !pouring.is_parked && pouring.outgoing.tries() < 2;
        self.fragments.replies.values().any(is_taken)
    }

    /// A reply's timer: the next burst; or nobody has answered, and after some time-outs it waits to
    /// be asked for.
    pub(super) fn on_reply_timer(&mut self, now: Instant, lane: Lane) {
        let Some(pouring) = self.fragments.replies.get_mut(&lane) else { return };
        let session = self.sessions.get_mut(&lane.session);
        if let Some(outbound) = session.and_then(|session| session.outbound.as_mut()) {
            pouring.outgoing.expire(now, &mut outbound.way, &outbound.trip);
            self.fragments.freed.push(lane.session);
        }
        if pouring.outgoing.is_swallowed()
            && let Some(session) = self.sessions.get_mut(&lane.session)
        {
            session.leave_black_hole(pouring.outgoing.cut());
        }
        if pouring.outgoing.tries() < REPLY_TRIES {
            return self.pour(now, lane);
        }
        pouring.is_parked = true;
        if let Some(outbound) =
            self.sessions.get_mut(&lane.session).and_then(|session| session.outbound.as_mut())
        {
            pouring.outgoing.leave(&mut outbound.way);
        }
        // What may run again is not kept for ever.
        if let Some(stopped) = pouring.stopped {
            let index = SlotIndex(u32::try_from(lane.number).unwrap_or(u32::MAX));
            self.stop_reply(lane);
            self.forget(lane.session, index, stopped);
            self.settle(lane.session, index);
        }
    }

    /// The large reply of a call that may run again: kept while it is sent. `stopped` says whether it
    /// was called off meanwhile.
    pub(super) fn keep_repeatable(&mut self, lane: Lane, stopped: bool) {
        if let Some(pouring) = self.fragments.replies.get_mut(&lane) {
            pouring.stopped = Some(stopped);
        }
    }

    /// A call whose reply is sent was called off.
    pub(super) fn stop_repeatable(&mut self, lane: Lane) {
        let Some(pouring) = self.fragments.replies.get_mut(&lane) else { return };
        pouring.stopped = pouring.stopped.map(|_| true);
    }

    /// An ACK of a slot's reply: whether the client has all of it.
    pub(super) fn is_acknowledged(&mut self, now: Instant, lane: Lane, ack: &Ack) -> bool {
        let Some(slot) = self.slot_of_lane(lane) else { return false };
        let length = match &slot.state {
            State::Done(stored) => stored.body.len(),
            State::Empty
            | State::Queued(_)
            | State::Running(_)
            | State::Refused { .. }
            | State::Sealed
            | State::Acked
            | State::Forgotten
            | State::Closed => return true, // there is nothing to be sent
        };
        let Some(session) = self.sessions.get_mut(&lane.session) else { return true };
        if length <= path::reply_bytes(session.address) {
            return true;
        }
        session.receives_at = Some(session.address);
        let is_all = Has::said(ack).is_all() && ack.fragments > 0;
        let Some(pouring) = self.fragments.replies.get_mut(&lane) else { return is_all };
        if ack.fragments != pouring.outgoing.fragments() {
            self.counters.stale += u64::from(!is_all); // of a coarser cut
            return is_all;
        }
        let outbound = session.outbound_by(&self.limits);
        let received = (ack.cumulative, ack.bitmap);
        let heard = pouring.outgoing.on_ack(now, received, &mut outbound.way, &outbound.trip);
        if let Some(sample) = heard.sample {
            outbound.trip.sample(sample);
        }
        self.fragments.freed.push(lane.session);
        pouring.is_parked &= !heard.progress;
        let is_parked = pouring.is_parked;
        self.counters.acks_ahead += u64::from(heard.of_the_future);
        if is_all || is_parked {
            return is_all;
        }
        if outbound.queue.is_empty() {
            self.pour(now, lane);
        } else if pouring.outgoing.enter_queue() {
            // Others wait for the room that it has made: it waits behind them.
            outbound.queue.push_back(lane);
            if let Some(due) = pouring.outgoing.due(&outbound.way) {
                self.timers.set(pouring.timer, due);
            }
        }
        false
    }
}

impl Session {
    /// Whether its large replies are not probed at present.
    #[cfg(feature = "model")]
    pub(super) fn probes_are_ambiguous(&self) -> bool {
        self.outbound.as_ref().is_some_and(|outbound| outbound.way.is_ambiguous())
    }

    /// What its large replies share: made for the first, and anew where its client has changed from
    /// streams to datagrams or back.
    fn outbound_by(&mut self, limits: &Limits) -> &mut Outbound {
        let is_stream = path::is_stream(self.address);
        if self.outbound.as_ref().is_some_and(|outbound| outbound.way.is_stream() != is_stream) {
            self.outbound = None;
        }
        let address = self.address;
        self.outbound.get_or_insert_with(|| {
            let (way, trip) = (Way::to(address), RoundTrip::new(limits));
            Box::new(Outbound { way, trip, queue: VecDeque::new() })
        })
    }
}

/// The slot of a session, or of its generation, that a lane names.
fn slot_in<'a>(session: &'a Session, durable: &'a Durable, lane: Lane) -> Option<&'a Slot> {
    let index = SlotIndex(u32::try_from(lane.number).ok()?);
    match lane.space {
        Space::Session => session.slots.get(index),
        Space::Durable => durable.generations.get(&session.generation)?.slots.get(&index),
        Space::Maybe => None,
    }
}
