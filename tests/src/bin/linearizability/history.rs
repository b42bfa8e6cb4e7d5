//! What clients saw, in the order in which it happened, and the judgement on it.
//!
//! A call whose outcome is Unknown was invoked and never returns: it may take effect at any later
//! time, or never. One that is `NotExecuted` is left out: where it did run, others see an effect that
//! nothing explains. A call that `resolve` found out about returns at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rpc_runtime::error::Execution;
use rpc_runtime::protocol::Outcome;
use rpc_runtime::sim::checker::CallNumber;
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};

use super::object::{Object, Op, Ret};

/// Calls without an end that a judgement takes in: their orders grow with the factorial.
const PENDING_MAX: usize = 6;
/// The first lane of those calls: above all that returned.
const PENDING_LANES: usize = 1_000;

/// Something that a client did or saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Invoked(CallNumber, Op),
    Returned(CallNumber, Ret),
}

/// What the clients of a run did and saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    events: Vec<Event>,
    returned: BTreeSet<CallNumber>,
    not_executed: BTreeSet<CallNumber>,
}

impl History {
    /// A client asked for `op`.
    pub(crate) fn invoked(&mut self, call: CallNumber, op: Op) {
        self.events.push(Event::Invoked(call, op));
    }

    /// A client was told how a call ended, or what became of it.
    pub(crate) fn told(&mut self, call: CallNumber, outcome: &Outcome) {
        if outcome.execution() == Execution::NotExecuted {
            self.not_executed.insert(call);
        }
        let Outcome::Returned(body) = outcome else { return };
        let Some(ret) = Ret::decode(body) else { return };
        if self.returned.insert(call) {
            self.events.push(Event::Returned(call, ret));
        }
    }

    /// Calls, those that are left out as well.
    pub(crate) fn calls(&self) -> u64 {
        let invoked = |event: &&Event| matches!(event, Event::Invoked(..));
        self.events.iter().filter(invoked).count() as u64
    }

    /// Calls of which nobody knows whether they ran.
    pub(crate) fn unknown(&self) -> u64 {
        self.calls() - self.returned.len() as u64 - self.left_out() as u64
    }

    /// Calls that are known not to have run.
    fn left_out(&self) -> usize {
        self.not_executed.difference(&self.returned).count()
    }

    /// Whether some order of the calls explains all that clients saw: an order that agrees with
    /// which call ended before which began.
    pub(crate) fn is_linearizable(&self, object: Object) -> bool {
        let mut tester = LinearizabilityTester::new(object);
        // A lane holds one call at a time. Those that never return have lanes of their own behind
        // all others, so that orders without their effects are tried first.
        let mut lanes: BTreeMap<CallNumber, usize> = BTreeMap::new();
        let (mut free, mut used, mut pending) = (Vec::new(), 0, PENDING_LANES);
        for event in self.judged() {
            let taken = match *event {
                Event::Invoked(call, op) if self.returned.contains(&call) => {
                    let lane = free.pop().unwrap_or_else(|| {
                        used += 1;
                        used - 1
                    });
                    lanes.insert(call, lane);
                    tester.on_invoke(lane, op)
                }
                Event::Invoked(call, op) if self.may_show(call, op) => {
                    pending += 1;
                    tester.on_invoke(pending, op)
                }
                Event::Invoked(..) => Ok(&mut tester),
                Event::Returned(call, ret) => {
                    let lane = lanes.remove(&call).expect("a call is invoked before it returns");
                    free.push(lane);
                    tester.on_return(lane, ret)
                }
            };
            taken.expect("a lane holds one call at a time");
        }
        tester.is_consistent()
    }

    /// Whether the end is left out, because trying its orders would take too long.
    pub(crate) fn is_cut(&self) -> bool {
        self.judged().len() < self.events.len()
    }

