//! Sessions open, are resumed, and are lost: the table "Client session".

use super::call::Stage;
use super::{CallKey, Client};
use crate::ids::{GenerationId, Incarnation, ServerId, SessionId, Space};
use crate::protocol::{DoubtCause, NotSentCause, Outcome};
use crate::semantics::Semantics;
use crate::time::{Duration, Instant};
use crate::wire::{
    self, Bye, ByeReason, COOKIE_BYTES, Cookie, Envelope, Hello, Nonce, PROTOCOL_VERSION, Pdu,
    RejectReason, Welcome,
};

/// Where the connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    /// No session, none wanted.
    None,
    /// HELLO was sent; `resume` is the session that may go on.
    Opening(Opening),
    /// A session is open.
    Live(Session),
}

/// A HELLO under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) nonce: Nonce,
    pub(super) cookie: Option<[u8; COOKIE_BYTES]>,
    pub(super) resume: Option<Session>,
    tries: u32,
    sent_at: Instant,
}

/// An open session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) server: ServerId,
    pub(super) incarnation: Incarnation,
    lease: Duration,
    lease_unused: Duration,
    /// Whether the server has told that it carried a call.
    pub(super) is_used: bool,
    pub(super) slots_max: usize,
    /// Its durable slots, if it was asked for them and has a store.
    pub(super) generation: GenerationId,
    /// A moment by this clock, and the server's session time that it was at least.
    base: (Instant, u64),
}

/// Why the server opened no session, last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reject {
    pub(super) reason: RejectReason,
    pub(super) server: ServerId,
    pub(super) highest: Incarnation,
    versions: (u8, u8),
    pub(super) push_back: Duration,
}

impl Reject {
    const fn outcome(self) -> Outcome {
        let Self { reason, server, highest, versions, push_back } = self;
        Outcome::Rejected { reason, server, incarnation: highest, versions, push_back }
    }
}

/// Sessions given up that are remembered.
const GIVEN_UP_MAX: usize = 16;

impl Session {
    /// The server's session time at `when`, at the least: what the clocks' rates may differ by is
    /// taken off (protocol tables, C6).
    pub(super) fn server_time_us(&self, when: Instant) -> u64 {
        let (then, time_us) = self.base;
        let passed = u64::try_from(when.since(then).as_micros()).unwrap_or(u64::MAX);
        let drift = passed / u64::from(1_000_000 / crate::protocol::limits::CLOCK_RATE_PPM) + 1;
        time_us.saturating_add(passed).saturating_sub(drift)
    }

    /// How long the server keeps it after what it heard last.
    pub(super) fn lease(&self) -> Duration {
        if self.is_used { self.lease } else { self.lease.min(self.lease_unused) }
    }

    /// Takes a newer reading of the server's clock if it says more.
    pub(super) fn renew_base(&mut self, now: Instant, time_us: u64) {
        if time_us > self.server_time_us(now) {
            self.base = (now, time_us);
        }
    }
}

/// A HELLO goes out again after at most this long: a call waits a few seconds for a session, and one
/// or two unanswered HELLOs are no sign that nobody is there.
const HELLO_CEILING: Duration = Duration::from_millis(500);

impl Client {
    /// The session that answers may come from: live, or being resumed.
    pub(super) const fn session(&self) -> Option<&Session> {
        match &self.link {
            Link::None => None,
            Link::Opening(opening) => opening.resume.as_ref(),
            Link::Live(session) => Some(session),
        }
    }

    /// Opens a session, or resumes `resume`.
    pub(super) fn open(&mut self, now: Instant, resume: Option<Session>) {
        self.hello(now, resume, None);
    }

    /// Whether a session may be resumed that seems to need it: not twice within a time-out, so that a
    /// server which takes it back as soon as it has granted it makes no storm. Calls ask again.
    pub(super) fn may_resume(&self, now: Instant) -> bool {
        self.resumed.is_none_or(|when| now.since(when) >= self.trip.timeout())
    }

    /// How long a server is left alone that asks for it.
    pub(super) fn push_back(&self, push_back_ms: u32) -> Duration {
        Duration::from_millis(u64::from(push_back_ms)).min(self.limits.push_back_max)
    }

    fn hello(&mut self, now: Instant, resume: Option<Session>, cookie: Option<[u8; COOKIE_BYTES]>) {
        let nonce = Nonce(self.rng.next_nonzero());
        self.link = Link::Opening(Opening { nonce, cookie, resume, tries: 0, sent_at: now });
        self.send_hello(now);
    }

