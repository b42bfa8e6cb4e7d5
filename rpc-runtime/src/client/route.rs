//! Where a channel leads that was not given an address: to a server that somebody finds, and to
//! another one when that is lost.
//!
//! Knows which connection is current and that it is lost; does not know how servers are found: a
//! [`Finder`] does. Searches run one at a time, and no lock is held during one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::alarm::Alarms;
use super::balance::{Balance, Balancer, Member, Picked};
use super::channel::Channel;
use super::connection::Connection;
use super::ends::Ends;
use super::hedges::Hedges;
use super::helped::Helpers;
use super::journal::Keeper;
use super::registry;
use super::spare::Spare;
use super::verdict::Finished;
use super::whereabouts::Whereabouts;
use crate::driver::{Gate, World};
use crate::error::CallError;
use crate::protocol::{DoubtCause, NotSentCause, Outcome, Target};
use crate::time::{Duration, Instant};
use crate::wire::{RefuseReason, RejectReason};

/// Connections of before that are kept, so that `resolve` can ask them.
const FORMER_MAX: usize = 4;
/// How long it takes until a search that found nothing is worth another one.
pub(super) const SEARCH_PAUSE: Duration = Duration::from_secs(1);

/// Finds servers.
pub(crate) trait Finder: Send + Sync + fmt::Debug {
    /// A channel to a server that will do: to that one, in that life, and no other. For a call, which
    /// may be called off meanwhile.
    ///
    /// # Errors
    ///
    /// There is none until `deadline`, or until that.
    fn find(&self, deadline: Instant, call: &Whereabouts) -> Result<Channel, CallError>;

    /// A channel to another server than those, one that promises well: it is asked while `than` are,
    /// and nothing depends on it.
    fn find_other(&self, than: Target, deadline: Instant) -> Option<Channel>;

    /// The server that was found is lost.
    fn lost(&self, target: Target, loss: Loss);

    /// How calls are spread over the servers that it knows.
    fn balance(&self) -> Balance {
        Balance::Sticky
    }

    /// Where it is counted how calls ended, if it is.
    fn ends(&self) -> Option<Arc<Ends>> {
        None
    }

    /// Has `route` know its members from now on, for as long as it is there: what this gives is dropped
    /// with it.
    fn follow(&self, _route: &Arc<Route>) -> Option<Box<dyn Following>> {
        None
    }
}

/// What goes on as long as a route follows.
pub(crate) trait Following: Send + Sync + fmt::Debug {}

/// How a server was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// That life of it is over.
    Gone,
    /// It does not answer, or takes no new calls.
    Silent,
}

impl Loss {
    /// A number for it, which an atomic can hold.
    pub(super) const fn code(loss: Option<Self>) -> u8 {
        match loss {
            None => 0,
            Some(Self::Gone) => 1,
            Some(Self::Silent) => 2,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::Gone),
            _ => Some(Self::Silent),
        }
    }

    /// Whether the end of a call means that its server is lost.
    pub(super) const fn of(finished: &Finished) -> Option<Self> {
        match finished.outcome {
            Outcome::Rejected { reason: RejectReason::StaleBinding, .. }
            | Outcome::InDoubt(DoubtCause::ServerRestarted) => Some(Self::Gone),
            Outcome::Rejected {
                reason: RejectReason::Draining | RejectReason::NoRoom | RejectReason::Version,
                ..
            }
            | Outcome::NotSent(NotSentCause::Draining | NotSentCause::Unreachable)
            | Outcome::Refused { reason: RefuseReason::Draining, .. }
            | Outcome::InDoubt(DoubtCause::RefusedAfterDoubt) => Some(Self::Silent),
            // Nothing was heard of the call: its server may be dead, and the next call looks round.
            Outcome::InDoubt(DoubtCause::NoReply) if finished.evidence.is_silence() => {
                Some(Self::Silent)
            }
            Outcome::InDoubt(DoubtCause::NoReply)
            | Outcome::Rejected { reason: RejectReason::OldIncarnation, .. }
            | Outcome::NotSent(
                NotSentCause::NoFreeSlot
                | NotSentCause::QueueFull
                | NotSentCause::Cancelled
                | NotSentCause::TooLarge
                | NotSentCause::Expired
                | NotSentCause::ConnectionClosed
                | NotSentCause::Unsupported
                | NotSentCause::JournalFailed,
            )
            | Outcome::Refused {
                reason:
                    RefuseReason::Overload
                    | RefuseReason::Expired
                    | RefuseReason::UnknownMethod
                    | RefuseReason::ChangedMethod
                    | RefuseReason::BadArguments
                    | RefuseReason::TooLarge
                    | RefuseReason::Unauthorised
                    | RefuseReason::Generation
                    | RefuseReason::IdentityInUse,
                ..
            }
            | Outcome::InDoubt(
                DoubtCause::SessionLost
                | DoubtCause::Closed
                | DoubtCause::Cancelled
                | DoubtCause::GenerationEnded
                | DoubtCause::ServerDied
                | DoubtCause::JournalFailed,
            )
            | Outcome::Returned(_)
            | Outcome::Sent
            | Outcome::Failed { .. }
            | Outcome::Sealed => None,
        }
    }
}

