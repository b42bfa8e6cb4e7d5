//! What belongs to each thread that receives: its way into the endpoint, and the calls that it runs itself.
//!
//! ```text
//!   peers ──kernel──► link 0 ──► lane 0: receives ──┐
//!            spreads  link 1 ──► lane 1: receives ──┼──► one core, one lock
//!              them   link 2 ──► lane 2: receives ──┘
//! ```
//!
//! A call takes the core well under a microsecond, and the lock is held for no longer. What takes time are
//! the system calls, and the handlers that run where calls are received: those are what several lanes do at
//! a time. Each has a thread that stands by for it ([`Lead`]). Any of their links reaches every peer.
//!
//! Timers are everybody's. A lane runs what is due in each turn, and waits no longer than until the next
//! one is, unless another lane waits for that; so no lane has to wake another. Nothing is seen to later
//! than where one thread receives: by the handler that the thread is in which looks next. What no lane's
//! own turn finds to do, a call or an earlier timer that a worker's turn brought up, is the first lane's,
//! and only that one is ever woken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use crate::driver::Link;
use crate::protocol::Execute;
use crate::server::dispatch::{Contexts, Job};
use crate::server::errands::Errands;
use crate::server::exports::Place;
use crate::server::lead::Lead;
use crate::server::state::{Shared, State, Turn, Wake};
use crate::time::{Duration, Instant};

/// What may wait for a receiving thread, in the time that it takes, before workers help.
const WAITS_HERE_MAX: Duration = Duration::from_micros(200);

/// What stands behind the server's lock for one of its receiving threads.
#[derive(Debug)]
pub(super) struct Lane {
    /// `None` once the server was stopped: the address is free when the last thread let go of it.
    pub(super) link: Option<Arc<dyn Link>>,
    /// Calls for its thread: of `inline` methods, and of such as have been quick.
    pub(super) here: VecDeque<Box<Execute>>,
    /// How many of those are not of `inline` methods.
    pub(super) here_by_pace: u32,
    pub(super) lead: Lead,
    pub(super) receiver: Receiver,
    thread: Option<ThreadId>,
}

/// What a receiving thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    /// It looks at the state before it waits again.
    Busy,
    /// It waits for a datagram, or for this time.
    Waits { until: Option<Instant> },
    /// It has ended.
    Gone,
}

impl Receiver {
    /// Whether it looks by then, whatever comes.
    fn waits_for(self, due: Instant) -> bool {
        matches!(self, Self::Waits { until: Some(until) } if until <= due)
    }
}

/// All of them; there is at least one.
#[derive(Debug)]
pub(super) struct Lanes {
    all: Vec<Lane>,
    /// Whether one has ended by itself: then the others do, and the server serves nobody any more,
    /// rather than some.
    pub(super) is_lost: bool,
}

impl Lane {
    fn by(link: Arc<dyn Link>) -> Self {
        Self {
            link: Some(link),
            here: VecDeque::new(),
            here_by_pace: 0,
            lead: Lead::default(),
            receiver: Receiver::Busy,
            thread: None,
        }
    }

    /// The calling thread receives from now on.
    pub(super) fn is_mine(&mut self) {
        self.thread = Some(thread::current().id());
    }
}

