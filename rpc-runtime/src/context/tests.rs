use std::sync::mpsc;

use super::*;
use crate::driver::{Gate, Link, LinkError, NoThread};
use crate::ids::{Incarnation, Sequence, SessionId, SlotIndex, Space};
use crate::random::Rng;

/// A world that has nothing but a clock, which stands at one second.
#[derive(Debug)]
struct OnlyAClock;

impl World for OnlyAClock {
    fn now(&self) -> Instant {
        Instant::from_micros(1_000_000)
    }

    fn rng(&self) -> Box<dyn Rng> {
        unreachable!("a context draws nothing")
    }

    fn incarnation(&self) -> Incarnation {
        unreachable!("a context has no lives")
    }

    fn gate(&self) -> Arc<dyn Gate> {
        unreachable!("a context waits for nobody")
    }

    fn spawn(&self, _name: &str, _body: Box<dyn FnOnce() + Send>) -> Result<(), NoThread> {
        unreachable!("a context starts nothing")
    }

    fn listen(&self, _place: &str) -> Result<Arc<dyn Link>, LinkError> {
        unreachable!("a context hears nobody")
    }

    fn dial(&self, _place: &str) -> Result<(Arc<dyn Link>, Address), LinkError> {
        unreachable!("a context calls nobody")
    }
}

fn facts(sequence: u64) -> Facts {
    Facts {
        call: CallId {
            session: SessionId(0x7f3a),
            space: Space::Session,
            slot: SlotIndex(0),
            sequence: Sequence(sequence),
        },
        deadline: Instant::from_micros(3_000_000),
        caller: Caller { client: ClientId(7), address: Address::Virtual(2) },
        depth: 1,
        method: 0,
        begun: Instant::from_micros(1_000_000),
    }
}

fn context(sequence: u64) -> CallContext {
    CallContext::new(Arc::new(OnlyAClock), facts(sequence), None)
}

fn current_sequence() -> Option<u64> {
    current().map(|context| context.id().sequence.0)
}

fn tell<T: Send + 'static>(sender: mpsc::Sender<T>, what: T) -> impl FnOnce() + Send {
    move || sender.send(what).expect("the test listens")
}

#[test]
fn outside_a_handler_there_is_no_current_call() {
    assert!(current().is_none());
}

#[test]
fn contexts_nest_and_come_back_in_order() {
    let (outer, inner) = (context(1), context(2));
    let outer_guard = outer.enter();
    assert_eq!(current_sequence(), Some(1));
    let inner_guard = inner.enter();
    assert_eq!(current_sequence(), Some(2));
    drop(inner_guard);
    assert_eq!(current_sequence(), Some(1));
    drop(outer_guard);
    assert_eq!(current_sequence(), None);
}

#[test]
fn a_panic_in_a_handler_leaves_no_context_behind() {
    let result = catch_unwind(|| {
        let _entered = context(1).enter();
        std::panic::resume_unwind(Box::new("out of paper"));
    });
    assert!(result.is_err());
    assert!(current().is_none());
}

#[test]
fn another_thread_sees_the_call_only_after_it_entered() {
    let context = context(1);
    let _entered = context.enter();
    let (sender, receiver) = mpsc::channel();
    let moved = context.clone();
    let thread = std::thread::Builder::new().spawn(move || {
        let _ = sender.send(current_sequence());
        let _entered = moved.enter();
        let _ = sender.send(current_sequence());
    });
    drop(thread.expect("a thread"));
    assert_eq!(receiver.recv(), Ok(None));
    assert_eq!(receiver.recv(), Ok(Some(1)));
}

#[test]
fn what_is_left_is_counted_on_the_worlds_clock() {
    assert_eq!(context(1).remaining(), Duration::from_secs(2));
    assert_eq!(context(1).caller().client, ClientId(7));
    assert_eq!(context(1).depth(), 1);
}

#[test]
fn callbacks_run_once_when_cancelled_and_at_once_when_late() {
    let context = context(1);
    let (sender, receiver) = mpsc::channel();
    for text in ["first", "second"] {
        let sender = sender.clone();
        context.on_cancel(tell(sender, text));
    }
    assert!(!context.cancelled());
    context.cancel();
    context.cancel();
    assert!(context.cancelled());
    let late = sender.clone();
    context.on_cancel(tell(late, "late"));
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["first", "second", "late"]);
}

#[test]
fn a_panicking_callback_keeps_the_next_from_nothing() {
    let context = context(1);
    let (sender, receiver) = mpsc::channel();
    context.on_cancel(|| std::panic::resume_unwind(Box::new("no")));
    context.on_cancel(tell(sender, ()));
    context.cancel();
    assert_eq!(receiver.recv(), Ok(()));
}

#[test]
fn a_callback_taken_back_is_not_called() {
    let context = context(1);
    let (sender, receiver) = mpsc::channel();
    let number = context.register_cancel(Box::new(tell(sender, ())));
    context.forget_cancel(number.expect("not cancelled yet"));
    context.cancel();
    assert!(receiver.recv().is_err());
}

#[test]
fn a_call_that_is_over_cannot_be_cancelled() {
    let context = context(1);
    let (sender, receiver) = mpsc::channel();
    let early = sender.clone();
    context.on_cancel(tell(early, ()));
    context.close();
    context.on_cancel(tell(sender, ()));
    context.cancel();
    assert!(!context.cancelled());
    assert!(receiver.recv().is_err(), "callbacks were dropped uncalled");
}

#[test]
fn a_context_that_nobody_kept_is_used_again() {
    let mut context = context(1);
    context.cancel();
    context.close();
    let kept = context.clone();
    assert!(!context.try_renew(facts(2), &mut None));
    drop(kept);
    assert!(context.try_renew(facts(2), &mut None));
    assert_eq!(context.id().sequence.0, 2);
    assert!(!context.cancelled());
}
