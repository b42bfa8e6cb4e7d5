//! Extermination: a client's later life kills what its earlier ones left, from its journal, and says
//! what it could not reach.
//!
//! The strategy's known weakness is a chain whose middle is down (Tanenbaum & van Steen, 8.3.2): what
//! that had called runs on, and nobody above knows of it. It cannot be mended from above, only be
//! counted, asked again, and ended: by the middle's own journal, or by the deadline that all calls of
//! a chain share.
//!
//! Knows what the answers mean for the work behind the calls; how they are come by is `recovery`'s.

use std::fmt;
use std::sync::Arc;

use super::Resolution;
use super::channel::Channel;
use super::connection::Connection;
use super::journal::{Keeper, RecordedCall};
use super::recovery::{Asked, Asking, Way};
use crate::error::CallError;
use crate::ids::{Incarnation, ServerId, Space};
use crate::protocol::{DoubtCause, Evidence, Limits, Outcome};
use crate::wire::ReplyStatus;

/// What became of the work behind a call that was to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fate {
    /// It ran, and stopped when it was told to; and so did all that it had called.
    Killed,
    /// It had ended, or ran to its end all the same.
    Ended,
    /// It never ran, and never will.
    NeverRan,
    /// It was told to stop, and had not when the time for asking was over.
    Running,
    /// Its server did not answer; it may run. It stays in the journal as it is.
    Unreached,
    /// Another life of its server, or another server, is in its place: it is over, but what it had
    /// called may run. It stays in the journal as in doubt.
    Broken,
    /// As [`Fate::Unreached`] or [`Fate::Broken`], but the call's time is over, and with it that of
    /// all that it had called.
    Over,
}

impl Fate {
    /// Whether a part of the chain behind the call may run on, and nobody told it to stop.
    #[must_use]
    pub const fn is_missed(self) -> bool {
        match self {
            Self::Unreached | Self::Broken => true,
            Self::Killed | Self::Ended | Self::NeverRan | Self::Running | Self::Over => false,
        }
    }

    /// For a list of calls.
    const fn words(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Ended => "had ended",
            Self::NeverRan => "never ran",
            Self::Running => "told to stop, but still running",
            Self::Unreached => "its server did not answer, it may run",
            Self::Broken => "another life of its server is there, what it had called may run",
            Self::Over => "not reached, but its time is over",
        }
    }
}

/// One call of a former life that was to be killed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exterminated {
    /// As it is in the journal.
    pub call: RecordedCall,
    /// What became of the work.
    pub fate: Fate,
    /// What is known of the call, as `resolve` tells it.
    pub answer: Result<Resolution, CallError>,
}

/// What [`Channel::exterminate`] did.
#[derive(Clone, Debug, Default)]
#[must_use = "chains that were missed are to be exterminated again"]
pub struct Extermination {
    calls: Vec<Exterminated>,
}

impl Extermination {
    /// Every call that was to be killed.
    #[must_use]
    pub fn calls(&self) -> &[Exterminated] {
        &self.calls
    }

    /// How many calls came to that.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.calls.iter().filter(|one| one.fate == fate).count()
    }

    /// Chains of calls a part of which may run on, because a server is down or has died: the next
    /// [`Channel::exterminate`] asks for them again.
    #[must_use]
    pub fn chains_missed(&self) -> usize {
        self.calls.iter().filter(|one| one.fate.is_missed()).count()
    }
}

impl fmt::Display for Extermination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (calls, missed) = (self.calls.len(), self.chains_missed());
        write!(f, "{calls} call{} left", plural(calls))?;
        for fate in [Fate::Killed, Fate::Ended, Fate::NeverRan, Fate::Running, Fate::Over] {
            let count = self.count(fate);
            if count > 0 {
                write!(f, "; {count} {}", fate.words())?;
            }
        }
        if missed > 0 {
            write!(f, "; {missed} chain{} missed, to be exterminated again:", plural(missed))?;
        }
        for Exterminated { call, fate, .. } in self.calls.iter().filter(|one| one.fate.is_missed())
        {
            write!(f, "\n  {} at {}: {}", call.method(), call.place(), fate.words())?;
        }
        Ok(())
    }
}

impl Channel {
    /// Kills what former lives left: every unfinished call is called off, its handler told to stop if
    /// it runs, and all that it called with it. At all servers, whichever the channel leads to, and at
    /// all of them at a time, within the channel's timeout. Nothing without a journal.
    ///
    /// Chains are missed where a server is down, and where one has died that had called others: the
    /// report counts them, and the next extermination asks for them again, until their time is over.
    /// A server that calls others keeps a journal itself to mend its part of a chain when it comes
    /// back. Of calls whose server has died the last thousand that ended are counted.
    ///
    /// ```no_run
    /// # use rpc_runtime::Channel;
    /// let channel = Channel::connect("udp://127.0.0.1:7001")?.journal("till.journal")?;
    /// let report = channel.exterminate();
    /// println!("{report}");
    /// if report.chains_missed() > 0 { /* again in a while */ }
    /// # Ok::<(), rpc_runtime::CallError>(())
    /// ```
    pub fn exterminate(&self) -> Extermination {
        let mut connections = self.connections();
        let Some(keeper) = connections.first().and_then(|one| one.keeper.clone()) else {
            return Extermination::default();
        };
        let deadline = self.deadline();
        // Before the asking, or those whose server turns out to have died would count twice.
        let broken = keeper.broken();
        let left = self.unfinished();
        let mut asked = Vec::with_capacity(left.len());
        for call in &left {
            let way = Way::Stop;
            let asking =
                Asking { keeper: &keeper, connections: &connections, call, deadline, way }.ask();
            if let Ok(Asked { connection, .. }) = &asking
                && !connections.iter().any(|one| Arc::ptr_eq(one, connection))
            {
                connections.push(Arc::clone(connection));
            }
            asked.push((call, asking));
        }
        let judge = Judge { keeper: &keeper, first: &connections[0] };
        let mut calls: Vec<Exterminated> =
            asked.into_iter().map(|(call, asked)| judge.judge(call, asked)).collect();
        let broken = broken.into_iter().map(RecordedCall).filter(|call| !judge.is_over(call));
        calls.extend(broken.map(|call| {
            let answer = Err(call.doubt(DoubtCause::ServerRestarted));
            Exterminated { call, fate: Fate::Broken, answer }
        }));
        Extermination { calls }
    }
}

