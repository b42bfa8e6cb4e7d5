//! Sessions open, are resumed, and end: the table "Server session".

use super::super::{Limits, cookie};
use super::session::Session;
use super::shares::Share;
use super::{Known, NO_NONCE, Origin, Server, ServerEvent, TimerKey};
use crate::address::Address;
use crate::ids::{ClientId, Incarnation, Sequence, SessionId, SlotIndex, Space};
use crate::protocol::path;
use crate::time::{Duration, Instant};
use crate::wire::{
    Bye, ByeReason, Cookie, Envelope, ForeignHello, HEADER_BYTES, Hello, NoSession,
    PROTOCOL_VERSION, Pdu, Reject, RejectReason, Welcome,
};

/// Clients without a session that are still remembered, so that an old life stays fenced.
const CLIENTS_REMEMBERED_MAX: usize = 65_536;

/// How many HELLOs as large could still be granted what one gets now: from all hosts, and from its
/// own. A host of many clients has to share less than a server of few hosts.
const GRANTS_LEFT_MIN: usize = 16;
const HOST_GRANTS_LEFT_MIN: usize = 256;

impl Server {
    pub(super) fn on_hello(&mut self, now: Instant, origin: Origin, hello: &Hello) {
        let client = hello.client;
        let incarnation = origin.envelope.incarnation;
        let (id, own) = (self.identity.id, self.identity.incarnation);
        if !client.is_some() || !incarnation.is_some() || hello.nonce == NO_NONCE {
            self.counters.foreign += 1; // nobody could be told from anybody else
            return;
        }
        let stranger = hello.server.is_some() && hello.server != id;
        let other_life = hello.server_incarnation.is_some() && hello.server_incarnation != own;
        if stranger || other_life || self.is_for_another(&origin.envelope) {
            return self.reject(origin, hello, RejectReason::StaleBinding, own, Duration::ZERO);
        }
        if !(hello.version_min..=hello.version_max).contains(&PROTOCOL_VERSION) {
            return self.reject(origin, hello, RejectReason::Version, own, Duration::ZERO);
        }
        if self.repeat_welcome(now, origin, hello) {
            return;
        }
        if !self.address_is_proved(now, origin, hello) {
            let cookie = cookie::make(self.key, now, origin.from, client);
            let answer = Pdu::Cookie(Cookie { nonce: hello.nonce, cookie });
            let envelope = self.stranger(&origin.envelope);
            self.outbox.send(origin.from, &envelope, &answer);
            return;
        }
        let highest = self.highest_life(client);
        if incarnation < highest {
            let reason = RejectReason::OldIncarnation;
            return self.reject(origin, hello, reason, highest, Duration::ZERO);
        }
        if incarnation > highest {
            self.fence_below(now, client, incarnation);
        }
        // Before the store is asked, which writes down what it gives.
        if self.resumable(origin, hello).is_none()
            && let Err(reason) = self.room_for(origin, hello)
        {
            return self.reject(origin, hello, reason, own, self.limits.push_back);
        }
        if !self.must_wait_for_store(origin, hello) {
            self.admit(now, origin, hello);
        }
    }

    /// The latest life of a client that was heard of.
    pub(super) fn highest_life(&self, client: ClientId) -> Incarnation {
        self.clients.get(&client).map_or(Incarnation::NONE, |known| known.highest)
    }

    /// A HELLO that nothing speaks against any more.
    pub(super) fn admit(&mut self, now: Instant, origin: Origin, hello: &Hello) {
        if !self.resume(now, origin, hello) {
            self.open(now, origin, hello);
        }
    }

    /// A copy of a HELLO that was answered is answered alike (protocol tables, M15).
    fn repeat_welcome(&mut self, now: Instant, origin: Origin, hello: &Hello) -> bool {
        let Some(known) = self.clients.get(&hello.client) else { return false };
        let same = |session: &&Session| {
            session.incarnation == origin.envelope.incarnation
                && session.address == origin.from
                && session.knows(hello.nonce)
        };
        let mut sessions = known.sessions.iter().filter_map(|id| self.sessions.get(id));
        let Some(session) = sessions.find(same) else { return false };
        if session.fenced || session.closing {
            return true; // the session that this HELLO opened is not to be had any more
        }
        let id = session.id;
        self.welcome(now, id, hello);
        true
    }

