//! Wakes futures at a time: an executor need not have a clock.
//!
//! Knows wakers and times; does not know what is due. One thread for all alarms of a route, started
//! by the first one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::errands;
use crate::driver::{Gate, World};
use crate::time::Instant;

/// All alarms of a route.
#[derive(Debug)]
pub(super) struct Alarms {
    world: Arc<dyn World>,
    gate: Arc<dyn Gate>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    due: BTreeMap<(Instant, u64), Waker>,
    number: u64,
    has_thread: bool,
}

/// An alarm that was set; dropped, it is none any more.
#[derive(Debug)]
pub(super) struct Alarm {
    alarms: Arc<Alarms>,
    key: (Instant, u64),
}

impl Alarms {
    pub(super) fn new(world: Arc<dyn World>) -> Arc<Self> {
        let gate = world.gate();
        Arc::new(Self { world, gate, table: Mutex::default() })
    }

    /// Has `waker` woken at `when`, or soon after.
    pub(super) fn set(self: &Arc<Self>, when: Instant, waker: Waker) -> Alarm {
        let mut table = self.lock();
        table.number += 1;
        let key = (when, table.number);
        table.due.insert(key, waker);
        let is_next = table.due.first_key_value().is_some_and(|(first, _)| *first == key);
        let needs_thread = !std::mem::replace(&mut table.has_thread, true);
        drop(table);
        if needs_thread {
            let (alarms, gate) = (Arc::downgrade(self), Arc::clone(&self.gate));
            let body = Box::new(move || ring(&alarms, &gate));
            if self.world.spawn("rpc-alarm", body).is_err() {
                self.lock().has_thread = false; // it goes unheard: the next one tries again
            }
        } else if is_next {
            self.gate.open();
        }
        Alarm { alarms: Arc::clone(self), key }
    }

    /// Wakes who is due; gives the time of the next one.
    fn ring_due(&self) -> Option<Instant> {
        let now = self.world.now();
        let mut table = self.lock();
        let mut due = Vec::new();
        while let Some(first) = table.due.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        let next = table.due.first_key_value().map(|((when, _), _)| *when);
        drop(table);
        for waker in due {
            errands::wake(waker);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread: lives as long as its route.
fn ring(alarms: &Weak<Alarms>, gate: &Arc<dyn Gate>) {
    loop {
        let Some(alive) = alarms.upgrade() else { return };
        let next = alive.ring_due();
        drop(alive);
        gate.wait(next);
    }
}

impl Alarm {
    pub(super) const fn when(&self) -> Instant {
        self.key.0
    }

    /// Has another waker woken.
    pub(super) fn change(&self, waker: Waker) {
        let mut table = self.alarms.lock();
        let before = table.due.get_mut(&self.key).map(|known| std::mem::replace(known, waker));
        drop(table);
        drop(before);
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = self.alarms.lock().due.remove(&self.key);
        drop(waker);
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        self.gate.open();
    }
}
