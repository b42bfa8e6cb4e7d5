//! In the simulator: blocking user code on every host, and clients that crash.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use rpc_runtime::fault::Faults;
use rpc_runtime::orphans::OrphanStrategy;
use rpc_runtime::protocol::ServerCounters;
use rpc_runtime::server::Running;
use rpc_runtime::sim::net::{Rule, Verdict};
use rpc_runtime::sim::{HostId, Simulation, sleep};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::wire::Kind;
use rpc_runtime::{Execution, Server};

use super::chain::{Chain as _, ChainClient, ChainService, Desk, Link};

const QUANTUM: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_millis(800);
/// A link's step, a few round trips, and a tick.
const SLACK: Duration = Duration::from_millis(50);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A simulation with a chain of links, the first of which is asked.
pub(crate) struct World {
    pub(crate) simulation: Simulation,
    pub(crate) desks: Vec<Arc<Desk>>,
    running: Vec<Arc<Mutex<Option<Running>>>>,
    hosts: Vec<HostId>,
}

impl World {
    pub(crate) fn new(seed: u64, links: usize, strategy: OrphanStrategy) -> Self {
        let simulation = Simulation::new(seed);
        let desks: Vec<_> = (0..links).map(|_| Arc::<Desk>::default()).collect();
        let running: Vec<Arc<Mutex<Option<Running>>>> =
            (0..links).map(|_| Arc::default()).collect();
        let hosts = simulation.with(|world| {
            world.net.set_faults(Faults::default().delay(ms(1)));
            let hosts: Vec<HostId> =
                (0..links).map(|n| world.add_host(&format!("link-{n}"))).collect();
            for (n, &host) in hosts.iter().enumerate() {
                let next = (n + 1 < links).then(|| format!("sim://link-{}", n + 1));
                let link = Link::new(next.as_deref(), &desks[n], sleep);
                let place = Arc::clone(&running[n]);
                let url = format!("sim://link-{n}");
                world.spawn(host, "main", false, move || {
                    let server = Server::bind(&url).unwrap().orphans(strategy);
                    let server = server.quantum(QUANTUM).grace(GRACE);
                    *place.lock().unwrap() =
                        Some(server.export(ChainService::new(link)).spawn().unwrap());
                    sleep(Duration::from_secs(100_000));
                });
            }
            hosts
        });
        Self { simulation, desks, running, hosts }
    }

    /// A client on a host of its own.
    pub(crate) fn client(&self, name: &str, body: impl FnOnce() + Send + 'static) -> HostId {
        self.simulation.with(|world| {
            let host = world.add_host(name);
            world.spawn(host, "main", false, body);
            host
        })
    }

    pub(crate) fn run_to(&self, at: Duration) {
        self.simulation.run_until(Instant::START + at);
    }

    pub(crate) fn at_work(&self) -> Vec<u64> {
        self.desks.iter().map(|desk| desk.at_work()).collect()
    }

    pub(crate) fn counters(&self, link: usize) -> ServerCounters {
        self.running[link].lock().unwrap().as_ref().unwrap().counters()
    }
}

fn first_link() -> ChainClient {
    ChainClient::connect("sim://link-0").unwrap()
}

#[test]
fn when_the_client_dies_its_work_is_gone_everywhere_after_a_quantum_and_the_grace() {
    let world = World::new(21, 3, OrphanStrategy::default());
    let client = world.client("client", || drop(first_link().work()));
    world.run_to(ms(5_000));
    assert_eq!(world.at_work(), [1, 1, 1]);
    assert_eq!(world.counters(0).quanta_granted, 2, "while the client lives");
    world.simulation.with(|control| control.crash(client));

    world.run_to(ms(5_000) + QUANTUM + GRACE + SLACK);

    assert_eq!(world.at_work(), [0, 0, 0]);
    for (n, desk) in world.desks.iter().enumerate() {
        assert_eq!(desk.cancelled.load(Ordering::SeqCst), 1, "link {n}");
        assert_eq!(desk.called.load(Ordering::SeqCst), 1, "link {n}");
    }
    assert_eq!(world.desks[0].refused.load(Ordering::SeqCst), 1);
    let counted = world.counters(0);
    assert_eq!((counted.quanta_unanswered, counted.stubborn), (1, 0));
    // The others were told by those who called them.
    assert_eq!((world.counters(1).cancelled, world.counters(1).quanta_unanswered), (1, 0));
}

