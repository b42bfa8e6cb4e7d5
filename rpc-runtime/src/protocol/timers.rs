//! Timers: an indexed binary heap. Setting, moving and clearing cost O(log n), and allocate nothing
//! once the heap has grown to its working size.

use crate::time::Instant;

/// Names a timer of a [`Timers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId(usize);

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    when: Option<Instant>,
    /// Place in the heap, if set.
    at: usize,
    free: bool,
}

/// A set of timers, each carrying a key. Of those due at one time the lower id fires first, so
/// that runs are equal.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    entries: Vec<Entry<K>>,
    free: Vec<usize>,
    heap: Vec<usize>,
}

impl<K: Copy> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), heap: Vec::new() }
    }

    /// A new timer that is not set.
    pub(crate) fn add(&mut self, key: K) -> TimerId {
        let entry = Entry { key, when: None, at: 0, free: false };
        if let Some(index) = self.free.pop() {
            self.entries[index] = entry;
            return TimerId(index);
        }
        self.entries.push(entry);
        TimerId(self.entries.len() - 1)
    }

    /// Gives a timer back.
    pub(crate) fn remove(&mut self, id: TimerId) {
        assert!(!self.entries[id.0].free, "a timer is removed once");
        self.clear(id);
        self.entries[id.0].free = true;
        self.free.push(id.0);
    }

    /// Sets a timer, or moves it.
    pub(crate) fn set(&mut self, id: TimerId, when: Instant) {
        let set_before = self.entries[id.0].when.replace(when).is_some();
        if !set_before {
            self.entries[id.0].at = self.heap.len();
            self.heap.push(id.0);
        }
        let at = self.entries[id.0].at;
        let at = self.rise(at);
        self.sink(at);
    }

    /// Unsets a timer.
    pub(crate) fn clear(&mut self, id: TimerId) {
        if self.entries[id.0].when.take().is_none() {
            return;
        }
        let at = self.entries[id.0].at;
        let last = self.heap.pop().expect("a set timer stands in the heap");
        if last == id.0 {
            return;
        }
        self.heap[at] = last;
        self.entries[last].at = at;
        let at = self.rise(at);
        self.sink(at);
    }

    /// Whether a timer is set.
    pub(crate) fn is_set(&self, id: TimerId) -> bool {
        self.entries[id.0].when.is_some()
    }

    /// The earliest timer.
    pub(crate) fn next(&self) -> Option<(Instant, K)> {
        let &first = self.heap.first()?;
        let entry = &self.entries[first];
        entry.when.map(|when| (when, entry.key))
    }

    /// Unsets and gives the earliest timer if it is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (when, key) = self.next()?;
        if when > now {
            return None;
        }
        self.clear(TimerId(self.heap[0]));
        Some(key)
    }

    /// Every timer in use, in the order in which those due at one time fire.
    #[cfg(feature = "model")]
    pub(crate) fn all(&self) -> impl Iterator<Item = (K, Option<Instant>)> {
        self.entries.iter().filter(|entry| !entry.free).map(|entry| (entry.key, entry.when))
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.heap[a], self.heap[b]);
        (self.entries[a].when, a) < (self.entries[b].when, b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.entries[self.heap[a]].at = a;
        self.entries[self.heap[b]].at = b;
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while at > 0 && self.before(at, (at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let mut first = at;
            if left < self.heap.len() && self.before(left, first) {
                first = left;
            }
            if right < self.heap.len() && self.before(right, first) {
                first = right;
            }
            if first == at {
                return;
            }
            self.swap(at, first);
            at = first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_sorted_set_over_random_operations() {
        let mut timers = Timers::new();
        let ids: Vec<_> = (0..50_u64).map(|key| timers.add(key)).collect();
        let mut model = BTreeSet::new();
        let mut set = [None; 50];
        let mut state = 7_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let which = (state >> 33) as usize % 50;
            let when = Instant::from_micros((state >> 40) % 1_000);
            if let Some(old) = set[which].take() {
                model.remove(&(old, which));
            }
            if state >> 63 == 0 {
                timers.set(ids[which], when);
                model.insert((when, which));
                set[which] = Some(when);
            } else {
                timers.clear(ids[which]);
            }
            let expected = model.first().map(|&(when, which)| (when, which as u64));
            assert_eq!(timers.next(), expected);
        }
        while let Some((when, which)) = model.pop_first() {
            assert_eq!(timers.pop_due(when), Some(which as u64));
        }
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_removed_timer_never_fires_and_its_place_is_used_again() {
        let mut timers = Timers::new();
        let first = timers.add('a');
        timers.set(first, Instant::START);
        timers.remove(first);
        assert_eq!(timers.pop_due(Instant::from_micros(1)), None);
        assert_eq!(timers.add('b'), first);
    }
}
