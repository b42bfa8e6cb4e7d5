//! Where a call is that moves or is made at two servers, so that it can be called off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::connection::Connection;
use crate::driver::{Gate, World};
use crate::protocol::CallKey;
use crate::time::Instant;

/// Where a call is, and whether it was called off.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts(Mutex<Place>);

#[derive(Debug, Default)]
struct Place {
    is_cancelled: bool,
    /// The attempts under way, and perhaps some that have ended.
    at: Vec<(Weak<Connection>, CallKey)>,
    /// Where it waits to be made again, or for a server to be found.
    gate: Option<Arc<dyn Gate>>,
}

impl Whereabouts {
    /// Calls the call off, wherever it is.
    pub(super) fn cancel(&self) {
        let (at, gate) = {
            let mut place = self.lock();
            place.is_cancelled = true;
            (std::mem::take(&mut place.at), place.gate.take())
        };
        if let Some(gate) = gate {
            gate.open();
        }
        for (connection, key) in at {
            if let Some(connection) = connection.upgrade() {
                connection.cancel(key);
            }
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled
    }

    /// Waits until `until`, or until the call is called off.
    pub(crate) fn rest(&self, world: &Arc<dyn World>, until: Instant) {
        let gate = world.gate();
        while world.now() < until && !self.is_cancelled() {
            self.wait_at(&gate, until);
        }
    }

    /// Waits until that gate is opened, or until `until`, or until the call is called off.
    pub(super) fn wait_at(&self, gate: &Arc<dyn Gate>, until: Instant) {
        let is_cancelled = {
            let mut place = self.lock();
            place.gate = Some(Arc::clone(gate));
            place.is_cancelled
        };
        if !is_cancelled {
            gate.wait(Some(until));
        }
        self.lock().gate = None;
    }

    /// The call is there now, and nowhere else.
    pub(super) fn moved(&self, connection: &Arc<Connection>, key: CallKey) {
        self.lock().at.clear();
        self.joined(connection, key);
    }

    /// The call is there too.
    pub(super) fn joined(&self, connection: &Arc<Connection>, key: CallKey) {
        let is_cancelled = {
            let mut place = self.lock();
            place.at.push((Arc::downgrade(connection), key));
            place.is_cancelled
        };
        if is_cancelled {
            connection.cancel(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