/// Where a channel leads.
#[derive(Debug)]
pub(crate) struct Route {
    pub(super) finder: Arc<dyn Finder>,
    /// The journal that the connections keep.
    keeper: Option<Arc<Keeper>>,
    pub(super) world: Arc<dyn World>,
    state: Mutex<State>,
    /// Threads that carry calls elsewhere.
    pub(super) helpers: Helpers,
    /// Wakes futures when it is time to ask a second server.
    pub(super) alarms: Arc<Alarms>,
    pub(super) hedges: Hedges,
    /// Spreads the calls, where they are not all for one server.
    balancer: Option<Balancer>,
    ends: Option<Arc<Ends>>,
    _following: OnceLock<Box<dyn Following>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) current: Arc<Connection>,
    pub(super) is_lost: bool,
    former: VecDeque<Arc<Connection>>,
    is_finding: bool,
    waiting: Vec<Arc<dyn Gate>>,
    /// Until when a search would find only servers that are left alone.
    none_better_until: Option<Instant>,
    /// The server that is asked where the current one takes too long.
    pub(super) spare: Spare,
}

impl Route {
    /// A route to the first server that `finder` finds.
    ///
    /// # Errors
    ///
    /// It finds none until `deadline`.
    pub(super) fn open(
        finder: Box<dyn Finder>,
        deadline: Instant,
        call: &Whereabouts,
    ) -> Result<Arc<Self>, CallError> {
        let current = finder.find(deadline, call)?.connection;
        let world = Arc::clone(&current.world);
        Ok(Self::new(Arc::from(finder), None, world, current, false))
    }

    /// The same route for a client with a journal.
    ///
    /// # Errors
    ///
    /// The current server cannot be dialled.
    pub(super) fn keeping(&self, keeper: &Arc<Keeper>) -> Result<Arc<Self>, CallError> {
        let (finder, keeper) = (Arc::clone(&self.finder), Arc::clone(keeper));
        let current = registry::keeping(&self.current(), &keeper)?;
        let is_lost = self.lock().is_lost;
        Ok(Self::new(finder, Some(keeper), Arc::clone(&self.world), current, is_lost))
    }

    fn new(
        finder: Arc<dyn Finder>,
        keeper: Option<Arc<Keeper>>,
        world: Arc<dyn World>,
        current: Arc<Connection>,
        is_lost: bool,
    ) -> Arc<Self> {
        let state = Mutex::new(State {
            current,
            is_lost,
            former: VecDeque::new(),
            is_finding: false,
            waiting: Vec::new(),
            none_better_until: None,
            spare: Spare::default(),
        });
        let alarms = Alarms::new(Arc::clone(&world));
        let (helpers, hedges) = (Helpers::default(), Hedges::default());
        let balance = finder.balance();
        let is_spread = balance != Balance::Sticky;
        let balancer = is_spread.then(|| Balancer::new(&world, balance));
        let (ends, _following) = (finder.ends(), OnceLock::new());
        let route = Self {
            finder,
            keeper,
            world,
            state,
            helpers,
            alarms,
            hedges,
            balancer,
            ends,
            _following,
        };
        let route = Arc::new(route);
        if let Some(following) = route.finder.follow(&route) {
            let _first = route._following.set(following);
        }
        route
    }

    /// Where it is counted how the calls on it ended, if it is.
    pub(super) const fn ends(&self) -> Option<&Arc<Ends>> {
        self.ends.as_ref()
    }

    /// The servers that calls are spread over from now on.
    pub(crate) fn set_members(&self, mut members: Vec<Member>) {
        let Some(balancer) = &self.balancer else { return };
        members.retain_mut(|member| {
            // Without its journal no server is called.
            let kept = self.kept(Arc::clone(&member.connection));
            kept.map(|kept| member.connection = kept).is_ok()
        });
        let mut each: Vec<Member> = Vec::new();
        for member in members {
            // A server that offers several versions is one all the same.
            if !each.iter().any(|known| Arc::ptr_eq(&known.connection, &member.connection)) {
                member.connection.load(); // from now on
                each.push(member);
            }
        }
        let gone = balancer.set(each);
        {
            // Where nobody is well it is looked for others, not fallen back upon one that has left.
            let mut state = self.lock();
            state.is_lost |= !balancer.has(&state.current);
        }
        // Calls that they answered may yet be resolved.
        let too_old: Vec<_> = gone.into_iter().map(|former| self.lock().retire(former)).collect();
        drop(too_old); // says BYE, without the lock
    }

    /// Whether calls are spread, and there is more than one server to choose from.
    pub(super) fn has_choice(&self) -> bool {
        self.balancer.as_ref().is_some_and(Balancer::is_choice)
    }

    /// The connection that the next call takes, where calls are spread over several servers.
    pub(super) fn pick(&self, key: Option<u64>) -> Option<Picked> {
        self.balancer.as_ref()?.pick(key)
    }

