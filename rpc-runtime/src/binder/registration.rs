//! The exporting side: a server announces its services to a binder, renews, and strikes them off.
//!
//! One background thread per server and binder renews at a third of the lease, and registers anew
//! when the binder does not know the registration any more.
//! Does not know how a server serves. No lock is held across a call.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::Binder;
use super::key::Proof;
use super::model::{self, BinderError, DESCRIPTION_BYTES_MAX, MethodDescription, Registration};
use super::report::{POLL_MIN, Report};
use super::service::{Directory as _, DirectoryClient};
use super::version::Version;
use crate::driver::Gate;
use crate::error::{CallError, Error, ErrorKind, Execution, Result};
use crate::interface::Interface;
use crate::server::{Exported, Lease, Registrar, Standing};
use crate::time::Duration;

/// Shortest pause between two attempts, whatever lease the binder gives.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// How long a server that a binder asks to drain waits for the calls that it has accepted.
const ASKED_DRAIN: Duration = Duration::from_secs(30);
/// How long a server waits at most for the lease of its earlier life to end, whatever it is told.
const FORMER_LEASE_MAX: Duration = Duration::from_secs(60);
/// How long a server that ends waits for the binder.
const FAREWELL: Duration = Duration::from_millis(500);

impl Registrar for Binder {
    fn register(&self, exported: &Exported) -> std::result::Result<Box<dyn Lease>, CallError> {
        let keeper = Keeper {
            binder: self.clone(),
            claim: self.own_claim().unwrap_or_else(|| exported.world.rng().next_nonzero()),
            gate: exported.world.gate(),
            exported: exported.clone(),
            book: Mutex::default(),
        };
        let keeper = Arc::new(keeper);
        let struck_off_on_failure = Kept(Arc::clone(&keeper));
        for interface in &exported.interfaces {
            let lease = keeper.enter(interface).map_err(|error| match error {
                Error::Call(error) => error,
                Error::App(refusal) => keeper.refused(interface, &refusal),
            })?;
            keeper.book().leases.push(lease);
        }
        if exported.polled.is_some() {
            keeper.tell(); // a registration does not say how often
        }
        let renewing = Arc::clone(&keeper);
        let started = exported.world.spawn("rpc-renew", Box::new(move || renewing.run()));
        started.map_err(|error| {
            let text = format!("nobody would keep the server registered: {error}");
            CallError::new(ErrorKind::Misconfigured, Execution::NotExecuted).with_detail(text)
        })?;
        Ok(Box::new(struck_off_on_failure))
    }
}

/// A server's registrations at one binder; dropping it strikes them off.
struct Kept(Arc<Keeper>);

impl Lease for Kept {
    fn standing(&self) -> Standing {
        let directory = self.0.binder.url().to_owned();
        Standing { directory, trouble: self.0.book().trouble.clone() }
    }

    fn drain(&self) {
        self.0.drain();
    }

    fn tell(&self) {
        self.0.tell();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.0.book();
        f.debug_struct("Kept")
            .field("binder", &self.0.binder)
            .field("registrations", &book.leases.len())
            .field("trouble", &book.trouble)
            .finish()
    }
}

/// Keeps a server registered.
struct Keeper {
    binder: Binder,
    exported: Exported,
    claim: u64,
    gate: Arc<dyn Gate>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// One for each interface, in the order of `exported.interfaces`.
    leases: Vec<model::Lease>,
    is_ended: bool,
    is_draining: bool,
    /// Whether a thread has it drain because the binder asked for that.
    is_asked: bool,
    /// Whether the binder does not know yet how the server is.
    is_urgent: bool,
    /// How many reports were made.
    reports: u64,
    /// Why the last renewal failed, if it did.
    trouble: Option<String>,
}

impl Keeper {
    /// As [`Self::announce`]; where an earlier life of this server is registered still, once that
    /// one's lease is over. One that is renewed meanwhile is no earlier life: it lives.
    fn enter(&self, interface: &'static Interface) -> Result<model::Lease, BinderError> {
        let world = &self.exported.world;
        let mut waits_until = None;
        loop {
            let entered = self.announce(interface);
            let Err(Error::App(BinderError::FormerLife { left_ms })) = entered else {
                return entered;
            };
            let left = Duration::from_millis(u64::from(left_ms)).min(FORMER_LEASE_MAX);
            let until = *waits_until.get_or_insert(world.now() + left + PAUSE_MIN);
            if world.now() >= until {
                return entered;
            }
            while world.now() < until {
                self.gate.wait(Some(until));
            }
        }
    }

