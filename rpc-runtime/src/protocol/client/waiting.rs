//! Calls that wait for a session or a slot, in the order they came.
//!
//! Where all are *plain*, outermost calls that take a slot of the session, the first that finds none
//! speaks for all: no other need be looked at. Knows calls by their keys.

use std::collections::VecDeque;

use super::{CallKey, CallSpec};
use crate::semantics::Semantics;

/// The calls that wait.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Waiting {
    queue: VecDeque<CallKey>,
    plain: usize,
}

/// Whether a call can do without what others of its kind cannot have.
const fn is_plain(spec: &CallSpec) -> bool {
    spec.depth == 0 && matches!(spec.semantics, Semantics::AtLeastOnce | Semantics::AtMostOnce)
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether one that finds no slot speaks for all.
    pub(super) fn are_alike(&self) -> bool {
        self.plain == self.queue.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<CallKey> {
        self.queue.get(place).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = CallKey> {
        self.queue.iter().copied()
    }

    pub(super) fn push_back(&mut self, key: CallKey, spec: &CallSpec) {
        self.plain += usize::from(is_plain(spec));
        self.queue.push_back(key);
    }

    pub(super) fn push_front(&mut self, key: CallKey, spec: &CallSpec) {
        self.plain += usize::from(is_plain(spec));
        self.queue.push_front(key);
    }

    /// The call at `place` waits no longer.
    pub(super) fn remove_at(&mut self, place: usize, spec: &CallSpec) {
        if self.queue.remove(place).is_some() {
            self.plain -= usize::from(is_plain(spec));
        }
    }

    /// A call waits no longer, if it did.
    pub(super) fn remove(&mut self, key: CallKey, spec: &CallSpec) {
        if let Some(place) = self.queue.iter().position(|&waiting| waiting == key) {
            self.remove_at(place, spec);
        }
    }
}
