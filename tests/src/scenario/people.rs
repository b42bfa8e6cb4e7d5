//! Servers and clients of a story: how they come, go, and come back.

use rpc_runtime::client::journal::Book;
use rpc_runtime::ids::{ClientId, Incarnation, MethodFingerprint, ServerId};
use rpc_runtime::protocol::{
    Client, ClientCounters, ClientIdentity, Limits, MethodEntry, OrphanPolicy, OrphanStrategy,
    Server, ServerCounters, ServerIdentity, Target,
};
use rpc_runtime::sim::checker::{CallNumber, Fact};
use rpc_runtime::sim::nodes::{ClientNode, Disk, ServerNode};
use rpc_runtime::sim::{HostId, SimDisk};
use rpc_runtime::time::{Duration, Instant};

use super::World;
use super::link::tap;
use super::users::{Handlers, Tempers, User};
use crate::campaign::METHODS;

/// A server over its lives.
#[derive(Clone, Debug)]
pub(super) struct ServerPlan {
    pub(super) id: ServerId,
    pub(super) limits: Limits,
    pub(super) strategy: OrphanStrategy,
    pub(super) tempers: Tempers,
    /// What survives its crashes.
    pub(super) disk: Disk,
    /// The life that it is in.
    pub(super) life: Incarnation,
}

/// A client over its lives.
#[derive(Debug)]
pub(super) struct ClientPlan {
    id: ClientId,
    target: Target,
    limits: Limits,
    /// What its journal is on, if it keeps one.
    disk: Option<SimDisk>,
}

/// How many handlers of a server run at a time, unless the limits say less.
const WORKERS: usize = 64;

impl World {
    /// A server whose handlers return at once.
    pub fn server(&mut self, name: &str) -> HostId {
        self.server_with(name, |_| {})
    }

    /// The same, with other limits.
    pub fn server_with(&mut self, name: &str, set: impl FnOnce(&mut Limits)) -> HostId {
        let host = self.add_host(name);
        let mut limits = Limits::default();
        set(&mut limits);
        let id = ServerId(1 + u64::from(host.0));
        let (strategy, tempers) = (OrphanStrategy::default(), Tempers::default());
        let disk = self.new_disk();
        let life = Incarnation::NONE;
        self.servers.insert(host, ServerPlan { id, limits, strategy, tempers, disk, life });
        self.place_server(host);
        host
    }

    /// A server that follows this strategy, with quanta and a grace period of this length.
    pub fn server_under(
        &mut self,
        name: &str,
        strategy: OrphanStrategy,
        quantum: Duration,
        grace: Duration,
    ) -> HostId {
        let host = self.server_with(name, |limits| {
            limits.quantum = quantum;
            limits.grace = grace;
        });
        self.with(|control| control.crash(host));
        self.servers.get_mut(&host).expect("it was made a moment ago").strategy = strategy;
        self.restart_server(host);
        host
    }

    /// A disk that is looked at when the story ends.
    fn new_disk(&mut self) -> Disk {
        self.disks.push(Disk::default());
        self.disks[self.disks.len() - 1].clone()
    }

    /// A client of a server.
    pub fn client(&mut self, name: &str, server: HostId) -> HostId {
        self.client_with(name, server, |_| {})
    }

    /// The same, with other limits.
    pub fn client_with(
        &mut self,
        name: &str,
        server: HostId,
        set: impl FnOnce(&mut Limits),
    ) -> HostId {
        self.add_client(name, server, set, false)
    }

    /// A client of a server that keeps a journal.
    pub fn keeping_client(&mut self, name: &str, server: HostId) -> HostId {
        self.add_client(name, server, |_| {}, true)
    }

    fn add_client(
        &mut self,
        name: &str,
        server: HostId,
        set: impl FnOnce(&mut Limits),
        keeps_journal: bool,
    ) -> HostId {
        let host = self.add_host(name);
        let mut limits = Limits::default();
        set(&mut limits);
        let seed = self.with(|control| control.seed());
        let disk = keeps_journal.then(|| SimDisk::new(seed, u64::from(host.0)));
        let id = ClientId(100 + u64::from(host.0));
        self.place_client_of(host, id, server, (limits, disk));
        host
    }

    /// Another process of a client: of the same name, and in a later life.
    pub fn twin(&mut self, name: &str, client: HostId, server: HostId) -> HostId {
        let host = self.add_host(name);
        let id = self.clients[&client].id;
        let life = self.incarnation(client);
        // A host counts its lives by itself: this one's are to be the later ones.
        while self.with(|control| control.incarnation(host)) <= life {}
        self.place_client_of(host, id, server, (Limits::default(), None));
        host
    }

