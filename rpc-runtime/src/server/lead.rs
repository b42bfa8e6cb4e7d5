//! Who receives, and who stands by to take over.
//!
//! ```text
//!    stands by ──── the other has been in one handler for 1 ms ────► receives
//!        ▲                                                              │ it is in a handler,
//!        │ if nobody else does; it ends otherwise                       │ for too long
//!        └──────── its handler returned ◄──────── taken over from ◄─────┘
//! ```
//!
//! The receiving thread runs the handlers of quick methods itself ([`Pace`](super::pace::Pace)), and
//! what was quick a thousand times may block the next time: on a lock, or on a call to this very server.
//! Then the one that stands by receives from there on, the handler's thread settles its call as a worker
//! does, and stands by in its turn (leader and followers: Schmidt et al., POSA2, 2000).
//!
//! Why no two threads ever receive, and none is missing: there are no atomics to reason about. All of
//! this stands behind the server's lock, which the receiving thread takes anyway before and after each
//! handler. `handles` is set in the turn in which it begins a handler, and it enters [`Link::receive`]
//! only after a turn in which it began none; [`Lead::take_over`] needs `handles` to be set, and makes a new
//! term; and whoever comes back from a handler looks, in its next turn and before it does anything else,
//! whether the term is still its own. So a take-over lies between those two turns, where the former
//! one does nothing but send and run the handler, and both turns are ordered with it by the lock. A
//! handler that returns just as it is taken over from is taken over from: that costs a change of
//! threads, and nothing else.
//!
//! A server with several lanes has all of this for each of them, apart.
//!
//! What it costs: two words written under a lock that is held already. The thread that stands by looks
//! at most once in [`PATIENCE`] while handlers come, and sleeps at its gate when none came for a while;
//! the first one then wakes it.
//!
//! [`Link::receive`]: crate::driver::Link::receive

use std::sync::Arc;

use crate::driver::{Gate, NoThread};
use crate::server::errands::Errands;
use crate::server::receiver::Receiving;
use crate::server::state::Shared;
use crate::time::{Duration, Instant};

/// How long a handler may keep the server from receiving.
const PATIENCE: Duration = Duration::from_millis(1);

/// After so many looks at which no handler had begun, whoever stands by sleeps.
const QUIET_LOOKS: u32 = 8;

/// How long the workers run all handlers after no thread was to be had for standing by.
const REFUSED: Duration = Duration::from_secs(1);

/// Which thread receives, what it is in, and who watches it.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// Counts the threads that have received.
    term: u64,
    /// The handler that the receiving thread is in, if it may turn out to be long.
    handles: Option<Handles>,
    /// Such handlers that were begun.
    begun: u64,
    standby: Standby,
    /// Where the one that stands by waits.
    gate: Option<Arc<dyn Gate>>,
}

#[derive(Clone, Copy, Debug)]
struct Handles {
    since: Instant,
    method: usize,
}

/// The thread that stands by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standby {
    /// There is none.
    #[default]
    None,
    /// There will be one.
    Hired,
    /// There was no thread to be had; this is when to try again.
    Refused(Instant),
    /// It must be woken to look.
    Asleep,
    /// It looks by itself.
    Looks,
}

/// What the one that stands by does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    TakeOver,
    /// Look again then.
    At(Instant),
    /// Sleep until woken.
    Never,
}

/// What the one that stands by has seen.
#[derive(Debug, Default)]
pub(super) struct Watch {
    begun: u64,
    quiet: u32,
}

impl Lead {
    /// The term of the thread that receives.
    pub(super) const fn term(&self) -> u64 {
        self.term
    }

    /// Whether somebody takes over if a handler is long.
    pub(super) const fn is_watched(&self) -> bool {
        matches!(self.standby, Standby::Asleep | Standby::Looks)
    }

    /// Asks for somebody who stands by, where there is nobody.
    pub(super) fn ask_for_watch(&mut self, now: Instant, errands: &mut Errands) {
        let is_due = match self.standby {
            Standby::None => true,
            Standby::Refused(until) => now >= until,
            Standby::Hired | Standby::Asleep | Standby::Looks => false,
        };
        if is_due {
            self.standby = Standby::Hired;
            errands.needs_standby = true;
        }
    }