    /// Registers one interface, and describes it to a binder that does not know it.
    fn announce(&self, interface: &'static Interface) -> Result<model::Lease, BinderError> {
        let registration = Registration {
            name: interface.name().to_owned(),
            version: version(interface),
            server: self.exported.id,
            incarnation: self.exported.incarnation,
            addresses: self.exported.urls.clone(),
            fingerprint: interface.fingerprint(),
            traits: self.exported.traits.clone(),
            claim: self.claim,
        };
        let register = |directory: &DirectoryClient, proof: Option<&Proof>, methods| match proof {
            None => directory.start().register(&registration, methods).wait(),
            Some(proof) => directory.start().register_proven(&registration, methods, proof).wait(),
        };
        let ask = |directory: &DirectoryClient, proof: Option<&Proof>| match register(
            directory, proof, None,
        ) {
            Err(Error::App(BinderError::UnknownInterface)) => {
                register(directory, proof, Some(describe(interface)))
            }
            other => other,
        };
        // Asked again, a binder knows this process by its claim.
        self.binder.with_proof(ask, |key, nonce| key.prove_registration(nonce, &registration))
    }

    /// The renewing thread's body.
    fn run(&self) {
        let world = &self.exported.world;
        let mut due = world.now() + self.pause();
        loop {
            self.gate.wait(Some(due));
            let is_urgent = {
                let mut book = self.book();
                if book.is_ended {
                    return;
                }
                std::mem::take(&mut book.is_urgent)
            };
            if is_urgent || world.now() >= due {
                self.renew_all();
                if self.book().is_ended {
                    return;
                }
                due = world.now() + self.pause();
            }
        }
    }

    /// A third of the shortest lease; half of that while something is wrong.
    fn pause(&self) -> Duration {
        let book = self.book();
        let lease = book.leases.iter().map(model::Lease::duration).min();
        let parts = if book.trouble.is_some() { 6 } else { 3 };
        (lease.unwrap_or(Duration::from_secs(10)) / parts).max(PAUSE_MIN)
    }

    fn renew_all(&self) {
        let leases = self.book().leases.clone();
        let mut trouble = None;
        for (index, lease) in leases.into_iter().enumerate() {
            match self.renew(index, &lease) {
                Ok(lease) => {
                    let mut book = self.book();
                    if book.is_ended {
                        drop(book); // ended meanwhile: what was just registered goes too
                        self.strike_off(&[lease]);
                        return;
                    }
                    book.leases[index] = lease;
                    drop(book);
                    if lease.is_asked_to_drain {
                        self.drain_itself();
                    }
                }
                Err(error) => trouble = Some(error.to_string()),
            }
        }
        self.book().trouble = trouble;
    }

    fn renew(&self, index: usize, lease: &model::Lease) -> Result<model::Lease, BinderError> {
        let least = if self.binder.has_several() { self.binder.patience_min() } else { PAUSE_MIN };
        let timeout = (lease.duration() / 3).min(self.binder.patience_max()).max(least);
        let report = self.report(index);
        match self.renew_once(timeout, lease, &report) {
            // A binder that was not asked before may have to ask its store first.
            Err(Error::App(BinderError::NotKept { .. })) => {
                let world = &self.exported.world;
                let until = world.now() + PAUSE_MIN;
                while world.now() < until && !self.book().is_ended {
                    self.gate.wait(Some(until));
                }
                self.gate.open(); // whoever opened it meanwhile wants more than this renewal
                self.renew_once(timeout, lease, &self.report(index))
            }
            Err(Error::App(BinderError::UnknownRegistration | BinderError::WrongSecret)) => {
                let lease = self.announce(self.exported.interfaces[index])?;
                let report = self.report(index); // which a new registration knows nothing of
                let renewed = self.renew_once(timeout, &lease, &report);
                if renewed.is_err() {
                    self.book().is_urgent = true; // it is registered all the same
                    self.gate.open();
                }
                Ok(renewed.unwrap_or(lease))
            }
            other => other,
        }
    }

    fn renew_once(
        &self,
        timeout: Duration,
        lease: &model::Lease,
        report: &Report,
    ) -> Result<model::Lease, BinderError> {
        self.binder.ask(timeout, |directory| directory.renew(lease.id, lease.secret, report))
    }

