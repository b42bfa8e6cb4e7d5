//! A thread that receives: it feeds the core, runs the timers, and the handlers that are marked `inline` or
//! have been quick.
//!
//! Such a handler saves the way to another thread and back; while it runs nothing is received. One that is
//! marked must not wait for anything. From any other one that takes long another thread takes over
//! ([`lead`](super::lead)), and what was the receiving thread is a worker until it returns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::driver::{Link, Received};
use crate::probe::{self, Mark};
use crate::server::dispatch::{Contexts, Job, Went};
use crate::server::errands::Errands;
use crate::server::lane::{Lane, Receiver};
use crate::server::lead;
use crate::server::state::{Shared, State};
use crate::time::{Duration, Instant};

/// The receiving thread of a lane, not yet running.
#[derive(Debug)]
pub(super) struct Receiving {
    shared: Arc<Shared>,
    lane: usize,
    /// Which of the lane's receiving threads it is.
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
    /// The first one of each lane.
    pub(super) fn all(shared: &Arc<Shared>) -> Vec<Self> {
        let mut state = shared.lock();
        (0..state.lanes.len()).map(|lane| Self::of_lane(shared, &mut state, lane)).collect()
    }

    /// Leaves the present receiving thread of the lane to its handler.
    pub(super) fn take_over(shared: &Arc<Shared>, state: &mut State, lane: usize) -> Self {
        state.take_over(lane);
        state.lanes.at(lane).is_mine();
        Self::of_lane(shared, state, lane)
    }

    fn of_lane(shared: &Arc<Shared>, state: &mut State, lane: usize) -> Self {
        let Lane { link, lead, .. } = state.lanes.at(lane);
        assert!(link.is_some(), "a server has its links until it is stopped");
        let (link, term) = (link.clone(), lead.term());
        Self { shared: Arc::clone(shared), lane, term, link, has_seat: false }
    }

    /// Receives until the server is stopped or the link closed; or until another thread takes over,
    /// and so on.
    pub(super) fn run(self) {
        let (shared, lane) = (Arc::clone(&self.shared), self.lane);
        let mut receiving = Some(self);
        while let Some(now) = receiving {
            receiving = match now.receive() {
                End::Over => None,
                End::TakenOver => lead::stand_by(&shared, lane, false),
            };
        }
    }
}

impl Drop for Receiving {
    /// Tells whoever waits for the end that it has come, however it came: a thread may unwind, or
    /// never have begun. Unless the server is stopped, the other lanes end with this one.
    fn drop(&mut self) {
        self.link = None; // before anybody hears that the address is free
        let mut state = self.shared.lock_unwinding();
        state.handling -= usize::from(self.has_seat);
        let lane = state.lanes.at(self.lane);
        if lane.lead.term() != self.term {
            return; // another one receives
        }
        lane.receiver = Receiver::Gone;
        let is_last = state.lanes.are_gone();
        state.lanes.is_lost |= !state.is_stopping;
        let others: Vec<_> = if state.is_stopping || is_last {
            Vec::new()
        } else {
            state.lanes.links().cloned().collect()
        };
        drop(state);
        // A thread may unwind because its world has ended: then that refuses everything.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            others.iter().for_each(|link| link.wake());
            if is_last {
                self.shared.ended.open();
            }
        }));
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
        let mut errands = Errands::of_lane(self.lane);
        let mut received = Received::Nothing;
        let mut ran: Option<Ran> = None;
        let mut gathers_since = None;
        let (mut began, mut is_quick) = (None, true);
        shared.lock().lanes.at(self.lane).is_mine();
        loop {
            let (mut state, now) = shared.turn();
            if self.has_seat && !self.regain(&mut state) {
                drop(state);
                self.hand_in(ran, contexts);
                return End::TakenOver;
            }
            state.lanes.at(self.lane).receiver = Receiver::Busy;
            let is_over = state.is_stopping || state.lanes.is_lost;
            let Some(link) = self.link.as_deref().filter(|_| !is_over) else {
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
            if state.core.next_wake().is_some_and(|due| due <= now) {
                state.core.handle_timeout(now);
            }
            state.drain_held(now, &shared, &mut errands);
            let job = state.next_here((now, self.lane), &shared, &mut contexts, &mut errands);
            let lane = state.lanes.at(self.lane);
            self.has_seat = job.is_some() && lane.lead.is_watching();
            let since = *gathers_since.get_or_insert(now);
            let may_gather = is_quick && now.since(since) < GATHERED_MAX;
            let has_more = !lane.here.is_empty();
            let joins = |Job { call, .. }: &Job| {
                let is_quick = state.paces[call.method].is_quick();
                has_more || (is_quick && state.core.is_joined_by(call.ticket))
            };
            if !(may_gather && job.as_ref().is_some_and(joins)) {
                if state.core.has_output() {
                    state.drain(now, &shared, &mut errands);
                }
                gathers_since = None;
            }
            let until = if job.is_none() {
                let due = state.core.next_wake_after(now);
                state.lanes.rest(self.lane, due)
            } else {
                None // it looks when the handler ends: most of what is due by then is not any more
            };
            began = Some(now);
            drop(state);
            probe::stamp(Mark::ReplyEncoded);
            let has_errands = !errands.is_empty();
            errands.run_at(&shared, link);
            probe::stamp(Mark::ReplySent);
            let Some(job) = job else {
                received = link.receive(&mut buffer, until);
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
        let Lane { link, lead, .. } = state.lanes.at(self.lane);
        let receives = lead.leave(self.term);
        if receives {
            self.link.clone_from(link);
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
        state.lanes.wake_first(until, &mut errands);
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
