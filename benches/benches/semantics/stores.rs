//! What the bench asks of a store beside the library's own trait: the application's row of a call,
//! and both rows of many calls in the database's own words, with nothing of the library around.

use std::error::Error;

use postgres::{Client, NoTls};
use redb::TableDefinition;
use rpc_runtime::ids::{ClientId, GenerationId, Sequence, SlotIndex};
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::record::SlotRecord;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{RowKey, Store};
use rpc_runtime::wire::ReplyStatus;

/// What went wrong, on whichever thread.
pub(crate) type Trouble = Box<dyn Error + Send + Sync>;

/// A store with an application in it: accounts with a balance.
pub(crate) trait Bank: Store {
    /// The effect of one call: one row of the application's.
    fn pay(tx: &mut Self::Tx<'_>, account: u64, cents: u64) -> Result<(), Trouble>;

    /// The database without the library: one writer.
    type Bare;

    /// Commits the two rows of each of these calls in one transaction.
    fn commit_bare(bare: &mut Self::Bare, calls: &[(u64, u64)]) -> Result<(), Trouble>;
}

/// The key of a call's own row, other than any that a client of the bench has.
pub(crate) fn slot(account: u64) -> RowKey {
    let index = u32::try_from(account).expect("accounts are few");
    RowKey::Slot(ClientId(1), GenerationId(1), SlotIndex(index))
}

/// A call's own row, as long as those of the calls that are measured.
pub(crate) fn record(number: u64) -> Vec<u8> {
    let (sequence, status) = (Sequence(number), ReplyStatus::Returned);
    let reply = &[0, 1];
    SlotRecord { sequence, digest: 1, identity: number, status, is_acked: false, reply }.to_row()
}

const ACCOUNTS: TableDefinition<'static, u64, u64> = TableDefinition::new("accounts");
const BARE_ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("bare");

impl Bank for Redb {
    fn pay(tx: &mut redb::WriteTransaction, account: u64, cents: u64) -> Result<(), Trouble> {
        tx.open_table(ACCOUNTS)?.insert(account, cents)?;
        Ok(())
    }

    type Bare = redb::Database;

    fn commit_bare(bare: &mut redb::Database, calls: &[(u64, u64)]) -> Result<(), Trouble> {
        let tx = bare.begin_write()?;
        {
            let mut accounts = tx.open_table(ACCOUNTS)?;
            let mut rows = tx.open_table(BARE_ROWS)?;
            for (account, number) in calls {
                accounts.insert(account, number)?;
                rows.insert(slot(*account).to_bytes().as_slice(), record(*number).as_slice())?;
            }
        }
        Ok(tx.commit()?)
    }
}

/// The tables of the bench, beside the library's.
const MAKE_TABLES: &str =
    "CREATE TABLE accounts (name bigint PRIMARY KEY, balance bigint NOT NULL);
    CREATE TABLE bare (key bytea PRIMARY KEY, contents bytea NOT NULL)";
const PAY: &str = "INSERT INTO accounts VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET balance = excluded.balance";
const PUT: &str = "INSERT INTO bare VALUES ($1, $2) \
                   ON CONFLICT (key) DO UPDATE SET contents = excluded.contents";

/// A connection to PostgreSQL with its statements.
pub(crate) struct BarePostgres {
    client: Client,
    pay: postgres::Statement,
    put: postgres::Statement,
}

impl BarePostgres {
    /// Connects, and makes the tables of the bench.
    pub(crate) fn connect(config: &str) -> Result<Self, Trouble> {
        let mut client = Client::connect(config, NoTls)?;
        client.batch_execute(MAKE_TABLES)?;
        let (pay, put) = (client.prepare(PAY)?, client.prepare(PUT)?);
        Ok(Self { client, pay, put })
    }
}

impl Bank for Postgres {
    fn pay(tx: &mut postgres::Transaction<'_>, account: u64, cents: u64) -> Result<(), Trouble> {
        use postgres::types::Type;
        let (account, cents) = (account.cast_signed(), cents.cast_signed());
        tx.execute_typed(PAY, &[(&account, Type::INT8), (&cents, Type::INT8)])?;
        Ok(())
    }

    type Bare = BarePostgres;

    fn commit_bare(bare: &mut BarePostgres, calls: &[(u64, u64)]) -> Result<(), Trouble> {
        let mut tx = bare.client.transaction()?;
        for (account, number) in calls {
            tx.execute(&bare.pay, &[&account.cast_signed(), &number.cast_signed()])?;
            let (key, row) = (slot(*account).to_bytes(), record(*number));
            tx.execute(&bare.put, &[&key.as_slice(), &row.as_slice()])?;
        }
        Ok(tx.commit()?)
    }
}
