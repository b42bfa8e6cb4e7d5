//! Shared memory: bytes are copied in and out, and a futex wakes the other side, or nobody sleeps.
//!
//! | offset | bytes | |
//! |---:|---:|---|
//! | 0 | 4 | messages to the server so far |
//! | 64 | 4 | messages to the client so far |
//! | 128 | 4 | length of the last message |
//! | 192 | | its bytes: one message at a time is under way |

use std::fs::File;
use std::hint;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::Wire;
use crate::os::{self, Shared};
use crate::system::{Result, Work};

const TO_SERVER: usize = 0;
const TO_CLIENT: usize = 64;
const LENGTH: usize = 128;
const BYTES: usize = 192;

/// After how many looks in vain a spinning end takes it that others have their turn.
const LOOKS_MAX: u32 = 1 << 20;

/// How long it sleeps then, between looks.
const NAP: Duration = Duration::from_millis(1);

/// What is done until a message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Futex,
    Spinning,
}

pub(crate) struct Memory {
    shared: Shared,
    waits: Waits,
    sends: usize,
    receives: usize,
    received: u32,
    /// Bytes of the message under way that were taken already.
    taken: usize,
}

impl Memory {
    fn new(file: &File, work: Work, waits: Waits, is_server: bool) -> Result<Self> {
        let room = match work {
            Work::Echo | Work::Many => 64 << 10,
            Work::Sink(bytes) | Work::Source(bytes) => bytes.max(64 << 10),
        };
        if is_server {
            file.set_len((BYTES + room) as u64)?;
        }
        let (sends, receives) =
            if is_server { (TO_CLIENT, TO_SERVER) } else { (TO_SERVER, TO_CLIENT) };
        let shared = Shared::map(file, BYTES + room)?;
        Ok(Self { shared, waits, sends, receives, received: 0, taken: 0 })
    }

    pub(crate) fn create(
        path: &str,
        work: Work,
        waits: Waits,
        announce: &dyn Fn(&str),
    ) -> Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let memory = Self::new(&file, work, waits, true)?;
        announce(path);
        Ok(memory)
    }

    pub(crate) fn open(path: &str, work: Work, waits: Waits) -> Result<Self> {
        Self::new(&File::options().read(true).write(true).open(path)?, work, waits, false)
    }
}

impl Wire for Memory {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.shared.write(BYTES, bytes);
        self.shared.word(LENGTH).store(u32::try_from(bytes.len())?, Ordering::Relaxed);
        let sent = self.shared.word(self.sends);
        sent.fetch_add(1, Ordering::Release);
        if self.waits == Waits::Futex {
            os::futex_wake(sent);
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let came = self.shared.word(self.receives);
        let mut looks = 0;
        while came.load(Ordering::Acquire) == self.received {
            looks += 1;
            match self.waits {
                Waits::Futex => os::futex_wait(came, self.received),
                Waits::Spinning if looks < LOOKS_MAX => hint::spin_loop(),
                Waits::Spinning => thread::sleep(NAP),
            }
        }
        let whole = self.shared.word(LENGTH).load(Ordering::Relaxed) as usize;
        let len = (whole - self.taken).min(buffer.len());
        self.shared.read(BYTES + self.taken, &mut buffer[..len]);
        self.taken += len;
        if self.taken == whole {
            self.received = self.received.wrapping_add(1);
            self.taken = 0;
        }
        Ok(len)
    }
}
