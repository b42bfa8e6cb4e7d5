//! Etcd as the store of several binders: all that they agree on is agreed on there.
//!
//! ```text
//!   desk ──begin──► committing thread ──txn──► etcd ◄──prolong── keeping threads
//!    ▲                    │                     │                     ▲
//!    └──────news──── inbox ◄────── watching ◄───┘      renewals ──────┘
//! ```
//!
//! Every batch writes one key, the epoch, and is kept only if that was last written by the batch that was
//! known when it was planned: so no two binders rely on what the other has just changed. What was kept is
//! learnt from the watch, in etcd's order, like what others did. Leases are etcd's. It is spoken to by its
//! JSON gateway. Does not know what registrations mean.

mod commit;
#[cfg(test)]
mod fake;
mod gateway;
mod leases;
mod message;
mod rows;
mod url;
mod watch;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use rpc_runtime::binder::{RegistrationId, Revision};
use rpc_runtime::driver::{Gate, World};
use rpc_runtime::random::Rng;
use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::time::{Duration, Instant};

use super::shared::{BatchId, Leases, News, Room, SharedStore};
use crate::registry::plan::Change;
use commit::Commit;
use gateway::{Gateway, Trouble};
use leases::Table;
use message::{
    Bytes, Compare, EtcdRevision, GrantAnswer, GrantRequest, Number, Operation, PutRequest,
    RangeRequest, TxnAnswer, TxnRequest,
};
use rows::Keys;

pub use url::EtcdUrl;

/// Etcd's limit for the operations of one transaction, less the epoch's.
const CHANGES_MAX: usize = 127;
/// What is written at a time, in bytes: with base64 well below etcd's 1.5 MiB for a request.
const BATCH_BYTES_MAX: usize = 768 << 10;
/// How long etcd may take at start.
const START: Duration = Duration::from_secs(10);
/// News that may wait to be taken.
const NEWS_MAX: usize = 4_096;
/// The version of the keys.
const FORMAT: u32 = 1;
/// Bits of a revision that are etcd's: 8 years of 1,000 changes a second.
const REVISION_BITS: u32 = 38;

/// Registrations in etcd.
#[derive(Debug)]
pub struct Etcd {
    shared: Arc<Shared>,
    commits: SyncSender<Commit>,
    rng: Box<dyn Rng>,
    /// When the last batch was kept of which the news have been taken.
    epoch: EtcdRevision,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    world: Arc<dyn World>,
    gateway: Arc<Gateway>,
    keys: Keys,
    leases: Arc<Table>,
    founded_min: u64,
    inbox: Mutex<VecDeque<Heard>>,
    gate: OnceLock<Arc<dyn Gate>>,
    /// Up to where the watch is to tell, and since when that is so.
    awaited: Mutex<Option<(EtcdRevision, Instant)>>,
    /// Whether the watch is to read all anew.
    is_doubted: AtomicBool,
    is_ended: AtomicBool,
}

/// What the threads have for the desk.
#[derive(Debug)]
struct Heard {
    news: News,
    /// If it tells of a batch, the revision of that.
    epoch: Option<EtcdRevision>,
}

/// What stands under the key of the format.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format: u32,
    /// When the first binder found nothing here, in minutes since 1970: revisions begin with it, so that
    /// they do not go back when somebody empties etcd.
    founded_min: u64,
}

impl Etcd {
    /// Finds a cluster, and reads what it has kept: the first news tell it. Leases are of `lease`, or the
    /// shortest that etcd gives, in whole seconds.
    ///
    /// # Errors
    ///
    /// No majority of the cluster answers within 10 s, or what it has kept cannot be read.
    pub fn open(
        world: &Arc<dyn World>,
        url: &EtcdUrl,
        lease: Duration,
    ) -> Result<Self, StoreError> {
        let gateway = Arc::new(Gateway::new(Arc::clone(world), url.endpoints.clone()));
        let keys = Keys::new(&url.prefix);
        let deadline = world.now() + START;
        let cannot_open = |trouble: Trouble| {
            let error = trouble.into_error();
            StoreError::new(StoreErrorKind::CannotOpen, format!("{url}: {}", error.detail()))
        };
        let founded_min = found(world, &gateway, &keys, deadline).map_err(cannot_open)?;
        let founded_min = founded_min?;
        let mut rng = world.rng();
        let lease = shortest(&gateway, lease, &mut *rng, deadline).map_err(cannot_open)?;
        let leases = Arc::new(Table::new(Arc::clone(world), Arc::clone(&gateway), lease));
        let shared = Arc::new(Shared {
            world: Arc::clone(world),
            gateway,
            keys,
            leases,
            founded_min,
            inbox: Mutex::default(),
            gate: OnceLock::new(),
            awaited: Mutex::default(),
            is_doubted: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
        });
        let read = watch::read_all(&shared, deadline);
        let (heard, revision) = read.map_err(|error| match error {
            watch::Unread::Away(trouble) => cannot_open(trouble),
            watch::Unread::Corrupt(error) => error,
        })?;
        shared.tell(heard);
        let (commits, waiting) = sync_channel(1);
        let etcd = Self { shared, commits, rng, epoch: 0 };
        etcd.spawn("rpc-etcd-watch", move |shared| watch::run(&shared, revision))?;
        etcd.spawn("rpc-etcd-commit", move |shared| commit::run(&shared, &waiting))?;
        for _ in 0..leases::KEEPERS {
            etcd.spawn("rpc-etcd-lease", |shared| shared.leases.run())?;
        }
        Ok(etcd)
    }