    fn send_hello(&mut self, now: Instant) {
        let longest = self.datagram_bytes_max();
        let Link::Opening(opening) = &mut self.link else { return };
        opening.sent_at = now;
        let tries = opening.tries;
        opening.tries += 1;
        let resume = opening.resume.map_or(SessionId::NONE, |session| session.id);
        let hello = Hello {
            client: self.identity.id,
            nonce: opening.nonce,
            server: self.target.server,
            server_incarnation: self.target.incarnation,
            resume,
            slots: self.limits.slots_max,
            datagram_bytes: u32::try_from(longest).unwrap_or(u32::MAX),
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            has_cookie: u8::from(opening.cookie.is_some()),
            durable: u8::from(self.durable.is_wanted),
            cookie: opening.cookie.unwrap_or_default(),
            generation: self.durable.generation,
        };
        let envelope = Envelope {
            space: Space::Session,
            target: self.target.incarnation.tag(),
            session: resume,
            incarnation: self.identity.incarnation,
        };
        self.outbox.send(self.target.address, &envelope, &Pdu::Hello(hello));
        self.hellos_sent += 1;
        let wait = self.trip.wait_within(HELLO_CEILING, tries, &mut *self.rng);
        self.timers.set(self.hello_timer, now + wait);
    }

    pub(super) fn on_hello_timer(&mut self, now: Instant) {
        match self.link {
            Link::Opening(_) if !self.calls.is_empty() => self.send_hello(now),
            // Nobody waits for it any more; the next call will ask again.
            Link::Opening(opening) => {
                self.link = opening.resume.map_or(Link::None, Link::Live);
                self.last_heard = None;
                self.rejected = None;
                self.fall_quiet(now);
            }
            Link::None if !self.calls.is_empty() => self.open(now, None),
            Link::None => self.rejected = None,
            Link::Live(_) => {}
        }
    }

    pub(super) fn on_cookie(&mut self, now: Instant, envelope: &Envelope, cookie: &Cookie) {
        match &mut self.link {
            // A restarted server makes other cookies: the newest counts (campaign seed 2160).
            Link::Opening(opening)
                if opening.nonce == cookie.nonce && opening.cookie != Some(cookie.cookie) =>
            {
                opening.cookie = Some(cookie.cookie);
                opening.tries = 0;
                self.send_hello(now);
            }
            // The server saw another address of ours than before: prove the new one (1b.5). The way
            // may be another, too.
            &mut Link::Live(session) if cookie.nonce.0 == 0 && envelope.session == session.id => {
                self.forget_size();
                self.hello(now, Some(session), Some(cookie.cookie));
            }
            Link::None | Link::Opening(_) | Link::Live(_) => self.counters.stale += 1,
        }
    }

    fn lease(&self, told_ms: u32) -> Duration {
        Duration::from_millis(u64::from(told_ms)).max(self.limits.lease_min)
    }

    pub(super) fn on_welcome(&mut self, now: Instant, envelope: &Envelope, welcome: &Welcome) {
        let Link::Opening(opening) = self.link else {
            self.counters.stale += 1;
            return;
        };
        let (server, incarnation) = (welcome.server, envelope.incarnation);
        let mine = opening.nonce == welcome.nonce
            && welcome.client == self.identity.id
            && envelope.session.is_some()
            && !self.given_up.contains(&envelope.session);
        let meant = (!self.target.server.is_some() || self.target.server == server)
            && (!self.target.incarnation.is_some() || self.target.incarnation == incarnation);
        // A life before one that was seen: a restored backup (M3). Nothing is sent to it.
        let outlived = self.known.0 == server
            && incarnation < self.known.1
            && older_count(incarnation, self.known.1);
        if !mine || !meant {
            self.counters.stale += 1;
            return;
        }
        if outlived {
            let (nonce, highest) = (welcome.nonce, self.known.1);
            let (reason, version_min, version_max) = (RejectReason::StaleBinding, 0, 0);
            let (pad, push_back_ms) = (0, 0);
            return self.on_reject(
                now,
                &wire::Reject {
                    nonce,
                    server,
                    highest,
                    reason,
                    version_min,
                    version_max,
                    pad,
                    push_back_ms,
                },
            );
        }
        if opening.tries == 1 {
            self.trip.sample(now.since(opening.sent_at));
        }
        self.timers.clear(self.hello_timer);
        self.last_heard = Some(now);
        self.rejected = None;
        self.found = server;
        self.draining = false;
        let session = Session {
            id: envelope.session,
            server,
            incarnation,
            lease: self.lease(welcome.lease_ms),
            lease_unused: self.lease(welcome.lease_unused_ms),
            is_used: opening.resume.is_some_and(|it| it.id == envelope.session && it.is_used),
            slots_max: usize::try_from(welcome.slots.min(self.limits.slots_max)).unwrap_or(1),
            generation: welcome.generation,
            base: (now, welcome.session_time_us),
        };
        match opening.resume {
            Some(resumed) if resumed.id == session.id => {
                self.link = Link::Live(session);
                self.adopt_generation(now, &session, false);
                self.resumed = Some(now);
                self.resend_all(now);
            }
            resumed => {
                if let Some(lost) = resumed {
                    let restarted = lost.incarnation != incarnation || lost.server != server;
                    self.lose_session(now, lost, doubt(restarted));
                }
                self.link = Link::Live(session);
                self.counters.sessions_opened += 1;
                self.adopt_generation(now, &session, true);
                self.ask_former(now, &session);
            }
        }
        self.known = (server, incarnation);
        self.hear_datagram_bytes(welcome.datagram_bytes);
        if self.calls.is_empty() {
            self.fall_quiet(now);
        }
    }

