//! Which servers are to be asked how they are, and when.
//!
//! ```text
//!   report ──wants it──► waits for its time ──taken──► under way ──answered, or not──► waits …
//! ```
//!
//! Does not know how a server is asked. Bounded by [`POLLED_MAX`]; nothing of it lasts.

use rpc_runtime::binder::report::POLL_MIN;
use rpc_runtime::binder::{RegistrationId, Report};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::time::{Duration, Instant};

use super::Registry;

/// Most registrations that are asked for; others that want it are not.
pub const POLLED_MAX: usize = 4_096;
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
        self.polls.first().map(|(at, _)| *at)
    }

    /// The server that is to be asked now, if one is. Its answer, or that there is none, is to be told
    /// ([`Registry::polled`]).
    pub fn take_poll(&mut self, now: Instant) -> Option<Question> {
        let &(due, id) = self.polls.first().filter(|(due, _)| *due <= now)?;
        self.polls.remove(&(due, id));
        let record = self.record_mut(id);
        let poll = record.poll.as_mut().expect("it stands among the polls");
        poll.due = None;
        let every = poll.every;
        let registration = &record.kept.registration;
        Some(Question {
            id,
            name: registration.name.clone(),
            server: registration.server,
            incarnation: registration.incarnation,
            addresses: registration.addresses.clone(),
            every,
        })
    }

    /// A server that was asked has answered, or has not; gives the name under which clients see a
    /// change, if they do. `None`: it could not be asked, which says nothing.
    pub fn polled(
        &mut self,
        now: Instant,
        id: RegistrationId,
        has_answered: Option<bool>,
    ) -> Option<String> {
        let settles = self.limits.settles;
        let record = self.records.get_mut(&id)?;
        let before = record.state(now, settles);
        let poll = record.poll.as_mut().filter(|poll| poll.due.is_none())?;
        match has_answered {
            Some(true) => poll.silences = 0,
            Some(false) => poll.silences = poll.silences.saturating_add(1),
            None => {}
        }
        let pause = if poll.is_silent() { poll.every.max(SILENT_EVERY) } else { poll.every };
        let due = now + pause;
        poll.due = Some(due);
        let is_change = record.state(now, settles) != before;
        let name = is_change.then(|| record.kept.registration.name.clone());
        self.polls.insert((due, id));
        if let Some(name) = &name {
            self.touch(name.clone());
        }
        name
    }

    /// A server has said how often it wants to be asked.
    pub(super) fn plan_poll(&mut self, now: Instant, id: RegistrationId, report: &Report) {
        if report.poll_ms == 0 {
            self.forget_poll(id);
            return;
        }
        let wanted = Duration::from_millis(report.poll_ms.into());
        let every = wanted.min(self.limits.lease).max(POLL_MIN);
        let has_room = self.polled < POLLED_MAX;
        let record = self.record_mut(id);
        if let Some(poll) = &mut record.poll {
            poll.every = every;
        } else if has_room {
            let due = now + every;
            record.poll = Some(Poll { every, due: Some(due), silences: 0 });
            self.polls.insert((due, id));
            self.polled += 1;
        }
    }

    /// Nobody asks for a registration any more.
    pub(super) fn forget_poll(&mut self, id: RegistrationId) {
        let poll = self.records.get_mut(&id).and_then(|record| record.poll.take());
        if let Some(poll) = poll {
            self.polled -= 1;
            if let Some(due) = poll.due {
                self.polls.remove(&(due, id));
            }
        }
    }
}
