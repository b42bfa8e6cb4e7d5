//! What becomes of a state when everything goes well from there on: every call must end.

use std::collections::VecDeque;

use crate::config::Config;
use crate::message::Message;
use crate::steps::Step;
use crate::world::{Action, State};

/// Ticks in which a calm world has ended every call.
const TICKS_MAX: usize = 24;

/// Whether every call ends when whatever is said from now on arrives once, handlers return at once,
/// and no server is overloaded. What was said before is lost.
pub(crate) fn ends_calls(config: &Config, state: &State) -> bool {
    if state.client.outstanding == 0 {
        return true;
    }
    let mut step = Step::new(config, state);
    step.spoken = Some(VecDeque::new());
    if step.state.server.is_overloaded {
        step.act(&Action::Overload(false));
    }
    for _ in 0..TICKS_MAX {
        settle(&mut step);
        // What breaks another sentence on the way is found there, by its name.
        if step.state.client.outstanding == 0 || step.state.rest.record.broken.is_some() {
            return true;
        }
        step.act(&Action::BothTick);
    }
    false
}

/// Lets everything happen that needs no time.
fn settle(step: &mut Step<'_>) {
    loop {
        let said: Option<Message> = step.spoken.as_mut().and_then(VecDeque::pop_front);
        let rest = &step.state.rest;
        let action = if let Some(message) = said {
            Action::Deliver(message)
        } else if !rest.journal.pending.is_empty() {
            Action::Write
        } else if !rest.work.questions.is_empty() {
            Action::Ask(0)
        } else if !rest.work.queued.is_empty() {
            Action::Begin(0)
        } else if let Some(running) = rest.work.running.first() {
            if running.must_commit() { Action::Commit(0) } else { Action::Return(0) }
        } else if step.state.server.is_due() {
            Action::Report
        } else {
            return;
        };
        step.act(&action);
        if step.state.rest.record.broken.is_some() {
            return;
        }
    }
}
