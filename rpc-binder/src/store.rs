//! Where registrations last: over restarts of the binder, and over its end at any instant.
//!
//! A store keeps what it is given in one piece or not at all, and says so only when it would be there
//! after a power cut. Does not know what registrations mean.

mod embedded;

use std::fmt;

use rpc_runtime::binder::{MethodDescription, RegistrationId};
use rpc_runtime::store::StoreError;

use crate::registry::Kept;
use crate::registry::plan::Change;

pub use embedded::Embedded;

/// What a store has kept.
#[derive(Debug, Default)]
pub struct Found {
    /// How often it was opened, this time included.
    pub life: u32,
    /// Interfaces by their fingerprints.
    pub interfaces: Vec<(u128, Vec<MethodDescription>)>,
    /// Registrations.
    pub registrations: Vec<(RegistrationId, Kept)>,
}

/// Keeps registrations.
pub trait Store: Send + fmt::Debug {
    /// Keeps all of `changes`, in their order, or none.
    ///
    /// # Errors
    ///
    /// Nothing is kept; unless the error [is doubtful](StoreError::is_doubtful).
    fn keep(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError>;
}
