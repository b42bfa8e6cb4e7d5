//! The daemon: the desk behind the binder's own interface, on a world's clock.
//!
//! Knows how to serve until a signal comes, and how to leave: new calls are refused, running ones
//! end. Does not know how registrations are kept.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use rpc_runtime::binder::model::check_name;
use rpc_runtime::binder::{
    BinderError, Directory, Entries, Lease, MethodDescription, Methods, Place, Proof, Registration,
    RegistrationId, Report, Reports, Revision, Secret, VersionRequirement,
};
use rpc_runtime::driver::World;
use rpc_runtime::ids::ServerId;
use rpc_runtime::server::Running;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, Error, Result, Server, Service, context, scheme};

use crate::access::rules::Rules;
use crate::access::{self, Access, Asker};
use crate::cli::{Lasting, Shown};
use crate::desk::Desk;
use crate::front::Front;
use crate::page::Page;
use crate::poll::Poller;
use crate::registry::plan::Request;
use crate::registry::{Limits, check_described};
use crate::store::shared::SharedStore;
use crate::store::{Embedded, Found, Store};
#[cfg(feature = "etcd")]
use crate::store::{Etcd, EtcdUrl};

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
    access: Arc<Access>,
    poller: Poller,
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
        let desk = Desk::open(&world, limits.clone(), kept);
        Self::before(world, limits, desk)
    }

    /// A binder of several before one store.
    #[must_use]
    pub fn sharing(world: Arc<dyn World>, limits: Limits, store: Box<dyn SharedStore>) -> Self {
        let desk = Desk::share(&world, limits.clone(), store);
        Self::before(world, limits, desk)
    }

    fn before(world: Arc<dyn World>, limits: Limits, desk: Desk) -> Self {
        let desk = Arc::new(desk);
        let access = Arc::new(Access::new(&mut *world.rng()));
        let poller = Poller::new(&world, &desk);
        Self { world, limits, desk, access, poller }
    }

    /// The same, where these rules say who may what.
    #[must_use]
    pub fn access(self, rules: Rules) -> Self {
        self.access.set(rules);
        self
    }

    /// What a server exports to serve [`Directory`]. Lookups cost less than those that the trait answers, and
    /// are answered alike.
    #[must_use]
    pub fn service(self) -> impl Service {
        let desk = Arc::clone(&self.desk);
        Front::new(Arc::new(self), desk)
    }

    fn asker<'a>(&self, proof: Option<&'a Proof>) -> Asker<'a> {
        let from = context::current().map(|call| call.caller().address);
        Asker { now: self.world.now(), from, proof }
    }

    /// Whether the request is well formed, and its server may register.
    fn admit(
        &self,
        registration: &Registration,
        methods: Option<&[MethodDescription]>,
        proof: Option<&Proof>,
    ) -> std::result::Result<(), BinderError> {
        self.limits.check(registration, methods)?;
        check_described(&registration.name, methods.unwrap_or_default())?;
        if self.access.is_open() {
            return Ok(());
        }
        let (server, life) = (registration.server, registration.incarnation);
        let former = self.desk.with(|now, registry| registry.former_names(now, server, life));
        self.access.register(self.asker(proof), registration, &former)
    }

    async fn enter(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
    ) -> Result<Lease, BinderError> {
        let (registration, methods) = (registration.clone(), methods.map(Arc::from));
        let answered = self.desk.ask(Request::Register { registration, methods })?;
        let lease = answered.await?;
        lease.ok_or_else(|| Error::App(BinderError::UnknownRegistration))
    }
}

impl Directory for Daemon {
    async fn register(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
    ) -> Result<Lease, BinderError> {
        self.admit(registration, methods.as_deref(), None)?;
        self.enter(registration, methods).await
    }

    async fn register_proven(
        &self,
        registration: &Registration,
        methods: Option<Vec<MethodDescription>>,
        proof: &Proof,
    ) -> Result<Lease, BinderError> {
        self.admit(registration, methods.as_deref(), Some(proof))?;
        self.enter(registration, methods).await
    }

