//! A cell in the simulator: blocking code on two hosts, in virtual time.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rpc_runtime::sim::{self, Ended, Simulation};
use rpc_runtime::time::Instant;
use rpc_runtime::{Channel, Server};

use super::Cell;
use super::parcels::{Depot, ParcelsService, send};

/// When a run that does not end is given up.
const LIMIT: Instant = Instant::from_micros(100_000_000_000);

type Outcome = Result<Duration, Box<dyn Error + Send + Sync>>;

/// How long the calls took.
pub(super) fn measure(cell: &Cell, calls: usize) -> Outcome {
    let simulation = Simulation::new(cell.seed);
    let took: Arc<Mutex<Option<Outcome>>> = Arc::default();
    simulation.with(|control| {
        control.net.set_faults(cell.faults());
        let (server, client) = (control.add_host("server"), control.add_host("client"));
        control.spawn(server, "main", false, || {
            let server = Server::bind("sim://server").expect("the host is free");
            let _running = server.export(ParcelsService::new(Depot)).spawn();
            loop {
                sim::sleep(Duration::from_secs(3_600));
            }
        });
        let (cell, took) = (*cell, Arc::clone(&took));
        control.spawn(client, "main", true, move || {
            let world = sim::current_world().expect("a thread of the simulator");
            let channel = Channel::connect("sim://server").expect("a host of that name");
            let outcome = send(&*world, &channel, &cell, calls);
            *took.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
    });
    match simulation.try_run_until_finished(LIMIT)? {
        Ended::Reached => {}
        Ended::Limit | Ended::Quiet | Ended::Failed => return Err("the client never ended".into()),
    }
    let took = took.lock().unwrap_or_else(PoisonError::into_inner).take();
    took.unwrap_or_else(|| Err("the client left nothing".into()))
}
