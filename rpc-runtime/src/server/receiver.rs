//! The thread that receives: it feeds the core, runs the timers and the `inline` handlers.
//!
//! A handler that is marked `inline` saves the way to another thread and back; while it runs nothing
//! is received, so it must not wait for anything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::driver::{Link, Received};
use crate::server::dispatch::Contexts;
use crate::server::errands::Errands;
use crate::server::state::{Receiver, Shared, Turn};

/// A server's receiving thread, not yet running.
#[derive(Debug)]
pub(super) struct Receiving {
    shared: Arc<Shared>,
    /// `None` once it was let go of.
    link: Option<Arc<dyn Link>>,
}

impl Receiving {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let link = shared.lock().link.clone().expect("a server has its link until it is stopped");
        Self { shared: Arc::clone(shared), link: Some(link) }
    }

    /// Receives until the server is stopped or the link closed.
    pub(super) fn run(self) {
        self.shared.lock().receiving_thread = Some(std::thread::current().id());
        if let Some(link) = &self.link {
            receive(&self.shared, &**link);
        }
    }
}

impl Drop for Receiving {
    /// Tells whoever waits for the end that it has come, however it came: a thread may unwind, or
    /// never have begun.
    fn drop(&mut self) {
        self.link = None; // before anybody hears that the address is free
        self.shared.lock_unwinding().receiver = Receiver::Gone;
        // A thread may unwind because its world has ended: then that refuses everything.
        let _ = catch_unwind(AssertUnwindSafe(|| self.shared.ended.open()));
    }
}

fn receive(shared: &Arc<Shared>, link: &dyn Link) {
    let mut buffer = vec![0; link.datagram_bytes_max()];
    let mut contexts = Contexts::default();
    let mut errands = Errands::default();
    let mut received = Received::Nothing;
    let mut went = None;
    let mut wake = None;
    loop {
        let (mut state, now) = shared.turn();
        state.receiver = Receiver::Busy;
        if state.is_stopping {
            return;
        }
        if let Some(went) = went.take() {
            state.settle(now, went, &mut contexts, &mut errands);
            state.call_next(&mut errands);
        }
        match received {
            Received::Datagram { len, from } => {
                state.core.handle_datagram(now, from, &buffer[..len]);
            }
            Received::Nothing => {}
            Received::Closed => return,
        }
        received = Received::Nothing;
        if wake.is_some_and(|wake| wake <= now) {
            state.core.handle_timeout(now);
        }
        let mut turn = Turn { world: &shared.world, contexts: &mut contexts };
        wake = state.drain(now, shared, &mut errands);
        let job = state.next_inline(now, &mut turn);
        if job.is_none() {
            wake = state.drain(now, shared, &mut errands); // what a call that did not begin left
            state.receiver = Receiver::Waits { until: wake };
        }
        drop(state);
        errands.run(shared);
        match job {
            Some(job) => went = Some(job.run(shared)),
            None => received = link.receive(&mut buffer, wake),
        }
    }
}