    fn place_client_of(
        &mut self,
        host: HostId,
        id: ClientId,
        server: HostId,
        (limits, disk): (Limits, Option<SimDisk>),
    ) {
        let target = Target {
            address: server.address(),
            server: self.servers[&server].id,
            incarnation: Incarnation::NONE,
        };
        self.clients.insert(host, ClientPlan { id, target, limits, disk });
        let incarnation = self.with(|control| control.incarnation(host));
        self.place_client(host, incarnation);
    }

    /// From now on, a server's handlers take this long.
    pub fn handlers_take(&mut self, server: HostId, takes: Duration) {
        self.servers[&server].tempers.now().takes = takes;
    }

    /// From now on, a server's handlers go on although they were told to stop.
    pub fn handlers_ignore_cancel(&mut self, server: HostId) {
        self.servers[&server].tempers.now().heeds_cancel = false;
    }

    /// From now on, a server's handlers return at least so many bytes.
    pub fn handlers_return(&mut self, server: HostId, bytes: usize) {
        self.servers[&server].tempers.now().reply_bytes = bytes;
    }

    /// A process dies.
    pub fn crash(&mut self, host: HostId) {
        if self.clients.contains_key(&host) {
            let calls = self.with_client(host, |node, _| node.calls());
            self.journal.note(self.simulation.now(), Fact::ClientGone { calls });
        }
        let plan = self.clients.get(&host);
        if let Some(disk) = plan.and_then(|plan| plan.disk.as_ref()) {
            disk.crash();
        }
        self.with(|control| control.crash(host));
    }

    /// A server that crashed comes back in its next life.
    pub fn restart_server(&mut self, host: HostId) {
        self.with(|control| control.restart(host));
        self.place_server(host);
    }

    /// Another server comes to live where one has crashed.
    pub fn replace_server(&mut self, host: HostId) {
        let disk = self.new_disk();
        let plan = self.servers.get_mut(&host).expect("a server");
        plan.id = ServerId(plan.id.0 + 1_000);
        plan.disk = disk;
        self.restart_server(host);
    }

    /// A client that crashed comes back in its next life.
    pub fn restart_client(&mut self, host: HostId) {
        let incarnation = self.with(|control| {
            control.restart(host);
            control.incarnation(host)
        });
        self.place_client(host, incarnation);
    }

    /// A client comes back with an incarnation that it had from elsewhere.
    pub fn restart_client_as(&mut self, host: HostId, incarnation: Incarnation) {
        self.with(|control| control.restart(host));
        self.place_client(host, incarnation);
    }

    /// Sets a host's clock to this much after the beginning of time.
    pub fn set_clock(&mut self, host: HostId, time: Duration) {
        self.with(|control| control.set_clock(host, Instant::START + time));
    }

    /// A server's id.
    #[must_use]
    pub fn server_id(&self, server: HostId) -> ServerId {
        self.servers[&server].id
    }

    /// The incarnation that a client speaks with.
    #[must_use]
    pub fn incarnation(&self, client: HostId) -> Incarnation {
        self.with_client(client, |node, _| {
            node.machines().map(|machine| machine.incarnation()).max()
        })
        .unwrap_or(Incarnation::NONE)
    }

    /// What a server has counted in this life.
    #[must_use]
    pub fn server_counters(&self, server: HostId) -> ServerCounters {
        self.with_server(server, |machine| *machine.counters())
    }

    /// What a client has counted in this life.
    #[must_use]
    pub fn client_counters(&self, client: HostId) -> ClientCounters {
        let counters =
            self.with_client(client, |node, _| node.machines().next().map(|one| *one.counters()));
        counters.expect("a client has a connection")
    }

    /// Looks at a server's machine, or changes it.
    ///
    /// # Panics
    ///
    /// The server is down.
    pub fn with_server<T>(&self, server: HostId, look: impl FnOnce(&mut Server) -> T) -> T {
        self.server_at(server, |machine, _| look(machine)).expect("the server is up")
    }

    /// A server stops taking new calls.
    pub fn drain(&mut self, server: HostId) {
        self.server_at(server, |machine, now| machine.drain(now, Duration::from_secs(60)))
            .expect("the server is up");
    }

    fn server_at<T>(
        &self,
        server: HostId,
        look: impl FnOnce(&mut Server, Instant) -> T,
    ) -> Option<T> {
        self.with(|control| {
            control.node(server, |node: &mut ServerNode<Handlers>, now| look(node.machine(), now))
        })
    }

