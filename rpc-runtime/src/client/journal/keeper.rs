//! Who keeps a process's journal: one thread writes what all connections want written, many entries
//! with one flush, and tells them when it is on the disk.
//!
//! ```text
//!   connection ─ post ─► queue ─► writer: append all, flush once ─► the connections go on
//! ```
//!
//! Also knows which connection uses which durable slots: no two share a generation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::book::Book;
use super::codec::{Ending, Entry};
use super::ledger::Call;
use super::{JournalError, JournalStats};
use crate::client::connection::Connection;
use crate::client::marshalled::MethodName;
use crate::driver::{Gate, World};
use crate::ids::{CallId, GenerationId, Incarnation, ServerId, Space};
use crate::protocol::{CallKey, ClientTable, DoubtCause, OnDisk, Record};
use crate::time::{Duration, Instant};

/// A process's journal.
pub(in crate::client) struct Keeper {
    book: Book,
    world: Arc<dyn World>,
    /// Where the writer sleeps.
    gate: Arc<dyn Gate>,
    state: Mutex<State>,
    /// Held while durable slots are given to a connection. What that leaves to be done is run without
    /// it: that may wake others' code, which makes a call of its own.
    claiming: Mutex<()>,
}

#[derive(Debug)]
struct State {
    queue: Vec<Job>,
    writer: Writer,
    /// The names of methods, by their hashes.
    labels: BTreeMap<u32, MethodName>,
    connections: Vec<Weak<Connection>>,
    /// This life, higher than the book's if a server had seen a higher one.
    incarnation: Incarnation,
    stats: JournalStats,
    /// Why something could not be written, last.
    trouble: Option<JournalError>,
}

/// What the writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Absent,
    Awake,
    Asleep,
}

/// Something to be written, and who waits for it.
#[derive(Debug)]
struct Job {
    entry: Entry,
    waits: Option<(Weak<Connection>, Written)>,
}

/// When and by which life something is recorded.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Stamp {
    pub(in crate::client) life: Incarnation,
    pub(in crate::client) now: Instant,
    pub(in crate::client) unix_ms: u64,
}

/// What a connection asked to have written is on the disk, or cannot be.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Written {
    pub(in crate::client) key: CallKey,
    pub(in crate::client) call: CallId,
    pub(in crate::client) is_start: bool,
    pub(in crate::client) on_disk: OnDisk,
}

impl Keeper {
    pub(super) fn new(book: Book, world: Arc<dyn World>) -> Arc<Self> {
        let state = State {
            queue: Vec::new(),
            writer: Writer::Absent,
            labels: BTreeMap::new(),
            connections: Vec::new(),
            incarnation: book.incarnation(),
            stats: JournalStats { cut_bytes: book.cut_bytes(), ..JournalStats::default() },
            trouble: None,
        };
        let gate = world.gate();
        let (state, claiming) = (Mutex::new(state), Mutex::default());
        Arc::new(Self { book, world, gate, state, claiming })
    }

    pub(in crate::client) const fn book(&self) -> &Book {
        &self.book
    }

    pub(in crate::client) fn incarnation(&self) -> Incarnation {
        self.lock().incarnation
    }

    pub(super) fn stats(&self) -> JournalStats {
        self.lock().stats
    }

    /// Why something could not be written, last.
    pub(in crate::client) fn trouble(&self) -> Option<JournalError> {
        self.lock().trouble.clone()
    }

