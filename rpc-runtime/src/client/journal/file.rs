//! The files that a journal is in: on a disk, or simulated.
//!
//! Knows how to append, to flush, and to put a new file in the old one's place at once. A file
//! beside it is locked while the journal is open, for the journal's own is replaced.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::JournalError;
use crate::time::Duration;

/// Where a journal is kept. Open in one process at a time.
pub trait JournalFile: Send + Sync + fmt::Debug {
    /// Everything in it.
    ///
    /// # Errors
    ///
    /// Here and below: what the disk said.
    fn read(&self) -> Result<Vec<u8>, JournalError>;

    /// Writes behind its first `length` bytes, which are all there is.
    ///
    /// # Errors
    ///
    /// [`JournalError::Broken`] if what is behind them is not known any more.
    fn append(&self, length: u64, bytes: &[u8]) -> Result<(), JournalError>;

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    ///
    /// It may or may not be there.
    fn flush(&self) -> Result<(), JournalError>;

    /// Puts these bytes in place of all others, at once: a crash leaves the old or the new. On the
    /// disk when this returns.
    ///
    /// # Errors
    ///
    /// [`JournalError::Broken`] if it is not known which a crash would leave; else the old bytes are
    /// there, and are written on.
    fn replace(&self, bytes: &[u8]) -> Result<(), JournalError>;

    /// How long a flush takes in a simulated world, where time does not pass by itself.
    fn flush_takes(&self) -> Duration {
        Duration::ZERO
    }
}

/// A file on a disk.
#[derive(Debug)]
pub struct DiskFile {
    path: PathBuf,
    /// Shared, so that a flush and an append do not wait for each other.
    file: Mutex<Arc<File>>,
    /// Closed with this, which unlocks it.
    _lock: File,
}

impl DiskFile {
    /// Opens the file at that path, or makes it, and locks it.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or another process has it open.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let cannot =
            |error: io::Error| JournalError::CannotOpen(format!("{}: {error}", path.display()));
        let lock = beside(path, ".lock");
        let lock = File::options().create(true).append(true).open(lock).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::InUse(path.display().to_string()));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let file = open(path).map_err(cannot)?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(Arc::new(file)), _lock: lock })
    }

    fn file(&self) -> MutexGuard<'_, Arc<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file with these bytes in the old one's place. The folder still has to be flushed, and
    /// is opened before anything is changed: there may be no handle left to open it with.
    fn put_in_place(&self, bytes: &[u8]) -> io::Result<File> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")))?;
        let new = beside(&self.path, ".new");
        let written = write(&new, bytes)
            .and_then(|written| fs::rename(&new, &self.path).map(|()| written))
            .inspect_err(|_| {
                let _ = fs::remove_file(&new); // the old one goes on, and needs the room
            })?;
        *self.file() = Arc::new(written);
        Ok(folder)
    }
}

/// A file with these bytes, which are on the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = private().read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

fn open(path: &Path) -> io::Result<File> {
    private().read(true).write(true).create(true).truncate(false).open(path)
}

/// Files that are made are their owner's only: the arguments of calls stand in them, and replies.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

impl JournalFile for DiskFile {
    fn read(&self) -> Result<Vec<u8>, JournalError> {
        let mut bytes = Vec::new();
        let file = Arc::clone(&self.file());
        let read = (&*file).seek(SeekFrom::Start(0)).and_then(|_| (&*file).read_to_end(&mut bytes));
        let place = || self.path.display().to_string();
        read.map_err(|error| JournalError::CannotOpen(format!("{}: {error}", place())))?;
        Ok(bytes)
    }

    fn append(&self, length: u64, bytes: &[u8]) -> Result<(), JournalError> {
        let file = Arc::clone(&self.file());
        let mut end = &*file;
        let written = end.seek(SeekFrom::Start(length)).and_then(|_| end.write_all(bytes));
        let Err(error) = written else { return Ok(()) };
        // Part of it may be there; a journal goes on behind whole entries only.
        match file.set_len(length) {
            Ok(()) => Err(said(&error)),
            Err(_) => Err(JournalError::Broken(error.to_string())),
        }
    }

    fn flush(&self) -> Result<(), JournalError> {
        let file = Arc::clone(&self.file());
        file.sync_data().map_err(|error| said(&error))
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), JournalError> {
        let folder = self.put_in_place(bytes).map_err(|error| {
            if is_full(&error) { said(&error) } else { JournalError::CannotOpen(error.to_string()) }
        })?;
        folder.sync_all().map_err(|error| JournalError::Broken(error.to_string()))
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn said(error: &io::Error) -> JournalError {
    if is_full(error) {
        return JournalError::DiskFull(error.to_string());
    }
    JournalError::Broken(error.to_string())
}

/// A simulated file, for simulated crashes.
#[cfg(feature = "sim")]
mod simulated {
    use super::{Duration, JournalError, JournalFile};
    use crate::sim::disk::{DiskError, SimFile};

    impl JournalFile for SimFile {
        fn read(&self) -> Result<Vec<u8>, JournalError> {
            Self::read(self).map_err(said)
        }

        fn append(&self, _: u64, bytes: &[u8]) -> Result<(), JournalError> {
            Self::append(self, bytes).map_err(said)
        }

        fn flush(&self) -> Result<(), JournalError> {
            Self::flush(self).map_err(said)
        }

        fn replace(&self, bytes: &[u8]) -> Result<(), JournalError> {
            Self::replace(self, bytes).map_err(said)
        }

        fn flush_takes(&self) -> Duration {
            self.disk().flush_takes()
        }
    }

    fn said(error: DiskError) -> JournalError {
        match error {
            DiskError::InUse => JournalError::InUse(error.to_string()),
            DiskError::Full => JournalError::DiskFull(error.to_string()),
            DiskError::Gone => JournalError::Broken(error.to_string()),
        }
    }
}
