//! A second server for a route: the one that is asked too where the first takes long.
//!
//! Found by a thread of its own, because nobody who waits for an answer waits for it. Does not know
//! when it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use super::connection::Connection;
use super::errands;
use super::route::{Route, SEARCH_PAUSE};
use crate::protocol::Target;
use crate::time::{Duration, Instant};

/// How long a second server is looked for.
const SEARCH_TIME: Duration = Duration::from_secs(2);

/// What is known of a second server.
#[derive(Debug, Default)]
pub(super) struct Spare {
    pub(super) found: Option<Arc<Connection>>,
    is_sought: bool,
    /// Who waits for it: one waker for each call.
    pub(super) seekers: BTreeMap<u64, Waker>,
    seekers_seen: u64,
    /// Until when another search is not worth it: none has found more since.
    none_until: Option<Instant>,
}

/// The place of a call among those that wait for a search.
#[derive(Debug, Default)]
pub(super) struct Seeker(Option<u64>);

/// Another server than one that takes too long.
#[derive(Debug)]
pub(super) enum Other {
    /// This one.
    Known(Arc<Connection>),
    /// It is looked for, and the waker is woken then.
    Sought,
    /// There is none.
    None,
}

impl Route {
    /// Another server than `first`, without waiting for it to be found.
    pub(super) fn other(
        self: &Arc<Self>,
        first: &Arc<Connection>,
        seeker: &mut Seeker,
        waker: &Waker,
    ) -> Other {
        let candidates = {
            let state = self.lock();
            let current = (!state.is_lost).then(|| Arc::clone(&state.current));
            [current, state.spare.found.clone()]
        };
        if let Some(other) = self.pick_other(first) {
            return Other::Known(other);
        }
        let server = first.target().server;
        let will_do = |other: &Arc<Connection>| {
            other.target().server != server && other.loss().is_none() && !other.is_left_alone()
        };
        if let Some(known) = candidates.into_iter().flatten().find(will_do) {
            return Other::Known(known);
        }
        let waker = waker.clone(); // others' code, without the lock
        let (now, mut state) = (self.world.now(), self.lock());
        let spare = &mut state.spare;
        if spare.none_until.is_some_and(|until| now < until) {
            return Other::None;
        }
        spare.seekers_seen += u64::from(seeker.0.is_none());
        let number = *seeker.0.get_or_insert(spare.seekers_seen);
        let before = spare.seekers.insert(number, waker);
        let is_sought = std::mem::replace(&mut spare.is_sought, true);
        drop(state);
        drop(before);
        if !is_sought {
            let (route, target) = (Arc::clone(self), first.target());
            let body = Box::new(move || route.seek(target));
            if self.world.spawn("rpc-spare", body).is_err() {
                drop(Sought(self)); // without a thread there is no second server
                return Other::None;
            }
        }
        Other::Sought
    }

    /// A call has ended that may have waited for a search.
    pub(super) fn seeks_no_more(&self, seeker: &Seeker) {
        let Some(number) = seeker.0 else { return };
        let waker = self.lock().spare.seekers.remove(&number);
        drop(waker);
    }

    /// Looks for another server than `than`, and tells who asked for one.
    fn seek(&self, than: Target) {
        let sought = Sought(self);
        let found = self.finder.find_other(than, self.world.now() + SEARCH_TIME);
        let found = found.and_then(|found| self.kept(found.connection).ok());
        let mut state = self.lock();
        state.spare.none_until = Some(self.world.now() + SEARCH_PAUSE);
        let former = found.and_then(|found| {
            found.set_loss(None);
            let former = state.spare.found.replace(Arc::clone(&found));
            former.filter(|former| !Arc::ptr_eq(former, &found)) // it may be the same again
        });
        // Calls that it answered may yet be resolved.
        let too_old = former.map(|former| state.retire(former));
        drop(state);
        drop(too_old); // says BYE, without the lock
        drop(sought);
    }
}

/// A search for a second server; when it ends, however it ends, who asked for one looks again.
struct Sought<'r>(&'r Route);

impl Drop for Sought<'_> {
    fn drop(&mut self) {
        let seekers = {
            let mut state = self.0.lock();
            state.spare.is_sought = false;
            std::mem::take(&mut state.spare.seekers)
        };
        seekers.into_values().for_each(errands::wake);
    }
}
