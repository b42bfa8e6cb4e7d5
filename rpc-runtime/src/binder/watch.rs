//! Following a binder's news: who offers a service now, told to every channel that wants it.
//!
//! One background thread for each service that is imported by way of a [`Binder`] asks it to say when anything
//! changes, and says so to all channels that follow. While the binder is away they keep the servers that
//! they have. Does not know how calls are spread.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::handle::Binder;
use super::import::Wish;
use super::model::{Entry, Revision};
use super::version::VersionRequirement;
use crate::client::{Following, Route};
use crate::context::CallContext;
use crate::error::Error;
use crate::time::Duration;

/// How long the binder may be silent while nothing changes.
const PATIENCE_MS: u32 = 10_000;
/// How long one of several binders may be: whether it is there at all shows by its answer.
const PATIENCE_SEVERAL_MS: u32 = 2_000;
/// How long its answer may take beyond that.
const MARGIN: Duration = Duration::from_secs(2);
/// The same for one of several.
const MARGIN_SEVERAL: Duration = Duration::from_secs(1);
/// Longer than any call takes for which a context says nothing of time.
const ASKING_MAX: Duration = Duration::from_secs(3_600);
/// Pause between two answers: where many change, their news come together.
const BETWEEN_NEWS: Duration = Duration::from_millis(50);
/// First pause after a binder that did not answer, or has no room for one more that waits.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause: within it a binder that is back is heard again.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What is followed at one binder.
#[derive(Debug, Default)]
pub(super) struct Followed {
    by_service: BTreeMap<Service, Followers>,
}

/// A service, and the versions of it that will do.
type Service = (String, VersionRequirement);

/// Who follows a service, and what is waited for meanwhile.
#[derive(Debug, Default)]
struct Followers {
    followers: Vec<Follower>,
    asking: Option<CallContext>,
}

#[derive(Clone, Debug)]
struct Follower {
    wish: Wish,
    route: Weak<Route>,
}

impl Followed {
    /// Adds one that follows; says whether it is the first for its service.
    fn add(&mut self, follower: Follower) -> bool {
        let service = (follower.wish.name.clone(), follower.wish.requirement.clone());
        let followers = &mut self.by_service.entry(service).or_default().followers;
        followers.push(follower);
        followers.len() == 1
    }

    /// Those that still follow; the service is followed no more if there are none.
    fn of(&mut self, service: &Service) -> Vec<Follower> {
        let Some(Followers { followers, .. }) = self.by_service.get_mut(service) else {
            return Vec::new();
        };
        followers.retain(|follower| follower.route.strong_count() > 0);
        if followers.is_empty() {
            self.by_service.remove(service);
            return Vec::new();
        }
        followers.clone()
    }

    /// Takes note of what is waited for under a service; says whether anybody follows it still.
    fn ask(&mut self, service: &Service, asking: Option<CallContext>) -> bool {
        let Some(followers) = self.by_service.get_mut(service) else { return false };
        followers.asking = asking;
        followers.followers.iter().any(|follower| follower.route.strong_count() > 0)
    }

    /// What is to be called off because nobody follows a service any more.
    fn unneeded(&mut self, service: &Service) -> Option<CallContext> {
        let followers = self.by_service.get_mut(service)?;
        let is_followed =
            followers.followers.iter().any(|follower| follower.route.strong_count() > 0);
        if is_followed { None } else { followers.asking.take() }
    }
}

/// A route follows a service for as long as this lives.
#[derive(Debug)]
pub(super) struct Follows {
    binder: Binder,
    service: Service,
}

impl Following for Follows {}

impl Drop for Follows {
    /// The last one has the binder asked no longer: neither a thread nor a call waits for news for nobody.
    fn drop(&mut self) {
        let unneeded = self.binder.followed(|followed| followed.unneeded(&self.service));
        if let Some(asking) = unneeded {
            asking.cancel();
        }
    }
}

