//! The embedded store: a folder on the binder's machine, by redb.

use std::collections::BTreeSet;
use std::path::Path;

use redb::{ReadableTable, TableDefinition};
use rpc_runtime::binder::RegistrationId;
use rpc_runtime::store::redb::{Redb, failed};
use rpc_runtime::store::{Commit, Store as _, StoreError, StoreErrorKind};

use super::{Found, Store, read, written};
use crate::registry::plan::Change;

const REGISTRATIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("registrations");
const INTERFACES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("interfaces");
const COUNTS: TableDefinition<'_, &str, u32> = TableDefinition::new("counts");

/// How often the store was opened.
const LIFE: &str = "life";

/// A store in a folder.
#[derive(Debug)]
pub struct Embedded {
    redb: Redb,
}

impl Embedded {
    /// Opens the store in `folder`, which is made if it is not there, and reads what it has kept.
    /// Interfaces that no registration has are forgotten.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, another process has it open, or what is in there cannot be read.
    pub fn open(folder: &Path) -> Result<(Self, Found), StoreError> {
        let redb = Redb::open(folder)?;
        let mut found = Found::default();
        transact(&redb, &mut |tx| {
            found = Found::default();
            let mut counts = tx.open_table(COUNTS).map_err(failed)?;
            let former = counts.get(LIFE).map_err(failed)?.map_or(0, |count| count.value());
            found.life = former.saturating_add(1);
            counts.insert(LIFE, found.life).map_err(failed)?;
            let registrations = tx.open_table(REGISTRATIONS).map_err(failed)?;
            for row in registrations.iter().map_err(failed)? {
                let (id, row) = row.map_err(failed)?;
                let id = RegistrationId(id.value());
                let kept = read(row.value(), || format!("registration {id}"))?;
                found.registrations.push((id, kept));
            }
            let mut interfaces = tx.open_table(INTERFACES).map_err(failed)?;
            let kept = found.registrations.iter().map(|(_, kept)| &kept.registration);
            let had: BTreeSet<u128> = kept.map(|registration| registration.fingerprint).collect();
            interfaces.retain(|fingerprint, _| had.contains(&fingerprint)).map_err(failed)?;
            for row in interfaces.iter().map_err(failed)? {
                let (fingerprint, row) = row.map_err(failed)?;
                let fingerprint = fingerprint.value();
                let methods = read(row.value(), || format!("interface {fingerprint:032x}"))?;
                found.interfaces.push((fingerprint, methods));
            }
            if found.interfaces.len() < had.len() {
                let text = "a registration's interface is not there";
                return Err(StoreError::new(StoreErrorKind::Corrupt, text));
            }
            Ok(())
        })?;
        Ok((Self { redb }, found))
    }
}

impl Store for Embedded {
    fn keep(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        transact(&self.redb, &mut |tx| {
            let mut registrations = tx.open_table(REGISTRATIONS).map_err(failed)?;
            let mut interfaces = tx.open_table(INTERFACES).map_err(failed)?;
            for change in changes {
                match change {
                    Change::Forget(fingerprint) => {
                        interfaces.remove(*fingerprint).map_err(failed)?;
                    }
                    Change::Describe(fingerprint, methods) => {
                        let row = written(methods);
                        interfaces.insert(*fingerprint, row.as_slice()).map_err(failed)?;
                    }
                    Change::Begin(id, kept) => {
                        registrations.insert(id.0, written(kept).as_slice()).map_err(failed)?;
                    }
                    Change::Mark(..) => {} // the next renewals and polls say so again
                    Change::End(id) => {
                        registrations.remove(id.0).map_err(failed)?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// Runs one transaction, of which nothing is kept if `body` fails.
fn transact(
    redb: &Redb,
    body: &mut dyn FnMut(&mut redb::WriteTransaction) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    redb.transact(&mut |tx| match body(tx) {
        Ok(()) => Commit::Keep,
        Err(error) => Commit::Failed(error),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::FORMAT;
    use super::*;

    #[test]
    fn a_row_that_is_torn_or_of_another_format_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (row, part) in [
            (&[][..], "registration r#0000000000000007 is empty"),
            (&[9, 1, 2], "is of format 9, and this binder reads 1"),
            (&[FORMAT, 3], "cannot be read"),
        ] {
            let redb = Redb::open(folder.path()).unwrap();
            transact(&redb, &mut |tx| {
                let mut table = tx.open_table(REGISTRATIONS).map_err(failed)?;
                table.insert(7, row).map_err(failed)?;
                Ok(())
            })
            .unwrap();
            drop(redb);
            let error = Embedded::open(folder.path()).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_store_is_an_error_and_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.redb");
        fs::write(&file, "these are somebody's notes").unwrap();
        assert!(Embedded::open(folder.path()).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "these are somebody's notes");
    }

    #[test]
    fn each_opening_is_a_life_and_one_process_has_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (first, found) = Embedded::open(folder.path()).unwrap();
        assert_eq!(found.life, 1);
        let second = Embedded::open(folder.path()).unwrap_err();
        assert_eq!(second.kind(), StoreErrorKind::InUse);
        drop(first);
        assert_eq!(Embedded::open(folder.path()).unwrap().1.life, 2);
    }
}
