//! The pool of threads that run handlers.
//!
//! Workers are hired one by one while calls find none free, up to the server's bound, and wait at
//! their gates in between. A worker that ends a handler, or leaves an async one waiting, takes the next
//! call in the same turn of the lock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::driver::NoThread;
use crate::ids::GenerationId;
use crate::protocol::{DurableTable, OpeningKey, ServerEvent};
use crate::server::dispatch::Contexts;
use crate::server::errands::Errands;
use crate::server::state::{Shared, Turn};
use crate::server::storing::{Question, asked};
use crate::time::Duration;

/// Starts the worker `number`, whose place for a gate stands in the state.
///
/// # Errors
///
/// [`NoThread`]: there is none left to start.
pub(super) fn hire(shared: &Arc<Shared>, number: usize) -> Result<(), NoThread> {
    let theirs = Arc::clone(shared);
    let body = Box::new(move || work(&theirs, number));
    shared.world.spawn(&format!("rpc-worker-{number}"), body)
}

/// A worker at its work. If it unwinds, by a panic of the link or the world, nobody relies on it any
/// more, and what it was to do once the lock was released is done.
struct Working<'s> {
    shared: &'s Arc<Shared>,
    number: usize,
    errands: Errands,
    /// Whether it is at work for a call.
    has_seat: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It may unwind because its world has ended: then that refuses everything.
            let leave = || self.shared.leave(self.number, self.has_seat, &mut self.errands);
            let _ = catch_unwind(AssertUnwindSafe(leave));
        }
    }
}

fn work(shared: &Arc<Shared>, number: usize) {
    let mut working = Working { shared, number, errands: Errands::default(), has_seat: false };
    let Working { errands, has_seat, .. } = &mut working;
    let gate = shared.world.gate();
    let mut contexts = Contexts::default();
    let mut went = None;
    let mut took = Duration::ZERO;
    let mut opened = None;
    loop {
        let (mut state, now) = shared.turn();
        if shared.exports.ledger().is_some_and(|ledger| ledger.is_fenced()) {
            state.core.fence_durable();
        }
        match went.take() {
            Some(went) => {
                state.handling -= usize::from(std::mem::take(has_seat));
                state.settle(now, went, took, &mut contexts, errands);
            }
            None => state.roster.rise(number),
        }
        let mut turn = Turn { world: &shared.world, contexts: &mut contexts };
        if let Some((key, table)) = opened.take() {
            state.core.generation_opened(now, key, table);
        }
        let question = state.next_question();
        let work = if question.is_some() { None } else { state.next_work(now, &mut turn) };
        *has_seat = work.is_some();
        state.call_next(errands);
        let until = state.drain(now, shared, errands);
        state.lanes.wake_first(until, errands);
        let must_end = state.is_stopping;
        if work.is_none() && question.is_none() && !must_end {
            state.roster.rest(number, &gate);
        }
        drop(state);
        errands.run(shared);
        if let Some(question) = question {
            opened = ask(shared, question);
            continue;
        }
        match work {
            Some(work) => {
                let since = shared.world.now();
                went = Some(work.run(shared));
                took = shared.world.now().since(since);
            }
            None if must_end => return,
            None => gate.wait(None),
        }
    }
}

/// Asks the store for a client's slots, has it delete them, or looks after it. What it fails to
/// delete or to free now is deleted another time.
fn ask(shared: &Shared, question: Question) -> Option<(OpeningKey, Option<DurableTable>)> {
    let Question { event, acknowledged, retention } = question;
    let ledger = shared.exports.ledger()?;
    let now = shared.world.unix_ms();
    if !acknowledged.is_empty() {
        let _ = asked(|| ledger.acknowledge(&acknowledged));
    }
    match event? {
        ServerEvent::OpenGeneration { key, client, wanted } => {
            let fresh = GenerationId(shared.world.rng().next_nonzero());
            // A store that fails is told by the refusal: the client asks again.
            let opened = asked(|| ledger.open_generation(client, wanted, fresh, now));
            Some((key, opened.ok()))
        }
        ServerEvent::ForgetGeneration { client, generation } => {
            let _ = asked(|| ledger.forget_generation(client, generation));
            None
        }
        ServerEvent::Retain { in_use } => {
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let before = now.saturating_sub(millis(retention));
            let _ = asked(|| ledger.retain(&in_use, now, before));
            None
        }
        ServerEvent::Execute(_)
        | ServerEvent::Cancel(_)
        | ServerEvent::Fenced { .. }
        | ServerEvent::SessionClosed(_)
        | ServerEvent::Acknowledged { .. } => None,
    }
}
