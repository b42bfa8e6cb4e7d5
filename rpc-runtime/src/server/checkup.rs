//! The service that every server offers besides its own: how they are.
//!
//! It is no registered service: whoever asks knows the server's address, from a binder for instance.

use std::sync::Arc;

use super::health::{HealthStatus, Wellbeing};
use crate::error::CallError;
use rpc_macros::service;

/// How a server and its services are. Every server answers it, unless it exports one of that name itself.
#[service(name = "rpc.health", version = "1.0")]
pub trait HealthCheck {
    /// How a service of this server is; the whole server where the name is empty. One that drains refuses
    /// the call as any other, once its binders know.
    #[rpc(at_least_once, inline, timeout = "1s")]
    fn check(&self, service: &str) -> Result<HealthStatus, CallError>;
}

/// Answers for a server.
#[derive(Debug)]
pub(super) struct Checkup(pub(super) Arc<Wellbeing>);

impl HealthCheck for Checkup {
    fn check(&self, service: &str) -> Result<HealthStatus, CallError> {
        Ok(self.0.check(service))
    }
}
