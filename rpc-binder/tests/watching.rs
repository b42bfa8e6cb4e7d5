//! What a client costs its binder that nobody uses any more: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc_binder::daemon::Daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::binder::{
    Binder, BinderError, Directory, DirectoryService, Entries, Lease, MethodDescription, Methods,
    Place, Proof, Registration, RegistrationId, Report, Reports, Revision, Secret,
    VersionRequirement,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::sim::{self, Ended, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Result, Server, scheme, service};

/// Says yes.
#[service(name = "yes", version = "1.0")]
trait Yes {
    /// Yes.
    fn yes(&self) -> std::result::Result<bool, CallError>;
}

struct Always;

impl Yes for Always {
    fn yes(&self) -> std::result::Result<bool, CallError> {
        Ok(true)
    }
}

/// A binder that counts who waits for changes.
struct Counted {
    daemon: Daemon,
    waiting: Arc<AtomicUsize>,
}

struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
        self.daemon.lookup(name, requirement, after)
    }

    async fn watch(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        known: Revision,
        patience_ms: u32,
    ) -> Result<Entries, BinderError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(Arc::clone(&self.waiting));
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
        self.daemon.methods(fingerprint, from)
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = sim::now() + Duration::from_secs(2);
    while !holds() {
        assert!(sim::now() < end, "not in time: {what}");
        sim::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobody_waits_at_the_binder_for_a_client_that_is_gone() {
    let simulation = Simulation::new(1);
    let waiting = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&waiting);
    simulation.with(|world| {
        let (names, host) = (world.add_host("names"), world.add_host("host"));
        let client = world.add_host("client");
        world.spawn(names, "main", false, move || {
            let (world, _) = scheme::open("sim://names").unwrap();
            let daemon = Daemon::new(world, Limits::default(), None);
            let service = DirectoryService::new(Counted { daemon, waiting: counted });
            Server::bind("sim://names").unwrap().export(service).serve().unwrap();
        });
        world.spawn(host, "main", false, || {
            let binder = Binder::at("sim://names").unwrap();
            let server = Server::bind("sim://host").unwrap().export(YesService::new(Always));
            server.register(&binder).serve().unwrap();
        });
        world.spawn(client, "main", true, move || {
            let count = || waiting.load(Ordering::Relaxed);
            let binder = Binder::at("sim://names").unwrap();
            let import = || {
                std::iter::repeat_with(|| YesClient::import(&binder))
                    .find_map(std::result::Result::ok)
            };
            let [one, two] = [import().unwrap(), import().unwrap()];
            assert!(one.yes().unwrap());
            // The first answer comes at once; the next one when something changes.
            sim::sleep(Duration::from_secs(1));
            until("one waits for both", || count() == 1);
            drop(one);
            sim::sleep(Duration::from_secs(1));
            assert_eq!(count(), 1, "the other one follows still");
            drop(two);
            until("nobody waits", || count() == 0);
            let again = import().unwrap();
            until("it is followed again", || count() == 1);
            drop(again);
            until("nobody waits again", || count() == 0);
        });
    });
    assert_eq!(
        simulation.run_until_finished(Instant::START + Duration::from_secs(60)),
        Ended::Reached
    );
}
