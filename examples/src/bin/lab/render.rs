//! The comparison as people read it: a table for each mix of faults, what its columns mean, and
//! four sentences.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use rpc_runtime::Semantics;

use super::experiment::Row;

/// What stands over the columns; the first two are words, the others figures.
const HEAD: [&str; 14] = [
    "world",
    "semantics",
    "calls",
    "ok",
    "not\nrun",
    "ran,\nfailed",
    "unknown",
    "executions",
    "RAN\nTWICE",
    "effects\nlost",
    "sent,\nnot run",
    "p50 us",
    "p99 us",
    "datagrams\na call",
];

/// What they mean, as far as it is not plain.
const LEGEND: &str = "\
ok                a reply came; of `maybe`: handed over
not run           failed, and the error says that it never ran and never will
ran, failed       failed, and the error says that it ran
unknown           failed, and the error says that it may have run
executions        handlers entered; of `exactly_once`: effects that are in the stores when all is over
RAN TWICE         calls with more than one of these
effects lost      a reply came, and the servers' own record does not have the call when all is over
sent, not run     `maybe` calls that were handed over and never ran
p50, p99          from the call to its end: virtual microseconds in the simulator, real ones on sockets
sim               the protocol's machines alone, without threads
sim-threads, udp  a binder, servers that register with it, clients that find them there: the same blocking code
";

/// A table for each mix of faults, in the order of the rows, and the legend.
pub(crate) fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    for mix in rows.chunk_by(|one, next| one.faults == next.faults) {
        let faults = mix.first().map_or("", |row| &row.faults);
        text.push_str(&format!("faults: {faults}\n{}\n\n", table(mix)));
    }
    text + LEGEND
}

/// One line a row, numbers to the right.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(HEAD);
    for row in rows {
        let tally = &row.tally;
        table.add_row([
            row.world.word().to_owned(),
            row.semantics.to_string(),
            tally.calls.to_string(),
            tally.ok.to_string(),
            tally.not_executed.to_string(),
            tally.executed_error.to_string(),
            tally.unknown.to_string(),
            tally.executions.to_string(),
            tally.executed_more_than_once.to_string(),
            row.effects_lost.to_string(),
            row.sent_not_run.to_string(),
            row.p50_us.to_string(),
            row.p99_us.to_string(),
            per_call(row.datagrams, tally.calls),
        ]);
    }
    for column in 2..HEAD.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `datagrams / calls` with two digits.
fn per_call(datagrams: u64, calls: u64) -> String {
    let hundredths = datagrams * 100 / calls.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// What the tables show.
pub(crate) fn summary(rows: &[Row]) -> String {
    let sum = |semantics: Semantics, figure: fn(&Row) -> u64| -> u64 {
        rows.iter().filter(|row| row.semantics == semantics).map(figure).sum()
    };
    let twice = |row: &Row| row.tally.executed_more_than_once;
    let broken: u64 = rows.iter().map(|row| row.violations + row.effects_lost).sum();
    let (maybe, least, most) = (Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce);
    let once = Semantics::ExactlyOnce;
    format!(
        "`maybe` handed over {} calls, of which {} never ran: nobody was told which.\n\
         `at_least_once` brought {} of {} calls home, and {} of them ran more than once.\n\
         `at_most_once` brought {} of {} calls home, ran {} of them twice, and was honest about the {} it \
         does not know.\n\
         `exactly_once` brought {} of {} calls home, and its stores hold {} effects of {} calls, {} of them \
         twice; {broken} promises were broken.",
        sum(maybe, |row| row.tally.ok),
        sum(maybe, |row| row.sent_not_run),
        sum(least, |row| row.tally.ok),
        sum(least, |row| row.tally.calls),
        sum(least, twice),
        sum(most, |row| row.tally.ok),
        sum(most, |row| row.tally.calls),
        sum(most, twice),
        sum(most, |row| row.tally.unknown),
        sum(once, |row| row.tally.ok),
        sum(once, |row| row.tally.calls),
        sum(once, |row| row.tally.executions),
        sum(once, |row| row.tally.executions - row.tally.executed_more_than_once),
        sum(once, twice),
    )
}

#[cfg(test)]
mod tests;