/// Has `route` know who fulfils `wish`, from now on and for as long as it is there.
pub(super) fn follow(wish: &Wish, route: &Arc<Route>) -> Box<Follows> {
    let binder = wish.binder.clone();
    let follower = Follower { wish: wish.clone(), route: Arc::downgrade(route) };
    let service = (wish.name.clone(), wish.requirement.clone());
    let is_first = binder.followed(|followed| followed.add(follower.clone()));
    // After it follows: what comes meanwhile is told in any case.
    if let Some(known) = binder.known(&wish.name, &wish.requirement) {
        follower.tell(&known.entries);
    }
    if is_first {
        let world = Arc::clone(binder.world());
        let watch =
            Watch { binder: binder.clone(), service: service.clone(), known: Revision::NONE };
        let started = world.spawn("rpc-watch", Box::new(move || watch.run()));
        if started.is_err() {
            // Without a thread the servers known now are all there are, until they are lost.
            binder.followed(|followed| followed.by_service.remove(&service));
        }
    }
    Box::new(Follows { binder, service })
}

impl Follower {
    /// Says whether it could be found out of all of them whether they will do.
    fn tell(&self, entries: &[Entry]) -> bool {
        let Some(route) = self.route.upgrade() else { return true };
        let (members, is_all) = self.wish.members(entries);
        route.set_members(members);
        is_all
    }
}

/// The thread that follows one service.
struct Watch {
    binder: Binder,
    service: Service,
    known: Revision,
}

impl Watch {
    fn run(mut self) {
        let world = Arc::clone(self.binder.world());
        let gate = world.gate();
        let mut pause = PAUSE_FIRST;
        loop {
            let followers = self.binder.followed(|followed| followed.of(&self.service));
            if followers.is_empty() {
                return;
            }
            drop(followers);
            let rest = match self.ask() {
                Ok(()) => {
                    pause = PAUSE_FIRST;
                    BETWEEN_NEWS
                }
                Err(()) => {
                    let rest = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    rest
                }
            };
            let until = world.now() + rest;
            while world.now() < until {
                gate.wait(Some(until));
            }
        }
    }

    /// Waits for news, and tells them. Fails if the binder has none to give.
    fn ask(&mut self) -> Result<(), ()> {
        let (name, requirement) = &self.service;
        let several = self.binder.has_several();
        let (patience_ms, margin) = match several {
            true => (PATIENCE_SEVERAL_MS, MARGIN_SEVERAL),
            false => (PATIENCE_MS, MARGIN),
        };
        let patience = Duration::from_millis(u64::from(patience_ms));
        let world = self.binder.world();
        let deadline = world.now() + ASKING_MAX;
        let asking = CallContext::of_nobody(Arc::clone(world), deadline, self.binder.peer());
        if !self.binder.followed(|followed| followed.ask(&self.service, Some(asking.clone()))) {
            return Err(());
        }
        let asked = {
            let _entered = asking.enter();
            self.binder.ask_first(patience + margin, |directory| {
                directory.start().watch(name, requirement, self.known, patience_ms).wait()
            })
        };
        self.binder.followed(|followed| followed.ask(&self.service, None));
        let page = asked.map_err(|error| match error {
            Error::App(_) | Error::Call(_) => (),
        })?;
        // What another binder has told already is no news.
        if page.revision == self.known || several && page.revision < self.known {
            return Ok(());
        }
        let revision = if page.more {
            self.binder.lookup(name, requirement).map_err(|_| ())?;
            // Another binder may have answered, which is behind the one that had the news.
            self.binder.remembered(name, requirement).min(page.revision)
        } else {
            self.binder.remember(name, requirement, page.revision, page.entries);
            page.revision
        };
        let known = self.binder.known(name, requirement);
        let entries = known.map(|found| found.entries).unwrap_or_default();
        let followers = self.binder.followed(|followed| followed.of(&self.service));
        // All are told, and asked again if one of them has not found out enough.
        let told = followers.iter().filter(|follower| follower.tell(&entries)).count();
        if told < followers.len() {
            return Err(());
        }
        self.known = revision;
        Ok(())
    }
}
