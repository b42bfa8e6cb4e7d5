//! Large messages, one after the other.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::cli::Common;
use crate::contest::{Contest, until};
use crate::series::Series;
use crate::system::{Request, Result, Transport, Work};
use crate::table::{self, Row, number};

#[derive(Serialize)]
struct Line {
    system: &'static str,
    transport: &'static str,
    bytes: usize,
    direction: &'static str,
    mb_per_second: f64,
    ratio: Option<f64>,
    cpu_us: f64,
    mb_per_second_min: f64,
    mb_per_second_max: f64,
}

impl Row for Line {
    const HEADER: &'static [&'static str] = &["SYSTEM", "MB/s", "min..max", "ratio", "cpu us"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.system.to_owned(),
            number(self.mb_per_second, 0),
            format!("{}..{}", number(self.mb_per_second_min, 0), number(self.mb_per_second_max, 0)),
            number(self.ratio, 3),
            number(self.cpu_us, 0),
        ]
    }
}

/// What one turn showed.
struct Turn {
    mb_per_second: f64,
    cpu_us: f64,
}

pub(crate) fn run(common: &Common, work: Work) -> Result<()> {
    let (bytes, direction) = match work {
        Work::Source(bytes) => (bytes, "reply"),
        Work::Sink(bytes) => (bytes, "argument"),
        Work::Echo | Work::Many => return Err("bulk goes one way".into()),
    };
    for transport in common.transports() {
        let lines = measure(common, transport, work, (bytes, direction))?;
        let title = format!(
            "{bytes} bytes in the {direction} over {transport}, median of {} interleaved rounds",
            common.rounds
        );
        table::show(common.json, &title, &lines);
    }
    Ok(())
}

fn measure(
    common: &Common,
    transport: Transport,
    work: Work,
    (bytes, direction): (usize, &'static str),
) -> Result<Vec<Line>> {
    let mut contest = Contest::line_up(common, transport, work)?;
    let message = Arc::new(vec![7; bytes]);
    let request =
        if direction == "reply" { Request::Source(bytes) } else { Request::Sink(&message) };
    let mut turns = contest.rounds(common.rounds + 1, |contestant| {
        let ((calls, seconds), used) = contestant.used(|caller| {
            let (begun, until) = (Instant::now(), until(common.seconds));
            let mut calls = 0.0;
            while Instant::now() < until {
                caller.call(request)?;
                calls += 1.0;
            }
            Ok((calls, begun.elapsed().as_secs_f64()))
        })?;
        let mb_per_second = calls * bytes as f64 / 1e6 / seconds;
        Ok(Turn { mb_per_second, cpu_us: used.cpu_us() / calls })
    })?;
    for turns in &mut turns {
        turns.remove(0);
    }
    let rates = |turns: &[Turn]| turns.iter().map(|turn| turn.mb_per_second).collect::<Series>();
    let reference = contest.reference().map(|index| rates(&turns[index]));
    let line = |(contestant, turns): (&crate::contest::Contestant, &Vec<Turn>)| {
        let rates = rates(turns);
        Line {
            system: contestant.system.name(),
            transport: transport.name(),
            bytes,
            direction,
            mb_per_second: rates.median(),
            ratio: reference.as_ref().map(|reference| rates.ratios(reference).median()),
            cpu_us: turns.iter().map(|turn| turn.cpu_us).collect::<Series>().median(),
            mb_per_second_min: rates.min(),
            mb_per_second_max: rates.max(),
        }
    };
    Ok(contest.contestants.iter().zip(&turns).map(line).collect())
}
