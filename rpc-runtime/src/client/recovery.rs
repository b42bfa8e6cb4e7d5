//! What a client with a journal does about the calls of its former lives: lists them, asks what became
//! of them, calls them off, or has them run after all.
//!
//! Knows which connection can ask: durable calls go on in any session with their generation, others
//! are asked about in the session that they were made in. How the asking is done is the machine's
//! business.

use std::fmt;
use std::sync::Arc;

use super::call::answer;
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
use crate::protocol::{CallKey, DoubtCause, Evidence, FormerCall, Outcome};
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

    pub(super) fn doubt(&self, cause: DoubtCause) -> CallError {
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
    /// instance, is not made. All channels of a process share a journal; two processes cannot. The
    /// arguments of calls stand in it, and replies, readable by its owner only.
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
        let journal = Journal::open(path).map_err(cannot_keep)?;
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
            Some(route) => Some(route.keeping(keeper)?),
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
        let asking =
            Asking { keeper: &keeper, connections: &connections, call: &call, deadline, way };
        Some(asking.ask().and_then(|asked| asked.wait().0))
    }
}

/// A call that somebody asks about.
pub(super) struct Asking<'c, 'j> {
    pub(super) keeper: &'c Arc<Keeper>,
    /// The channel's, the current one first, and what else was opened for the asking.
    pub(super) connections: &'c [Arc<Connection>],
    pub(super) call: &'j RecordedCall,
    pub(super) deadline: Instant,
    pub(super) way: Way,
}

/// A question under way.
pub(super) struct Asked<'j> {
    call: &'j RecordedCall,
    pub(super) connection: Arc<Connection>,
    key: CallKey,
}

impl<'c, 'j> Asking<'c, 'j> {
    pub(super) fn ask(self) -> Result<Asked<'j>, CallError> {
        match self.call.id().space {
            Space::Durable => self.durable(),
            Space::Session | Space::Maybe => self.former(),
        }
    }

    /// In whatever session has the generation.
    fn durable(self) -> Result<Asked<'j>, CallError> {
        let Self { call, deadline, way, .. } = self;
        let id = call.id();
        let generation = GenerationId(id.session.0);
        let holder = self.keeper.holder(generation, self.connections, || self.open())?;
        let Some(connection) = holder else {
            self.keeper.give_up(&self.connections[0], id, DoubtCause::GenerationEnded);
            return Err(call.doubt(DoubtCause::GenerationEnded));
        };
        let key = connection.ask(|core, now| match way {
            Way::Seal => core.resolve(now, id, deadline),
            Way::Stop => core.call_off(now, id, deadline),
            Way::Complete => core.complete(now, id, call.0.started.to_record(deadline), deadline),
        });
        Ok(Asked { call, connection, key })
    }

    /// In the session that it was made in, by this life or a former one.
    fn former(self) -> Result<Asked<'j>, CallError> {
        let Self { call, deadline, way, .. } = self;
        let id = call.id();
        let session = |one: &&Arc<Connection>| one.lock().core.session_id() == Some(id.session);
        if let Some(own) = self.connections.iter().find(session) {
            let key = own.ask(|core, now| match way {
                Way::Seal | Way::Complete => core.resolve(now, id, deadline),
                Way::Stop => core.call_off(now, id, deadline),
            });
            return Ok(Asked { call, connection: Arc::clone(own), key });
        }
        let connection = match self.leading() {
            Some(one) => Arc::clone(one),
            None => self.open()?,
        };
        let (incarnation, in_doubt) = (call.0.started.incarnation, call.0.started.in_doubt);
        let former = FormerCall { call: id, server: call.server(), incarnation, in_doubt };
        let stops = way == Way::Stop;
        let key = connection.ask(|core, now| core.resolve_former(now, former, deadline, stops));
        Ok(Asked { call, connection, key })
    }

    /// The connection that leads to the call's server, or, where nobody has heard of that yet, to
    /// where it was.
    fn leading(&self) -> Option<&'c Arc<Connection>> {
        let (server, place) = (self.call.server(), self.call.place());
        let there = |one: &&Arc<Connection>| one.lock().core.server();
        let known = self.connections.iter().find(|one| there(one) == server);
        let unknown = |one: &&Arc<Connection>| !there(one).is_some();
        let same = |one: &&Arc<Connection>| unknown(one) && one.place == place;
        let found = known.or_else(|| self.connections.iter().find(same));
        // Whoever asks about one call on this channel says that it leads there.
        found.or_else(|| self.connections.iter().find(unknown).filter(|_| self.way != Way::Stop))
    }

    /// A connection of its own to the call's server: where a channel leads there, or where it was.
    fn open(&self) -> Result<Arc<Connection>, CallError> {
        let server = self.call.server();
        let first = &self.connections[0];
        let leads = |one: &&Arc<Connection>| one.lock().core.server() == server;
        let place = self.connections.iter().find(leads).map(|one| one.place.as_str());
        let place = place.unwrap_or(self.call.place());
        let identity = Identity::Journal(Arc::clone(self.keeper));
        registry::open(&first.world, place, (server, Incarnation::NONE), &identity)
    }
}

impl Asked<'_> {
    /// Waits for the answer; gives what was heard with it.
    pub(super) fn wait(self) -> (Result<Resolution, CallError>, Outcome, Evidence) {
        let finished = answer(&self.connection, self.key);
        let (outcome, evidence) = (finished.outcome.clone(), finished.evidence);
        let explained = |error| self.connection.explain(error).with_method(self.call.method());
        (resolution(finished).map_err(explained), outcome, evidence)
    }
}

/// A journal that cannot be opened.
#[cfg(feature = "reactor")]
fn cannot_keep(error: JournalError) -> CallError {
    CallError::new(ErrorKind::JournalFailed, Execution::NotExecuted).because(error)
}

impl Connection {
    /// The journal's own words about an error that it caused.
    pub(super) fn explain(&self, error: CallError) -> CallError {
        let trouble = self.keeper.as_ref().filter(|_| error.kind() == ErrorKind::JournalFailed);
        match trouble.and_then(|keeper| keeper.trouble()) {
            Some(trouble) => error.because(trouble),
            None => error,
        }
    }
}
