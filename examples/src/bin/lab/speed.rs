//! How fast the simulator is: calls a second of real time without faults, by who drives the clients.

use std::error::Error;

use rpc_runtime::Semantics;
use rpc_runtime::fault::Faults;
use serde::Serialize;

use super::experiment::{Experiment, Row, World};
use super::{simulated, threaded};

/// Who drives clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Driven {
    /// Machines without threads.
    Nodes,
    /// Blocking code in threads that take turns; with a binder.
    Threads,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) world: &'static str,
    pub(crate) driven: Driven,
    pub(crate) calls: u64,
    pub(crate) calls_per_second: u64,
    /// Whether all promises were kept, and all calls returned.
    #[serde(skip)]
    pub(crate) is_clean: bool,
}

impl Speed {
    /// As people read it.
    pub(crate) fn line(&self) -> String {
        let what = match self.driven {
            Driven::Nodes => "without threads",
            Driven::Threads => "with blocking code in threads, found through a binder,",
        };
        let Self { calls, calls_per_second, .. } = self;
        format!(
            "The simulator {what} made {calls_per_second} calls a second ({calls} calls, no faults)."
        )
    }
}

/// Measures both: `at_most_once` calls without faults.
pub(crate) fn measure(nodes: u64, threads: u64) -> Result<[Speed; 2], Box<dyn Error>> {
    let experiment = |world, calls| {
        let (semantics, faults) = (Semantics::AtMostOnce, Faults::NONE);
        Experiment { world, semantics, faults, calls, seed: 1 }
    };
    let speed = |driven, row: &Row| Speed {
        world: "sim",
        driven,
        calls: row.tally.calls,
        calls_per_second: row.calls_per_second,
        is_clean: row.is_clean() && row.tally.ok == row.tally.calls,
    };
    let nodes = simulated::run(&experiment(World::Sim, nodes));
    let threads = threaded::run(&experiment(World::SimThreads, threads))?;
    Ok([speed(Driven::Nodes, &nodes), speed(Driven::Threads, &threads)])
}
