//! A disk that keeps what was flushed, and tears what was not.
//!
//! One file on it: bytes that were flushed, and bytes that were only written. A crash keeps some
//! first part of the latter, whose end may be garbage, as a disk does that lost power while it
//! wrote. Which part follows from the seed.
//!
//! Knows no format and no clock: how long a flush takes is for its user to wait.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::{Purpose, SimRng};
use crate::random::Rng;
use crate::time::Duration;

/// The bytes that a disk writes at once: garbage at a crash is no longer than this.
const SECTOR_BYTES: u64 = 512;

/// A simulated disk. Clones are the same disk: what a test and the hosts share.
#[derive(Clone)]
pub struct SimDisk {
    platter: Arc<Mutex<Platter>>,
}

struct Platter {
    /// What a crash cannot take.
    flushed: Vec<u8>,
    /// What it can.
    written: Vec<u8>,
    /// Counts crashes: who opened the file before one is dead.
    life: u64,
    is_open: bool,
    room_bytes: usize,
    flush_takes: Duration,
    stats: DiskStats,
    rng: SimRng,
}

/// What has happened to a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Flushes that wrote something.
    pub flushes: u64,
    /// Crashes.
    pub crashes: u64,
    /// Crashes that lost bytes.
    pub lost: u64,
    /// Crashes that left garbage.
    pub torn: u64,
}

/// Why a disk did not do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// Somebody else has the file open.
    InUse,
    /// There is no room left.
    Full,
    /// The process that opened the file has crashed.
    Gone,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "the simulated file is open elsewhere",
            Self::Full => "the simulated disk is full",
            Self::Gone => "the process that opened the simulated file has crashed",
        })
    }
}

impl std::error::Error for DiskError {}

impl SimDisk {
    /// The `index`th disk of that seed: empty, without bounds, its flushes take no time.
    #[must_use]
    pub fn new(seed: u64, index: u64) -> Self {
        let platter = Platter {
            flushed: Vec::new(),
            written: Vec::new(),
            life: 0,
            is_open: false,
            room_bytes: usize::MAX,
            flush_takes: Duration::ZERO,
            stats: DiskStats::default(),
            rng: SimRng::new(seed, Purpose::Disk, index),
        };
        Self { platter: Arc::new(Mutex::new(platter)) }
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how many bytes fit.
    pub fn set_room(&self, room_bytes: usize) {
        self.lock().room_bytes = room_bytes;
    }

    /// Sets how long a flush takes.
    pub fn set_flush_takes(&self, flush_takes: Duration) {
        self.lock().flush_takes = flush_takes;
    }

    /// How long a flush takes.
    #[must_use]
    pub fn flush_takes(&self) -> Duration {
        self.lock().flush_takes
    }

    /// What has happened to it.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        self.lock().stats
    }

    /// The power fails: what was not flushed is lost or torn, and who had the file open is dead.
    /// Crash the host in the same breath.
    pub fn crash(&self) {
        let mut platter = self.lock();
        let Platter { flushed, written, stats, rng, .. } = &mut *platter;
        let written_bytes = written.len() as u64;
        // Often the disk was just about to begin, or just done.
        let kept_bytes = match rng.below(4) {
            0 => 0,
            1 => written_bytes,
            _ => rng.below(written_bytes + 1),
        };
        let is_torn = kept_bytes < written_bytes && rng.chance(0.5);
        let garbage_bytes = if is_torn { rng.below(SECTOR_BYTES.min(kept_bytes) + 1) } else { 0 };
        stats.crashes += 1;
        stats.lost += u64::from(kept_bytes < written_bytes);
        stats.torn += u64::from(garbage_bytes > 0);
        for (place, &byte) in (0..kept_bytes).zip(written.iter()) {
            let is_garbage = place >= kept_bytes - garbage_bytes;
            flushed.push(if is_garbage { byte ^ rng.next_u64().to_le_bytes()[0] } else { byte });
        }
        written.clear();
        platter.life += 1;
        platter.is_open = false;
    }

    /// The process that has the file open is killed. What it wrote is with the operating system, which
    /// lives: nothing is lost. Crash the host in the same breath.
    pub fn kill(&self) {
        let mut platter = self.lock();
        platter.life += 1;
        platter.is_open = false;
    }

    /// Changes bytes at rest, as a failing disk does: `damage` gets all that was flushed.
    pub fn damage(&self, damage: impl FnOnce(&mut Vec<u8>)) {
        damage(&mut self.lock().flushed);
    }

    /// Opens the file for one process.
    ///
    /// # Errors
    ///
    /// [`DiskError::InUse`] while another has it open.
    pub fn open(&self) -> Result<SimFile, DiskError> {
        let mut platter = self.lock();
        if platter.is_open {
            return Err(DiskError::InUse);
        }
        platter.is_open = true;
        Ok(SimFile { disk: self.clone(), life: platter.life })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let platter = self.lock();
        f.debug_struct("SimDisk")
            .field("flushed_bytes", &platter.flushed.len())
            .field("written_bytes", &platter.written.len())
            .field("life", &platter.life)
            .finish_non_exhaustive()
    }
}

