//! The counter that the storm calls, and the journal that tells what really ran.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use rpc_runtime::{CallError, service};

/// Counts; every call carries a number of its own.
#[service(name = "storm.counter", version = "1.0")]
pub(crate) trait Counter {
    /// Counts call `number`, and says how many this server's life has counted.
    #[rpc(at_most_once)]
    fn count(&self, number: u64) -> Result<u64, CallError>;
}

/// A counter that writes each execution down before it returns.
pub(crate) struct Journalled {
    journal: Mutex<(File, u64)>,
}

impl Journalled {
    /// Opens the journal at `path`; earlier lives' entries stay.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { journal: Mutex::new((file, 0)) })
    }
}

impl Counter for Journalled {
    fn count(&self, number: u64) -> Result<u64, CallError> {
        let mut journal = self.journal.lock().expect("no handler panics with the lock");
        journal.0.write_all(&number.to_le_bytes()).map_err(CallError::failed)?;
        journal.1 += 1;
        Ok(journal.1)
    }
}
