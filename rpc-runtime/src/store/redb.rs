//! The embedded store: a folder on this machine's disk, no set-up, by redb.
//!
//! One process has it open at a time. Transactions wait for each other; readers wait for nobody.
//! The application's own tables live in the same file, and are reached through the transaction:
//! any table but [`TABLE`].
//!
//! After a failed write redb refuses all work until the file is opened again, for it cannot know
//! what is on the disk. That is done here by the next transaction: room made on a full disk is
//! noticed without a restart.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    TableError, WriteTransaction,
};

mod watched;

use redb::backends::FileBackend;
use watched::{LastFailure, Watched};

use super::{Commit, RowKey, Rows, Store, StoreError, StoreErrorKind};

/// The name of the runtime's own table.
pub const TABLE: &str = "rpc_runtime.rows";

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new(TABLE);

/// The database's file in its folder.
const FILE: &str = "store.redb";

/// A store in a folder.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("bank");
/// use redb::TableDefinition;
/// use rpc_runtime::store::redb::Redb;
/// use rpc_runtime::store::{Commit, Store};
///
/// const ACCOUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("accounts");
///
/// let store = Redb::open(path)?;
/// store.transact(&mut |tx| {
///     let mut accounts = tx.open_table(ACCOUNTS).unwrap();
///     accounts.insert("anna", 100).unwrap();
///     Commit::Keep
/// })?;
/// # Ok::<(), rpc_runtime::store::StoreError>(())
/// ```
pub struct Redb {
    folder: PathBuf,
    /// `None` after a failed write, until the next transaction opens it again.
    database: RwLock<Option<Database>>,
    failure: LastFailure,
}

impl Redb {
    /// Opens the store in that folder; makes both if they are not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or read, another process has the store open, or it was written by
    /// a redb that this one does not read.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        let folder = folder.as_ref().to_owned();
        let failure = LastFailure::default();
        let database = open(&folder, &failure)?;
        Ok(Self { folder, database: RwLock::new(Some(database)), failure })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database, opened again if it had to be closed.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = match &*database {
            Some(_) => database,
            None => {
                drop(database);
                self.open_again()?
            }
        };
        // Another thread may have closed it in between: then this is its failure too.
        let closed = || StoreError::new(StoreErrorKind::Lost, "closed after a failed write");
        let result = database.as_ref().ok_or_else(closed).and_then(work);
        drop(database);
        result.map_err(|error| {
            // redb refuses all work after a failure of its file.
            if self.failure.look().is_some() || error.kind() == StoreErrorKind::Lost {
                *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            self.explained(error)
        })
    }

    /// A failure that says only that there was one before, as that one.
    fn explained(&self, error: StoreError) -> StoreError {
        match self.failure.look() {
            Some((kind, words)) if error.kind() == StoreErrorKind::Lost => {
                let kind =
                    if is_full(kind) { StoreErrorKind::DiskFull } else { StoreErrorKind::Other };
                let explained = StoreError::new(kind, words);
                if error.is_doubtful() { explained.doubtful() } else { explained }
            }
            _ => error,
        }
    }

    fn open_again(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open(&self.folder, &self.failure)?);
        }
        drop(database);
        Ok(self.database.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for Redb {
    type Tx<'t> = WriteTransaction;

    fn transact(
        &self,
        body: &mut dyn FnMut(&mut WriteTransaction) -> Commit,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let mut tx = database.begin_write().map_err(failed)?;
            // Only an abort outside of unwinding gives the transaction's pages back.
            match catch_unwind(AssertUnwindSafe(|| body(&mut tx))) {
                Ok(Commit::Keep) => {
                    // Whatever the body made of it: what is kept is on the disk.
                    tx.set_durability(Durability::Immediate).map_err(failed)?;
                    tx.commit().map_err(|error| failed(error).doubtful())
                }
                Ok(Commit::Undo) => tx.abort().map_err(failed),
                Ok(Commit::Failed(error)) => {
                    let _aborted_or_broken_as_said = tx.abort();
                    Err(error)
                }
                Err(panic) => {
                    let _aborted_or_found_broken_by_the_next = tx.abort();
                    resume_unwind(panic)
                }
            }
        })
    }

    fn get(tx: &mut WriteTransaction, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let table = tx.open_table(ROWS).map_err(failed)?;
        let row = table.get(key.to_bytes().as_slice()).map_err(failed)?;
        Ok(row.map(|row| row.value().to_vec()))
    }

    fn put(tx: &mut WriteTransaction, key: RowKey, row: &[u8]) -> Result<(), StoreError> {
        let mut table = tx.open_table(ROWS).map_err(failed)?;
        table.insert(key.to_bytes().as_slice(), row).map_err(failed)?;
        Ok(())
    }

    fn delete(tx: &mut WriteTransaction, key: RowKey) -> Result<(), StoreError> {
        let mut table = tx.open_table(ROWS).map_err(failed)?;
        table.remove(key.to_bytes().as_slice()).map_err(failed)?;
        Ok(())
    }

    fn get_all(
        tx: &mut WriteTransaction,
        keys: &[RowKey],
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let table = tx.open_table(ROWS).map_err(failed)?;
        let row = |key: &RowKey| {
            let row = table.get(key.to_bytes().as_slice()).map_err(failed)?;
            Ok(row.map(|row| (*key, row.value().to_vec())))
        };
        keys.iter().map(row).filter_map(Result::transpose).collect()
    }

    fn put_all(tx: &mut WriteTransaction, rows: &[(RowKey, &[u8])]) -> Result<(), StoreError> {
        let mut table = tx.open_table(ROWS).map_err(failed)?;
        for (key, row) in rows {
            table.insert(key.to_bytes().as_slice(), *row).map_err(failed)?;
        }
        Ok(())
    }

    fn scan(
        tx: &mut WriteTransaction,
        rows: Rows,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        range(&tx.open_table(ROWS).map_err(failed)?, rows, limit)
    }

    /// Its transactions end in this process, before `transact` does.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn look(&self, rows: Rows, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        self.with(|database| {
            let tx = database.begin_read().map_err(failed)?;
            match tx.open_table(ROWS) {
                Ok(table) => range(&table, rows, limit),
                Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
                Err(error) => Err(failed(error)),
            }
        })
    }
}

