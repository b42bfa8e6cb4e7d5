//! What is due when: datagrams under way, and one timer each for nodes and threads.
//!
//! Ties are broken by the order in which things were scheduled, so that equal times are first in,
//! first out, and a run never depends on a heap's whim. Timers sit in an indexed heap: there is one
//! an owner, moved in place, so that waits that end early leave nothing behind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Instant;

/// A moment, and which of several things due at it comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    pub(crate) order: u64,
}

/// Numbers everything that is scheduled.
#[derive(Debug, Default)]
pub(crate) struct Order(u64);

impl Order {
    pub(crate) fn due(&mut self, at: Instant) -> Due {
        self.0 += 1;
        Due { at, order: self.0 }
    }
}

/// Things due that are never moved or taken back: datagrams, by their slab key.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Due, usize)>>,
}

impl Queue {
    pub(crate) fn push(&mut self, due: Due, key: usize) {
        self.heap.push(Reverse((due, key)));
    }

    pub(crate) fn peek(&self) -> Option<Due> {
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    pub(crate) fn pop(&mut self) -> Option<usize> {
        self.heap.pop().map(|Reverse((_, key))| key)
    }
}

/// At most one timer for each owner, a small number.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(Due, usize)>,
    /// Where an owner's timer stands in the heap; `ABSENT` if it has none.
    places: Vec<usize>,
}

const ABSENT: usize = usize::MAX;

impl Timers {
    /// Sets the owner's timer; one already set for the same moment keeps its turn.
    pub(crate) fn set(&mut self, owner: usize, at: Instant, order: &mut Order) {
        if self.places.len() <= owner {
            self.places.resize(owner + 1, ABSENT);
        }
        let place = self.places[owner];
        if place == ABSENT {
            self.heap.push((order.due(at), owner));
            self.places[owner] = self.heap.len() - 1;
            self.rise(self.heap.len() - 1);
        } else if self.heap[place].0.at != at {
            self.heap[place].0 = order.due(at);
            self.settle(place);
        }
    }

    /// Takes the owner's timer back, if it has one.
    pub(crate) fn clear(&mut self, owner: usize) {
        let place = self.places.get(owner).copied().unwrap_or(ABSENT);
        if place != ABSENT {
            self.remove(place);
        }
    }

    pub(crate) fn peek(&self) -> Option<Due> {
        self.heap.first().map(|(due, _)| *due)
    }

    /// Takes the first timer and names its owner.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let owner = self.heap.first()?.1;
        self.remove(0);
        Some(owner)
    }

    fn remove(&mut self, place: usize) {
        let last = self.heap.len() - 1;
        self.swap(place, last);
        let (_, owner) = self.heap.pop().expect("a timer stands there");
        self.places[owner] = ABSENT;
        if place < self.heap.len() {
            self.settle(place);
        }
    }

    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.heap[child].0 < self.heap[least].0 {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places[self.heap[a].1] = a;
        self.places[self.heap[b].1] = b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_are_first_in_first_out() {
        let (mut order, mut queue) = (Order::default(), Queue::default());
        for key in 0..100 {
            queue.push(order.due(Instant::from_micros(5)), 99 - key);
        }
        queue.push(order.due(Instant::from_micros(4)), 1_000);
        let keys: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(keys[0], 1_000);
        assert!(keys[1..].windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn timers_fire_in_order_however_they_were_moved() {
        let (mut order, mut timers) = (Order::default(), Timers::default());
        let mut wanted = vec![None; 64];
        let mut state = 1_u64;
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let owner = usize::try_from(state >> 58).unwrap();
            let at = state >> 32 & 0xff;
            if at < 64 {
                timers.clear(owner);
                wanted[owner] = None;
            } else {
                timers.set(owner, Instant::from_micros(at), &mut order);
                wanted[owner] = Some(at);
            }
        }
        let mut last = 0;
        while let Some(due) = timers.peek() {
            let owner = timers.pop().unwrap();
            assert_eq!(wanted[owner].take(), Some(due.at.as_micros()));
            assert!(due.at.as_micros() >= last);
            last = due.at.as_micros();
        }
        assert!(wanted.iter().all(Option::is_none));
    }
}
