//! The binder's own interface: a service like any other.
//!
//! Every message fits one datagram: what may be long comes in pages. Every method can be repeated
//! without harm, and all but the first say so. Implemented by the daemon.

use super::model::{
    BinderError, Entries, Lease, MethodDescription, Methods, Place, Registration, RegistrationId,
    Secret,
};
use super::version::VersionRequirement;
use crate::error::{CallError, Result};
use rpc_macros::service;

/// A directory of servers: who offers what, where, and until when.
#[service(name = "rpc.binder", version = "1.0")]
pub trait Directory {
    /// Registers a server's service, or renews the registration if the same process asks again.
    #[rpc(inline, timeout = "2s")]
    fn register(&self, registration: &Registration) -> Result<Lease, BinderError>;

    /// Describes the methods of a registered interface from index `from` on; the last page makes
    /// the server visible.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn describe(
        &self,
        id: RegistrationId,
        secret: Secret,
        from: u32,
        methods: Vec<MethodDescription>,
    ) -> Result<Lease, BinderError>;

    /// Extends a registration's lease.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn renew(&self, id: RegistrationId, secret: Secret) -> Result<Lease, BinderError>;

    /// Ends a registration.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn deregister(&self, id: RegistrationId, secret: Secret) -> Result<(), BinderError>;

    /// The live servers of a service, from behind `after` on.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn lookup(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
    ) -> Result<Entries, BinderError>;

    /// All registrations, live or not, from behind `after` on.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn list(&self, after: Option<&Place>) -> std::result::Result<Entries, CallError>;

    /// The methods of a live server's interface, from index `from` on. `fingerprint` names the
    /// interface that is meant, should another one stand there since.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn methods(&self, place: &Place, fingerprint: u128, from: u32) -> Result<Methods, BinderError>;
}
