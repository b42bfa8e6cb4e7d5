//! The thread that has etcd keep batches.
//!
//! Each is one transaction; first there are leases for what begins. Does not know what becomes of a batch
//! after that: the watch tells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;

use rpc_runtime::binder::RegistrationId;
use rpc_runtime::store::{StoreError, StoreErrorKind};
use rpc_runtime::time::{Duration, Instant};

use super::gateway::Trouble;
use super::message::{Operation, RangeRequest, TxnAnswer, TxnRequest};
use super::rows::batch_of;
use super::{Heard, Shared};
use crate::store::shared::{BatchId, News};

/// How long a batch may take: less than those who ask wait.
const COMMIT: Duration = Duration::from_secs(4);
/// Registrations whose leases were gone just when they were needed are tried so often.
const TRIES_MAX: u32 = 3;

/// gRPC's code for a lease that is not there.
const NOT_FOUND: i64 = 5;

/// A batch on its way.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) batch: BatchId,
    pub(super) begins: Vec<RegistrationId>,
    /// What is marked. Whoever marks a registration does not prolong its lease, nor begin one.
    pub(super) marks: Vec<RegistrationId>,
    pub(super) question: TxnRequest,
}

/// The thread's body.
pub(super) fn run(shared: &Shared, waiting: &Receiver<Commit>) {
    while let Ok(commit) = waiting.recv() {
        let deadline = shared.world.now() + COMMIT;
        let news = settled(commit.batch, || shared.commit(&commit, deadline));
        shared.tell(Heard { news, epoch: None });
    }
}

/// What is told of a batch, however the work on it ends.
fn settled(batch: BatchId, work: impl FnOnce() -> Result<News, Trouble>) -> News {
    let error = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(news)) => return news,
        Ok(Err(trouble)) => trouble.into_error(),
        Err(_panic) => {
            StoreError::new(StoreErrorKind::Other, "what writes to it has failed").doubtful()
        }
    };
    News::Failed { batch, error }
}

impl Shared {
    fn commit(&self, commit: &Commit, deadline: Instant) -> Result<News, Trouble> {
        let Commit { batch, begins, marks, question } = commit;
        let batch = *batch;
        let mut tries = 0;
        let answer = loop {
            // Nothing was written so far, whatever became of the leases.
            let ensured = self.leases.ensure(begins, deadline);
            ensured.map_err(|trouble| trouble.certain())?;
            let answer = self.gateway.ask::<TxnAnswer>("/v3/kv/txn", question, deadline);
            tries += 1;
            match answer {
                Err(Trouble::Refused { code: NOT_FOUND, is_doubtful: false, text }) => {
                    let ids = self.gone(marks, deadline).map_err(|trouble| trouble.certain())?;
                    if !ids.is_empty() {
                        return Ok(News::Gone { batch, ids });
                    }
                    if tries >= TRIES_MAX {
                        let refused =
                            Trouble::Refused { code: NOT_FOUND, text, is_doubtful: false };
                        return Err(refused);
                    }
                    begins.iter().for_each(|id| self.leases.is_away(*id));
                }
                other => break other?,
            }
        };
        if answer.succeeded {
            let is_written = !question.success.is_empty();
            let revision = if is_written { answer.header.revision.0 } else { 0 };
            self.await_news(revision);
            let at = self.revision(revision);
            return Ok(News::Decided { batch, at, is_kept: Some(true) });
        }
        // Another batch was before it: this one, perhaps, by an attempt whose answer was lost.
        let ranges = answer.responses.into_iter().filter_map(|response| response.response_range);
        let epoch = ranges.flat_map(|range| range.kvs).next().unwrap_or_default();
        let is_own = batch_of(&epoch) == Some(batch);
        self.await_news(epoch.mod_revision.0);
        let at = self.revision(epoch.mod_revision.0);
        Ok(News::Decided { batch, at, is_kept: is_own.then_some(true) })
    }

    /// Which of these registrations etcd does not have any more.
    fn gone(
        &self,
        ids: &[RegistrationId],
        deadline: Instant,
    ) -> Result<Vec<RegistrationId>, Trouble> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = |id: &RegistrationId| {
            let key = self.keys.registration(*id);
            Operation::Range(RangeRequest { key, ..RangeRequest::default() })
        };
        let success = ids.iter().map(read).collect();
        let question = TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
        let answer: TxnAnswer = self.gateway.ask("/v3/kv/txn", &question, deadline)?;
        let ranges = answer.responses.into_iter().map(|response| response.response_range);
        let is_there = ranges.map(|range| range.is_some_and(|range| !range.kvs.is_empty()));
        Ok(ids.iter().zip(is_there).filter(|(_, is_there)| !is_there).map(|(id, _)| *id).collect())
    }

    /// The desk waits for the news of this revision.
    fn await_news(&self, revision: i64) {
        *self.awaited() = Some((revision, self.world.now()));
    }
}

#[cfg(test)]
mod tests;
