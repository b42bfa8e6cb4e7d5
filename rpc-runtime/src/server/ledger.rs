//! What a server asks of the store behind its durable services: who it is, a client's slots, and
//! nothing of the store's own type.
//!
//! Knows how rows become what the protocol's machine takes; does not know transactions, which run
//! where a handler does ([`crate::service::durable`]).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ids::{CallId, ClientId, GenerationId, Incarnation, ServerId};
use crate::protocol::{DurableRow, DurableTable};
use crate::service::{Answer, Desk, DurableCall, durable};
use crate::store::record::{GenerationRecord, SlotRecord};
use crate::store::{Commit, Durable, Ended, RowKey, Rows, Store, StoreError};
use crate::time::Duration;

/// Slots of one generation that are read, whatever the store holds.
const SLOTS_READ_MAX: usize = 65_536;

/// Rows that are written in one transaction when the store is looked after.
const ROWS_WRITTEN_MAX: usize = 256;

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

    /// Frees the bytes of replies that their clients have.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open_generation`]. Nothing is lost but room.
    fn acknowledge(&self, calls: &[(ClientId, CallId)]) -> Result<(), StoreError>;

    /// Notes that these generations are in use, and deletes those that nobody has asked for since
    /// `before_unix_ms` (protocol tables, M6); how many.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open_generation`]. What was not deleted is deleted another time.
    fn retain(
        &self,
        in_use: &[(ClientId, GenerationId)],
        now_unix_ms: u64,
        before_unix_ms: u64,
    ) -> Result<usize, StoreError>;

    /// Whether a later life is known to have taken the store.
    fn is_fenced(&self) -> bool;

    /// Waits until all calls that were posted from there have ended, and helps.
    fn attend(&self, desk: &Desk);

    /// How long a commit took of late.
    fn flush_takes(&self) -> Duration;

    /// Waits until no transaction can commit any more whose end is not known. What the store says
    /// afterwards of calls that were in one stays true.
    ///
    /// # Errors
    ///
    /// The store fails, and leaves it open.
    fn settle(&self) -> Result<(), StoreError>;

    /// What the store says of a call that may have been committed; after [`Ledger::settle`], or it
    /// may still be committing.
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
        let found = Arc::new(Mutex::new(fresh));
        let theirs = Arc::clone(&found);
        // Whether it is there is read in the transaction that keeps it: it may be being deleted.
        self.commit(move |tx| {
            Commit::of(|| {
                let is_known = touch::<S>(tx, (client, wanted), unix_ms)?;
                if !is_known {
                    let record =
                        GenerationRecord { opened_unix_ms: unix_ms, last_contact_unix_ms: unix_ms };
                    S::put(tx, RowKey::Generation(client, fresh), &record.to_row())?;
                }
                let generation = if is_known { wanted } else { fresh };
                *theirs.lock().unwrap_or_else(PoisonError::into_inner) = generation;
                Ok(Commit::Keep)
            })
        })?;
        let generation = *found.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.commit(move |tx| {
            Commit::of(|| delete::<S>(tx, client, generation).map(|()| Commit::Keep))
        })?;
        Ok(())
    }

    fn attend(&self, desk: &Desk) {
        self.attend(desk.seat());
    }

    fn flush_takes(&self) -> Duration {
        self.flush_takes()
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.settle()
    }

    fn recorded(&self, call: &DurableCall) -> Result<Answer, StoreError> {
        durable::recorded(self, call)
    }

    fn pause(&self) {
        self.pause();
    }

    fn acknowledge(&self, calls: &[(ClientId, CallId)]) -> Result<(), StoreError> {
        for calls in calls.chunks(ROWS_WRITTEN_MAX) {
            let calls = calls.to_vec();
            self.commit(move |tx| {
                Commit::of(|| {
                    calls.iter().try_for_each(|call| acknowledge::<S>(tx, *call))?;
                    Ok(Commit::Keep)
                })
            })?;
        }
        Ok(())
    }

    fn retain(
        &self,
        in_use: &[(ClientId, GenerationId)],
        now_unix_ms: u64,
        before_unix_ms: u64,
    ) -> Result<usize, StoreError> {
        for used in in_use.chunks(ROWS_WRITTEN_MAX) {
            let used = used.to_vec();
            self.commit(move |tx| {
                Commit::of(|| {
                    for generation in &used {
                        touch::<S>(tx, *generation, now_unix_ms)?;
                    }
                    Ok(Commit::Keep)
                })
            })?;
        }
        let is_old = move |row: &[u8]| {
            GenerationRecord::decode(row).map(|known| known.last_contact_unix_ms < before_unix_ms)
        };
        let mut deleted = 0;
        let mut rows = Rows::of_all_clients();
        while let Some((key, row)) = self.look(rows, 1)?.pop() {
            let (RowKey::Generation(client, generation) | RowKey::Slot(client, generation, _)) =
                key
            else {
                rows = rows.behind(key);
                continue;
            };
            rows = rows.behind_generation(client, generation);
            let is_table = matches!(key, RowKey::Generation(..));
            if !is_table || !is_old(&row)? || in_use.contains(&(client, generation)) {
                continue;
            }
            let ended = self.commit(move |tx| {
                Commit::of(|| {
                    // Its client may have come in between.
                    match S::get(tx, RowKey::Generation(client, generation))? {
                        Some(row) if is_old(&row)? => delete::<S>(tx, client, generation)?,
                        Some(_) | None => return Ok(Commit::Undo),
                    }
                    Ok(Commit::Keep)
                })
            })?;
            deleted += usize::from(matches!(ended, Ended::Kept));
        }
        Ok(deleted)
    }

    fn is_fenced(&self) -> bool {
        self.is_fenced()
    }
}

