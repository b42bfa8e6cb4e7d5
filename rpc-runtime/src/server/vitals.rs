//! How a server's services are, told to whoever keeps a directory.

use std::fmt;
use std::sync::{Arc, Weak};

use super::figures::Figures;
use super::health::{Health, Wellbeing};
use super::state::Shared;

/// How a server's services are and what they have done so far, whenever somebody asks. Does not keep the
/// server alive.
#[derive(Clone)]
pub struct Vitals {
    shared: Weak<Shared>,
    wellbeing: Arc<Wellbeing>,
}

impl Vitals {
    pub(super) fn of_server(shared: &Arc<Shared>, wellbeing: Arc<Wellbeing>) -> Self {
        Self { shared: Arc::downgrade(shared), wellbeing }
    }

    /// What a service has done, by its number in [`Exported::interfaces`](super::Exported); nothing once
    /// the server is gone.
    #[must_use]
    pub fn figures(&self, service: usize) -> Figures {
        self.shared.upgrade().map(|shared| shared.figures(service)).unwrap_or_default()
    }

    /// Whether a service can do what it promises, by that number.
    #[must_use]
    pub fn health(&self, service: usize) -> Health {
        self.wellbeing.health(service)
    }

    pub(super) fn wellbeing(&self) -> &Wellbeing {
        &self.wellbeing
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vitals").field(&self.wellbeing).finish()
    }
}
