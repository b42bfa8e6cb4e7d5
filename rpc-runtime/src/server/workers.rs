//! The pool of threads that run handlers.
//!
//! Workers are hired one by one while calls find none free, up to the server's bound, and wait at
//! their gates in between. A worker that ends a handler, or leaves an async one waiting, takes the next
//! call in the same turn of the lock.

use std::sync::Arc;

use crate::server::dispatch::Contexts;
use crate::server::state::{Errands, Shared, Turn};

/// Starts the worker `number`, whose gate stands in the state.
pub(super) fn hire(shared: &Arc<Shared>, number: usize) {
    let theirs = Arc::clone(shared);
    shared.world.spawn(&format!("rpc-worker-{number}"), Box::new(move || work(&theirs, number)));
}

fn work(shared: &Arc<Shared>, number: usize) {
    let gate = shared.world.gate();
    let mut contexts = Contexts::default();
    let mut errands = Errands::default();
    let mut went = None;
    loop {
        let (mut state, now) = shared.turn();
        match went.take() {
            Some(went) => state.settle(now, went, &mut contexts, &mut errands),
            None => state.rise(number),
        }
        let mut turn = Turn { world: &shared.world, contexts: &mut contexts };
        let work = state.next_work(now, &mut turn);
        let until = state.drain(now, shared, &mut errands);
        errands.must_wake_receiver |= state.receiver_must_look(until);
        let must_end = state.is_stopping;
        if work.is_none() && !must_end {
            state.rest(number, &gate);
        }
        drop(state);
        errands.run(shared);
        match work {
            Some(work) => went = Some(work.run(shared)),
            None if must_end => return,
            None => gate.wait(None),
        }
    }
}
