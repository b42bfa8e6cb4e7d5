//! Servers: services exported at an address.
//!
//! ```text
//!            ┌────────────── receiving thread, or several ───────────┐
//!   link ──► │ protocol core ──Execute──► `inline` and quick handlers │ ──► link
//!            │   (one lock)  ──Execute──► queue ──► worker pool       │
//!            └──────────────── ▲ takes over: standby ─────────────────┘
//! ```
//!
//! One thread receives, or several, each what other clients send; all run the timers. They run the
//! handlers of methods themselves that are marked `inline` or have been quick; all other handlers run on a
//! pool of workers (dispatcher and workers: Tanenbaum & van Steen, section 3.4). From a quick one that
//! turns out to be long another thread takes over. The protocol's state machine stands behind one lock
//! that is never held across a system call or a handler. Where things are: [`exports`] what is served,
//! [`state`] what stands behind the lock, [`lane`] what of it belongs to one receiving thread, [`dispatch`]
//! how one handler runs, [`pace`] whether it is quick, [`pending`] how async ones wait without a thread,
//! [`receiver`] and [`workers`] the threads, [`lead`] which of them receives, [`roster`] who of the workers is called, [`running`] the handle and the drain, [`registration`] the
//! door to a binder; [`figures`] what the services have done, [`health`] how they are, [`checkup`] the service that says so,
//! [`vitals`] both for whoever keeps a directory.
//!
//! Does not know sockets, clocks or threads but through [`World`], so that the same server runs in
//! the simulator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::address::Address;
use crate::driver::{Link, LinkError, World};
use crate::error::{CallError, ErrorKind, Execution};
use crate::ids::{Incarnation, ServerId};
use crate::protocol::{Limits, OrphanStrategy, ServerIdentity};
use crate::refusal;
use crate::scheme;
use crate::service::Service;
use crate::time::Duration;

mod checkup;
mod dispatch;
mod errands;
mod exports;
mod figures;
mod health;
#[cfg(feature = "model")]
pub mod explored;
mod lane;
mod lead;
mod ledger;
mod pace;
mod pending;
mod receiver;
mod registration;
mod roster;
mod running;
mod state;
mod storing;
mod traits;
mod vitals;
mod workers;

pub use checkup::{
    HEALTH_CHECK_INTERFACE, HealthCheck, HealthCheckClient, HealthCheckService, HealthCheckStart,
};
pub use figures::Figures;
pub use health::{Health, HealthStatus};
pub use ledger::Ledger;
pub use registration::{Exported, Lease, Registrar, Standing};
pub use running::{Drained, Drainer, Running};
pub use traits::Traits;
pub use vitals::Vitals;

use checkup::Checkup;
use exports::Exports;
use health::Wellbeing;
use registration::Registering;

/// Worker threads of a server that was not told how many it may have.
const WORKERS_DEFAULT: usize = 16;

/// The same of a server with a store: each call that only needs a transaction has a worker wait for
/// the flush that it is part of, and a flush is shared by all that wait.
const WORKERS_DURABLE: usize = 64;

/// Threads that receive at once in a server that was not told how many: one for so many processors, which
/// leaves others to workers and to what calls the server; and no more than these.
const PROCESSORS_PER_LANE: usize = 2;
const LANES_MAX_DEFAULT: usize = 8;

/// A server about to be started: an address, services, and how to run them.
///
/// ```
/// use rpc_runtime::{CallError, Server, service};
///
/// #[service]
/// trait Greeter {
///     fn greet(&self, name: &str) -> Result<String, CallError>;
/// }
///
/// struct Polite;
///
/// impl Greeter for Polite {
///     fn greet(&self, name: &str) -> Result<String, CallError> {
///         Ok(format!("good day, {name}"))
///     }
/// }
///
/// let server = Server::bind("udp://127.0.0.1:0")?.export(GreeterService::new(Polite)).spawn()?;
/// let greeter = GreeterClient::connect(&server.url())?;
/// assert_eq!(greeter.greet("Ann")?, "good day, Ann");
/// # Ok::<(), CallError>(())
/// ```
#[derive(Debug)]
#[must_use = "a server does nothing until `spawn` or `serve`"]
pub struct Server {
    world: Arc<dyn World>,
    link: Arc<dyn Link>,
    /// What stands before `://` in the server's URLs, and the place that was asked for.
    scheme: String,
    place: String,
    exports: Exports,
    lanes: Option<usize>,
    workers: Option<usize>,
    limits: Limits,
    strategy: OrphanStrategy,
    id: Option<ServerId>,
    incarnation: Option<Incarnation>,
    advertised: Vec<String>,
    traits: Traits,
    polled: Option<Duration>,
    registering: Vec<Registering>,
}

