//! The pool of threads that run handlers.
//!
//! Workers are hired one by one while calls find none free, up to the server's bound, and wait at
//! their gates in between. A worker that ends a handler takes the next call in the same turn of the
//! lock.

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
    let mut done = None;
    loop {
        let (mut state, now) = shared.turn();
        match done.take() {
            Some(done) => state.finish(now, done, &mut contexts),
            None => state.rise(number),
        }
        let mut turn = Turn { world: &shared.world, contexts: &mut contexts };
        let job = state.next_queued(now, &mut turn);
        let until = state.drain(now, shared, &mut errands);
        errands.must_wake_receiver |= state.receiver_must_look(until);
        let must_end = state.is_stopping;
        if job.is_none() && !must_end {
            state.rest(number, &gate);
        }
        drop(state);
        errands.run(shared);
        match job {
            Some(job) => done = Some(job.run(&shared.exports)),
            None if must_end => return,
            None => gate.wait(None),
        }
    }
}