    /// Whether the sender is known to receive at its address, or need not prove it.
    fn address_is_proved(&self, now: Instant, origin: Origin, hello: &Hello) -> bool {
        let moved =
            self.sessions.get(&hello.resume).is_some_and(|session| session.address != origin.from);
        let restarted = self.clients.get(&hello.client).is_some_and(|known| {
            known.highest < origin.envelope.incarnation && !known.sessions.is_empty()
        });
        let crowded = self.sessions_unused >= self.limits.unused_sessions_max;
        let durable = hello.durable != 0; // it costs a look into the store
        let asked = self.limits.cookie_always || moved || restarted || crowded || durable;
        !asked || self.has_good_cookie(now, origin, hello)
    }

    fn has_good_cookie(&self, now: Instant, origin: Origin, hello: &Hello) -> bool {
        hello.has_cookie == 1
            && cookie::is_good(self.key, now, origin.from, hello.client, hello.cookie)
    }

    /// A later life of `client` begins: its older sessions begin nothing more (C9), and what runs in
    /// them is treated as an orphan may be.
    fn fence_below(&mut self, now: Instant, client: ClientId, incarnation: Incarnation) {
        // Each session is one client's: beyond that many have none.
        if self.clients.len() >= CLIENTS_REMEMBERED_MAX + self.sessions.len() {
            self.clients.retain(|_, known| !known.sessions.is_empty());
        }
        let known = Known { highest: incarnation, sessions: Vec::new() };
        let known = self.clients.entry(client).or_insert(known);
        known.highest = incarnation;
        let older = known.sessions.clone();
        if !older.is_empty() {
            self.outbox.event(ServerEvent::Fenced { client, below: incarnation });
        }
        for id in older {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.fenced = true;
            }
            self.seal_queued(id);
            self.forget_partials_of(id);
            self.judge_orphans(now, id, incarnation);
        }
    }

    /// The session that a HELLO goes on with, if it may.
    pub(super) fn resumable(&self, origin: Origin, hello: &Hello) -> Option<&Session> {
        let life = origin.envelope.incarnation;
        let own = |session: &&Session| {
            (session.client, session.incarnation) == (hello.client, life) && !session.closing
        };
        self.sessions.get(&hello.resume).filter(own)
    }

    fn resume(&mut self, now: Instant, origin: Origin, hello: &Hello) -> bool {
        let Some(id) = self.resumable(origin, hello).map(|session| session.id) else {
            return false;
        };
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        session.hear(now, origin.from, origin.envelope.incarnation);
        session.remember(hello.nonce);
        self.attach(id, hello);
        self.welcome(now, id, hello);
        true
    }

    /// How many slots a new session may have, or why there can be none.
    fn room_for(&self, origin: Origin, hello: &Hello) -> Result<u32, RejectReason> {
        if self.draining {
            return Err(RejectReason::Draining);
        }
        let of_client = self.clients.get(&hello.client).map_or(0, |known| known.sessions.len());
        let share = self.share_of(origin.from.host());
        let slots = self.slots_to_grant(hello.slots, share);
        let is_full = self.sessions.len() >= self.limits.sessions_max
            || share.sessions >= self.limits.host_sessions_max
            || of_client >= self.limits.client_sessions_max
            || slots == 0;
        if is_full { Err(RejectReason::NoRoom) } else { Ok(slots) }
    }

    fn open(&mut self, now: Instant, origin: Origin, hello: &Hello) {
        let slots = match self.room_for(origin, hello) {
            Ok(slots) => slots,
            Err(reason) => {
                let own = self.identity.incarnation;
                return self.reject(origin, hello, reason, own, self.limits.push_back);
            }
        };
        let id = self.next_session_id();
        let timer = self.timers.add(TimerKey::Lease(id));
        self.timers.set(timer, now + self.limits.lease_unused);
        let client = (hello.client, origin.envelope.incarnation);
        let mut session = Session::open(id, client, origin.from, now, slots, timer);
        session.remember(hello.nonce);
        session.proved = self.has_good_cookie(now, origin, hello);
        self.slots_granted += slots as usize;
        self.change_share(session.host, |share| {
            share.sessions += 1;
            share.slots += slots as usize;
        });
        self.sessions.insert(id, session);
        self.sessions_unused += 1;
        let known = Known { highest: client.1, sessions: Vec::new() };
        self.clients.entry(client.0).or_insert(known).sessions.push(id);
        self.attach(id, hello);
        self.welcome(now, id, hello);
    }

    /// How many slots a client that wants `wanted` gets: a sixteenth of what is left at most, so that
    /// many can still come when few are left, and a smaller part of what is left to its host, which
    /// holds `share`. None if none is left.
    fn slots_to_grant(&self, wanted: u32, share: Share) -> u32 {
        let left = self.limits.slots_granted_max.saturating_sub(self.slots_granted);
        let left_to_host = self.limits.host_slots_max.saturating_sub(share.slots);
        let most = left.div_ceil(GRANTS_LEFT_MIN).min(left_to_host.div_ceil(HOST_GRANTS_LEFT_MIN));
        wanted.clamp(1, self.limits.slots_max).min(u32::try_from(most).unwrap_or(u32::MAX))
    }

    fn welcome(&mut self, now: Instant, id: SessionId, hello: &Hello) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.last_heard = now;
        let Limits { lease, lease_unused, .. } = self.limits;
        let longest = path::probed_bytes_max(session.address, self.datagram_bytes_max);
        let welcome = Welcome {
            nonce: hello.nonce,
            client: session.client,
            server: self.identity.id,
            lease_ms: millis(lease),
            slots: session.slots_max,
            session_time_us: session.time_us(now),
            generation: session.generation,
            working_after_us: u32::try_from(self.limits.working_after.as_micros())
                .unwrap_or(u32::MAX),
            datagram_bytes: u32::try_from(longest).unwrap_or(u32::MAX),
            lease_unused_ms: millis(lease_unused),
        };
        let envelope = Envelope {
            space: Space::Session,
            target: session.incarnation.tag(),
            session: id,
            incarnation: self.identity.incarnation,
        };
        self.outbox.send(session.address, &envelope, &Pdu::Welcome(welcome));
    }

    pub(super) fn reject(
        &mut self,
        origin: Origin,
        hello: &Hello,
        reason: RejectReason,
        highest: Incarnation,
        push_back: Duration,
    ) {
        self.counters.rejected += 1;
        let reject = Reject {
            nonce: hello.nonce,
            server: self.identity.id,
            highest,
            reason,
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            pad: 0,
            push_back_ms: millis(push_back),
        };
        let envelope = self.stranger(&origin.envelope);
        self.outbox.send(origin.from, &envelope, &Pdu::Reject(reject));
    }

    /// A client of another version learns which ones there are, from an answer that it can read.
    pub(super) fn refuse_version(&mut self, from: Address, hello: &ForeignHello) {
        self.counters.rejected += 1;
        let reject = Reject {
            nonce: hello.nonce,
            server: self.identity.id,
            highest: self.identity.incarnation,
            reason: RejectReason::Version,
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            pad: 0,
            push_back_ms: 0,
        };
        let envelope = self.stranger(&hello.envelope);
        self.outbox.send_as(hello.version, from, &envelope, &Pdu::Reject(reject));
    }

    /// The session that a slot PDU belongs to. Answers what belongs to none, or comes from an
    /// address that was not proved, and gives `None` then.
    pub(super) fn session_for(
        &mut self,
        now: Instant,
        origin: Origin,
        call: Option<(SlotIndex, Sequence)>,
    ) -> Option<SessionId> {
        let Origin { from, envelope, bytes } = origin;
        let for_another = self.is_for_another(&envelope);
        let from_known = self.is_address_of(envelope.session, from);
        let Some(session) = self.sessions.get_mut(&envelope.session).filter(|_| !for_another)
        else {
            self.counters.sessionless += 1;
            if let Some(call) = call {
                self.send_no_session(origin, call);
            }
            return None;
        };
        let later_life = session.fenced && envelope.incarnation > session.incarnation;
        let known_life = envelope.incarnation == session.incarnation || later_life;
        if !known_life {
            self.counters.foreign += 1;
            return None;
        }
        if !from_known {
            let answers = call.is_some()
                && session.may_answer_elsewhere(from, bytes, HEADER_BYTES + Cookie::LEN);
            if answers {
                let cookie = cookie::make(self.key, now, from, session.client);
                let envelope = self.stranger(&envelope);
                let answer = Pdu::Cookie(Cookie { nonce: NO_NONCE, cookie });
                self.outbox.send(from, &envelope, &answer);
            }
            return None;
        }
        session.hear(now, from, envelope.incarnation);
        Some(session.id)
    }

    /// A question came in a session that is not there for it.
    pub(super) fn send_no_session(&mut self, origin: Origin, call: (SlotIndex, Sequence)) {
        let (slot, sequence) = call;
        let answer = NoSession { server: self.identity.id, slot, sequence };
        let envelope = self.stranger(&origin.envelope);
        self.outbox.send(origin.from, &envelope, &Pdu::NoSession(answer));
    }

    /// Whether a header names another life than this one, or another server's.
    fn is_for_another(&self, envelope: &Envelope) -> bool {
        ![0, self.identity.incarnation.tag()].contains(&envelope.target)
    }

    /// Whether a session's client receives at an address: the session's own, or, once it is fenced,
    /// that of a session of a later life, which seals what the earlier one left (H12).
    fn is_address_of(&self, id: SessionId, from: Address) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        let of_another = || {
            let known = self.clients.get(&session.client)?;
            let mut others = known.sessions.iter().filter_map(|id| self.sessions.get(id));
            others.find(|other| other.address == from && (other.used || other.proved))
        };
        let own = session.address == from || session.home == from;
        own || (session.fenced && of_another().is_some())
    }

    pub(super) fn on_bye(&mut self, now: Instant, origin: Origin, bye: &Bye) {
        let Some(id) = self.session_for(now, origin, None) else { return };
        if bye.reason == ByeReason::Forget {
            self.forget_for_good(id);
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.closing = true;
        self.close_if_done(id);
    }

    pub(super) fn on_lease(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let ends = session.ends(self.limits.lease, self.limits.lease_unused);
        let live = session.live_calls + self.durable_calls(id, session.generation);
        if live > 0 {
            self.timers.set(session.lease_timer, now + self.limits.lease);
        } else if ends > now {
            self.timers.set(session.lease_timer, ends);
        } else {
            self.close(id);
        }
    }

    /// Drops a session whose client has said BYE once nothing runs in it.
    pub(super) fn close_if_done(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.closing) else {
            return;
        };
        if session.live_calls + self.durable_calls(id, session.generation) == 0 {
            self.close(id);
        }
    }

    /// Forgets a session as a whole; its id is never used again.
    fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        assert!(session.live_calls == 0, "a session outlives its calls");
        self.forget_partials_of(id);
        self.stop_replies_of(id);
        self.timers.remove(session.lease_timer);
        self.slots_granted -= session.slots_max as usize;
        self.give_back(&session);
        for (_, slot) in session.slots.iter() {
            if let Some(timer) = slot.timer {
                self.timers.remove(timer);
            }
        }
        self.sessions_unused -= usize::from(!session.used);
        if let Some(known) = self.clients.get_mut(&session.client) {
            known.sessions.retain(|&other| other != id);
        }
        self.detach(id, session.generation);
        self.counters.sessions_closed += 1;
        self.outbox.event(ServerEvent::SessionClosed(id));
    }
}

/// Whole milliseconds, as durations travel.
pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
