//! The store of a server as a value, with the project's own transactions over it.
//!
//! What a transaction does besides (rows, fence, group commit) is `rpc_runtime::store`'s and the
//! server's code, taken up anew in each step; here are only the rows themselves and the effects of
//! handlers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rpc_runtime::address::Address;
use rpc_runtime::driver::{Gate, Link, LinkError, NoThread, World};
use rpc_runtime::ids::{GenerationId, Incarnation};
use rpc_runtime::protocol::{DurableTable, HandlerEnd};
use rpc_runtime::random::Rng;
use rpc_runtime::server::Ledger;
use rpc_runtime::server::explored::{self, DurableCall};
use rpc_runtime::store::{Commit, Durable, RowKey, Rows, Store, StoreError};
use rpc_runtime::time::Instant;

use crate::sides::{CLIENT, MEANT_SERVER, server_incarnation};

/// The first generation's name, less one.
const GENERATIONS: u64 = 0x500;

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Contents {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Calls whose effect is there, with the execution that had it.
    effects: Vec<(u8, u8)>,
    /// Generations that were ever made.
    made: u64,
}

impl Contents {
    /// How often a call's effect is there.
    pub(crate) fn effects_of(&self, number: u8) -> usize {
        self.effects.iter().filter(|(call, _)| *call == number).count()
    }

    /// A life of the server begins.
    pub(crate) fn take(&mut self) -> Incarnation {
        let mut taken = Incarnation::NONE;
        self.with(|store| {
            let durable = Durable::open(store, Arc::new(Nowhere)).expect("a sound store");
            taken = durable.incarnation();
            durable
        });
        taken
    }

    /// What the store says of the generation that a client wants.
    pub(crate) fn open(&mut self, life: u8, wanted: GenerationId) -> DurableTable {
        let fresh = GenerationId(GENERATIONS + self.made + 1);
        let mut table = DurableTable { generation: fresh, rows: Vec::new() };
        self.as_life(life, |durable| {
            table = durable.open_generation(CLIENT, wanted, fresh, 0).expect("a sound store");
        });
        self.made += u64::from(table.generation == fresh);
        table
    }

    /// Deletes a generation, by the server in this life.
    pub(crate) fn forget(&mut self, life: u8, generation: GenerationId) {
        self.as_life(life, |durable| {
            // A life that is over may no longer.
            let _ = durable.forget_generation(CLIENT, generation);
        });
    }

    /// Everything that clients left has become too old, while no server was up.
    pub(crate) fn retire(&mut self) {
        let rows = Rows::of_all_clients();
        self.rows.retain(|key, _| key.as_slice() < rows.from() || key.as_slice() >= rows.to());
    }

    /// Runs a handler in its transaction to the end.
    pub(crate) fn commit(
        &mut self,
        life: u8,
        call: DurableCall,
        (number, execution): (u8, u8),
        end: HandlerEnd,
    ) -> (HandlerEnd, Vec<u8>) {
        let mut ended = None;
        self.as_life(life, |durable| {
            ended = explored::run(durable, Arc::new(Nobody), call, move |tx: &mut Self| {
                tx.effects.push((number, execution));
                // A value's encoding begins with a zero.
                let place = [number, execution];
                let is_value = end == HandlerEnd::Returned;
                let body = if is_value { [&[0][..], &place].concat() } else { place.to_vec() };
                (end, body)
            });
        });
        ended.expect("a store that never fails leaves nothing in doubt")
    }

    fn as_life(&mut self, life: u8, act: impl FnOnce(&Arc<Durable<Value>>)) {
        self.with(|store| {
            let who = (MEANT_SERVER, server_incarnation(life));
            let durable = Arc::new(Durable::of_life(store, Arc::new(Nowhere), who));
            act(&durable);
            Arc::into_inner(durable).expect("nobody keeps it")
        });
    }

    /// Lets something happen to the store, and takes in what it holds then.
    fn with(&mut self, act: impl FnOnce(Value) -> Durable<Value>) {
        let durable = act(Value(Mutex::new(std::mem::take(self))));
        *self = std::mem::take(&mut *durable.store().lock());
    }
}

/// The store of a step.
#[derive(Debug)]
struct Value(Mutex<Contents>);

impl Value {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Value {
    type Tx<'t> = Contents;

    fn transact(&self, body: &mut dyn FnMut(&mut Contents) -> Commit) -> Result<(), StoreError> {
        let mut tx = self.lock().clone();
        match body(&mut tx) {
            Commit::Keep => *self.lock() = tx,
            Commit::Undo => {}
            Commit::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn get(tx: &mut Contents, key: RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(tx.rows.get(key.to_bytes().as_slice()).cloned())
    }

    fn put(tx: &mut Contents, key: RowKey, row: &[u8]) -> Result<(), StoreError> {
        tx.rows.insert(key.to_bytes().as_slice().to_vec(), row.to_vec());
        Ok(())
    }

    fn delete(tx: &mut Contents, key: RowKey) -> Result<(), StoreError> {
        tx.rows.remove(key.to_bytes().as_slice());
        Ok(())
    }

    fn scan(
        tx: &mut Contents,
        rows: Rows,
        limit: usize,
    ) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        let all = tx.rows.range(rows.from().to_vec()..rows.to().to_vec());
        let known =
            |(key, row): (&Vec<u8>, &Vec<u8>)| Some((RowKey::from_bytes(key)?, row.clone()));
        Ok(all.filter_map(known).take(limit).collect())
    }
}

/// The world that transactions of a single thread live in: nothing waits, and time stands still.
#[derive(Debug)]
struct Nowhere;

#[derive(Debug)]
struct Nobody;

/// Draws what the model's servers are called by.
#[derive(Debug)]
struct Named;

impl Gate for Nobody {
    fn wait(&self, _: Option<Instant>) {
        unreachable!("a single thread waits for nobody");
    }

    fn open(&self) {}
}

impl Rng for Named {
    fn next_u64(&mut self) -> u64 {
        MEANT_SERVER.0
    }

    fn below(&mut self, _: u64) -> u64 {
        server_incarnation(0).0
    }
}

impl World for Nowhere {
    fn now(&self) -> Instant {
        Instant::START
    }

    fn rng(&self) -> Box<dyn Rng> {
        Box::new(Named)
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation::NONE
    }

    fn gate(&self) -> Arc<dyn Gate> {
        Arc::new(Nobody)
    }

    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> Result<(), NoThread> {
        Err(NoThread("there is one".to_owned()))
    }

    fn listen(&self, place: &str) -> Result<Arc<dyn Link>, LinkError> {
        Err(LinkError::Unresolved(place.to_owned()))
    }

    fn dial(&self, place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        Err(LinkError::Unresolved(place.to_owned()))
    }
}
