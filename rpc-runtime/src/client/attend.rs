//! Who receives, and who looks after timers: leader, followers, and the background thread.

use std::sync::{Arc, MutexGuard, Weak};

use super::connection::{Attendant, Connection, Errands, State};
use super::verdict::Finished;
use crate::driver::{Gate, Received};
use crate::protocol::CallKey;
use crate::time::Instant;

impl Connection {
    /// Waits until the call has ended, receiving for all if nobody else does.
    pub(super) fn wait(self: &Arc<Self>, key: CallKey) -> Finished {
        loop {
            let mut state = self.lock();
            if let Some(finished) = state.take(key) {
                return finished;
            }
            if state.leader.is_none() {
                if let Some(finished) = self.lead(state, Some(key)) {
                    return finished;
                }
            } else {
                self.follow(state, key);
            }
        }
    }

    /// Receives until the call `own` has ended, or, without one, until callers take over or nothing
    /// is left to receive.
    fn lead<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        own: Option<CallKey>,
    ) -> Option<Finished> {
        let mut buffer = std::mem::take(&mut state.receive_buffer);

        loop {
            let until = state.core.next_wake();
            state.leader = Some(until);
            drop(state);
            let received = self.link.receive(&mut buffer, until);
            let now;
            (state, now) = self.turn();
            let mut errands = state.errands();
            match received {
                Received::Datagram { len, from } => {
                    state.core.handle_datagram(now, from, &buffer[..len]);
                }
                Received::Nothing => {}
                // Nothing will come any more: timers still end every call in time.
                Received::Closed => self.pause(),
            }
            if state.core.next_wake().is_some_and(|wake| wake <= now) {
                state.core.handle_timeout(now);
            }
            state.drain(now, &mut errands);
            let finished = own.and_then(|own| state.take(own));
            let leaves = match own {
                Some(_) => finished.is_some(),
                None => state.core.outstanding() == 0 || !state.followers.is_empty(),
            };
            if leaves {
                state.leader = None;
                state.receive_buffer = std::mem::take(&mut buffer);
                state.promote(&mut errands);
                if own.is_some() {
                    self.arrange(&mut state, &mut errands);
                }
                drop(state);
                self.run(errands);
                return finished;
            }
            drop(state);
            self.run(errands);
            state = self.lock();
        }
    }

    /// Sleeps until the call has ended, the leader leaves, or a timer is due, which it sees to.
    fn follow(self: &Arc<Self>, mut state: MutexGuard<'_, State>, key: CallKey) {
        let gate = state.take_gate(&self.world);
        state.notify(key, &gate);
        state.followers.push_back((key, Arc::clone(&gate)));
        let until = state.core.next_wake();
        drop(state);
        gate.wait(until);
        let (mut state, now) = self.turn();
        let mut errands = state.errands();
        if state.core.next_wake().is_some_and(|wake| wake <= now) {
            state.core.handle_timeout(now);
        }
        state.drain(now, &mut errands);
        state.followers.retain(|(follower, _)| *follower != key);
        drop(state);
        self.run(errands);
        self.lock().give_gate(gate);
    }

    /// A link that is closed returns at once; this keeps the leader from spinning.
    fn pause(&self) {
        let gate = self.world.gate();
        gate.wait(Some(self.world.now() + crate::time::Duration::from_millis(10)));
    }

    /// Sees to it that somebody looks at the machine when it next needs it: the leader if there is
    /// one, else the background thread. It is called only where it would sleep too long, so that a
    /// caller that makes one call after another calls nobody.
    pub(super) fn arrange(&self, state: &mut State, errands: &mut Errands) {
        let Some(wake) = state.core.next_wake() else { return };
        if let Some(leader_until) = state.leader {
            errands.wake_leader |= is_before(wake, leader_until);
        }
        match state.attendant {
            Attendant::Awake => {}
            Attendant::Asleep(until) if !is_before(wake, until) => {}
            Attendant::Asleep(_) | Attendant::Absent => errands.open_background = true,
        }
    }

    /// Somebody must receive now: a future was polled, and no thread leads.
    pub(super) fn attend_now(self: &Arc<Self>, state: &State, errands: &mut Errands) {
        if state.leader.is_none() && state.attendant != Attendant::Awake {
            errands.open_background = true;
        }
    }

    /// Wakes the background thread, or starts it.
    pub(super) fn call_background(self: &Arc<Self>) {
        let absent = {
            let mut state = self.lock();
            let absent = state.attendant == Attendant::Absent;
            if absent {
                state.attendant = Attendant::Awake;
            }
            absent
        };
        if absent {
            let (connection, gate) = (Arc::downgrade(self), Arc::clone(&self.background));
            self.world.spawn("rpc-client", Box::new(move || attend(&connection, &gate)));
        } else {
            self.background.open();
        }
    }

    /// One round of the background thread; gives the time until which it may sleep.
    fn attend_once(self: &Arc<Self>) -> Option<Instant> {
        let (mut state, now) = self.turn();
        state.attendant = Attendant::Awake;
        let mut errands = state.errands();
        if state.core.next_wake().is_some_and(|wake| wake <= now) {
            state.core.handle_timeout(now);
        }
        state.drain(now, &mut errands);
        if state.leader.is_none() && state.core.outstanding() > 0 {
            drop(state);
            self.run(errands);
            let state = self.lock();
            if state.leader.is_none() {
                self.lead(state, None);
            } else {
                drop(state); // a caller leads by now; the lock is taken again below
            }
            state_asleep(&mut self.lock())
        } else {
            let until = state_asleep(&mut state);
            drop(state);
            self.run(errands);
            until
        }
    }
}

/// Notes until when the background thread sleeps.
fn state_asleep(state: &mut State) -> Option<Instant> {
    let until = state.core.next_wake();
    state.attendant = Attendant::Asleep(until);
    until
}

/// The background thread: lives as long as its connection, and sleeps unless something is due.
fn attend(connection: &Weak<Connection>, gate: &Arc<dyn Gate>) {
    loop {
        let Some(alive) = connection.upgrade() else { return };
        let until = alive.attend_once();
        drop(alive);
        gate.wait(until);
    }
}

/// Whether `wake` comes before a sleep until `until` ends.
fn is_before(wake: Instant, until: Option<Instant>) -> bool {
    until.is_none_or(|until| wake < until)
}