impl Lanes {
    pub(super) fn by(links: Vec<Arc<dyn Link>>) -> Self {
        assert!(!links.is_empty(), "a server receives");
        Self { all: links.into_iter().map(Lane::by).collect(), is_lost: false }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The one that does what is no other's.
    pub(super) fn first(&self) -> &Lane {
        &self.all[0]
    }

    pub(super) fn at(&mut self, lane: usize) -> &mut Lane {
        &mut self.all[lane]
    }

    /// Whose thread runs what a turn with these errands brings up.
    pub(super) fn of(&mut self, errands: &Errands) -> &mut Lane {
        self.at(errands.lane.unwrap_or(0))
    }

    /// Calls that wait for receiving threads.
    pub(super) fn waiting(&self) -> usize {
        self.all.iter().map(|lane| lane.here.len()).sum()
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<dyn Link>> {
        self.all.iter().filter_map(|lane| lane.link.as_ref())
    }

    /// Whether nobody receives any more.
    pub(super) fn are_gone(&self) -> bool {
        self.all.iter().all(|lane| lane.receiver == Receiver::Gone)
    }

    /// Whether the calling thread receives.
    pub(super) fn is_any_mine(&self) -> bool {
        let own = thread::current().id();
        let is_mine = |lane: &Lane| lane.receiver != Receiver::Gone && lane.thread == Some(own);
        self.all.iter().any(is_mine)
    }

    /// Ends a turn of `lane` after which it waits; says until when. The next timer is due by `due`.
    pub(super) fn rest(&mut self, lane: usize, due: Wake) -> Wake {
        let is_awaited = |due: &Instant| self.all.iter().any(|lane| lane.receiver.waits_for(*due));
        let until = due.filter(|due| !is_awaited(due));
        self.all[lane].receiver = Receiver::Waits { until };
        until
    }

    /// Wakes the first lane if a worker's turn left a call for it, or a timer that nobody would look at
    /// in time.
    pub(super) fn wake_first(&mut self, due: Wake, errands: &mut Errands) {
        let is_seen = |due: Instant| {
            let sees =
                |lane: &Lane| lane.receiver == Receiver::Busy || lane.receiver.waits_for(due);
            self.all.iter().any(sees)
        };
        let is_unseen = due.is_some_and(|due| !is_seen(due));
        let first = &mut self.all[0];
        let is_waiting = matches!(first.receiver, Receiver::Waits { .. });
        if is_waiting && (is_unseen || !first.here.is_empty()) {
            first.receiver = Receiver::Busy; // once it was woken it looks for itself
            errands.wakes.extend(first.link.clone());
        }
    }

    /// All receive no more, and let go of their links. One whose thread is in a worker's handler leaves it
    /// there, a worker from then on.
    pub(super) fn stop(&mut self, errands: &mut Errands) {
        for lane in &mut self.all {
            if lane.lead.depose().is_some() {
                lane.receiver = Receiver::Gone;
            }
            lane.here.clear();
            lane.here_by_pace = 0;
            errands.gates.extend(lane.lead.gate().cloned());
            errands.wakes.extend(lane.link.take());
        }
    }
}

impl State {
    /// Whether the receiving thread is to run the method's handler, now or soon. It does not where
    /// others that wait for it take so long that workers would have ended sooner.
    pub(super) fn takes_here(&mut self, method: usize, errands: &mut Errands) -> bool {
        let Some(lane) = errands.lane else { return false };
        let (pace, here) = (&self.paces[method], self.lanes.at(lane));
        if !pace.is_quick() || pace.usual() * here.here_by_pace >= WAITS_HERE_MAX {
            return false;
        }
        here.lead.ask_for_watch(self.now, errands);
        self.may_handle_here(lane)
    }

    /// Whether a receiving thread may begin a handler that would be a worker's: somebody has to take
    /// over if it is long, and it may not take the last worker's place from what waits for one.
    fn may_handle_here(&mut self, lane: usize) -> bool {
        let is_awaited = !self.queue.is_empty()
            || !self.storing.calls.is_empty()
            || self.parked.is_anybody_called();
        let left_over = usize::from(is_awaited);
        self.lanes.at(lane).lead.is_watched()
            && self.handling + left_over < self.handling_max
            && !self.is_full()
    }

    /// The thread that stood by receives in `lane` from now on, and the handler that it leaves the other
    /// one to is long.
    pub(super) fn take_over(&mut self, lane: usize) {
        let lane = self.lanes.at(lane);
        let method = lane.lead.take_over();
        lane.receiver = Receiver::Busy;
        self.paces[method].was_long();
    }

    /// Begins the next call of those that wait for the thread that receives in `lane`. All that `begin`
    /// makes the core say is for the next drain.
    pub(super) fn next_here(
        &mut self,
        (now, lane): (Instant, usize),
        shared: &Shared,
        contexts: &mut Contexts,
        errands: &mut Errands,
    ) -> Option<Job> {
        let mut turn = Turn { world: &shared.world, contexts };
        while let Some(call) = self.lanes.at(lane).here.pop_front() {
            let method = call.method;
            let is_by_pace = shared.exports.place(method) == Place::ByPace;
            if is_by_pace {
                self.lanes.at(lane).here_by_pace -= 1;
                if !self.paces[method].is_quick() || !self.may_handle_here(lane) {
                    self.enqueue(call, errands);
                    continue;
                }
            }
            let Some(job) = self.begin(now, call, &mut turn) else { continue };
            if is_by_pace {
                self.handling += 1;
                self.lanes.at(lane).lead.enter(now, method, errands);
            }
            return Some(job);
        }
        None
    }
}

#[cfg(all(test, feature = "reactor"))]
mod tests {
    use super::*;
    use crate::reactor;

    const fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000 * millis)
    }

    fn three() -> Lanes {
        let link = || reactor::world().dial("127.0.0.1:9").expect("an address").0;
        Lanes::by((0..3).map(|_| link()).collect())
    }

    fn wakes(lanes: &mut Lanes, due: Wake) -> bool {
        let mut errands = Errands::default();
        lanes.wake_first(due, &mut errands);
        !errands.wakes.is_empty()
    }

    #[test]
    fn one_lane_waits_for_each_timer_and_another_only_for_earlier_ones() {
        let mut lanes = three();
        assert_eq!(lanes.rest(0, None), None);
        assert_eq!(lanes.rest(1, Some(at(10))), Some(at(10)));
        assert_eq!(lanes.rest(2, Some(at(10))), None, "the second one sees to it");
        assert_eq!(lanes.rest(2, Some(at(9))), Some(at(9)));
        lanes.at(2).receiver = Receiver::Busy;
        assert_eq!(lanes.rest(2, Some(at(10))), None);
        lanes.at(1).receiver = Receiver::Busy;
        assert_eq!(lanes.rest(1, Some(at(10))), Some(at(10)), "it was the only one");
    }

    #[test]
    fn the_first_is_woken_once_for_what_nobody_would_see_to() {
        let mut lanes = three();
        (0..3).for_each(|lane| assert_eq!(lanes.rest(lane, None), None));
        assert!(!wakes(&mut lanes, None));
        assert!(wakes(&mut lanes, Some(at(10))));
        assert!(!wakes(&mut lanes, Some(at(5))), "it looks anyway");
        assert_eq!(lanes.rest(0, Some(at(5))), Some(at(5)));
        assert!(!wakes(&mut lanes, Some(at(5))));
        assert!(wakes(&mut lanes, Some(at(4))));
        assert_eq!(lanes.rest(0, None), None);
        lanes.at(1).receiver = Receiver::Busy;
        assert!(!wakes(&mut lanes, Some(at(4))), "another one looks");
    }
}
