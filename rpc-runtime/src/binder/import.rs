//! The importing side: which server a client's calls go to, and what happens when it is the wrong
//! one.
//!
//! A binding names a server's id and incarnation, so that another process at a remembered address is
//! noticed by the session's opening and never called. Knows how a server is chosen and checked;
//! does not know how a call is made.

use std::sync::Arc;

use super::cache::Flaw;
use super::compatibility::first_difference;
use super::handle::Binder;
use super::model::{Entry, wanted};
use super::registration::{describe, version};
use super::url::BinderUrl;
use super::version::VersionRequirement;
use super::watch;
use crate::client::{
    Balance, Channel, Ends, Finder, Following, Loss, Member, Route, Whereabouts, left_for_nested,
};
use crate::context::{self, CallContext};
use crate::error::{CallError, CallReport, Error, ErrorKind, Evidence, Execution};
use crate::interface::Interface;
use crate::protocol::Target;
use crate::service::Stub;
use crate::time::{Duration, Instant};

/// An answer younger than this is used without asking again.
const FRESH: Duration = Duration::from_secs(1);
/// First pause before the binder is asked again for a service that nobody offers.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a client wants of a binder.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) binder: Binder,
    interface: &'static Interface,
    pub(super) name: String,
    pub(super) requirement: VersionRequirement,
}

impl Channel {
    /// A channel to a live server that the binder knows for the interface of `S`, in any version of
    /// its major number, and to another one when that is gone.
    ///
    /// Calls are spread over all such servers as [`Binder::balance`] says; who comes and goes is known
    /// within a moment, because the binder says so. A server that is replaced at its address is noticed
    /// and never called; calls that were not handed over are made at the next one. While the binder is
    /// away a channel goes by what it remembers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoServer`] or [`ErrorKind::InterfaceMismatch`]: none is registered, or none has
    /// all methods of `S`.
    pub fn import<S: Stub>(binder: &Binder) -> Result<Self, CallError> {
        let major = VersionRequirement::major(version(S::interface()).major);
        Self::import_version::<S>(binder, &major)
    }

    /// As [`Channel::import`], in a version that `requirement` admits.
    ///
    /// # Errors
    ///
    /// As [`Channel::import`].
    pub fn import_version<S: Stub>(
        binder: &Binder,
        requirement: &VersionRequirement,
    ) -> Result<Self, CallError> {
        Self::import_interface(binder, S::interface(), requirement)
    }

    /// As [`Channel::import_version`], for an interface without a stub: an [`Interface::learned`].
    ///
    /// # Errors
    ///
    /// As [`Channel::import`].
    pub fn import_interface(
        binder: &Binder,
        interface: &'static Interface,
        requirement: &VersionRequirement,
    ) -> Result<Self, CallError> {
        let name = interface.name().to_owned();
        let requirement = requirement.clone();
        Wish { binder: binder.clone(), interface, name, requirement }.channel()
    }

    /// A channel to one server that the binder named, and never to another one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadAddress`]: none of its addresses can be used.
    pub fn import_from(binder: &Binder, entry: &Entry) -> Result<Self, CallError> {
        binder.channel(entry)
    }

    /// As [`Channel::import`], with binder, name and version from a `binder://` URL.
    ///
    /// # Errors
    ///
    /// As [`Channel::import`]; [`ErrorKind::BadAddress`] when the URL cannot be used.
    pub fn import_url<S: Stub>(url: &str) -> Result<Self, CallError> {
        let bad = |text: String| {
            CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).with_detail(text)
        };
        let BinderUrl { binder, name, version: wanted } = BinderUrl::parse(url).map_err(bad)?;
        let major = || VersionRequirement::major(version(S::interface()).major);
        let binder = Binder::at(&binder)?;
        Wish::new::<S>(binder, name, wanted.unwrap_or_else(major)).channel()
    }
}

/// What stood in the way of a binding so far.
#[derive(Debug, Default)]
struct Obstacles {
    tries: u32,
    mismatch: Option<String>,
    unusable: Option<CallError>,
    is_binder_away: bool,
}

impl Finder for Wish {
    fn find(&self, deadline: Instant, call: &Whereabouts) -> Result<Channel, CallError> {
        let world = self.binder.world();
        let started = world.now();
        let mut obstacles = Obstacles::default();
        let mut pause = PAUSE_FIRST;
        while world.now() < deadline && !call.is_cancelled() {
            if let Some(channel) = self.try_bind(deadline, &mut obstacles)? {
                return Ok(channel);
            }
            // Servers of another interface do not change while one waits.
            let is_settled = obstacles.mismatch.is_some() && !obstacles.is_binder_away;
            let next = world.now() + pause;
            if is_settled || next >= deadline {
                break;
            }
            call.rest(world, next);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(self.failure(&obstacles, world.now().since(started)))
    }

    fn find_other(&self, than: Target, deadline: Instant) -> Option<Channel> {
        let entries = self.candidates(deadline, &mut Obstacles::default()).ok()?;
        let others = entries.into_iter().filter(|entry| entry.server != than.server);
        let promising = others.filter(|entry| self.binder.is_promising(entry)).collect();
        self.binder.order(promising).iter().find_map(|entry| {
            let fits = matches!(self.difference(entry, deadline), Ok(None));
            let channel = fits.then(|| self.binder.channel(entry).ok()).flatten();
            channel.filter(|channel| !channel.is_left_alone())
        })
    }

    fn lost(&self, target: Target, loss: Loss) {
        let flaw = match loss {
            Loss::Gone => Flaw::Gone,
            Loss::Silent => {
                self.binder.avoid_address(target.server, target.address);
                Flaw::Silent
            }
        };
        self.binder.avoid(target.server, target.incarnation, flaw);
    }

    fn balance(&self) -> Balance {
        self.binder.own_balance()
    }

    fn ends(&self) -> Option<Arc<Ends>> {
        self.binder.ends_of(&self.name)
    }

    fn follow(&self, route: &Arc<Route>) -> Option<Box<dyn Following>> {
        let is_spread = self.balance() != Balance::Sticky;
        is_spread.then(|| watch::follow(self, route) as Box<dyn Following>)
    }
}

impl Wish {
    fn new<S: Stub>(binder: Binder, name: String, requirement: VersionRequirement) -> Self {
        Self { binder, interface: S::interface(), name, requirement }
    }

