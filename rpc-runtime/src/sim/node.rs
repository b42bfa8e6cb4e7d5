//! A machine driven by the simulator without threads: the fast way to simulate.
//!
//! Knows the three functions the scheduler calls; does not know what the machine is. The protocol's
//! client and server fit behind it directly, many times a microsecond cheaper than a thread.

use std::any::Any;

use crate::address::Address;
use crate::time::Instant;

/// What a node wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOutput {
    /// Send what was written to the buffer.
    Transmit {
        /// To this address.
        to: Address,
    },
    /// Nothing until a datagram comes or the time has.
    Wait {
        /// When, by the host's clock; `None` is never.
        until: Option<Instant>,
    },
}

/// A process that reacts at once and never blocks.
///
/// All times are its host's own. A node must not call the blocking side of the simulator
/// ([`sleep`](super::sleep) and the like): it has no thread to block.
pub trait Node: Any + Send {
    /// A datagram came.
    fn handle_datagram(&mut self, now: Instant, from: Address, datagram: &[u8]);

    /// The time asked for in [`NodeOutput::Wait`] has come.
    fn handle_timeout(&mut self, now: Instant);

    /// The stream broke that this node had opened to `peer`, and what was under way in it is lost, both
    /// ways; what it sends there next opens another one.
    fn handle_break(&mut self, now: Instant, peer: Address) {
        let _ = (now, peer);
    }

    /// What to do next. Called after each of the others until it says [`NodeOutput::Wait`];
    /// `datagram` comes empty.
    fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> NodeOutput;
}
