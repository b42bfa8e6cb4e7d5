//! A change, and how long it takes in the simulator until 10,000 watchers know.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::binder::{
    DirectoryClient, Registration, Revision, Traits, Version, VersionRequirement,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;
use rpc_runtime::sim::{self, Ended, Simulation};
use rpc_runtime::time::Instant;
use serde::Serialize;

use super::Trouble;

/// Hosts, and watchers on each: no session has more calls under way.
const HOSTS: usize = 20;
const WATCHERS: usize = 500;

#[derive(Debug, Serialize)]
struct Row {
    watchers: usize,
    /// Of simulated time, until the last of them knew.
    all_told_ms: f64,
}

/// Measures, and prints it.
pub(crate) fn show(json: bool) -> Result<(), Trouble> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let changed = Duration::from_secs(5);
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let names = world.add_host("names");
        world.spawn(names, "main", false, || {
            let running = daemon::start("sim://names", Limits::default());
            loop {
                sim::sleep(Duration::from_secs(3_600));
                let _ = &running;
            }
        });
        for number in 0..HOSTS {
            let host = world.add_host(&format!("crowd{number}"));
            let told = Arc::clone(&told);
            world.spawn(host, "main", true, move || watch(&told));
        }
        let server = world.add_host("server");
        world.spawn(server, "main", true, move || register(changed));
    });
    if simulation.run_until_finished(Instant::START + Duration::from_secs(60)) != Ended::Reached {
        return Err("not all watchers were told".into());
    }
    let told = told.lock().map_err(|_| "a watcher panicked")?;
    let last = told.iter().copied().max().unwrap_or_default();
    let all_told_ms = last.saturating_sub(changed).as_secs_f64() * 1e3;
    let row = Row { watchers: told.len(), all_told_ms };
    if json {
        println!("{}", serde_json::to_string(&row)?);
    } else {
        println!(
            "{} watchers know of a change within {all_told_ms:.1} ms, simulated",
            row.watchers
        );
    }
    Ok(())
}

fn watch(told: &Mutex<Vec<Duration>>) {
    let Ok(directory) = DirectoryClient::connect("sim://names") else { return };
    let any = VersionRequirement::any();
    sim::sleep(Duration::from_millis(100));
    let page = directory.start().watch("bank", &any, Revision::NONE, 0).wait();
    let known = page.map_or(Revision::NONE, |page| page.revision);
    let calls: Vec<_> =
        (0..WATCHERS).map(|_| directory.start().watch("bank", &any, known, 30_000)).collect();
    for call in calls {
        if call.wait().is_ok_and(|page| page.entries.len() == 1)
            && let Ok(mut told) = told.lock()
        {
            told.push(sim::now().since(Instant::START));
        }
    }
}

fn register(at: Duration) {
    let Ok(directory) = DirectoryClient::connect("sim://names") else { return };
    sim::sleep(at);
    let registration = Registration {
        name: "bank".into(),
        version: Version::new(1, 0),
        server: ServerId(1),
        incarnation: Incarnation::new(1, 1),
        addresses: vec!["sim://server".into()],
        fingerprint: fingerprint_of("bank", std::iter::empty()),
        traits: Traits::default(),
        claim: 1,
    };
    let _lease = directory.start().register(&registration, Some(Vec::new())).wait();
    sim::sleep(Duration::from_secs(5));
}
