//! A client made by hand: it says what a test tells it to, true or not.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on what it does not expect")]

use std::sync::Arc;

use crate::address::Address;
use crate::driver::{Link, Received, Sent, World};
use crate::ids::{
    CallId, ClientId, GenerationId, Incarnation, MethodFingerprint, Sequence, ServerId, SessionId,
    SlotIndex, Space,
};
use crate::interface::Interface;
use crate::reactor;
use crate::semantics::Semantics;
use crate::server::Running;
use crate::time::{Duration, Instant};
use crate::wire::{
    self, Cancel, Envelope, Hello, Nonce, PROTOCOL_VERSION, Pdu, RefuseReason, ReplyStatus,
    Request, SealedVerdict,
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a call ended, as the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reply { status: ReplyStatus, body: Vec<u8> },
    Refused(RefuseReason, String),
    Sealed(SealedVerdict),
    NoSession,
}

impl Answer {
    pub(super) fn refusal(&self) -> Option<RefuseReason> {
        if let Self::Refused(reason, _) = self { Some(*reason) } else { None }
    }

    pub(super) fn detail(&self) -> &str {
        if let Self::Refused(_, detail) = self { detail } else { "" }
    }
}

/// One hand-made client with its session.
pub(super) struct Peer {
    world: Arc<dyn World>,
    link: Arc<dyn Link>,
    to: Address,
    client: ClientId,
    incarnation: Incarnation,
    session: SessionId,
    server: Incarnation,
    /// What came and was not asked for yet.
    heard: Vec<(SlotIndex, Sequence, Answer)>,
    goaways: usize,
    reports: usize,
}

impl Peer {
    pub(super) fn open(running: &Running) -> Self {
        Self::open_at(&running.addr().to_string())
    }

    pub(super) fn open_at(place: &str) -> Self {
        Self::open_in(reactor::world(), place)
    }

    pub(super) fn open_in(world: Arc<dyn World>, place: &str) -> Self {
        Self::open_wide(world, place, 16)
    }

    /// Opens a session of so many slots.
    pub(super) fn open_wide(world: Arc<dyn World>, place: &str, slots: u32) -> Self {
        let (link, to) = world.dial(place).expect("reachable");
        let mut peer = Self {
            link,
            to,
            client: ClientId(world.rng().next_nonzero()),
            world,
            incarnation: Incarnation::new(1, 1),
            session: SessionId::NONE,
            server: Incarnation::NONE,
            heard: Vec::new(),
            goaways: 0,
            reports: 0,
        };
        peer.greet(slots);
        peer
    }

    /// Opens a session, or goes on with the one that there is, proving the address if asked to.
    fn greet(&mut self, slots: u32) {
        let mut hello = Hello {
            client: self.client,
            nonce: Nonce(77),
            server: ServerId::NONE,
            server_incarnation: Incarnation::NONE,
            resume: self.session,
            slots,
            datagram_bytes: 1232,
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            has_cookie: 0,
            durable: 0,
            cookie: [0; wire::COOKIE_BYTES],
            generation: GenerationId::NONE,
        };
        self.send(Space::Session, &Pdu::Hello(hello));
        let mut is_welcome = false;
        while !is_welcome {
            self.hear(&mut |peer, envelope, pdu| match pdu {
                Pdu::Cookie(cookie) => {
                    hello.has_cookie = 1;
                    hello.cookie = cookie.cookie;
                    peer.send(Space::Session, &Pdu::Hello(hello));
                }
                Pdu::Welcome(_) => {
                    peer.session = envelope.session;
                    peer.server = envelope.incarnation;
                    is_welcome = true;
                }
                other => panic!("{other:?} in answer to HELLO"),
            });
        }
    }

