//! How long a datagram may be: the client asks, and tells what it found (`client/size.rs`).
//!
//! An answer is exactly as long as its question, and goes where the session's client is known to be, so
//! that nobody is made to send more than was sent. What a client says of the path counts only with the
//! token of an answer of that length, which it must have received. Keeps no state of a question.

use super::session::Session;
use super::{Origin, Server, envelope};
use crate::address::Address;
use crate::hash::Hasher;
use crate::ids::{SessionId, Space};
use crate::protocol::fragment::Cut;
use crate::protocol::{cookie, path};
use crate::time::Instant;
use crate::wire::{Pdu, Probe, Probed};

impl Server {
    /// Its link carries datagrams of so many bytes, in one piece or not at all. Until it is told so, none
    /// is longer than every path carries.
    pub fn link_carries(&mut self, bytes: usize) {
        self.datagram_bytes_max = bytes.min(self.limits.datagram_bytes_max);
    }

    pub(super) fn on_probe(&mut self, now: Instant, origin: Origin, probe: &Probe) {
        let Some(id) = self.session_for(now, origin, None) else { return };
        let most = path::probed_bytes_max(origin.from, self.datagram_bytes_max);
        let token = self.size_token(id, origin.from, probe.carried);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let may_be_asked = !path::is_stream(origin.from) && !session.fenced && !session.closing;
        if !may_be_asked || bytes_of(probe.bytes) > most {
            self.counters.foreign += 1;
            return;
        }
        let is_longer =
            (path::datagram_bytes(origin.from) + 1..=most).contains(&bytes_of(probe.carried));
        if is_longer && probe.token == token {
            let carried = Some(Box::new((origin.from, bytes_of(probe.carried))));
            self.counters.sizes_told += u64::from(session.carried != carried);
            session.carried = carried;
            session.receives_at = Some(origin.from);
        } else if probe.carried > 0 {
            self.counters.foreign += 1;
        }
        let carried = u32::try_from(session.carried().unwrap_or(0)).unwrap_or(u32::MAX);
        let token = self.size_token(id, origin.from, probe.bytes);
        let probed = Probed { stamp: probe.stamp, bytes: probe.bytes, carried, token };
        let Some(session) = self.sessions.get(&id) else { return };
        let envelope = envelope(self.identity.incarnation, session, Space::Session);
        self.counters.probes_answered += 1;
        self.outbox.send(origin.from, &envelope, &Pdu::Probed(probed));
    }

    /// What only who received an answer of this length in a session knows.
    fn size_token(&self, id: SessionId, at: Address, bytes: u32) -> u64 {
        let mut hasher = Hasher::new(self.key);
        hasher.write(b"size");
        hasher.write_u64(id.0);
        hasher.write_u64(u64::from(bytes));
        cookie::write_address(&mut hasher, at);
        hasher.finish()
    }
}

impl Session {
    /// The longest datagram that was found to come to where its client is now.
    fn carried(&self) -> Option<usize> {
        self.carried.as_deref().filter(|(at, _)| *at == self.address).map(|(_, bytes)| *bytes)
    }

    /// The longest bytes of a fragment of a reply that begins now.
    pub(super) fn reply_bytes(&self) -> usize {
        let all = path::datagram_bytes(self.address);
        path::reply_bytes_in(self.carried().map_or(all, |bytes| bytes.max(all)))
    }

    /// Fragments of a reply that is cut so are heard of no more.
    pub(super) fn leave_black_hole(&mut self, cut: Cut) {
        if cut.each_bytes > path::reply_bytes(self.address) {
            self.carried = None;
        }
    }
}

fn bytes_of(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
