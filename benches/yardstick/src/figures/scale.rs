//! Many threads on one connection, and many connections that are idle beside one that calls.

use std::time::Instant;

use serde::Serialize;

use crate::child::Served;
use crate::cli::Common;
use crate::contest::{Contest, Contestant, until};
use crate::series::Series;
use crate::system::{Caller, Request, Result, SMALL_BYTES, Transport, Work};
use crate::table::{self, Row, number};

#[derive(Serialize)]
struct Line {
    system: &'static str,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<usize>,
    calls_per_second: f64,
    /// Beside one thread, or one connection.
    ratio: f64,
    cpu_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_session: Option<f64>,
}

impl Row for Line {
    const HEADER: &'static [&'static str] =
        &["SYSTEM", "threads", "connections", "calls/s", "to one", "cpu us", "bytes/session"];

    fn cells(&self) -> Vec<String> {
        let count =
            |count: Option<usize>| count.map_or_else(String::new, |count| count.to_string());
        vec![
            self.system.to_owned(),
            count(self.threads),
            count(self.connections),
            number(self.calls_per_second, 0),
            number(self.ratio, 2),
            number(self.cpu_us, 2),
            self.bytes_per_session.map_or_else(String::new, |bytes| number(bytes, 0)),
        ]
    }
}

/// What one turn showed.
struct Turn {
    calls_per_second: f64,
    cpu_us: f64,
}

impl Turn {
    fn medians(turns: &[Self]) -> (f64, f64) {
        let of = |value: fn(&Self) -> f64| turns.iter().map(value).collect::<Series>().median();
        (of(|turn| turn.calls_per_second), of(|turn| turn.cpu_us))
    }
}

pub(crate) fn run(common: &Common, threads_max: usize, connections_max: usize) -> Result<()> {
    for transport in common.transports() {
        let lines = threads(common, transport, threads_max)?;
        let title = format!("callers on one connection over {transport}, 64-byte calls");
        table::show(common.json, &title, &lines);
        let lines = connections(common, transport, connections_max)?;
        let title = format!("idle connections beside one that calls over {transport}");
        table::show(common.json, &title, &lines);
    }
    Ok(())
}

/// 1, 2, 4, … up to `max` threads.
fn threads(common: &Common, transport: Transport, max: usize) -> Result<Vec<Line>> {
    let mut contest = Contest::line_up(common, transport, Work::Many)?;
    contest.contestants.retain(|contestant| contestant.caller.shared().is_some());
    let mut lines: Vec<Vec<Line>> = contest.contestants.iter().map(|_| Vec::new()).collect();
    for threads in (0..).map(|power| 1 << power).take_while(|&threads| threads <= max) {
        let turns = contest.rounds(common.rounds, |contestant| {
            let ((calls, seconds), used) =
                contestant.used(|caller| together(caller, threads, common.seconds))?;
            Ok(Turn { calls_per_second: calls / seconds, cpu_us: used.cpu_us() / calls })
        })?;
        for ((contestant, lines), turns) in contest.contestants.iter().zip(&mut lines).zip(&turns) {
            let (calls_per_second, cpu_us) = Turn::medians(turns);
            let one = lines.first().map_or(calls_per_second, |line| line.calls_per_second);
            lines.push(Line {
                system: contestant.system.name(),
                transport: transport.name(),
                threads: Some(threads),
                connections: None,
                calls_per_second,
                ratio: calls_per_second / one,
                cpu_us,
                bytes_per_session: None,
            });
        }
    }
    Ok(lines.into_iter().flatten().collect())
}

/// Calls of all threads, and how long they took.
fn together(caller: &mut dyn Caller, threads: usize, seconds: f64) -> Result<(f64, f64)> {
    let callers: Vec<_> = (0..threads).filter_map(|_| caller.shared()).collect();
    let (begun, until) = (Instant::now(), until(seconds));
    let calls = std::thread::scope(|scope| {
        let call =
            |mut caller: Box<dyn Caller + Send>| scope.spawn(move || repeat(&mut *caller, until));
        let threads: Vec<_> = callers.into_iter().map(call).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?)
            .sum::<Result<f64>>()
    })?;
    Ok((calls, begun.elapsed().as_secs_f64()))
}

fn repeat(caller: &mut dyn Caller, until: Instant) -> Result<f64> {
    let mut calls = 0.0;
    while Instant::now() < until {
        caller.call(Request::Echo(&[7; SMALL_BYTES]))?;
        calls += 1.0;
    }
    Ok(calls)
}

/// Connections of one process: each may take several descriptors.
const HELD_MAX: usize = 2_000;

/// 1, 10, 100, … up to `max` connections. One system at a time: descriptors are not without number.
fn connections(common: &Common, transport: Transport, max: usize) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut contest = Contest::line_up(common, transport, Work::Many)?;
    for contestant in std::mem::take(&mut contest.contestants) {
        let name = contestant.system.name();
        if let Err(error) = grow(common, transport, contestant, max, &mut lines) {
            eprintln!("{name} over {transport}: {error}");
        }
    }
    Ok(lines)
}

fn grow(
    common: &Common,
    transport: Transport,
    mut contestant: Contestant,
    max: usize,
    lines: &mut Vec<Line>,
) -> Result<()> {
    let (mut held, mut open) = (Vec::new(), 1);
    let mut one: Option<(f64, u64)> = None;
    for connections in (0..).map(|power| 10_usize.pow(power)).take_while(|&count| count <= max) {
        if connections > 1 && (transport == Transport::Mem || contestant.caller.another().is_none())
        {
            return Ok(()); // of this process, or of nobody
        }
        while open < connections {
            let more = (connections - open).min(HELD_MAX);
            held.push(
                Served::hold(contestant.system, transport, &contestant.served.address, more)
                    .map_err(|error| format!("beside {open} connections: {error}"))?,
            );
            open += more;
        }
        let mut turns = Vec::new();
        for _ in 0..common.rounds {
            let begun = Instant::now();
            let (calls, used) = contestant.used(|caller| repeat(caller, until(common.seconds)))?;
            let calls_per_second = calls / begun.elapsed().as_secs_f64();
            turns.push(Turn { calls_per_second, cpu_us: used.cpu_us() / calls });
        }
        let (calls_per_second, cpu_us) = Turn::medians(&turns);
        let resident = contestant.served.usage()?.resident_bytes;
        let &mut (rate, before) = one.get_or_insert((calls_per_second, resident));
        let grown = resident.saturating_sub(before) as f64;
        lines.push(Line {
            system: contestant.system.name(),
            transport: transport.name(),
            threads: None,
            connections: Some(connections),
            calls_per_second,
            ratio: calls_per_second / rate,
            cpu_us,
            bytes_per_session: (connections > 1).then(|| grown / (connections - 1) as f64),
        });
    }
    Ok(())
}