/// Notes that a generation's client was heard of; says whether there is one.
fn touch<S: Store>(
    tx: &mut S::Tx<'_>,
    (client, generation): (ClientId, GenerationId),
    unix_ms: u64,
) -> Result<bool, StoreError> {
    let key = RowKey::Generation(client, generation);
    let Some(row) = S::get(tx, key)? else { return Ok(false) };
    let record = GenerationRecord::decode(&row)?;
    let record = GenerationRecord { last_contact_unix_ms: unix_ms, ..record };
    S::put(tx, key, &record.to_row())?;
    Ok(true)
}

fn delete<S: Store>(
    tx: &mut S::Tx<'_>,
    client: ClientId,
    generation: GenerationId,
) -> Result<(), StoreError> {
    for (key, _) in S::scan(tx, Rows::of_generation(client, generation), SLOTS_READ_MAX)? {
        S::delete(tx, key)?;
    }
    Ok(())
}

/// A row whose slot was used again says more than an acknowledgement of what was there before.
fn acknowledge<S: Store>(
    tx: &mut S::Tx<'_>,
    (client, call): (ClientId, CallId),
) -> Result<(), StoreError> {
    let key = RowKey::Slot(client, GenerationId(call.session.0), call.slot);
    let Some(row) = S::get(tx, key)? else { return Ok(()) };
    let record = SlotRecord::decode(&row)?;
    if record.sequence == call.sequence && !record.is_acked {
        S::put(tx, key, &SlotRecord { is_acked: true, reply: &[], ..record }.to_row())?;
    }
    Ok(())
}

/// A slot's row as the machine takes it.
fn row_of(key: RowKey, bytes: &[u8]) -> Result<Option<DurableRow>, StoreError> {
    let RowKey::Slot(_, _, slot) = key else { return Ok(None) };
    let record = SlotRecord::decode(bytes)?;
    let ended = (!record.is_acked).then(|| (record.status, record.reply.to_vec()));
    let digest = record.identity;
    Ok(Some(DurableRow { slot, sequence: record.sequence, digest, ended }))
}

#[cfg(test)]
mod tests;