    fn renew(
        &self,
        id: RegistrationId,
        secret: Secret,
        report: &Report,
    ) -> Result<Lease, BinderError> {
        let renewed = self.desk.renew(id, secret, report);
        if renewed.is_ok() && report.poll_ms > 0 {
            self.poller.look();
        }
        Ok(renewed?)
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

    fn reports(&self, after: Option<&Place>) -> std::result::Result<Reports, CallError> {
        Ok(self.desk.with(|now, registry| registry.reports_after(now, after)))
    }

    async fn drain(
        &self,
        server: ServerId,
        name: Option<&str>,
        proof: Option<&Proof>,
    ) -> Result<u32, BinderError> {
        let malformed = |reason| BinderError::Malformed { reason };
        name.map_or(Ok(()), check_name).map_err(malformed)?;
        let names = self.desk.with(|now, registry| registry.names_of_server(now, server));
        self.access.drain(self.asker(proof), &names, (server, name))?;
        let (count, kept) = self.desk.drain(server, name)?;
        if let Some(kept) = kept {
            let kept = kept.await;
            if kept == Err(BinderError::UnknownRegistration) {
                return Err(Error::App(BinderError::UnknownServer)); // it has left meanwhile
            }
            kept?;
        }
        Ok(count)
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
    Ok(open(url, limits, None)?.running)
}

/// As [`start`], where these rules say who may what.
///
/// # Errors
///
/// As [`start`].
pub fn start_with(
    url: &str,
    limits: Limits,
    rules: Rules,
) -> std::result::Result<Running, CallError> {
    Ok(open_with(url, limits, None, Some(rules))?.running)
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
    Ok(open(url, limits, Some((Box::new(store), found)))?.running)
}

/// A daemon that runs, and what of it is not reached by way of its interface.
struct Opened {
    running: Running,
    desk: Arc<Desk>,
    access: Arc<Access>,
}

fn open(
    url: &str,
    limits: Limits,
    kept: Option<(Box<dyn Store>, Found)>,
) -> std::result::Result<Opened, CallError> {
    open_with(url, limits, kept, None)
}

fn open_with(
    url: &str,
    limits: Limits,
    kept: Option<(Box<dyn Store>, Found)>,
    rules: Option<Rules>,
) -> std::result::Result<Opened, CallError> {
    let (world, _place) = scheme::open(url)?;
    serve_at(url, Daemon::new(world, limits, kept), rules)
}

/// As [`start`], before the cluster that `etcd` names, with other binders perhaps.
///
/// # Errors
///
/// As [`start`]; or no majority of the cluster answers, or it holds what no binder has written, in words.
#[cfg(feature = "etcd")]
pub fn start_before(
    url: &str,
    limits: Limits,
    etcd: &str,
) -> std::result::Result<Running, Box<dyn std::error::Error>> {
    Ok(open_before(url, limits, etcd, None)?.running)
}

#[cfg(feature = "etcd")]
fn open_before(
    url: &str,
    limits: Limits,
    etcd: &str,
    rules: Option<Rules>,
) -> std::result::Result<Opened, Box<dyn std::error::Error>> {
    let (world, _place) = scheme::open(url)?;
    let store = Etcd::open(&world, &EtcdUrl::parse(etcd)?, limits.lease)?;
    Ok(serve_at(url, Daemon::sharing(world, limits, Box::new(store)), rules)?)
}

#[cfg(not(feature = "etcd"))]
fn open_before(
    _url: &str,
    _limits: Limits,
    _etcd: &str,
    _rules: Option<Rules>,
) -> std::result::Result<Opened, Box<dyn std::error::Error>> {
    Err("this binder was built without the feature `etcd`".into())
}

fn serve_at(
    url: &str,
    mut daemon: Daemon,
    rules: Option<Rules>,
) -> std::result::Result<Opened, CallError> {
    if let Some(rules) = rules {
        daemon = daemon.access(rules);
    }
    let (desk, access) = (Arc::clone(&daemon.desk), Arc::clone(&daemon.access));
    let running = Server::bind(url)?.export(daemon.service()).spawn()?;
    Ok(Opened { running, desk, access })
}

/// SIGTERM and SIGINT, taken over from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    arrived: UnixStream,
    raised: UnixStream,
    is_reload: Arc<AtomicBool>,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// To read again what is written in files.
    Reload,
    /// To end.
    End,
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
        Ok(Self { arrived, raised, is_reload: Arc::default() })
    }