#[test]
fn what_a_cancelled_handler_held_is_free_again() {
    let world = World::new(22, 2, OrphanStrategy::default());
    let client = world.client("client", || drop(first_link().work()));
    world.run_to(ms(1_000));
    world.client("early", || assert_eq!(first_link().at_work().unwrap(), None, "held"));
    world.run_to(ms(1_100));
    world.simulation.with(|control| control.crash(client));
    world.run_to(ms(1_100) + QUANTUM + GRACE + SLACK);
    world.client("late", || assert_eq!(first_link().at_work().unwrap(), Some(0), "free"));
    world.run_to(ms(10_000));
}

#[test]
fn a_client_that_waits_has_its_work_done_however_many_quanta_it_takes() {
    let world = World::new(23, 1, OrphanStrategy::default());
    world.client("client", || assert_eq!(first_link().work_for(9_000).unwrap(), 9_000));
    world.run_to(ms(20_000));
    let counted = world.counters(0);
    assert_eq!((counted.quanta_granted, counted.cancelled), (4, 0));
}

#[test]
fn under_loss_a_client_that_waits_is_heard() {
    for seed in 0..20 {
        let world = World::new(seed, 1, OrphanStrategy::default());
        world.simulation.with(|control| {
            control.net.set_faults(Faults::default().delay(ms(1)).loss(0.3).duplicate(0.2));
        });
        world.client("client", || assert_eq!(first_link().work_for(7_000).unwrap(), 7_000));
        world.run_to(ms(30_000));
        assert_eq!(world.counters(0).cancelled, 0, "seed {seed}");
        assert_eq!(world.desks[0].at_work(), 0, "seed {seed}");
    }
}

#[test]
fn a_caller_that_gives_up_cancels_the_whole_chain_at_once() {
    let world = World::new(24, 3, OrphanStrategy::default());
    world.client("client", || {
        let chain = first_link();
        let call = chain.start().work();
        sleep(ms(500));
        call.cancel();
        assert_eq!(call.wait().unwrap_err().execution(), Execution::Unknown);
    });
    world.run_to(ms(500) + SLACK);
    assert_eq!(world.at_work(), [0, 0, 0]);
}

#[test]
fn a_lost_cancel_is_made_good_after_the_quantum_and_the_grace() {
    let world = World::new(25, 1, OrphanStrategy::default());
    world.client("client", || {
        let chain = first_link();
        let call = chain.start().work();
        sleep(ms(500));
        call.cancel();
        sleep(Duration::from_secs(1_000));
    });
    world.run_to(ms(499));
    world.simulation.with(|control| control.net.set_faults(Faults::default().loss(1.0)));
    world.run_to(ms(1_000));
    world.simulation.with(|control| control.net.set_faults(Faults::default().delay(ms(1))));
    world.run_to(ms(1_100));
    assert_eq!(world.at_work(), [1], "however often it was said");
    world.run_to(QUANTUM + GRACE + SLACK);
    assert_eq!(world.at_work(), [0], "a client without calls hears nobody");
}

