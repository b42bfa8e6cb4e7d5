//! A teller's log: what it wanted and what it was told, one write for each, so that a killed teller
//! leaves whole entries.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Bytes of an entry: the transfer's number, and what is said of it.
const ENTRY_BYTES: usize = 9;

/// What is said of a transfer; the last word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is about to be asked for.
    Wanted,
    /// Its reply came.
    Returned,
    /// It did not run and never will.
    NotExecuted,
    /// It ran, and left nothing.
    Failed,
    /// Nobody knows yet.
    Unknown,
}

impl Word {
    const ALL: [Self; 5] =
        [Self::Wanted, Self::Returned, Self::NotExecuted, Self::Failed, Self::Unknown];

    const fn byte(self) -> u8 {
        match self {
            Self::Wanted => 0,
            Self::Returned => 1,
            Self::NotExecuted => 2,
            Self::Failed => 3,
            Self::Unknown => 4,
        }
    }

    /// Whether it says whether the transfer ran.
    pub(crate) const fn is_fact(self) -> bool {
        matches!(self, Self::Returned | Self::NotExecuted | Self::Failed)
    }
}

/// A log that is written.
#[derive(Debug)]
pub(crate) struct Log(File);

impl Log {
    /// Opens the log at `path` to go on with it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// Writes one entry.
    pub(crate) fn write(&self, number: u64, word: Word) -> io::Result<()> {
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&number.to_le_bytes());
        entry[8] = word.byte();
        (&self.0).write_all(&entry)
    }
}

/// The last word on each transfer in the log at `path`; a log that is not there is empty.
pub(crate) fn read(path: &Path) -> io::Result<BTreeMap<u64, Word>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut words = BTreeMap::new();
    for entry in bytes.as_chunks::<ENTRY_BYTES>().0 {
        let [number @ .., byte] = *entry;
        let word = Word::ALL.into_iter().find(|word| word.byte() == byte);
        let word = word.ok_or_else(|| io::Error::other("the log is damaged"))?;
        words.insert(u64::from_le_bytes(number), word);
    }
    Ok(words)
}
