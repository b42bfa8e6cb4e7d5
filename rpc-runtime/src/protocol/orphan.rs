//! Orphans: what a server does about work whose client may be gone.
//!
//! Knows the strategies and what they mean for one method; does not know how they are carried out
//! (`server/orphans.rs`). The strategies are those of Nelson (1981) as Tanenbaum & van Steen tell
//! them, section 8.3.2: extermination, reincarnation, gentle reincarnation, expiration.

use crate::time::Duration;

/// How a server treats calls whose client may be gone.
///
/// Killing is cooperative: the handler is told that its call is cancelled, its nested calls fail
/// and are cancelled themselves, its reply is discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OrphanStrategy {
    /// Expiration and gentle reincarnation together.
    #[default]
    ExpireAndGentle,
    /// A call runs for a quantum; then its caller is asked whether it still waits, and for each
    /// yes the call has another quantum. No, or no answer within the grace period: it is cancelled.
    Expire,
    /// When a later life of the client announces itself, the owner of each running call is looked
    /// for, and the call cancelled only where none answers that it lives and waits.
    Gentle,
    /// When a later life of the client announces itself, all that its earlier lives left is
    /// cancelled, wanted or not.
    Reincarnate,
    /// The server leaves calls of an earlier life alone, however long they run: a later life of the
    /// client kills them, from its journal. Calls of clients that keep none end at their deadlines.
    Exterminate,
}

impl OrphanStrategy {
    /// Whether calls run by quanta.
    #[must_use]
    pub const fn expires(self) -> bool {
        match self {
            Self::ExpireAndGentle | Self::Expire => true,
            Self::Gentle | Self::Reincarnate | Self::Exterminate => false,
        }
    }

    /// What a later life of the client does to running calls.
    #[must_use]
    pub const fn on_fence(self) -> OnFence {
        match self {
            Self::ExpireAndGentle | Self::Gentle => OnFence::AskOwner,
            Self::Expire | Self::Exterminate => OnFence::Leave,
            Self::Reincarnate => OnFence::Cancel,
        }
    }
}

/// What becomes of a running call when a later life of its client is welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFence {
    /// Nothing.
    Leave,
    /// Its owner is asked for.
    AskOwner,
    /// It is cancelled.
    Cancel,
}

/// What holds for the calls of one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrphanPolicy {
    /// How long a call runs before its caller is asked whether it still waits; `None` asks never.
    pub quantum: Option<Duration>,
    /// What a later life of the client does to a running call.
    pub on_fence: OnFence,
    /// A call that began runs to its end, whatever becomes of its caller.
    pub no_cancel: bool,
}

impl OrphanPolicy {
    /// What `strategy` means for a method with this quantum.
    #[must_use]
    pub const fn new(strategy: OrphanStrategy, quantum: Duration) -> Self {
        let quantum = if strategy.expires() { Some(quantum) } else { None };
        Self { quantum, on_fence: strategy.on_fence(), no_cancel: false }
    }

    /// The same for a method that runs to its end.
    #[must_use]
    pub const fn no_cancel(self) -> Self {
        Self { quantum: None, on_fence: OnFence::Leave, no_cancel: true }
    }
}

/// How long a call runs before its caller is asked, where nobody says otherwise.
pub(crate) const QUANTUM_DEFAULT: Duration = Duration::from_secs(10);

impl Default for OrphanPolicy {
    fn default() -> Self {
        Self::new(OrphanStrategy::default(), QUANTUM_DEFAULT)
    }
}
