//! The daemon: the registry behind the binder's own interface, on a world's clock.
//!
//! Knows how to serve until a signal comes, and how to leave: new calls are refused, running ones
//! end. Does not know how registrations are kept.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};

use rpc_runtime::binder::{
    BinderError, Directory, DirectoryService, Entries, Lease, MethodDescription, Methods, Place,
    Registration, RegistrationId, Secret, VersionRequirement,
};
use rpc_runtime::driver::World;
use rpc_runtime::server::Running;
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{CallError, Result, Server, scheme};

use crate::registry::{Limits, Registry};

/// How long a daemon that was told to end lets running calls end.
const DRAIN: Duration = Duration::from_secs(2);

/// A binder: serves [`Directory`] from a registry in memory.
#[derive(Debug)]
pub struct Daemon {
    world: Arc<dyn World>,
    registry: Mutex<Registry>,
}

impl Daemon {
    /// An empty binder on the clock of `world`.
    #[must_use]
    pub fn new(world: Arc<dyn World>, limits: Limits) -> Self {
        let registry = Mutex::new(Registry::new(limits, world.rng()));
        Self { world, registry }
    }

    /// The time and the registry, for one request. Never held across a call.
    fn at_work(&self) -> (Instant, MutexGuard<'_, Registry>) {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        (self.world.now(), registry)
    }
}

impl Directory for Daemon {
    fn register(&self, registration: &Registration) -> Result<Lease, BinderError> {
        let (now, mut registry) = self.at_work();
        Ok(registry.register(now, registration.clone())?)
    }

    fn describe(
        &self,
        id: RegistrationId,
        secret: Secret,
        from: u32,
        methods: Vec<MethodDescription>,
    ) -> Result<Lease, BinderError> {
        let (now, mut registry) = self.at_work();
        Ok(registry.describe(now, id, secret, from, methods)?)
    }

    fn renew(&self, id: RegistrationId, secret: Secret) -> Result<Lease, BinderError> {
        let (now, mut registry) = self.at_work();
        Ok(registry.renew(now, id, secret)?)
    }

    fn deregister(&self, id: RegistrationId, secret: Secret) -> Result<(), BinderError> {
        let (now, mut registry) = self.at_work();
        Ok(registry.deregister(now, id, secret)?)
    }

    fn lookup(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
    ) -> Result<Entries, BinderError> {
        let (now, registry) = self.at_work();
        Ok(registry.lookup(now, name, requirement, after)?)
    }

    fn list(&self, after: Option<&Place>) -> std::result::Result<Entries, CallError> {
        let (now, registry) = self.at_work();
        Ok(registry.list(now, after))
    }

    fn methods(&self, place: &Place, fingerprint: u128, from: u32) -> Result<Methods, BinderError> {
        let (now, registry) = self.at_work();
        Ok(registry.methods(now, place, fingerprint, from)?)
    }
}

/// Starts a binder at `url` in threads of its own.
///
/// # Errors
///
/// The URL cannot be used, or its address is taken.
pub fn start(url: &str, limits: Limits) -> std::result::Result<Running, CallError> {
    let (world, _place) = scheme::open(url)?;
    Server::bind(url)?.export(DirectoryService::new(Daemon::new(world, limits))).spawn()
}

/// SIGTERM and SIGINT, taken over from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    arrived: UnixStream,
}

impl Signals {
    /// Takes the signals over: the first asks to leave, the second ends the process at once.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn take() -> io::Result<Self> {
        let (arrived, raised) = UnixStream::pair()?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag down, then raises it.
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked))?;
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
            signal_hook::low_level::pipe::register(signal, raised.try_clone()?)?;
        }
        Ok(Self { arrived })
    }

    /// Blocks until one of them came.
    pub fn wait(&mut self) {
        let mut byte = [0];
        while matches!(&self.arrived.read(&mut byte), Err(e) if e.kind() == io::ErrorKind::Interrupted)
        {
        }
    }
}

/// Serves until a signal comes: `ready` is printed once clients can call.
///
/// # Errors
///
/// The address cannot be used, or the system refuses to hand over its signals.
pub fn serve(
    url: &str,
    lease: Duration,
    out: &mut dyn io::Write,
    ready: impl FnOnce(&str) -> String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut signals = Signals::take()?;
    let running = start(url, Limits { lease, ..Limits::default() })?;
    out.write_all(ready(&running.url()).as_bytes())?;
    out.flush()?;
    signals.wait();
    let _drained = running.drain(DRAIN);
    Ok(())
}