    /// Has the server drain as if its own process had asked. In a thread of its own: the lease goes on
    /// until the last call has ended.
    fn drain_itself(&self) {
        if std::mem::replace(&mut self.book().is_asked, true) {
            return;
        }
        let drainer = self.exported.drainer.clone();
        let drain = move || {
            let _drained = drainer.drain(ASKED_DRAIN); // nobody here is to hear what was left
        };
        if self.exported.world.spawn("rpc-drain", Box::new(drain)).is_err() {
            self.book().is_asked = false; // at the next renewal
        }
    }

    /// How the server and one of its services are now.
    fn report(&self, index: usize) -> Report {
        let vitals = &self.exported.vitals;
        let (figures, callees) = (vitals.figures(index), self.binder.callees());
        let poll_ms = self.exported.polled.map_or(0, |interval| interval.max(POLL_MIN).as_millis());
        let mut book = self.book();
        book.reports += 1;
        Report {
            number: book.reports,
            is_draining: book.is_draining,
            health: vitals.health(index), // looked at after the number was taken
            poll_ms: u32::try_from(poll_ms).unwrap_or(u32::MAX),
            figures,
            callees,
        }
    }

    /// Tells the binder that the server drains.
    fn drain(&self) {
        self.book().is_draining = true;
        self.tell();
    }

    /// Tells the binder how the server is: by a renewal soon, should this be lost.
    fn tell(&self) {
        let leases = self.book().leases.clone();
        for (index, lease) in leases.into_iter().enumerate() {
            let report = self.report(index);
            if self.renew_once(FAREWELL, &lease, &report).is_err() {
                self.book().is_urgent = true;
                self.gate.open();
                return;
            }
        }
    }

    /// Strikes the server off, unless its process is dying: a crash tells nobody.
    fn end(&self) {
        let leases = {
            let mut book = self.book();
            book.is_ended = true;
            std::mem::take(&mut book.leases)
        };
        self.gate.open();
        if !std::thread::panicking() {
            self.strike_off(&leases);
        }
    }

    fn strike_off(&self, leases: &[model::Lease]) {
        for lease in leases {
            let ended = self.binder.ask(FAREWELL, |directory| {
                directory.start().deregister(lease.id, lease.secret).wait()
            });
            if let Err(Error::Call(_)) = ended {
                return; // no binder, no registrations: the leases run out
            }
        }
    }

    fn refused(&self, interface: &Interface, refusal: &BinderError) -> CallError {
        let (name, version) = (interface.name(), version(interface));
        let text =
            format!("the binder at {} refuses {name:?} {version}: {refusal}", self.binder.url());
        CallError::new(ErrorKind::Misconfigured, Execution::NotExecuted).with_detail(text)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version of an interface.
pub(super) fn version(interface: &Interface) -> Version {
    let (major, minor) = interface.version();
    Version::new(major, minor)
}

/// An interface's methods as a binder keeps them: with whole forms, or where those are too much for
/// it, with short ones.
#[must_use]
pub fn describe(interface: &'static Interface) -> Vec<MethodDescription> {
    let mut methods = described(interface);
    let bytes: usize = methods.iter().map(MethodDescription::page_bytes).sum();
    if u32::try_from(bytes).map_or(true, |bytes| bytes > DESCRIPTION_BYTES_MAX) {
        for method in &mut methods {
            method.form = model::cut(&method.form, model::FORM_BYTES_SHORT).to_owned();
            method.parameters.clear();
        }
    }
    methods
}

fn described(interface: &'static Interface) -> Vec<MethodDescription> {
    let describe = |(index, method): (usize, &crate::interface::Method)| MethodDescription {
        name: method.name().to_owned(),
        signature: model::cut(method.signature(), model::SIGNATURE_BYTES_MAX).to_owned(),
        parameters: parameters(method.parameter_names()),
        form: model::cut(interface.form(index), model::FORM_BYTES_MAX).to_owned(),
        semantics: method.semantics(),
        fingerprint: interface.method_fingerprint(index),
        is_exterminated: method.is_exterminated(),
    };
    interface.methods().iter().enumerate().map(describe).collect()
}

/// The names of a method's parameters: all of them, or none.
fn parameters(names: &[&str]) -> Vec<String> {
    let bytes: usize = names.iter().map(|name| name.len()).sum();
    if bytes > model::PARAMETERS_BYTES_MAX {
        return Vec::new();
    }
    names.iter().map(|&name| name.to_owned()).collect()
}
