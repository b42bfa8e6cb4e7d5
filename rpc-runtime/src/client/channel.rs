//! Channels: what stubs stand on.

use std::sync::Arc;

use super::call::answer;
use super::connection::Connection;
use super::marshalled::{self, Marshalled};
use super::options::TIMEOUT_DEFAULT;
use super::parent::Parent;
use super::recovery::Way;
use super::registry::{self, Identity};
use super::route::{Finder, Route};
use super::verdict::resolution;
use super::whereabouts::Whereabouts;
use super::{Options, Resolution};
use crate::address::Address;
use crate::context;
use crate::driver::{StreamCounters, World};
use crate::error::CallError;
use crate::ids::{CallId, ClientId, Incarnation, ServerId};
use crate::interface::Interface;
use crate::protocol::ClientCounters;
use crate::scheme;
use crate::time::Instant;

/// A way to one server, shared by any number of stubs and threads. Cloning is cheap.
///
/// All channels of a process that lead to one server share a connection, and with it a session.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(super) connection: Arc<Connection>,
    /// Leads elsewhere when the server is lost; an address alone does not.
    pub(super) route: Option<Arc<Route>>,
    pub(super) options: Options,
}

/// What a channel's connection has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// The protocol's counters.
    pub protocol: ClientCounters,
    /// What became of its streams; all zero where there are none.
    pub streams: StreamCounters,
    /// Calls made again at this server, each after it certainly did not run.
    pub retries: u64,
    /// Calls that were not made again because the budget was spent.
    pub retries_denied: u64,
    /// Calls that were not made here because this server keeps failing and is left alone.
    pub kept_back: u64,
    /// Calls made at a second server too, because the first took long. This and what follows is
    /// the channel's, over all its servers.
    pub hedges: u64,
    /// Those of them that the second server answered first.
    pub hedges_won: u64,
    /// Calls that were not, because the second server's budget was spent.
    pub hedges_denied: u64,
    /// Those that were called off at one server because the other had answered.
    pub hedges_called_off: u64,
}

impl Channel {
    /// A channel to the server at `url`, such as `udp://127.0.0.1:7001`. Nothing is sent before the
    /// first call.
    ///
    /// The transports are those of [`Server::bind`](crate::Server::bind): `udp://`, `tcp://`, `unix://`,
    /// `shm://`, `mem://`, and `sim://` in a simulation. A session outlives streams and shared memory: one
    /// that breaks is opened again, and what has no reply is sent again, which runs nothing twice.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::BadAddress`]: the URL cannot be used.
    pub fn connect(url: &str) -> Result<Self, CallError> {
        let (world, place) = scheme::open(url)?;
        Self::connect_in(&world, &place)
    }

    /// As [`Channel::connect`], to `place` (what stands behind `://`) of a given world: one with
    /// injected faults, for instance.
    ///
    /// # Errors
    ///
    /// As [`Channel::connect`].
    pub fn connect_in(world: &Arc<dyn World>, place: &str) -> Result<Self, CallError> {
        Self::to(world, place, ServerId::NONE, Incarnation::NONE)
    }

    /// As [`Channel::connect`], under a name that outlives the process: a restarted client is seen as
    /// the same one, in a later life, and servers that reincarnate look after what its former life
    /// left (see [`crate::orphans`]). No two processes that live at a time may have one name.
    ///
    /// # Errors
    ///
    /// As [`Channel::connect`].
    pub fn connect_as(url: &str, client: ClientId) -> Result<Self, CallError> {
        let (world, place) = scheme::open(url)?;
        let (server, incarnation) = (ServerId::NONE, Incarnation::NONE);
        let identity = Identity::Named(client);
        let connection = registry::connect(&world, &place, server, incarnation, &identity)?;
        Ok(Self { connection, route: None, options: Options::new() })
    }

