//! Where registrations last: over restarts of the binder, and over its end at any instant.
//!
//! A store keeps what it is given in one piece or not at all, and says so only when it would be there
//! after a power cut. One binder has a [`Store`]; several have a [`SharedStore`](shared::SharedStore).
//! Does not know what registrations mean.

mod embedded;
#[cfg(feature = "etcd")]
mod etcd;
pub mod shared;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use rpc_runtime::binder::{MethodDescription, RegistrationId};
use rpc_runtime::store::{StoreError, StoreErrorKind};

use crate::registry::Kept;
use crate::registry::plan::Change;

pub use embedded::Embedded;
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdUrl};

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

/// The format of the rows.
const FORMAT: u8 = 1;

/// A row: it begins with the number of its format, so that another binder's is told from a torn one.
fn written(row: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let bytes = postcard::to_extend(row, vec![FORMAT]);
    bytes.expect("what was read from a message can be written again")
}

fn read<T: DeserializeOwned>(row: &[u8], what: impl Fn() -> String) -> Result<T, StoreError> {
    let corrupt =
        |why: String| StoreError::new(StoreErrorKind::Corrupt, format!("{} {why}", what()));
    match row.split_first() {
        Some((&FORMAT, row)) => match postcard::take_from_bytes(row) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(corrupt(format!("has {} bytes too many", rest.len()))),
            Err(error) => Err(corrupt(format!("cannot be read: {error}"))),
        },
        Some((&format, _)) => {
            let text = format!("{} is of format {format}, and this binder reads {FORMAT}", what());
            Err(StoreError::new(StoreErrorKind::OtherVersion, text))
        }
        None => Err(corrupt("is empty".into())),
    }
}
