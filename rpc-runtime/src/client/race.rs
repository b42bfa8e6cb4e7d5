//! An attempt at a call: at one server, or, where one takes too long and the method allows it, at two.
//!
//! The first answer wins and the other attempt is called off; an end that says nothing of what the
//! method would return waits for the other's. Only `at_least_once` calls are hedged: both servers may
//! run them (Dean & Barroso, The Tail at Scale, 2013). Does not know how servers are found.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::alarm::Alarm;
use super::connection::Connection;
use super::parent::Parent;
use super::route::{Loss, Route};
use super::spare::{Other, Seeker};
use super::verdict::Finished;
use super::whereabouts::Whereabouts;
use crate::driver::Gate;
use crate::error::Execution;
use crate::ids::CallId;
use crate::protocol::{CallKey, CallSpec};
use crate::time::{Duration, Instant};

/// An attempt at a call.
#[derive(Debug)]
pub(super) enum Attempt {
    /// At one server.
    One(Arc<Connection>, CallKey),
    /// At two, in time.
    Race(Box<Race>),
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) connection: Arc<Connection>,
    pub(super) finished: Finished,
    /// How it ended at the other server before, if that decided nothing.
    pub(super) earlier: Option<(Arc<Connection>, Finished)>,
    /// Whether a second server was asked.
    pub(super) was_hedged: bool,
}

/// A call that is made at a second server if the first takes too long.
#[derive(Debug)]
pub(super) struct Race {
    route: Arc<Route>,
    spec: CallSpec,
    /// When the second server is asked; nothing once that is settled.
    hedge_at: Option<Instant>,
    was_hedged: bool,
    rivals: [Option<Rival>; 2],
    earlier: Option<(Arc<Connection>, Finished)>,
    whereabouts: Arc<Whereabouts>,
    alarm: Option<Alarm>,
    /// The search for a second server that it waits for.
    seeker: Seeker,
}

#[derive(Debug)]
struct Rival {
    connection: Arc<Connection>,
    key: CallKey,
}

impl End {
    /// That of an attempt at one server.
    pub(super) const fn of(connection: Arc<Connection>, finished: Finished) -> Self {
        Self { connection, finished, earlier: None, was_hedged: false }
    }

    /// The join over both servers: that the last did not run it says nothing of the other.
    pub(super) fn join(self) -> (Arc<Connection>, Finished) {
        match self.earlier {
            Some((connection, earlier))
                if is_overruled(self.finished.outcome.execution(), earlier.outcome.execution()) =>
            {
                (connection, earlier)
            }
            _ => (self.connection, self.finished),
        }
    }
}

/// Whether what is known of one attempt is no verdict on the call because of an earlier one.
const fn is_overruled(last: Execution, earlier: Execution) -> bool {
    matches!((last, earlier), (Execution::NotExecuted, Execution::Unknown))
}

impl Attempt {
    /// An attempt that was begun: hedged after `hedge` if there is a route to lead elsewhere.
    pub(super) fn new(
        connection: Arc<Connection>,
        key: CallKey,
        spec: &CallSpec,
        hedge: Option<(Duration, &Arc<Route>)>,
        whereabouts: impl FnOnce(&Arc<Connection>) -> Arc<Whereabouts>,
    ) -> Self {
        let Some((after, route)) = hedge else { return Self::One(connection, key) };
        let whereabouts = whereabouts(&connection);
        let race = Race {
            route: Arc::clone(route),
            spec: *spec,
            hedge_at: Some(connection.world.now() + after),
            was_hedged: false,
            rivals: [Some(Rival { connection, key }), None],
            earlier: None,
            whereabouts,
            alarm: None,
            seeker: Seeker::default(),
        };
        Self::Race(Box::new(race))
    }

    /// The place of the call that was made first.
    pub(super) fn id(&self) -> Option<CallId> {
        match self {
            Self::One(connection, key) => connection.lock().call_id(*key),
            Self::Race(race) => {
                let first = race.rivals.iter().flatten().next()?;
                first.connection.lock().call_id(first.key)
            }
        }
    }

