//! Timers: a hierarchical timing wheel (Varghese and Lauck, 1987) that is tidied up late.
//!
//! ```text
//!   passed ──► due, sorted │ level 0: 64 slots of 1 µs │ level 1: 64 of 64 µs │ level 2: 64 of 4 ms │ …
//! ```
//!
//! A timer stands in the level of the highest six bits in which its time differs from the wheel's own: so
//! all that stands in a level is later than all in the levels below, and the first slot that is not empty is
//! found by two looks at bits. When the wheel's time comes to a slot of a higher level, the timers in it are
//! dealt out to the levels below. Setting, moving and clearing cost O(1), and nothing allocates once the
//! wheel has grown to its working size.
//!
//! Most timers are for what is hardly ever late: they are set, and moved or cleared long before they are
//! due. So a timer that is cleared, or moved to a later time, keeps its place, and is looked at when the
//! wheel comes there: for calls that are answered in time this is a word that is written. What is said of
//! the next wake-up is never too late, and may be too early by what was not tidied up, or because a slot
//! begins before the first timer in it.

use crate::time::{Duration, Instant};

/// Names a timer of a [`Timers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId(usize);

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    /// When it fires.
    when: Option<Instant>,
    /// From what time on it is looked at: no later than it fires.
    looked_at: Instant,
    place: Place,
    /// The neighbours in its slot; [`TIMER_NONE`] where there is none.
    before: u32,
    after: u32,
    free: bool,
}

/// Where a timer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// Among those that the wheel's time has come to.
    Due,
    Slot {
        level: u8,
        slot: u8,
    },
}

/// No timer's number.
const TIMER_NONE: u32 = u32::MAX;

/// Bits of the time that a level looks at, and how many slots it has therefore.
const LEVEL_BITS: u32 = 6;
const LEVEL_SLOTS: usize = 1 << LEVEL_BITS;
const SLOT_MASK: u8 = (1 << LEVEL_BITS) - 1;

/// One level of the wheel.
#[derive(Clone, Debug)]
struct Level {
    /// A bit for each slot that is not empty.
    filled: u64,
    /// The first timer of each slot.
    first: [u32; LEVEL_SLOTS],
}

/// What comes so soon is looked at before anybody waits for it.
const NEAR: Duration = Duration::from_millis(10);

/// And so many timers of one slot are compared then, at the most.
const COMPARED_MAX: usize = 8;

/// A set of timers, each carrying a key. Of those due at one time the lower id fires first, so
/// that runs are equal.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    entries: Vec<Entry<K>>,
    free: Vec<usize>,
    /// As many as were needed so far.
    levels: Vec<Level>,
    /// A bit for each level that is not empty.
    filled: u16,
    /// The wheel's time. Nothing in a slot is earlier, or is looked at then.
    passed: Instant,
    /// What was to be looked at by then, the latest first.
    due: Vec<u32>,
    /// No timer fires before.
    not_before: Instant,
    /// How many are set.
    set: usize,
}

