//! On which processors the two threads run.
//!
//! Which ones the system picks for two threads that wake each other matters more than all that they do: on one
//! processor that they share an echo takes 10 µs, and from one to another, which sleeps, 60. It picks one way for a
//! call and the other way for the echo beside it, and keeps to it. `sched_setaffinity(2)`.

use std::io;

use clap::ValueEnum;
use serde::Serialize;

/// Where the two threads of a call run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pin {
    /// Where the system likes.
    None,
    /// Both on one processor.
    One,
    /// Each on one of its own, if this process may use two.
    Two,
}

/// This thread's processors, which it has again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pin: Pin,
    before: Processors,
}

impl Place {
    pub(super) fn new(pin: Pin) -> io::Result<Self> {
        Ok(Self { pin, before: Processors::of_this_thread()? })
    }

    /// Moves to where the server's threads are to run: those that this one starts run there, too.
    pub(super) fn serve(&self) -> io::Result<()> {
        match self.pin {
            Pin::None => Ok(()),
            Pin::One | Pin::Two => self.before.first().take(),
        }
    }

    /// Moves to where the caller is to run.
    pub(super) fn call(&self) -> io::Result<()> {
        match self.pin {
            Pin::None | Pin::One => Ok(()),
            Pin::Two => self.before.second().take(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.before.take();
    }
}

/// A set of processors.
#[cfg(any(target_os = "android", target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
struct Processors(libc::cpu_set_t);

/// Threads run where the system likes.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
#[derive(Clone, Copy, Debug)]
struct Processors;

#[cfg(not(any(target_os = "android", target_os = "linux")))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
impl Processors {
    fn of_this_thread() -> io::Result<Self> {
        Ok(Self)
    }

    fn take(self) -> io::Result<()> {
        Ok(())
    }

    fn first(self) -> Self {
        self
    }

    fn second(self) -> Self {
        self
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[expect(unsafe_code, reason = "the system has no other door")]
impl Processors {
    fn none() -> Self {
        // SAFETY: zeroes are the empty set.
        Self(unsafe { std::mem::zeroed() })
    }

    fn of_this_thread() -> io::Result<Self> {
        let mut set = Self::none();
        // SAFETY: the pointer is to a set of the size that is said.
        let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&set.0), &raw mut set.0) };
        if failed == 0 { Ok(set) } else { Err(io::Error::last_os_error()) }
    }

    fn take(&self) -> io::Result<()> {
        // SAFETY: the pointer is to a set of the size that is said.
        let failed = unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &raw const self.0) };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Its first processor.
    fn first(&self) -> Self {
        self.only(self.all().next())
    }

    /// Its second one, or its first if that is all.
    fn second(&self) -> Self {
        self.only(self.all().take(2).last())
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        let capacity = usize::try_from(libc::CPU_SETSIZE).unwrap_or_default();
        // SAFETY: the range does not leave the set.
        (0..capacity).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &self.0) })
    }

    fn only(&self, processor: Option<usize>) -> Self {
        let mut only = Self::none();
        if let Some(processor) = processor {
            // SAFETY: the place is that of one in a set of the same size.
            unsafe { libc::CPU_SET(processor, &mut only.0) };
        }
        only
    }
}

#[cfg(all(test, any(target_os = "android", target_os = "linux")))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_was_put_and_then_where_it_did() {
        let allowed = || Processors::of_this_thread().unwrap().all().collect::<Vec<_>>();
        let before = allowed();
        for (pin, at) in [(Pin::One, 0), (Pin::Two, 1)] {
            let place = Place::new(pin).unwrap();
            place.serve().unwrap();
            let server = std::thread::scope(|scope| scope.spawn(allowed).join());
            assert_eq!(server.unwrap(), before[..1]);
            place.call().unwrap();
            assert_eq!(allowed(), [before[at.min(before.len() - 1)]]);
            drop(place);
            assert_eq!(allowed(), before);
        }
        let place = Place::new(Pin::None).unwrap();
        place.serve().unwrap();
        place.call().unwrap();
        assert_eq!(allowed(), before);
    }
}
