//! The path as people read it.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::{Counts, Path, Sum};

const LEGEND: &str = "\
Client and server are two threads of one process and one clock, as both ends of the raw echo are, on the same
processors (`--pin`). One call is under way at a time. Each part is the mean of the middle half of the calls,
the cost of its mark taken off; the whole is that of calls without marks, made in turns with them and with the
raw echo. Send and what follows it end when the other side's receive returns, which may be before the send
does; the receive call's own part is that of one that need not wait. Copies are those in our own code; the
system makes one more at each send and receive.
";

/// A table for each transport, sums, counts, and what they mean.
pub(crate) fn table(paths: &[Path]) -> String {
    let mut text = String::new();
    for path in paths {
        let (steps, sum, counts) = (steps(path), summed(&path.sum), counted(&path.counts));
        text.push_str(&format!("{}\n{steps}\n\n{sum}\n{counts}\n\n", path.sum.transport.word()));
    }
    text + LEGEND
}

fn steps(path: &Path) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["step", "ns", "share"]);
    for step in &path.steps {
        let share = format!("{:.1} %", step.share * 100.0);
        table.add_row([step.step.to_owned(), format!("{:.0}", step.ns), share]);
    }
    for column in 1..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn summed(sum: &Sum) -> String {
    let Sum { whole_ns, sum_ns, difference, raw_ns, ratio, calls, payload_bytes, mark_ns, .. } =
        sum;
    let place = sum.pin.described();
    format!(
        "the whole {whole_ns} ns, the parts together {sum_ns} ns: {:+.1} %\n\
         raw echo {raw_ns} ns; a call is {ratio:.2} times that ({calls} calls of {payload_bytes} bytes, \
         {mark_ns} ns a mark), {place}",
        difference * 100.0
    )
}

fn counted(counts: &Counts) -> String {
    let Counts { allocations, context_switches, raw_context_switches, copies, .. } = counts;
    let system_calls = match &counts.system_calls {
        None => "not counted: `strace` is not here, or may not trace".to_owned(),
        Some(each) => {
            let each: Vec<_> =
                each.iter().map(|(name, count)| format!("{count:.2} {name}")).collect();
            each.join(", ")
        }
    };
    format!(
        "for each call, both sides: {allocations} allocations, {copies} copies of the payload, \
         {context_switches} context switches (raw: {raw_context_switches})\n\
         system calls: {system_calls}"
    )
}
