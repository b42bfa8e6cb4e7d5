//! What a server asks of the store behind its durable services: who it is, a client's slots, and
//! nothing of the store's own type.
//!
//! Knows how rows become what the protocol's machine takes; does not know transactions, which run
//! where a handler does ([`crate::service::durable`]).

use std::fmt;

use crate::ids::{ClientId, GenerationId, Incarnation, ServerId};
use crate::protocol::{DurableRow, DurableTable};
use crate::service::{Answer, Desk, DurableCall, durable};
use crate::store::record::{GenerationRecord, SlotRecord};
use crate::store::{Commit, Durable, RowKey, Rows, Store, StoreError};
use crate::time::Duration;

/// Slots of one generation that are read, whatever the store holds.
const SLOTS_READ_MAX: usize = 65_536;

/// A store that a server's life has taken, whatever its type.
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// Who the server is, in which life.
    fn identity(&self) -> (ServerId, Incarnation);

    /// The generation that a client wants, or a new one named `fresh` that it keeps from now on.
    ///
    /// # Errors
    ///
    /// The store fails, or another life has taken it.
    fn open_generation(
        &self,
        client: ClientId,
        wanted: GenerationId,
        fresh: GenerationId,
        unix_ms: u64,
    ) -> Result<DurableTable, StoreError>;

    /// Deletes a generation: nobody will ask for its calls again.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open_generation`].
    fn forget_generation(
        &self,
        client: ClientId,
        generation: GenerationId,
    ) -> Result<(), StoreError>;

    /// Waits until all calls that were posted from there have ended, and helps.
    fn attend(&self, desk: &Desk);

    /// How long a commit took of late.
    fn flush_takes(&self) -> Duration;

    /// What the store says of a call that may have been committed.
    ///
    /// # Errors
    ///
    /// The store fails, and leaves it open.
    fn recorded(&self, call: &DurableCall) -> Result<Answer, StoreError>;

    /// Waits a moment, for a store that fails to come back.
    fn pause(&self);
}

impl<S: Store> Ledger for Durable<S> {
    fn identity(&self) -> (ServerId, Incarnation) {
        (self.server(), self.incarnation())
    }

    fn open_generation(
        &self,
        client: ClientId,
        wanted: GenerationId,
        fresh: GenerationId,
        unix_ms: u64,
    ) -> Result<DurableTable, StoreError> {
        let known = RowKey::Generation(client, wanted);
        let opened = match self.look(Rows::of_key(known), 1)?.first() {
            Some((_, row)) => Some(GenerationRecord::decode(row)?.opened_unix_ms),
            None => None,
        };
        let generation = if opened.is_some() { wanted } else { fresh };
        let opened_unix_ms = opened.unwrap_or(unix_ms);
        let record = GenerationRecord { opened_unix_ms, last_contact_unix_ms: unix_ms };
        let key = RowKey::Generation(client, generation);
        self.commit(move |tx| {
            Commit::of(|| S::put(tx, key, &record.to_row()).map(|()| Commit::Keep))
        })?;
        let slots = self.look(Rows::of_slots(client, generation), SLOTS_READ_MAX)?;
        let row = |(key, bytes): &(RowKey, Vec<u8>)| row_of(*key, bytes).transpose();
        let rows = slots.iter().filter_map(row).collect::<Result<Vec<_>, _>>()?;
        Ok(DurableTable { generation, rows })
    }

    fn forget_generation(
        &self,
        client: ClientId,
        generation: GenerationId,
    ) -> Result<(), StoreError> {
        let rows = Rows::of_generation(client, generation);
        self.commit(move |tx| {
            Commit::of(|| {
                for (key, _) in S::scan(tx, rows, SLOTS_READ_MAX)? {
                    S::delete(tx, key)?;
                }
                Ok(Commit::Keep)
            })
        })?;
        Ok(())
    }

    fn attend(&self, desk: &Desk) {
        self.attend(desk.seat());
    }

    fn flush_takes(&self) -> Duration {
        self.flush_takes()
    }

    fn recorded(&self, call: &DurableCall) -> Result<Answer, StoreError> {
        durable::recorded(self, call)
    }

    fn pause(&self) {
        self.pause();
    }
}

/// A slot's row as the machine takes it.
fn row_of(key: RowKey, bytes: &[u8]) -> Result<Option<DurableRow>, StoreError> {
    let RowKey::Slot(_, _, slot) = key else { return Ok(None) };
    let record = SlotRecord::decode(bytes)?;
    let ended = (!record.is_acked).then(|| (record.status, record.reply.to_vec()));
    let digest = record.identity;
    Ok(Some(DurableRow { slot, sequence: record.sequence, digest, ended }))
}
