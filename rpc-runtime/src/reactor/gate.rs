//! Where a real thread waits for another.
//!
//! Responsible for the [`Gate`] of real threads: one permit behind a lock and a condition variable.
//! Opening a gate at which nobody waits costs no system call.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::driver::Gate;
use crate::reactor::clock;
use crate::time::Instant;

/// A permit that one thread takes and any other gives.
#[derive(Debug, Default)]
pub struct ThreadGate {
    permit: Mutex<Permit>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Permit {
    is_there: bool,
    /// Threads that wait for it: a condition variable does not know, and telling it so that nobody
    /// hears is a system call.
    waiting: usize,
}

impl Gate for ThreadGate {
    fn wait(&self, until: Option<Instant>) {
        let mut permit = self.lock();
        permit.waiting += 1;
        while !permit.is_there {
            permit = match until {
                None => self.changed.wait(permit).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let Some(left) = clock::left(until) else { break };
                    let waited = self.changed.wait_timeout(permit, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        permit.is_there = false;
        permit.waiting -= 1;
    }

    fn open(&self) {
        let mut permit = self.lock();
        permit.is_there = true;
        let is_awaited = permit.waiting > 0;
        drop(permit);
        if is_awaited {
            self.changed.notify_one();
        }
    }
}

impl ThreadGate {
    fn lock(&self) -> MutexGuard<'_, Permit> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::time::Duration;

    #[test]
    fn a_gate_opened_before_the_wait_lets_one_wait_through() {
        let gate = ThreadGate::default();
        gate.open();
        gate.open();
        gate.wait(None);
        let until = clock::now() + Duration::from_millis(1);
        gate.wait(Some(until)); // the two openings were one permit
        assert!(clock::now() >= until);
    }

    #[test]
    fn a_waiter_is_let_through_by_another_thread() {
        let (here, there) = (Arc::new(ThreadGate::default()), Arc::new(ThreadGate::default()));
        let (first, second) = (Arc::clone(&here), Arc::clone(&there));
        crate::reactor::world()
            .spawn(
                "other",
                Box::new(move || {
                    first.wait(None);
                    second.open();
                }),
            )
            .unwrap();
        here.open();
        there.wait(None);
    }
}
