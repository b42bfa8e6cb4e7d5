//! The thread that receives: it feeds the core, runs the timers, and the handlers that are marked
//! `inline` or have been quick.
//!
//! Such a handler saves the way to another thread and back; while it runs nothing is received. One that is
//! marked must not wait for anything. From any other one that takes long another thread takes over
//! ([`lead`](super::lead)), and what was the receiving thread is a worker until it returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::driver::{Link, Received};
use crate::probe::{self, Mark};
use crate::server::dispatch::{Contexts, Went};
use crate::server::errands::Errands;
use crate::server::lead;
use crate::server::state::{Receiver, Shared, State};
use crate::time::{Duration, Instant};

/// A server's receiving thread, not yet running.
#[derive(Debug)]
pub(super) struct Receiving {
    shared: Arc<Shared>,
    /// Which of the server's receiving threads it is.
    term: u64,
    /// `None` while it is in a handler that others may take over from: what blocks for ever does not
    /// keep the address.
    link: Option<Arc<dyn Link>>,
    /// Whether its handler counts as one of the workers'.
    has_seat: bool,
}

/// Why a thread receives no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The server was stopped or the link closed.
    Over,
    /// Another thread has taken over.
    TakenOver,
}

impl Receiving {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self::of_term(shared, &shared.lock())
    }

    /// Leaves the present receiving thread to its handler.
    pub(super) fn take_over(shared: &Arc<Shared>, state: &mut State) -> Self {
        state.take_over();
        state.receiving_thread = Some(std::thread::current().id());
        Self::of_term(shared, state)
    }

    fn of_term(shared: &Arc<Shared>, state: &State) -> Self {
        let link = state.link.clone();
        assert!(link.is_some(), "a server has its link until it is stopped");
        Self { shared: Arc::clone(shared), term: state.lead.term(), link, has_seat: false }
    }

    /// Receives until the server is stopped or the link closed; or until another thread takes over,
    /// and so on.
    pub(super) fn run(self) {
        let shared = Arc::clone(&self.shared);
        let mut receiving = Some(self);
        while let Some(now) = receiving {
            receiving = match now.receive() {
                End::Over => None,
                End::TakenOver => lead::stand_by(&shared, false),
            };
        }
    }
}

impl Drop for Receiving {
    /// Tells whoever waits for the end that it has come, however it came: a thread may unwind, or
    /// never have begun.
    fn drop(&mut self) {
        self.link = None; // before anybody hears that the address is free
        let mut state = self.shared.lock_unwinding();
        state.handling -= usize::from(self.has_seat);
        if state.lead.term() != self.term {
            return; // another one receives
        }
        state.receiver = Receiver::Gone;
        drop(state);
        // A thread may unwind because its world has ended: then that refuses everything.
        let _ = catch_unwind(AssertUnwindSafe(|| self.shared.ended.open()));
    }
}

/// How long replies of `inline` handlers wait for those of others that came together with them.
const GATHERED_MAX: Duration = Duration::from_micros(100);

/// How long the last one may have taken for the replies before the next to wait for it, too.
const QUICK_MAX: Duration = Duration::from_micros(20);

/// How a receiving thread got on with its handler.
#[derive(Debug)]
struct Ran {
    went: Went,
    since: Instant,
}

