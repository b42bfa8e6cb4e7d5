//! A store for tests: a database in memory over a simulated disk, which loses what was not flushed
//! and tears the last write.
//!
//! Its log is a list of transactions, each with a length and a checksum, replayed at opening up to
//! the first that is not whole. Transactions are optimistic: nobody waits for another, and one that
//! finds that another has committed since it began runs again. So a transaction may be open while
//! virtual time passes, as that of a process that stalls.
//!
//! A [`MemoryStore`] that one host opens is an embedded database: it dies with its host. Clones in
//! several hosts are clients of one database server, which survives them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Commit, RowKey, Rows, Store, StoreError, StoreErrorKind};
use crate::sim::disk::{DiskError, SimDisk, SimFile};
use crate::sim::threads::{current_world, sleep};
use crate::time::{Duration, Instant};

mod log;

/// How often a transaction is begun before its conflicts are reported.
const TRIES_MAX: u32 = 100;

/// How long one that wants to commit waits when another is about to.
const COMMIT_RETRY: Duration = Duration::from_micros(50);

/// How long a database goes on with a commit whose connection broke.
pub const LANDING: Duration = Duration::from_secs(2);

/// A log of that length is replaced by what it says, if that is a quarter of it.
const LOG_BYTES_MAX: usize = 1 << 20;

/// A key of the database: whose table, and the key in it.
type Key = (Table, Vec<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Runtime,
    Application,
}

/// What a transaction writes; nothing for a row that it deletes.
type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// What a connection does wrong by chance. All zero by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreFaults {
    /// It breaks before the transaction commits.
    pub lost_before_commit: f64,
    /// It breaks while the transaction commits, and the database takes its time: everybody sees
    /// [two seconds](LANDING) later that it did commit.
    pub lost_in_commit: f64,
    /// It breaks while the transaction commits, which it does.
    pub lost_after_commit: f64,
    /// The transaction has to run again.
    pub conflict: f64,
}

/// A database in memory over a simulated disk. Clones are the same database.
#[derive(Clone)]
pub struct MemoryStore {
    database: Arc<Mutex<Database>>,
}

struct Database {
    file: SimFile,
    rows: BTreeMap<Key, Vec<u8>>,
    /// Transactions committed since it was opened.
    commits: u64,
    /// One is being flushed.
    is_committing: bool,
    /// It is that one, whose connection broke, and is flushed then.
    landing: Option<(Instant, Writes)>,
    log_bytes: usize,
    rows_bytes: usize,
    cut_bytes: usize,
    faults: StoreFaults,
}

impl MemoryStore {
    /// Opens the database on that disk.
    ///
    /// # Errors
    ///
    /// It is open elsewhere.
    pub fn open(disk: &SimDisk) -> Result<Self, StoreError> {
        let file = disk.open().map_err(from_disk)?;
        let bytes = file.read().map_err(from_disk)?;
        let mut rows = BTreeMap::new();
        let whole_bytes = log::replay(&bytes, |key, row| put(&mut rows, key, row));
        let mut database = Database {
            file,
            rows_bytes: rows.iter().map(|((_, key), row)| key.len() + row.len()).sum(),
            rows,
            commits: 0,
            is_committing: false,
            landing: None,
            log_bytes: whole_bytes,
            cut_bytes: bytes.len() - whole_bytes,
            faults: StoreFaults::default(),
        };
        if database.cut_bytes > 0 {
            database.compact().map_err(from_disk)?;
        }
        Ok(Self { database: Arc::new(Mutex::new(database)) })
    }

    /// A database on a disk of its own, without chance.
    #[must_use]
    pub fn new() -> Self {
        Self::open(&SimDisk::new(0, 0)).expect("nobody else has the disk")
    }

    fn lock(&self) -> MutexGuard<'_, Database> {
        let database = self.lock_only();
        // A thread that unwinds perhaps does so because its world has ended, and asks it nothing.
        if database.landing.is_none() || std::thread::panicking() {
            return database;
        }
        drop(database);
        let now = current_world().map(|world| world.now());
        let mut database = self.lock_only();
        database.land(now);
        database
    }

    fn lock_only(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what connections do wrong from now on.
    pub fn set_faults(&self, faults: StoreFaults) {
        self.lock().faults = faults;
    }

    /// The application's row of that key, as last committed.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().rows.get(&(Table::Application, key.to_vec())).cloned()
    }

    /// The application's rows, as last committed.
    #[must_use]
    pub fn peek_all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let database = self.lock();
        let rows = database.rows.range((Table::Application, Vec::new())..);
        rows.map(|((_, key), row)| (key.clone(), row.clone())).collect()
    }

    /// How many bytes of a torn log were cut off at opening.
    #[must_use]
    pub fn cut_bytes(&self) -> usize {
        self.lock().cut_bytes
    }

    /// One try: `None` when it has to run again.
    fn attempt(
        &self,
        body: &mut dyn FnMut(&mut MemoryTx) -> Commit,
    ) -> Option<Result<(), StoreError>> {
        let commits = self.lock().commits;
        let mut tx = MemoryTx { store: self.clone(), commits, writes: BTreeMap::new() };
        match body(&mut tx) {
            Commit::Undo => Some(Ok(())),
            Commit::Failed(error) if error.kind() == StoreErrorKind::Conflict => None,
            Commit::Failed(error) => Some(Err(error)),
            Commit::Keep => tx.commit().transpose(),
        }
    }
}