    fn spawn(
        &self,
        name: &str,
        body: impl FnOnce(Arc<Shared>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let started = self.shared.world.spawn(name, Box::new(move || body(shared)));
        started.map_err(|error| StoreError::new(StoreErrorKind::CannotOpen, error.to_string()))
    }
}

impl SharedStore for Etcd {
    fn ring(&mut self, gate: Arc<dyn Gate>) {
        gate.open();
        let _second = self.shared.gate.set(gate);
    }

    fn room(&self) -> Room {
        Room { changes: CHANGES_MAX, bytes: BATCH_BYTES_MAX }
    }

    fn begin(&mut self, changes: &[Change<'_>]) -> BatchId {
        let number = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        let batch = BatchId(number);
        let keys = &self.shared.keys;
        let mut success = keys.operations(changes);
        if !success.is_empty() {
            success.push(keys.sign(batch));
        }
        let epoch = RangeRequest { key: keys.epoch(), ..RangeRequest::default() };
        let question = TxnRequest {
            compare: vec![Compare::written_at(keys.epoch(), self.epoch)],
            success,
            failure: vec![Operation::Range(epoch)],
        };
        let (mut begins, mut marks) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Begin(id, _) => begins.push(*id),
                Change::Mark(id, _) => marks.push(*id),
                Change::Forget(_) | Change::Describe(..) | Change::End(_) => {}
            }
        }
        let sent = self.commits.try_send(Commit { batch, begins, marks, question });
        if let Err(unsent) = sent {
            let error = match unsent {
                TrySendError::Full(_) => {
                    StoreError::new(StoreErrorKind::Busy, "a batch is on its way already")
                }
                TrySendError::Disconnected(_) => {
                    StoreError::new(StoreErrorKind::Other, "nobody is there to write to it")
                }
            };
            self.shared.tell(Heard { news: News::Failed { batch, error }, epoch: None });
        }
        batch
    }

    fn start_over(&mut self) {
        self.shared.is_doubted.store(true, Ordering::Relaxed);
    }

    fn news(&mut self) -> Option<News> {
        let heard = self.shared.inbox().pop_front()?;
        self.epoch = heard.epoch.unwrap_or(self.epoch);
        Some(heard.news)
    }

    fn leases(&self) -> Arc<dyn Leases> {
        Arc::<Table>::clone(&self.shared.leases)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.shared.is_ended.store(true, Ordering::Relaxed);
        self.shared.leases.end();
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, VecDeque<Heard>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, heard: Heard) {
        self.inbox().push_back(heard);
        if let Some(gate) = self.gate.get() {
            gate.open();
        }
    }

    /// Whether the desk takes the news as fast as they come.
    fn has_room(&self) -> bool {
        self.inbox().len() < NEWS_MAX
    }

    fn awaited(&self) -> MutexGuard<'_, Option<(EtcdRevision, Instant)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Relaxed)
    }

    /// Etcd's revision as clients see it.
    fn revision(&self, revision: EtcdRevision) -> Revision {
        let revision = u64::try_from(revision).unwrap_or_default();
        Revision(self.founded_min << REVISION_BITS | revision & ((1 << REVISION_BITS) - 1))
    }
}

/// When the store was founded: now, if nothing is there.
fn found(
    world: &Arc<dyn World>,
    gateway: &Gateway,
    keys: &Keys,
    deadline: Instant,
) -> Result<Result<u64, StoreError>, Trouble> {
    let new = Format { format: FORMAT, founded_min: world.unix_ms() / 60_000 };
    let value = serde_json::to_vec(&new).expect("numbers become JSON");
    let put = PutRequest { key: keys.format(), value: Bytes(value), lease: None };
    let read = RangeRequest { key: keys.format(), ..RangeRequest::default() };
    let question = TxnRequest {
        compare: vec![Compare::written_at(keys.format(), 0)],
        success: vec![Operation::Put(put), Operation::Range(read.clone())],
        failure: vec![Operation::Range(read)],
    };
    let answer: TxnAnswer = gateway.ask("/v3/kv/txn", &question, deadline)?;
    let ranges = answer.responses.into_iter().filter_map(|response| response.response_range);
    let row = ranges.flat_map(|range| range.kvs).next().unwrap_or_default();
    Ok(match serde_json::from_slice::<Format>(&row.value.0) {
        Ok(found) if found.format == FORMAT => Ok(found.founded_min),
        Ok(found) => {
            let text = format!("it is of format {}, and this binder reads {FORMAT}", found.format);
            Err(StoreError::new(StoreErrorKind::OtherVersion, text))
        }
        Err(error) => {
            let text = format!("its key `format` cannot be read: {error}");
            Err(StoreError::new(StoreErrorKind::Corrupt, text))
        }
    })
}

/// The shortest lease of at least `lease` that etcd gives.
fn shortest(
    gateway: &Gateway,
    lease: Duration,
    rng: &mut dyn Rng,
    deadline: Instant,
) -> Result<Duration, Trouble> {
    let seconds = lease.as_secs() + u64::from(lease.subsec_nanos() > 0);
    let ttl = Number(i64::try_from(seconds).unwrap_or(i64::MAX));
    let id = rows::lease_of(RegistrationId(rng.next_nonzero()));
    let granted: GrantAnswer =
        match gateway.ask("/v3/lease/grant", &GrantRequest { ttl, id }, deadline) {
            // An attempt whose answer was lost has begun it.
            Err(Trouble::Refused { is_doubtful: true, .. }) => {
                GrantAnswer { ttl, ..GrantAnswer::default() }
            }
            other => other?,
        };
    let _it_ends_by_itself = Table::revoke(gateway, id, deadline);
    let seconds = u64::try_from(granted.ttl.0.max(ttl.0)).unwrap_or_default();
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