    /// Goes on by another socket, or stream.
    pub(super) fn dial_again(&mut self, place: &str) {
        (self.link, self.to) = self.world.dial(place).expect("reachable");
        self.greet(16);
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    pub(super) fn call(&self, slot: u32, sequence: u64) -> CallId {
        let (slot, sequence) = (SlotIndex(slot), Sequence(sequence));
        CallId { session: self.session, space: Space::Session, slot, sequence }
    }

    /// Goes on under a session that the server never opened.
    pub(super) fn forge_session(&mut self) {
        self.session = SessionId(self.session.0 ^ 0x5555);
    }

    pub(super) fn send_raw(&self, datagram: &[u8]) {
        assert_eq!(self.link.send(self.to, datagram), Sent::Yes);
    }

    fn send(&self, space: Space, pdu: &Pdu<'_>) {
        self.send_raw(&self.encoded(space, pdu));
    }

    fn encoded(&self, space: Space, pdu: &Pdu<'_>) -> Vec<u8> {
        let envelope = Envelope {
            space,
            target: self.server.tag(),
            session: self.session,
            incarnation: self.incarnation,
        };
        let mut datagram = Vec::new();
        wire::encode(&envelope, pdu, &mut datagram);
        datagram
    }

    pub(super) fn request(
        &mut self,
        slot: u32,
        sequence: u64,
        interface: &'static Interface,
        method: usize,
        arguments: &[u8],
    ) {
        self.send_raw(&self.encoded_request(slot, sequence, interface, method, arguments));
    }

    pub(super) fn encoded_request(
        &self,
        slot: u32,
        sequence: u64,
        interface: &'static Interface,
        method: usize,
        arguments: &[u8],
    ) -> Vec<u8> {
        let fingerprint = interface.method_fingerprint(method).0;
        let semantics = interface.methods()[method].semantics();
        let name = interface.name_hash(method);
        self.encode_request(slot, sequence, fingerprint, name, semantics, arguments)
    }

    pub(super) fn request_of(
        &mut self,
        slot: u32,
        sequence: u64,
        fingerprint: u64,
        name: u32,
        semantics: Semantics,
        arguments: &[u8],
    ) {
        let datagram = self.encode_request(slot, sequence, fingerprint, name, semantics, arguments);
        self.send_raw(&datagram);
    }

    fn encode_request(
        &self,
        slot: u32,
        sequence: u64,
        fingerprint: u64,
        name: u32,
        semantics: Semantics,
        arguments: &[u8],
    ) -> Vec<u8> {
        let request = Request {
            slot: SlotIndex(slot),
            sequence: Sequence(sequence),
            method: MethodFingerprint(fingerprint),
            name,
            digest: fingerprint ^ 1,
            remaining_us: 10_000_000,
            not_after_us: u64::MAX,
            fragment: 0,
            fragments: 1,
            transmission: 1,
            depth: 2,
            semantics,
            extensions: &[],
            arguments,
        };
        let space = if semantics == Semantics::Maybe { Space::Maybe } else { Space::Session };
        self.encoded(space, &Pdu::Request(request))
    }

    pub(super) fn cancel(&mut self, slot: u32, sequence: u64) {
        let cancel = Cancel { slot: SlotIndex(slot), sequence: Sequence(sequence), stamp: 5 };
        self.send(Space::Session, &Pdu::Cancel(cancel));
    }

    /// Waits for the end of a call.
    pub(super) fn answer(&mut self, slot: u32, sequence: u64) -> Answer {
        let (slot, sequence) = (SlotIndex(slot), Sequence(sequence));
        loop {
            let place = self.heard.iter().position(|(s, q, _)| (*s, *q) == (slot, sequence));
            if let Some(place) = place {
                return self.heard.remove(place).2;
            }
            self.hear(&mut |peer, _, pdu| peer.on_answer(pdu));
        }
    }

    /// Waits until the server says that it drains.
    pub(super) fn await_goaway(&mut self) {
        while self.goaways == 0 {
            self.hear(&mut |peer, _, pdu| peer.on_answer(pdu));
        }
    }

    /// Waits until the server says, unasked, that a call is under way.
    pub(super) fn await_report(&mut self) {
        while self.reports == 0 {
            self.hear(&mut |peer, _, pdu| peer.on_answer(pdu));
        }
    }

    fn on_answer(&mut self, pdu: Pdu<'_>) {
        let heard = match pdu {
            Pdu::Reply(reply) => {
                let body = reply.body.to_vec();
                (reply.slot, reply.sequence, Answer::Reply { status: reply.status, body })
            }
            Pdu::Refuse(refuse) => {
                let answer = Answer::Refused(refuse.reason, refuse.detail.to_owned());
                (refuse.slot, refuse.sequence, answer)
            }
            Pdu::Sealed(sealed) => (sealed.slot, sealed.sequence, Answer::Sealed(sealed.verdict)),
            Pdu::NoSession(none) => (none.slot, none.sequence, Answer::NoSession),
            Pdu::Goaway(_) => return self.goaways += 1,
            Pdu::Working(_) => return self.reports += 1,
            Pdu::Ack(_) | Pdu::Welcome(_) => return,
            other => panic!("{other:?} from the server"),
        };
        self.heard.push(heard);
    }

    /// Hands over the PDUs of the next datagram.
    fn hear(&mut self, on_pdu: &mut dyn FnMut(&mut Self, Envelope, Pdu<'_>)) {
        let mut buffer = vec![0; self.link.datagram_bytes_max()];
        let until: Instant = self.world.now() + PATIENCE;
        let len = loop {
            match self.link.receive(&mut buffer, Some(until)) {
                Received::Datagram { len, from } if from == self.to => break len,
                Received::Datagram { .. } => {}
                Received::Nothing if self.world.now() < until => {}
                Received::Nothing | Received::Broken | Received::Closed => {
                    panic!("the server does not answer")
                }
            }
        };
        let mut rest = &buffer[..len];
        while !rest.is_empty() {
            let (envelope, pdu, after) = wire::decode(rest).expect("servers speak well");
            on_pdu(self, envelope, pdu);
            rest = after;
        }
    }
}
