//! What it costs a call that its server is chosen: a channel to one server at its address, beside
//! imported channels over one server and over three.

#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::time::Instant;

use rpc_runtime::{Balance, CallError, Channel};

use crate::Tour;
use crate::report::{Seen, rounded};
use crate::shop::first::{Shop as _, ShopClient};
use crate::stops::Outcome;
use crate::town::Town;

/// Rounds in which all ways take turns; the median counts.
const ROUNDS: usize = 31;

/// Calls without work, one at a time, each way.
pub(crate) fn compare(town: &mut Town, tour: &Tour) -> Outcome {
    let says = "3. What choosing costs: calls without work, one at a time; ratios to the fixed channel of the same \
                round,\n   the median of them. Nothing is promised."
        .to_owned();
    let mut seen = Seen::new("cost", says);
    let ways: [(&str, Channel); 3] = [
        ("fixed address", town.connect(1)?),
        ("imported, one server", town.import("=1.0", Balance::default())?),
        ("imported, three servers", town.import("1", Balance::default())?),
    ];
    let calls = (tour.calls / 20).max(50);
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for ((_, channel), rates) in ways.iter().zip(&mut rates) {
            let rate = calls_per_second(channel, calls)?;
            // The first round opens sessions.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let fixed = rates[0].clone();
    for ((way, _), rates) in ways.iter().zip(rates) {
        let ratios = rates.iter().zip(&fixed).map(|(rate, fixed)| rate / fixed).collect();
        seen.row(
            true,
            [
                ("way", (*way).into()),
                ("calls_per_second", rounded(median(rates), 0).into()),
                ("to_fixed", rounded(median(ratios), 3).into()),
            ],
        );
    }
    Ok(seen)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn calls_per_second(channel: &Channel, calls: u64) -> Result<f64, CallError> {
    let shop = ShopClient::on(channel);
    let started = Instant::now();
    for _ in 0..calls {
        shop.who()?;
    }
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
