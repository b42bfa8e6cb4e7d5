//! The binder's part: a binder as `rpc-binder serve` is one, whose lookups are counted where they arrive.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_binder::daemon::Daemon;
use rpc_binder::registry::Limits;
use rpc_binder::store::Embedded;
use rpc_runtime::binder::{
    BinderError, Directory, DirectoryService, Entries, Lease, MethodDescription, Methods, Place,
    Proof, Registration, RegistrationId, Report, Reports, Revision, Secret, VersionRequirement,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::{CallError, Result, Server, scheme, service};
use serde::{Deserialize, Serialize};

use crate::BinderPart;

/// What was asked of a binder since it started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// Who offers a service, and what its methods are.
    pub(crate) lookups: u64,
    /// What changes under a name: a question that waits for its answer.
    pub(crate) watches: u64,
    /// Leases of servers.
    pub(crate) renewals: u64,
}

/// Tells what a binder was asked.
#[service(name = "tour.counts", version = "1.0")]
pub(crate) trait Counts {
    /// All of it so far.
    #[rpc(at_least_once)]
    fn asked(&self) -> std::result::Result<Asked, CallError>;
}

/// Prints where it serves, and serves until nobody holds its standard input.
pub(crate) fn serve(part: &BinderPart) -> std::result::Result<(), Box<dyn Error>> {
    let (store, found) = Embedded::open(&part.store)?;
    let (world, _place) = scheme::open(&part.listen)?;
    let daemon = Daemon::new(world, Limits::default(), Some((Box::new(store), found)));
    let tally = Arc::<Tally>::default();
    let counted = DirectoryService::new(Counted { daemon, tally: Arc::clone(&tally) });
    let server = Server::bind(&part.listen)?.export(counted).export(CountsService::shared(tally));
    let running = server.spawn()?;
    println!("{}", running.url());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    lookups: AtomicU64,
    watches: AtomicU64,
    renewals: AtomicU64,
}

impl Counts for Tally {
    fn asked(&self) -> std::result::Result<Asked, CallError> {
        let [lookups, watches, renewals] = [&self.lookups, &self.watches, &self.renewals]
            .map(|count| count.load(Ordering::Relaxed));
        Ok(Asked { lookups, watches, renewals })
    }
}

/// A binder, and what it was asked.
#[derive(Debug)]
struct Counted {
    daemon: Daemon,
    tally: Arc<Tally>,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Directory for Counted {
    async fn register(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
    ) -> Result<Lease, BinderError> {
        self.daemon.register(registration, methods).await
    }

    async fn register_proven(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
        proof: &Proof,
    ) -> Result<Lease, BinderError> {
        self.daemon.register_proven(registration, methods, proof).await
    }

    fn renew(
        &self,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
    ) -> Result<Lease, BinderError> {
        count(&self.tally.renewals);
        self.daemon.renew(id, secret, report)
    }

    async fn deregister(&self, id: RegistrationId, secret: Secret) -> Result<(), BinderError> {
        self.daemon.deregister(id, secret).await
    }

    fn lookup(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
    ) -> Result<Entries, BinderError> {
        count(&self.tally.lookups);
        self.daemon.lookup(name, requirement, after)
    }

    async fn watch(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        known: Revision,
        patience_ms: u32,
    ) -> Result<Entries, BinderError> {
        count(&self.tally.watches);
        self.daemon.watch(name, requirement, known, patience_ms).await
    }

    fn list(&self, after: Option<&Place>) -> std::result::Result<Entries, CallError> {
        self.daemon.list(after)
    }

    fn reports(&self, after: Option<&Place>) -> std::result::Result<Reports, CallError> {
        self.daemon.reports(after)
    }

    async fn drain(
        &self,
        server: ServerId,
        name: Option<&str>,
        proof: Option<&Proof>,
    ) -> Result<u32, BinderError> {
        self.daemon.drain(server, name, proof).await
    }

    fn methods(&self, fingerprint: u128, from: u32) -> Result<Methods, BinderError> {
        count(&self.tally.lookups);
        self.daemon.methods(fingerprint, from)
    }
}