    /// The longest beginning in which few enough calls never return. What a linearizable history
    /// begins with is linearizable, so nothing is condemned for being cut.
    fn judged(&self) -> &[Event] {
        let mut pending = 0;
        let cut = self.events.iter().position(|event| {
            let Event::Invoked(call, op) = *event else { return false };
            pending += usize::from(!self.returned.contains(&call) && self.may_show(call, op));
            pending > PENDING_MAX
        });
        &self.events[..cut.unwrap_or(self.events.len())]
    }

    /// Whether a call that never returned may have an effect that others see.
    fn may_show(&self, call: CallNumber, op: Op) -> bool {
        op != Op::Read && !self.not_executed.contains(&call)
    }

    fn is_left_out(&self, call: CallNumber) -> bool {
        self.not_executed.contains(&call) && !self.returned.contains(&call)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            match event {
                Event::Invoked(call, op) => {
                    let fate = match (self.returned.contains(call), self.is_left_out(*call)) {
                        (true, _) => "",
                        (false, true) => "   (not executed)",
                        (false, false) => "   (unknown)",
                    };
                    writeln!(f, "  call {call:<3} {op:?}{fate}")?;
                }
                Event::Returned(call, ret) => writeln!(f, "  call {call:<3}      -> {ret:?}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rpc_runtime::protocol::{DoubtCause, NotSentCause};

    fn value(value: u64) -> Outcome {
        Outcome::Returned([&[0], value.to_le_bytes().as_slice()].concat())
    }

    fn doubt() -> Outcome {
        Outcome::InDoubt(DoubtCause::NoReply)
    }

    /// Calls one after the other.
    fn counter(calls: &[(Op, Outcome)]) -> bool {
        let mut history = History::default();
        for ((op, outcome), call) in calls.iter().zip(0..) {
            history.invoked(call, *op);
            history.told(call, outcome);
        }
        history.is_linearizable(Object::Counter(0))
    }

    #[test]
    fn a_second_execution_is_seen_by_the_next_call() {
        assert!(counter(&[(Op::Add(1), value(1)), (Op::Read, value(1))]));
        assert!(!counter(&[(Op::Add(1), value(1)), (Op::Read, value(2))]));
        assert!(!counter(&[(Op::Add(1), value(2))]));
    }

    #[test]
    fn an_unknown_call_may_take_effect_late_or_never_but_not_twice() {
        let unknown = (Op::Add(5), doubt());
        let read = |sum| (Op::Read, value(sum));
        assert!(counter(&[unknown.clone(), read(0), read(5), read(5)]));
        assert!(counter(&[unknown.clone(), read(0), read(0)]));
        assert!(!counter(&[unknown.clone(), read(5), read(0)]));
        assert!(!counter(&[unknown, read(5), read(10)]));
    }

    #[test]
    fn a_call_that_did_not_run_must_not_show() {
        let denied = (Op::Add(5), Outcome::NotSent(NotSentCause::Unreachable));
        assert!(counter(&[denied.clone(), (Op::Read, value(0))]));
        assert!(!counter(&[denied, (Op::Read, value(5))]));
    }

    #[test]
    fn what_is_found_out_later_returns_later() {
        let mut history = History::default();
        history.invoked(0, Op::Add(5));
        history.told(0, &doubt());
        history.invoked(1, Op::Read);
        history.told(1, &value(0));
        assert_eq!(history.unknown(), 1);
        history.told(0, &value(5));
        assert_eq!((history.calls(), history.unknown()), (2, 0));
        assert!(history.is_linearizable(Object::Counter(0)));
        history.invoked(2, Op::Read);
        history.told(2, &value(0));
        assert!(!history.is_linearizable(Object::Counter(0)));
    }

    #[test]
    fn calls_at_the_same_time_have_either_order() {
        for (first, second, holds) in [(1, 3, true), (3, 2, true), (1, 2, false), (3, 3, false)] {
            let mut history = History::default();
            history.invoked(0, Op::Add(1));
            history.invoked(1, Op::Add(2));
            history.told(1, &value(second));
            history.told(0, &value(first));
            assert_eq!(history.is_linearizable(Object::Counter(0)), holds, "{first} {second}");
        }
    }
}