impl Receiving {
    fn receive(mut self) -> End {
        let shared = Arc::clone(&self.shared);
        let Some(link) = &self.link else { return End::Over };
        let mut buffer = vec![0; link.datagram_bytes_max()];
        let mut burst = Burst::new(&**link);
        let mut contexts = Contexts::default();
        let mut errands = Errands::of_receiver();
        let mut received = Received::Nothing;
        let mut ran: Option<Ran> = None;
        let mut wake = Some(Instant::START); // it sees for itself what is due
        let mut gathers_since = None;
        let (mut began, mut is_quick) = (None, true);
        shared.lock().receiving_thread = Some(std::thread::current().id());
        loop {
            let (mut state, now) = shared.turn();
            if self.has_seat && !self.regain(&mut state) {
                drop(state);
                self.hand_in(ran, contexts);
                return End::TakenOver;
            }
            state.receiver = Receiver::Busy;
            let Some(link) = self.link.as_deref().filter(|_| !state.is_stopping) else {
                return End::Over;
            };
            if let Some(Ran { went, since }) = ran.take() {
                is_quick = began.is_some_and(|began| now.since(began) < QUICK_MAX);
                state.settle(now, went, now.since(since), &mut contexts, &mut errands);
                state.call_next(&mut errands);
            }
            match received {
                Received::Datagram { len, from } => {
                    state.core.handle_datagram(now, from, &buffer[..len]);
                    probe::stamp(Mark::Checked);
                }
                Received::Nothing | Received::Broken => {}
                Received::Closed => return End::Over,
            }
            if burst.goes_on(received) {
                drop(state);
                received = link.take(&mut buffer);
                continue;
            }
            received = Received::Nothing;
            if wake.is_some_and(|wake| wake <= now) {
                state.core.handle_timeout(now);
            }
            state.drain_held(now, &shared, &mut errands);
            let job = state.next_here(now, &shared, &mut contexts, &mut errands);
            self.has_seat = job.is_some() && state.lead.is_watching();
            let since = *gathers_since.get_or_insert(now);
            let may_gather = is_quick && now.since(since) < GATHERED_MAX;
            if job.is_none() || !state.has_here() || !may_gather {
                if state.core.has_output() {
                    state.drain(now, &shared, &mut errands);
                }
                gathers_since = None;
            }
            wake = state.core.next_wake_after(now);
            if job.is_none() {
                state.receiver = Receiver::Waits { until: wake };
            }
            began = Some(now);
            drop(state);
            probe::stamp(Mark::ReplyEncoded);
            let has_errands = !errands.is_empty();
            errands.run_at(&shared, link);
            probe::stamp(Mark::ReplySent);
            let Some(job) = job else {
                received = link.receive(&mut buffer, wake);
                probe::stamp(Mark::Arrived);
                continue;
            };
            let since = if self.has_seat && has_errands { shared.world.now() } else { now };
            if self.has_seat {
                self.link = None;
            }
            ran = Some(Ran { went: job.run(&shared), since });
        }
    }

    /// Comes back from a handler that others could take over from; says whether none has.
    fn regain(&mut self, state: &mut State) -> bool {
        state.handling -= 1;
        self.has_seat = false;
        let receives = state.lead.leave(self.term);
        if receives {
            self.link.clone_from(&state.link);
        }
        receives
    }

    /// Ends a call as a worker does.
    fn hand_in(&self, ran: Option<Ran>, mut contexts: Contexts) {
        let shared = &self.shared;
        let mut errands = Errands::default();
        let (mut state, now) = shared.turn();
        if let Some(Ran { went, since }) = ran {
            state.settle(now, went, now.since(since), &mut contexts, &mut errands);
        }
        state.call_next(&mut errands);
        let until = state.drain(now, shared, &mut errands);
        errands.must_wake_receiver |= state.receiver_must_look(until);
        drop(state);
        errands.run(shared);
    }
}

/// Datagrams that are taken together, at the most, before any is answered.
const BURST_DATAGRAMS_MAX: usize = 64;

/// Their bytes: of long datagrams few are under way, and who sends them waits to be told of some.
const BURST_BYTES_MAX: usize = 128 << 10;

/// As long as datagrams come one by one, it is seen only so often whether another one waits.
const LOOK_EVERY_TURNS: usize = 8;

/// Whether another datagram is taken before those that came are answered. Answers that leave together
/// are heard together, and then more calls come together; but to look where nothing waits costs a system
/// call, so that it is done always only where it was of use the last time.
#[derive(Debug)]
struct Burst {
    /// Whether the link holds back nothing that has come.
    gives_all: bool,
    taken: usize,
    bytes: usize,
    /// Turns until the next look.
    turns: usize,
}

impl Burst {
    fn new(link: &dyn Link) -> Self {
        Self { gives_all: link.gives_all(), taken: 0, bytes: 0, turns: LOOK_EVERY_TURNS }
    }

    fn goes_on(&mut self, received: Received) -> bool {
        let (Received::Datagram { len, .. }, false) = (received, self.gives_all) else {
            if self.taken > 0 {
                self.turns = if self.taken > 1 { 0 } else { LOOK_EVERY_TURNS };
                (self.taken, self.bytes) = (0, 0);
            }
            return false;
        };
        if self.taken == BURST_DATAGRAMS_MAX || self.bytes + len >= BURST_BYTES_MAX {
            (self.taken, self.bytes, self.turns) = (0, 0, 0);
            return false;
        }
        if self.taken == 0 && self.turns > 0 {
            self.turns -= 1;
            return false;
        }
        self.taken += 1;
        self.bytes += len;
        true
    }
}
