//! The path of a call: the classical list of its steps, each with its time and share, beside the raw
//! echo of the same transport; and what a call costs in system calls, allocations, copies and context
//! switches.
//!
//! Client and server are two threads of this process, on one clock, and one call of an `inline` method
//! is under way at a time; `rpc_runtime::probe` has the times at which it passed from layer to layer.
//! Calls with marks, calls without, and raw echoes take turns, so that they meet the same machine. The
//! whole is that of calls *without* marks: that the parts add up to it is not so by construction.
//!
//! Birrell & Nelson, "Implementing Remote Procedure Calls" (1984), section 3; Schroeder & Burrows,
//! "Performance of Firefly RPC" (1990), whose tables these are.

mod caller;
mod counts;
mod echo;
mod place;
mod sample;
mod steps;
mod table;

use std::error::Error;

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use caller::only_call;
pub(crate) use counts::Counts;
pub(crate) use place::Pin;
pub(crate) use table::table;

use caller::Caller;
use echo::Echo;
use place::Place;
use sample::Samples;

/// How far the parts may be from the whole.
const DIFFERENCE_MAX: f64 = 0.1;
/// How often all is measured, at the most, on a machine that has other things to do.
const ATTEMPTS: usize = 3;
/// Calls of a turn: few, so that calls with marks, calls without and echoes meet the same machine.
const TURN_CALLS: u64 = 20;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Unix,
}

impl Transport {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        }
    }
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) transport: Transport,
    pub(crate) step: &'static str,
    pub(crate) ns: f64,
    /// Of the whole.
    pub(crate) share: f64,
}

/// The parts beside the whole, and beside the raw echo.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sum {
    pub(crate) transport: Transport,
    pub(crate) pin: Pin,
    /// Of a call without marks.
    pub(crate) whole_ns: f64,
    pub(crate) sum_ns: f64,
    /// By how much of the whole the sum differs from it.
    pub(crate) difference: f64,
    pub(crate) raw_ns: f64,
    /// The whole beside the raw echo.
    pub(crate) ratio: f64,
    /// Calls that the parts are taken from.
    pub(crate) calls: u64,
    /// Payload of each, one way.
    pub(crate) payload_bytes: usize,
    /// What a mark costs, which is taken off each part.
    pub(crate) mark_ns: f64,
}

impl Sum {
    /// Whether the parts add up to the whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.difference.abs() <= DIFFERENCE_MAX
    }
}

/// All of a transport.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) steps: Vec<Step>,
    pub(crate) sum: Sum,
    pub(crate) counts: Counts,
}

/// Measures the path over `transport`; tries again where the machine was at something else.
pub(crate) fn measure(
    transport: Transport,
    calls: u64,
    payload_bytes: usize,
    pin: Pin,
) -> Result<Path, Box<dyn Error>> {
    let mut path = measure_once(transport, calls, payload_bytes, pin)?;
    for _ in 1..ATTEMPTS {
        if path.sum.is_whole() {
            break;
        }
        path = measure_once(transport, calls, payload_bytes, pin)?;
    }
    path.counts.system_calls = counts::system_calls(transport, payload_bytes, pin);
    Ok(path)
}

fn measure_once(
    transport: Transport,
    calls: u64,
    payload_bytes: usize,
    pin: Pin,
) -> Result<Path, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let place = Place::new(pin);
    place.serve();
    let caller = Caller::new(transport, folder.path(), payload_bytes)?;
    let mut echo = Echo::new(transport, folder.path(), echo::BYTES + payload_bytes)?;
    place.call();
    let (received_ns, mark_ns) = (echo.receive_ns()?, rpc_runtime::probe::cost());
    let mut samples = Samples::default();
    let mut counted = Counts::default();
    let rounds = calls.div_ceil(TURN_CALLS);
    for round in 0..=rounds {
        // The first round is to warm up.
        let into = &mut if round == 0 { Samples::default() } else { std::mem::take(&mut samples) };
        let before = counts::Before::now();
        caller.plain(TURN_CALLS, into)?;
        let plain = before.since();
        let before = counts::Before::now();
        echo.call(TURN_CALLS, into)?;
        let raw = before.since();
        caller.marked(TURN_CALLS, into)?;
        if round > 0 {
            counted.add(plain, raw, TURN_CALLS + 1); // each turn begins with one that is not timed
            samples = std::mem::take(into);
        }
    }
    let (whole_ns, raw_ns) = (samples.whole(), samples.raw());
    let steps = steps::steps(transport, &samples, (received_ns, mark_ns), whole_ns);
    let sum_ns: f64 = steps.iter().map(|step| step.ns).sum();
    let sum = Sum {
        transport,
        pin: place.pin(),
        whole_ns: sample::rounded(whole_ns, 1.0),
        sum_ns: sample::rounded(sum_ns, 1.0),
        difference: sample::rounded(sum_ns / whole_ns - 1.0, 1e-4),
        raw_ns: sample::rounded(raw_ns, 1.0),
        ratio: sample::rounded(whole_ns / raw_ns, 1e-3),
        calls: samples.marked(),
        payload_bytes,
        mark_ns: sample::rounded(mark_ns, 0.1),
    };
    counted.finish(transport);
    Ok(Path { steps, sum, counts: counted })
}
