//! How a durable call runs: its effect and its reply in one transaction, or neither.
//!
//! The body first looks whether the call was committed before, by an earlier execution whose reply
//! was lost or an earlier life. An end that leaves nothing behind (the application's own error, a
//! panic, a reply that is too large) is rolled back and then recorded alone: if the process dies in
//! between, the call did not run, which is true, and runs again when it is asked for again.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Answer, Incoming};
use crate::context::{self, CallContext};
use crate::ids::{ClientId, GenerationId, Sequence, SlotIndex};
use crate::protocol::HandlerEnd;
use crate::store::record::SlotRecord;
use crate::store::{Commit, Durable, Ended, RowKey, Rows, Store, StoreError};
use crate::wire::ReplyStatus;

/// A durable call's place in the store, and what it is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurableCall {
    /// Who calls.
    pub client: ClientId,
    /// The client's table of slots.
    pub generation: GenerationId,
    /// The slot.
    pub slot: SlotIndex,
    /// The call in it.
    pub sequence: Sequence,
    /// The request's digest.
    pub digest: u64,
    /// The longest reply, in bytes.
    pub reply_bytes_max: usize,
}

impl DurableCall {
    const fn key(&self) -> RowKey {
        RowKey::Slot(self.client, self.generation, self.slot)
    }

    fn record<'a>(&self, status: ReplyStatus, reply: &'a [u8]) -> SlotRecord<'a> {
        SlotRecord {
            sequence: self.sequence,
            digest: u128::from(self.digest),
            identity: self.digest,
            status,
            is_acked: false,
            reply,
        }
    }
}

/// What a body's last run found or did.
#[derive(Default)]
enum Outcome {
    #[default]
    Nothing,
    /// The handler's end, to be committed or rolled back.
    Ran(Answer),
    /// The call was committed before.
    Found(Answer),
    /// A later call was committed in the slot.
    Late,
}

type Shared = Arc<Mutex<Outcome>>;

fn locked(outcome: &Shared) -> MutexGuard<'_, Outcome> {
    outcome.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handler over an open transaction: gets the arguments, gives what became of them.
pub(crate) trait Body<S: Store>:
    Fn(&mut S::Tx<'_>, Incoming<'_>) -> Answer + Send + Sync
{
}

impl<S: Store, B: Fn(&mut S::Tx<'_>, Incoming<'_>) -> Answer + Send + Sync> Body<S> for B {}

/// Runs a call of a durable service.
pub(crate) fn run<S: Store>(
    store: &Arc<Durable<S>>,
    body: Arc<dyn Body<S>>,
    incoming: Incoming<'_>,
) -> Answer {
    match incoming.durable {
        Some(call) => once(store, body, call, incoming),
        None => plainly(store, body, incoming),
    }
}

/// A call that only needs the transaction: it commits what the handler did if it returned a value.
fn plainly<S: Store>(
    store: &Arc<Durable<S>>,
    body: Arc<dyn Body<S>>,
    incoming: Incoming<'_>,
) -> Answer {
    let outcome = Shared::default();
    let mut job = Attempt::new(body, &incoming, &outcome);
    let ended = store.commit(move |tx| {
        let dispatched = job.run(tx);
        let commit = if has_effect(&dispatched) { Commit::Keep } else { Commit::Undo };
        *locked(&job.outcome) = Outcome::Ran(dispatched);
        commit
    });
    let last = std::mem::take(&mut *locked(&outcome));
    match (ended, last) {
        (Ok(Ended::Panicked(payload)), _) => resume_unwind(payload),
        (
            Ok(Ended::Kept | Ended::Undone),
            Outcome::Ran(dispatched) | Outcome::Found(dispatched),
        ) => dispatched,
        (Ok(Ended::Kept | Ended::Undone), Outcome::Nothing | Outcome::Late) => nothing_done(),
        (Err(error), _) => Answer::failed(&format!("the transaction failed: {error}")),
    }
}

/// An `exactly_once` call.
fn once<S: Store>(
    store: &Arc<Durable<S>>,
    body: Arc<dyn Body<S>>,
    call: DurableCall,
    incoming: Incoming<'_>,
) -> Answer {
    let outcome = Shared::default();
    let mut job = Attempt::new(body, &incoming, &outcome);
    let ended = store.commit(move |tx| {
        Commit::of(|| {
            if let Some(found) = find::<S>(tx, &call)? {
                *locked(&job.outcome) = found;
                return Ok(Commit::Undo);
            }
            let dispatched = job.run(tx);
            let keeps = has_effect(&dispatched) && dispatched.body.len() <= call.reply_bytes_max;
            if keeps {
                let record = call.record(ReplyStatus::Returned, &dispatched.body);
                S::put(tx, call.key(), &record.to_row())?;
            }
            *locked(&job.outcome) = Outcome::Ran(dispatched);
            Ok(if keeps { Commit::Keep } else { Commit::Undo })
        })
    });
    let last = std::mem::take(&mut *locked(&outcome));
    match (ended, last) {
        (Ok(Ended::Kept), Outcome::Ran(dispatched)) => dispatched,
        (Ok(_), Outcome::Found(dispatched)) => dispatched,
        (Ok(Ended::Panicked(payload)), _) => {
            let text = super::panic_text(&*payload).to_owned();
            let dispatched = Answer { end: HandlerEnd::Panicked, body: text.into_bytes() };
            record_alone(store, call, dispatched)
        }
        (Ok(Ended::Undone), Outcome::Ran(dispatched)) => match dispatched.end {
            HandlerEnd::BadArguments => dispatched,
            HandlerEnd::Returned
            | HandlerEnd::Panicked
            | HandlerEnd::Cancelled { .. }
            | HandlerEnd::HandlerFailed
            | HandlerEnd::TooLarge
            | HandlerEnd::NotCommitted
            | HandlerEnd::Unsettled => record_alone(store, call, dispatched),
        },
        (Ok(Ended::Kept | Ended::Undone), Outcome::Nothing | Outcome::Late) => nothing_done(),
        (Err(error), _) => settle(store, call, &error),
    }
}