    /// No thread was to be had for that.
    pub(super) fn do_without(&mut self, now: Instant) {
        self.standby = Standby::Refused(now + REFUSED);
    }

    /// The receiving thread is about to enter a handler, under watch.
    pub(super) fn enter(&mut self, now: Instant, method: usize, errands: &mut Errands) {
        debug_assert!(self.is_watched(), "nobody would take over");
        self.handles = Some(Handles { since: now, method });
        self.begun += 1;
        if self.standby == Standby::Asleep {
            self.standby = Standby::Looks;
            errands.gates.extend(self.gate.clone());
        }
    }

    /// Whether the receiving thread is about to enter one, or in it.
    pub(super) const fn is_watching(&self) -> bool {
        self.handles.is_some()
    }

    /// The thread of this term is back from a handler; says whether it still receives.
    pub(super) fn leave(&mut self, term: u64) -> bool {
        let is_mine = self.term == term;
        if is_mine {
            self.handles = None;
        }
        is_mine
    }

    /// A thread wants to stand by: one that was hired for it, or one that was taken over from.
    pub(super) fn stand_by(&mut self, is_hired: bool, gate: &Arc<dyn Gate>) -> bool {
        let is_free = match self.standby {
            Standby::None | Standby::Refused(_) => true,
            Standby::Hired => is_hired,
            Standby::Asleep | Standby::Looks => false,
        };
        if is_free {
            self.standby = Standby::Looks;
            self.gate = Some(Arc::clone(gate));
        }
        is_free
    }

    /// The one that stands by looks.
    pub(super) fn look(&mut self, now: Instant, watch: &mut Watch) -> Look {
        if let Some(Handles { since, .. }) = self.handles {
            let until = since + PATIENCE;
            return if now >= until { Look::TakeOver } else { Look::At(until) };
        }
        watch.quiet = if watch.begun == self.begun { watch.quiet + 1 } else { 0 };
        watch.begun = self.begun;
        if watch.quiet < QUIET_LOOKS {
            return Look::At(now + PATIENCE);
        }
        watch.quiet = 0;
        self.standby = Standby::Asleep;
        Look::Never
    }

    /// The receiving thread is left to its handler, of the method that this gives; it is not in one
    /// otherwise, and goes on.
    pub(super) fn depose(&mut self) -> Option<usize> {
        let Handles { method, .. } = self.handles.take()?;
        self.term += 1;
        Some(method)
    }

    /// The one that stood by receives from now on.
    pub(super) fn take_over(&mut self) -> usize {
        self.standby = Standby::None;
        self.gate = None;
        self.depose().expect("it looked in this very turn")
    }

    /// Where the one that stands by waits, if there is one.
    pub(super) fn gate(&self) -> Option<&Arc<dyn Gate>> {
        self.gate.as_ref()
    }
}

/// Starts a thread that stands by.
///
/// # Errors
///
/// [`NoThread`]: there is none left to start.
pub(super) fn hire(shared: &Arc<Shared>, lane: usize) -> Result<(), NoThread> {
    let theirs = Arc::clone(shared);
    let body = move || {
        if let Some(receiving) = stand_by(&theirs, lane, true) {
            receiving.run();
        }
    };
    shared.world.spawn("rpc-standby", Box::new(body))
}

/// Stands by until it must receive, or for nothing: the server is stopped, or somebody else does.
pub(super) fn stand_by(shared: &Arc<Shared>, lane: usize, is_hired: bool) -> Option<Receiving> {
    let gate = shared.world.gate();
    let mut watch = Watch::default();
    let mut is_new = true;
    loop {
        let (mut state, now) = shared.turn();
        let is_stopping = state.is_stopping;
        let lead = &mut state.lanes.at(lane).lead;
        if is_stopping || (is_new && !lead.stand_by(is_hired, &gate)) {
            return None;
        }
        is_new = false;
        let until = match lead.look(now, &mut watch) {
            Look::TakeOver => return Some(Receiving::take_over(shared, &mut state, lane)),
            Look::At(until) => Some(until),
            Look::Never => None,
        };
        drop(state);
        gate.wait(until);
    }
}

