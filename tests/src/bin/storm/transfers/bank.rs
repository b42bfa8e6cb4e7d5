//! The bank: what a transfer does in an open transaction, over either store.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;

use redb::{ReadableTable, TableDefinition};
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Store};
use rpc_runtime::{CallError, service};

use super::{ACCOUNTS, BALANCE};

/// Moves money, once.
#[service(name = "storm.bank", version = "1.0")]
pub(crate) trait Bank {
    /// Moves `cents` from one account to another; says how often transfer `number` was applied.
    #[rpc(exactly_once)]
    fn transfer(&self, number: u64, from: u64, to: u64, cents: u64) -> Result<u64, CallError>;
}

/// A store with two tables of numbers.
pub(crate) trait Books: Store {
    /// What stands under `key`.
    fn read(tx: &mut Self::Tx<'_>, table: Table, key: u64) -> Result<Option<u64>, Failed>;
    /// Writes it.
    fn write(tx: &mut Self::Tx<'_>, table: Table, key: u64, value: u64) -> Result<(), Failed>;
}

/// Why a table could not be used.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Accounts,
    Applied,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Applied => "applied",
        }
    }

    const fn redb(self) -> TableDefinition<'static, u64, u64> {
        TableDefinition::new(self.name())
    }
}

impl Books for Redb {
    fn read(
        tx: &mut redb::WriteTransaction,
        table: Table,
        key: u64,
    ) -> Result<Option<u64>, Failed> {
        let table = tx.open_table(table.redb())?;
        let value = table.get(key)?;
        Ok(value.map(|value| value.value()))
    }

    fn write(
        tx: &mut redb::WriteTransaction,
        table: Table,
        key: u64,
        value: u64,
    ) -> Result<(), Failed> {
        tx.open_table(table.redb())?.insert(key, value)?;
        Ok(())
    }
}

impl Books for Postgres {
    fn read(
        tx: &mut ::postgres::Transaction<'_>,
        table: Table,
        key: u64,
    ) -> Result<Option<u64>, Failed> {
        let query = format!("SELECT value FROM {} WHERE key = $1", table.name());
        let row = tx.query_opt(&query, &[&i64::try_from(key)?])?;
        Ok(row.map(|row| row.get::<_, i64>(0).cast_unsigned()))
    }

    fn write(
        tx: &mut ::postgres::Transaction<'_>,
        table: Table,
        key: u64,
        value: u64,
    ) -> Result<(), Failed> {
        let put = format!(
            "INSERT INTO {} VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            table.name()
        );
        tx.execute(&put, &[&i64::try_from(key)?, &i64::try_from(value)?])?;
        Ok(())
    }
}

/// The bank around an open transaction.
pub(crate) struct Open<'a, 't, S: Books> {
    tx: RefCell<&'a mut S::Tx<'t>>,
}

impl<'a, 't, S: Books> Open<'a, 't, S> {
    pub(crate) const fn new(tx: &'a mut S::Tx<'t>) -> Self {
        Self { tx: RefCell::new(tx) }
    }

    fn read(&self, table: Table, key: u64) -> Result<Option<u64>, CallError> {
        S::read(&mut self.tx.borrow_mut(), table, key).map_err(failed)
    }

    fn write(&self, table: Table, key: u64, value: u64) -> Result<(), CallError> {
        S::write(&mut self.tx.borrow_mut(), table, key, value).map_err(failed)
    }

    fn balance(&self, account: u64) -> Result<u64, CallError> {
        Ok(self.read(Table::Accounts, account)?.unwrap_or(BALANCE))
    }
}

impl<S: Books> Bank for Open<'_, '_, S> {
    fn transfer(&self, number: u64, from: u64, to: u64, cents: u64) -> Result<u64, CallError> {
        let left = self.balance(from)?.checked_sub(cents).ok_or_else(|| failed("empty"))?;
        self.write(Table::Accounts, from, left)?;
        let sum = self.balance(to)? + cents;
        self.write(Table::Accounts, to, sum)?;
        let times = self.read(Table::Applied, number)?.unwrap_or(0) + 1;
        self.write(Table::Applied, number, times)?;
        Ok(times)
    }
}

fn failed(why: impl ToString) -> CallError {
    CallError::failed(why.to_string())
}

/// What all accounts hold together, and how often each of `numbers` was applied.
pub(crate) fn close<S: Books>(
    store: &S,
    numbers: &[u64],
) -> Result<(u64, BTreeMap<u64, u64>), Failed> {
    let mut books = Ok((0, BTreeMap::new()));
    store.transact(&mut |tx| {
        books = read_all::<S>(tx, numbers);
        Commit::Undo
    })?;
    books
}

fn read_all<S: Books>(
    tx: &mut S::Tx<'_>,
    numbers: &[u64],
) -> Result<(u64, BTreeMap<u64, u64>), Failed> {
    let mut total = 0;
    for account in 0..ACCOUNTS {
        total += S::read(tx, Table::Accounts, account)?.unwrap_or(BALANCE);
    }
    let mut applied = BTreeMap::new();
    for &number in numbers {
        if let Some(times) = S::read(tx, Table::Applied, number)? {
            applied.insert(number, times);
        }
    }
    Ok((total, applied))
}
