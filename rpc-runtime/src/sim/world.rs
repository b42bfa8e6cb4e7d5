//! Whole worlds for users' own tests: services, blocking clients, faults, one seed to replay.
//!
//! Knows how a named host becomes a server or a client of the ordinary client and server layers;
//! knows nothing of the protocol. The code it runs is the code that runs on sockets.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{Control, Ended, HostId, Simulation};
use crate::fault::Faults;
use crate::server::Server;
use crate::service::Service;
use crate::time::{Duration, Instant};

/// How much virtual time a scenario may take: a client that waits longer hangs.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The environment variable that names the one seed to run.
const SEED_VARIABLE: &str = "RPC_SIM_SEED";

/// Runs `scenario` once for each seed, each time to the end of all its clients.
///
/// ```
/// use rpc_runtime::sim::{self, Faults};
/// use rpc_runtime::{CallError, service};
///
/// #[service]
/// trait Echo {
///     fn echo(&self, text: &str) -> Result<String, CallError>;
/// }
///
/// struct Parrot;
/// impl Echo for Parrot {
///     fn echo(&self, text: &str) -> Result<String, CallError> {
///         Ok(text.to_owned())
///     }
/// }
///
/// sim::check(0..5, |world| {
///     world.faults(Faults::default().loss(0.2).duplicate(0.2));
///     world.server("parrot", || EchoService::new(Parrot));
///     world.client("visitor", || {
///         let parrot = EchoClient::connect("sim://parrot").unwrap();
///         assert_eq!(parrot.echo("hello").unwrap(), "hello");
///     });
/// });
/// ```
///
/// With `RPC_SIM_SEED` in the environment only that seed is run.
///
/// # Panics
///
/// A client or a handler's caller panicked, or the world stood still. The message names the seed,
/// the host and the moment, and says how to replay it.
pub fn check(seeds: Range<u64>, scenario: impl Fn(&mut World)) {
    #[expect(clippy::disallowed_methods, reason = "a seed to replay comes from outside")]
    let only = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(seeds, |seed| seed..seed + 1);
    for seed in seeds {
        let mut world = World::new(seed);
        scenario(&mut world);
        world.run();
    }
}

/// Starts a server's process on its host, in whatever life the host is.
type Start = Arc<dyn Fn(&mut Control) + Send + Sync>;

/// A world made from one seed: named hosts, each a server or a client.
pub struct World {
    seed: u64,
    simulation: Simulation,
    servers: BTreeMap<String, (HostId, Start)>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, simulation: Simulation::new(seed), servers: BTreeMap::new() }
    }

    /// The seed that it was made from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Puts faults in force between all hosts.
    pub fn faults(&mut self, faults: Faults) {
        self.simulation.with(|control| control.net.set_faults(faults));
    }

    /// A host that serves, found at `sim://name`. `service` is called at its start and again after
    /// each crash: what it captures is what survives, a disk.
    pub fn server<S: Service>(
        &mut self,
        name: &str,
        service: impl Fn() -> S + Send + Sync + 'static,
    ) {
        let host = self.simulation.with(|control| control.add_host(name));
        let url = format!("sim://{name}");
        let service = Arc::new(service);
        let start: Start = Arc::new(move |control: &mut Control| {
            let (service, url) = (Arc::clone(&service), url.clone());
            control.spawn(host, "server", false, move || serve(&url, service()));
        });
        self.simulation.with(|control| start(control));
        self.servers.insert(name.to_owned(), (host, start));
    }

    /// A host that calls: ordinary blocking code. The world runs until every client has returned.
    pub fn client(&mut self, name: &str, body: impl FnOnce() + Send + 'static) {
        self.simulation.with(|control| {
            let host = control.add_host(name);
            control.spawn(host, "client", true, body);
        });
    }

    /// The server `name` crashes at `at` after the start, and comes back `down` later in its next
    /// life, with a service made anew.
    ///
    /// # Panics
    ///
    /// Here and below: there is no host of that name.
    pub fn crash(&mut self, name: &str, at: Duration, down: Duration) {
        let (host, start) = self.servers.get(name).expect("a server of this name").clone();
        self.simulation.with(|control| {
            control.at(Instant::START + at, move |control| {
                control.crash(host);
                let back = control.now() + down;
                control.at(back, move |control| {
                    if !control.is_up(host) {
                        control.restart(host);
                        start(control);
                    }
                });
            });
        });
    }

    /// Nothing passes between two hosts from `from` until `until` after the start.
    pub fn partition(&mut self, one: &str, other: &str, from: Duration, until: Duration) {
        self.cut(one, other, from, until);
        self.cut(other, one, from, until);
    }

    /// Nothing passes from one host to another from `from` until `until` after the start; the other
    /// way all does.
    pub fn cut(&mut self, sender: &str, receiver: &str, from: Duration, until: Duration) {
        self.simulation.with(|control| {
            let sender = control.host(sender).expect("a host of this name");
            let receiver = control.host(receiver).expect("a host of this name");
            control.at(Instant::START + from, move |control| control.net.cut(sender, receiver));
            control.at(Instant::START + until, move |control| control.net.mend(sender, receiver));
        });
    }

    /// The host's clock runs faster by `ppm` parts in a million, or slower.
    pub fn drift(&mut self, name: &str, ppm: i32) {
        self.simulation.with(|control| {
            let host = control.host(name).expect("a host of this name");
            control.set_drift(host, ppm);
        });
    }

    /// Runs until every client has returned; gives the trace's hash.
    ///
    /// # Panics
    ///
    /// As [`check`].
    pub fn run(&mut self) -> u64 {
        match self.simulation.try_run_until_finished(Instant::START + TIME_MAX) {
            Ok(Ended::Limit) => self.fail("a client was still waiting after a day"),
            Ok(Ended::Reached | Ended::Quiet | Ended::Failed) => self.simulation.trace_hash(),
            Err(failure) => self.fail(&failure.to_string()),
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n  replay: {SEED_VARIABLE}={} cargo test", self.seed)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// A server's process: serves until its host crashes or the world ends.
fn serve(url: &str, service: impl Service) {
    let served = Server::bind(url).and_then(|server| server.export(service).serve());
    if let Err(error) = served {
        panic!("{error}");
    }
}
