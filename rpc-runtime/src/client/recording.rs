//! Between a connection and its journal: what the machine wants written goes there, and back comes
//! that it is on the disk. Nothing of it happens under the connection's lock.

use std::sync::Arc;

use super::connection::Connection;
use super::journal::Written;
use crate::ids::{CallId, ServerId};
use crate::protocol::{CallKey, ClientTable, Record};

/// What is to be asked of the journal once the lock is released.
#[derive(Debug, Default)]
pub(super) struct JournalErrands {
    pub(super) records: Vec<(CallKey, CallId, Record)>,
    /// A session with that server wants durable slots.
    pub(super) wanted: Option<ServerId>,
}

impl Connection {
    pub(super) fn run_journal(self: &Arc<Self>, errands: &mut JournalErrands) {
        let Some(keeper) = &self.keeper else { return };
        if !errands.records.is_empty() {
            keeper.post(self, errands.records.drain(..));
        }
        if let Some(server) = errands.wanted.take() {
            keeper.claim(self, server);
        }
    }

    /// What was asked for is on the disk, or cannot be written.
    pub(super) fn written(self: &Arc<Self>, written: &[Written]) {
        let (mut state, now) = self.turn();
        let errands = state.errands();
        for &Written { key, call, is_start, is_written } in written {
            if is_start {
                state.core.started_recorded(now, key, call, is_written);
            } else {
                state.core.ended_recorded(now, key, call, is_written);
            }
        }
        self.after(state, now, errands);
    }

    /// The journal's answer to a session that wants durable slots.
    pub(super) fn generation_found(self: &Arc<Self>, table: Option<ClientTable>) {
        let (mut state, now) = self.turn();
        let errands = state.errands();
        state.core.generation_found(now, table);
        self.after(state, now, errands);
    }

    /// Goes on with durable slots of a former life, unless it has others or leads elsewhere.
    pub(super) fn restore(self: &Arc<Self>, table: ClientTable) -> bool {
        let (mut state, now) = self.turn();
        let errands = state.errands();
        let is_restored = state.core.restore(now, table);
        self.after(state, now, errands);
        is_restored
    }
}