    /// Adds a host, and writes down what is said between it and the others.
    pub(super) fn add_host(&mut self, name: &str) -> HostId {
        let others: Vec<HostId> = self.servers.keys().chain(self.clients.keys()).copied().collect();
        self.simulation.with(|control| {
            let host = control.add_host(name);
            for other in others {
                control.net.script(tap(host, other, self.wire.clone()));
                control.net.script(tap(other, host, self.wire.clone()));
            }
            host
        })
    }

    pub(super) fn place_server(&mut self, host: HostId) {
        let life = self.with(|control| control.incarnation(host));
        let plan = self.servers.get_mut(&host).expect("a server");
        plan.life = life;
        let ServerPlan { id, limits, strategy, tempers, disk, .. } = &self.servers[&host];
        let orphans = OrphanPolicy::new(*strategy, limits.quantum);
        let entry = |(fingerprint, semantics): (u64, _)| MethodEntry {
            fingerprint: MethodFingerprint(fingerprint),
            name: u32::try_from(fingerprint).expect("a small number"),
            semantics,
            reply_bytes_max: limits.reply_bytes_max,
            orphans,
            ack: None,
        };
        let methods = METHODS.map(entry).to_vec();
        let handlers = Handlers { tempers: tempers.clone(), notebook: self.notebook.clone() };
        let workers = WORKERS.min(limits.calls_running_max);
        self.with(|control| {
            let identity = ServerIdentity { id: *id, incarnation: life };
            let rng = Box::new(control.rng(host));
            let mut machine = Server::new(identity, limits.clone(), methods, rng);
            machine.link_carries(control.net.datagram_bytes_max());
            let identity = (identity.id, identity.incarnation);
            let journal = self.journal.clone();
            let node = ServerNode::new(machine, identity, handlers, workers, journal);
            control.place(host, node.with_disk(disk.clone()));
        });
    }

    fn place_client(&mut self, host: HostId, incarnation: Incarnation) {
        let ClientPlan { id, target, limits, disk } = &self.clients[&host];
        let bound = (target.server, target.incarnation);
        self.with(|control| {
            let (rng, now) = (Box::new(control.rng(host)), control.local(host));
            let book = disk.as_ref().map(|disk| {
                let file = Box::new(disk.open().expect("its former life is dead"));
                Book::open(file, &mut control.rng(host)).expect("a simulated disk")
            });
            let mut identity = ClientIdentity { id: *id, incarnation };
            if let Some(book) = &book {
                identity = ClientIdentity { id: book.client(), incarnation: book.incarnation() };
            }
            let mut machine = Client::new(identity, *target, limits.clone(), rng, now);
            machine.link_carries(control.net.datagram_bytes_max());
            let user = User(self.notebook.clone());
            let mut node = ClientNode::new(vec![(machine, bound)], user, self.journal.clone());
            if let Some(book) = book {
                node = node.keeping(book);
            }
            control.place(host, node);
        });
    }

    /// The calls whose effects are on servers' disks, and how often.
    pub(super) fn all_effects(&self) -> Vec<(CallNumber, u32)> {
        self.disks.iter().flat_map(Disk::effects).collect()
    }

    /// Whether no call is under way, anywhere.
    pub(super) fn is_idle(&self) -> bool {
        let clients = self.clients.keys().all(|&client| {
            self.with(|control| {
                let outstanding = control.node(client, |node: &mut ClientNode<User>, _| {
                    node.machines().map(|machine| machine.outstanding()).sum::<usize>()
                });
                outstanding.unwrap_or(0) == 0
            })
        });
        let servers = self.servers.keys().all(|&server| {
            self.server_at(server, |machine, _| machine.is_drained()).unwrap_or(true)
        });
        clients && servers
    }

    /// Compares the servers' tables with their limits.
    pub(super) fn look(&self) {
        for &server in self.servers.keys() {
            let uses = self.server_at(server, |machine, now| {
                let limits = machine.limits();
                let uses = [
                    ("sessions", machine.sessions(), limits.sessions_max),
                    ("calls queued", machine.queued(), limits.calls_queued_max),
                    ("calls running", machine.running(), limits.calls_running_max),
                    ("bytes of replies", machine.stored_bytes(), limits.reply_bytes_stored_max),
                ];
                (now, uses)
            });
            for (now, (what, used, limit)) in
                uses.into_iter().flat_map(|(now, uses)| uses.map(|one| (now, one)))
            {
                let (used, limit) = (used as u64, limit as u64);
                self.journal.note(now, Fact::Used { what, used, limit });
            }
        }
    }
}
