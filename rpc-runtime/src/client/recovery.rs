//! What a client with a journal does about the calls of its former lives: lists them, asks what became
//! of them, calls them off, or has them run after all.
//!
//! Knows which connection can ask: durable calls go on in any session with their generation, others
//! are asked about in the session that they were made in. How the asking is done is the machine's
//! business.

use std::fmt;
use std::sync::Arc;

use super::channel::Channel;
use super::connection::Connection;
#[cfg(feature = "reactor")]
use super::journal::JournalError;
use super::journal::ledger::Call;
use super::journal::{Ending, Journal, Keeper};
use super::registry::{self, Identity};
use super::verdict::{failed, in_doubt, resolution};
use super::{Reply, Resolution};
use crate::error::{CallError, ErrorKind, Execution};
use crate::ids::{CallId, GenerationId, Incarnation, ServerId, Space};
use crate::marshal::{Args, Marshal};
use crate::protocol::{DoubtCause, FormerCall};
use crate::time::Instant;

/// A call in a journal.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedCall(pub(super) Call);

impl RecordedCall {
    /// Names it, for `resolve`.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.0.started.call
    }

    /// Service and method, such as `bank.transfer`.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.started.label
    }

    /// When it was recorded: milliseconds since 1970, by this machine's clock.
    #[must_use]
    pub const fn unix_ms(&self) -> u64 {
        self.0.started.unix_ms
    }

    /// The server that it was for.
    #[must_use]
    pub const fn server(&self) -> ServerId {
        self.0.started.server
    }

    /// Where that was called: what stands behind `://`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.started.place
    }

    /// Its parameters, if they are these: `call.arguments::<(String, String, u64)>()`.
    #[must_use]
    pub fn arguments<T: Marshal>(&self) -> Option<T> {
        Args::of(&self.0.started.arguments).last::<T>().ok()
    }

    /// Whether it ran, as far as the journal knows.
    #[must_use]
    pub const fn execution(&self) -> Execution {
        match &self.0.ending {
            Some(Ending::Returned(_) | Ending::Failed(..)) => Execution::Executed,
            Some(Ending::NotExecuted) => Execution::NotExecuted,
            Some(Ending::Unknown(_)) | None => Execution::Unknown,
        }
    }

    /// What became of it, if the journal knows.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.told().and_then(Result::ok)
    }

    /// What its caller was told, or was to be told.
    fn told(&self) -> Option<Result<Resolution, CallError>> {
        Some(match self.0.ending.as_ref()? {
            Ending::Returned(body) => Ok(Resolution::Returned(Reply(body.clone()))),
            Ending::Failed(status, body) => {
                Ok(Resolution::Failed(failed(*status, body).to_string()))
            }
            Ending::NotExecuted => Ok(Resolution::NotExecuted),
            Ending::Unknown(cause) => Err(self.doubt(*cause)),
        })
    }

    fn doubt(&self, cause: DoubtCause) -> CallError {
        let error = CallError::new(in_doubt(cause), Execution::Unknown).with_call(self.id());
        error.with_method(self.method())
    }
}

impl fmt::Debug for RecordedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordedCall({} {}, {:?})", self.id(), self.method(), self.execution())
    }
}

/// What is to become of a call that has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is not to run any more, if it did not.
    Seal,
    /// And what works at it is to stop.
    Stop,
    /// It is to run, if it did not.
    Complete,
}

impl Channel {
    /// The same channel for a client that survives its own crash: it keeps a journal at `path`.
    ///
    /// The journal says who the client is, over all its lives. Each `exactly_once` call is on the
    /// disk before its first byte leaves, and what became of it before that is reported, so that a
    /// later life learns it: see [`Channel::unfinished`] and [`Channel::resolve`]. Calls made at the
    /// same time share flushes. A call that cannot be recorded, because the disk is full for
    /// instance, is not made. All channels of a process share a journal; two processes cannot.
    ///
    /// ```no_run
    /// use rpc_runtime::{Channel, Resolution};
    ///
    /// let channel = Channel::connect("udp://127.0.0.1:7001")?.journal("till.journal")?;
    /// for call in channel.unfinished() {
    ///     match channel.resolve(call.id())? {
    ///         Resolution::Returned(_) => println!("{} ran", call.method()),
    ///         other => println!("{}: {other:?}", call.method()),
    ///     }
    /// }
    /// # Ok::<(), rpc_runtime::CallError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::JournalFailed`]: the journal cannot be opened, or another process has it open.
    #[cfg(feature = "reactor")]
    pub fn journal(&self, path: impl AsRef<std::path::Path>) -> Result<Self, CallError> {
        let journal = Journal::open(path).map_err(|error| cannot_keep(&error))?;
        self.with_journal(&journal)
    }

    /// As [`Channel::journal`], with one that is open.
    ///
    /// # Errors
    ///
    /// As [`Channel::connect`].
    pub fn with_journal(&self, journal: &Journal) -> Result<Self, CallError> {
        let keeper = journal.keeper();
        let connection = registry::keeping(&self.connection(), keeper)?;
        let route = match &self.route {
            Some(route) => Some(Arc::new(route.keeping(keeper)?)),
            None => None,
        };
        Ok(Self { connection, route, options: self.options })
    }

    /// The calls in the journal without an end, but for those under way: what former lives left, and
    /// what ended in doubt in this one. `resolve` tells what became of each. None without a journal.
    #[must_use]
    pub fn unfinished(&self) -> Vec<RecordedCall> {
        let connection = self.connection();
        let unfinished = connection.keeper.as_ref().map(|keeper| keeper.unfinished());
        unfinished.unwrap_or_default().into_iter().map(RecordedCall).collect()
    }