impl Server {
    /// Takes the address `url`:
    ///
    /// - `udp://127.0.0.1:7001`: datagrams. Port 0 lets the system choose; [`Running::url`] says what it
    ///   chose.
    /// - `tcp://127.0.0.1:7001`: the same calls over streams, one for each client process.
    /// - `unix:///run/bank.sock`: streams to a socket in the file system. The file goes with the server;
    ///   one that a killed server left is taken over, unless somebody listens there. Whoever may write to
    ///   the file may call: it is made under the process's `umask`, and its folder can keep others out.
    /// - `shm:///run/bank.sock`: memory that is shared with each client process of this machine, set up over
    ///   such a socket; who may call is the same. Needs Linux.
    /// - `mem://bank`: clients of this process only.
    /// - `sim://bank`: in a simulation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadAddress`] when the URL cannot be used, or the address is taken.
    pub fn bind(url: &str) -> Result<Self, CallError> {
        let (world, place) = scheme::open(url)?;
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).trim();
        Self::open(world, scheme, &place)
    }

    /// As [`Server::bind`], at `place` (what stands behind `://`) of a given world: one with
    /// injected faults, for instance.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub fn bind_in(world: &Arc<dyn World>, place: &str) -> Result<Self, CallError> {
        Self::open(Arc::clone(world), "", place)
    }

    fn open(world: Arc<dyn World>, scheme: &str, place: &str) -> Result<Self, CallError> {
        let link = world.listen(place).map_err(cannot_listen)?;
        Ok(Self {
            world,
            link,
            scheme: scheme.to_owned(),
            place: place.to_owned(),
            exports: Exports::default(),
            lanes: None,
            workers: None,
            limits: Limits::default(),
            strategy: OrphanStrategy::default(),
            id: None,
            incarnation: None,
            advertised: Vec::new(),
            traits: Traits::default(),
            polled: None,
            registering: Vec::new(),
        })
    }

    /// Serves at `url` too, for instance at an address of the other IP version.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`]; also when the address belongs to another kind of transport.
    pub fn also(mut self, url: &str) -> Result<Self, CallError> {
        let (world, place) = scheme::open(url)?;
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme).trim();
        let is_of_kind = match scheme {
            "unix" | "shm" | "mem" => false, // one file, one name
            _ => scheme == self.scheme || (self.scheme.is_empty() && scheme != "tcp"),
        };
        if !is_of_kind || !Arc::ptr_eq(&world, &self.world) {
            let text =
                format!("{url} is of another kind than {}: start a second server", self.place);
            return Err(
                CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).with_detail(text)
            );
        }
        self.place = format!("{},{place}", self.place);
        drop(self.link); // a fixed port is not taken twice, not even by ourselves
        self.link = self.world.listen(&self.place).map_err(cannot_listen)?;
        Ok(self)
    }

    /// Offers a service at this address. Two services of one name are an error of [`Server::spawn`].
    pub fn export(mut self, service: impl Service) -> Self {
        self.exports.add(Box::new(service));
        self
    }

    /// Runs at most `count` handlers at once, in whichever threads, besides those of `inline` methods and
    /// async ones that wait: how many of those there may be, [`Limits::calls_running_max`] says. At least one; 16
    /// unless this is called, 64 where a service has a store. `exactly_once` handlers run one after
    /// another in any case, as their transactions do.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count.max(1));
        self
    }

    /// Receives by up to `count` threads, each of which also runs the handlers of `inline` and quick methods
    /// of the calls that come to it. Clients are spread over them, each connection of a client to one
    /// thread; so this is of use where many connections keep one thread busy, and of none to a single one.
    /// At least one; unless this is called, one for two of the machine's processors, at most 8.
    ///
    /// Over UDP it needs Linux; `shm://`, `mem://` and `sim://` have one such thread in any case. How many
    /// there are, [`Running::lanes`] says.
    pub fn lanes(mut self, count: usize) -> Self {
        self.lanes = Some(count.max(1));
        self
    }

    /// Whether the receiving threads run the handlers of methods that have been quick themselves, as they
    /// do unless this says `false`. That saves such a call two changes of threads. A handler that takes long
    /// against all expectation keeps nobody waiting: after a millisecond another thread receives, and its
    /// method is the workers' from then on. `#[rpc(worker)]` leaves a single method to the workers always.
    pub fn quick_handlers_here(mut self, yes: bool) -> Self {
        self.exports.leave_to_workers(!yes);
        self
    }

    /// Lets at most `calls` wait for a worker; what comes on top is refused, and did not run.
    pub fn queue(mut self, calls: usize) -> Self {
        self.limits.calls_queued_max = calls;
        self
    }

    /// Chooses what is done about calls whose client may be gone; methods may say otherwise.
    /// Expiration and gentle reincarnation together, unless this is called.
    pub fn orphans(mut self, strategy: OrphanStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Lets a call run for so long before its caller is asked whether it still waits, unless its
    /// method says otherwise. [`Limits::quantum`]; 10 s by default. Longer than most calls take, and
    /// as long as an orphan may live.
    pub fn quantum(mut self, quantum: Duration) -> Self {
        self.limits.quantum = quantum;
        self
    }

    /// Waits so long for the answer of a caller that is asked. [`Limits::grace`]; 3 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.limits.grace = grace;
        self
    }

    /// Sets the server's name over all its lives. Drawn afresh otherwise.
    pub fn id(mut self, id: ServerId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets which life of the server this is; it must be higher than in every earlier one.
    /// Otherwise the world gives one that is, as long as its clock is not set back.
    pub fn incarnation(mut self, incarnation: Incarnation) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Bounds what peers can make the server hold. Limits that contradict each other are an error of
    /// [`Server::spawn`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Registers `url` in place of the address bound: where clients come in by another way than
    /// the server sees, or when it listens at all addresses. May be called more than once: a client
    /// whose call was not answered at one of a server's addresses makes the next one at another.
    pub fn advertise(mut self, url: &str) -> Self {
        self.advertised.push(url.to_owned());
        self
    }

    /// Says where the server stands, such as `eu-1a`: clients of the same zone may prefer it.
    pub fn zone(mut self, zone: &str) -> Self {
        zone.clone_into(&mut self.traits.zone);
        self
    }

    /// Sets the server's share of the calls beside others of its service, where they go by weight: 100
    /// unless this is called. One of weight 0 gets calls only where there is no other.
    pub fn weight(mut self, weight: u32) -> Self {
        self.traits.weight = weight;
        self
    }

    /// Has binders show `value` under `key`, for people and scripts.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.traits.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Has the binders that it is registered with ask it so often how it is, besides the news that it
    /// sends them itself: a server that does not answer three times in a row is given to no client until it
    /// answers again, although its lease is renewed. At least 100 ms, and at most a lease. A binder asks at
    /// addresses that are IP addresses, over UDP and TCP, and at no other.
    pub fn polled(mut self, interval: Duration) -> Self {
        self.polled = Some(interval);
        self
    }

    /// Announces the server to a binder once it serves, and takes that back when it stops.
    ///
    /// A server that keeps its id ([`Server::id`]) over a crash waits here until the lease of its
    /// former life is over, unless the binder was given its [`claim`](crate::Binder::claim).
    pub fn register<R: Registrar + Clone + 'static>(mut self, registrar: &R) -> Self {
        self.registering.push(Registering::with(registrar.clone()));
        self
    }

    /// Starts the server in threads of its own. It serves until the handle is stopped or dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misconfigured`] when two services or methods cannot be told apart, a quantum is too
    /// short, limits contradict each other, or no thread is to be had; what a binder said that the
    /// server was to be registered with.
    pub fn spawn(self) -> Result<Running, CallError> {
        let mut started = self.start()?;
        started.receive()?;
        started.register()
    }

    /// Serves in the calling thread until the address is lost, which on ordinary sockets is never, or until
    /// a binder has asked the server to drain, and it has.
    ///
    /// # Errors
    ///
    /// As [`Server::spawn`].
    pub fn serve(self) -> Result<(), CallError> {
        let mut started = self.start()?;
        if started.registering.is_empty() {
            let receiving = started.receive_but_first()?;
            let running = started.register()?;
            receiving.run();
            running.await_receiver(None); // another thread may have taken over
        } else {
            // Registering is a call, and whoever is asked may call back: so somebody must serve.
            started.receive()?;
            started.register()?.await_receiver(None);
        }
        Ok(())
    }

    /// Whether a binder can be told where the server is: a server at all addresses does not know.
    fn check_registrable(&self) -> Result<(), CallError> {
        let is_told = self.registering.is_empty() || !self.advertised.is_empty();
        if is_told || !self.link.locals().into_iter().any(is_anywhere) {
            return Ok(());
        }
        let text = "a server at all addresses of its host cannot be registered unless it says at \
                    which one it is found: call `advertise(\"udp://HOST:PORT\")`";
        Err(CallError::new(ErrorKind::Misconfigured, Execution::NotExecuted).with_detail(text))
    }

    fn start(mut self) -> Result<running::Started, CallError> {
        let mut rng = self.world.rng();
        self.check_registrable()?;
        let interfaces = self.exports.interfaces();
        let names = || interfaces.iter().map(|interface| interface.name());
        let wellbeing = Arc::new(Wellbeing::of(names()));
        if names().all(|name| name != HEALTH_CHECK_INTERFACE.name()) {
            let checkup = Checkup(Arc::clone(&wellbeing));
            self.exports.add(Box::new(HealthCheckService::new(checkup)));
        }
        let (exports, methods) = self.exports.checked(self.strategy, &self.limits)?;
        let taken = exports.ledger().map(|ledger| ledger.identity());
        if taken.is_some() && (self.id.is_some() || self.incarnation.is_some()) {
            return Err(exports::misconfigured(
                "a durable server's id and incarnation are those in its store: leave `id` and \
                 `incarnation` out"
                    .to_owned(),
            ));
        }
        let identity = ServerIdentity {
            id: taken.map(|(id, _)| id).or(self.id).unwrap_or_else(|| ServerId(rng.next_nonzero())),
            incarnation: taken
                .map(|(_, incarnation)| incarnation)
                .or(self.incarnation)
                .unwrap_or_else(|| self.world.incarnation()),
        };
        let urls = urls(&*self.link, &self.scheme, &self.place);
        let mut core = crate::protocol::Server::new(identity, self.limits, methods, rng);
        core.link_carries(self.link.unbroken_bytes_max());
        core.explain(refusal::explanations(&interfaces));
        let mut default = WORKERS_DEFAULT;
        if taken.is_some() {
            core.enable_durable();
            default = WORKERS_DURABLE;
        }
        let workers = self.workers.unwrap_or(default);
        let lanes = self.lanes.unwrap_or_else(|| lanes_default(&*self.world));
        let mut links = self.link.further_ways(lanes - 1);
        links.insert(0, self.link);
        let shared = state::Shared::new(self.world, links, core, exports, workers);
        let exported = Exported {
            world: Arc::clone(&shared.world),
            id: identity.id,
            incarnation: identity.incarnation,
            urls: if self.advertised.is_empty() { urls.clone() } else { self.advertised },
            traits: self.traits,
            interfaces,
            vitals: Vitals::of_server(&shared, wellbeing),
            polled: self.polled,
            drainer: Drainer::default(),
        };
        Ok(running::Started::new(shared, exported, urls, self.registering))
    }
}

