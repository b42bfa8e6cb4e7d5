//! The binder's own interface: a service like any other.
//!
//! Lists come in pages. Every method can be repeated without harm, and all but the first say so.
//! Implemented by the daemon.

use super::key::Proof;
use super::model::{
    BinderError, Entries, Lease, MethodDescription, Methods, Place, Registration, RegistrationId,
    Revision, Secret,
};
use super::report::{Report, Reports};
use super::version::VersionRequirement;
use crate::error::{CallError, Result};
use crate::ids::ServerId;
use rpc_macros::service;

/// A directory of servers: who offers what, where, and until when.
#[service(name = "rpc.binder", version = "1.0")]
pub trait Directory {
    /// Registers a server's service, or renews the registration if the same process asks again. The
    /// reply is sent when the binder's store has it. The methods may be left out where the binder may
    /// know the interface already; it says so if it does not.
    #[rpc(timeout = "5s")]
    async fn register(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
    ) -> Result<Lease, BinderError>;

    /// As [`Directory::register`], by a server that proves a key: the binder's access rules may want it,
    /// and give the nonce that the proof covers.
    #[rpc(timeout = "5s")]
    async fn register_proven(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
        proof: &Proof,
    ) -> Result<Lease, BinderError>;

    /// Extends a registration's lease, and says how the server is.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn renew(
        &self,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
    ) -> Result<Lease, BinderError>;

    /// Ends a registration. The reply is sent when the binder's store has forgotten it.
    #[rpc(at_least_once, timeout = "5s")]
    async fn deregister(&self, id: RegistrationId, secret: Secret) -> Result<(), BinderError>;

    /// The live servers of a service, from behind `after` on.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn lookup(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
    ) -> Result<Entries, BinderError>;

    /// As [`Directory::lookup`], as soon as anything has changed under that name since `known`; or,
    /// unchanged, after `patience_ms`.
    #[rpc(at_least_once, timeout = "60s")]
    async fn watch(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        known: Revision,
        patience_ms: u32,
    ) -> Result<Entries, BinderError>;

    /// All registrations, live or not, from behind `after` on.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn list(&self, after: Option<&Place>) -> std::result::Result<Entries, CallError>;

    /// All registrations, live or not, and what their servers said when they renewed last; from behind
    /// `after` on.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn reports(&self, after: Option<&Place>) -> std::result::Result<Reports, CallError>;

    /// Has clients leave a server, and the server drain when it renews next; or, if `name` is given, has
    /// clients of that service leave it, and no more. Says how many registrations that were. Nothing of it
    /// outlasts the binder, unless others share its store, but that the server drains once it knows.
    #[rpc(at_least_once, timeout = "5s")]
    async fn drain(
        &self,
        server: ServerId,
        name: Option<&str>,
        proof: Option<&Proof>,
    ) -> Result<u32, BinderError>;

    /// The methods of the interface of that fingerprint, from index `from` on.
    #[rpc(at_least_once, inline, timeout = "2s")]
    fn methods(&self, fingerprint: u128, from: u32) -> Result<Methods, BinderError>;
}
