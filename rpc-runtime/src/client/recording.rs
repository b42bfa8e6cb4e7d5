//! Between a connection and its journal: what the machine wants written goes there, and back comes
//! that it is on the disk. Nothing of it happens under the connection's lock.

use std::sync::{Arc, Mutex, PoisonError};

use super::connection::Connection;
use super::errands::Errands;
use super::journal::{Stamp, Written};
use super::kept;
use crate::ids::ServerId;
use crate::protocol::{ClientTable, OnDisk};

/// What is to be asked of the journal once the lock is released.
#[derive(Debug, Default)]
pub(super) struct JournalErrands {
    pub(super) has_records: bool,
    /// A session with that server wants durable slots.
    pub(super) wanted: Option<ServerId>,
}

impl Connection {
    pub(super) fn run_journal(self: &Arc<Self>, errands: &mut JournalErrands) {
        let Some(keeper) = &self.keeper else { return };
        if std::mem::take(&mut errands.has_records) {
            let (now, unix_ms) = (self.world.now(), self.world.unix_ms());
            // Under the lock: whoever took records first posts them first.
            let mut state = self.lock();
            let life = state.core.incarnation();
            keeper.post(self, Stamp { life, now, unix_ms }, state.records.drain(..));
            drop(state);
            keeper.wake();
        }
        if let Some(server) = errands.wanted.take() {
            keeper.claim(self, server);
        }
    }

    /// What was asked for is on the disk, or cannot be written.
    pub(super) fn written(self: &Arc<Self>, written: &[Written]) {
        let (mut state, now) = self.turn();
        let mut errands = kept::errands();
        for &Written { key, call, is_start, on_disk } in written {
            if is_start {
                state.core.started_recorded(now, key, call, on_disk);
            } else {
                state.core.ended_recorded(now, key, call, on_disk == OnDisk::Yes);
            }
        }
        state.drain(now, &mut errands);
        self.settle(&mut state, &mut errands);
        errands.must_wake_leader |= errands.has_untold && state.leader.is_some();
        drop(state);
        if errands.wakers.is_empty() {
            return self.run(errands);
        }
        // Others' code may make a recorded call, and wait for this very thread.
        let (connection, place) = (Arc::clone(self), Arc::new(Mutex::new(Some(errands))));
        let told = Arc::clone(&place);
        let take = |place: &Mutex<Option<Box<Errands>>>| {
            place.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let body = Box::new(move || {
            if let Some(errands) = take(&told) {
                connection.run(errands);
            }
        });
        if self.world.spawn("rpc-told", body).is_err()
            && let Some(errands) = take(&place)
        {
            self.run(errands);
        }
    }

    /// The journal's answer to a session that wants durable slots. Gives what is to be run.
    pub(super) fn generation_found(self: &Arc<Self>, table: Option<ClientTable>) -> Box<Errands> {
        let (mut state, now) = self.turn();
        let errands = kept::errands();
        state.core.generation_found(now, table);
        self.settled(state, now, errands)
    }

    /// Goes on with durable slots of a former life, unless it has others or leads elsewhere. Gives
    /// what is to be run, too.
    pub(super) fn restore(self: &Arc<Self>, table: ClientTable) -> (bool, Box<Errands>) {
        let (mut state, now) = self.turn();
        let errands = kept::errands();
        let is_restored = state.core.restore(now, table);
        (is_restored, self.settled(state, now, errands))
    }
}
