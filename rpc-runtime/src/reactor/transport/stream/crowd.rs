//! What gives way when a listener has as many streams as it may have: hosts share them evenly.
//!
//! A host alone may have them all. One that comes later takes them from who has most, the one that is
//! idle longest first, until both have as many: sessions outlive streams, and a client opens another
//! with its next call. Knows only whose streams there are, and since when they are idle.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::Socket;

use super::super::{IS_NAMED, system};
use super::listening::Polling;
use crate::address::{Address, Host};
use crate::time::Instant;

/// Entries of streams that are gone, before they are thrown out.
const WATCHED_SLACK: usize = 1_024;

/// Numbers callers that have no address, over all listeners of the process.
static CALLERS: AtomicU32 = AtomicU32::new(1);

/// Who calls by a Unix socket: a number of its own, behind the user's.
pub(in crate::reactor::transport) fn caller(socket: &Socket) -> Address {
    let user = u64::from(system::user_of(socket.as_fd()).unwrap_or(0)) << 32;
    let number = u64::from(CALLERS.fetch_add(1, Ordering::Relaxed));
    Address::Local((user | number) & !IS_NAMED)
}

impl Polling {
    /// Something came by a stream.
    pub(super) fn hear(&mut self, index: usize) {
        if let Some(peer) = self.peers.get_mut(index) {
            peer.heard = self.polled;
        }
    }

    /// A stream of `host` is closed.
    pub(super) fn forget(&mut self, host: Host) {
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }

    /// Which stream is to be closed for one of `newcomer`, if any is: of the host that has most of them
    /// the one that is idle longest; where that is the newcomer's, only if it is idle for long.
    pub(super) fn who_gives_way(&self, newcomer: Host, now: Instant) -> Option<usize> {
        let own = self.hosts.get(&newcomer).copied().unwrap_or(0);
        let (&richest, &most) = self.hosts.iter().max_by_key(|(_, count)| **count)?;
        let from = if most > own + 1 { richest } else { newcomer };
        let of_host = self.peers.iter().filter(|(_, peer)| peer.stream.address.host() == from);
        let (index, idle) = of_host.min_by_key(|(_, peer)| peer.heard)?;
        let is_idle = now.since(idle.heard) >= self.bounds.patience;
        (from != newcomer || is_idle).then_some(index)
    }

    /// Streams that came and went leave little behind.
    pub(super) fn thin_out(&mut self) {
        let Self { watched, peers, .. } = self;
        if watched.len() > WATCHED_SLACK + 2 * peers.len() {
            watched.retain(|(_, (index, number))| {
                peers.get(*index).is_some_and(|peer| peer.stream.place.1 == *number)
            });
        }
    }
}
