//! The same server in the simulator: threads, inline handlers, a crash in the midst of it.

use super::*;
use crate::driver::World;
use crate::fault::Faults;
use crate::sim::{Ended, Simulation, current_world};
use crate::time::Instant;

const LONG: Instant = Instant::from_micros(3_600_000_000);

fn here() -> Arc<dyn World> {
    current_world().expect("a simulated thread")
}

/// Serves for ever.
fn serve(executions: Arc<AtomicUsize>) {
    let (sender, _) = mpsc::channel();
    let probe = Probe { seen: Mutex::new(sender), executions, release: Arc::default() };
    let server = Server::bind_in(&here(), "probe").expect("the host's own name");
    let running = server.export(probe).workers(3).spawn().expect("starts");
    assert_eq!(running.url(), "sim://probe");
    loop {
        here().gate().wait(None);
    }
}

/// Calls every slot `rounds` times, inline and by workers in turn.
fn call(rounds: u64) {
    let mut peer = Peer::open_in(here(), "probe");
    for round in 1..=rounds {
        for slot in 0..4 {
            let method = if slot % 2 == 0 { ECHO } else { WORK };
            peer.request(slot, round, &PROBE, method, &round.to_le_bytes());
        }
        for slot in 0..4 {
            assert_eq!(peer.answer(slot, round), returned(&round.to_le_bytes()));
        }
    }
}

#[test]
fn a_server_with_workers_runs_in_virtual_time_and_the_same_each_time() {
    let run = || {
        let executions = Arc::<AtomicUsize>::default();
        let simulation = Simulation::new(11);
        simulation.with(|world| {
            let (server, client) = (world.add_host("probe"), world.add_host("client"));
            let executions = Arc::clone(&executions);
            world.spawn(server, "main", false, move || serve(executions));
            world.spawn(client, "main", true, || call(50));
        });
        assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
        assert_eq!(executions.load(Ordering::SeqCst), 200);
        simulation.trace_hash()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_crashed_host_takes_its_server_along_and_a_restarted_one_knows_no_session() {
    let executions = Arc::<AtomicUsize>::default();
    let simulation = Simulation::new(12);
    simulation.with(|world| {
        let (server, client) = (world.add_host("probe"), world.add_host("client"));
        let (before, after) = (Arc::clone(&executions), Arc::clone(&executions));
        world.spawn(server, "main", false, move || serve(before));
        world.at(Instant::from_micros(500_000), move |world| {
            world.crash(server);
            world.restart(server);
            world.spawn(server, "main", false, move || serve(after));
        });
        world.spawn(client, "main", true, || {
            let mut peer = Peer::open_in(here(), "probe");
            peer.request(0, 1, &PROBE, WORK, b"before");
            assert_eq!(peer.answer(0, 1), returned(b"before"));
            let later = Instant::from_micros(1_000_000);
            while here().now() < later {
                here().gate().wait(Some(later));
            }
            peer.request(0, 2, &PROBE, WORK, b"after");
            assert_eq!(peer.answer(0, 2), Answer::NoSession);
        });
    });
    assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
    assert_eq!(executions.load(Ordering::SeqCst), 1);
}

#[test]
fn duplicates_of_a_bad_network_execute_nothing_twice() {
    let executions = Arc::<AtomicUsize>::default();
    let simulation = Simulation::new(13);
    simulation.with(|world| {
        world.net.set_faults(Faults::default().duplicate(0.5).reorder(0.5));
        let (server, client) = (world.add_host("probe"), world.add_host("client"));
        let executions = Arc::clone(&executions);
        world.spawn(server, "main", false, move || serve(executions));
        world.spawn(client, "main", true, || call(50));
    });
    assert_eq!(simulation.run_until_finished(LONG), Ended::Reached);
    assert_eq!(executions.load(Ordering::SeqCst), 200);
}