    /// Where it is, if it may be at two servers.
    pub(super) const fn whereabouts(&self) -> Option<&Arc<Whereabouts>> {
        match self {
            Self::One(..) => None,
            Self::Race(race) => Some(&race.whereabouts),
        }
    }

    pub(super) fn cancel(&self) {
        match self {
            Self::One(connection, key) => connection.cancel(*key),
            Self::Race(race) => race.whereabouts.cancel(),
        }
    }

    /// Nobody will ask for its end any more, nor wants it.
    pub(super) fn abandon(self) {
        match self {
            Self::One(connection, key) => connection.abandon(key),
            Self::Race(mut race) => race.abandon(),
        }
    }

    /// Nobody will ask for its end any more. `parent` calls it off until then.
    pub(super) fn detach(self, parent: Parent) {
        match self {
            Self::One(connection, key) => connection.detach(key, &Arc::new(parent)),
            Self::Race(mut race) => {
                let parent = Arc::new(parent);
                for rival in race.rivals.iter_mut().filter_map(Option::take) {
                    rival.connection.detach(rival.key, &parent);
                }
            }
        }
    }

    /// Blocks until the end.
    pub(super) fn wait(self) -> End {
        match self {
            Self::One(connection, key) => {
                let finished = connection.wait(key);
                End::of(connection, finished)
            }
            Self::Race(race) => race.wait(),
        }
    }

    /// The end, if it has come; else `waker` is woken when it does, or when it is time to ask
    /// another server.
    pub(super) fn poll(&mut self, waker: &Waker) -> Option<End> {
        match self {
            Self::One(connection, key) => {
                // A waker is others' code: it is cloned before the connection is locked.
                let finished = connection.poll(*key, waker.clone())?;
                Some(End::of(Arc::clone(connection), finished))
            }
            Self::Race(race) => {
                let due = match race.poll(waker) {
                    Polled::Ended(end) => return Some(end),
                    Polled::Until(due) => due,
                };
                race.alarm = due.map(|due| {
                    let set = race.alarm.take().filter(|alarm| alarm.when() == due);
                    set.inspect(|alarm| alarm.change(waker.clone()))
                        .unwrap_or_else(|| race.route.alarms.set(due, waker.clone()))
                });
                None
            }
        }
    }
}

/// What a look at a race gives.
enum Polled {
    Ended(End),
    /// Not yet; look again then at the latest, if that is said: it is time to ask another server.
    Until(Option<Instant>),
}

impl Race {
    fn wait(mut self) -> End {
        // In time for most: the thread receives for itself.
        if let [Some(first), None] = &self.rivals
            && let Some(finished) = first.connection.wait_until(first.key, self.hedge_at)
        {
            let first = self.rivals[0].take().expect("it was there a moment ago");
            return End::of(first.connection, finished);
        }
        let gate = self.route.world.gate();
        let waker = Waker::from(Arc::new(Opens(Arc::clone(&gate))));
        loop {
            match self.poll(&waker) {
                Polled::Ended(end) => return end,
                Polled::Until(due) => gate.wait(due),
            }
        }
    }

    /// The end, if it has come. Asks another server if it is time to.
    fn poll(&mut self, waker: &Waker) -> Polled {
        loop {
            for place in 0..self.rivals.len() {
                if let Some(finished) = self.ended(place, waker)
                    && let Some(end) = self.judge(place, finished)
                {
                    return Polled::Ended(end);
                }
            }
            // One look at the clock: what is not due by it is waited for.
            let now = self.route.world.now();
            if let Some(due) = self.hedge_at.filter(|due| now < *due) {
                return Polled::Until(Some(due));
            }
            if self.hedge_at.is_none() || !self.hedge(waker) {
                return Polled::Until(None);
            }
        }
    }

    /// The end of one of both, if it has come.
    fn ended(&self, place: usize, waker: &Waker) -> Option<Finished> {
        let rival = self.rivals[place].as_ref()?;
        rival.connection.poll(rival.key, waker.clone())
    }

