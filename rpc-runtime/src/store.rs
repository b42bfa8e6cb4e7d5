//! Durable stores for `exactly_once`: the application's effect and the recorded reply in one
//! transaction.
//!
//! Start reading at [`Store`], the little that a database must do; then [`Durable`], what a server
//! keeps in one: its identity over all its lives, and group commit behind the fence that holds off
//! an earlier life (protocol tables, C4). The stores themselves are in files of their own. What the
//! rows mean is [`record`]'s knowledge, when one is written the server's.
//!
//! ```text
//!   handlers ──► Durable::commit / post ──► group: up to 64 bodies ──► Store::transact ──► one flush
//!                                                   └─ at its end: is this life still the last?
//! ```
//!
//! An effect outside of the store's own database cannot be exactly once: no transaction joins the
//! two.

mod error;
mod key;
pub mod record;
mod cache;
mod durable;
mod group;
#[cfg(feature = "sim")]
pub mod memory;
#[cfg(feature = "durable")]
pub mod redb;
#[cfg(feature = "postgres")]
pub mod postgres;

use std::fmt;

pub use cache::RowCache;
pub use durable::Durable;
pub use error::{StoreError, StoreErrorKind};
pub(crate) use group::{BATCH_JOBS_MAX, Seat};
pub use group::{Ended, GroupStats, Job};
pub use key::{RowKey, Rows};

/// What becomes of a transaction when its body has run.
#[derive(Clone, Debug)]
#[must_use]
pub enum Commit {
    /// Make it last.
    Keep,
    /// Roll it back: nothing of it happened. That is no error.
    Undo,
    /// Roll it back, for the store failed the body. A [`StoreErrorKind::Conflict`] runs it again.
    Failed(StoreError),
}

impl Commit {
    /// Runs a body that fails with `?`.
    pub fn of(body: impl FnOnce() -> Result<Self, StoreError>) -> Self {
        body().unwrap_or_else(Self::Failed)
    }
}

/// A database in which effects and replies commit together.
///
/// A transaction is atomic, lasts once [`Store::transact`] has returned `Ok` after a
/// [`Commit::Keep`], and runs as if alone. The rows of the runtime are few and small but for stored
/// replies, which may be as long as the longest reply; they live beside the application's own
/// tables, which the application reaches through [`Store::Tx`] as its database allows.
///
/// Not re-entrant: a body that begins another transaction of the same store waits for itself.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// An open transaction: what a handler works with.
    type Tx<'t>;

    /// Runs `body` in a transaction. It may run more than once, each time on a transaction of its
    /// own, when others were in its way; only what its last run did counts.
    ///
    /// A panic of `body` rolls back and goes on to the caller; the store stays usable.
    ///
    /// # Errors
    ///
    /// What kept the transaction from being committed; see [`StoreError::is_doubtful`] for whether
    /// it may have been.
    fn transact(&self, body: &mut dyn FnMut(&mut Self::Tx<'_>) -> Commit)
    -> Result<(), StoreError>;

    /// The row of that key.
    ///
    /// Whoever reads [`RowKey::Incarnation`] holds off all others from writing it until the
    /// transaction ends: the fence stands on that.
    ///
    /// # Errors
    ///
    /// Here and in the functions below: the store failed. The body hands that on as
    /// [`Commit::Failed`], for the transaction can no longer be kept.
    fn get(tx: &mut Self::Tx<'_>, key: RowKey) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes the row of that key, whether or not there is one.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    fn put(tx: &mut Self::Tx<'_>, key: RowKey, row: &[u8]) -> Result<(), StoreError>;

    /// Deletes the row of that key if there is one.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    fn delete(tx: &mut Self::Tx<'_>, key: RowKey) -> Result<(), StoreError>;

    /// Those rows of these keys that there are. A store that can read many at a time does better
    /// than this.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    fn get_all(
        tx: &mut Self::Tx<'_>,
        keys: &[RowKey],
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let row = |key: &RowKey| Ok(Self::get(tx, *key)?.map(|row| (*key, row)));
        keys.iter().map(row).filter_map(Result::transpose).collect()
    }

    /// Writes these rows, each of another key. A store that can write many at a time does better
    /// than this.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    fn put_all(tx: &mut Self::Tx<'_>, rows: &[(RowKey, &[u8])]) -> Result<(), StoreError> {
        rows.iter().try_for_each(|(key, row)| Self::put(tx, *key, row))
    }

    /// The first `limit` of these rows, in order of their keys.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    fn scan(
        tx: &mut Self::Tx<'_>,
        rows: Rows,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError>;

    /// Waits until no transaction can commit any more that began before and whose end this process
    /// does not know: a database goes on with a COMMIT although the connection that asked for it
    /// broke. What [`Store::look`] finds then is what became of it.
    ///
    /// Every such transaction has read [`RowKey::Incarnation`], so one that writes that row waits for
    /// them all. A store none of whose transactions outlives its [`Store::transact`] has nothing to do.
    ///
    /// # Errors
    ///
    /// The store fails, or they take too long: how they ended is not known yet.
    fn settle(&self) -> Result<(), StoreError> {
        self.transact(&mut |tx| {
            Commit::of(|| {
                if let Some(row) = Self::get(tx, RowKey::Incarnation)? {
                    Self::put(tx, RowKey::Incarnation, &row)?;
                }
                Ok(Commit::Keep)
            })
        })
    }

    /// The first `limit` of these rows as last committed, outside of any transaction. A store that
    /// can read while it writes does better than this.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    fn look(&self, rows: Rows, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        self.transact(&mut |tx| {
            Commit::of(|| {
                found = Self::scan(tx, rows, limit)?;
                Ok(Commit::Undo)
            })
        })?;
        Ok(found)
    }
}
