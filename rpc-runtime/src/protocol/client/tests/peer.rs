//! The server of the bench: every answer a client can get, written by hand.

use super::*;
use crate::ids::GenerationId;

/// The server's half.
impl Bench {
    pub(super) fn envelope(&self) -> Envelope {
        let (session, incarnation) = (self.session, self.life);
        let target = self.client.incarnation().tag();
        Envelope { space: Space::Session, target, session, incarnation }
    }

    /// The server says something in its session; what the client says to that.
    pub(super) fn tell(&mut self, pdu: &Pdu<'_>) -> Vec<Said> {
        let envelope = self.envelope();
        self.tell_as(&envelope, pdu)
    }

    pub(super) fn tell_as(&mut self, envelope: &Envelope, pdu: &Pdu<'_>) -> Vec<Said> {
        let mut datagram = Vec::new();
        encode(envelope, pdu, &mut datagram);
        self.client.handle_datagram(self.now, THERE, &datagram);
        self.drain()
    }

    /// Answers the one HELLO that was said; what the client says to that.
    pub(super) fn welcome_hello(&mut self, said: &[Said]) -> Vec<Said> {
        let hello = only_hello(said);
        self.welcome(hello.nonce)
    }

    pub(super) fn welcome(&mut self, nonce: Nonce) -> Vec<Said> {
        let welcome = self.welcome_of(nonce);
        self.tell(&Pdu::Welcome(welcome))
    }

    pub(super) fn welcome_of(&self, nonce: Nonce) -> Welcome {
        Welcome {
            nonce,
            client: ME.id,
            server: SERVER,
            lease_ms: u32::try_from(LEASE.as_millis()).unwrap(),
            slots: self.slots,
            session_time_us: 7_000_000,
            generation: GenerationId::NONE,
            working_after_us: 10_000,
            datagram_bytes: 1232,
            lease_unused_ms: u32::try_from(LEASE_UNUSED.as_millis()).unwrap(),
        }
    }

    /// Answers the one HELLO that was said with a REJECT.
    pub(super) fn reject_hello(
        &mut self,
        said: &[Said],
        reason: RejectReason,
        highest: u64,
    ) -> Vec<Said> {
        let nonce = only_hello(said).nonce;
        let envelope = Envelope { session: SessionId::NONE, ..self.envelope() };
        let highest = Incarnation(highest);
        let (version_min, version_max, pad) = (1, 1, 0);
        let (server, push_back_ms) = (SERVER, 300);
        self.tell_as(
            &envelope,
            &Pdu::Reject(Reject {
                nonce,
                server,
                highest,
                reason,
                version_min,
                version_max,
                pad,
                push_back_ms,
            }),
        )
    }

    /// The server does not know the session.
    pub(super) fn no_session(&mut self) -> Vec<Said> {
        self.tell(&no_session())
    }

    pub(super) fn counters(&self) -> ClientCounters {
        *self.client.counters()
    }
}

/// The HELLO that is all that was said.
pub(super) fn only_hello(said: &[Said]) -> Hello {
    match said {
        [Said::Hello(hello)] => *hello,
        other => panic!("{other:?}"),
    }
}

/// The place of a call in slot 0 of session [`A`].
pub(super) const fn place(sequence: u64) -> CallId {
    let (slot, sequence) = (SlotIndex(0), Sequence(sequence));
    CallId { session: A, space: Space::Session, slot, sequence }
}

pub(super) const fn reply_in(slot: u32, sequence: u64, status: ReplyStatus) -> Pdu<'static> {
    Pdu::Reply(Reply {
        slot: SlotIndex(slot),
        sequence: Sequence(sequence),
        attempt: 1,
        handler_us: 0,
        session_time_us: 7_000_000,
        fragment: 0,
        fragments: 1,
        transmission: 1,
        status,
        body: b"reply",
    })
}

pub(super) const fn reply(sequence: u64) -> Pdu<'static> {
    reply_in(0, sequence, ReplyStatus::Returned)
}

pub(super) fn returned() -> Outcome {
    Outcome::Returned(b"reply".to_vec())
}