    pub(super) fn on_reject(&mut self, now: Instant, reject: &wire::Reject) {
        let Link::Opening(opening) = self.link else {
            self.counters.stale += 1;
            return;
        };
        if opening.nonce != reject.nonce {
            self.counters.stale += 1;
            return;
        }
        let push_back = self.push_back(reject.push_back_ms);
        let wire::Reject { reason, server, highest, version_min, version_max, .. } = *reject;
        let versions = (version_min, version_max);
        self.rejected = Some(Reject { reason, server, highest, versions, push_back });
        self.timers.clear(self.hello_timer);
        if let Some(lost) = opening.resume {
            let restarted = reason == RejectReason::StaleBinding && highest != lost.incarnation;
            self.lose_session(now, lost, doubt(restarted));
        }
        self.link = Link::None;
        if reason == RejectReason::StaleBinding {
            self.found = server;
            self.outlive_former(now, server, highest);
        }
        match reason {
            RejectReason::NoRoom => {
                let wait = push_back.max(self.trip.timeout());
                self.timers.set(self.hello_timer, now + wait);
            }
            RejectReason::OldIncarnation if !self.jumped => {
                self.jumped = true;
                let count = u32::try_from(highest.0 >> 32).unwrap_or(u32::MAX);
                let salt = u32::try_from(self.rng.next_u64() >> 32).unwrap_or_default();
                self.identity.incarnation = Incarnation::new(count.saturating_add(1), salt);
                self.open(now, None);
            }
            RejectReason::StaleBinding if self.follow_restart(server, highest) => {
                self.open(now, None);
            }
            RejectReason::OldIncarnation
            | RejectReason::StaleBinding
            | RejectReason::Version
            | RejectReason::Draining => {
                self.reject_waiting(now);
                self.ask_again_later(now);
            }
        }
    }

    /// NOSESSION proves nothing before the server has said so to a HELLO (M14).
    pub(super) fn on_no_session(&mut self, now: Instant, envelope: &Envelope) {
        let Link::Live(session) = self.link else {
            self.counters.stale += 1;
            return;
        };
        if envelope.session == session.id && self.may_resume(now) {
            self.open(now, Some(session));
        } else {
            self.counters.stale += 1;
        }
    }

    /// The server is about to leave: what has not left stays here, what has is waited for.
    pub(super) fn on_goaway(&mut self, now: Instant) {
        self.draining = true;
        for key in self.waiting_keys() {
            let Some(call) = self.call(key) else { continue };
            let outcome = call.unsent(NotSentCause::Draining);
            self.end(now, key, outcome);
        }
        self.leave_if_idle();
    }

    pub(super) fn on_bye(&mut self, now: Instant) {
        if let Some(&session) = self.session() {
            self.link = Link::None;
            self.timers.clear(self.hello_timer);
            self.lose_session(now, session, DoubtCause::SessionLost);
            self.ask_again_later(now);
        }
    }

    /// After GOAWAY and the last call, the session is closed, so that the next call looks afresh.
    fn leave_if_idle(&mut self) {
        if self.draining && self.calls.is_empty() && !self.is_calling_off() {
            self.say_bye();
            self.draining = false;
        }
    }

    pub(super) fn say_bye(&mut self) {
        if let Some(&session) = self.session() {
            // With a journal, the next life goes on with the generation.
            let forget = self.closed && !self.keeps_journal && self.is_durable_settled();
            let reason = if forget { ByeReason::Forget } else { ByeReason::Done };
            let bye = Pdu::Bye(Bye { reason, pad: [0; 3] });
            let envelope = self.envelope(&session, Space::Session);
            self.outbox.send(self.target.address, &envelope, &bye);
            self.forget_session(session.id);
        }
        self.link = Link::None;
        self.timers.clear(self.hello_timer);
        self.timers.clear(self.ack_timer);
    }

    pub(super) fn cancel_for_close(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else { return };
        let outcome = match call.stage {
            Stage::Waiting => call.unsent(NotSentCause::ConnectionClosed),
            Stage::Recording(_) | Stage::Busy(_) | Stage::Resolving | Stage::Closing(_) => {
                Outcome::InDoubt(DoubtCause::Cancelled)
            }
        };
        self.end(now, key, outcome);
    }

