//! What can be chosen of a campaign: which calls are made, and what servers do about orphans.

use std::str::FromStr;

use rpc_runtime::protocol::{OrphanPolicy, OrphanStrategy};
use rpc_runtime::random::Rng;
use rpc_runtime::semantics::Semantics;
use rpc_runtime::time::Duration;

use super::{METHODS, Transport, pick};

/// All that can be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Which calls are made.
    pub calls: Calls,
    /// What servers do about orphans.
    pub orphans: Orphans,
    /// What carries them.
    pub transport: Transport,
}

/// The semantics of the calls that are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// Of all four.
    #[default]
    All,
    /// Of one.
    Only(Semantics),
    /// Of all four, and most of them large.
    Large,
}

const SEMANTICS: [Semantics; 4] =
    [Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce, Semantics::ExactlyOnce];

impl FromStr for Calls {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        if word == "all" {
            return Ok(Self::All);
        }
        if word == "large" {
            return Ok(Self::Large);
        }
        let found = SEMANTICS.into_iter().find(|semantics| semantics.word() == word);
        found.map(Self::Only).ok_or_else(|| {
            let known = SEMANTICS.map(Semantics::word).join(", ");
            format!("no semantics are named `{word}`; known: all, large, {known}")
        })
    }
}

impl Calls {
    /// The longest arguments of a caller, in bytes: few have any that do not fit one datagram.
    pub(super) fn longest(self, rng: &mut dyn Rng, transport: Transport) -> u64 {
        let short = match self {
            Self::All | Self::Only(_) => pick(rng, &[64, 64, 64, 64, 64, 64, 64, 10_000]),
            Self::Large => pick(rng, &[3_000, 20_000, 100_000]),
        };
        match (transport.queue_bytes_max(), short) {
            (None, _) | (Some(_), 64) => short,
            (Some(_), 3_000) => 140_000, // two fragments or three
            (Some(_), _) => short * 8,
        }
    }

    /// The method of the next call, and what it promises.
    pub(super) fn pick(self, rng: &mut dyn Rng) -> (u64, Semantics) {
        let any = METHODS[pick(rng, &[0, 1, 1, 2, 2, 2, 3, 3, 3])];
        match self {
            Self::All | Self::Large => any,
            Self::Only(semantics) => {
                METHODS.into_iter().find(|(_, own)| *own == semantics).unwrap_or(any)
            }
        }
    }
}

/// What the campaign's servers do about orphans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// Each method something else.
    #[default]
    All,
    /// All the same.
    Only(OrphanStrategy),
}

impl FromStr for Orphans {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "all" => Self::All,
            "default" => Self::Only(OrphanStrategy::ExpireAndGentle),
            "expiration" => Self::Only(OrphanStrategy::Expire),
            "gentle" => Self::Only(OrphanStrategy::Gentle),
            "reincarnation" => Self::Only(OrphanStrategy::Reincarnate),
            "extermination" => Self::Only(OrphanStrategy::Exterminate),
            _ => {
                return Err(format!(
                    "no strategy is named `{word}`; \
                     known: all, default, expiration, gentle, reincarnation, extermination"
                ));
            }
        })
    }
}

impl Orphans {
    /// What holds for a method.
    pub(super) fn policy(self, rng: &mut dyn Rng, quantum: Duration) -> OrphanPolicy {
        let strategy = match self {
            Self::Only(strategy) => strategy,
            Self::All => pick(
                rng,
                &[
                    OrphanStrategy::ExpireAndGentle,
                    OrphanStrategy::Expire,
                    OrphanStrategy::Gentle,
                    OrphanStrategy::Reincarnate,
                    OrphanStrategy::Exterminate,
                ],
            ),
        };
        let policy = OrphanPolicy::new(strategy, quantum);
        if self == Self::All && rng.chance(0.1) { policy.no_cancel() } else { policy }
    }
}
