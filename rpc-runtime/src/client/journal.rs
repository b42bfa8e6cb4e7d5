//! The client's journal: what was in flight, kept for the client's next life.
//!
//! A client that must survive its own crash writes a call down before it hands it over, and what
//! became of it before it reports that (protocol tables, C3, H3). Its next life reads what is left:
//! who it is, which life this is, its generations of durable slots, and the calls without an end.
//!
//! ```text
//!   record_started(call) ─ on the disk ─► hand over ─► … ─► record_ended(call) ─ on the disk ─► report
//! ```
//!
//! Threads that record at the same time share flushes. The file is written anew when most of it is
//! about calls that have ended. What a journal says is [`codec`]'s knowledge; files are [`mod@file`]'s.

pub mod codec;
pub mod file;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use codec::{StartedCall, Verdict};
pub use file::JournalFile;

use codec::{Entry, Ledger};
use file::DiskFile;

use crate::ids::{CallId, ClientId, GenerationId, Incarnation, ServerId};
use crate::random::Rng;

/// A journal of that length is written anew, if half of it is about calls that have ended.
const COMPACT_BYTES_MIN: u64 = 1 << 20;

/// The most calls without an end, and the most bytes of them.
const PENDING_CALLS_MAX: usize = 1 << 16;
const PENDING_BYTES_MAX: u64 = 1 << 28;

/// Why a journal cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be opened or read.
    CannotOpen(String),
    /// Another process has it open.
    InUse(String),
    /// A later release wrote it.
    OtherVersion(u8),
    /// As many calls as it holds have no end yet.
    Full,
    /// The disk has no room left.
    DiskFull(String),
    /// It could not be written; what is on the disk is not known until it is opened again.
    Broken(String),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotOpen(words) => write!(
                f,
                "the journal cannot be opened ({words}): check that its folder exists and that this process may write there"
            ),
            Self::InUse(place) => write!(
                f,
                "another process has the journal open ({place}): give every process a journal of its own"
            ),
            Self::OtherVersion(version) => write!(
                f,
                "the journal is of version {version}, which a later release wrote: start that release"
            ),
            Self::Full => f.write_str(
                "the journal holds as many calls without an end as it can: resolve some of them",
            ),
            Self::DiskFull(words) => {
                write!(f, "the journal's disk has no room left ({words}): make room")
            }
            Self::Broken(words) => write!(
                f,
                "the journal could not be written ({words}): start the client again, which reads what is there"
            ),
        }
    }
}

impl std::error::Error for JournalError {}

/// A client's journal.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("journal");
/// use rpc_runtime::client::journal::Journal;
///
/// let journal = Journal::open(path)?;
/// for call in journal.pending() {
///     println!("in flight at the end of the last life: {}", call.call);
/// }
/// # Ok::<(), rpc_runtime::client::journal::JournalError>(())
/// ```
pub struct Journal {
    client: ClientId,
    incarnation: Incarnation,
    cut_bytes: usize,
    state: Mutex<State>,
    /// Held while flushing: who waits for it finds its entry flushed, most of the time.
    flush: Mutex<()>,
    file: Box<dyn JournalFile>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// The length of the journal, and how much of it is on the disk.
    written: u64,
    flushed: u64,
    /// Counts the times it was written anew: places before that mean nothing.
    edition: u64,
    pending_bytes: u64,
    broken: Option<JournalError>,
}