    /// Takes SIGHUP over too, which asks for a reload.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn and_reload(self) -> io::Result<Self> {
        signal_hook::flag::register(SIGHUP, Arc::clone(&self.is_reload))?;
        signal_hook::low_level::pipe::register(SIGHUP, self.raised.try_clone()?)?;
        Ok(self)
    }

    /// Blocks until one of them came.
    pub fn wait(&mut self) -> Raised {
        let mut byte = [0];
        while matches!(&self.arrived.read(&mut byte), Err(e) if e.kind() == io::ErrorKind::Interrupted)
        {
        }
        if self.is_reload.swap(false, Ordering::AcqRel) { Raised::Reload } else { Raised::End }
    }
}

/// What a daemon is told besides where it is.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// How long a registration is believed without a renewal.
    pub lease: Duration,
    /// Where registrations last.
    pub lasting: &'a Lasting,
    /// The file that says who may what.
    pub access: Option<&'a Path>,
    /// What is shown, and to whom.
    pub shown: &'a Shown,
}

/// Serves until a signal comes: `ready` is printed once clients can call, of the binder's URL, its leases,
/// and its page's URL.
///
/// # Errors
///
/// An address cannot be used, the access rules cannot be read, or the system refuses to hand over its
/// signals.
pub fn serve(
    url: &str,
    told: Told<'_>,
    (out, complaints): (&mut dyn io::Write, &mut dyn io::Write),
    ready: impl FnOnce(&str, Duration, Option<&str>) -> String,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut signals = Signals::take()?;
    let mut rules = None;
    if let Some(path) = told.access {
        signals = signals.and_reload()?;
        let (read, warnings) = access::read(path)?;
        for warning in warnings {
            writeln!(complaints, "rpc-binder: {warning}")?;
        }
        rules = Some(read);
    }
    let expired_kept = told.shown.show_expired;
    let limits = Limits { lease: told.lease, expired_kept, ..Limits::default() };
    let opened = match told.lasting {
        Lasting::Nowhere => open_with(url, limits, None, rules)?,
        Lasting::In(folder) => {
            let (store, found) = Embedded::open(folder)?;
            open_with(url, limits, Some((Box::new(store), found)), rules)?
        }
        Lasting::Etcd(etcd) => open_before(url, limits, etcd, rules)?,
    };
    let Opened { running, desk, access } = opened;
    let lease = desk.with(|_, registry| registry.limits().lease);
    let url = running.url();
    let page = told.shown.page().map(|place| {
        let (world, _place) = scheme::open(&url)?;
        Page::open(&place, Arc::clone(&desk), url.clone(), &world)
            .map_err(Box::<dyn std::error::Error>::from)
    });
    let page = page.transpose()?;
    let page_url = page.as_ref().map(Page::url);
    out.write_all(ready(&url, lease, page_url.as_deref()).as_bytes())?;
    out.flush()?;
    while signals.wait() == Raised::Reload {
        if let Some(path) = told.access {
            let said = reload(path, &access);
            let _nobody_reads = writeln!(complaints, "rpc-binder: {said}");
        }
    }
    desk.end(); // nobody need wait for those who wait for changes
    let _drained = running.drain(DRAIN);
    drop(page); // until here it says that the binder ends
    Ok(())
}

/// Reads the rules again; says what came of it.
fn reload(path: &Path, access: &Access) -> String {
    match access::read(path) {
        Ok((rules, warnings)) => {
            let (keys, count) = rules.size();
            access.set(rules);
            let read = format!("access rules read again: {keys} keys, {count} rules");
            warnings.into_iter().fold(read, |said, warning| said + "\nrpc-binder: " + &warning)
        }
        Err(flaw) => format!("the access rules stay as they were: {flaw}"),
    }
}

#[cfg(test)]
mod tests;