impl Store for MemoryStore {
    type Tx<'t> = MemoryTx;

    fn transact(&self, body: &mut dyn FnMut(&mut MemoryTx) -> Commit) -> Result<(), StoreError> {
        for _ in 0..TRIES_MAX {
            if let Some(ended) = self.attempt(body) {
                return ended;
            }
        }
        Err(StoreError::new(StoreErrorKind::Conflict, format!("{TRIES_MAX} tries")))
    }

    fn get(tx: &mut MemoryTx, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        tx.read((Table::Runtime, key.to_bytes().as_slice().to_vec()))
    }

    fn put(tx: &mut MemoryTx, key: RowKey, row: &[u8]) -> Result<(), StoreError> {
        tx.write((Table::Runtime, key.to_bytes().as_slice().to_vec()), Some(row.to_vec()));
        Ok(())
    }

    fn delete(tx: &mut MemoryTx, key: RowKey) -> Result<(), StoreError> {
        tx.write((Table::Runtime, key.to_bytes().as_slice().to_vec()), None);
        Ok(())
    }

    fn scan(
        tx: &mut MemoryTx,
        rows: Rows,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let mut found = tx.database()?.range(rows);
        for (key, row) in within(&tx.writes, rows) {
            put(&mut found, key.clone(), row.clone());
        }
        found.into_iter().take(limit).map(as_row).collect()
    }

    fn look(&self, rows: Rows, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        self.lock().range(rows).into_iter().take(limit).map(as_row).collect()
    }
}

/// An open transaction: what it reads is as it was when it began, and its own writes.
#[derive(Debug)]
pub struct MemoryTx {
    store: MemoryStore,
    /// The commits that it knows.
    commits: u64,
    writes: Writes,
}

impl MemoryTx {
    /// The application's row of that key.
    ///
    /// # Errors
    ///
    /// Another transaction has committed meanwhile: this one cannot be kept, and runs again.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read((Table::Application, key.to_vec()))
    }

    /// Writes a row of the application.
    pub fn put(&mut self, key: &[u8], row: &[u8]) {
        self.write((Table::Application, key.to_vec()), Some(row.to_vec()));
    }

    /// Deletes a row of the application, if there is one.
    pub fn delete(&mut self, key: &[u8]) {
        self.write((Table::Application, key.to_vec()), None);
    }

    fn read(&mut self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(written) = self.writes.get(&key) {
            return Ok(written.clone());
        }
        Ok(self.database()?.rows.get(&key).cloned())
    }

    fn write(&mut self, key: Key, row: Option<Vec<u8>>) {
        self.writes.insert(key, row);
    }

    /// The database, if it is still as this transaction knows it.
    fn database(&self) -> Result<MutexGuard<'_, Database>, StoreError> {
        let database = self.store.lock();
        if database.commits == self.commits {
            return Ok(database);
        }
        Err(StoreError::new(StoreErrorKind::Conflict, "another transaction has committed"))
    }

    /// Commits; `Ok(None)` when it has to run again.
    fn commit(self) -> Result<Option<()>, StoreError> {
        let Self { store, commits, writes } = self;
        let now = current_world().map(|world| world.now());
        let mut database = store.lock();
        while database.is_committing {
            drop(database);
            sleep(COMMIT_RETRY);
            database = store.lock();
        }
        let faults = database.faults;
        let lost = || StoreError::new(StoreErrorKind::Lost, "as the test wished");
        if database.commits != commits || database.file.chance(faults.conflict) {
            return Ok(None);
        }
        if database.file.chance(faults.lost_before_commit) {
            return Err(lost());
        }
        if !writes.is_empty() {
            let record = log::record(&writes);
            database.file.append(&record).map_err(from_disk)?;
            database.log_bytes += record.len();
            if database.file.chance(faults.lost_in_commit) {
                database.is_committing = true;
                let until = now.map_or(Instant::START, |now| now + LANDING);
                database.landing = Some((until, writes));
                return Err(lost().doubtful());
            }
            let flushing = Flushing { store: &store, writes: Some(writes) };
            let flush_takes = database.file.disk().flush_takes();
            if flush_takes > Duration::ZERO && current_world().is_some() {
                database.is_committing = true;
                drop(database);
                sleep(flush_takes);
                database = store.lock();
            }
            flushing.end(&mut database).map_err(|error| from_disk(error).doubtful())?;
        }
        if database.file.chance(faults.lost_after_commit) {
            return Err(lost().doubtful());
        }
        Ok(Some(()))
    }
}

