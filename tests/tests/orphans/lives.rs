//! Clients with a name that outlives their processes: what their later lives do to what earlier
//! ones left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::ids::ClientId;
use rpc_runtime::orphans::{self, OrphanStrategy};
use rpc_runtime::sim::{HostId, sleep};
use rpc_runtime::time::Duration;
use rpc_runtime::{Channel, Execution};

use super::chain::{Chain as _, ChainClient};
use super::simulated::{World, ms};

const TELLER: ClientId = ClientId(7);

fn teller() -> ChainClient {
    ChainClient::on(&Channel::connect_as("sim://link-0", TELLER).unwrap())
}

/// A world in which a teller's work has gone on for a second.
fn at_work(seed: u64, strategy: OrphanStrategy) -> (World, HostId) {
    let world = World::new(seed, 2, strategy);
    let first = world.client("first", || drop(teller().work()));
    world.run_to(ms(1_000));
    assert_eq!(world.at_work(), [1, 1]);
    (world, first)
}

/// The teller's process dies and comes back at its old place.
fn restart(world: &World, host: HostId) {
    world.simulation.with(|control| {
        control.crash(host);
        control.restart(host);
        control.spawn(host, "main", false, || {
            teller().at_work().unwrap();
            sleep(Duration::from_secs(1_000));
        });
    });
}

/// Another process comes up under the teller's name.
fn come_elsewhere(world: &World) {
    world.client("second", || {
        teller().at_work().unwrap();
        sleep(Duration::from_secs(1_000));
    });
}

#[test]
fn reincarnation_kills_what_a_former_life_left_at_once() {
    let (world, first) = at_work(31, OrphanStrategy::Reincarnate);
    restart(&world, first);
    world.run_to(ms(1_050));
    assert_eq!(world.at_work(), [0, 0]);
    assert_eq!(world.counters(0).reincarnated, 1);
}

#[test]
fn reincarnation_kills_innocent_work_too() {
    let (world, _) = at_work(32, OrphanStrategy::Reincarnate);
    come_elsewhere(&world);
    world.run_to(ms(1_050));
    assert_eq!(world.at_work(), [0, 0]);
}

#[test]
fn gentle_reincarnation_keeps_the_work_of_an_owner_that_lives() {
    for strategy in [OrphanStrategy::Gentle, OrphanStrategy::ExpireAndGentle] {
        let (world, _) = at_work(33, strategy);
        come_elsewhere(&world);
        world.run_to(ms(30_000));
        assert_eq!(world.at_work(), [1, 1], "{strategy:?}");
        assert_eq!(world.counters(0).owners_found, 1);
        assert_eq!(world.counters(0).cancelled, 0);
    }
}

#[test]
fn gentle_reincarnation_kills_the_work_of_an_owner_that_is_gone() {
    let (world, first) = at_work(34, OrphanStrategy::Gentle);
    world.simulation.with(|control| control.crash(first));
    world.run_to(ms(40_000));
    assert_eq!(world.at_work(), [1, 1], "nobody came back, nobody asks");
    come_elsewhere(&world);
    world.run_to(ms(42_000));
    assert_eq!(world.at_work(), [0, 0]);
    assert_eq!(world.counters(0).owners_missing, 1);
}

#[test]
fn gentle_reincarnation_gives_an_owner_up_that_is_not_where_it_was() {
    let (world, first) = at_work(35, OrphanStrategy::Gentle);
    restart(&world, first);
    world.run_to(ms(1_050));
    let counted = world.counters(0);
    // The new process has a port of its own, so nobody is where the old one was.
    assert_eq!((counted.owners_missing, counted.reincarnated), (0, 0));
    world.run_to(ms(3_000));
    assert_eq!(world.at_work(), [0, 0]);
}

#[test]
fn a_restarted_client_that_waits_the_orphans_out_finds_none() {
    let (world, first) = at_work(36, OrphanStrategy::Expire);
    world.simulation.with(|control| {
        control.crash(first);
        control.restart(first);
        control.spawn(first, "main", false, || {
            let chain = teller();
            assert_eq!(chain.at_work().unwrap(), None, "a former life's work");
            orphans::wait_out(2, Duration::from_secs(2));
            assert_eq!(chain.at_work().unwrap(), Some(0));
            sleep(Duration::from_secs(1_000));
        });
    });
    world.run_to(ms(30_000));
    assert_eq!(world.desks[1].cancelled.load(Ordering::SeqCst), 1);
    assert_eq!(world.counters(0).begun, 3, "and both questions were answered");
}

/// A cloned image that keeps its name: neither may be told a lie, whatever they do to each other.
#[test]
fn two_clients_that_live_under_one_name_are_told_the_truth_and_nothing_runs_twice() {
    for strategy in
        [OrphanStrategy::Expire, OrphanStrategy::Reincarnate, OrphanStrategy::ExpireAndGentle]
    {
        let world = World::new(35, 1, strategy);
        let ended = Arc::new([const { AtomicU64::new(0) }; 3]);
        for name in ["one", "other"] {
            let ended = Arc::clone(&ended);
            world.client(name, move || {
                for _ in 0..50 {
                    // A process anew each time, as a machine that is started from an image.
                    let kind = match teller().work_for(20) {
                        Ok(_) => 0,
                        Err(error) if error.execution() == Execution::NotExecuted => 1,
                        Err(_) => 2,
                    };
                    ended[kind].fetch_add(1, Ordering::SeqCst);
                    sleep(ms(3));
                }
            });
        }
        world.run_to(ms(3_600_000));
        let [ran, never, perhaps] = [0, 1, 2].map(|kind: usize| ended[kind].load(Ordering::SeqCst));
        assert_eq!(ran + never + perhaps, 100, "{strategy:?}: every call has ended");
        let begun = world.desks[0].begun.load(Ordering::SeqCst);
        assert!((ran..=ran + perhaps).contains(&begun), "{strategy:?}: {begun} of {ended:?}");
        assert!(ran > 0 && world.at_work() == [0], "{strategy:?}");
    }
}