/// The file as one process has it open. Dropping it closes it; what was written stays written.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    life: u64,
}

impl SimFile {
    fn platter(&self) -> Result<MutexGuard<'_, Platter>, DiskError> {
        let platter = self.disk.lock();
        if platter.life == self.life { Ok(platter) } else { Err(DiskError::Gone) }
    }

    /// The disk that it is on.
    #[must_use]
    pub const fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Everything in it.
    ///
    /// # Errors
    ///
    /// Here and below: [`DiskError::Gone`] after a crash.
    pub fn read(&self) -> Result<Vec<u8>, DiskError> {
        let platter = self.platter()?;
        Ok([platter.flushed.as_slice(), &platter.written].concat())
    }

    /// Writes at its end.
    ///
    /// # Errors
    ///
    /// [`DiskError::Full`]: nothing was written.
    pub fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let mut platter = self.platter()?;
        let total = platter.flushed.len() + platter.written.len() + bytes.len();
        if total > platter.room_bytes {
            return Err(DiskError::Full);
        }
        platter.written.extend_from_slice(bytes);
        Ok(())
    }

    /// Flushes what was written.
    ///
    /// # Errors
    ///
    /// See [`SimFile::read`].
    pub fn flush(&self) -> Result<(), DiskError> {
        let mut platter = self.platter()?;
        let Platter { flushed, written, stats, .. } = &mut *platter;
        stats.flushes += u64::from(!written.is_empty());
        flushed.append(written);
        Ok(())
    }

    /// Takes back what was written and not flushed.
    ///
    /// # Errors
    ///
    /// See [`SimFile::read`].
    pub fn take_back(&self) -> Result<(), DiskError> {
        self.platter()?.written.clear();
        Ok(())
    }

    /// Replaces the whole file by these bytes, at once and flushed, as renaming a new file over an
    /// old one does.
    ///
    /// # Errors
    ///
    /// [`DiskError::Full`]: the old file is still there.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let mut platter = self.platter()?;
        if bytes.len() > platter.room_bytes {
            return Err(DiskError::Full);
        }
        platter.written.clear();
        platter.flushed.clear();
        platter.flushed.extend_from_slice(bytes);
        platter.stats.flushes += 1;
        Ok(())
    }

    /// A draw from the disk's own chance.
    #[must_use]
    pub fn chance(&self, p: f64) -> bool {
        self.disk.lock().rng.chance(p)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(mut platter) = self.platter() {
            platter.is_open = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_survives_and_what_was_not_is_a_torn_first_part() {
        let (mut lost, mut torn, mut whole) = (0, 0, 0);
        for seed in 0..200 {
            let disk = SimDisk::new(seed, 0);
            let file = disk.open().unwrap();
            file.append(b"flushed").unwrap();
            file.flush().unwrap();
            file.append(b", only written").unwrap();
            disk.crash();
            assert_eq!(file.append(b"by the dead"), Err(DiskError::Gone));
            drop(file);
            let found = disk.open().unwrap().read().unwrap();
            let (kept, rest) = found.split_at(7);
            assert_eq!(kept, b"flushed");
            assert!(rest.len() <= 14);
            lost += u32::from(rest.len() < 14);
            torn += u32::from(!b", only written".starts_with(rest));
            whole += u32::from(rest == b", only written");
        }
        assert!(lost > 100 && torn > 20 && whole > 2, "{lost} {torn} {whole}");
    }

    #[test]
    fn a_full_disk_refuses_and_keeps_what_it_has() {
        let disk = SimDisk::new(1, 0);
        disk.set_room(10);
        let file = disk.open().unwrap();
        file.append(b"12345678").unwrap();
        assert_eq!(file.append(b"9ab"), Err(DiskError::Full));
        assert_eq!(file.replace(b"0123456789a"), Err(DiskError::Full));
        assert_eq!(file.read().unwrap(), b"12345678");
        file.replace(b"0123456789").unwrap();
        assert_eq!(file.read().unwrap(), b"0123456789");
    }

    #[test]
    fn one_process_at_a_time_has_the_file() {
        let disk = SimDisk::new(1, 0);
        let file = disk.open().unwrap();
        assert_eq!(disk.open().unwrap_err(), DiskError::InUse);
        drop(file);
        let file = disk.open().unwrap();
        disk.crash();
        let _next = disk.open().unwrap();
        drop(file); // the dead process's end takes nothing from the living one
        assert_eq!(disk.open().unwrap_err(), DiskError::InUse);
    }
}