    /// A connection keeps this journal.
    pub(in crate::client) fn enrol(&self, connection: &Arc<Connection>) {
        let mut state = self.lock();
        state.connections.retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(connection));
    }

    /// The connections that keep it.
    fn connections(&self) -> Vec<Arc<Connection>> {
        let connections: Vec<_> = self.lock().connections.clone();
        connections.iter().filter_map(Weak::upgrade).collect()
    }

    /// The name behind the hash, for the entries of this method's calls.
    pub(in crate::client) fn learn(&self, hash: u32, name: MethodName) {
        self.lock().labels.entry(hash).or_insert(name);
    }

    /// Takes in what a connection wants written, of a client that is in this life now. Called under
    /// the connection's lock; [`Keeper::wake`] follows without it.
    pub(in crate::client) fn post(
        &self,
        connection: &Arc<Connection>,
        stamp: Stamp,
        records: impl Iterator<Item = (CallKey, CallId, Record)>,
    ) {
        let mut state = self.lock();
        if stamp.life > state.incarnation {
            state.incarnation = stamp.life;
            let entry = Entry::Life(self.book.client(), stamp.life);
            state.queue.push(Job { entry, waits: None });
        }
        for (key, call, record) in records {
            let is_start = matches!(record, Record::Started(_));
            let waits = matches!(record, Record::Started(_) | Record::Ended(_));
            let entry = entry(&state.labels, connection, stamp, (call, record));
            if let Entry::Started(started) = &entry
                && call.space == Space::Durable
            {
                // At once: whoever takes these slots over numbers calls behind this one.
                let generation = GenerationId(call.session.0);
                self.book.ledger().mark(started.server, generation, call.slot, call.sequence);
            }
            let written = Written { key, call, is_start, on_disk: OnDisk::No };
            let waits = waits.then(|| (Arc::downgrade(connection), written));
            state.queue.push(Job { entry, waits });
        }
    }

    /// Sees to it that what was posted is written.
    pub(in crate::client) fn wake(self: &Arc<Self>) {
        let before = std::mem::replace(&mut self.lock().writer, Writer::Awake);
        match before {
            Writer::Awake => {}
            Writer::Asleep => self.gate.open(),
            Writer::Absent => {
                let (keeper, gate) = (Arc::downgrade(self), Arc::clone(&self.gate));
                let body = Box::new(move || write(&keeper, &gate));
                if self.world.spawn("rpc-journal", body).is_err() {
                    self.write_here();
                }
            }
        }
    }

    /// Does the writer's work where no thread is to be had; the next caller tries again to have one.
    fn write_here(&self) {
        loop {
            while self.write_once() {}
            let mut state = self.lock();
            if state.queue.is_empty() {
                state.writer = Writer::Absent;
                return;
            }
            state.writer = Writer::Awake;
        }
    }

    /// Writes what waits; says whether something did.
    fn write_once(&self) -> bool {
        let jobs = {
            let mut state = self.lock();
            if state.queue.is_empty() {
                state.writer = Writer::Asleep;
                return false;
            }
            std::mem::take(&mut state.queue)
        };
        let (entries, waits): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.entry, job.waits)).unzip();
        let was_broken = self.book.is_broken();
        let appended = self.book.append(&entries);
        let flush_takes = self.book.flush_takes();
        if flush_takes > Duration::ZERO {
            let until = self.world.now() + flush_takes;
            let gate = self.world.gate();
            while self.world.now() < until {
                gate.wait(Some(until));
            }
        }
        let flushed = self.book.flush();
        {
            let mut state = self.lock();
            state.stats.flushes += 1;
            state.stats.entries += entries.len() as u64;
            let failed = appended.iter().find_map(|one| one.as_ref().err());
            if let Some(error) = flushed.as_ref().err().or(failed) {
                state.trouble = Some(error.clone());
                state.stats.failed += 1;
            }
        }
        let mut written: Vec<(Arc<Connection>, Vec<Written>)> = Vec::new();
        for (waits, appended) in waits.into_iter().zip(appended) {
            let Some((connection, wait)) = waits else { continue };
            let Some(connection) = connection.upgrade() else { continue };
            let on_disk = match (appended, &flushed) {
                (Ok(()), Ok(())) => OnDisk::Yes,
                (Err(JournalError::Broken(_)), _) if !was_broken => OnDisk::Perhaps,
                (Err(_), _) => OnDisk::No,
                (Ok(()), Err(_)) => OnDisk::Perhaps,
            };
            let wait = Written { on_disk, ..wait };
            match written.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &connection)) {
                Some((_, waits)) => waits.push(wait),
                None => written.push((connection, vec![wait])),
            }
        }
        for (connection, written) in written {
            connection.written(&written);
        }
        true
    }

    /// A call in the journal.
    pub(in crate::client) fn call(&self, id: CallId) -> Option<Call> {
        self.book.ledger().call(id).cloned()
    }

    /// The calls without an end that no connection works at.
    pub(in crate::client) fn unfinished(&self) -> Vec<Call> {
        let mut under_way = BTreeSet::new();
        for connection in self.connections() {
            under_way.extend(connection.lock().core.under_way());
        }
        let ledger = self.book.ledger();
        let open = ledger.calls().filter(|call| call.ending.is_none());
        open.filter(|call| !under_way.contains(&call.started.call)).cloned().collect()
    }

    /// The calls of which a life of a server died, what that life had called
    /// may still run.
    pub(in crate::client) fn broken(&self) -> Vec<Call> {
        let ledger = self.book.ledger();
        let is_broken = |call: &&Call| {
            let lost = Some(Ending::Unknown(DoubtCause::ServerRestarted));
            call.started.call.space == Space::Session && call.ending == lost
        };
        ledger.calls().filter(is_broken).cloned().collect()
    }

    /// Notes that nobody can say any more what became of a call.
    pub(in crate::client) fn give_up(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        call: CallId,
        cause: DoubtCause,
    ) {
        let record = Record::Ended(crate::protocol::Outcome::InDoubt(cause));
        let (life, now) = (self.incarnation(), self.world.now());
        let stamp = Stamp { life, now, unix_ms: 0 };
        self.post(connection, stamp, std::iter::once((CallKey::NONE, call, record)));
        self.wake();
    }

    /// Gives a connection durable slots of an earlier life at a server, if there are some that no
    /// other uses.
    pub(in crate::client) fn claim(&self, connection: &Arc<Connection>, server: ServerId) {
        let one_at_a_time = self.claiming();
        let held = self.held();
        let ledger = self.book.ledger();
        let mut free = ledger.generations_at(server).into_iter();
        let free = free.find(|generation| held.iter().all(|(other, _)| other != generation));
        let table = free.and_then(|generation| ledger.table(generation));
        drop(ledger);
        let errands = connection.generation_found(table);
        drop(one_at_a_time);
        connection.run(errands);
    }

    fn claiming(&self) -> MutexGuard<'_, ()> {
        self.claiming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody is being given durable slots.
    #[cfg(test)]
    pub(in crate::client) fn await_claims(&self) {
        drop(self.claiming());
    }

    fn held(&self) -> Vec<(GenerationId, Arc<Connection>)> {
        let connections = self.connections().into_iter();
        let held = |one: Arc<Connection>| {
            let generation = one.lock().core.generation();
            (generation, one)
        };
        connections.map(held).collect()
    }

    /// The connection that has a generation, or takes it now: one of `candidates`, or what `open`
    /// gives. None if the server has deleted it.
    ///
    /// # Errors
    ///
    /// As `open`.
    pub(in crate::client) fn holder<E>(
        &self,
        generation: GenerationId,
        candidates: &[Arc<Connection>],
        open: impl FnOnce() -> Result<Arc<Connection>, E>,
    ) -> Result<Option<Arc<Connection>>, E> {
        if let Some(known) = self.taken(generation, candidates) {
            return Ok(known);
        }
        let fresh = open()?; // which may take its time: somebody else may take it meanwhile
        Ok(self.taken(generation, std::slice::from_ref(&fresh)).unwrap_or(Some(fresh)))
    }

    /// As [`Keeper::holder`]; nothing if none of these takes it.
    fn taken(
        &self,
        generation: GenerationId,
        candidates: &[Arc<Connection>],
    ) -> Option<Option<Arc<Connection>>> {
        let one_at_a_time = self.claiming();
        if let Some((_, holder)) = self.held().into_iter().find(|(held, _)| *held == generation) {
            return Some(Some(holder));
        }
        let table: Option<ClientTable> = self.book.ledger().table(generation);
        let Some(table) = table else { return Some(None) };
        let mut left = Vec::new();
        let taker = candidates.iter().find(|one| {
            let (is_restored, errands) = one.restore(table.clone());
            left.push((Arc::clone(one), errands));
            is_restored
        });
        drop(one_at_a_time);
        for (connection, errands) in left {
            connection.run(errands);
        }
        taker.map(|taker| Some(Arc::clone(taker)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is written of a record.
fn entry(
    labels: &BTreeMap<u32, MethodName>,
    connection: &Connection,
    stamp: Stamp,
    (call, record): (CallId, Record),
) -> Entry {
    let (label, left) = match &record {
        Record::Started(started) => {
            let left = started.spec.deadline.since(stamp.now).as_millis();
            (labels.get(&started.spec.name).map(|name| name.text()), left)
        }
        Record::Ended(_) | Record::Withdrawn | Record::Forgotten => (None, 0),
    };
    let mut entry = Entry::of(call, record);
    if let Entry::Started(started) = &mut entry {
        started.unix_ms = stamp.unix_ms;
        let left_ms = u64::try_from(left).unwrap_or(u64::MAX);
        started.over_unix_ms = stamp.unix_ms.saturating_add(left_ms);
        started.label = label.unwrap_or_default();
        started.place.clone_from(&connection.place);
    }
    entry
}

/// The writer: lives as long as its journal, and sleeps unless something is to be written.
fn write(keeper: &Weak<Keeper>, gate: &Arc<dyn Gate>) {
    loop {
        let Some(alive) = keeper.upgrade() else { return };
        let has_written = alive.write_once();
        drop(alive);
        if !has_written {
            gate.wait(None);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.gate.open();
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("book", &self.book).finish_non_exhaustive()
    }
}
