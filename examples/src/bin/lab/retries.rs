//! A retry storm: three layers of services, the last one dead, and how much more is asked of it
//! than its callers were asked.
//!
//! Clients call `front`, which calls `middle`, which calls `back`; `back` can serve a thousandth of
//! what comes, or nothing at all. With loops around calls, as people write them, every layer
//! multiplies what the one above it sends. With the runtime's own retries only the layer that was
//! refused tries again, within a budget of a tenth (Site Reliability Engineering, ch. 21 and 22).

mod layers;

use std::error::Error;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// The most that retries may add with the budget.
const AMPLIFICATION_MAX: f64 = 1.2;
/// How often a loop around a call tries.
const LOOP_TRIES: u32 = 3;

/// Who makes calls again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// The runtime, within its budget.
    Budget,
    /// A loop around each call, in each layer, whatever the error.
    Loop,
}

/// What is wrong with the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Illness {
    /// It refuses nearly everything.
    Overloaded,
    /// Nobody answers.
    Silent,
}

/// How much is asked of the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Whether the runtime makes calls again, within its budget; loops do otherwise.
    pub(crate) budget: bool,
    /// Calls of the clients in each run.
    pub(crate) calls: u64,
    /// Tries at the last layer while it refuses.
    pub(crate) tries_overloaded: u64,
    /// Tries at the last layer while nobody is there.
    pub(crate) tries_silent: u64,
    /// The larger of the two for each call.
    pub(crate) amplification: f64,
}

impl Row {
    /// Whether the promise is kept.
    pub(crate) fn is_kept(&self) -> bool {
        !self.budget || self.amplification <= AMPLIFICATION_MAX
    }
}

/// Runs the storm both ways.
pub(crate) fn rows(seed: u64) -> Result<[Row; 2], Box<dyn Error>> {
    Ok([row(seed, Retry::Budget)?, row(seed, Retry::Loop)?])
}

fn row(seed: u64, retry: Retry) -> Result<Row, Box<dyn Error>> {
    let tries_overloaded = layers::run(seed, retry, Illness::Overloaded)?;
    let tries_silent = layers::run(seed, retry, Illness::Silent)?;
    let calls = layers::CLIENTS * layers::CALLS;
    let amplification = share(tries_overloaded.max(tries_silent), calls);
    let budget = retry == Retry::Budget;
    Ok(Row { budget, calls, tries_overloaded, tries_silent, amplification })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 1_000.0).round() / 1_000.0
}

/// The rows as people read them.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header([
        "who tries again",
        "calls",
        "tries at the last layer,\nwhich refuses",
        "tries at the last layer,\nwhich is silent",
        "amplification",
    ]);
    for row in rows {
        let who = if row.budget {
            "the runtime, in its budget".to_owned()
        } else {
            format!("loops of {LOOP_TRIES} tries")
        };
        table.add_row([
            who,
            row.calls.to_string(),
            row.tries_overloaded.to_string(),
            row.tries_silent.to_string(),
            format!("{:.2}", row.amplification),
        ]);
    }
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n\n{LEGEND}")
}

const LEGEND: &str = "\
Clients call `front`, it calls `middle`, that calls `back`, which is overloaded or gone. Amplification is
how often `back` was asked for each call of a client. Loops in every layer multiply; the runtime makes a
call again only where it was refused, in a budget of a tenth, and a failed nested call is a fact for the
layer above, not a reason to ask again.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_a_storm_over_three_layers_to_a_fifth_and_loops_multiply() {
        let [budget, loops] = rows(7).expect("the runs end");
        assert!(budget.is_kept(), "{budget:?}");
        assert!(budget.tries_overloaded > budget.calls, "some are made again: {budget:?}");
        assert!(loops.amplification > 3.0, "{loops:?}");
    }
}
