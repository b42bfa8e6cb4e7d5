//! What a server keeps in a store: who it is over all its lives, and the fence between them.
//!
//! At its start a server raises its incarnation in the store, in one transaction. From then on
//! every transaction of an earlier life fails: each looks at its end, inside, whether the row still
//! says what this life wrote (protocol tables, C4). The look comes last, so that a stalled life
//! holds the row for a moment only and the next one need not wait for it. A store may take the row
//! earlier: then the next life waits until the store gives a stalled one up.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::RowCache;
use super::group::{Ended, Group, GroupStats, Job, Seat};
use super::record::MetaRecord;
use super::{Commit, RowKey, Rows, Store, StoreError, StoreErrorKind};
use crate::driver::World;
use crate::ids::{Incarnation, ServerId};
use crate::time::Duration;

/// The format of the rows. A store of another format is refused.
const FORMAT: u64 = 1;

/// How many jobs may wait for a store, when nothing else is said.
const WAITING_JOBS_MAX: usize = 4_096;

/// How long to wait before a store that failed is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A store that this life of a server has taken.
pub struct Durable<S: Store> {
    store: S,
    world: Arc<dyn World>,
    group: Group<S>,
    server: ServerId,
    incarnation: Incarnation,
    is_fenced: AtomicBool,
    /// Places to wait at, used again and again.
    seats: Mutex<Vec<Arc<Seat>>>,
}

impl<S: Store> Durable<S> {
    /// Takes the store for a new life of the server that this process is: from now on no earlier
    /// life can commit. What services are made of.
    ///
    /// # Errors
    ///
    /// The store fails, or is of another format.
    pub fn start(store: S) -> Result<Arc<Self>, StoreError> {
        let world = crate::scheme::here()
            .map_err(|error| StoreError::new(StoreErrorKind::Other, error.to_string()))?;
        Self::open(store, world).map(Arc::new)
    }

    /// As [`Durable::start`], in a given world.
    ///
    /// # Errors
    ///
    /// See there.
    pub fn open(store: S, world: Arc<dyn World>) -> Result<Self, StoreError> {
        Self::open_with(store, world, WAITING_JOBS_MAX)
    }

    /// As [`Durable::open`], with at most `waiting_jobs_max` jobs in the queue.
    ///
    /// # Errors
    ///
    /// See there.
    pub fn open_with(
        store: S,
        world: Arc<dyn World>,
        waiting_jobs_max: usize,
    ) -> Result<Self, StoreError> {
        let mut rng = world.rng();
        let new_server = ServerId(rng.next_nonzero());
        let salt = u32::try_from(rng.below(1 << 32)).expect("drawn below 2^32");
        let mut taken = (ServerId::NONE, Incarnation::NONE);
        store.transact(&mut |tx| {
            Commit::of(|| {
                taken = take::<S>(tx, new_server, salt)?;
                Ok(Commit::Keep)
            })
        })?;
        Ok(Self::of(store, world, waiting_jobs_max, taken))
    }

    /// The store as a life has it that took it before: for a model checker, whose stores are values
    /// and are taken up anew in each step.
    #[cfg(feature = "model")]
    pub fn of_life(store: S, world: Arc<dyn World>, who: (ServerId, Incarnation)) -> Self {
        Self::of(store, world, WAITING_JOBS_MAX, who)
    }

    fn of(
        store: S,
        world: Arc<dyn World>,
        waiting_jobs_max: usize,
        (server, incarnation): (ServerId, Incarnation),
    ) -> Self {
        let group = Group::new(waiting_jobs_max, Arc::clone(&world));
        let is_fenced = AtomicBool::new(false);
        Self { store, world, group, server, incarnation, is_fenced, seats: Mutex::default() }
    }

    /// The server's id, the same in all its lives.
    #[must_use]
    pub const fn server(&self) -> ServerId {
        self.server
    }

