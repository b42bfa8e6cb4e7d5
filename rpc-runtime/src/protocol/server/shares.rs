//! What hosts and sessions hold of what all share: stored replies, and large messages in memory.
//!
//! Knows who holds how much, and by [`Limits::fits`] whether one may take more; does not know what
//! for. Whatever is taken is given back here, by whoever took it.
//!
//! [`Limits::fits`]: crate::protocol::Limits

use super::recent::Recent;
use super::slot::Spot;
use super::{Server, Session};
use crate::address::Host;
use crate::ids::{GenerationId, SessionId};
use crate::protocol::limits::REPLY_BYTES_MAX;
use crate::protocol::{HandlerEnd, Limits};
use crate::semantics::Semantics;

/// In about how many calls the memory of a long reply fades.
const LATELY_CALLS_COUNT: usize = 8;

/// Of so many parts of what may be stored one is reserved for a call at the most, durable ones aside.
const STORED_PARTS: usize = 4;

/// What one host holds of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) sessions: usize,
    pub(super) slots: usize,
    /// Of stored replies, and of room reserved for them.
    pub(super) stored_bytes: usize,
    /// Of large arguments whose executions have not ended.
    pub(super) argument_bytes: usize,
}

impl Recent<Host, Share> {
    fn change(&mut self, host: &Host, change: impl FnOnce(&mut Share)) {
        let share = self.get_or_default(host);
        change(share);
        if *share == Share::default() {
            self.remove(host);
        }
    }
}

impl Server {
    /// What a host holds, to be changed; one that holds nothing then is forgotten.
    pub(super) fn change_share(&mut self, host: Host, change: impl FnOnce(&mut Share)) {
        self.hosts.change(&host, change);
    }

    pub(super) fn share_of(&self, host: Host) -> Share {
        self.hosts.get(&host).copied().unwrap_or_default()
    }

    /// Room that is reserved in the store for the reply of a call before it runs: for one datagram, or, if
    /// the method's replies to this session took more lately, for so much, because what has run and finds no room then
    /// has run in vain. All that may be needed for a durable call, whose reply is committed before it is
    /// known here. `at_least_once` stores none but those that take several datagrams.
    pub(super) fn room_for_reply(&self, spot: Spot, method: usize) -> usize {
        let entry = &self.methods[method];
        let most_bytes = entry.reply_bytes_max as usize;
        let session = match spot {
            Spot::Session(id, _) => self.sessions.get(&id),
            Spot::Durable(..) => None,
        };
        let lately_bytes = session.map_or(0, |session| session.lately_bytes(method));
        match entry.semantics {
            Semantics::AtMostOnce => most_bytes.min(REPLY_BYTES_MAX).max(lately_bytes),
            Semantics::AtLeastOnce => lately_bytes,
            Semantics::ExactlyOnce => most_bytes,
            Semantics::Maybe => 0,
        }
    }

    /// An execution ended in so many bytes: the next ones of its method may. What is reserved for them
    /// grows at once and shrinks slowly, and never to so much that one call alone would not be taken.
    pub(super) fn note_reply(
        &mut self,
        id: SessionId,
        method: usize,
        end: HandlerEnd,
        bytes: usize,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let bytes = bytes.min(self.methods[method].reply_bytes_max as usize);
        let known_bytes = session.lately_bytes(method);
        let is_small = bytes <= REPLY_BYTES_MAX;
        if end != HandlerEnd::Returned || (is_small && known_bytes == 0) {
            return;
        }
        let shrunk_bytes = known_bytes - known_bytes / LATELY_CALLS_COUNT;
        let most_bytes = self.limits.reply_bytes_stored_max / STORED_PARTS;
        let now_bytes = shrunk_bytes.max(bytes).min(most_bytes);
        let is_long = now_bytes > REPLY_BYTES_MAX;
        session.set_lately_bytes(method, if is_long { now_bytes } else { 0 });
    }

    /// Whether `more_bytes` can be stored for a call of a session, or of its generation.
    pub(super) fn has_room_for(&self, spot: Spot, more_bytes: usize) -> bool {
        if more_bytes == 0 {
            return true; // it takes nothing from anybody
        }
        let (own_bytes, host) = match spot {
            Spot::Session(id, _) => {
                let Some(session) = self.sessions.get(&id) else { return false };
                (session.stored_bytes, &session.host)
            }
            Spot::Durable(id, _) => {
                let Some(known) = self.durable.generations.get(&id) else { return false };
                (known.stored_bytes, &known.host)
            }
        };
        let host_bytes = self.hosts.get(host).map_or(0, |share| share.stored_bytes);
        let held = [own_bytes, host_bytes, self.stored_bytes];
        Limits::fits(more_bytes, &held, self.limits.reply_bytes_stored_max)
    }

    /// A slot that stored `before` bytes, or had them reserved, has `after` of them now.
    pub(super) fn store(&mut self, spot: Spot, before: usize, after: usize) {
        if before == after {
            return;
        }
        // The host is looked for where it stands: it would be copied with each call otherwise.
        let (own_bytes, host) = match spot {
            Spot::Session(id, _) => {
                let Some(session) = self.sessions.get_mut(&id) else { return };
                (&mut session.stored_bytes, &session.host)
            }
            Spot::Durable(id, _) => {
                let Some(known) = self.durable.generations.get_mut(&id) else { return };
                (&mut known.stored_bytes, &known.host)
            }
        };
        *own_bytes = *own_bytes - before + after;
        self.stored_bytes = self.stored_bytes - before + after;
        self.hosts.change(host, |share| share.stored_bytes = share.stored_bytes - before + after);
    }

    /// A session or a generation of `host` is gone with all that it stored.
    pub(super) fn unstore(&mut self, host: Host, bytes: usize) {
        self.stored_bytes -= bytes;
        self.change_share(host, |share| share.stored_bytes -= bytes);
    }

    /// A generation is used from the host of a session now.
    pub(super) fn move_generation(&mut self, id: GenerationId, session: SessionId) {
        let Some(host) = self.sessions.get(&session).map(|session| session.host) else { return };
        let Some(known) = self.durable.generations.get_mut(&id) else { return };
        let (before, bytes) = (std::mem::replace(&mut known.host, host), known.stored_bytes);
        if before != host {
            self.change_share(before, |share| share.stored_bytes -= bytes);
            self.change_share(host, |share| share.stored_bytes += bytes);
        }
    }

    /// A session is gone, and its slots.
    pub(super) fn give_back(&mut self, session: &Session) {
        let slots = session.slots_max as usize;
        self.unstore(session.host, session.stored_bytes);
        self.change_share(session.host, |share| {
            share.sessions -= 1;
            share.slots -= slots;
        });
    }
}