    /// Whether the end of one of both is the end.
    fn judge(&mut self, place: usize, finished: Finished) -> Option<End> {
        let connection = self.rivals[place].take().expect("it ended a moment ago").connection;
        let is_answer = finished.outcome.execution() == Execution::Executed;
        if !is_answer && self.rivals.iter().any(Option::is_some) {
            if let Some(loss) = Loss::of(&finished) {
                self.route.lose(&connection, loss);
            }
            self.earlier = Some((connection, finished));
            return None;
        }
        if is_answer
            && let Some(first) = &self.rivals[0]
            && first.connection.was_outrun(first.key)
        {
            self.route.lose(&first.connection, Loss::Silent);
        }
        if is_answer && self.was_hedged {
            let is_called_off = self.rivals.iter().any(Option::is_some);
            self.route.hedges.ended(place == 1, is_called_off);
        }
        self.abandon();
        let earlier = self.earlier.take();
        Some(End { connection, finished, earlier, was_hedged: self.was_hedged })
    }

    /// Makes the call at another server, if one is to be had; says whether it did.
    fn hedge(&mut self, waker: &Waker) -> bool {
        let Some(first) = &self.rivals[0] else { return false };
        let other = match self.route.other(&first.connection, &mut self.seeker, waker) {
            Other::Known(other) => other,
            Other::Sought => return false, // the waker is woken when it is found
            Other::None => {
                self.hedge_at = None;
                return false;
            }
        };
        self.hedge_at = None;
        if self.whereabouts.is_cancelled() {
            return false;
        }
        let Some(arguments) = first.connection.arguments(first.key) else {
            return true; // it has ended meanwhile
        };
        match other.start_hedge(&self.spec, arguments) {
            Ok(key) => {
                self.route.hedges.sent();
                self.whereabouts.joined(&other, key);
                self.rivals[1] = Some(Rival { connection: other, key });
                self.was_hedged = true;
            }
            Err(arguments) => {
                self.route.hedges.denied();
                other.recycle(arguments.reclaim());
            }
        }
        true
    }

    fn abandon(&mut self) {
        for rival in self.rivals.iter_mut().filter_map(Option::take) {
            rival.connection.abandon(rival.key);
        }
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        self.abandon();
        self.route.seeks_no_more(&self.seeker);
    }
}

/// Wakes a thread that waits at a gate.
struct Opens(Arc<dyn Gate>);

impl Wake for Opens {
    fn wake(self: Arc<Self>) {
        self.0.open();
    }
}

#[cfg(all(test, feature = "reactor"))]
mod tests {
    use super::*;
    use crate::client::Channel;
    use crate::protocol::{DoubtCause, Ended, Evidence, Outcome};
    use Execution::{Executed, NotExecuted, Unknown};

    fn finished(execution: Execution) -> Finished {
        let outcome = match execution {
            Executed => Outcome::Returned(Vec::new()),
            NotExecuted => Outcome::Sealed,
            Unknown => Outcome::InDoubt(DoubtCause::NoReply),
        };
        let (call, evidence) = (CallId::UNSENT, Evidence::OF_NOTHING);
        Box::new(Ended {
            key: CallKey::NONE,
            call,
            outcome,
            evidence,
            arguments: Vec::new().into(),
        })
    }

    #[test]
    fn a_call_did_not_run_only_if_neither_server_ran_it() {
        let channel = Channel::connect_in(&crate::reactor::world(), "127.0.0.1:9");
        let connection = channel.expect("an address").connection;
        let join = |earlier, last| {
            let earlier = Some((Arc::clone(&connection), finished(earlier)));
            let of_last = End::of(Arc::clone(&connection), finished(last));
            End { earlier, was_hedged: true, ..of_last }.join().1.outcome.execution()
        };
        assert_eq!(join(NotExecuted, NotExecuted), NotExecuted);
        assert_eq!(join(Unknown, NotExecuted), Unknown);
        assert_eq!(join(NotExecuted, Unknown), Unknown);
        assert_eq!(join(Unknown, Unknown), Unknown);
        for earlier in [NotExecuted, Unknown] {
            assert_eq!(join(earlier, Executed), Executed, "an answer is one");
        }
    }
}
