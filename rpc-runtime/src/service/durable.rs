//! How a durable call runs: its effect and its reply in one transaction, or neither.
//!
//! The body first looks whether the call was committed before, by an earlier execution whose reply
//! was lost or an earlier life. An end that leaves nothing behind (the application's own error, a
//! panic, a reply that is too large) is rolled back and then recorded alone: if the process dies in
//! between, the call did not run, which is true, and runs again when it is asked for again.
//!
//! No thread waits for a single call: whoever serves posts all that it has to a [`Desk`], and
//! attends there.

use std::cmp::Ordering;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Answer, Dispatched, Incoming};
use crate::context::{self, CallContext};
use crate::driver::Gate;
use crate::ids::{ClientId, GenerationId, Sequence, SlotIndex};
use crate::protocol::HandlerEnd;
use crate::store::record::SlotRecord;
use crate::store::{Commit, Durable, Ended, Job, RowCache, RowKey, Rows, Seat, Store, StoreError};
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

/// A handler over an open transaction: gets the arguments, gives what became of them.
pub(crate) trait Body<S: Store>:
    Fn(&mut S::Tx<'_>, Incoming<'_>) -> Answer + Send + Sync
{
}

impl<S: Store, B: Fn(&mut S::Tx<'_>, Incoming<'_>) -> Answer + Send + Sync> Body<S> for B {}

/// A call of a durable service: one that only needs the transaction runs at once, an `exactly_once`
/// call when somebody posts it.
pub(crate) fn dispatch<S: Store>(
    store: &Arc<Durable<S>>,
    body: Arc<dyn Body<S>>,
    incoming: Incoming<'_>,
) -> Dispatched {
    match incoming.durable {
        Some(call) => Dispatched::Stored(Stored(Box::new(Once {
            store: Arc::clone(store),
            call,
            attempt: Attempt::new(body, incoming),
            last: Outcome::Nothing,
            alone: None,
            desk: None,
        }))),
        None => Dispatched::Now(plainly(store, body, incoming)),
    }
}

/// A call that only needs the transaction: it commits what the handler did if it returned a value.
fn plainly<S: Store>(
    store: &Arc<Durable<S>>,
    body: Arc<dyn Body<S>>,
    incoming: Incoming<'_>,
) -> Answer {
    let outcome = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&outcome);
    let mut attempt = Attempt::new(body, incoming);
    let ended = store.commit(move |tx| {
        let answer = attempt.run(tx);
        let commit = if has_effect(&answer) { Commit::Keep } else { Commit::Undo };
        *locked(&theirs) = Some(answer);
        commit
    });
    let last = locked(&outcome).take();
    match (ended, last) {
        (Ok(Ended::Panicked(payload)), _) => resume_unwind(payload),
        (Ok(Ended::Kept | Ended::Undone), Some(answer)) => answer,
        (Ok(Ended::Kept | Ended::Undone), None) => Answer::NOT_COMMITTED,
        (Err(error), _) => Answer::failed(&format!("the transaction failed: {error}")),
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An `exactly_once` call on its way into its store, whatever the store's type.
pub struct Stored(Box<dyn Post>);

trait Post: Send {
    fn post(self: Box<Self>, desk: &Arc<Desk>, place: usize);
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stored")
    }
}

/// Where the ends of calls are gathered by the thread that posted them.
#[derive(Debug)]
pub struct Desk {
    seat: Arc<Seat>,
    ends: Mutex<Vec<(usize, End)>>,
}

/// How a call ended that was posted.
#[derive(Debug)]
pub(crate) enum End {
    Known(Answer),
    /// It may have been committed: nothing is true but what the store says when it answers again.
    InDoubt,
}

impl Desk {
    pub(crate) fn new(gate: Arc<dyn Gate>) -> Arc<Self> {
        Arc::new(Self { seat: Seat::new(gate), ends: Mutex::default() })
    }