/// A transaction that is written and not yet flushed. If its thread dies there, chance says whether
/// the database got so far.
struct Flushing<'s> {
    store: &'s MemoryStore,
    writes: Option<Writes>,
}

impl Flushing<'_> {
    fn end(mut self, database: &mut Database) -> Result<(), DiskError> {
        let writes = self.writes.take().expect("ends once");
        database.finish(writes)
    }
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        let Some(writes) = self.writes.take() else { return };
        let mut database = self.store.lock();
        // After a crash of the disk there is no database any more, and nothing to report to.
        let _gone = if database.file.chance(0.5) {
            database.finish(writes)
        } else {
            database.is_committing = false;
            database.file.take_back()
        };
    }
}

impl Database {
    fn range(&self, rows: Rows) -> BTreeMap<Key, Vec<u8>> {
        within(&self.rows, rows).map(|(key, row)| (key.clone(), row.clone())).collect()
    }

    /// Ends a commit whose connection broke, if it is time.
    fn land(&mut self, now: Option<Instant>) {
        if let Some((_, writes)) =
            self.landing.take_if(|(until, _)| now.is_none_or(|now| now >= *until))
        {
            // After a crash of the disk there is no database any more, and nobody to report to.
            let _gone = self.finish(writes);
        }
    }

    /// Flushes what was written, and lets everybody see it.
    fn finish(&mut self, writes: Writes) -> Result<(), DiskError> {
        self.is_committing = false;
        self.file.flush()?;
        for (key, row) in writes {
            self.rows_bytes += key.1.len() + row.as_ref().map_or(0, Vec::len);
            let key_bytes = key.1.len();
            let replaced = put(&mut self.rows, key, row);
            self.rows_bytes -= replaced.map_or(0, |row| key_bytes + row.len());
        }
        self.commits += 1;
        if self.log_bytes > LOG_BYTES_MAX && self.log_bytes / 4 > self.rows_bytes {
            // A disk too full for that keeps the long log.
            let _full = self.compact();
        }
        Ok(())
    }

    /// Replaces the log by one transaction that says what it says.
    fn compact(&mut self) -> Result<(), DiskError> {
        let rows = self.rows.iter().map(|(key, row)| (key.clone(), Some(row.clone()))).collect();
        let record = log::record(&rows);
        self.file.replace(&record)?;
        self.log_bytes = record.len();
        Ok(())
    }
}

/// Writes or deletes a row; what was there before.
fn put(rows: &mut BTreeMap<Key, Vec<u8>>, key: Key, row: Option<Vec<u8>>) -> Option<Vec<u8>> {
    match row {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    }
}

/// The entries whose keys are among these rows.
fn within<V>(map: &BTreeMap<Key, V>, rows: Rows) -> impl Iterator<Item = (&Key, &V)> {
    let from = (Table::Runtime, rows.from().to_vec());
    let to = (Table::Runtime, rows.to().to_vec());
    let is_empty = from >= to;
    map.range(from.clone()..to.max(from)).filter(move |_| !is_empty)
}

fn as_row(((_, key), row): (Key, Vec<u8>)) -> Result<(RowKey, Vec<u8>), StoreError> {
    let unknown = || StoreError::new(StoreErrorKind::Corrupt, "a row that nobody names");
    Ok((RowKey::from_bytes(&key).ok_or_else(unknown)?, row))
}

fn from_disk(error: DiskError) -> StoreError {
    let kind = match error {
        DiskError::InUse => StoreErrorKind::InUse,
        DiskError::Full => StoreErrorKind::DiskFull,
        DiskError::Gone => StoreErrorKind::Lost,
    };
    StoreError::new(kind, error.to_string())
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.lock();
        f.debug_struct("MemoryStore")
            .field("rows", &database.rows.len())
            .field("commits", &database.commits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
