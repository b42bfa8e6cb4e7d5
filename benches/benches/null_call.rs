//! The null call over UDP, TCP and Unix sockets beside a raw blocking echo and a mio echo of the same
//! size over the same transport, in one run.
//!
//! Rounds of the three are interleaved, so that what the machine does meanwhile hits all alike; the
//! figures are medians of rounds, as ratios. Allocations are counted over both sides, which live in
//! this process. Client and server of each echo are threads of their own.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and owns its threads")]
#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::env;
use std::error::Error;
use std::time::Instant;

use benches::echo::{self, Call};
use benches::{Allocations, Stop, median};
use rpc_runtime::{CallError, Server, service};

#[global_allocator]
static ALLOCATIONS: Allocations = Allocations::new();

/// Nothing in, nothing out.
#[service(name = "bench.null", version = "1.0")]
trait Null {
    /// Does nothing.
    #[rpc(inline)]
    fn null(&self) -> Result<(), CallError>;
}

struct Nothing;

impl Null for Nothing {
    fn null(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// Calls in one round of one contestant.
const CALLS: u32 = 4_000;
/// Rounds; the median counts.
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let json = env::args().any(|argument| argument == "--json");
    let only = env::args().skip_while(|argument| argument != "--transport").nth(1);
    for transport in ["udp", "tcp", "unix"] {
        if only.as_deref().is_none_or(|only| only == transport) {
            show(&measure(transport)?, json);
        }
    }
    Ok(())
}

/// Medians over the rounds, in microseconds.
struct Figures {
    transport: &'static str,
    raw: f64,
    mio: f64,
    rpc: f64,
    allocations: f64,
}

fn measure(transport: &'static str) -> Result<Figures, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let url = match transport {
        "unix" => format!("unix://{}/rpc", folder.path().display()),
        _ => format!("{transport}://127.0.0.1:0"),
    };
    let stop = Stop::new();
    let mut raw_client: Box<dyn Call> = echo::raw(transport, folder.path(), &stop)?;
    let mut mio_client: Box<dyn Call> = echo::mio(transport, folder.path(), &stop)?;
    let server = Server::bind(&url)?.export(NullService::new(Nothing)).spawn()?;
    let client = NullClient::connect(&server.url())?;

    let mut raw_times = Vec::new();
    let mut mio_times = Vec::new();
    let mut rpc_times = Vec::new();
    let mut allocations = Vec::new();
    for round in 0..=ROUNDS {
        let raw = timed(|| raw_client.call())?;
        let mio = timed(|| mio_client.call())?;
        let before = ALLOCATIONS.count();
        let rpc = timed(|| client.null())?;
        let allocated = ALLOCATIONS.count() - before;
        if round > 0 {
            raw_times.push(raw);
            mio_times.push(mio);
            rpc_times.push(rpc);
            allocations.push(allocated);
        }
    }
    stop.now();
    allocations.sort_unstable();
    Ok(Figures {
        transport,
        raw: median(&mut raw_times),
        mio: median(&mut mio_times),
        rpc: median(&mut rpc_times),
        allocations: allocations[ROUNDS / 2] as f64 / f64::from(CALLS),
    })
}

fn show(figures: &Figures, json: bool) {
    let &Figures { transport, raw, mio, rpc, allocations } = figures;
    if json {
        println!(
            "{}",
            serde_json::json!({
                "transport": transport,
                "ratio_to_mio": rpc / mio,
                "ratio_to_raw": rpc / raw,
                "allocations_per_call": allocations,
                "raw_us": raw, "mio_us": mio, "rpc_us": rpc,
            })
        );
        return;
    }
    println!("null call over {transport}, median of {ROUNDS} interleaved rounds of {CALLS} calls");
    println!("raw blocking echo  {raw:>8.2} us   1.00");
    println!("mio echo           {mio:>8.2} us   {:.2}", mio / raw);
    println!(
        "rpc null call      {rpc:>8.2} us   {:.2}   {:.2} times the mio echo",
        rpc / raw,
        rpc / mio
    );
    println!("allocations per call, both sides together: {allocations:.3}");
}

/// Microseconds a call.
fn timed<T, E: Into<Box<dyn Error>>>(
    mut call: impl FnMut() -> Result<T, E>,
) -> Result<f64, Box<dyn Error>> {
    let started = Instant::now();
    for _ in 0..CALLS {
        call().map_err(Into::into)?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS))
}
