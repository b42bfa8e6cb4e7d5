//! The null call over UDP beside a raw blocking echo and a mio echo of the same size, in one run.
//!
//! Rounds of the three are interleaved, so that what the machine does meanwhile hits all alike; the
//! figures are medians of rounds, as ratios. Allocations are counted over both sides, which live in
//! this process. Client and server of each echo are threads of their own.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock and owns its threads")]
#![expect(clippy::print_stdout, reason = "a command line prints")]

use std::env;
use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use benches::{Allocations, Stop, median};
use mio::{Events, Interest, Poll, Token};
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
/// Bytes of the datagrams of a null call, both ways: what the echoes send too.
const DATAGRAM_BYTES: usize = 96;

fn main() -> Result<(), Box<dyn Error>> {
    let json = env::args().any(|argument| argument == "--json");
    let stop = Stop::new();
    let raw = raw_echo(&stop)?;
    let mio = mio_echo(&stop)?;
    let server = Server::bind("udp://127.0.0.1:0")?.export(NullService::new(Nothing)).spawn()?;
    let client = NullClient::connect(&server.url())?;

    let mut raw_times = Vec::new();
    let mut mio_times = Vec::new();
    let mut rpc_times = Vec::new();
    let mut allocations = Vec::new();
    let mut raw_client = RawClient::new(raw)?;
    let mut mio_client = MioClient::new(mio)?;
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
    let (raw, mio, rpc) = (median(&mut raw_times), median(&mut mio_times), median(&mut rpc_times));
    allocations.sort_unstable();
    let allocations = allocations[ROUNDS / 2] as f64 / f64::from(CALLS);
    if json {
        println!(
            "{}",
            serde_json::json!({
                "transport": "udp",
                "ratio_to_mio": rpc / mio,
                "ratio_to_raw": rpc / raw,
                "allocations_per_call": allocations,
                "raw_us": raw, "mio_us": mio, "rpc_us": rpc,
            })
        );
    } else {
        println!("null call over UDP, median of {ROUNDS} interleaved rounds of {CALLS} calls");
        println!("raw blocking echo  {raw:>8.2} us   1.00");
        println!("mio echo           {mio:>8.2} us   {:.2}", mio / raw);
        println!(
            "rpc null call      {rpc:>8.2} us   {:.2}   {:.2} times the mio echo",
            rpc / raw,
            rpc / mio
        );
        println!("allocations per call, both sides together: {allocations:.3}");
    }
    Ok(())
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

fn raw_echo(stop: &Stop) -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let address = socket.local_addr()?;
    let stop = stop.clone();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !stop.is_set() {
            if let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..len], from);
            }
        }
    });
    Ok(address)
}

struct RawClient {
    socket: UdpSocket,
    server: SocketAddr,
}

impl RawClient {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self { socket, server })
    }

    fn call(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 2048];
        self.socket.send_to(&buffer[..DATAGRAM_BYTES], self.server)?;
        Ok(self.socket.recv_from(&mut buffer)?.0)
    }
}

fn mio_echo(stop: &Stop) -> io::Result<SocketAddr> {
    let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().expect("an address"))?;
    let address = socket.local_addr()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let stop = stop.clone();
    thread::spawn(move || {
        let mut events = Events::with_capacity(8);
        let mut buffer = [0; 2048];
        while !stop.is_set() {
            let _ = poll.poll(&mut events, Some(Duration::from_millis(200)));
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..len], from);
            }
        }
    });
    Ok(address)
}

struct MioClient {
    socket: mio::net::UdpSocket,
    server: SocketAddr,
    poll: Poll,
    events: Events,
}

impl MioClient {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().expect("an address"))?;
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
        Ok(Self { socket, server, poll, events: Events::with_capacity(8) })
    }

    fn call(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 2048];
        self.socket.send_to(&buffer[..DATAGRAM_BYTES], self.server)?;
        loop {
            self.poll.poll(&mut self.events, Some(Duration::from_secs(1)))?;
            match self.socket.recv_from(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Ok(other?.0),
            }
        }
    }
}
