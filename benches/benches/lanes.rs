//! What a second receiving thread is worth to a server with many connections, and what it costs where it is
//! not needed.
//!
//! Two servers, with one lane and with two, take turns in rounds. Work of about [`BURN`] in an `inline`
//! handler, and none at all, by many connections; and a null call by one. The figures are medians of rounds.
//! Clients are threads of this process, so that both servers share the processors with them: with two
//! processors two lanes cannot be worth twice as much.
//!
//! `--json` prints one object a line; `--transport udp` or `tcp` picks one.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and owns its threads")]
#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::env;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use benches::median;
use rpc_runtime::ids::ClientId;
use rpc_runtime::server::Running;
use rpc_runtime::{CallError, Channel, Server, service};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[service(name = "bench.lanes", version = "1.0")]
trait Work {
    /// Does nothing.
    #[rpc(inline)]
    fn null(&self) -> std::result::Result<(), CallError>;
    /// Keeps its thread busy.
    #[rpc(inline)]
    fn burn(&self) -> std::result::Result<(), CallError>;
}

/// What a handler takes, of a processor that does nothing else.
const BURN: Duration = Duration::from_micros(20);

/// So many steps take that long.
struct Worker {
    steps: u64,
}

impl Worker {
    fn new() -> Self {
        const TRIAL_STEPS: u64 = 20_000;
        let trial = || {
            let begun = Instant::now();
            burn(TRIAL_STEPS);
            begun.elapsed()
        };
        let fastest = (0..200).map(|_| trial()).min().expect("there are some").as_nanos();
        let steps = u128::from(TRIAL_STEPS) * BURN.as_nanos() / fastest.max(1);
        Self { steps: u64::try_from(steps).expect("some thousands") }
    }
}

/// Work by the step and not by the clock: somebody else's share of the processor is no work.
fn burn(steps: u64) {
    let mixed = (0..steps).fold(1_u64, |mixed, step| mixed.wrapping_mul(0x9e37_79b9) ^ step);
    std::hint::black_box(mixed);
}

impl Work for Worker {
    fn null(&self) -> std::result::Result<(), CallError> {
        Ok(())
    }

    fn burn(&self) -> std::result::Result<(), CallError> {
        burn(self.steps);
        Ok(())
    }
}

const CONNECTIONS: usize = 64;
/// Threads that call, each by its part of the connections, with one call at a time under way by each.
const CALLERS: usize = 4;
/// Calls by each connection in one round.
const CALLS: usize = 100;
/// Calls in a round of one caller alone.
const CALLS_ALONE: usize = 4_000;
/// Rounds; the median counts.
const ROUNDS: usize = 11;

/// What is called, and by how many connections.
#[derive(Clone, Copy)]
enum Load {
    Burn,
    Null,
    Alone,
}

impl Load {
    const ALL: [(Self, &str); 3] = [
        (Self::Burn, "20 us of work, 64 connections"),
        (Self::Null, "no work, 64 connections"),
        (Self::Alone, "no work, one connection"),
    ];
}

/// A server, and those who call it.
struct Side {
    _running: Running,
    clients: Vec<WorkClient>,
}

impl Side {
    fn new(transport: &str, lanes: usize) -> Result<Self> {
        let server = Server::bind(&format!("{transport}://127.0.0.1:0"))?.lanes(lanes);
        let running = server.export(WorkService::new(Worker::new())).spawn()?;
        assert_eq!(running.lanes(), lanes, "the system has as many ways in");
        let mut clients = Vec::new();
        for number in 1..=CONNECTIONS {
            // Clients of one name share a connection.
            let name = ClientId(u64::try_from(number)?);
            clients.push(WorkClient::on(&Channel::connect_as(&running.url(), name)?));
        }
        Ok(Self { _running: running, clients })
    }

    /// Calls a second.
    fn round(&self, load: Load) -> Result<f64> {
        let begun = Instant::now();
        let calls = match load {
            Load::Alone => {
                for _ in 0..CALLS_ALONE {
                    self.clients[0].null()?;
                }
                CALLS_ALONE
            }
            Load::Burn | Load::Null => {
                thread::scope(|scope| {
                    let callers: Vec<_> = self
                        .clients
                        .chunks(CONNECTIONS / CALLERS)
                        .map(|clients| scope.spawn(move || waves(clients, load)))
                        .collect();
                    callers.into_iter().try_for_each(|caller| caller.join().expect("no panic"))
                })?;
                CONNECTIONS * CALLS
            }
        };
        Ok(calls as f64 / begun.elapsed().as_secs_f64())
    }
}

/// Calls by each of these again and again.
fn waves(clients: &[WorkClient], load: Load) -> Result<()> {
    for _ in 0..CALLS {
        let calls: Vec<_> = clients
            .iter()
            .map(|client| match load {
                Load::Burn => client.start().burn(),
                Load::Null | Load::Alone => client.start().null(),
            })
            .collect();
        for call in calls {
            call.wait()?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let json = env::args().any(|argument| argument == "--json");
    let only = env::args().skip_while(|argument| argument != "--transport").nth(1);
    let processors = thread::available_parallelism()?;
    if !json {
        println!("calls a second, medians of {ROUNDS} interleaved rounds, {processors} processors");
    }
    for transport in ["udp", "tcp"] {
        if only.as_deref().is_some_and(|only| only != transport) {
            continue;
        }
        let sides = [Side::new(transport, 1)?, Side::new(transport, 2)?];
        for (load, name) in Load::ALL {
            let [one, two] = measure(&sides, load)?;
            let ratio = two / one;
            if json {
                let line = serde_json::json!({
                    "transport": transport, "load": name, "processors": processors,
                    "one_lane_per_s": one, "two_lanes_per_s": two, "ratio": ratio,
                });
                println!("{line}");
            } else {
                println!(
                    "{transport:<4} {name:<30} 1 lane {one:>9.0}   2 lanes {two:>9.0}   {ratio:.2}"
                );
            }
        }
    }
    Ok(())
}

fn measure(sides: &[Side; 2], load: Load) -> Result<[f64; 2]> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (side, rates) in sides.iter().zip(&mut rates) {
            let rate = side.round(load)?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    Ok(rates.map(|mut rates| median(&mut rates)))
}
