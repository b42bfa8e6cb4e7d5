//! What a binder is told of servers while they serve, in the simulator: each number is what was done.

#[path = "tests/figures.rs"]
mod figures;
#[path = "tests/health.rs"]
mod health;
#[path = "tests/lookups.rs"]
mod lookups;

use std::sync::{Arc, Mutex};

use rpc_runtime::binder::{Binder, EntryState, Report};
use rpc_runtime::sim::{self, Control, Ended, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};

use super::open;
use crate::desk::Desk;
use crate::registry::Limits;

const LEASE: Duration = Duration::from_secs(3);

fn stay() {
    loop {
        sim::sleep(Duration::from_secs(3_600));
    }
}

/// A world with a binder at `sim://names`, and what is seen at its desk.
struct Stage {
    simulation: Simulation,
    names: HostId,
    desk: Arc<Mutex<Option<Arc<Desk>>>>,
}

impl Stage {
    fn set(seed: u64) -> Self {
        let simulation = Simulation::new(seed);
        let desk = Arc::<Mutex<Option<Arc<Desk>>>>::default();
        let put = Arc::clone(&desk);
        let names = simulation.with(|world| {
            let names = world.add_host("names");
            world.spawn(names, "main", false, move || {
                let limits = Limits { lease: LEASE, ..Limits::default() };
                let opened = open("sim://names", limits, None).unwrap();
                *put.lock().unwrap() = Some(Arc::clone(&opened.desk));
                stay();
            });
            names
        });
        Self { simulation, names, desk }
    }

    /// A host with a thread that need not end.
    fn host(&self, name: &'static str, main: impl FnOnce(Binder) + Send + 'static) -> HostId {
        self.simulation.with(|world| {
            let host = world.add_host(name);
            world.spawn(host, "main", false, move || {
                main(Binder::at("sim://names").unwrap());
                stay();
            });
            host
        })
    }

    /// Runs until `story` has ended, told at the binder's host.
    fn tell(&self, story: impl FnOnce(&Seen) + Send + 'static) {
        let seen = Seen { desk: Arc::clone(&self.desk) };
        self.simulation.with(|world: &mut Control| {
            world.spawn(self.names, "story", true, move || story(&seen));
        });
        let end = Instant::START + Duration::from_secs(600);
        assert_eq!(self.simulation.run_until_finished(end), Ended::Reached);
    }
}

/// What is seen at the desk.
struct Seen {
    desk: Arc<Mutex<Option<Arc<Desk>>>>,
}

impl Seen {
    /// The first registration of a service, as it stands there.
    fn service(&self, name: &str) -> Option<(EntryState, Option<Report>)> {
        let desk = self.desk.lock().unwrap().clone()?;
        desk.with(|now, registry| {
            let mut reports = registry.reports(now);
            let (entry, report) = reports.find(|(entry, _)| entry.name == name)?;
            Some((entry.state, report.cloned()))
        })
    }

    /// Waits for what is said of a service, for some leases.
    fn wait_for(&self, name: &str, what: impl Fn(EntryState, Option<&Report>) -> bool) -> Report {
        let until = sim::now() + LEASE * 5;
        loop {
            let seen = self.service(name);
            if let Some((state, report)) = &seen
                && what(*state, report.as_ref())
            {
                return report.clone().unwrap_or_default();
            }
            assert!(sim::now() < until, "{name}: {seen:?}");
            sim::sleep(Duration::from_millis(10));
        }
    }
}
