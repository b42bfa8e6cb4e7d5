//! The service of `exactly_once`: its handler works in an open transaction, and what is counted is
//! what the store holds in the end. In the simulator that is a store on a simulated disk, on real
//! sockets redb in a folder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use redb::{ReadableTable, TableDefinition, TableError};
use rpc_runtime::sim::SimDisk;
use rpc_runtime::store::memory::{MemoryStore, MemoryTx};
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Commit, Durable, Store};
use rpc_runtime::{CallError, service};

use super::echo::Witness;

/// How long a simulated disk takes to flush.
pub(crate) const FLUSH_TAKES: Duration = Duration::from_millis(1);

/// How often each call's effect is in a store.
pub(crate) type Effects = BTreeMap<u64, u32>;

/// Why a store could not be read or written.
type Failed = Box<dyn Error + Send + Sync>;

/// One method, beside those of [`super::echo::Echo`].
#[service(name = "lab.vault", version = "1.0")]
pub(crate) trait Vault {
    #[rpc(exactly_once)]
    fn exactly_once(&self, call: u64) -> Result<u64, CallError>;
}

/// A store that counts effects.
pub(crate) trait Counting: Store {
    /// Counts one more of that call's.
    fn count(tx: &mut Self::Tx<'_>, call: u64) -> Result<(), Failed>;
}

impl Counting for MemoryStore {
    fn count(tx: &mut MemoryTx, call: u64) -> Result<(), Failed> {
        let key = call.to_be_bytes();
        let times = number(tx.get(&key)?) + 1;
        tx.put(&key, &times.to_le_bytes());
        Ok(())
    }
}

/// A row's value; none is zero.
fn number(row: Option<Vec<u8>>) -> u32 {
    row.and_then(|row| row.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// What redb counts in.
const EFFECTS: TableDefinition<'_, u64, u32> = TableDefinition::new("effects");

impl Counting for Redb {
    fn count(tx: &mut redb::WriteTransaction, call: u64) -> Result<(), Failed> {
        let mut table = tx.open_table(EFFECTS)?;
        let times = table.get(call)?.map_or(0, |times| times.value()) + 1;
        table.insert(call, times)?;
        Ok(())
    }
}

/// The service over `store`.
pub(crate) fn service<S: Counting>(store: &Arc<Durable<S>>, witness: Witness) -> VaultService<S> {
    VaultService::durable(store, move |tx, call| {
        call.on(&Open::<S> { tx: RefCell::new(tx), witness: &witness })
    })
}

/// The vault around an open transaction.
struct Open<'a, 't, S: Counting> {
    tx: RefCell<&'a mut S::Tx<'t>>,
    witness: &'a Witness,
}

impl<S: Counting> Vault for Open<'_, '_, S> {
    fn exactly_once(&self, call: u64) -> Result<u64, CallError> {
        self.witness.execute_in(call, || {
            S::count(&mut self.tx.borrow_mut(), call)
                .map_err(|error| CallError::failed(error.to_string()))
        })
    }
}

/// What is on these disks when the power has failed.
pub(crate) fn on_disks(disks: &[SimDisk]) -> Result<Effects, Box<dyn Error>> {
    let mut effects = Effects::new();
    for disk in disks {
        disk.crash();
        for (key, row) in MemoryStore::open(disk)?.peek_all() {
            let call = key.try_into().map_err(|_| "a key that is no call")?;
            *effects.entry(u64::from_be_bytes(call)).or_default() += number(Some(row));
        }
    }
    Ok(effects)
}

/// What these stores hold.
pub(crate) fn in_stores(stores: &[Arc<Durable<Redb>>]) -> Result<Effects, Failed> {
    let mut effects = Effects::new();
    for store in stores {
        let mut rows = Ok(Vec::new());
        store.store().transact(&mut |tx| {
            rows = read_all(tx);
            Commit::Undo
        })?;
        for (call, times) in rows? {
            *effects.entry(call).or_default() += times;
        }
    }
    Ok(effects)
}

fn read_all(tx: &mut redb::WriteTransaction) -> Result<Vec<(u64, u32)>, Failed> {
    let table = match tx.open_table(EFFECTS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (call, times) = row?;
        rows.push((call.value(), times.value()));
    }
    Ok(rows)
}
