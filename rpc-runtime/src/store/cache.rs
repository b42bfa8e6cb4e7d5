//! The runtime's rows of one transaction: read ahead of the bodies that work with them, and written
//! behind them, so that a batch costs two trips to the database instead of two for each of its jobs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{RowKey, Store, StoreError};

/// The rows that a transaction's bodies have read or changed.
#[derive(Debug, Default)]
pub struct RowCache {
    rows: BTreeMap<RowKey, Cached>,
}

#[derive(Debug)]
struct Cached {
    row: Option<Vec<u8>>,
    is_changed: bool,
}

impl RowCache {
    /// The row of that key, as the bodies before left it.
    ///
    /// # Errors
    ///
    /// See [`Store::get`].
    pub fn get<S: Store>(
        &mut self,
        tx: &mut S::Tx<'_>,
        key: RowKey,
    ) -> Result<Option<&[u8]>, StoreError> {
        let cached = match self.rows.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Cached { row: S::get(tx, key)?, is_changed: false })
            }
        };
        Ok(cached.row.as_deref())
    }

    /// Writes the row of that key, before the transaction ends.
    pub fn put(&mut self, key: RowKey, row: Vec<u8>) {
        self.rows.insert(key, Cached { row: Some(row), is_changed: true });
    }

    /// Reads the rows of these keys, before any body ran.
    pub(super) fn read_ahead<S: Store>(
        tx: &mut S::Tx<'_>,
        keys: impl Iterator<Item = RowKey>,
    ) -> Result<Self, StoreError> {
        let unread = |key| (key, Cached { row: None, is_changed: false });
        let mut rows: BTreeMap<_, _> = keys.map(unread).collect();
        if !rows.is_empty() {
            let keys: Vec<_> = rows.keys().copied().collect();
            for (key, row) in S::get_all(tx, &keys)? {
                rows.insert(key, Cached { row: Some(row), is_changed: false });
            }
        }
        Ok(Self { rows })
    }

    /// Writes what was changed, and forgets all: who comes next may change rows without this.
    pub(super) fn write_behind<S: Store>(&mut self, tx: &mut S::Tx<'_>) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        for (key, cached) in self.rows.iter().filter(|(_, cached)| cached.is_changed) {
            changed.extend(cached.row.as_deref().map(|row| (*key, row)));
        }
        if !changed.is_empty() {
            S::put_all(tx, &changed)?;
        }
        self.rows.clear();
        Ok(())
    }
}
