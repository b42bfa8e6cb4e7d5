//! The three layers and their clients, in virtual time.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rpc_runtime::sim::{self, Ended, HostId, Simulation};
use rpc_runtime::time::Instant;
use rpc_runtime::{CallError, Channel, Options, Server, Service, service};

use super::{Illness, LOOP_TRIES, Retry};

/// Client hosts.
pub(super) const CLIENTS: u64 = 20;
/// Calls of each.
pub(super) const CALLS: u64 = 60;
/// What a client does between two calls.
const PAUSE: Duration = Duration::from_millis(20);
/// What a loop waits between two tries.
const LOOP_WAIT: Duration = Duration::from_millis(20);
/// How long one execution of the last layer takes: it serves one call a second.
const WORK: Duration = Duration::from_secs(1);
/// Workers of the layers that are well.
const WORKERS: usize = 64;
/// When a run that does not end is given up.
const LIMIT: Instant = Instant::from_micros(36_000_000_000);

#[service]
trait Layer {
    /// Does the work, with the help of the layer below.
    #[rpc(at_most_once, timeout = "2s")]
    fn work(&self) -> Result<(), CallError>;
}

/// A layer that has another one below it.
struct Above {
    below: &'static str,
    channel: OnceLock<Channel>,
    retry: Retry,
    tries: Arc<AtomicU64>,
}

impl Layer for Above {
    fn work(&self) -> Result<(), CallError> {
        let channel = self.channel.get_or_init(|| channel(self.below, self.retry));
        let result = ask(&LayerClient::on(channel), self.retry);
        self.tries.store(channel.stats().protocol.calls, Ordering::Relaxed);
        result
    }
}

/// The last layer, where it exists.
struct Back;

impl Layer for Back {
    fn work(&self) -> Result<(), CallError> {
        sim::sleep(WORK);
        Ok(())
    }
}

fn channel(host: &str, retry: Retry) -> Channel {
    let channel = Channel::connect(&format!("sim://{host}")).expect("a host of that name");
    // The budget alone: with its breaker the runtime would spare a dead layer more.
    let options = Options::new().retry(retry == Retry::Budget).circuit_breaker(false);
    channel.with(options)
}

/// One call, with or without a loop around it.
fn ask(stub: &LayerClient, retry: Retry) -> Result<(), CallError> {
    let mut result = stub.work();
    if retry == Retry::Loop {
        for _ in 1..LOOP_TRIES {
            if result.is_ok() {
                break;
            }
            sim::sleep(LOOP_WAIT);
            result = stub.work();
        }
    }
    result
}

/// Runs the storm; how often the last layer was asked.
pub(super) fn run(seed: u64, retry: Retry, illness: Illness) -> Result<u64, Box<dyn Error>> {
    let simulation = Simulation::new(seed);
    let tries = Arc::new(AtomicU64::new(0));
    simulation.with(|control| {
        let [front, middle, back] = ["front", "middle", "back"].map(|name| control.add_host(name));
        let mut serve = |host: HostId, place: &'static str, workers, below| {
            let tries = match below {
                Some("back") => Arc::clone(&tries),
                _ => Arc::default(),
            };
            control.spawn(host, "main", false, move || match below {
                Some(below) => {
                    let channel = OnceLock::new();
                    stay(place, workers, LayerService::new(Above { below, channel, retry, tries }));
                }
                None => stay(place, workers, LayerService::new(Back)),
            });
        };
        serve(front, "front", WORKERS, Some("middle"));
        serve(middle, "middle", WORKERS, Some("back"));
        if illness == Illness::Overloaded {
            serve(back, "back", 1, None);
        }
        for n in 1..=CLIENTS {
            let host = control.add_host(&format!("client-{n}"));
            control.spawn(host, "main", true, move || {
                let front = LayerClient::on(&channel("front", retry));
                for _ in 0..CALLS {
                    // Most calls fail: the last layer is not well. Nothing is to be done about it.
                    let _ = ask(&front, retry);
                    sim::sleep(PAUSE);
                }
            });
        }
    });
    match simulation.try_run_until_finished(LIMIT)? {
        Ended::Reached => Ok(tries.load(Ordering::Relaxed)),
        Ended::Limit | Ended::Quiet | Ended::Failed => Err("a client never ended".into()),
    }
}

/// Serves for as long as the host is up.
fn stay(place: &str, workers: usize, service: impl Service) {
    let server = Server::bind(&format!("sim://{place}")).expect("the host is free");
    let server = server.export(service).workers(workers).queue(1);
    let _running = server.spawn().expect("the host is free");
    loop {
        sim::sleep(Duration::from_secs(3_600));
    }
}
