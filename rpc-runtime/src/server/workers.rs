//! The pool of threads that run handlers.
//!
//! Workers are hired one by one while calls find none free, up to the server's bound, and wait at
//! their gates in between. A worker that ends a handler, or leaves an async one waiting, takes the next
//! call in the same turn of the lock.

use std::sync::Arc;

use crate::driver::NoThread;
use crate::ids::GenerationId;
use crate::protocol::{DurableTable, OpeningKey, ServerEvent};
use crate::server::Ledger;
use crate::server::dispatch::Contexts;
use crate::server::state::{Errands, Shared, Turn};

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

fn work(shared: &Arc<Shared>, number: usize) {
    let gate = shared.world.gate();
    let mut contexts = Contexts::default();
    let mut errands = Errands::default();
    let mut went = None;
    let mut opened = None;
    loop {
        let (mut state, now) = shared.turn();
        match went.take() {
            Some(went) => state.settle(now, went, &mut contexts, &mut errands),
            None => state.rise(number),
        }
        let mut turn = Turn { world: &shared.world, contexts: &mut contexts };
        if let Some((key, table)) = opened.take() {
            state.core.generation_opened(now, key, table);
        }
        let question = state.questions.pop_front();
        let work =
            if question.is_some() { None } else { state.next_work(now, &mut turn, &mut errands) };
        let until = state.drain(now, shared, &mut errands);
        errands.must_wake_receiver |= state.receiver_must_look(until);
        let must_end = state.is_stopping;
        if work.is_none() && question.is_none() && !must_end {
            state.rest(number, &gate);
        }
        drop(state);
        errands.run(shared);
        if let Some(question) = question {
            opened = ask(shared, question);
            continue;
        }
        match work {
            Some(work) => went = Some(work.run(shared)),
            None if must_end => return,
            None => gate.wait(None),
        }
    }
}

/// Asks the store for a client's slots, or has it delete them.
fn ask(shared: &Shared, question: ServerEvent) -> Option<(OpeningKey, Option<DurableTable>)> {
    let ledger = shared.exports.ledger();
    match question {
        ServerEvent::OpenGeneration { key, client, wanted } => {
            let fresh = GenerationId(shared.world.rng().next_nonzero());
            let now = shared.world.unix_ms();
            let open =
                |ledger: &Arc<dyn Ledger>| ledger.open_generation(client, wanted, fresh, now);
            // A store that fails is told by the refusal: the client asks again.
            Some((key, ledger.and_then(|ledger| open(ledger).ok())))
        }
        ServerEvent::ForgetGeneration { client, generation } => {
            // One that is not deleted now is deleted when nobody has asked for it for long.
            let _ = ledger.map(|ledger| ledger.forget_generation(client, generation));
            None
        }
        ServerEvent::Execute(_)
        | ServerEvent::Cancel(_)
        | ServerEvent::Fenced { .. }
        | ServerEvent::SessionClosed(_) => None,
    }
}
