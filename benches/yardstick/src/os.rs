//! What only the system knows or does: processor time, limits, pinning, shared memory, futexes.

#![expect(unsafe_code, reason = "calls of the system that std does not offer")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::AtomicU32;

use serde::{Deserialize, Serialize};

use crate::allocations;
use crate::system::Result;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Processor time of all threads, in microseconds.
    pub(crate) cpu_us: f64,
    /// How often a thread gave its processor away, or lost it.
    pub(crate) switches: u64,
    pub(crate) allocations: u64,
    /// Memory of the process that is in memory, in bytes.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// This process's.
    pub(crate) fn own() -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: `usage` is memory of the size that the call fills; zeroes are a valid value, too.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let micros = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
        Self {
            cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
            switches: (usage.ru_nvcsw + usage.ru_nivcsw).cast_unsigned(),
            allocations: allocations::count(),
            resident_bytes: resident_bytes().unwrap_or_default(),
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_us: self.cpu_us - before.cpu_us,
            switches: self.switches - before.switches,
            allocations: self.allocations - before.allocations,
            resident_bytes: self.resident_bytes.saturating_sub(before.resident_bytes),
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Lets the process have as many descriptors as the system allows it.
pub(crate) fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or fill `limit`, which outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Keeps this thread, and those that it starts, on one processor.
pub(crate) fn pin(processor: usize) -> Result<()> {
    // SAFETY: zeroes are an empty set, and the macro-like functions stay inside it.
    let failed = unsafe {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

/// Waits while `word` is `value`, or shorter.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32) {
    // SAFETY: the address is that of a word that outlives the call; without a time-out.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            ptr::null::<libc::timespec>(),
        );
    }
}

/// Wakes one who waits for `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the address is that of a word that outlives the call.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1);
    }
}

/// The bytes of a file, as memory that whoever maps it shares. Never unmapped: one a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; words in it are atomic, and its other
// bytes are copied by whoever's turn it is, which the words say.
unsafe impl Send for Shared {}

impl Shared {
    pub(crate) fn map(file: &File, bytes: usize) -> Result<Self> {
        // SAFETY: a fresh mapping at an address of the system's choice overlaps nothing.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self { start: start.cast(), bytes })
    }

    /// The word at `offset`.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "a word inside the mapping");
        // SAFETY: aligned and inside the mapping, which is never unmapped; all access is atomic.
        unsafe { AtomicU32::from_ptr(self.start.add(offset).cast()) }
    }

    /// Copies `bytes` to `offset`.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.bytes, "inside the mapping");
        // SAFETY: inside the mapping; `bytes` is other memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(offset), bytes.len()) }
    }

    /// Copies what is at `offset` to `bytes`.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.bytes, "inside the mapping");
        // SAFETY: inside the mapping; `bytes` is other memory.
        unsafe { ptr::copy_nonoverlapping(self.start.add(offset), bytes.as_mut_ptr(), bytes.len()) }
    }
}
