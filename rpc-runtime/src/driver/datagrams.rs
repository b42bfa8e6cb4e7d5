//! Datagrams that a machine wants sent, gathered under its owner's lock and sent after it was released.
//!
//! The buffers are used again and again. Knows no machine and no lock.

use super::Link;
use crate::address::Address;
use crate::protocol::fragment::Part;
use crate::wire;

/// Buffers for datagrams kept for reuse.
const DATAGRAMS_KEPT_MAX: usize = 256;

/// Where a buffer goes that holds no datagram.
const NOWHERE: Address = Address::Virtual(0);

/// Datagrams and their destinations.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    /// The first `ready` of them hold datagrams.
    buffers: Vec<(Address, Vec<u8>)>,
    ready: usize,
    /// What stands behind those of them that are only heads.
    parts: Vec<(usize, Part)>,
    /// For links that take no datagram in parts.
    whole: Vec<u8>,
}

impl Datagrams {
    /// The buffer for the next one.
    pub(crate) fn next(&mut self) -> &mut Vec<u8> {
        if self.ready == self.buffers.len() {
            self.buffers.push((NOWHERE, Vec::new()));
        }
        &mut self.buffers[self.ready].1
    }

    /// Whether there is none to send.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// The buffer holds a datagram.
    pub(crate) fn send_to(&mut self, to: Address) {
        self.buffers[self.ready].0 = to;
        self.ready += 1;
    }

    /// The buffer holds a datagram; or its head, and this is the rest.
    pub(crate) fn send_parts_to(&mut self, to: Address, part: Option<Part>) {
        self.parts.extend(part.map(|part| (self.ready, part)));
        self.send_to(to);
    }

    /// Sends none: they are lost like others, and the protocol sees to it.
    pub(crate) fn lose(&mut self) {
        self.ready = 0;
        self.parts.clear();
    }

    /// Sends all. One that does not leave is lost: the protocol sees to it.
    pub(crate) fn send(&mut self, link: &dyn Link) {
        let mut from = 0;
        for (place, part) in self.parts.drain(..) {
            send_whole(link, &self.buffers[from..place]);
            from = place + 1;
            let (to, head) = &mut self.buffers[place];
            // Its bytes are in the processor's cache when the link takes them.
            wire::seal(head, part.bytes());
            let _ = link.send_in_parts(*to, head, part.bytes(), &mut self.whole);
        }
        send_whole(link, &self.buffers[from..self.ready]);
        self.ready = 0;
        self.buffers.truncate(DATAGRAMS_KEPT_MAX);
    }
}

fn send_whole(link: &dyn Link, datagrams: &[(Address, Vec<u8>)]) {
    match datagrams {
        [] => {}
        [(to, datagram)] => {
            let _ = link.send(*to, datagram);
        }
        several => link.send_all(several),
    }
}
