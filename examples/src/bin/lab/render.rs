//! The comparison as people read it: a table, and three sentences.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use rpc_runtime::Semantics;

use super::experiment::Row;

/// One line a row, numbers to the right.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    let head = [
        "world",
        "faults",
        "semantics",
        "calls",
        "ok",
        "not run",
        "ran, failed",
        "unknown",
        "executions",
        "RAN TWICE",
        "p50 us",
        "p99 us",
        "datagrams a call",
    ];
    table.set_header(head);
    for row in rows {
        let tally = &row.tally;
        table.add_row([
            row.world.to_owned(),
            row.faults.clone(),
            row.semantics.to_string(),
            tally.calls.to_string(),
            tally.ok.to_string(),
            tally.not_executed.to_string(),
            tally.executed_error.to_string(),
            tally.unknown.to_string(),
            tally.executions.to_string(),
            tally.executed_more_than_once.to_string(),
            row.p50_us.to_string(),
            row.p99_us.to_string(),
            per_call(row.datagrams, tally.calls),
        ]);
    }
    for column in 3..head.len() {
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

/// What the table shows.
pub(crate) fn summary(rows: &[Row]) -> String {
    let sum = |semantics: Semantics, figure: fn(&Row) -> u64| -> u64 {
        rows.iter().filter(|row| row.semantics == semantics).map(figure).sum()
    };
    let twice = |row: &Row| row.tally.executed_more_than_once;
    let violations: u64 = rows.iter().map(|row| row.violations).sum();
    let (maybe, least, most) = (Semantics::Maybe, Semantics::AtLeastOnce, Semantics::AtMostOnce);
    format!(
        "`maybe` handed over {} calls, and {} executions came of them: nobody was told which.\n\
         `at_least_once` brought {} of {} calls home, and {} of them ran more than once.\n\
         `at_most_once` brought {} of {} calls home, ran {} of them twice, and was honest about the {} it \
         does not know; {violations} promises were broken.",
        sum(maybe, |row| row.tally.ok),
        sum(maybe, |row| row.tally.executions),
        sum(least, |row| row.tally.ok),
        sum(least, |row| row.tally.calls),
        sum(least, twice),
        sum(most, |row| row.tally.ok),
        sum(most, |row| row.tally.calls),
        sum(most, twice),
        sum(most, |row| row.tally.unknown),
    )
}
