//! One session: who it joins, its slots, and how long it lives.

use super::super::timers::TimerId;
use super::super::window::Window;
use super::slot::Slot;
use crate::address::Address;
use crate::ids::{ClientId, Incarnation, SessionId, SlotIndex};
use crate::time::{Duration, Instant};
use crate::wire::Nonce;

/// Nonces of HELLOs that a session remembers, to answer their copies alike.
const NONCES_MAX: usize = 4;

/// One session of a server.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) client: ClientId,
    pub(super) incarnation: Incarnation,
    pub(super) address: Address,
    pub(super) opened: Instant,
    pub(super) last_heard: Instant,
    pub(super) slots_max: u32,
    pub(super) slots: Vec<Slot>,
    pub(super) window: Window,
    /// Calls queued or running.
    pub(super) live_calls: usize,
    /// Whether it ever carried a call.
    pub(super) used: bool,
    /// A later life of the client was seen: nothing begins any more.
    pub(super) fenced: bool,
    /// The client said BYE: gone once nothing runs.
    pub(super) closing: bool,
    pub(super) lease_timer: TimerId,
    nonces: [Nonce; NONCES_MAX],
    next_nonce: usize,
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
            opened: now,
            last_heard: now,
            slots_max,
            slots: Vec::new(),
            window: Window::default(),
            live_calls: 0,
            used: false,
            fenced: false,
            closing: false,
            lease_timer,
            nonces: [Nonce::default(); NONCES_MAX],
            next_nonce: 0,
        }
    }

    /// The slot, allocated on first use; `None` beyond what was granted.
    pub(super) fn slot(&mut self, index: SlotIndex) -> Option<&mut Slot> {
        let place = usize::try_from(index.0).ok()?;
        if index.0 >= self.slots_max {
            return None;
        }
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, Slot::default);
        }
        self.slots.get_mut(place)
    }

    pub(super) fn knows(&self, nonce: Nonce) -> bool {
        self.nonces.contains(&nonce)
    }

    pub(super) fn remember(&mut self, nonce: Nonce) {
        self.nonces[self.next_nonce] = nonce;
        self.next_nonce = (self.next_nonce + 1) % NONCES_MAX;
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
