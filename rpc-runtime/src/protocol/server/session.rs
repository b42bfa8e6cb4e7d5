//! One session: who it joins, its slots, and how long it lives.

use super::super::timers::TimerId;
use super::super::window::Window;
use super::answers::Clock;
use super::fragments::Outbound;
use super::slot::{Slot, Spot};
use super::slots::Slots;
use crate::address::{Address, Host};
use crate::ids::{ClientId, GenerationId, Incarnation, SessionId, SlotIndex, Space};
use crate::time::{Duration, Instant};
use crate::wire::{Hello, Nonce};

/// Nonces of HELLOs that a session remembers, to answer their copies alike.
const NONCES_MAX: usize = 4;

/// One session of a server.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) client: ClientId,
    pub(super) incarnation: Incarnation,
    pub(super) address: Address,
    /// Where the life that opened it was heard last: its calls' owner is asked for there.
    pub(super) home: Address,
    /// Whose share of the server it is, wherever its client goes.
    pub(super) host: Host,
    /// The life of the client that spoke last: a later one may ask what an earlier one left.
    pub(super) speaker: Incarnation,
    /// Where else the client seems to be, and how many bytes came from there and were not answered.
    pub(super) elsewhere: Option<(Address, usize)>,
    /// Where its client has acknowledged a fragment: more than one may go there.
    pub(super) receives_at: Option<Address>,
    /// The longest datagram that was found to come to its client, and where that was.
    pub(super) carried: Option<Box<(Address, usize)>>,
    /// What its large replies share, once there was one.
    pub(super) outbound: Option<Box<Outbound>>,
    /// Whether its client sent back a cookie from `address`.
    pub(super) proved: bool,
    pub(super) opened: Instant,
    pub(super) last_heard: Instant,
    pub(super) slots_max: u32,
    /// Those that have something to remember.
    pub(super) slots: Slots,
    pub(super) window: Window,
    /// Calls queued or running.
    pub(super) live_calls: usize,
    /// Bytes of its stored replies, and of room reserved for them.
    pub(super) stored_bytes: usize,
    /// Of methods whose replies to it were long lately: how long. Its own, so that nobody's long replies
    /// keep others' calls out.
    pub(super) replies_lately_bytes: Vec<(usize, usize)>,
    /// Whether it ever carried a call.
    pub(super) used: bool,
    /// A later life of the client was seen: nothing begins any more.
    pub(super) fenced: bool,
    /// The client said BYE: gone once nothing runs.
    pub(super) closing: bool,
    pub(super) lease_timer: TimerId,
    /// The durable slots that it asked for.
    pub(super) generation: GenerationId,
    pub(super) nonces: [Nonce; NONCES_MAX],
    pub(super) next_nonce: usize,
}

/// Who makes a call, as its handler is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) client: ClientId,
    pub(super) life: Incarnation,
    pub(super) peer: Address,
    /// Whose share its arguments are in.
    pub(super) host: Host,
}

impl Session {
    pub(super) fn open(
        id: SessionId,
        client: (ClientId, Incarnation),
        address: Address,
        now: Instant,
        slots_max: u32,
        lease_timer: TimerId,
    ) -> Self {
        Self {
            id,
            client: client.0,
            incarnation: client.1,
            address,
            home: address,
            host: address.host(),
            speaker: client.1,
            elsewhere: None,
            receives_at: None,
            carried: None,
            outbound: None,
            proved: false,
            opened: now,
            last_heard: now,
            slots_max,
            slots: Slots::default(),
            window: Window::default(),
            live_calls: 0,
            stored_bytes: 0,
            replies_lately_bytes: Vec::new(),
            used: false,
            fenced: false,
            closing: false,
            lease_timer,
            generation: GenerationId::NONE,
            nonces: [Nonce::default(); NONCES_MAX],
            next_nonce: 0,
        }
    }

