//! On which processors the two threads run.
//!
//! Which ones the system picks for two threads that wake each other matters more than all that they do: on one
//! processor that they share an echo takes 10 µs, and from one to another, which sleeps, 60. It picks one way for a
//! call and the other way for the echo beside it, and keeps to it. `sched_setaffinity(2)`.

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

impl Pin {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
            Self::Two => "two",
        }
    }

    pub(super) const fn described(self) -> &'static str {
        match self {
            Self::None => "wherever the system put the two threads",
            Self::One => "both threads on one processor",
            Self::Two => "each thread on a processor of its own",
        }
    }
}

/// This thread's processors, which it has again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pin: Pin,
    before: Option<Processors>,
}

impl Place {
    /// What was wished, or what is possible of it.
    pub(super) fn new(wished: Pin) -> Self {
        let own = Processors::of_this_thread().filter(Processors::take);
        let (before, pin) = match (wished, own) {
            (Pin::None, _) | (_, None) => (None, Pin::None),
            (Pin::Two, Some(own)) if !own.are_several() => (Some(own), Pin::One),
            (Pin::One | Pin::Two, Some(own)) => (Some(own), wished),
        };
        Self { pin, before }
    }

    /// Where the threads run indeed.
    pub(super) const fn pin(&self) -> Pin {
        self.pin
    }

    /// Moves to where the server's threads are to run: those that this one starts run there, too.
    pub(super) fn serve(&self) {
        self.before.map(|before| before.first().take());
    }

    /// Moves to where the caller is to run.
    pub(super) fn call(&self) {
        let before = self.before.filter(|_| self.pin == Pin::Two);
        before.map(|before| before.second().take());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.before.map(|before| before.take());
    }
}

/// A set of processors.
#[cfg(any(target_os = "android", target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
struct Processors(libc::cpu_set_t);

/// No set is known.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
#[derive(Clone, Copy, Debug)]
enum Processors {}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
impl Processors {
    const fn of_this_thread() -> Option<Self> {
        None
    }

    const fn take(&self) -> bool {
        match *self {}
    }

    const fn are_several(self) -> bool {
        match self {}
    }

    const fn first(self) -> Self {
        self
    }

    const fn second(self) -> Self {
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

    fn of_this_thread() -> Option<Self> {
        let mut set = Self::none();
        // SAFETY: the pointer is to a set of the size that is said.
        let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&set.0), &raw mut set.0) };
        (failed == 0).then_some(set)
    }

    /// Moves this thread there; says whether it may.
    fn take(&self) -> bool {
        // SAFETY: the pointer is to a set of the size that is said.
        unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &raw const self.0) == 0 }
    }

    fn are_several(&self) -> bool {
        self.all().count() > 1
    }

    /// Its first processor.
    fn first(&self) -> Self {
        self.only(self.all().next())
    }

    /// Its second one.
    fn second(&self) -> Self {
        self.only(self.all().nth(1))
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
        for wished in [Pin::None, Pin::One, Pin::Two] {
            let place = Place::new(wished);
            place.serve();
            let server = std::thread::scope(|scope| scope.spawn(allowed).join()).unwrap();
            place.call();
            let (serves, calls) = match place.pin() {
                Pin::None => (&before[..], &before[..]),
                Pin::One => (&before[..1], &before[..1]),
                Pin::Two => (&before[..1], &before[1..2]),
            };
            assert_eq!((&server[..], &allowed()[..]), (serves, calls));
            assert!(place.pin() == wished || before.len() == 1);
            drop(place);
            assert_eq!(allowed(), before);
        }
    }

    #[test]
    fn who_has_one_processor_is_told_that_both_run_on_it() {
        let one = Place::new(Pin::One);
        one.serve();
        assert_eq!(Place::new(Pin::Two).pin(), Pin::One);
    }
}