    /// Has an `exactly_once` call of a former life, or one that ended in doubt, run after all if it
    /// did not: once in all. Another call is resolved.
    ///
    /// # Errors
    ///
    /// As [`Channel::resolve`].
    pub fn complete(&self, call: CallId) -> Result<Resolution, CallError> {
        let answer = self.settle(call, self.deadline(), Way::Complete);
        answer.unwrap_or_else(|| self.resolve(call))
    }

    /// Kills what former lives left: every unfinished call is called off, its handler told to stop if
    /// it runs, and all that it called with it. Says of each what became of it; what no server
    /// answered for can be asked again.
    #[must_use]
    pub fn exterminate(&self) -> Vec<(RecordedCall, Result<Resolution, CallError>)> {
        let kill = |call: RecordedCall| {
            let answer = self.settle(call.id(), self.deadline(), Way::Stop);
            let answer = answer.unwrap_or_else(|| self.resolve(call.id()));
            (call, answer)
        };
        self.unfinished().into_iter().map(kill).collect()
    }

    /// Settles a call that is in the journal; none otherwise.
    pub(super) fn settle(
        &self,
        id: CallId,
        deadline: Instant,
        way: Way,
    ) -> Option<Result<Resolution, CallError>> {
        let connections = self.connections();
        let keeper = connections.first()?.keeper.clone()?;
        let call = RecordedCall(keeper.call(id)?);
        if let Some(told) = call.told() {
            return Some(told);
        }
        let asking = Asking { keeper, connections, call, deadline, way };
        Some(match id.space {
            Space::Durable => asking.durable(),
            Space::Session | Space::Maybe => asking.former(),
        })
    }
}

/// A call that somebody asks about.
struct Asking {
    keeper: Arc<Keeper>,
    /// The channel's, the current one first.
    connections: Vec<Arc<Connection>>,
    call: RecordedCall,
    deadline: Instant,
    way: Way,
}

impl Asking {
    /// In whatever session has the generation.
    fn durable(self) -> Result<Resolution, CallError> {
        let id = self.call.id();
        let generation = GenerationId(id.session.0);
        let open = || self.open();
        let holder = self.keeper.holder(generation, &self.connections, open)?;
        let Some(holder) = holder else {
            self.keeper.give_up(&self.connections[0], id, DoubtCause::GenerationEnded);
            return Err(self.call.doubt(DoubtCause::GenerationEnded));
        };
        let (deadline, way) = (self.deadline, self.way);
        let key = holder.ask(|core, now| match way {
            Way::Seal => core.resolve(now, id, deadline),
            Way::Stop => core.call_off(now, id, deadline),
            Way::Complete => {
                core.complete(now, id, self.call.0.started.to_record(deadline), deadline)
            }
        });
        let answer = resolution(holder.wait(key));
        answer.map_err(|error| holder.explain(error).with_method(self.call.method()))
    }

    /// In the session that it was made in, by this life or a former one.
    fn former(self) -> Result<Resolution, CallError> {
        let (id, deadline) = (self.call.id(), self.deadline);
        let session = |one: &Arc<Connection>| one.lock().core.session_id();
        let own = self.connections.iter().find(|one| session(one) == Some(id.session));
        let (asked, key) = if let Some(own) = own {
            let key = own.ask(|core, now| match self.way {
                Way::Seal | Way::Complete => core.resolve(now, id, deadline),
                Way::Stop => core.call_off(now, id, deadline),
            });
            (Arc::clone(own), key)
        } else {
            let server = self.call.server();
            let leads = |one: &&Arc<Connection>| {
                let there = one.lock().core.server();
                !there.is_some() || there == server
            };
            let asked = match self.connections.iter().find(leads) {
                Some(one) => Arc::clone(one),
                None => self.open()?,
            };
            let incarnation = self.call.0.started.incarnation;
            let former = FormerCall { call: id, server, incarnation };
            let stops = self.way == Way::Stop;
            let key = asked.ask(|core, now| core.resolve_former(now, former, deadline, stops));
            (asked, key)
        };
        let answer = resolution(asked.wait(key));
        answer.map_err(|error| asked.explain(error).with_method(self.call.method()))
    }

    /// A connection of its own to the call's server: where a channel leads there, or where it was.
    fn open(&self) -> Result<Arc<Connection>, CallError> {
        let server = self.call.server();
        let first = &self.connections[0];
        let leads = |one: &&Arc<Connection>| one.lock().core.server() == server;
        let place = self.connections.iter().find(leads).map(|one| one.place.as_str());
        let place = place.unwrap_or(self.call.place());
        let identity = Identity::Journal(Arc::clone(&self.keeper));
        registry::open(&first.world, place, (server, Incarnation::NONE), &identity)
    }
}

/// A journal that cannot be opened.
#[cfg(feature = "reactor")]
fn cannot_keep(error: &JournalError) -> CallError {
    let text = error.to_string();
    CallError::new(ErrorKind::JournalFailed, Execution::NotExecuted).with_detail(text)
}

impl Connection {
    /// The journal's own words about an error that it caused.
    pub(super) fn explain(&self, error: CallError) -> CallError {
        let trouble = self.keeper.as_ref().filter(|_| error.kind() == ErrorKind::JournalFailed);
        match trouble.and_then(|keeper| keeper.trouble()) {
            Some(trouble) => error.with_detail(trouble.to_string()),
            None => error,
        }
    }
}
