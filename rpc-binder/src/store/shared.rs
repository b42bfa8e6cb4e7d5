//! A store that several binders have: each learns from it what has come to pass, its own doings too.

use std::fmt;
use std::sync::Arc;

use rpc_runtime::binder::{RegistrationId, Revision};
use rpc_runtime::driver::Gate;
use rpc_runtime::store::StoreError;
use rpc_runtime::time::{Duration, Instant};

use crate::registry::follow::{Step, Whole};
use crate::registry::plan::Change;

/// Names what was kept together, among all that any binder ever kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(pub u128);

/// How much may be kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Changes.
    pub changes: usize,
    /// What they take, in bytes.
    pub bytes: usize,
}

/// What a shared store tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Something has come to pass; by the batch of a binder, or because leases are over.
    Step {
        /// What.
        step: Step,
        /// By which.
        batch: Option<BatchId>,
    },
    /// So much has that it cannot be told one by one.
    Whole {
        /// What there is now.
        whole: Whole,
        /// The last batch that was kept.
        batch: Option<BatchId>,
    },
    /// Whether this binder's batch was kept is decided: the news up to this revision tell.
    Decided {
        /// Which.
        batch: BatchId,
        /// They tell of it at this revision, or it was not kept and never will be.
        at: Revision,
        /// What is known of it already.
        is_kept: Option<bool>,
    },
    /// This binder's batch was not kept, for these registrations are there no more, of which the news have
    /// told or will.
    Gone {
        /// Which.
        batch: BatchId,
        /// Registrations that it marks.
        ids: Vec<RegistrationId>,
    },
    /// What comes to pass is not told for now.
    Deaf {
        /// Why.
        error: StoreError,
    },
    /// This binder's batch was not kept, unless the error [is doubtful](StoreError::is_doubtful).
    Failed {
        /// Which.
        batch: BatchId,
        /// Why.
        error: StoreError,
    },
}

/// Keeps registrations for several binders, and ends them with their leases. Never blocks.
pub trait SharedStore: Send + fmt::Debug {
    /// Has `gate` opened whenever there is news, from now on.
    fn ring(&mut self, gate: Arc<dyn Gate>);

    /// How much may be kept together.
    fn room(&self) -> Room;

    /// Begins to keep all of `changes`, in their order, or none. They are kept if no batch was since the
    /// last news that were taken; without any, it is found out whether one was. One at a time; what becomes
    /// of it is told by the news.
    fn begin(&mut self, changes: &[Change<'_>]) -> BatchId;

    /// Has all be told anew, soon: what was told is not what the store holds.
    fn start_over(&mut self);

    /// What is told next, if anything is.
    fn news(&mut self) -> Option<News>;

    /// Who knows how long the leases last.
    fn leases(&self) -> Arc<dyn Leases>;
}

/// Knows how long the store lets registrations live. Never blocks.
pub trait Leases: Send + Sync + fmt::Debug {
    /// How long a lease lasts after it was prolonged.
    fn duration(&self) -> Duration;

    /// Somebody renews a registration: until when it surely lives. Has the store prolong its lease soon, if
    /// it is time for that.
    ///
    /// # Errors
    ///
    /// It is not known to live long enough, in words.
    fn vouch(&self, now: Instant, id: RegistrationId) -> Result<Instant, String>;

    /// Until when a registration surely lives, if that is known.
    fn end_of(&self, id: RegistrationId) -> Option<Instant>;
}