impl Journal {
    /// Opens the journal at that path, or begins one, and begins a life of its client.
    ///
    /// # Errors
    ///
    /// It cannot be opened, another process has it open, or a later release wrote it.
    #[cfg(feature = "reactor")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let mut rng = crate::reactor::random::SystemRng::new();
        Self::open_at(path.as_ref(), &mut rng)
    }

    /// As `open`, with randomness as an input.
    ///
    /// # Errors
    ///
    /// See there.
    pub fn open_at(path: &Path, rng: &mut dyn Rng) -> Result<Self, JournalError> {
        Self::open_file(Box::new(DiskFile::open(path)?), rng)
    }

    /// Opens the journal that is in a file, simulated or not.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or a later release wrote it.
    pub fn open_file(file: Box<dyn JournalFile>, rng: &mut dyn Rng) -> Result<Self, JournalError> {
        let mut ledger = Ledger::of(&file.read()?);
        if let Some(version) = ledger.later_version {
            return Err(JournalError::OtherVersion(version));
        }
        let salt = u32::try_from(rng.below(1 << 32)).expect("drawn below 2^32");
        let (client, last) =
            ledger.life.unwrap_or((ClientId(rng.next_nonzero()), Incarnation::NONE));
        let count = u32::try_from((last.0 >> 32) + 1).map_err(|_| {
            JournalError::CannotOpen("it has seen all lives that can be counted".to_owned())
        })?;
        let incarnation = Incarnation::new(count, salt);
        ledger.life = Some((client, incarnation));
        let cut_bytes = std::mem::take(&mut ledger.damaged_bytes);
        // Written anew at every start: what the crash tore is gone, and the life is on the disk
        // before its first HELLO.
        let bytes = ledger.to_bytes();
        file.replace(&bytes)?;
        let written = bytes.len() as u64;
        let pending_bytes = ledger.pending.values().map(size).sum();
        let state =
            State { ledger, written, flushed: written, edition: 0, pending_bytes, broken: None };
        let (state, flush) = (Mutex::new(state), Mutex::new(()));
        Ok(Self { client, incarnation, cut_bytes, state, flush, file })
    }

    /// The client, the same in all its lives.
    #[must_use]
    pub const fn client(&self) -> ClientId {
        self.client
    }

    /// This life of the client.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How many bytes of a torn or damaged journal were cut off at opening.
    #[must_use]
    pub const fn cut_bytes(&self) -> usize {
        self.cut_bytes
    }

    /// The calls without an end, those of earlier lives among them.
    #[must_use]
    pub fn pending(&self) -> Vec<StartedCall> {
        self.lock().ledger.pending.values().cloned().collect()
    }

    /// The client's durable slots at that server.
    #[must_use]
    pub fn generation(&self, server: ServerId) -> Option<GenerationId> {
        self.lock().ledger.generations.get(&server).copied()
    }

    /// Records which durable slots the client has at a server. On the disk when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn record_generation(
        &self,
        server: ServerId,
        generation: GenerationId,
    ) -> Result<(), JournalError> {
        self.record(Entry::Generation(server, generation))
    }

    /// Records a call that is about to be handed over. On the disk when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be written, or too many calls have no end: the call must not be handed over.
    pub fn record_started(&self, call: StartedCall) -> Result<(), JournalError> {
        let state = self.lock();
        let is_full = state.ledger.pending.len() >= PENDING_CALLS_MAX
            || state.pending_bytes + size(&call) > PENDING_BYTES_MAX;
        drop(state);
        if is_full {
            return Err(JournalError::Full);
        }
        self.record(Entry::Started(call))
    }

    /// Records what became of a call, before that is reported. On the disk when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be written: the next life will ask for the call once more.
    pub fn record_ended(&self, call: CallId, verdict: Verdict) -> Result<(), JournalError> {
        self.record(Entry::Ended(call, verdict))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, entry: Entry) -> Result<(), JournalError> {
        let mut state = self.lock();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        let mut bytes = Vec::new();
        codec::encode(&entry, state.written, &mut bytes);
        let appended = self.file.append(state.written, &bytes);
        if let Err(error @ JournalError::Broken(_)) = &appended {
            state.broken = Some(error.clone());
        }
        appended?;
        state.add(entry);
        state.written += bytes.len() as u64;
        let (edition, mine) = (state.edition, state.written);
        drop(state);
        self.flush_up_to(edition, mine)
    }

    /// Sees that the journal is on the disk up to there.
    fn flush_up_to(&self, edition: u64, mine: u64) -> Result<(), JournalError> {
        let _one_at_a_time = self.flush.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        if state.edition > edition || state.flushed >= mine {
            return Ok(());
        }
        let is_long = state.written > COMPACT_BYTES_MIN
            && state.written / 2 > state.pending_bytes + COMPACT_BYTES_MIN / 4;
        let flushed = if is_long {
            // Others wait to record meanwhile, which is seldom.
            let bytes = state.ledger.to_bytes();
            let replaced = self.file.replace(&bytes);
            if replaced.is_ok() {
                state.edition += 1;
                state.written = bytes.len() as u64;
                state.flushed = state.written;
                return Ok(());
            }
            self.file.flush()
        } else {
            let written = state.written;
            drop(state);
            let flushed = self.file.flush();
            state = self.lock();
            state.flushed = state.flushed.max(written);
            flushed
        };
        flushed.inspect_err(|error| {
            // What a failed flush left behind cannot be known, nor be flushed by another.
            state.broken = Some(JournalError::Broken(error.to_string()));
        })
    }
}

impl State {
    fn add(&mut self, entry: Entry) {
        match &entry {
            Entry::Started(call) => self.pending_bytes += size(call),
            Entry::Ended(call, _) => {
                let ended = self.ledger.pending.get(call);
                self.pending_bytes -= ended.map_or(0, size);
            }
            Entry::Life(..) | Entry::Generation(..) => {}
        }
        self.ledger.add(entry);
    }
}

/// The bytes that a call takes in a journal, near enough.
fn size(call: &StartedCall) -> u64 {
    const FIXED_BYTES: usize = 100;
    (FIXED_BYTES + call.target.len() + call.arguments.len()) as u64
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("client", &self.client)
            .field("incarnation", &self.incarnation)
            .field("cut_bytes", &self.cut_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
