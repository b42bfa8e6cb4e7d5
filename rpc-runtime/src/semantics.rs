//! The four call semantics: what a method promises under failure.
//!
//! Tanenbaum & van Steen, "Distributed Systems", section 8.3 (RPC semantics in the presence of
//! failures); the exact promises stand in docs/protocol.md.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often a call may run, and what its caller learns.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Semantics {
    /// Runs 0 or 1 times; the caller learns nothing.
    Maybe,
    /// Runs once or more if it succeeds, any number of times if it fails.
    AtLeastOnce,
    /// Runs 0 or 1 times, whatever the network does.
    #[default]
    AtMostOnce,
    /// Runs once, across crashes of the server, as long as somebody keeps asking.
    ExactlyOnce,
}

impl Semantics {
    /// The word a user writes in `#[rpc(..)]`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Maybe => "maybe",
            Self::AtLeastOnce => "at_least_once",
            Self::AtMostOnce => "at_most_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }
}

impl fmt::Display for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