#[cfg(all(test, feature = "reactor"))]
mod tests {
    use super::*;
    use crate::reactor;

    const NOW: Instant = Instant::from_micros(5_000_000);

    fn watched() -> (Lead, Arc<dyn Gate>) {
        let (mut lead, mut errands) = (Lead::default(), Errands::default());
        lead.ask_for_watch(NOW, &mut errands);
        assert!(errands.needs_standby && !lead.is_watched());
        let gate = reactor::world().gate();
        assert!(lead.stand_by(true, &gate) && lead.is_watched());
        (lead, gate)
    }

    #[test]
    fn a_handler_is_taken_over_from_once_it_has_lasted() {
        let (mut lead, _) = watched();
        let (mut errands, mut watch) = (Errands::default(), Watch::default());
        lead.enter(NOW, 3, &mut errands);
        assert_eq!(lead.look(NOW, &mut watch), Look::At(NOW + PATIENCE));
        assert_eq!(lead.look(NOW + PATIENCE, &mut watch), Look::TakeOver);
        assert_eq!(lead.take_over(), 3);
        assert!(!lead.leave(0), "it receives no more");
        assert!(lead.leave(1) && !lead.is_watched());
        assert!(errands.gates.is_empty(), "it looks by itself");
    }

    #[test]
    fn another_handler_is_another_wait() {
        let (mut lead, _) = watched();
        let (mut errands, mut watch) = (Errands::default(), Watch::default());
        let half = PATIENCE / 2;
        lead.enter(NOW, 0, &mut errands);
        assert!(lead.leave(0));
        lead.enter(NOW + half, 0, &mut errands);
        assert_eq!(lead.look(NOW + PATIENCE, &mut watch), Look::At(NOW + half + PATIENCE));
    }

    #[test]
    fn where_nothing_runs_whoever_stands_by_sleeps_until_the_next_handler() {
        let (mut lead, gate) = watched();
        let (mut errands, mut watch) = (Errands::default(), Watch::default());
        let mut now = NOW;
        let mut looks = 0;
        while let Look::At(next) = lead.look(now, &mut watch) {
            (now, looks) = (next, looks + 1);
        }
        assert_eq!(looks, QUIET_LOOKS - 1);
        lead.enter(now, 0, &mut errands);
        assert!(Arc::ptr_eq(&errands.gates[0], &gate));
        lead.leave(0);
        lead.enter(now, 0, &mut errands);
        assert_eq!(errands.gates.len(), 1, "it is woken once");
        assert_eq!(lead.look(now, &mut watch), Look::At(now + PATIENCE));
    }

    #[test]
    fn one_stands_by_at_a_time() {
        let (mut lead, gate) = watched();
        assert!(!lead.stand_by(false, &gate));
        let mut errands = Errands::default();
        lead.enter(NOW, 0, &mut errands);
        lead.take_over();
        lead.ask_for_watch(NOW, &mut errands);
        assert!(!lead.stand_by(false, &gate), "somebody is on the way");
        assert!(lead.stand_by(true, &gate));
        lead.enter(NOW, 0, &mut errands);
        lead.take_over();
        assert!(lead.stand_by(false, &gate), "who was taken over from takes the place");
    }

    #[test]
    fn without_a_thread_it_is_tried_again_later() {
        let (mut lead, mut errands) = (Lead::default(), Errands::default());
        lead.ask_for_watch(NOW, &mut errands);
        lead.do_without(NOW);
        errands.needs_standby = false;
        lead.ask_for_watch(NOW, &mut errands);
        assert!(!errands.needs_standby);
        lead.ask_for_watch(NOW + REFUSED, &mut errands);
        assert!(errands.needs_standby);
    }
}
