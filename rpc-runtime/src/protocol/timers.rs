//! Timers: an indexed binary heap that is tidied up late.
//!
//! Most timers are for what is hardly ever late: they are set, and moved or cleared long before they are
//! due. So a timer that is cleared, or moved to a later time, keeps its place in the heap, and only what
//! comes to the top is looked at: setting and clearing cost O(1) for the timers of calls that are answered
//! in time, O(log n) for others, and allocate nothing once the heap has grown to its working size. What is
//! said of the next wake-up is never too late, and may be too early by what was not tidied up.

use crate::time::{Duration, Instant};

/// Names a timer of a [`Timers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId(usize);

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    /// When it fires.
    when: Option<Instant>,
    /// By what time it stands in the heap, if it does: no later than it fires.
    queued: Option<Instant>,
    /// Its place there.
    at: usize,
    free: bool,
}

/// What comes so soon is looked at before anybody waits for it.
const NEAR: Duration = Duration::from_millis(10);

/// A set of timers, each carrying a key. Of those due at one time the lower id fires first, so
/// that runs are equal.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    entries: Vec<Entry<K>>,
    free: Vec<usize>,
    heap: Vec<usize>,
    /// How many are set.
    set: usize,
}

impl<K: Copy> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), heap: Vec::new(), set: 0 }
    }

    /// A new timer that is not set.
    pub(crate) fn add(&mut self, key: K) -> TimerId {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index];
            (entry.key, entry.free) = (key, false);
            return TimerId(index);
        }
        self.entries.push(Entry { key, when: None, queued: None, at: 0, free: false });
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
        let entry = &mut self.entries[id.0];
        self.set += usize::from(entry.when.replace(when).is_none());
        match entry.queued {
            Some(queued) if queued <= when => {}
            Some(_) => {
                entry.queued = Some(when);
                let at = entry.at;
                self.rise(at);
            }
            None => {
                (entry.queued, entry.at) = (Some(when), self.heap.len());
                self.heap.push(id.0);
                self.rise(self.heap.len() - 1);
            }
        }
    }

    /// Unsets a timer.
    pub(crate) fn clear(&mut self, id: TimerId) {
        self.set -= usize::from(self.entries[id.0].when.take().is_some());
    }

    /// Whether a timer is set.
    pub(crate) fn is_set(&self, id: TimerId) -> bool {
        self.entries[id.0].when.is_some()
    }

    /// When to look for a timer that is due, and what for. Nothing if none is set.
    pub(crate) fn next(&self) -> Option<(Instant, K)> {
        let &first = self.heap.first().filter(|_| self.set > 0)?;
        let entry = &self.entries[first];
        entry.queued.map(|queued| (queued, entry.key))
    }

    /// Unsets and gives the earliest timer if it is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next().is_none_or(|(queued, _)| queued > now) {
            return None;
        }
        self.tidy();
        let &first = self.heap.first()?;
        let entry = self.entries[first];
        if entry.when.is_none_or(|when| when > now) {
            return None;
        }
        self.clear(TimerId(first));
        self.drop_first();
        Some(entry.key)
    }

    /// As [`Timers::next`], exact where that is near: who waits for it may wait in a dearer way then.
    pub(crate) fn next_after(&mut self, now: Instant) -> Option<Instant> {
        let (queued, _) = self.next()?;
        if queued <= now + NEAR {
            self.tidy();
        }
        self.next().map(|(when, _)| when)
    }

    /// Brings a timer that is set to the top, by the time at which it fires.
    pub(crate) fn tidy(&mut self) {
        while let Some(&first) = self.heap.first() {
            let entry = &mut self.entries[first];
            match entry.when {
                Some(when) if entry.queued == Some(when) => return,
                Some(when) => {
                    entry.queued = Some(when);
                    self.sink(0);
                }
                None => self.drop_first(),
            }
        }
    }

    /// Takes what stands at the top out of the heap.
    fn drop_first(&mut self) {
        let first = self.heap.swap_remove(0);
        self.entries[first].queued = None;
        if let Some(&moved) = self.heap.first() {
            self.entries[moved].at = 0;
            self.sink(0);
        }
    }

    /// Every timer in use, in the order in which those due at one time fire.
    #[cfg(feature = "model")]
    pub(crate) fn all(&self) -> impl Iterator<Item = (K, Option<Instant>)> {
        self.entries.iter().filter(|entry| !entry.free).map(|entry| (entry.key, entry.when))
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.heap[a], self.heap[b]);
        (self.entries[a].queued, a) < (self.entries[b].queued, b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.entries[self.heap[a]].at = a;
        self.entries[self.heap[b]].at = b;
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.before(at, (at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
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
            let next = timers.next();
            assert_eq!(next.is_some(), expected.is_some());
            assert!(next.map(|(when, _)| when) <= expected.map(|(when, _)| when), "never too late");
            if state >> 40 & 7 == 0 {
                timers.tidy();
                assert_eq!(timers.next(), expected);
            }
        }
        while let Some((when, which)) = model.pop_first() {
            assert_eq!(timers.pop_due(when), Some(which as u64));
        }
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn one_look_that_comes_too_early_is_the_only_one() {
        let mut timers = Timers::new();
        let ids: Vec<_> = (0..100_u64).map(|key| timers.add(key)).collect();
        for (&id, micros) in ids.iter().zip(1..) {
            timers.set(id, Instant::from_micros(micros));
        }
        timers.set(ids[7], Instant::from_micros(5_000));
        ids.iter().enumerate().filter(|(key, _)| *key != 7).for_each(|(_, &id)| timers.clear(id));
        let (early, _) = timers.next().unwrap();
        assert_eq!(timers.clone().next_after(early), Some(Instant::from_micros(5_000)));
        assert_eq!(timers.pop_due(early), None);
        assert_eq!(timers.next(), Some((Instant::from_micros(5_000), 7)));
        assert_eq!(timers.pop_due(Instant::from_micros(5_000)), Some(7));
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
