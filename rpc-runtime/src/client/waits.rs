//! Who waits for which call of a connection, and the ends that nobody has taken yet.
//!
//! Knows callers by their gates and futures by their wakers; does not know who receives. A waker is
//! others' code, so that nothing here clones, wakes or drops one: they are taken and given back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::verdict::Finished;
use crate::driver::Gate;
use crate::protocol::CallKey;

/// All that wait on one connection.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// By the place of the call in the machine.
    places: Vec<Wait>,
    /// Calls that have ended and were not asked for yet.
    ends: Ends,
    /// Callers that sleep, in the order they came, until they have looked again.
    followers: VecDeque<CallKey>,
    /// How many places hold a waker.
    futures: usize,
}

/// The ends of calls. They stand apart from who waits, because the machine gives the place of a call
/// that has ended to the next one.
#[derive(Debug, Default)]
struct Ends {
    /// By the place of the call, the first of those that nobody has taken.
    first: Vec<Option<Finished>>,
    /// Of calls whose place has the end of an earlier one.
    others: BTreeMap<CallKey, Finished>,
}

impl Ends {
    fn insert(&mut self, finished: Finished) {
        let key = finished.key;
        if self.first.len() <= key.index() {
            self.first.resize_with(key.index() + 1, || None);
        }
        match &mut self.first[key.index()] {
            place @ None => *place = Some(finished),
            Some(_) => drop(self.others.insert(key, finished)),
        }
    }

    fn remove(&mut self, key: CallKey) -> Option<Finished> {
        let place = self.first.get_mut(key.index())?;
        match place.take_if(|first| first.key == key) {
            Some(finished) => Some(finished),
            None if self.others.is_empty() => None,
            None => self.others.remove(&key),
        }
    }

    fn get(&self, key: CallKey) -> Option<&Finished> {
        let first = self.first.get(key.index())?.as_ref().filter(|first| first.key == key);
        first.or_else(|| self.others.get(&key))
    }
}

/// Who waits for a call.
#[derive(Debug, Default)]
struct Wait {
    key: Option<CallKey>,
    gate: Option<Arc<dyn Gate>>,
    waker: Option<Waker>,
}

/// Whom to tell that a call has ended.
#[derive(Debug, Default)]
pub(super) struct Heirs {
    pub(super) gate: Option<Arc<dyn Gate>>,
    pub(super) waker: Option<Waker>,
}

impl Waits {
    /// Somebody will ask for the end of this call.
    pub(super) fn expect(&mut self, key: CallKey) {
        if self.places.len() <= key.index() {
            self.places.resize_with(key.index() + 1, Wait::default);
        }
        self.places[key.index()] = Wait { key: Some(key), ..Wait::default() };
    }

    /// A call has ended: whom to tell, or the end itself if nobody asks for it any more.
    pub(super) fn end(&mut self, finished: Finished) -> (Heirs, Option<Finished>) {
        let Some(wait) = self.place(finished.key) else {
            return (Heirs::default(), Some(finished));
        };
        let Wait { gate, waker, .. } = std::mem::take(wait);
        self.futures -= usize::from(waker.is_some());
        self.ends.insert(finished);
        (Heirs { gate, waker }, None)
    }

    /// The end of a call, if it has come.
    pub(super) fn take(&mut self, key: CallKey) -> Option<Finished> {
        self.ends.remove(key)
    }

    /// The end of a call that has ended and was not asked for.
    pub(super) fn ended(&self, key: CallKey) -> Option<&Finished> {
        self.ends.get(key)
    }

    /// Nobody will ask for this call's end any more.
    pub(super) fn forget(&mut self, key: CallKey) -> Option<Waker> {
        let waker = self.place(key).and_then(|wait| std::mem::take(wait).waker);
        self.futures -= usize::from(waker.is_some());
        waker
    }

    /// A caller sleeps at `gate`.
    pub(super) fn follow(&mut self, key: CallKey, gate: Arc<dyn Gate>) {
        if let Some(wait) = self.place(key) {
            wait.gate = Some(gate);
        }
        self.followers.push_back(key);
    }

    /// A caller has woken.
    pub(super) fn rise(&mut self, key: CallKey) {
        self.followers.retain(|follower| *follower != key);
        if let Some(wait) = self.place(key) {
            wait.gate = None;
        }
    }

    /// The caller that has slept longest of those whose calls have not ended.
    pub(super) fn first_follower(&self) -> Option<&Arc<dyn Gate>> {
        self.followers.iter().find_map(|key| {
            let wait = self.places.get(key.index()).filter(|wait| wait.key == Some(*key));
            wait.and_then(|wait| wait.gate.as_ref())
        })
    }

    /// Wakes `waker`, the newest one counts, when the call has ended; gives the one before.
    pub(super) fn wake(&mut self, key: CallKey, waker: Waker) -> Option<Waker> {
        let Some(wait) = self.place(key) else { return Some(waker) };
        let before = wait.waker.replace(waker);
        self.futures += usize::from(before.is_none());
        before
    }

    /// Whether a future waits for a call that has not ended.
    pub(super) const fn has_futures(&self) -> bool {
        self.futures > 0
    }

    /// All that wait, to be told to look again.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Heirs> {
        self.futures = 0;
        self.places
            .iter_mut()
            .map(|wait| Heirs { gate: wait.gate.clone(), waker: wait.waker.take() })
    }

    fn place(&mut self, key: CallKey) -> Option<&mut Wait> {
        self.places.get_mut(key.index()).filter(|wait| wait.key == Some(key))
    }
}
