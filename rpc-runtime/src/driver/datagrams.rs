//! Datagrams that a machine wants sent, gathered under its owner's lock and sent after it was released.
//!
//! The buffers are used again and again. Knows no machine and no lock.

use super::Link;
use crate::address::Address;

/// Buffers for datagrams kept for reuse.
const DATAGRAMS_KEPT_MAX: usize = 64;

/// Datagrams and their destinations.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    /// The first `ready` of them hold datagrams.
    buffers: Vec<(Option<Address>, Vec<u8>)>,
    ready: usize,
}

impl Datagrams {
    /// The buffer for the next one.
    pub(crate) fn next(&mut self) -> &mut Vec<u8> {
        if self.ready == self.buffers.len() {
            self.buffers.push((None, Vec::new()));
        }
        &mut self.buffers[self.ready].1
    }

    /// The buffer holds a datagram.
    pub(crate) fn send_to(&mut self, to: Address) {
        self.buffers[self.ready].0 = Some(to);
        self.ready += 1;
    }

    /// Sends none: they are lost like others, and the protocol sees to it.
    pub(crate) const fn lose(&mut self) {
        self.ready = 0;
    }

    /// Sends all.
    pub(crate) fn send(&mut self, link: &dyn Link) {
        for (to, datagram) in &mut self.buffers[..self.ready] {
            if let Some(to) = to.take() {
                // A datagram that did not leave is one that was lost: the protocol sees to it.
                let _ = link.send(to, datagram);
            }
        }
        self.ready = 0;
        self.buffers.truncate(DATAGRAMS_KEPT_MAX);
    }
}
