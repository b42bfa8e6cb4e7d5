//! What a thread keeps from one call to the next, so that a call takes no lock for what it can keep
//! itself: the [`Errands`] of its turns, and the ends of its last calls, with the buffers in them.
//!
//! Knows no connection: what one machine has lent may go back to another.

use std::cell::RefCell;

use super::call::Started;
use super::errands::Errands;
use super::verdict::Finished;
use crate::protocol::{Client, Outcome, POOLED_BYTES_MAX};

/// Ends that a thread keeps, until they go back to a machine: several at once, which costs less than one by
/// one.
const ENDS_KEPT_MAX: usize = 64;
const ENDS_TOGETHER_MIN: usize = 16;

/// Errands that a thread keeps: a waker that it wakes may make a call, whose errands are others.
const ERRANDS_KEPT_MAX: usize = 4;

/// Boxes for handles that a thread keeps: as many as it may have at once that starts many calls before it
/// waits for any.
const STARTED_KEPT_MAX: usize = 1_024;

thread_local! {
    static SPARES: RefCell<Spares> = const { RefCell::new(Spares::new()) };
}

/// What one thread keeps.
struct Spares {
    #[expect(clippy::vec_box, reason = "they go from hand to hand in their boxes")]
    started: Vec<Box<Started>>,
    #[expect(clippy::vec_box, reason = "they go from hand to hand in their boxes")]
    errands: Vec<Box<Errands>>,
    ends: Vec<Finished>,
}

impl Spares {
    const fn new() -> Self {
        Self { errands: Vec::new(), ends: Vec::new(), started: Vec::new() }
    }
}

/// Looks at the thread's spares: at none where they are gone already, because it ends.
fn with<R>(look: impl FnOnce(&mut Spares) -> Option<R>) -> Option<R> {
    SPARES.try_with(|spares| look(&mut spares.borrow_mut())).ok().flatten()
}

/// Keeps a spare, unless there are enough: then it is dropped when nobody looks at the others.
fn keep<T>(spare: T, kept_max: usize, among: impl FnOnce(&mut Spares) -> &mut Vec<T>) {
    let mut spare = Some(spare);
    with(|spares| {
        let kept = among(spares);
        let has_room = kept.len() < kept_max;
        kept.extend(spare.take_if(|_| has_room));
        None::<()>
    });
}

/// For a turn.
pub(super) fn errands() -> Box<Errands> {
    with(|spares| spares.errands.pop()).unwrap_or_default()
}

/// They were run.
pub(super) fn keep_errands(errands: Box<Errands>) {
    keep(errands, ERRANDS_KEPT_MAX, |spares| &mut spares.errands);
}

/// A box for what a call has started.
pub(super) fn started() -> Option<Box<Started>> {
    with(|spares| spares.started.pop())
}

/// The call has ended, and nothing of it is left there.
pub(super) fn keep_started(started: Box<Started>) {
    keep(started, STARTED_KEPT_MAX, |spares| &mut spares.started);
}

/// An empty buffer for arguments: that of a reply that was read.
pub(super) fn buffer() -> Option<Vec<u8>> {
    with(|spares| {
        let Outcome::Returned(body) = &mut spares.ends.last_mut()?.outcome else { return None };
        let mut body = std::mem::take(body);
        body.clear();
        (body.capacity() > 0).then_some(body)
    })
}

/// Keeps what told of a call's end; gives it back where there are enough, or where it is large.
pub(super) fn keep_end(end: Finished) -> Option<Finished> {
    let body_bytes = match &end.outcome {
        Outcome::Returned(body) | Outcome::Failed { body, .. } => body.capacity(),
        Outcome::Sent
        | Outcome::Refused { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotSent(_)
        | Outcome::Sealed
        | Outcome::InDoubt(_) => 0,
    };
    if end.arguments.capacity().max(body_bytes) > POOLED_BYTES_MAX {
        return Some(end);
    }
    let mut end = Some(end);
    with(|spares| {
        let has_room = spares.ends.len() < ENDS_KEPT_MAX;
        spares.ends.extend(end.take_if(|_| has_room));
        None::<()>
    });
    end
}

/// Gives a machine what was kept, if that is worth while.
pub(super) fn give_back(machine: &mut Client) {
    with(|spares| {
        if spares.ends.len() >= ENDS_TOGETHER_MIN {
            spares.ends.drain(..).for_each(|end| machine.recycle_end(end));
        }
        None::<()>
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CallId;
    use crate::protocol::{Arguments, CallKey, Ended, Evidence};

    fn end(body: Vec<u8>) -> Finished {
        Box::new(Ended {
            key: CallKey::NONE,
            call: CallId::UNSENT,
            outcome: Outcome::Returned(body),
            evidence: Evidence::OF_NOTHING,
            arguments: Arguments::default(),
        })
    }

    #[test]
    fn a_thread_keeps_a_few_small_ends_and_lends_their_buffers() {
        assert!(buffer().is_none(), "nothing has ended");
        for _ in 0..ENDS_KEPT_MAX {
            assert!(keep_end(end(vec![7; 8])).is_none());
        }
        assert!(keep_end(end(Vec::new())).is_some(), "there are enough");
        assert!(buffer().is_some_and(|buffer| buffer.is_empty() && buffer.capacity() >= 8));
        assert!(buffer().is_none(), "the last one has lent its own");
    }

    #[test]
    fn large_replies_are_not_kept() {
        assert!(keep_end(end(vec![7; POOLED_BYTES_MAX + 1])).is_some());
        let arguments = vec![7; POOLED_BYTES_MAX + 1].into();
        let failed = Box::new(Ended { arguments, outcome: Outcome::Sent, ..*end(Vec::new()) });
        assert!(keep_end(failed).is_some(), "nor large arguments");
        assert!(buffer().is_none());
    }
}
