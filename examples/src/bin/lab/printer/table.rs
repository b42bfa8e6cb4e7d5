//! The printer's table as people read it.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;

use super::{Order, Row};

/// The rows under both servers' orders of events, and what they show.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let head = Order::ALL.map(Order::word);
    table.set_header([&["client asks again"][..], &head].concat());
    for row in rows {
        let cells = row.cells.map(super::Printed::word);
        table.add_row([&[row.strategy.word()][..], &cells].concat());
    }
    format!("{table}\n\n{LEGEND}")
}

const LEGEND: &str = "\
M the completion message, P the printing, C the crash; what stands in brackets never happened.
Left half: a server that sends, then prints. Right half: one that prints, then sends.
OK printed once, DUP printed twice, ZERO never. The client knows in every case that the server crashed.
No rule of the client is right in all six cases, whatever the server does. `exactly_once` asks no rule:
page and reply are one commit, and the runtime asks until it has the answer. Its page is a row of the
server's store; a sheet of paper has no transactions, so a real printer would be fed from that row.
";