fn lanes_default(world: &dyn World) -> usize {
    (world.processors() / PROCESSORS_PER_LANE).clamp(1, LANES_MAX_DEFAULT)
}

/// Whether a server listens at all addresses of its host, none of which it knows.
const fn is_anywhere(address: Address) -> bool {
    match address {
        Address::Ip(address) | Address::Tcp(address) => address.ip().is_unspecified(),
        Address::Local(_) | Address::Virtual(_) | Address::VirtualStream(_) => false,
    }
}

/// The address at which to call a server from its own host.
const fn callable(mut address: SocketAddr) -> SocketAddr {
    if is_anywhere(Address::Ip(address)) {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// The URLs under which the link can be reached.
fn urls(link: &dyn Link, scheme: &str, place: &str) -> Vec<String> {
    let url = |address| match address {
        Address::Ip(address) if scheme.is_empty() => format!("udp://{}", callable(address)),
        Address::Ip(address) => format!("{scheme}://{}", callable(address)),
        Address::Tcp(address) => format!("tcp://{}", callable(address)),
        Address::Local(_) => place.to_owned(), // a whole URL, by which the world knows the kind
        Address::Virtual(_) | Address::VirtualStream(_) => format!("sim://{place}"),
    };
    link.locals().into_iter().map(url).collect()
}

fn cannot_listen(error: LinkError) -> CallError {
    CallError::new(ErrorKind::BadAddress, Execution::NotExecuted).because(error)
}

#[cfg(test)]
mod tests;