    /// Another server than `first` among those that calls are spread over.
    pub(super) fn pick_other(&self, first: &Arc<Connection>) -> Option<Arc<Connection>> {
        self.balancer.as_ref()?.other(first)
    }

    /// A connection to a server that the finder finds.
    fn search(&self, deadline: Instant, call: &Whereabouts) -> Result<Arc<Connection>, CallError> {
        self.kept(self.finder.find(deadline, call)?.connection)
    }

    /// That connection, or the one to the same server that keeps the journal.
    pub(super) fn kept(&self, found: Arc<Connection>) -> Result<Arc<Connection>, CallError> {
        match &self.keeper {
            Some(keeper) => registry::keeping(&found, keeper),
            None => Ok(found),
        }
    }

    /// The connection that the route leads to now, or led to last.
    pub(super) fn current(&self) -> Arc<Connection> {
        Arc::clone(&self.lock().current)
    }

    /// Whether another server must be found before `connection`, the current one, is used. Calls
    /// that nobody waited for may have told.
    pub(super) fn is_lost(&self, connection: &Arc<Connection>) -> bool {
        match connection.loss() {
            None => {
                let is_lost = {
                    let state = self.lock();
                    state.is_lost && Arc::ptr_eq(&state.current, connection)
                };
                // A member is lost as long as its connection says so.
                is_lost && !self.balancer.as_ref().is_some_and(|balancer| balancer.has(connection))
            }
            Some(loss) => {
                self.lose(connection, loss);
                true
            }
        }
    }

    /// All connections that a call may have gone through, the current one first.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        let members = self.balancer.as_ref().map(Balancer::members).unwrap_or_default();
        let state = self.lock();
        let all = std::iter::once(&state.current).chain(&state.former).chain(&state.spare.found);
        let mut all: Vec<_> = all.map(Arc::clone).collect();
        drop(state);
        for member in &*members {
            if !all.iter().any(|known| Arc::ptr_eq(known, &member.connection)) {
                all.push(Arc::clone(&member.connection));
            }
        }
        all
    }

    /// Takes note that the server behind `connection` is lost.
    pub(super) fn lose(&self, connection: &Arc<Connection>, loss: Loss) {
        {
            let mut state = self.lock();
            state.is_lost |= Arc::ptr_eq(&state.current, connection);
        }
        if self.balancer.is_some() {
            connection.set_loss(Some(loss));
        }
        self.finder.lost(connection.target(), loss);
    }

    /// The current connection, or another one if that is lost.
    ///
    /// # Errors
    ///
    /// There is none until `deadline`, or until the call is called off.
    pub(super) fn find(
        &self,
        deadline: Instant,
        call: &Whereabouts,
    ) -> Result<Arc<Connection>, CallError> {
        if let Some(picked) = self.pick(None) {
            return Ok(picked.connection);
        }
        loop {
            let mut state = self.lock();
            state.is_lost |= self.balancer.is_some() && state.current.loss().is_some();
            if !state.is_lost {
                return Ok(Arc::clone(&state.current));
            }
            if !state.is_finding {
                state.is_finding = true;
                drop(state);
                let search = Search(self);
                let found = self.search(deadline, call)?;
                self.adopt(found);
                drop(search);
                continue;
            }
            if self.world.now() >= deadline || call.is_cancelled() {
                drop(state);
                return self.search(deadline, call);
            }
            let gate = self.world.gate();
            state.waiting.push(Arc::clone(&gate));
            drop(state);
            call.wait_at(&gate, deadline);
            self.lock().waiting.retain(|other| !Arc::ptr_eq(other, &gate));
        }
    }

    fn adopt(&self, found: Arc<Connection>) {
        let mut state = self.lock();
        state.is_lost = false;
        state.none_better_until = None;
        found.set_loss(None);
        if Arc::ptr_eq(&state.current, &found) {
            return;
        }
        let former = std::mem::replace(&mut state.current, found);
        let too_old = state.retire(former);
        drop(state);
        drop(too_old); // says BYE, without the lock
    }

    /// A search found only servers that are left alone.
    pub(super) fn found_none_better(&self) {
        let until = self.world.now() + SEARCH_PAUSE;
        self.lock().none_better_until = Some(until);
    }

    /// Whether a search would find only servers that are left alone.
    pub(super) fn knows_none_better(&self) -> bool {
        let until = self.lock().none_better_until;
        until.is_some_and(|until| self.world.now() < until)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps a connection of before; gives those that are too old.
    pub(super) fn retire(&mut self, former: Arc<Connection>) -> VecDeque<Arc<Connection>> {
        self.former.retain(|known| !Arc::ptr_eq(known, &former));
        self.former.push_front(former);
        let kept = self.former.len().min(FORMER_MAX);
        self.former.split_off(kept)
    }
}

/// A search under way; when it ends, however it ends, the others who need one look again.
struct Search<'r>(&'r Route);

impl Drop for Search<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.lock();
            state.is_finding = false;
            std::mem::take(&mut state.waiting)
        };
        for gate in waiting {
            gate.open();
        }
    }
}