    /// The channel on which this wish comes true, as long as the binder is patient, and the caller of
    /// the handler that wishes.
    fn channel(self) -> Result<Channel, CallError> {
        let patience = self.binder.patience_max();
        let of_handler = |call: CallContext| left_for_nested(&call, Duration::ZERO);
        let left = context::current().map_or(patience, of_handler);
        let deadline = self.binder.world().now() + left.min(patience);
        Channel::found(Box::new(self), deadline)
    }

    /// Those of `entries` that this client can use.
    /// And whether that could be found out of all.
    pub(super) fn members(&self, entries: &[Entry]) -> (Vec<Member>, bool) {
        let deadline = self.binder.world().now() + self.binder.patience_max();
        let mut is_all = true;
        let fitting = entries.iter().filter(|entry| {
            let difference = self.difference(entry, deadline);
            is_all &= difference.is_ok();
            matches!(difference, Ok(None))
        });
        let members = fitting.filter_map(|entry| {
            let channel = self.binder.channel(entry).ok()?;
            let is_near = self.binder.is_near(entry);
            Some(Member::new(&channel, entry.server, entry.traits.weight, is_near))
        });
        let members = members.collect();
        (members, is_all)
    }

    fn try_bind(
        &self,
        deadline: Instant,
        obstacles: &mut Obstacles,
    ) -> Result<Option<Channel>, CallError> {
        let entries = self.candidates(deadline, obstacles)?;
        // One that keeps failing is better than none: it says when it is asked again.
        let mut left_alone = None;
        for entry in self.binder.order(entries) {
            match self.difference(&entry, deadline) {
                Ok(None) => match self.binder.channel(&entry) {
                    Ok(channel) if channel.is_left_alone() => {
                        left_alone.get_or_insert(channel);
                    }
                    Ok(channel) => return Ok(Some(channel)),
                    Err(error) => obstacles.unusable = Some(error),
                },
                Ok(Some(difference)) => obstacles.mismatch = Some(difference),
                Err(_) => obstacles.is_binder_away = true,
            }
        }
        Ok(left_alone)
    }

    /// Who is registered: from memory if that is fresh, else from the binder, else from memory.
    fn candidates(
        &self,
        deadline: Instant,
        obstacles: &mut Obstacles,
    ) -> Result<Vec<Entry>, CallError> {
        if let Some(found) = self.binder.fresh(&self.name, &self.requirement, FRESH) {
            return Ok(found.entries);
        }
        match self.binder_until(deadline).lookup(&self.name, &self.requirement) {
            Ok(entries) => {
                obstacles.tries = obstacles.tries.saturating_add(1);
                obstacles.is_binder_away = false;
                Ok(entries)
            }
            Err(Error::App(refusal)) => {
                let error = CallError::new(ErrorKind::BadAddress, Execution::NotExecuted);
                Err(error.with_detail(refusal.to_string()))
            }
            Err(Error::Call(error)) => {
                let transmissions = error.evidence().transmissions.max(1);
                obstacles.tries = obstacles.tries.saturating_add(transmissions);
                obstacles.is_binder_away = true;
                let known = self.binder.known(&self.name, &self.requirement);
                Ok(known.map(|found| found.entries).unwrap_or_default())
            }
        }
    }

    /// The first thing that keeps this client from using `entry`.
    fn difference(
        &self,
        entry: &Entry,
        deadline: Instant,
    ) -> crate::Result<Option<String>, super::BinderError> {
        let client = self.interface.fingerprint();
        if entry.fingerprint == client {
            return Ok(None);
        }
        if let Some(verdict) = self.binder.verdict(client, entry.fingerprint) {
            return Ok(verdict);
        }
        let offered = self.binder_until(deadline).methods(entry)?;
        let ours = describe(self.interface);
        let verdict = first_difference(
            &self.name,
            (version(self.interface), &ours),
            (entry.version, &offered),
        );
        self.binder.remember_verdict(client, entry.fingerprint, verdict.clone());
        Ok(verdict)
    }

    /// The binder, asked no longer than there is time.
    fn binder_until(&self, deadline: Instant) -> Binder {
        let left = self.binder.world().now().until(deadline);
        self.binder.clone().patience(left.min(self.binder.patience_max()))
    }

    fn failure(&self, obstacles: &Obstacles, waited: Duration) -> CallError {
        if let Some(error) = &obstacles.unusable {
            return error.clone();
        }
        let transmissions = obstacles.tries;
        if let Some(difference) = &obstacles.mismatch {
            let detail = difference.as_str().into();
            let evidence = Evidence { transmissions, waited, detail, ..Evidence::default() };
            return CallError::new(ErrorKind::InterfaceMismatch, Execution::NotExecuted)
                .with_evidence(evidence);
        }
        let peer = Some(self.binder.peer());
        let detail = wanted(&self.name, &self.requirement).into();
        let evidence = Evidence { peer, transmissions, waited, detail, ..Evidence::default() };
        let error = CallError::new(ErrorKind::NoServer, Execution::NotExecuted);
        let error = error.with_evidence(evidence);
        if obstacles.is_binder_away {
            return error.with_source(CallReport::no_answer("the binder does not answer"));
        }
        error
    }
}