pub(super) const fn refuse(sequence: u64, reason: RefuseReason) -> Pdu<'static> {
    let (slot, sequence) = (SlotIndex(0), Sequence(sequence));
    let (push_back_ms, session_time_us) = (40, 7_000_000);
    Pdu::Refuse(Refuse { slot, sequence, reason, push_back_ms, session_time_us, detail: "no" })
}

pub(super) fn refused(reason: RefuseReason) -> Outcome {
    let (push_back, detail) = (Duration::from_millis(40), "no".to_owned());
    Outcome::Refused { reason, push_back, detail }
}

pub(super) const fn sealed(sequence: u64, verdict: SealedVerdict) -> Pdu<'static> {
    let (slot, sequence) = (SlotIndex(0), Sequence(sequence));
    Pdu::Sealed(Sealed { slot, sequence, verdict, pad: [0; 3], stamp: 0 })
}

pub(super) const fn working(sequence: u64, running: u64) -> Pdu<'static> {
    Pdu::Working(Working {
        slot: SlotIndex(0),
        sequence: Sequence(sequence),
        running: Sequence(running),
        quantum_left_us: 1,
        session_time_us: 7_000_000,
        stamp: 0,
    })
}

pub(super) const fn unseen(sequence: u64) -> Pdu<'static> {
    let (slot, sequence, last) = (SlotIndex(0), Sequence(sequence), Sequence(0));
    Pdu::Unseen(Unseen { slot, sequence, last, session_time_us: 7_000_000, stamp: 0 })
}

pub(super) const fn no_session() -> Pdu<'static> {
    Pdu::NoSession(NoSession { server: SERVER, slot: SlotIndex(0), sequence: Sequence(1) })
}

pub(super) const GOAWAY: Pdu<'static> =
    Pdu::Goaway(Goaway { reason: GoawayReason::Draining, pad: [0; 3], drain_ms: 1000 });
pub(super) const BYE: Pdu<'static> = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });

/// An answer, for another call than the first of slot 0.
pub(super) fn placed(mut answer: Pdu<'static>, slot: u32, sequence: u64) -> Pdu<'static> {
    let place = (SlotIndex(slot), Sequence(sequence));
    if let Pdu::Reply(reply) = &mut answer {
        (reply.slot, reply.sequence) = place;
    } else if let Pdu::Refuse(refuse) = &mut answer {
        (refuse.slot, refuse.sequence) = place;
    } else if let Pdu::Sealed(sealed) = &mut answer {
        (sealed.slot, sealed.sequence) = place;
    } else if let Pdu::Working(working) = &mut answer {
        (working.slot, working.sequence) = place;
    } else if let Pdu::Unseen(unseen) = &mut answer {
        (unseen.slot, unseen.sequence) = place;
    } else {
        unreachable!("{answer:?}");
    }
    answer
}

/// Every answer that ends a call, and how.
pub(super) fn terminal_answers() -> Vec<(Pdu<'static>, Outcome)> {
    let failed = |status| Outcome::Failed { status, body: b"reply".to_vec() };
    let statuses = [
        ReplyStatus::Panicked,
        ReplyStatus::Cancelled,
        ReplyStatus::CancelledPartial,
        ReplyStatus::TooLarge,
        ReplyStatus::HandlerFailed,
    ];
    let mut all = vec![(reply(1), returned())];
    all.extend(statuses.map(|status| (reply_in(0, 1, status), failed(status))));
    all.extend(REFUSALS.map(|reason| (refuse(1, reason), refused(reason))));
    let ended = Outcome::InDoubt(DoubtCause::GenerationEnded);
    all.push((refuse(1, RefuseReason::Generation), ended));
    all.push((sealed(1, SealedVerdict::NotExecuted), Outcome::Sealed));
    all.push((sealed(1, SealedVerdict::Closed), Outcome::InDoubt(DoubtCause::Closed)));
    all
}

pub(super) const REFUSALS: [RefuseReason; 9] = [
    RefuseReason::Overload,
    RefuseReason::Draining,
    RefuseReason::Expired,
    RefuseReason::UnknownMethod,
    RefuseReason::ChangedMethod,
    RefuseReason::BadArguments,
    RefuseReason::TooLarge,
    RefuseReason::Unauthorised,
    RefuseReason::IdentityInUse,
];
