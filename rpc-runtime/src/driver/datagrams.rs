//! Datagrams that a machine wants sent, gathered under its owner's lock and sent after it was released.
//!
//! The buffers are used again and again. Knows no machine and no lock.

use super::Link;
use crate::address::Address;

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

    /// Sends none: they are lost like others, and the protocol sees to it.
    pub(crate) const fn lose(&mut self) {
        self.ready = 0;
    }

    /// Sends all. One that does not leave is lost: the protocol sees to it.
    pub(crate) fn send(&mut self, link: &dyn Link) {
        match &self.buffers[..self.ready] {
            [] => {}
            [(to, datagram)] => {
                let _ = link.send(*to, datagram);
            }
            several => link.send_all(several),
        }
        self.ready = 0;
        self.buffers.truncate(DATAGRAMS_KEPT_MAX);
    }
}
