//! The application's own PostgreSQL as the store: where people keep money.
//!
//! The runtime has one table, [`TABLE`], in the first schema of the connection's search path, and
//! makes it if it is not there. Transactions are serialisable unless told otherwise; one that
//! PostgreSQL ends for the sake of another runs again. A broken connection is opened anew by the
//! next transaction.
//!
//! Two traps are taken care of. A transaction in which a statement failed is rolled back by COMMIT
//! without an error, so each is asked before whether it is well. And a connection that breaks
//! during COMMIT leaves it open whether the transaction is in: such an error [is
//! doubtful](StoreError::is_doubtful).
#![expect(clippy::disallowed_methods, reason = "a transaction that was in others' way waits")]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Client, Config, IsolationLevel, NoTls, Row, Transaction};

use super::key::KeyBytes;
use super::{Commit, RowKey, Rows, Store, StoreError, StoreErrorKind};
use crate::time::Duration;

/// The name of the runtime's own table.
pub const TABLE: &str = "rpc_runtime_rows";

/// How often a transaction is begun before its conflicts are reported.
const TRIES_MAX: u32 = 12;

/// How often a body that undid its work after a failed statement is run, in case the statement
/// failed because of others.
const UNDONE_TRIES_MAX: u32 = 3;

/// The longest wait between two tries, which double.
const BACK_OFF_MAX: Duration = Duration::from_millis(50);

/// How long it may take to connect; how long the other side may leave what was sent to it without an
/// answer of its network's; and how often it is asked for one where nothing is to be sent.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// What the driver takes for [`PROBE_EVERY`] where it is told nothing.
const KEEPALIVES_IDLE_DEFAULT: Duration = Duration::from_secs(2 * 60 * 60);

/// What a new connection is told. A server that stalls with the fence's row in its hand is cut off,
/// so that its next life can begin. A commit that is not on the disk is none.
const GREETING: &str = "
    SET idle_in_transaction_session_timeout = '60s';
    SET lock_timeout = '10s';
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off';
";

const MAKE_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS rpc_runtime_rows (key bytea PRIMARY KEY, contents bytea NOT NULL)";
const GET: &str = "SELECT contents FROM rpc_runtime_rows WHERE key = $1";
/// The row of the incarnation is held until the transaction ends: a later life waits for that. Held
/// as if to be written, so that two lives that begin at once queue up instead of blocking each other.
const GET_AND_HOLD: &str = "SELECT contents FROM rpc_runtime_rows WHERE key = $1 FOR UPDATE";
const PUT: &str = "INSERT INTO rpc_runtime_rows (key, contents) VALUES ($1, $2) \
                   ON CONFLICT (key) DO UPDATE SET contents = excluded.contents";
const GET_ALL: &str = "SELECT key, contents FROM rpc_runtime_rows WHERE key = ANY($1)";
const PUT_ALL: &str = "INSERT INTO rpc_runtime_rows (key, contents) \
                       SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                       ON CONFLICT (key) DO UPDATE SET contents = excluded.contents";
const DELETE: &str = "DELETE FROM rpc_runtime_rows WHERE key = $1";
const SCAN: &str = "SELECT key, contents FROM rpc_runtime_rows \
                    WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3";

/// A PostgreSQL database.
pub struct Postgres {
    config: Config,
    isolation: IsolationLevel,
    /// The connection that writes.
    writer: Mutex<Option<Client>>,
    /// The connection that looks, so that nobody waits for a handler.
    reader: Mutex<Option<Client>>,
}

impl Postgres {
    /// Connects, as `postgres://user@host/database` or `host=/run/postgresql user=bank` says.
    /// Without TLS: over a Unix socket or a network of one's own.
    ///
    /// # Errors
    ///
    /// The text cannot be read, the database cannot be reached, or the runtime's table not be made.
    pub fn open(config: &str) -> Result<Self, StoreError> {
        let config: Config = config.parse().map_err(|error: postgres::Error| {
            StoreError::new(StoreErrorKind::CannotOpen, words(&error))
        })?;
        Self::open_config(config)
    }

