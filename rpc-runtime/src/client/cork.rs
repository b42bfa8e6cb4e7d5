//! Calls that leave together: a cork holds back what would be a datagram, and a system call, each.
//!
//! What is held back is the machine's last datagram, as long as more calls fit into it. It leaves when
//! it is full, when somebody waits for a call that has not ended, when a cork is pulled, and with whatever
//! else the machine says: so a call that has an answer is late by one retransmission time-out at the most,
//! even where a cork is forgotten. `tcp(7)`, `TCP_CORK`.

use std::sync::Arc;

use super::channel::Channel;
use super::connection::Connection;
use super::kept;

/// Gathers the calls that are started while it lives: see [`Channel::cork`].
#[derive(Debug)]
#[must_use = "calls are gathered while it lives"]
pub struct Cork {
    connection: Arc<Connection>,
}

impl Channel {
    /// Gathers calls. As long as the cork lives, calls that are *started* over this channel's connection
    /// do not leave one by one but together: when a datagram is full, or somebody waits for one that has
    /// not ended. That takes one system call for many calls, where a thread starts many and then waits.
    ///
    /// Calls that are made without being started first are waited for at once, and so leave at once.
    ///
    /// ```
    /// # use rpc_runtime::{CallError, Channel, Server, service};
    /// # #[service]
    /// # trait Adder {
    /// #     fn add(&self, a: u64, b: u64) -> Result<u64, CallError>;
    /// # }
    /// # struct Sum;
    /// # impl Adder for Sum {
    /// #     fn add(&self, a: u64, b: u64) -> Result<u64, CallError> { Ok(a + b) }
    /// # }
    /// # let server = Server::bind("mem://corked")?.export(AdderService::new(Sum)).spawn()?;
    /// let channel = Channel::connect("mem://corked")?;
    /// let adder = AdderClient::on(&channel);
    /// let cork = channel.cork();
    /// let calls: Vec<_> = (0..100).map(|number| adder.start().add(number, 1)).collect();
    /// drop(cork); // or wait: then they leave too
    /// let sum: u64 = calls.into_iter().map(|call| call.wait()).sum::<Result<u64, _>>()?;
    /// assert_eq!(sum, 5_050);
    /// # Ok::<(), CallError>(())
    /// ```
    pub fn cork(&self) -> Cork {
        let connection = self.connection();
        connection.lock().corks += 1;
        Cork { connection }
    }
}

impl Cork {
    /// Sends what was gathered so far.
    pub fn flush(&self) {
        let (state, now) = self.connection.turn();
        self.connection.after(state, now, kept::errands());
    }
}

impl Drop for Cork {
    fn drop(&mut self) {
        // Whoever unwinds has gathered calls too, and where the machine itself has failed there is none.
        let mut state = self.connection.lock_unwinding();
        state.corks -= 1;
        let is_sound = !self.connection.is_poisoned();
        drop(state);
        if is_sound {
            self.flush();
        }
    }
}
