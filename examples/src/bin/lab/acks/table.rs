//! The rows as people read them: both protocols side by side, and from where on blast is faster.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::{Pair, Row, crossover, pairs};

const LEGEND: &str = "\
One call at a time; its argument is the message, in fragments of about 1 KiB. Loss is the share of
datagrams that is dropped, delay what each takes one way beyond the network's own time: 50 us in the
simulator, which has no bandwidth, and what loopback takes on udp. Time is virtual in the simulator.
";

/// A table for each world, and the crossovers.
pub(crate) fn table(rows: &[Row]) -> String {
    let pairs = pairs(rows);
    let mut text = String::new();
    for of_world in pairs.chunk_by(|one, next| one.blast.world == next.blast.world) {
        text.push_str(&format!("{}\n\n{}\n", figures(of_world), crossovers(of_world)));
    }
    text + LEGEND
}

fn figures(pairs: &[Pair<'_>]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header([
        "world",
        "loss",
        "delay",
        "message",
        "stop-and-wait\nMB/s",
        "blast\nMB/s",
        "blast is\nfaster by",
        "",
    ]);
    for pair in pairs {
        let Row { world, bytes, loss, delay_ms, .. } = pair.blast;
        table.add_row([
            world.word().to_owned(),
            percent(*loss),
            format!("{delay_ms} ms"),
            size(*bytes),
            format!("{:.3}", pair.stop_and_wait.mb_per_second),
            format!("{:.3}", pair.blast.mb_per_second),
            format!("{:.2}", pair.ratio()),
            if pair.is_won() { "blast" } else { "" }.to_owned(),
        ]);
    }
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// For each network: the size from which on blast wins.
fn crossovers(pairs: &[Pair<'_>]) -> String {
    let network = |pair: &Pair<'_>| (pair.blast.loss, pair.blast.delay_ms);
    let mut text = String::new();
    for of_network in pairs.chunk_by(|one, next| network(one) == network(next)) {
        let Some(Row { world, loss, delay_ms, .. }) = of_network.first().map(|pair| pair.blast)
        else {
            continue;
        };
        let from = crossover(of_network).map_or("of no size here".to_owned(), |pair| {
            format!("from {} on", size(pair.blast.bytes))
        });
        text.push_str(&format!(
            "{}, loss {}, delay {delay_ms} ms: blast wins by more than 10 % with messages {from}\n",
            world.word(),
            percent(*loss),
        ));
    }
    text
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 100.0)
}

/// Bytes as people say them.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}
