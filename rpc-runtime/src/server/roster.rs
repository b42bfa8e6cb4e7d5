//! Which workers there are: who waits, who was called, and for whom there is no thread.
//!
//! Does not know what they are called for.

use std::sync::Arc;

use crate::driver::Gate;
use crate::server::errands::Errands;

/// The workers of a server, by their numbers.
#[derive(Debug)]
pub(super) struct Roster {
    /// Where they wait; nowhere as long as they never did.
    gates: Vec<Option<Arc<dyn Gate>>>,
    /// Who waits: the one that waited least goes first, because its memory is still warm.
    idle: Vec<usize>,
    /// Workers that were woken or hired and have yet to look: at most one.
    called: Option<usize>,
    /// Numbers without a thread.
    vacant: Vec<usize>,
    workers_max: usize,
}

impl Roster {
    pub(super) const fn new(workers_max: usize) -> Self {
        Self { gates: Vec::new(), idle: Vec::new(), called: None, vacant: Vec::new(), workers_max }
    }

    /// Where workers wait.
    pub(super) fn gates(&self) -> impl Iterator<Item = &Arc<dyn Gate>> {
        self.gates.iter().flatten()
    }

    /// Sees to it that a worker looks what there is to do. Says whether one will come.
    ///
    /// One at a time is on its way, and calls the next when it finds more than it takes up: where
    /// handlers are short the first is back before the second would have woken.
    pub(super) fn call(&mut self, errands: &mut Errands) -> bool {
        if self.called.is_some() || self.call_idle(errands) {
            return true;
        }
        let number = if let Some(number) = self.vacant.pop() {
            number
        } else if self.gates.len() < self.workers_max {
            self.gates.push(None);
            self.gates.len() - 1
        } else {
            return false;
        };
        errands.fresh_workers.push(number);
        self.called = Some(number);
        true
    }

    /// Calls one of those that wait; says whether there is one.
    fn call_idle(&mut self, errands: &mut Errands) -> bool {
        let Some(number) = self.idle.pop() else { return false };
        errands.gates.extend(self.gates[number].clone());
        self.called = Some(number);
        true
    }

    /// The worker `number` has nothing to do, and waits at its gate.
    pub(super) fn rest(&mut self, number: usize, gate: &Arc<dyn Gate>) {
        self.gates[number].get_or_insert_with(|| Arc::clone(gate));
        self.idle.push(number);
    }

    /// The worker `number` looks again; it may have been woken for a call or by nothing at all.
    pub(super) fn rise(&mut self, number: usize) {
        self.idle.retain(|idle| *idle != number);
        self.called = self.called.filter(|called| *called != number);
    }

    /// The worker `number`, which was on its way, has no thread: one that waits is called in its
    /// stead. Says whether there are any; those that are busy look when they are through.
    pub(super) fn do_without(&mut self, number: usize, errands: &mut Errands) -> bool {
        self.leave(number);
        self.call_idle(errands) || self.vacant.len() < self.gates.len()
    }

    /// The worker `number` has no thread any more.
    pub(super) fn leave(&mut self, number: usize) {
        self.rise(number);
        self.gates[number] = None;
        self.vacant.push(number);
    }
}

#[cfg(all(test, feature = "reactor"))]
mod tests {
    use super::*;
    use crate::reactor;

    #[test]
    fn where_one_is_on_its_way_nobody_else_is_called() {
        let (mut roster, mut errands) = (Roster::new(2), Errands::default());
        assert!(roster.call(&mut errands));
        assert!(roster.call(&mut errands));
        assert_eq!(errands.fresh_workers, [0]);
        roster.rise(0);
        assert!(roster.call(&mut errands));
        assert_eq!(errands.fresh_workers, [0, 1]);
        roster.rise(1);
        assert!(!roster.call(&mut errands), "there are no more, and both are busy");
    }

    #[test]
    fn whoever_waits_is_called_once_a_worker_that_was_to_come_has_no_thread() {
        let gate = reactor::world().gate();
        let (mut roster, mut errands) = (Roster::new(2), Errands::default());
        roster.call(&mut errands);
        roster.rise(0); // it is busy
        roster.call(&mut errands);
        roster.rest(0, &gate);
        assert!(roster.call(&mut errands), "the other one is on its way");
        assert!(errands.gates.is_empty());
        assert!(roster.do_without(1, &mut errands));
        assert!(Arc::ptr_eq(&errands.gates[0], &gate));
        roster.rise(0); // it is busy
        roster.call(&mut errands);
        assert!(roster.do_without(1, &mut errands), "it looks when it is through");
        assert_eq!(errands.gates.len(), 1);
        assert!(!roster.do_without(0, &mut errands), "there is nobody left");
    }

    #[test]
    fn a_worker_that_has_left_while_it_waited_is_hired_anew() {
        let gate = reactor::world().gate();
        let (mut roster, mut errands) = (Roster::new(1), Errands::default());
        roster.call(&mut errands);
        roster.rise(0);
        roster.rest(0, &gate);
        roster.leave(0);
        assert!(roster.call(&mut errands));
        assert_eq!(errands.fresh_workers, [0, 0]);
        assert!(errands.gates.is_empty(), "nobody is at that gate");
        let gate = reactor::world().gate();
        roster.rise(0);
        roster.rest(0, &gate);
        assert!(Arc::ptr_eq(roster.gates().next().unwrap(), &gate));
    }
}