    /// Connects as `config` says. Where it leaves that open, a network that falls silent is noticed
    /// within half a minute, instead of whenever the system gives a connection up.
    ///
    /// # Errors
    ///
    /// See [`Postgres::open`].
    pub fn open_config(config: Config) -> Result<Self, StoreError> {
        let store = Self {
            config: impatient(config),
            isolation: IsolationLevel::Serializable,
            writer: Mutex::new(None),
            reader: Mutex::new(None),
        };
        let client = store.connect()?;
        *store.writer() = Some(client);
        Ok(store)
    }

    /// Sets how transactions are kept apart. Below [`IsolationLevel::Serializable`] the application
    /// locks the rows that it reads and writes (`SELECT … FOR UPDATE`). Below
    /// [`IsolationLevel::RepeatableRead`] PostgreSQL does not tell one transaction that another wrote
    /// what it had found missing, so that a call could run twice: there all transactions of this
    /// store run one after another, over all processes that have it open. A process whose handler
    /// stalls keeps the next one from starting then, for a minute at most.
    #[must_use]
    pub fn isolation(mut self, isolation: IsolationLevel) -> Self {
        self.isolation = isolation;
        self
    }

    /// How transactions are kept apart.
    #[must_use]
    pub const fn isolation_level(&self) -> IsolationLevel {
        self.isolation
    }

    /// How it connects.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a transaction that writes a row fails if another wrote it since this one began.
    fn has_snapshots(&self) -> bool {
        !matches!(self.isolation, IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted)
    }

    fn writer(&self) -> MutexGuard<'_, Option<Client>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Client, StoreError> {
        let cannot =
            |error: postgres::Error| StoreError::new(StoreErrorKind::CannotOpen, words(&error));
        let mut client = self.config.connect(NoTls).map_err(cannot)?;
        client.batch_execute(GREETING).map_err(cannot)?;
        // Two that make it at the same time: one fails, and finds it the second time.
        client
            .batch_execute(MAKE_TABLE)
            .or_else(|_| client.batch_execute(MAKE_TABLE))
            .map_err(cannot)?;
        Ok(client)
    }

    /// The connection in `place`, opened anew if it is known to be broken.
    fn connected<'c>(&self, place: &'c mut Option<Client>) -> Result<&'c mut Client, StoreError> {
        if place.as_ref().is_none_or(Client::is_closed) {
            *place = None;
            *place = Some(self.connect().map_err(lost)?);
        }
        Ok(place.as_mut().expect("it was put there"))
    }

    /// One try.
    fn attempt(
        &self,
        client: &mut Client,
        body: &mut dyn FnMut(&mut Transaction<'_>) -> Commit,
    ) -> Result<End, StoreError> {
        let builder = client.build_transaction().isolation_level(self.isolation);
        let mut tx = match builder.start() {
            Ok(tx) => tx,
            Err(error) => return Ok(End::NotBegun(failed(error))),
        };
        if !self.has_snapshots() {
            Self::get(&mut tx, RowKey::Incarnation)?;
        }
        match body(&mut tx) {
            Commit::Keep => {
                tx.batch_execute("SELECT 1").map_err(failed)?;
                tx.commit().map_err(at_commit)?;
                Ok(End::Kept)
            }
            Commit::Undo => {
                let is_well = tx.batch_execute("SELECT 1").map_err(failed);
                match is_well {
                    Ok(()) => tx.rollback().map_err(failed).map(|()| End::Undone),
                    Err(error) if error.kind() == StoreErrorKind::Conflict => {
                        tx.rollback().map_err(failed).map(|()| End::UndoneInDoubt)
                    }
                    Err(error) => Err(error),
                }
            }
            Commit::Failed(error) => Err(error),
        }
    }
}

/// The same, with patience for each that is not told to have another.
fn impatient(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_PATIENCE);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    if config.get_keepalives_idle() == KEEPALIVES_IDLE_DEFAULT {
        config.keepalives_idle(PROBE_EVERY);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(PROBE_EVERY);
    }
    config
}

