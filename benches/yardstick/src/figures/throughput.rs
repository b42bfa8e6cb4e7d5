//! Many small calls under way on one connection.

use std::time::Instant;

use serde::Serialize;

use crate::cli::Common;
use crate::contest::{Contest, until};
use crate::series::Series;
use crate::system::{Result, SMALL_BYTES, Transport, Work};
use crate::table::{self, Row, number};

#[derive(Serialize)]
struct Line {
    system: &'static str,
    transport: &'static str,
    outstanding: usize,
    calls_per_second: f64,
    ratio: Option<f64>,
    cpu_us: f64,
    calls_per_second_min: f64,
    calls_per_second_max: f64,
}

impl Row for Line {
    const HEADER: &'static [&'static str] =
        &["SYSTEM", "outstanding", "calls/s", "min..max", "ratio", "cpu us"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.system.to_owned(),
            self.outstanding.to_string(),
            number(self.calls_per_second, 0),
            format!(
                "{}..{}",
                number(self.calls_per_second_min, 0),
                number(self.calls_per_second_max, 0)
            ),
            number(self.ratio, 3),
            number(self.cpu_us, 2),
        ]
    }
}

/// What one turn showed.
struct Turn {
    calls_per_second: f64,
    cpu_us: f64,
}

pub(crate) fn run(common: &Common, outstanding: &[usize]) -> Result<()> {
    for transport in common.transports() {
        let mut contest = Contest::line_up(common, transport, Work::Many)?;
        for &outstanding in outstanding {
            let lines = measure(common, &mut contest, transport, outstanding)?;
            let title = format!(
                "throughput over {transport}, {outstanding} outstanding, median of {} interleaved \
                 rounds",
                common.rounds
            );
            table::show(common.json, &title, &lines);
        }
    }
    Ok(())
}

fn measure(
    common: &Common,
    contest: &mut Contest,
    transport: Transport,
    outstanding: usize,
) -> Result<Vec<Line>> {
    let small = [7; SMALL_BYTES];
    let mut turns = contest.rounds(common.rounds + 1, |contestant| {
        let begun = Instant::now();
        let (calls, used) =
            contestant.used(|caller| caller.pump(&small, outstanding, until(common.seconds)))?;
        let calls = calls as f64;
        let calls_per_second = calls / begun.elapsed().as_secs_f64();
        Ok(Turn { calls_per_second, cpu_us: used.cpu_us() / calls })
    })?;
    for turns in &mut turns {
        turns.remove(0);
    }
    let rates = |turns: &[Turn]| turns.iter().map(|turn| turn.calls_per_second).collect::<Series>();
    let reference = contest.reference().map(|index| rates(&turns[index]));
    let line = |(contestant, turns): (&crate::contest::Contestant, &Vec<Turn>)| {
        let rates = rates(turns);
        Line {
            system: contestant.system.name(),
            transport: transport.name(),
            outstanding,
            calls_per_second: rates.median(),
            ratio: reference.as_ref().map(|reference| rates.ratios(reference).median()),
            cpu_us: turns.iter().map(|turn| turn.cpu_us).collect::<Series>().median(),
            calls_per_second_min: rates.min(),
            calls_per_second_max: rates.max(),
        }
    };
    Ok(contest.contestants.iter().zip(&turns).map(line).collect())
}