    /// A channel to one server in one of its lives: whoever else lives at `place` is never called.
    ///
    /// # Errors
    ///
    /// As [`Channel::connect`].
    pub fn to(
        world: &Arc<dyn World>,
        place: &str,
        server: ServerId,
        incarnation: Incarnation,
    ) -> Result<Self, CallError> {
        let identity = Identity::Fresh;
        let connection = registry::connect(world, place, server, incarnation, &identity)?;
        Ok(Self { connection, route: None, options: Options::new() })
    }

    /// A channel to whatever server `finder` finds: one until `deadline`, and another one whenever
    /// that is lost.
    ///
    /// # Errors
    ///
    /// There is none, or the call under service was called off.
    pub(crate) fn found(finder: Box<dyn Finder>, deadline: Instant) -> Result<Self, CallError> {
        let search = Arc::<Whereabouts>::default();
        let _parent = Parent::enter_moving(context::current(), &search);
        let route = Route::open(finder, deadline, &search).map_err(|error| {
            if search.is_cancelled() { marshalled::called_off() } else { error }
        })?;
        let connection = route.current();
        Ok(Self { connection, route: Some(route), options: Options::new() })
    }

    /// The connection that the next call takes.
    pub(super) fn connection(&self) -> Arc<Connection> {
        self.route.as_ref().map_or_else(|| Arc::clone(&self.connection), |route| route.current())
    }

    /// The address of the server that the channel leads to.
    #[must_use]
    pub fn peer(&self) -> Address {
        self.connection().target().address
    }

    /// The same channel with other options for its calls.
    #[must_use]
    pub fn with(&self, options: Options) -> Self {
        Self { options, ..self.clone() }
    }

    /// Begins a call of `interface`'s method `method`. For generated code.
    pub fn call(&self, interface: &'static Interface, method: usize) -> Marshalled<'_> {
        Marshalled::new(self, interface, method)
    }

    /// Asks what became of a call that ended in doubt: the server answers with the stored reply, or
    /// promises never to run the call. With a journal, calls of the client's former lives can be
    /// asked about, too.
    ///
    /// # Errors
    ///
    /// The call stays in doubt: the server did not answer in time, the session that carried the
    /// call is gone, or its slot has been used for a later call.
    pub fn resolve(&self, call: CallId) -> Result<Resolution, CallError> {
        let deadline = self.deadline();
        if let Some(answer) = self.settle(call, deadline, Way::Seal) {
            return answer;
        }
        // A channel that led elsewhere before asks there too: one of them carried the call.
        let mut answers = self.connections().into_iter().map(|connection| {
            let key = connection.ask(|core, now| core.resolve(now, call, deadline));
            resolution(answer(&connection, key))
        });
        let first = answers.next().expect("a channel has a connection");
        first.or_else(|error| answers.find_map(Result::ok).ok_or(error))
    }

    /// All connections that a call may have gone through, the current one first.
    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.route.as_ref().map_or_else(|| vec![self.connection()], |route| route.all())
    }

    /// Until when a question may take that is asked now: no longer than the call under service.
    pub(super) fn deadline(&self) -> Instant {
        let timeout = self.options.timeout.unwrap_or(TIMEOUT_DEFAULT);
        marshalled::deadline(&self.connection, context::current().as_ref(), timeout)
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        let connection = self.connection();
        let protocol = connection.counters();
        let mut stats = {
            let state = connection.lock();
            let (retries, retries_denied) = (state.retries, state.retries_denied);
            let kept_back = state.kept_back;
            let streams = connection.link.streams();
            ChannelStats {
                protocol,
                streams,
                retries,
                retries_denied,
                kept_back,
                ..Default::default()
            }
        };
        if let Some(route) = &self.route {
            route.hedges.report(&mut stats);
        }
        stats
    }

    /// Whether the server keeps failing and would be left alone now.
    pub(crate) fn is_left_alone(&self) -> bool {
        self.connection().is_left_alone()
    }
}