fn range(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    rows: Rows,
    limit: usize,
) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
    if rows.from() >= rows.to() {
        return Ok(Vec::new());
    }
    let range = table.range::<&[u8]>(rows.from()..rows.to()).map_err(failed)?;
    let unknown = || StoreError::new(StoreErrorKind::Corrupt, "a row that nobody names");
    range
        .take(limit)
        .map(|entry| {
            let (key, row) = entry.map_err(failed)?;
            let key = RowKey::from_bytes(key.value()).ok_or_else(unknown)?;
            Ok((key, row.value().to_vec()))
        })
        .collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "redb's errors are many, and to come")]
fn open(folder: &Path, failure: &LastFailure) -> Result<Database, StoreError> {
    let place = || folder.display().to_string();
    let cannot = |error: io::Error| {
        let kind = if is_full(error.kind()) {
            StoreErrorKind::DiskFull
        } else {
            StoreErrorKind::CannotOpen
        };
        StoreError::new(kind, format!("{}: {error}", place()))
    };
    make(folder).map_err(cannot)?;
    let file = folder.join(FILE);
    let mut options = File::options();
    let opened = options.read(true).write(true).create(true).truncate(false).open(&file);
    let opened = opened.map_err(cannot)?;
    let watched = FileBackend::new(opened).map(|file| Watched { file, failure: failure.clone() });
    let database = watched.and_then(|file| Database::builder().create_with_backend(file));
    let database = database.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::new(StoreErrorKind::InUse, place()),
        DatabaseError::UpgradeRequired(version) => {
            let detail = format!("{} is of redb's file format {version}", file.display());
            StoreError::new(StoreErrorKind::OtherVersion, detail)
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) => cannot(error),
        error => {
            let known = failed(error);
            StoreError::new(known.kind(), format!("{}: {}", place(), known.detail()))
        }
    })?;
    failure.forget();
    // The file's name must last as the file does: it is an entry of the folder, and that one of the
    // folder above. Whoever made it may not have got so far.
    flush(folder).and_then(|()| flush_entry(folder)).map_err(cannot)?;
    Ok(database)
}

/// Makes the folder, and those above it. Each is on the disk before there is anything in it, so that
/// whoever finds one need not look after those above.
fn make(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make)?;
    match fs::create_dir(folder) {
        Err(_) if folder.is_dir() => {} // somebody was quicker
        made => made?,
    }
    flush_entry(folder)
}

/// Sees to it that the folder's name is on the disk.
fn flush_entry(folder: &Path) -> io::Result<()> {
    match folder.parent().map_or(Ok(()), flush) {
        // Who may not look into it did not make an entry there either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        flushed => flushed,
    }
}

fn flush(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// Whether the system says that nothing more can be written: no room, a quota, a longest file.
const fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// An error of redb's, met in a transaction: for tables of the application's own.
#[expect(clippy::wildcard_enum_match_arm, reason = "redb's errors are many, and to come")]
pub fn failed(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    let kind = match &error {
        redb::Error::Io(error) if is_full(error.kind()) => StoreErrorKind::DiskFull,
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreErrorKind::Lost,
        redb::Error::Corrupted(_) => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Other,
    };
    StoreError::new(kind, error.to_string())
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").field("folder", &self.folder).finish_non_exhaustive()
    }
}