impl<K: Copy> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            levels: Vec::new(),
            filled: 0,
            passed: Instant::START,
            due: Vec::new(),
            not_before: Instant::START,
            set: 0,
        }
    }

    /// A new timer that is not set.
    pub(crate) fn add(&mut self, key: K) -> TimerId {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index];
            (entry.key, entry.free) = (key, false);
            return TimerId(index);
        }
        self.entries.push(Entry {
            key,
            when: None,
            looked_at: Instant::START,
            place: Place::Nowhere,
            before: TIMER_NONE,
            after: TIMER_NONE,
            free: false,
        });
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
    #[inline]
    pub(crate) fn set(&mut self, id: TimerId, when: Instant) {
        let entry = &mut self.entries[id.0];
        let is_first = self.set == 0;
        self.set += usize::from(entry.when.replace(when).is_none());
        if is_first || when < self.not_before {
            self.not_before = when;
        }
        if entry.place == Place::Nowhere || when < entry.looked_at {
            self.place(id.0, when);
        }
    }

    /// Unsets a timer.
    #[inline]
    pub(crate) fn clear(&mut self, id: TimerId) {
        self.set -= usize::from(self.entries[id.0].when.take().is_some());
    }

    /// Whether a timer is set.
    pub(crate) fn is_set(&self, id: TimerId) -> bool {
        self.entries[id.0].when.is_some()
    }

    /// When to look for a timer that is due, and what for. Nothing if none is set.
    #[inline]
    pub(crate) fn next(&self) -> Option<(Instant, K)> {
        if self.set == 0 {
            return None;
        }
        let entry = &self.entries[self.first()?.0];
        Some((entry.looked_at.max(self.not_before), entry.key))
    }

    /// Unsets and gives the earliest timer if it is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let mut has_dealt = false;
        loop {
            let (first, place) = self.first()?;
            let entry = &mut self.entries[first];
            let is_in_time = self.set == 0 || entry.looked_at.max(self.not_before) > now;
            if is_in_time {
                if has_dealt {
                    self.look(COMPARED_MAX); // so that one look that comes too early is the only one
                }
                return None;
            }
            let Place::Slot { level, slot } = place else {
                self.due.pop();
                entry.place = Place::Nowhere;
                match entry.when {
                    Some(when) if when == entry.looked_at => {
                        let key = entry.key;
                        self.clear(TimerId(first));
                        return Some(key);
                    }
                    Some(when) => self.place(first, when),
                    None => {}
                }
                continue;
            };
            self.deal_out(level, slot);
            has_dealt = true;
        }
    }

    /// As [`Timers::next`], exact where that is near: who waits for it may wait in a dearer way then.
    pub(crate) fn next_after(&mut self, now: Instant) -> Option<Instant> {
        let (wake, _) = self.next()?;
        if wake <= now + NEAR {
            match self.peek() {
                Some(earliest) => self.not_before = earliest,
                None => self.look(COMPARED_MAX),
            }
        }
        self.next().map(|(when, _)| when)
    }

    /// Makes what is said of the next wake-up exact.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn tidy(&mut self) {
        self.look(usize::MAX);
    }

    /// When the first timer fires that is set, if that is found by few looks. Nothing is moved: what is not
    /// set now is hardly worth the way, because it is set again with the next call.
    fn peek(&self) -> Option<Instant> {
        let mut looks = 0;
        if !self.due.is_empty() {
            return None;
        }
        for level in self.levels.iter().filter(|level| level.filled != 0) {
            let mut filled = level.filled;
            while filled != 0 {
                let mut next = level.first[filled.trailing_zeros() as usize];
                let mut earliest: Option<Instant> = None;
                while let Some(entry) = self.entries.get(next as usize) {
                    looks += 1;
                    let is_moved =
                        entry.when.is_some_and(|when| !self.is_in_place(next as usize, when));
                    if looks > COMPARED_MAX || is_moved {
                        return None;
                    }
                    earliest = earliest.into_iter().chain(entry.when).min();
                    next = entry.after;
                }
                if earliest.is_some() {
                    return earliest;
                }
                filled &= filled - 1;
            }
        }
        None
    }

    /// Looks at what stands first. Timers that are not set leave, and those that were moved go to where they
    /// belong: each costs no more than setting it did. Of the others the earliest comes first, and is known
    /// from then on; unless a slot has more than `compared_max` of them.
    fn look(&mut self, compared_max: usize) {
        while let Some((first, place)) = self.first().filter(|_| self.set > 0) {
            let (mut next, mut compared) = (number(first), 0);
            let mut earliest: Option<(Instant, usize)> = None;
            while next != TIMER_NONE {
                let index = next as usize;
                let Entry { when, after, .. } = self.entries[index];
                next = if place == Place::Due { TIMER_NONE } else { after };
                match when {
                    Some(when) if self.is_in_place(index, when) => {
                        compared += 1;
                        if compared > compared_max {
                            return;
                        }
                        earliest = Some(earliest.map_or((when, index), |it| it.min((when, index))));
                    }
                    Some(when) => self.place(index, when),
                    None => self.take_out(index),
                }
            }
            let Some((when, index)) = earliest else { continue };
            self.not_before = when;
            if let Place::Slot { level, slot } = place {
                self.take_out(index);
                self.link(index, level, slot);
            }
            return;
        }
    }

    /// Whether a timer that fires at `when` stands where it belongs.
    fn is_in_place(&self, index: usize, when: Instant) -> bool {
        let Entry { place, looked_at, .. } = self.entries[index];
        match place {
            Place::Nowhere => false,
            Place::Due => when == looked_at,
            Place::Slot { level, .. } => begin_of(when, level) == looked_at,
        }
    }

    /// What is to be looked at first, and where that stands.
    #[inline]
    fn first(&self) -> Option<(usize, Place)> {
        if let Some(&due) = self.due.last() {
            return Some((due as usize, Place::Due));
        }
        if self.filled == 0 {
            return None;
        }
        let level = byte(self.filled.trailing_zeros());
        let Level { filled, first } = &self.levels[usize::from(level)];
        let slot = byte(filled.trailing_zeros());
        Some((first[usize::from(slot)] as usize, Place::Slot { level, slot }))
    }

    /// Puts a timer where it belongs, wherever it stands.
    fn place(&mut self, index: usize, when: Instant) {
        self.take_out(index);
        if when > self.passed {
            return self.place_in_slot(index, when);
        }
        self.become_due(index, when);
        let entries = &self.entries;
        let later = |other: &u32| entries[*other as usize].order(*other) > (when, number(index));
        let at = self.due.partition_point(later);
        self.due.insert(at, number(index));
    }

    fn place_in_slot(&mut self, index: usize, when: Instant) {
        let level = (when.as_micros() ^ self.passed.as_micros()).ilog2() / LEVEL_BITS;
        let [slot, ..] = (when.as_micros() >> (LEVEL_BITS * level)).to_le_bytes();
        let (level, slot) = (byte(level), slot & SLOT_MASK);
        self.entries[index].looked_at = begin_of(when, level);
        self.link(index, level, slot);
    }

    fn become_due(&mut self, index: usize, when: Instant) {
        let entry = &mut self.entries[index];
        (entry.looked_at, entry.place) = (when, Place::Due);
    }

    /// The wheel's time comes to the first slot, and nothing is due: its timers go to where they belong, which
    /// is never that slot.
    fn deal_out(&mut self, level: u8, slot: u8) {
        let Level { filled, first } = &mut self.levels[usize::from(level)];
        *filled &= !(1 << slot);
        self.filled &= !(u16::from(*filled == 0) << level);
        let mut next = first[usize::from(slot)];
        self.passed = self.entries[next as usize].looked_at;
        while next != TIMER_NONE {
            let index = next as usize;
            let entry = &mut self.entries[index];
            (next, entry.place) = (entry.after, Place::Nowhere);
            match entry.when {
                Some(when) if when > self.passed => self.place_in_slot(index, when),
                Some(when) => {
                    self.become_due(index, when);
                    self.due.push(number(index));
                }
                None => {}
            }
        }
        let entries = &self.entries;
        self.due.sort_unstable_by_key(|&due| std::cmp::Reverse(entries[due as usize].order(due)));
    }

    fn link(&mut self, index: usize, level: u8, slot: u8) {
        while self.levels.len() <= usize::from(level) {
            self.levels.push(Level { filled: 0, first: [TIMER_NONE; LEVEL_SLOTS] });
        }
        let Level { filled, first } = &mut self.levels[usize::from(level)];
        let is_empty = *filled & 1 << slot == 0;
        let first = &mut first[usize::from(slot)];
        let after = if is_empty { TIMER_NONE } else { *first };
        *first = number(index);
        *filled |= 1 << slot;
        self.filled |= 1 << level;
        if let Some(after) = self.entries.get_mut(after as usize) {
            after.before = number(index);
        }
        let entry = &mut self.entries[index];
        (entry.before, entry.after) = (TIMER_NONE, after);
        entry.place = Place::Slot { level, slot };
    }

    /// Takes a timer from wherever it stands.
    fn take_out(&mut self, index: usize) {
        let Entry { before, after, place, .. } = self.entries[index];
        self.entries[index].place = Place::Nowhere;
        match place {
            Place::Nowhere => {}
            Place::Due => self.due.retain(|due| *due != number(index)),
            Place::Slot { level, slot } => {
                if let Some(after) = self.entries.get_mut(after as usize) {
                    after.before = before;
                }
                if let Some(before) = self.entries.get_mut(before as usize) {
                    before.after = after;
                    return;
                }
                let Level { filled, first } = &mut self.levels[usize::from(level)];
                first[usize::from(slot)] = after;
                if after == TIMER_NONE {
                    *filled &= !(1 << slot);
                    self.filled &= !(u16::from(*filled == 0) << level);
                }
            }
        }
    }

    /// Every timer in use, in the order in which those due at one time fire.
    #[cfg(feature = "model")]
    pub(crate) fn all(&self) -> impl Iterator<Item = (K, Option<Instant>)> {
        self.entries.iter().filter(|entry| !entry.free).map(|entry| (entry.key, entry.when))
    }
}

impl<K> Entry<K> {
    /// What decides which of several that are due fires first.
    const fn order(&self, number: u32) -> (Instant, u32) {
        (self.looked_at, number)
    }
}

/// When the slot of a level begins that a time is in.
const fn begin_of(when: Instant, level: u8) -> Instant {
    let bits = LEVEL_BITS * level as u32;
    Instant::from_micros(when.as_micros() >> bits << bits)
}

/// The number of a level or a slot: there are few.
const fn byte(number: u32) -> u8 {
    let [byte, ..] = number.to_le_bytes();
    byte
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("there are fewer timers than that")
}

#[cfg(test)]
mod tests;