/// Tells what answers mean for the work behind calls.
struct Judge<'j> {
    keeper: &'j Arc<Keeper>,
    first: &'j Arc<Connection>,
}

impl Judge<'_> {
    fn judge(&self, call: &RecordedCall, asked: Result<Asked<'_>, CallError>) -> Exterminated {
        let (fate, answer) = match asked {
            Ok(asked) => {
                let connection = Arc::clone(&asked.connection);
                let (answer, outcome, evidence) = asked.wait();
                let there = connection.lock().core.found_there();
                let fate = self.fate(call, &outcome, &evidence, there);
                if let (Fate::Ended | Fate::NeverRan, Outcome::InDoubt(cause)) = (fate, outcome)
                    && !self.is_settled(call)
                {
                    // A slot that was used again says so without the server: nobody wrote it down.
                    self.keeper.give_up(&connection, call.id(), cause);
                }
                (fate, answer)
            }
            // The server has deleted its slots, and nothing that runs has any.
            Err(error) if error.kind() == crate::ErrorKind::GenerationEnded => {
                (Fate::Ended, Err(error))
            }
            Err(error) => (Fate::Unreached, Err(error)),
        };
        let fate = if fate.is_missed() && self.is_over(call) { Fate::Over } else { fate };
        Exterminated { call: call.clone(), fate, answer }
    }

    fn fate(
        &self,
        call: &RecordedCall,
        outcome: &Outcome,
        evidence: &Evidence,
        there: ServerId,
    ) -> Fate {
        let is_durable = call.id().space == Space::Durable;
        let life: Incarnation = call.0.started.incarnation;
        // A durable call that did not return in the life it was begun in died with that, too.
        let outlived = is_durable && evidence.incarnation != life;
        match outcome {
            Outcome::Returned(_) => Fate::Ended,
            Outcome::Failed { status, .. } => match status {
                ReplyStatus::Cancelled | ReplyStatus::CancelledPartial => Fate::Killed,
                ReplyStatus::Returned
                | ReplyStatus::Panicked
                | ReplyStatus::TooLarge
                | ReplyStatus::HandlerFailed => Fate::Ended,
            },
            Outcome::Refused { .. } | Outcome::Sealed if outlived => Fate::Broken,
            Outcome::Refused { .. } | Outcome::Sealed => Fate::NeverRan,
            Outcome::InDoubt(cause) => match cause {
                // Here it never ran; of where it was before the journal has an entry of its own.
                DoubtCause::RefusedAfterDoubt => Fate::NeverRan,
                DoubtCause::ServerRestarted => Fate::Broken,
                DoubtCause::Closed | DoubtCause::GenerationEnded => Fate::Ended,
                // A session ends when nothing runs in it; but another server's word is none.
                DoubtCause::SessionLost if self.is_settled(call) => Fate::Ended,
                DoubtCause::SessionLost if there.is_some() && there != call.server() => {
                    Fate::Broken
                }
                DoubtCause::NoReply
                | DoubtCause::Cancelled
                | DoubtCause::ServerDied
                | DoubtCause::JournalFailed
                | DoubtCause::SessionLost
                    if evidence.working_seen =>
                {
                    Fate::Running
                }
                DoubtCause::NoReply
                | DoubtCause::Cancelled
                | DoubtCause::ServerDied
                | DoubtCause::JournalFailed
                | DoubtCause::SessionLost => Fate::Unreached,
            },
            Outcome::Sent | Outcome::Rejected { .. } | Outcome::NotSent(_) => Fate::Unreached,
        }
    }

    /// Whether the journal knows the end of that.
    fn is_settled(&self, call: &RecordedCall) -> bool {
        self.keeper.call(call.id()).is_none_or(|call| call.ending.is_some())
    }

    /// Whether the call's deadline has passed, and handlers have had time to heed it. By this
    /// machine's clock: what ran until then is not harmed by its being wrong, only not counted.
    fn is_over(&self, call: &RecordedCall) -> bool {
        let grace_ms = u64::try_from(Limits::default().grace.as_millis()).unwrap_or(u64::MAX);
        let over_ms = call.0.started.over_unix_ms.saturating_add(grace_ms);
        over_ms < self.first.world.unix_ms()
    }
}