    /// The session is gone: what was handed over in it is in doubt, but for `at_least_once`, which
    /// is sent again in the next (C1, C7). Its id is never adopted again (C8).
    fn lose_session(&mut self, now: Instant, lost: Session, cause: DoubtCause) {
        self.counters.sessions_lost += 1;
        self.forget_session(lost.id);
        for key in self.keys() {
            let Some(call) = self.calls.get_mut(key.index) else { continue };
            match (call.stage, call.spec.semantics) {
                (Stage::Waiting, _) => {}
                (Stage::Recording(_) | Stage::Closing(_), _) if call.id.space == Space::Durable => {
                }
                (Stage::Recording(_), _) => self.withdraw(key),
                (Stage::Closing(_), _) => call.stage = Stage::Closing(None),
                (Stage::Resolving, _) if call.former.is_some() => self.keep_durable(key),
                (Stage::Busy(_) | Stage::Resolving, _) if call.id.space == Space::Durable => {
                    self.keep_durable(key);
                }
                // Written down while the session was being resumed, and never handed over.
                (Stage::Busy(_), _) if call.transmissions == 0 => self.withdraw(key),
                (Stage::Busy(_), Semantics::AtLeastOnce) => {
                    self.record_doubt(key, cause);
                    self.stop_outgoing(key.index);
                    let call = &mut self.calls[key.index];
                    call.stage = Stage::Waiting;
                    call.in_doubt = true;
                    call.probing = false;
                    call.tries = 0;
                    if let Some(timer) = call.timer {
                        self.timers.set(timer, call.spec.deadline);
                    }
                    self.waiting.push_front(key, &self.calls[key.index].spec);
                }
                (
                    Stage::Busy(_),
                    Semantics::Maybe | Semantics::AtMostOnce | Semantics::ExactlyOnce,
                ) => self.conclude(now, key, None, Outcome::InDoubt(cause)),
                (Stage::Resolving, _) => {
                    self.conclude(now, key, None, Outcome::InDoubt(DoubtCause::SessionLost));
                }
            }
        }
    }

    fn forget_session(&mut self, id: SessionId) {
        if self.given_up.len() >= GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
        self.given_up.push_back(id);
        self.counters.messages_dropped += self.partials.forget_session(id);
        self.stop_all_calling_off(Space::Session);
        let unused = self.slots.clear();
        for body in unused {
            self.pool.give(body);
        }
        self.maybe_sequence = 0;
        self.draining = false; // that was said of this session only
        self.forget_size();
    }

    /// Ends what waits for a session that the server will not open.
    fn reject_waiting(&mut self, now: Instant) {
        let Some(reject) = self.rejected.take() else { return };
        for key in self.waiting_keys() {
            let Some(call) = self.call(key) else { continue };
            let outcome = call.joined(reject.outcome());
            self.end(now, key, outcome);
        }
    }

    /// How a waiting call ends at its deadline.
    pub(super) fn overdue(&self, key: CallKey) -> Outcome {
        let Some(call) = self.call(key) else { return Outcome::NotSent(NotSentCause::Unreachable) };
        match (&self.link, self.rejected) {
            (Link::Live(_), _) => call.unsent(NotSentCause::NoFreeSlot),
            (Link::None | Link::Opening(_), Some(reject)) => call.joined(reject.outcome()),
            (Link::None | Link::Opening(_), None) => call.unsent(NotSentCause::Unreachable),
        }
    }

    fn waiting_keys(&self) -> Vec<CallKey> {
        self.waiting.iter().collect()
    }

    pub(super) fn envelope(&self, session: &Session, space: Space) -> Envelope {
        Envelope {
            space,
            target: session.incarnation.tag(),
            session: session.id,
            incarnation: self.identity.incarnation,
        }
    }

    /// Nothing is under way any more: replies are acknowledged a little later, once, and then
    /// nothing is sent (invariant 7).
    pub(super) fn fall_quiet(&mut self, now: Instant) {
        self.leave_if_idle();
        self.counters.messages_dropped += self.partials.clear();
        self.stop_probing();
        if matches!(self.link, Link::Live(_)) && self.has_unacknowledged() {
            self.timers.set(self.ack_timer, now + self.limits.ack_delay);
        }
    }
}

/// Why calls of a lost session are in doubt.
const fn doubt(restarted: bool) -> DoubtCause {
    if restarted { DoubtCause::ServerRestarted } else { DoubtCause::SessionLost }
}

/// Whether both incarnations are counted, and the first is the earlier.
const fn older_count(earlier: Incarnation, later: Incarnation) -> bool {
    earlier.0 >> 32 != 0 && (earlier.0 >> 32) < (later.0 >> 32)
}
