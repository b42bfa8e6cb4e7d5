//! One caller, one call after the other.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cli::{Common, Payload};
use crate::contest::{Both, Contest, until};
use crate::series::Series;
use crate::system::{Caller, Request, Result, SMALL_BYTES, Transport, Work};
use crate::table::{self, Row, number};

/// The part of a turn that is not measured: caches, the processor's clock, idle timers.
const WARM_UP: f64 = 0.1;

/// Longest time that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Line {
    system: &'static str,
    transport: &'static str,
    p50_us: f64,
    p99_us: f64,
    p50_ratio: Option<f64>,
    p99_ratio: Option<f64>,
    cpu_us: f64,
    p50_us_min: f64,
    p50_us_max: f64,
    p50_ratio_min: Option<f64>,
    p50_ratio_max: Option<f64>,
    bytes: usize,
    #[serde(flatten)]
    counts: Option<Counts>,
}

/// A call's counts, without system calls: those are counted from outside.
#[derive(Serialize)]
struct Counts {
    client_allocations: f64,
    server_allocations: f64,
    client_switches: f64,
    server_switches: f64,
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &[
        "SYSTEM",
        "p50 us",
        "min..max",
        "p99 us",
        "p50 ratio",
        "min..max",
        "p99 ratio",
        "cpu us",
        "allocations",
        "switches",
    ];

    fn cells(&self) -> Vec<String> {
        let each = |value: fn(&Counts) -> [f64; 2]| {
            self.counts.as_ref().map(value).map_or_else(String::new, |[client, server]| {
                format!("{} + {}", number(client, 3), number(server, 3))
            })
        };
        vec![
            self.system.to_owned(),
            number(self.p50_us, 2),
            format!("{}..{}", number(self.p50_us_min, 1), number(self.p50_us_max, 1)),
            number(self.p99_us, 1),
            number(self.p50_ratio, 2),
            format!("{}..{}", number(self.p50_ratio_min, 2), number(self.p50_ratio_max, 2)),
            number(self.p99_ratio, 2),
            number(self.cpu_us, 2),
            each(|counts| [counts.client_allocations, counts.server_allocations]),
            each(|counts| [counts.client_switches, counts.server_switches]),
        ]
    }
}

/// What one turn showed.
struct Turn {
    p50_us: f64,
    p99_us: f64,
    calls: f64,
    used: Both,
}

pub(crate) fn run(common: &Common, payload: Payload) -> Result<()> {
    for transport in common.transports() {
        let lines = measure(common, transport, payload)?;
        let carried = if payload == Payload::Null { "null" } else { "64-byte" };
        let title = format!(
            "latency of a {carried} call over {transport}, median of {} interleaved rounds",
            common.rounds
        );
        table::show(common.json, &title, &lines);
    }
    Ok(())
}

fn measure(common: &Common, transport: Transport, payload: Payload) -> Result<Vec<Line>> {
    let mut contest = Contest::line_up(common, transport, Work::Echo)?;
    let small = [7; SMALL_BYTES];
    let request = if payload == Payload::Null { Request::Null } else { Request::Echo(&small) };
    let mut times = Histogram::new_with_max(LONGEST.as_nanos() as u64, 3)?;
    let mut turns = contest.rounds(common.rounds + 1, |contestant| {
        repeat(&mut *contestant.caller, request, common.seconds * WARM_UP, None)?;
        times.reset();
        let ((), used) =
            contestant.used(|caller| repeat(caller, request, common.seconds, Some(&mut times)))?;
        let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Turn { p50_us: micros(0.5), p99_us: micros(0.99), calls: times.len() as f64, used })
    })?;
    for turns in &mut turns {
        turns.remove(0);
    }
    let reference = contest.reference().map(|index| &turns[index]);
    let line = |(index, contestant): (usize, &crate::contest::Contestant)| {
        let turns = &turns[index];
        let of = |value: fn(&Turn) -> f64| turns.iter().map(value).collect::<Series>();
        let ratios = |value: fn(&Turn) -> f64| {
            reference.map(|reference| of(value).ratios(&reference.iter().map(value).collect()))
        };
        let (p50, p50_ratios) = (of(|turn| turn.p50_us), ratios(|turn| turn.p50_us));
        let a_call = |value: fn(&Turn) -> f64| of(value).median();
        Line {
            system: contestant.system.name(),
            transport: transport.name(),
            p50_us: p50.median(),
            p99_us: of(|turn| turn.p99_us).median(),
            p50_ratio: p50_ratios.as_ref().map(Series::median),
            p99_ratio: ratios(|turn| turn.p99_us).as_ref().map(Series::median),
            cpu_us: a_call(|turn| turn.used.cpu_us() / turn.calls),
            p50_us_min: p50.min(),
            p50_us_max: p50.max(),
            p50_ratio_min: p50_ratios.as_ref().map(Series::min),
            p50_ratio_max: p50_ratios.as_ref().map(Series::max),
            bytes: if payload == Payload::Null { 0 } else { SMALL_BYTES },
            counts: common.counts.then(|| Counts {
                client_allocations: a_call(|turn| turn.used.client.allocations as f64 / turn.calls),
                server_allocations: a_call(|turn| turn.used.server.allocations as f64 / turn.calls),
                client_switches: a_call(|turn| turn.used.client.switches as f64 / turn.calls),
                server_switches: a_call(|turn| turn.used.server.switches as f64 / turn.calls),
            }),
        }
    };
    Ok(contest.contestants.iter().enumerate().map(line).collect())
}

/// Calls for `seconds`; the end of one call is the beginning of the next.
fn repeat(
    caller: &mut dyn Caller,
    request: Request<'_>,
    seconds: f64,
    mut times: Option<&mut Histogram<u64>>,
) -> Result<()> {
    let until = until(seconds);
    let mut begun = Instant::now();
    while begun < until {
        caller.call(request)?;
        let ended = Instant::now();
        if let Some(times) = &mut times {
            times.saturating_record((ended - begun).as_nanos() as u64);
        }
        begun = ended;
    }
    Ok(())
}