    /// Hands a call to its store. Its end is told with the number `place`, once somebody attends.
    pub(crate) fn post(self: &Arc<Self>, call: Stored, place: usize) {
        self.seat.expect_one();
        call.0.post(self, place);
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    pub(crate) fn take_ends(&self) -> Vec<(usize, End)> {
        std::mem::take(&mut *locked(&self.ends))
    }

    fn tell(&self, place: usize, end: End) {
        locked(&self.ends).push((place, end));
        self.seat.tell();
    }
}

/// What a call's last run found or did.
#[derive(Default)]
enum Outcome {
    #[default]
    Nothing,
    /// The handler's end, to be committed or rolled back.
    Ran(Answer),
    /// The call was committed before.
    Found(Answer),
    /// It is over: a later call was committed in the slot, or its reply is there. Whether it ran is
    /// not to be learnt any more.
    Late,
    /// That the handler ran, and what it said, was recorded by itself.
    Alone,
}

/// An `exactly_once` call as a job.
struct Once<S: Store> {
    store: Arc<Durable<S>>,
    call: DurableCall,
    attempt: Attempt<S>,
    last: Outcome,
    /// The end of a handler that left nothing behind, to be recorded by itself.
    alone: Option<Answer>,
    /// Whom to tell; empty before it is posted and after it was told.
    desk: Option<(Arc<Desk>, usize)>,
}

impl<S: Store> Post for Once<S> {
    fn post(mut self: Box<Self>, desk: &Arc<Desk>, place: usize) {
        self.desk = Some((Arc::clone(desk), place));
        self.enqueue();
    }
}

impl<S: Store> Once<S> {
    fn enqueue(self: Box<Self>) {
        let Some((desk, _)) = &self.desk else { return };
        let (store, seat) = (Arc::clone(&self.store), Arc::clone(&desk.seat));
        store.post_from(self, seat);
    }

    fn tell(&mut self, end: End) {
        if let Some((desk, place)) = self.desk.take() {
            desk.tell(place, end);
        }
    }

    /// The handler left nothing behind: that it ran, and what it said, is recorded by itself.
    fn record_alone(mut self: Box<Self>, answer: Answer) {
        self.alone = Some(answer.fitted(self.call.reply_bytes_max));
        self.enqueue();
    }

    fn work(&mut self, tx: &mut S::Tx<'_>, rows: &mut RowCache) -> Result<Commit, StoreError> {
        self.last = Outcome::Nothing;
        let key = self.call.key();
        if let Some(found) = find(rows.get::<S>(tx, key)?, &self.call)? {
            self.last = found;
            return Ok(Commit::Keep); // of nothing, which costs the others less than to undo it
        }
        if let Some(answer) = &self.alone {
            rows.put(key, self.call.record(answer.end.status(), &answer.body).to_row());
            self.last = Outcome::Alone;
            return Ok(Commit::Keep);
        }
        let answer = self.attempt.run(tx);
        let keeps = has_effect(&answer) && answer.body.len() <= self.call.reply_bytes_max;
        if keeps {
            rows.put(key, self.call.record(ReplyStatus::Returned, &answer.body).to_row());
        }
        self.last = Outcome::Ran(answer);
        Ok(if keeps { Commit::Keep } else { Commit::Undo })
    }
}

impl<S: Store> Job<S> for Once<S> {
    fn key(&self) -> Option<RowKey> {
        Some(self.call.key())
    }

    fn run(&mut self, tx: &mut S::Tx<'_>, rows: &mut RowCache) -> Commit {
        Commit::of(|| self.work(tx, rows))
    }

