//! How a run ends, well or badly, and what a person needs to know of the latter.

use std::fmt;

use crate::time::Instant;

/// Why a run came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What it was to wait for has happened.
    Reached,
    /// Its time was up.
    Limit,
    /// Nothing is left to happen, now or later.
    Quiet,
    /// It failed; see [`Failure`].
    Failed,
}

/// What went wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Code in the world panicked.
    Panicked,
    /// A thread has the baton and does not come back to the runtime.
    Stalled,
    /// All threads wait, and nothing is due.
    Deadlock,
    /// Things keep happening, and the time does not move.
    Still,
}

/// A failed run: enough to find the place, and the seed to go there again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the world.
    pub seed: u64,
    /// When, by the world's time.
    pub at: Instant,
    /// In which way.
    pub kind: FailureKind,
    /// Who and what, in words.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, text, .. } = self;
        write!(f, "the simulation with seed {seed:#x} failed at {at}: {text}")
    }
}

impl std::error::Error for Failure {}