    /// This life.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The store itself, to read from. What is written past [`Durable::commit`] is not fenced.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// What group commit has done so far.
    #[must_use]
    pub fn stats(&self) -> GroupStats {
        self.group.stats()
    }

    /// How long a commit took of late, from the last body's end to the flush's.
    pub(crate) fn flush_takes(&self) -> Duration {
        self.group.flush_takes()
    }

    /// Whether a later life is known to have taken the store.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.is_fenced.load(Ordering::Relaxed)
    }

    /// The first `limit` of these rows as last committed.
    ///
    /// # Errors
    ///
    /// The store fails.
    pub fn look(&self, rows: Rows, limit: usize) -> Result<Vec<(RowKey, Vec<u8>)>, StoreError> {
        self.store.look(rows, limit)
    }

    /// Waits until no transaction can commit any more whose end is not known: see [`Store::settle`].
    ///
    /// # Errors
    ///
    /// See there.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.store.settle()
    }

    /// Waits a moment, for a store that fails to come back.
    pub(crate) fn pause(&self) {
        self.world.gate().wait(Some(self.world.now() + PAUSE));
    }

    /// Runs `body` in a transaction, together with those of others, and waits for its end. Another
    /// thread may run it, and more than once; see [`Job::run`].
    ///
    /// # Errors
    ///
    /// The store fails, the queue is full, or this life is fenced: nothing of it is in the store,
    /// unless the error [is doubtful](StoreError::is_doubtful).
    pub fn commit(
        &self,
        mut body: impl FnMut(&mut S::Tx<'_>) -> Commit + Send + 'static,
    ) -> Result<Ended, StoreError> {
        self.commit_job(None, move |tx: &mut S::Tx<'_>, _: &mut RowCache| body(tx))
    }

    /// As [`Durable::commit`], with a body that works with that row of the runtime's, through the
    /// cache: see [`Job::key`].
    ///
    /// # Errors
    ///
    /// See there.
    pub fn commit_row(
        &self,
        key: RowKey,
        body: impl FnMut(&mut S::Tx<'_>, &mut RowCache) -> Commit + Send + 'static,
    ) -> Result<Ended, StoreError> {
        self.commit_job(Some(key), body)
    }

    fn commit_job(
        &self,
        key: Option<RowKey>,
        body: impl FnMut(&mut S::Tx<'_>, &mut RowCache) -> Commit + Send + 'static,
    ) -> Result<Ended, StoreError> {
        let seat = self.seat();
        seat.expect_one();
        let job = Attended { key, body, seat: Some(Arc::clone(&seat)) };
        self.admit(Box::new(job), Some(Arc::clone(&seat)));
        self.attend(&seat);
        let ended = seat.take_ended().expect("it was told");
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).push(seat);
        ended
    }

    /// As [`Durable::post`], for a thread that will [attend](Durable::attend) at that seat, which
    /// the job tells of its end.
    pub(crate) fn post_from(&self, job: Box<dyn Job<S>>, seat: Arc<Seat>) {
        self.admit(job, Some(seat));
    }

    /// Waits until all jobs that were posted from that seat have ended, and helps.
    pub(crate) fn attend(&self, seat: &Seat) {
        let guard = |tx: &mut S::Tx<'_>| self.guard(tx);
        self.group.attend(seat, &self.store, &guard);
    }

    /// Takes a job in without waiting; [`Durable::work`] sees that somebody runs it. The job is
    /// always told its end: here and now when the queue is full or this life is fenced.
    pub fn post(&self, job: Box<dyn Job<S>>) {
        self.admit(job, None);
    }

    /// Runs the jobs that wait until none does, unless another thread is doing that already.
    pub fn work(&self) {
        let guard = |tx: &mut S::Tx<'_>| self.guard(tx);
        self.group.work(&self.store, &guard);
    }

    fn admit(&self, job: Box<dyn Job<S>>, seat: Option<Arc<Seat>>) {
        if self.is_fenced() {
            return job.ended(Err(StoreError::new(StoreErrorKind::Fenced, "")));
        }
        if let Err((job, error)) = self.group.post(job, seat) {
            job.ended(Err(error));
        }
    }

    fn seat(&self) -> Arc<Seat> {
        let spare = self.seats.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Seat::new(self.world.gate()))
    }

    /// Fails if a later life has taken the store.
    fn guard(&self, tx: &mut S::Tx<'_>) -> Result<(), StoreError> {
        let found = number::<S>(tx, RowKey::Incarnation)?.map(Incarnation);
        if found == Some(self.incarnation) {
            return Ok(());
        }
        self.is_fenced.store(true, Ordering::Relaxed);
        let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
        let detail = format!("this is {}, the store's is {found}", self.incarnation);
        Err(StoreError::new(StoreErrorKind::Fenced, detail))
    }
}

impl<S: Store> fmt::Debug for Durable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable")
            .field("store", &self.store)
            .field("server", &self.server)
            .field("incarnation", &self.incarnation)
            .field("is_fenced", &self.is_fenced())
            .finish_non_exhaustive()
    }
}