    fn ended(mut self: Box<Self>, how: Result<Ended, StoreError>) {
        let answer = match (how, std::mem::take(&mut self.last)) {
            (Ok(Ended::Kept), Outcome::Ran(answer)) | (Ok(_), Outcome::Found(answer)) => answer,
            (Ok(Ended::Kept), Outcome::Alone) => self.alone.take().unwrap_or(Answer::NOT_COMMITTED),
            (Ok(Ended::Panicked(payload)), _) if self.alone.is_none() => {
                let body = super::panic_text(&*payload).as_bytes().to_vec();
                return self.record_alone(Answer { end: HandlerEnd::Panicked, body });
            }
            (Ok(Ended::Undone), Outcome::Ran(answer)) => match answer.end {
                HandlerEnd::BadArguments => answer,
                HandlerEnd::Returned
                | HandlerEnd::Panicked
                | HandlerEnd::Cancelled { .. }
                | HandlerEnd::HandlerFailed
                | HandlerEnd::TooLarge
                | HandlerEnd::NotCommitted
                | HandlerEnd::Unsettled => return self.record_alone(answer),
            },
            (Ok(_), Outcome::Late) => Answer::UNSETTLED,
            (Ok(_), _) => Answer::NOT_COMMITTED,
            (Err(error), _) if error.is_doubtful() => return self.tell(End::InDoubt),
            (Err(_), _) => Answer::NOT_COMMITTED,
        };
        self.tell(End::Known(answer));
    }
}

impl<S: Store> Drop for Once<S> {
    /// A leader that unwinds leaves jobs behind: who waits for one must not wait for ever.
    fn drop(&mut self) {
        self.tell(End::InDoubt);
    }
}

/// What the store says of a call by now. Nothing else is true when its transaction failed and may
/// have been committed all the same; and this only once that cannot happen any more
/// ([`Store::settle`]).
pub(crate) fn recorded<S: Store>(
    store: &Durable<S>,
    call: &DurableCall,
) -> Result<Answer, StoreError> {
    let rows = store.look(Rows::of_key(call.key()), 1)?;
    let row = rows.first().map(|(_, row)| row.as_slice());
    // A row that cannot be read says nothing, least of all that there is none.
    Ok(match find(row, call)? {
        Some(Outcome::Found(answer)) => answer,
        Some(Outcome::Late | Outcome::Nothing | Outcome::Ran(_) | Outcome::Alone) => {
            Answer::UNSETTLED
        }
        None => Answer::NOT_COMMITTED,
    })
}

/// What the store knows of the call already.
fn find(row: Option<&[u8]>, call: &DurableCall) -> Result<Option<Outcome>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let record = SlotRecord::decode(row)?;
    Ok(match record.sequence.cmp(&call.sequence) {
        Ordering::Less => None,
        // Its client has the reply, and the store has it no more.
        Ordering::Equal if record.is_acked => Some(Outcome::Late),
        Ordering::Equal => Some(Outcome::Found(told(&record))),
        Ordering::Greater => Some(Outcome::Late),
    })
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

impl Answer {
    /// Nothing of the call is in the store.
    pub(crate) const NOT_COMMITTED: Self = Self { end: HandlerEnd::NotCommitted, body: Vec::new() };

    /// Whether anything of the call is in the store was not to be learnt.
    pub(crate) const UNSETTLED: Self = Self { end: HandlerEnd::Unsettled, body: Vec::new() };
}

/// Whether the handler returned a value: then what it did is kept. Its own error rolls it back.
fn has_effect(dispatched: &Answer) -> bool {
    dispatched.end == HandlerEnd::Returned && dispatched.body.first() == Some(&0)
}

/// A handler and its arguments, ready to be run as often as the store must.
struct Attempt<S: Store> {
    body: Arc<dyn Body<S>>,
    arguments: Vec<u8>,
    reply: Vec<u8>,
    context: Option<CallContext>,
}

impl<S: Store> Attempt<S> {
    fn new(body: Arc<dyn Body<S>>, incoming: Incoming<'_>) -> Self {
        let Incoming { arguments, reply, .. } = incoming;
        Self { body, arguments: arguments.clone(), reply, context: context::current() }
    }

    /// Runs the handler under its own call's context, whoever's thread this is.
    fn run(&mut self, tx: &mut S::Tx<'_>) -> Answer {
        let _entered = self.context.as_ref().map(CallContext::enter);
        let arguments = &mut self.arguments;
        let reply = std::mem::take(&mut self.reply);
        (self.body)(tx, Incoming { arguments, reply, durable: None })
    }
}
