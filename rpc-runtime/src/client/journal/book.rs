//! A journal's book: what is in its file, and how it gets there. Threadless: who calls it waits for
//! the disk.
//!
//! Entries that are written together share a flush. The file is written anew when most of it is
//! about what is over.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::JournalError;
use super::codec::{self, Entry};
use super::file::JournalFile;
use super::ledger::Ledger;
use crate::ids::{ClientId, Incarnation};
use crate::random::Rng;
use crate::time::Duration;

/// A journal of that length is written anew, if half of it is about calls that are over.
const COMPACT_BYTES_MIN: u64 = 1 << 20;

/// The most calls without an end, and the most bytes of them.
const OPEN_CALLS_MAX: usize = 1 << 16;
const OPEN_BYTES_MAX: usize = 1 << 28;

/// Generations that are remembered although no call in them is open.
const GENERATIONS_MAX: usize = 256;

/// What is in a journal, and its file.
pub struct Book {
    client: ClientId,
    incarnation: Incarnation,
    cut_bytes: usize,
    ledger: Mutex<Ledger>,
    /// Held by whoever writes, over the disk's work.
    pen: Mutex<Pen>,
    file: Box<dyn JournalFile>,
}

#[derive(Debug)]
struct Pen {
    /// The length of the journal.
    written: u64,
    /// Whether all of that is on the disk.
    is_flushed: bool,
    /// Shorter than that it is not written anew: it could not be when it was shorter still.
    rewrite_from: u64,
    broken: Option<JournalError>,
}

impl Book {
    /// Opens the journal that is in a file, simulated or not, and begins a life of its client. That
    /// life is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or a later release wrote it.
    pub fn open(file: Box<dyn JournalFile>, rng: &mut dyn Rng) -> Result<Self, JournalError> {
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
        ledger.forget_generations(GENERATIONS_MAX);
        let cut_bytes = std::mem::take(&mut ledger.damaged_bytes);
        // Written anew at every start: what the crash tore is gone, and the life is on the disk
        // before its first HELLO.
        let bytes = ledger.to_bytes();
        file.replace(&bytes)?;
        let written = bytes.len() as u64;
        let pen = Pen { written, is_flushed: true, rewrite_from: 0, broken: None };
        let (ledger, pen) = (Mutex::new(ledger), Mutex::new(pen));
        Ok(Self { client, incarnation, cut_bytes, ledger, pen, file })
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

    /// What the journal adds up to. Never held while the disk is waited for.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a flush takes in a simulated world: for the caller of [`Book::flush`] to wait.
    #[must_use]
    pub fn flush_takes(&self) -> Duration {
        self.file.flush_takes()
    }

    /// Whether nothing can be written any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.pen().broken.is_some()
    }

    /// Writes entries and flushes them: what [`Book::append`] and [`Book::flush`] do.
    pub fn write(&self, entries: &[Entry]) -> Vec<Result<(), JournalError>> {
        let appended = self.append(entries);
        match self.flush() {
            Ok(()) => appended,
            Err(error) => appended.into_iter().map(|one| one.and(Err(error.clone()))).collect(),
        }
    }

    /// Writes entries, in order; says of each whether it is in the file. A crash may still take it.
    pub fn append(&self, entries: &[Entry]) -> Vec<Result<(), JournalError>> {
        let mut pen = self.pen();
        let mut results = self.append_together(&mut pen, entries);
        if entries.len() > 1 && matches!(results.first(), Some(Err(JournalError::DiskFull(_)))) {
            // There may be room for some of them, for short ends for example.
            results.clear();
            for entry in entries {
                results.append(&mut self.append_together(&mut pen, std::slice::from_ref(entry)));
            }
        }
        results
    }

    fn append_together(&self, pen: &mut Pen, entries: &[Entry]) -> Vec<Result<(), JournalError>> {
        let all = |error: &JournalError| entries.iter().map(|_| Err(error.clone())).collect();
        if let Some(broken) = &pen.broken {
            return all(broken);
        }
        let (mut calls, mut call_bytes) = self.ledger().open_size();
        let mut bytes = Vec::new();
        let mut admit = |entry: &Entry| {
            if let Entry::Started(started) = entry {
                calls += 1;
                call_bytes += started.arguments.len();
                if calls > OPEN_CALLS_MAX || call_bytes > OPEN_BYTES_MAX {
                    return Err(JournalError::Full);
                }
            }
            let place = pen.written + bytes.len() as u64;
            codec::encode(entry, place, &mut bytes);
            Ok(())
        };
        let results: Vec<_> = entries.iter().map(&mut admit).collect();
        match self.file.append(pen.written, &bytes) {
            Ok(()) => {
                pen.written += bytes.len() as u64;
                pen.is_flushed &= bytes.is_empty();
                let mut ledger = self.ledger();
                let written = entries.iter().zip(&results).filter(|(_, result)| result.is_ok());
                written.for_each(|(entry, _)| ledger.add(entry.clone()));
                results
            }
            Err(error) => {
                if let JournalError::Broken(_) = error {
                    pen.broken = Some(error.clone());
                }
                all(&error)
            }
        }
    }

    /// Sees to it that all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// It may be there or not, and nothing can be written any more.
    pub fn flush(&self) -> Result<(), JournalError> {
        let mut pen = self.pen();
        if let Some(broken) = &pen.broken {
            return Err(broken.clone());
        }
        if pen.is_flushed {
            return Ok(());
        }
        let is_long = pen.written > COMPACT_BYTES_MIN.max(pen.rewrite_from)
            && pen.written / 2 > self.ledger().bytes() as u64 + COMPACT_BYTES_MIN / 4;
        if is_long {
            let bytes = self.ledger().to_bytes();
            match self.file.replace(&bytes) {
                Ok(()) => {
                    pen.written = bytes.len() as u64;
                    pen.is_flushed = true;
                    pen.rewrite_from = 0;
                    return Ok(());
                }
                Err(error @ JournalError::Broken(_)) => {
                    pen.broken = Some(error.clone());
                    return Err(error);
                }
                // The long one is still the journal. To try again at every flush would cost more
                // than it is long.
                Err(_) => pen.rewrite_from = pen.written + COMPACT_BYTES_MIN,
            }
        }
        let flushed = self.file.flush();
        pen.is_flushed = flushed.is_ok();
        flushed.inspect_err(|error| {
            // What a failed flush left behind cannot be known, nor be flushed by another.
            pen.broken = Some(JournalError::Broken(error.to_string()));
        })
    }

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("client", &self.client)
            .field("incarnation", &self.incarnation)
            .field("cut_bytes", &self.cut_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