/// The handler left nothing behind: that it ran, and what it said, is recorded by itself.
fn record_alone<S: Store>(
    store: &Arc<Durable<S>>,
    call: DurableCall,
    dispatched: Answer,
) -> Answer {
    let dispatched = dispatched.fitted(call.reply_bytes_max);
    let row = call.record(dispatched.end.status(), &dispatched.body).to_row();
    let outcome = Shared::default();
    let theirs = Arc::clone(&outcome);
    let ended = store.commit(move |tx| {
        Commit::of(|| {
            if let Some(found) = find::<S>(tx, &call)? {
                *locked(&theirs) = found;
                return Ok(Commit::Undo);
            }
            S::put(tx, call.key(), &row)?;
            Ok(Commit::Keep)
        })
    });
    let last = std::mem::take(&mut *locked(&outcome));
    match (ended, last) {
        (Ok(_), Outcome::Found(found)) => found,
        (Ok(Ended::Kept), _) => dispatched,
        (Ok(_), _) => nothing_done(),
        (Err(error), _) => settle(store, call, &error),
    }
}

/// A transaction failed. Where it may have been committed all the same, the store is asked until it
/// answers, or nobody waits any more: nothing else is true.
fn settle<S: Store>(store: &Arc<Durable<S>>, call: DurableCall, error: &StoreError) -> Answer {
    if !error.is_doubtful() {
        return nothing_done();
    }
    loop {
        match store.look(Rows::of_key(call.key()), 1) {
            Ok(rows) => {
                let row = rows.first().map(|(_, row)| row.as_slice());
                return match row.map(SlotRecord::decode) {
                    Some(Ok(record)) if record.sequence == call.sequence => told(&record),
                    Some(Ok(_) | Err(_)) | None => nothing_done(),
                };
            }
            Err(_) if context::current().is_none_or(|call| call.remaining().is_zero()) => {
                return Answer { end: HandlerEnd::Unsettled, body: Vec::new() };
            }
            Err(_) => store.pause(),
        }
    }
}

/// What the store knows of the call already.
fn find<S: Store>(tx: &mut S::Tx<'_>, call: &DurableCall) -> Result<Option<Outcome>, StoreError> {
    let Some(row) = S::get(tx, call.key())? else { return Ok(None) };
    let record = SlotRecord::decode(&row)?;
    if record.sequence < call.sequence {
        return Ok(None);
    }
    if record.sequence > call.sequence {
        return Ok(Some(Outcome::Late));
    }
    Ok(Some(Outcome::Found(told(&record))))
}

/// A recorded end, as if the handler had ended so just now.
fn told(record: &SlotRecord<'_>) -> Answer {
    let end = match record.status {
        ReplyStatus::Returned => HandlerEnd::Returned,
        ReplyStatus::TooLarge => HandlerEnd::TooLarge,
        ReplyStatus::Panicked => HandlerEnd::Panicked,
        ReplyStatus::Cancelled => HandlerEnd::Cancelled { partial: false },
        ReplyStatus::CancelledPartial => HandlerEnd::Cancelled { partial: true },
        ReplyStatus::HandlerFailed => HandlerEnd::HandlerFailed,
    };
    Answer { end, body: record.reply.to_vec() }
}

/// Nothing of the call is in the store.
const fn nothing_done() -> Answer {
    Answer { end: HandlerEnd::NotCommitted, body: Vec::new() }
}

/// Whether the handler returned a value: then what it did is kept. Its own error rolls it back.
fn has_effect(dispatched: &Answer) -> bool {
    dispatched.end == HandlerEnd::Returned && dispatched.body.first() == Some(&0)
}

/// A handler and its arguments, ready to be run as often as the store must.
struct Attempt<S: Store> {
    body: Arc<dyn Body<S>>,
    arguments: Vec<u8>,
    context: Option<CallContext>,
    outcome: Shared,
}

impl<S: Store> Attempt<S> {
    fn new(body: Arc<dyn Body<S>>, incoming: &Incoming<'_>, outcome: &Shared) -> Self {
        Self {
            body,
            arguments: incoming.arguments.clone(),
            context: context::current(),
            outcome: Arc::clone(outcome),
        }
    }

    /// Runs the handler under its own call's context, whoever's thread this is.
    fn run(&mut self, tx: &mut S::Tx<'_>) -> Answer {
        let _entered = self.context.as_ref().map(CallContext::enter);
        let arguments = &mut self.arguments;
        let incoming = Incoming { arguments, reply: Vec::new(), durable: None };
        (self.body)(tx, incoming)
    }
}
