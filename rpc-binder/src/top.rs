//! `rpc-binder top`: what servers do, as they tell the binder when they renew.
//!
//! [`frame`] makes a table of what was told; it is pure. On a terminal the table is drawn anew in the same
//! place, as high as the terminal is.

use std::cmp::Ordering;
use std::io::{self, IsTerminal as _, Write};

use rpc_runtime::Exit;
use rpc_runtime::binder::{EntryState, Figures, Health, Reported};
use serde::Serialize;

use crate::cli;
use crate::command::{DONE, Outcome, binder};
use crate::interrupt::News;
use crate::render::{aligned, clean};

/// To the upper left corner; what comes is written over what was there.
const HOME: &str = "\x1b[H";
/// Clears the rest of a line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears all below.
const CLEAR_BELOW: &str = "\x1b[J";
/// How high and wide a terminal is that does not say.
const SIZE_DEFAULT: (usize, usize) = (24, 100);

/// Prints once, or again and again.
pub(crate) fn run(
    asked: &cli::Top,
    json: bool,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<u8> {
    match show(asked, json, out) {
        Ok(()) => Ok(DONE),
        Err(exit) => {
            writeln!(complaints, "rpc-binder: {}", exit.text())?;
            Ok(exit.code())
        }
    }
}

fn show(asked: &cli::Top, json: bool, out: &mut dyn Write) -> Outcome<()> {
    let binder = binder(&asked.ask)?;
    let name = asked.name.clone();
    let look = move || -> Result<Vec<Reported>, Exit> {
        let mut reports = binder.reports()?;
        reports.retain(|one| name.as_ref().is_none_or(|name| *name == one.entry.name));
        reports.sort_by(busiest_first);
        Ok(reports)
    };
    let first = look()?;
    let is_drawn = !asked.once && !json && is_screen();
    if asked.once || (!json && !is_drawn) {
        out.write_all(text(&first, json).as_bytes())?;
        return Ok(out.flush()?);
    }
    let interval = asked.interval;
    let news = News::of(None, move |teller| {
        let mut told = Ok(first);
        while teller.tell(told) {
            teller.rest(interval);
            told = look();
        }
    })?;
    while let Some(told) = news.next() {
        let text = match told {
            Ok(reports) if is_drawn => drawn(&frame(&reports)),
            Ok(reports) => text(&reports, json),
            Err(exit) if is_drawn => drawn(&format!("{}\n", clean(exit.text()))),
            Err(_) => continue, // a line that is none of the data would be in the way
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

fn is_screen() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// As much of `text` as the terminal holds, over what is there.
fn drawn(text: &str) -> String {
    let size = terminal_size::terminal_size();
    let (height, width) =
        size.map_or(SIZE_DEFAULT, |(width, height)| (usize::from(height.0), usize::from(width.0)));
    let mut screen = HOME.to_owned();
    for (index, line) in text.lines().take(height).enumerate() {
        if index > 0 {
            screen.push_str("\r\n");
        }
        screen.extend(line.chars().take(width));
        screen.push_str(CLEAR_LINE);
    }
    screen.push_str(CLEAR_BELOW);
    screen
}

fn busiest_first(one: &Reported, other: &Reported) -> Ordering {
    let rate = |reported: &Reported| reported.calls_per_second().unwrap_or(0.0);
    let by_rate = rate(other).total_cmp(&rate(one));
    by_rate.then_with(|| one.entry.place().cmp(&other.entry.place()))
}

fn text(reports: &[Reported], json: bool) -> String {
    if !json {
        return frame(reports);
    }
    reports.iter().map(object).collect()
}

/// A line that sums up, and a line for each server.
fn frame(reports: &[Reported]) -> String {
    let head = [
        "SERVICE",
        "VERSION",
        "SERVER",
        "STATE",
        "HEALTH",
        "CALLS/S",
        "RUNNING",
        "QUEUED",
        "P50",
        "P99",
        "FAILED",
        "REFUSED",
        "DUPLICATES",
        "ORPHANS",
    ];
    let rows = reports.iter().map(|reported| {
        let entry = &reported.entry;
        let figures = figures(reported);
        let count =
            |of: fn(&Figures) -> u64| figures.map_or("-".to_owned(), |all| of(all).to_string());
        let time = |of: fn(&Figures) -> u32| figures.map_or("-".to_owned(), |all| time(of(all)));
        [
            clean(&entry.name),
            entry.version.to_string(),
            entry.server.to_string(),
            entry.state.word().to_owned(),
            health(reported).map_or("-", Health::word).to_owned(),
            reported.calls_per_second().map_or("-".to_owned(), rate),
            count(|all| all.running.into()),
            count(|all| all.queued.into()),
            time(|all| all.p50_us),
            time(|all| all.p99_us),
            count(|all| all.failed),
            count(|all| all.refused),
            count(|all| all.duplicates_suppressed),
            count(|all| all.orphans_killed),
        ]
        .to_vec()
    });
    let live = reports.iter().filter(|one| one.entry.state == EntryState::Live).count();
    let sum = reports.iter().filter_map(Reported::calls_per_second).sum();
    let plural = if reports.len() == 1 { "" } else { "s" };
    let summary =
        format!("{} registration{plural}, {live} live, {} calls/s\n", reports.len(), rate(sum));
    summary + &aligned(&head, rows.collect(), 5)
}

fn figures(reported: &Reported) -> Option<&Figures> {
    reported.report.as_ref().map(|report| &report.figures)
}

fn health(reported: &Reported) -> Option<Health> {
    reported.report.as_ref().map(|report| report.health)
}

fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

fn time(micros: u32) -> String {
    match micros {
        0 => "-".to_owned(),
        1..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        1_000_000.. => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

fn object(reported: &Reported) -> String {
    let entry = &reported.entry;
    let row = Row {
        name: &entry.name,
        version: entry.version.to_string(),
        id: entry.server.to_string(),
        state: entry.state.word(),
        health: health(reported).map(Health::word),
        calls_per_second: reported.calls_per_second(),
        age_ms: reported.age_ms,
        figures: figures(reported),
    };
    let text = serde_json::to_string(&row).expect("strings and numbers become JSON");
    format!("{text}\n")
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    version: String,
    id: String,
    state: &'static str,
    health: Option<&'static str>,
    calls_per_second: Option<f64>,
    /// How old the figures are.
    age_ms: u32,
    #[serde(flatten)]
    figures: Option<&'a Figures>,
}

#[cfg(test)]
mod tests {
    use rpc_runtime::binder::{Entry, Report, Traits, Version};
    use rpc_runtime::ids::{Incarnation, ServerId};

    use super::*;

    fn reported(name: &str, server: u64, calls: u64) -> Reported {
        let entry = Entry {
            name: name.into(),
            version: Version::new(1, 2),
            server: ServerId(server),
            incarnation: Incarnation::new(1, 0),
            addresses: vec!["udp://10.0.0.7:4000".into()],
            fingerprint: 7,
            traits: Traits::default(),
            lease_left_ms: 9_000,
            state: EntryState::Live,
        };
        let figures = Figures {
            calls: 10 * calls,
            failed: 3,
            refused: 2,
            duplicates_suppressed: 7,
            orphans_killed: 1,
            running: 4,
            queued: 12,
            p50_us: 180,
            p99_us: 2_340,
        };
        let report = Some(Report { figures, ..Report::default() });
        Reported { entry, report, age_ms: 400, calls, within_ms: 2_000 }
    }

    fn some() -> Vec<Reported> {
        let quiet =
            Reported { report: None, within_ms: 0, ..reported("ledger", 0xb04c_d2e8_0000_0002, 0) };
        let mut all = vec![quiet, reported("bank", 1, 7), reported("bank", 2, 24_690)];
        all.sort_by(busiest_first);
        all
    }

    #[test]
    fn the_busiest_servers_come_first() {
        insta::assert_snapshot!(frame(&some()));
    }

    #[test]
    fn json_has_one_object_a_server() {
        insta::assert_snapshot!(text(&some(), true));
    }

    #[test]
    fn a_screen_is_written_over_and_no_larger_than_the_terminal() {
        let screen = drawn(&"a line\n".repeat(500));
        assert!(screen.starts_with("\x1b[Ha line\x1b[K\r\n"));
        assert!(screen.ends_with("a line\x1b[K\x1b[J"));
        assert!(screen.lines().count() < 500);
    }
}