/// Raises the incarnation; makes the first rows in an empty store.
fn take<S: Store>(
    tx: &mut S::Tx<'_>,
    new_server: ServerId,
    salt: u32,
) -> Result<(ServerId, Incarnation), StoreError> {
    let last = number::<S>(tx, RowKey::Incarnation)?.map(Incarnation);
    match number::<S>(tx, RowKey::Format)? {
        Some(FORMAT) => {}
        None => S::put(tx, RowKey::Format, &MetaRecord(FORMAT).to_row())?,
        Some(other) => {
            let detail = format!("its rows are of format {other}, this release's of {FORMAT}");
            return Err(StoreError::new(StoreErrorKind::OtherVersion, detail));
        }
    }
    let server = match number::<S>(tx, RowKey::Server)? {
        Some(server) => ServerId(server),
        None => {
            S::put(tx, RowKey::Server, &MetaRecord(new_server.0).to_row())?;
            new_server
        }
    };
    let incarnation = next(last, salt)?;
    S::put(tx, RowKey::Incarnation, &MetaRecord(incarnation.0).to_row())?;
    Ok((server, incarnation))
}

/// The life after that one.
fn next(last: Option<Incarnation>, salt: u32) -> Result<Incarnation, StoreError> {
    let lives = last.map_or(0, |last| last.0 >> 32);
    let count = u32::try_from(lives + 1).map_err(|_| {
        StoreError::new(StoreErrorKind::Corrupt, "it has seen all lives that can be counted")
    })?;
    Ok(Incarnation::new(count, salt))
}

fn number<S: Store>(tx: &mut S::Tx<'_>, key: RowKey) -> Result<Option<u64>, StoreError> {
    let Some(row) = S::get(tx, key)? else { return Ok(None) };
    MetaRecord::decode(&row).map(|MetaRecord(number)| Some(number))
}

/// The job of a thread that waits for it.
struct Attended<F> {
    key: Option<RowKey>,
    body: F,
    seat: Option<Arc<Seat>>,
}

impl<S, F> Job<S> for Attended<F>
where
    S: Store,
    F: FnMut(&mut S::Tx<'_>, &mut RowCache) -> Commit + Send,
{
    fn key(&self) -> Option<RowKey> {
        self.key
    }

    fn run(&mut self, tx: &mut S::Tx<'_>, rows: &mut RowCache) -> Commit {
        (self.body)(tx, rows)
    }

    fn ended(mut self: Box<Self>, how: Result<Ended, StoreError>) {
        if let Some(seat) = self.seat.take() {
            seat.tell_how(how);
        }
    }
}

impl<F> Drop for Attended<F> {
    /// A leader that unwinds leaves jobs behind: who waits for one must not wait for ever.
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            let error = StoreError::new(StoreErrorKind::Other, "the thread that led panicked");
            seat.tell_how(Err(error.doubtful()));
        }
    }
}
