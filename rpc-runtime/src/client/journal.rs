//! The client's journal: what was in flight, kept for the client's next life.
//!
//! A client that must survive its own crash writes a call down before it hands it over, and what
//! became of it before it reports that (protocol tables, C3, H3). Its next life reads what is left:
//! who it is, which life this is, its durable slots and their next sequences, the calls without an
//! end, and for a while those with one.
//!
//! ```text
//!   call ─ Started, on the disk ─► handed over ─► … ─► answer ─ Ended, on the disk ─► reported
//! ```
//!
//! A process opens one journal, and its channels share it ([`crate::Channel::journal`]). One thread
//! writes for all of them, so that calls made at the same time share flushes. What a journal says is
//! [`codec`]'s knowledge, what it adds up to [`ledger`]'s; files are [`mod@file`]'s.

pub mod book;
pub mod codec;
pub mod file;
mod keeper;
pub mod ledger;
#[cfg(feature = "reactor")]
mod opened;

use std::fmt;
use std::sync::Arc;

pub use book::Book;
pub use codec::{Ending, StartedCall};
pub use file::JournalFile;
pub(super) use keeper::{Keeper, Stamp, Written};

pub use super::recovery::RecordedCall;
use crate::driver::World;
use crate::ids::{ClientId, Incarnation};

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

/// A process's journal. Cloning is cheap: clones are the same journal.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("till.journal");
/// use rpc_runtime::Journal;
///
/// let journal = Journal::open(path)?;
/// for call in journal.calls() {
///     println!("{} {}: {}", call.id(), call.method(), call.execution());
/// }
/// # Ok::<(), rpc_runtime::client::journal::JournalError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Journal(Arc<Keeper>);

/// What a journal has done in this life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStats {
    /// Entries written.
    pub entries: u64,
    /// Flushes that they took.
    pub flushes: u64,
    /// Times that something could not be written.
    pub failed: u64,
    /// Bytes of a torn or damaged journal that were cut off when it was opened.
    pub cut_bytes: usize,
}

impl Journal {
    /// Opens the journal at that path, or begins one, and with it a life of its client. Within a
    /// process, a journal that is open already is shared.
    ///
    /// # Errors
    ///
    /// It cannot be opened, another process has it open, or a later release wrote it.
    #[cfg(feature = "reactor")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, JournalError> {
        opened::open(path.as_ref()).map(Self)
    }

    /// Opens the journal on a simulated disk, in the world of the calling thread.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    #[cfg(feature = "sim")]
    pub fn on_disk(disk: &crate::sim::SimDisk) -> Result<Self, JournalError> {
        let no_world = |error: crate::CallError| JournalError::CannotOpen(error.to_string());
        let world = crate::scheme::here().map_err(no_world)?;
        let file = disk.open().map_err(|error| JournalError::InUse(error.to_string()))?;
        Self::open_file(Box::new(file), world)
    }

    /// Opens the journal that is in a file, for the channels of a world.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub fn open_file(
        file: Box<dyn JournalFile>,
        world: Arc<dyn World>,
    ) -> Result<Self, JournalError> {
        let book = Book::open(file, &mut *world.rng())?;
        Ok(Self(Keeper::new(book, world)))
    }

    /// The client, the same in all its lives.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.0.book().client()
    }

    /// This life of the client.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation()
    }

    /// What the journal has: every call without an end, and the last calls with one. A life that
    /// died between the end of a call and its report finds it here.
    #[must_use]
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.0.book().ledger().calls().cloned().map(RecordedCall).collect()
    }

    /// What it has done in this life.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        self.0.stats()
    }

    pub(super) const fn keeper(&self) -> &Arc<Keeper> {
        &self.0
    }
}
