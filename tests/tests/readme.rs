//! The README's bank in the simulator: money is never moved twice, whatever the network does.

#![expect(clippy::unwrap_used, reason = "scenarios are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rpc_runtime::sim::{self, Faults};
use rpc_runtime::{CallError, Execution, service};

#[service]
trait Counter {
    fn add(&self, cents: u64) -> Result<u64, CallError>;
}

struct Disk(Arc<AtomicU64>);

impl Counter for Disk {
    fn add(&self, cents: u64) -> Result<u64, CallError> {
        Ok(self.0.fetch_add(cents, Ordering::Relaxed) + cents)
    }
}

fn scenario(world: &mut sim::World) {
    let disk = Arc::new(AtomicU64::new(0));
    world.faults(Faults::default().loss(0.3).duplicate(0.2));
    world.server("counter", {
        let disk = Arc::clone(&disk);
        move || CounterService::new(Disk(Arc::clone(&disk)))
    });
    world.crash("counter", Duration::from_millis(300), Duration::from_millis(200));
    world.client("till", move || {
        let counter = CounterClient::connect("sim://counter").unwrap();
        let (mut sure, mut unsure) = (0, 0);
        for _ in 0..10 {
            match counter.add(1) {
                Ok(_) => sure += 1,
                Err(e) if e.execution() == Execution::Unknown => unsure += 1,
                Err(e) => assert!(e.is_safe_to_retry(), "{e}"),
            }
        }
        assert!((sure..=sure + unsure).contains(&disk.load(Ordering::Relaxed)));
    });
}

#[test]
fn nothing_is_added_twice_over_loss_duplication_and_a_crash() {
    sim::check(0..100, scenario);
}

#[test]
fn one_seed_gives_one_run() {
    let hash = |seed| {
        let mut world = sim::World::new(seed);
        scenario(&mut world);
        world.run()
    };
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}

#[test]
#[should_panic(expected = "replay: RPC_SIM_SEED=3 cargo test")]
fn a_failure_says_how_to_replay_it() {
    sim::check(3..4, |world| world.client("fool", || panic!("arithmetic")));
}
