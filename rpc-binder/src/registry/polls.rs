//! Which servers are to be asked how they are, and when.
//!
//! ```text
//!   report ──wants it──► waits for its time ──taken──► under way ──answered, or not──► waits …
//! ```
//!
//! Those that answered last come first, and the others, which may never have been there, are under way a
//! few at a time: so whoever registers what does not answer delays nobody who does. Does not know how a
//! server is asked. Bounded by [`POLLED_MAX`] and [`DOUBTED_MAX`]; nothing of it lasts.

use std::collections::BTreeSet;

use rpc_runtime::binder::report::POLL_MIN;
use rpc_runtime::binder::{RegistrationId, Report};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::time::{Duration, Instant};

use super::Registry;
use super::marks::{Marked, Marks};

/// Most registrations that are asked for; others that want it are not.
pub const POLLED_MAX: usize = 4_096;
/// Most that are asked at a time of those that did not answer when they were asked last, or never were.
pub const DOUBTED_MAX: usize = 8;
/// A server that did not answer so often in a row is given to no client.
pub const SILENCES_MAX: u32 = 3;
/// One that is silent is asked no more often than this.
const SILENT_EVERY: Duration = Duration::from_secs(1);

/// A registration whose server is asked how it is.
#[derive(Debug)]
pub(super) struct Poll {
    every: Duration,
    /// When it is asked next; nothing while it is asked.
    due: Option<Instant>,
    /// How often it did not answer since it last did.
    silences: u32,
    /// Whether it did not when it was asked last, or never was.
    is_doubted: bool,
}

/// Whose servers are asked, and who is next.
#[derive(Debug, Default)]
pub(super) struct Polls {
    /// Those that answered last, by when they are asked.
    known: BTreeSet<(Instant, RegistrationId)>,
    /// The others.
    doubted: BTreeSet<(Instant, RegistrationId)>,
    /// Those of the others that are asked now.
    asked: BTreeSet<RegistrationId>,
    count: usize,
}

impl Polls {
    fn of(&mut self, is_doubted: bool) -> &mut BTreeSet<(Instant, RegistrationId)> {
        if is_doubted { &mut self.doubted } else { &mut self.known }
    }

    /// The first of the others, if one more may be asked.
    fn next_doubted(&self) -> Option<&(Instant, RegistrationId)> {
        self.doubted.first().filter(|_| self.asked.len() < DOUBTED_MAX)
    }

    /// When somebody is to be asked next.
    fn next(&self) -> Option<Instant> {
        self.known.first().into_iter().chain(self.next_doubted()).map(|(at, _)| *at).min()
    }

    /// Who is to be asked now.
    fn due(&self, now: Instant) -> Option<(Instant, RegistrationId)> {
        let mut first = self.known.first().into_iter().chain(self.next_doubted());
        first.find(|(due, _)| *due <= now).copied()
    }
}

/// A server that is to be asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// For which registration.
    pub id: RegistrationId,
    /// The service's name.
    pub name: String,
    /// Which server.
    pub server: ServerId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// How often it is asked: no answer need be waited for longer.
    pub every: Duration,
    /// How often it did not answer since it last did: at another address it may.
    pub silences: u32,
}

impl Poll {
    /// Whether it did not answer for too long.
    pub(super) const fn is_silent(&self) -> bool {
        self.silences >= SILENCES_MAX
    }
}

impl Registry {
    /// When a server is to be asked next.
    #[must_use]
    pub fn next_poll(&self) -> Option<Instant> {
        self.polls.next()
    }

    /// The server that is to be asked now, if one is. Its answer, or that there is none, is to be told
    /// ([`Registry::polled`]).
    pub fn take_poll(&mut self, now: Instant) -> Option<Question> {
        let (due, id) = loop {
            let (due, id) = self.polls.due(now)?;
            let silence = now.since(self.records[&id].reported_at);
            if !self.limits.is_shared || silence <= self.limits.lease {
                break (due, id);
            }
            self.forget_poll(id); // it renews at another binder, which asks it
        };
        let record = self.records.get_mut(&id).expect("polls are of records");
        let poll = record.poll.as_mut().expect("it stands among the polls");
        self.polls.of(poll.is_doubted).remove(&(due, id));
        if poll.is_doubted {
            self.polls.asked.insert(id);
        }
        poll.due = None;
        let (every, silences) = (poll.every, poll.silences);
        let registration = &record.kept.registration;
        Some(Question {
            id,
            name: registration.name.clone(),
            server: registration.server,
            incarnation: registration.incarnation,
            addresses: registration.addresses.clone(),
            every,
            silences,
        })
    }

    /// A server that was asked has answered, or has not. `None`: it could not be asked, which says nothing.
    pub fn polled(
        &mut self,
        now: Instant,
        id: RegistrationId,
        has_answered: Option<bool>,
    ) -> Marked {
        self.polls.asked.remove(&id);
        let poll = self.records.get_mut(&id).and_then(|record| record.poll.as_mut());
        let Some(poll) = poll.filter(|poll| poll.due.is_none()) else { return Marked::default() };
        let (mut set, mut clear) = (Marks::NONE, Marks::NONE);
        match has_answered {
            Some(true) => {
                poll.silences = 0;
                poll.is_doubted = false;
                clear = Marks::SILENT; // though another binder has found it silent
            }
            Some(false) => {
                poll.silences = poll.silences.saturating_add(1);
                poll.is_doubted = true;
            }
            None => {}
        }
        if poll.is_silent() {
            set = Marks::SILENT;
        }
        let pause = if poll.is_silent() { poll.every.max(SILENT_EVERY) } else { poll.every };
        let due = now + pause;
        poll.due = Some(due);
        self.polls.of(poll.is_doubted).insert((due, id));
        self.mark(now, id, set, clear)
    }

    /// A server has said how often it wants to be asked.
    pub(super) fn plan_poll(&mut self, now: Instant, id: RegistrationId, report: &Report) {
        if report.poll_ms == 0 {
            self.forget_poll(id);
            return;
        }
        let wanted = Duration::from_millis(report.poll_ms.into());
        let every = wanted.min(self.limits.lease).max(POLL_MIN);
        let has_room = self.polls.count < POLLED_MAX;
        let record = self.record_mut(id);
        if let Some(poll) = &mut record.poll {
            poll.every = every;
        } else if has_room {
            let due = now + every;
            record.poll = Some(Poll { every, due: Some(due), silences: 0, is_doubted: true });
            self.polls.of(true).insert((due, id));
            self.polls.count += 1;
        }
    }

    /// Nobody asks for a registration any more.
    pub(super) fn forget_poll(&mut self, id: RegistrationId) {
        let poll = self.records.get_mut(&id).and_then(|record| record.poll.take());
        if let Some(poll) = poll {
            self.polls.count -= 1;
            if let Some(due) = poll.due {
                self.polls.of(poll.is_doubted).remove(&(due, id));
            }
        }
    }
}
