//! A call whose caller gave it up is called off: CANCEL, sent again until the server answers it.
//!
//! The caller does not wait for that, so it is tried a few times only; what no CANCEL reached ends at
//! its quantum or its deadline. Without this, one lost datagram would let the work of a whole chain
//! go on behind a call that was killed.

use super::session::{Link, Session};
use super::slots::SlotTable;
use super::{Client, TimerKey};
use crate::ids::{SlotIndex, Space};
use crate::protocol::timers::TimerId;
use crate::time::Instant;
use crate::wire::{Cancel, Pdu, Working};

/// A lingering slot whose call is being called off.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallingOff {
    timer: TimerId,
    /// How often it was said, or could not be for want of a session.
    pub(super) tries: u32,
    /// The last CANCEL's stamp, by which its answer is known.
    stamp: u64,
}

impl Client {
    /// The call of a slot was given up by its caller.
    pub(super) fn start_calling_off(&mut self, now: Instant, space: Space, index: usize) {
        let timer = self.timers.add(TimerKey::CallOff(space, index));
        let calling_off = CallingOff { timer, tries: 0, stamp: 0 };
        self.table(space).set_calling_off(index, Some(calling_off));
        self.say_cancel(now, self.live(), (space, index));
    }

    /// Nothing was heard: once more, or never again.
    pub(super) fn on_call_off_timer(&mut self, now: Instant, space: Space, index: usize) {
        self.say_cancel(now, self.live(), (space, index));
        if self.calls.is_empty() && !self.is_calling_off() {
            self.fall_quiet(now);
        }
    }

    /// The session, unless it is being resumed: then the next time will do.
    fn live(&self) -> Option<Session> {
        match self.link {
            Link::Live(session) => Some(session),
            Link::None | Link::Opening(_) => None,
        }
    }

    fn say_cancel(&mut self, now: Instant, to: Option<Session>, (space, index): (Space, usize)) {
        let slot = &mut self.table(space).slots[index];
        let Some(calling_off) = &mut slot.calling_off else { return };
        let stamp = now.as_micros();
        calling_off.stamp = stamp;
        let tries = calling_off.tries;
        calling_off.tries += 1;
        let (timer, sequence) = (calling_off.timer, slot.sequence);
        if let Some(session) = to {
            let slot = SlotIndex(u32::try_from(index).expect("slots are numbered in 32 bits"));
            let envelope = self.envelope(&session, space);
            let cancel = Pdu::Cancel(Cancel { slot, sequence, stamp });
            self.outbox.send(self.target.address, &envelope, &cancel);
        }
        if tries + 1 < self.limits.cancel_transmissions_max {
            let wait = self.trip.wait(tries, &mut *self.rng);
            self.timers.set(timer, now + wait);
        } else {
            self.stop_calling_off(space, index);
        }
    }

    /// WORKING for a call that was given up: the server was told, if it answers the CANCEL, and if
    /// the call is the one that it works on.
    pub(super) fn on_working_off(
        &mut self,
        now: Instant,
        space: Space,
        (index, working): (usize, &Working),
    ) {
        let calling_off = self.table(space).slots[index].calling_off;
        let is_answer = calling_off.is_some_and(|it| it.stamp == working.stamp)
            && working.running == working.sequence;
        if is_answer {
            self.stop_calling_off(space, index);
            if self.calls.is_empty() {
                self.fall_quiet(now);
            }
        }
    }

    /// The server knows, or the slot has another call now.
    pub(super) fn stop_calling_off(&mut self, space: Space, index: usize) {
        if let Some(calling_off) = self.table(space).set_calling_off(index, None) {
            self.timers.remove(calling_off.timer);
        }
    }

    /// The slots of a space are about to be forgotten, or nothing more is to be said of them.
    pub(super) fn stop_all_calling_off(&mut self, space: Space) {
        for index in 0..self.table(space).slots.len() {
            self.stop_calling_off(space, index);
        }
    }

    /// Nobody will be there to say CANCEL later: it is said once more to a server that may not know,
    /// where BYE goes, be the session resumed or not.
    pub(super) fn call_off_before_bye(&mut self, now: Instant) {
        let to = self.session().copied();
        for space in [Space::Session, Space::Durable] {
            for index in 0..self.table(space).slots.len() {
                self.say_cancel(now, to, (space, index));
                self.stop_calling_off(space, index);
            }
        }
    }

    pub(super) const fn is_calling_off(&self) -> bool {
        self.slots.calling_off > 0 || self.durable.slots.calling_off > 0
    }
}

impl SlotTable {
    /// Sets what is said of a slot's call; gives what was.
    fn set_calling_off(&mut self, index: usize, to: Option<CallingOff>) -> Option<CallingOff> {
        let before = std::mem::replace(&mut self.slots[index].calling_off, to);
        self.calling_off += usize::from(to.is_some());
        self.calling_off -= usize::from(before.is_some());
        before
    }
}
