//! The daemon: the desk behind the binder's own interface, on a world's clock.
//!
//! Knows how to serve until a signal comes, and how to leave: new calls are refused, running ones
//! end. Does not know how registrations are kept.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

use rpc_runtime::binder::model::check_name;
use rpc_runtime::binder::{
    BinderError, Directory, DirectoryService, Entries, Lease, MethodDescription, Methods, Place,
    Registration, RegistrationId, Report, Revision, Secret, VersionRequirement,
};
use rpc_runtime::driver::World;
use rpc_runtime::server::Running;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, Error, Result, Server, scheme};

use crate::desk::Desk;
use crate::registry::Limits;
use crate::registry::plan::Request;
use crate::store::{Embedded, Found, Store};

/// The longest that a client waits for a change by one call.
const WATCH_MAX: Duration = Duration::from_secs(50);

/// How long the end of a lease may wait to be kept before it is seen all the same.
const SETTLES: Duration = Duration::from_secs(1);

/// How long a daemon that was told to end lets running calls end.
const DRAIN: Duration = Duration::from_secs(2);

/// A binder: serves [`Directory`].
#[derive(Debug)]
pub struct Daemon {
    world: Arc<dyn World>,
    limits: Limits,
    desk: Arc<Desk>,
}

impl Daemon {
    /// A binder on the clock of `world`, with what a store has kept. Without one nothing lasts: after a
    /// restart it knows nobody, and servers register again.
    #[must_use]
    pub fn new(
        world: Arc<dyn World>,
        mut limits: Limits,
        kept: Option<(Box<dyn Store>, Found)>,
    ) -> Self {
        if kept.is_some() {
            limits.settles = limits.settles.max(SETTLES);
        }
        let desk = Arc::new(Desk::open(&world, limits.clone(), kept));
        Self { world, limits, desk }
    }
}

impl Directory for Daemon {
    async fn register(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
    ) -> Result<Lease, BinderError> {
        self.limits.check(registration, methods.as_deref())?;
        let (registration, methods) = (registration.clone(), methods.map(Arc::from));
        let answered = self.desk.ask(Request::Register { registration, methods })?;
        let lease = answered.await?;
        lease.ok_or_else(|| Error::App(BinderError::UnknownRegistration))
    }

    fn renew(
        &self,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
    ) -> Result<Lease, BinderError> {
        Ok(self.desk.changing(|now, registry| match registry.renew(now, id, secret, report) {
            Ok((lease, changed)) => (Ok(lease), changed),
            Err(refusal) => (Err(refusal), None),
        })?)
    }

    async fn deregister(&self, id: RegistrationId, secret: Secret) -> Result<(), BinderError> {
        self.desk.ask(Request::Deregister { id, secret })?.await?;
        Ok(())
    }

    fn lookup(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        after: Option<&Place>,
    ) -> Result<Entries, BinderError> {
        Ok(self.desk.with(|now, registry| registry.lookup(now, name, requirement, after))?)
    }

    async fn watch(
        &self,
        name: &str,
        requirement: &VersionRequirement,
        known: Revision,
        patience_ms: u32,
    ) -> Result<Entries, BinderError> {
        let malformed = |reason| BinderError::Malformed { reason };
        check_name(name).map_err(malformed)?;
        let patience = Duration::from_millis(patience_ms.into()).min(WATCH_MAX);
        self.desk.watch(name, known, self.world.now() + patience).await?;
        self.lookup(name, requirement, None)
    }

    fn list(&self, after: Option<&Place>) -> std::result::Result<Entries, CallError> {
        Ok(self.desk.with(|now, registry| registry.list(now, after)))
    }

    fn methods(&self, fingerprint: u128, from: u32) -> Result<Methods, BinderError> {
        Ok(self.desk.with(|_, registry| registry.methods(fingerprint, from))?)
    }
}

/// Starts a binder at `url` in threads of its own, whose registrations do not last.
///
/// # Errors
///
/// The URL cannot be used, or its address is taken.
pub fn start(url: &str, limits: Limits) -> std::result::Result<Running, CallError> {
    Ok(open(url, limits, None)?.0)
}

/// As [`start`], with registrations that last in `folder`.
///
/// # Errors
///
/// As [`start`]; or the folder cannot be used, in words.
pub fn start_in(
    url: &str,
    limits: Limits,
    folder: &Path,
) -> std::result::Result<Running, Box<dyn std::error::Error>> {
    let (store, found) = Embedded::open(folder)?;
    Ok(open(url, limits, Some((Box::new(store), found)))?.0)
}

fn open(
    url: &str,
    limits: Limits,
    kept: Option<(Box<dyn Store>, Found)>,
) -> std::result::Result<(Running, Arc<Desk>), CallError> {
    let (world, _place) = scheme::open(url)?;
    let daemon = Daemon::new(world, limits, kept);
    let desk = Arc::clone(&daemon.desk);
    Ok((Server::bind(url)?.export(DirectoryService::new(daemon)).spawn()?, desk))
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
    folder: Option<&Path>,
    out: &mut dyn io::Write,
    ready: impl FnOnce(&str) -> String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut signals = Signals::take()?;
    let limits = Limits { lease, ..Limits::default() };
    let (running, desk) = match folder {
        None => open(url, limits, None)?,
        Some(folder) => {
            let (store, found) = Embedded::open(folder)?;
            open(url, limits, Some((Box::new(store), found)))?
        }
    };
    out.write_all(ready(&running.url()).as_bytes())?;
    out.flush()?;
    signals.wait();
    desk.end(); // nobody need wait for those who wait for changes
    let _drained = running.drain(DRAIN);
    Ok(())
}