/// The links ask nobody whether their work is wanted: without the CANCEL they would go on to the
/// call's deadline, in ten minutes. A client that stays says it again after a while, a link that
/// leaves with its BYE.
#[test]
fn a_cancel_that_is_lost_within_a_chain_is_said_again() {
    for second_hop in [true, false] {
        let world = World::new(31, 3, OrphanStrategy::Gentle);
        let client = world.client("client", || {
            let chain = first_link();
            let call = chain.start().work();
            sleep(ms(500));
            call.cancel();
            sleep(ms(20_000));
        });
        let (from, to) =
            if second_hop { (world.hosts[0], world.hosts[1]) } else { (client, world.hosts[0]) };
        let lost = Rule::new(Verdict::Drop).from(from).to(to).kind(Kind::Cancel).times(1);
        world.simulation.with(|control| control.net.script(lost));
        world.run_to(ms(500) + SLACK * 2);
        assert_eq!(world.at_work(), [0, 0, 0]);
        let said = world.simulation.with(|control| control.net.sent(from, Kind::Cancel));
        assert_eq!(said, 2, "the first one was lost");
        for link in 0..3 {
            assert_eq!(world.counters(link).cancelled, 1, "link {link}");
        }
    }
}

#[test]
fn a_call_that_was_started_is_wanted_while_its_caller_does_something_else() {
    let world = World::new(30, 1, OrphanStrategy::default());
    world.client("client", || {
        let chain = first_link();
        let (call, detached) = (chain.start().work_for(7_000), chain.start().work_for(5_000));
        detached.detach();
        sleep(ms(20_000));
        assert_eq!(call.wait().unwrap(), 7_000);
    });
    world.run_to(ms(30_000));
    assert_eq!((world.counters(0).quanta_granted, world.counters(0).cancelled), (5, 0));
}

#[test]
fn a_call_whose_handle_is_dropped_is_cancelled() {
    let world = World::new(30, 3, OrphanStrategy::default());
    world.client("client", || {
        let chain = first_link();
        let call = chain.start().work();
        sleep(ms(500));
        drop(call);
        sleep(ms(20_000));
    });
    world.run_to(ms(500) + SLACK);
    assert_eq!(world.at_work(), [0, 0, 0]);
}

#[test]
fn a_method_that_may_not_be_cancelled_runs_to_its_end_and_keeps_its_result() {
    let world = World::new(26, 1, OrphanStrategy::default());
    let client = world.client("client", || drop(first_link().print(9_000)));
    world.run_to(ms(1_000));
    world.simulation.with(|control| control.crash(client));
    world.run_to(ms(9_000) + SLACK);
    assert_eq!(world.desks[0].printed.load(Ordering::SeqCst), 1);
    let counted = world.counters(0);
    assert_eq!((counted.cancelled, counted.quanta_unanswered), (0, 0));
    assert!(counted.begun == 1 && world.at_work() == [0]);
}

#[test]
fn a_method_s_own_quantum_is_what_counts() {
    let world = World::new(27, 1, OrphanStrategy::Gentle);
    let client = world.client("client", || drop(first_link().brief()));
    world.run_to(ms(1_000));
    assert!(world.counters(0).quanta_granted >= 8);
    world.simulation.with(|control| control.crash(client));
    world.run_to(ms(1_000) + ms(100) + GRACE + SLACK);
    assert_eq!(world.at_work(), [0]);
}

#[test]
fn sessions_of_clients_that_are_gone_end() {
    let world = World::new(28, 1, OrphanStrategy::default());
    for n in 0..8 {
        let client =
            world.client(&format!("client-{n}"), || drop(first_link().work_for(1_000_000)));
        world.run_to(ms(200 * (n + 1)));
        world.simulation.with(|control| control.crash(client));
    }
    world.run_to(Duration::from_secs(60));
    let counted = world.counters(0);
    assert_eq!((counted.sessions_opened, counted.sessions_closed), (8, 8));
    assert_eq!(world.at_work(), [0]);
}

#[test]
fn the_same_seed_gives_the_same_end_of_a_chain() {
    let run = || {
        let world = World::new(29, 3, OrphanStrategy::default());
        let client = world.client("client", || drop(first_link().work()));
        world.run_to(ms(3_000));
        world.simulation.with(|control| control.crash(client));
        world.run_to(ms(20_000));
        world.simulation.trace_hash()
    };
    assert_eq!(run(), run());
}