    /// Who calls.
    pub(super) const fn caller(&self) -> Caller {
        let Self { client, incarnation: life, address: peer, host, .. } = *self;
        Caller { client, life, peer, host }
    }

    /// A call came: this one is no longer among the `unused`, of which a server keeps few.
    pub(super) fn mark_used(&mut self, unused: &mut usize) {
        *unused -= usize::from(!self.used);
        self.used = true;
    }

    /// The slot, allocated on first use; `None` beyond what was granted.
    pub(super) fn slot(&mut self, index: SlotIndex) -> Option<&mut Slot> {
        (index.0 < self.slots_max).then(|| self.slots.get_or_default(index))
    }

    /// The slot, if it was ever used: what only asks makes no state (protocol tables, M10).
    pub(super) fn used_slot(&self, index: SlotIndex) -> Option<&Slot> {
        self.slots.get(index)
    }

    /// `came` bytes came from an address that the client has not proved: whether `answer` bytes may
    /// go there, so that nobody is made to send more than they were sent.
    pub(super) fn may_answer_elsewhere(
        &mut self,
        from: Address,
        came: usize,
        answer: usize,
    ) -> bool {
        let before = self.elsewhere.filter(|(address, _)| *address == from);
        let credit = came.saturating_add(before.map_or(0, |(_, credit)| credit));
        let may_answer = credit >= answer;
        self.elsewhere = Some((from, if may_answer { 0 } else { credit }));
        may_answer
    }

    /// Where the slot `index` of a space is, as this session sees it.
    pub(super) const fn spot(&self, space: Space, index: SlotIndex) -> Spot {
        match space {
            Space::Session | Space::Maybe => Spot::Session(self.id, index),
            Space::Durable => Spot::Durable(self.generation, index),
        }
    }

    /// A valid PDU came from the client at `from`. A fenced session is not renewed: what its former
    /// life left is told for one lease.
    pub(super) fn hear(&mut self, now: Instant, from: Address, speaker: Incarnation) {
        self.address = from;
        self.speaker = speaker;
        if speaker == self.incarnation {
            self.home = from;
        }
        self.elsewhere = None;
        if !self.fenced {
            self.last_heard = now;
        }
    }

    /// How long the replies of a method were lately, where they took several datagrams.
    pub(super) fn lately_bytes(&self, method: usize) -> usize {
        let known = self.replies_lately_bytes.iter().find(|(of, _)| *of == method);
        known.map_or(0, |(_, bytes)| *bytes)
    }

    /// Remembers that, or forgets it.
    pub(super) fn set_lately_bytes(&mut self, method: usize, bytes: usize) {
        self.replies_lately_bytes.retain(|(of, _)| *of != method);
        if bytes > 0 {
            self.replies_lately_bytes.push((method, bytes));
        }
    }

    pub(super) fn knows(&self, nonce: Nonce) -> bool {
        self.nonces.contains(&nonce)
    }

    pub(super) fn remember(&mut self, nonce: Nonce) {
        self.nonces[self.next_nonce] = nonce;
        self.next_nonce = (self.next_nonce + 1) % NONCES_MAX;
    }

    /// The generation that it shall have after a HELLO: the one that it has. A late HELLO from before
    /// its client knew that one must not move it to another, whose slots know nothing of its calls.
    pub(super) const fn wants(&self, hello: &Hello) -> GenerationId {
        if self.generation.is_some() { self.generation } else { hello.generation }
    }

    /// The time, for answers.
    pub(super) fn clock(&self, now: Instant) -> Clock {
        Clock { now, session_time_us: self.time_us(now) }
    }

    /// The server's own time in this session, in microseconds.
    pub(super) fn time_us(&self, now: Instant) -> u64 {
        now.as_micros() - self.opened.as_micros()
    }

    /// When the session ends if nothing more is heard.
    pub(super) fn ends(&self, lease: Duration, lease_unused: Duration) -> Instant {
        self.last_heard + if self.used { lease } else { lease_unused }
    }
}