enum End {
    /// The connection broke while nobody looked.
    NotBegun(StoreError),
    Kept,
    Undone,
    /// The body undid its work when a statement had failed, perhaps because of others.
    UndoneInDoubt,
}

impl Store for Postgres {
    type Tx<'t> = Transaction<'t>;

    fn transact(
        &self,
        body: &mut dyn FnMut(&mut Transaction<'_>) -> Commit,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let mut tries = 0;
        loop {
            let client = self.connected(&mut writer)?;
            tries += 1;
            let tried = catch_unwind(AssertUnwindSafe(|| self.attempt(client, body)));
            let is_closed = client.is_closed();
            let error = match tried {
                Ok(Ok(End::Kept | End::Undone)) => return Ok(()),
                Ok(Ok(End::NotBegun(_))) if is_closed && tries == 1 => continue,
                Ok(Ok(End::NotBegun(error))) => error,
                Ok(Ok(End::UndoneInDoubt)) if tries >= UNDONE_TRIES_MAX => return Ok(()),
                Ok(Ok(End::UndoneInDoubt)) => continue,
                Ok(Err(error)) => error,
                Err(panic) => {
                    drop(writer); // in order: the transaction was rolled back on the way here
                    resume_unwind(panic)
                }
            };
            if is_closed {
                *writer = None;
                return Err(lost(error));
            }
            if error.kind() != StoreErrorKind::Conflict || tries >= TRIES_MAX {
                return Err(error);
            }
            std::thread::sleep(BACK_OFF_MAX.min(Duration::from_micros(100 << tries)));
        }
    }

    fn get(tx: &mut Transaction<'_>, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let statement = if key == RowKey::Incarnation { GET_AND_HOLD } else { GET };
        let key = key.to_bytes();
        let rows = tx.query_typed(statement, &[(&key.as_slice(), Type::BYTEA)]).map_err(failed)?;
        rows.first().map(|row| row.try_get(0).map_err(failed)).transpose()
    }

    fn put(tx: &mut Transaction<'_>, key: RowKey, row: &[u8]) -> Result<(), StoreError> {
        let key = key.to_bytes();
        let fields: [Field<'_>; 2] = [(&key.as_slice(), Type::BYTEA), (&row, Type::BYTEA)];
        tx.execute_typed(PUT, &fields).map_err(failed)?;
        Ok(())
    }

    fn delete(tx: &mut Transaction<'_>, key: RowKey) -> Result<(), StoreError> {
        let key = key.to_bytes();
        tx.execute_typed(DELETE, &[(&key.as_slice(), Type::BYTEA)]).map_err(failed)?;
        Ok(())
    }

    fn get_all(
        tx: &mut Transaction<'_>,
        keys: &[RowKey],
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let keys: Vec<_> = keys.iter().map(|key| key.to_bytes()).collect();
        let keys: Vec<_> = keys.iter().map(KeyBytes::as_slice).collect();
        read(&tx.query_typed(GET_ALL, &[(&keys, Type::BYTEA_ARRAY)]).map_err(failed)?)
    }

    fn put_all(tx: &mut Transaction<'_>, rows: &[(RowKey, &[u8])]) -> Result<(), StoreError> {
        let keys: Vec<_> = rows.iter().map(|(key, _)| key.to_bytes()).collect();
        let keys: Vec<_> = keys.iter().map(KeyBytes::as_slice).collect();
        let rows: Vec<_> = rows.iter().map(|(_, row)| *row).collect();
        let fields: [Field<'_>; 2] = [(&keys, Type::BYTEA_ARRAY), (&rows, Type::BYTEA_ARRAY)];
        tx.execute_typed(PUT_ALL, &fields).map_err(failed)?;
        Ok(())
    }

    fn scan(
        tx: &mut Transaction<'_>,
        rows: Rows,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let range: [Field<'_>; 3] =
            [(&rows.from(), Type::BYTEA), (&rows.to(), Type::BYTEA), (&limit, Type::INT8)];
        read(&tx.query_typed(SCAN, &range).map_err(failed)?)
    }

    /// To read the row of the incarnation is to hold it, and this waits for whoever does.
    fn settle(&self) -> Result<(), StoreError> {
        self.transact(&mut |tx| {
            Commit::of(|| Self::get(tx, RowKey::Incarnation).map(|_held| Commit::Undo))
        })
    }

    fn look(&self, rows: Rows, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let range: [Field<'_>; 3] =
            [(&rows.from(), Type::BYTEA), (&rows.to(), Type::BYTEA), (&limit, Type::INT8)];
        let mut found = self.connected(&mut reader)?.query_typed(SCAN, &range);
        if reader.as_ref().is_none_or(Client::is_closed) {
            found = self.connected(&mut reader)?.query_typed(SCAN, &range);
        }
        read(&found.map_err(failed)?)
    }
}

/// A parameter of a statement, and its type.
type Field<'f> = (&'f (dyn ToSql + Sync), Type);

fn read(rows: &[Row]) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
    let unknown = || StoreError::new(StoreErrorKind::Corrupt, "a row that nobody names");
    rows.iter()
        .map(|row| {
            let key = RowKey::from_bytes(row.try_get(0).map_err(failed)?).ok_or_else(unknown)?;
            Ok((key, row.try_get(1).map_err(failed)?))
        })
        .collect()
}

fn failed(error: postgres::Error) -> StoreError {
    let Some(code) = error.code() else {
        let kind = if error.is_closed() { StoreErrorKind::Lost } else { StoreErrorKind::Other };
        return StoreError::new(kind, words(&error));
    };
    let in_the_way = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        // A statement failed and the body went on: why is not known any more. Others, perhaps.
        SqlState::IN_FAILED_SQL_TRANSACTION,
    ];
    let kind = match code {
        code if in_the_way.contains(code) => StoreErrorKind::Conflict,
        code if *code == SqlState::DISK_FULL => StoreErrorKind::DiskFull,
        // Class 08: the connection; class 57: the operator ended it.
        code if code.code().starts_with("08") => StoreErrorKind::Lost,
        code if code.code().starts_with("57P") => StoreErrorKind::Lost,
        _ => StoreErrorKind::Other,
    };
    StoreError::new(kind, words(&error))
}

/// A failure of COMMIT. Only an answer of the database that it was rolled back is certain.
fn at_commit(error: postgres::Error) -> StoreError {
    let code = error.code().map_or("", SqlState::code);
    let is_rolled_back = (code.starts_with("40") && code != "40003") || code.starts_with("23");
    let error = failed(error);
    if is_rolled_back { error } else { error.doubtful() }
}

/// A failure on a connection that is found broken, whatever the failure says.
fn lost(error: StoreError) -> StoreError {
    let lost = StoreError::new(StoreErrorKind::Lost, error.detail());
    if error.is_doubtful() { lost.doubtful() } else { lost }
}

/// What PostgreSQL says, with its code; the error's own text leaves that to its source.
fn words(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{}: {}", said.code().code(), said.message()),
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("config", &self.config) // leaves the password out
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_network_is_noticed_unless_somebody_has_more_patience() {
        let patience = |text: &str| {
            let config = impatient(text.parse().expect("it can be read"));
            let (connect, user) = (config.get_connect_timeout(), config.get_tcp_user_timeout());
            let seconds = |one: Option<&Duration>| one.map(Duration::as_secs);
            let probes = [Some(config.get_keepalives_idle()), config.get_keepalives_interval()];
            (seconds(connect), seconds(user), probes.map(|one| one.map(|one| one.as_secs())))
        };
        assert_eq!(patience("host=db"), (Some(10), Some(30), [Some(10), Some(10)]));
        let own = "host=db connect_timeout=1 tcp_user_timeout=2 keepalives_idle=3 \
                   keepalives_interval=4";
        assert_eq!(patience(own), (Some(1), Some(2), [Some(3), Some(4)]));
    }
}
