//! The door to a binder: what a server tells one, and the lease it gets.
//!
//! Does not know what a binder is or where: the binder's client implements [`Registrar`].

use std::fmt;
use std::sync::Arc;

use crate::driver::World;
use crate::error::CallError;
use crate::ids::{Incarnation, ServerId};
use crate::interface::Interface;
use crate::server::running::Drainer;
use crate::server::{Traits, Vitals};
use crate::time::Duration;

/// What a server exports: all that a client must know to call it, and to notice that it does not
/// call another one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exported {
    /// The world that the server lives in, whose clock and threads renew the lease.
    pub world: Arc<dyn World>,
    /// The server over all its lives.
    pub id: ServerId,
    /// This life.
    pub incarnation: Incarnation,
    /// Where it can be reached.
    pub urls: Vec<String>,
    /// What it says of itself besides.
    pub traits: Traits,
    /// What it serves.
    pub interfaces: Vec<&'static Interface>,
    /// By which a directory has it drain.
    pub drainer: Drainer,
    /// How that is, and what it has done so far.
    pub vitals: Vitals,
    /// How often it is to be asked how it is, if it is.
    pub polled: Option<Duration>,
}

/// Somebody who keeps a directory of servers.
pub trait Registrar: Send + Sync {
    /// Enters the server. It is struck off when the lease is dropped.
    ///
    /// # Errors
    ///
    /// What became of the call to the directory, or why it refused.
    fn register(&self, exported: &Exported) -> Result<Box<dyn Lease>, CallError>;
}

/// A server's entry in a directory: kept up while this lives, struck off when it is dropped.
pub trait Lease: Send + Sync + fmt::Debug {
    /// How the entry stands, as far as is known without asking.
    fn standing(&self) -> Standing;

    /// Has clients go elsewhere from now on, as far as the directory can be told at once: the server ends
    /// what it has begun.
    fn drain(&self);

    /// Has the directory know at once how the server's services are now, as far as it can be told.
    fn tell(&self);
}

/// How a server stands in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which directory: its URL.
    pub directory: String,
    /// Why the entry could not be renewed when that was tried last: clients may not find the server.
    pub trouble: Option<String>,
}

/// A registration that is to be made once the server serves.
pub(super) struct Registering(Box<dyn Registrar>);

impl Registering {
    pub(super) fn with(registrar: impl Registrar + 'static) -> Self {
        Self(Box::new(registrar))
    }

    pub(super) fn register(&self, exported: &Exported) -> Result<Box<dyn Lease>, CallError> {
        self.0.register(exported)
    }
}

impl fmt::Debug for Registering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registering")
    }
}
