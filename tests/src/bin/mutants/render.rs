//! What became of the sample, for people or as JSON.

use std::collections::BTreeMap;

use serde_json::json;

use super::ledger::Ledger;
use super::sample::{Key, Mutant};
use super::tool::Verdict;

/// The sample with its verdicts.
#[derive(Debug)]
pub(crate) struct Report {
    mutants: usize,
    rows: Vec<(Mutant, Verdict, &'static str)>,
}

impl Report {
    /// Of a sample of which every mutant has met what it must.
    pub(crate) fn of(mutants: &BTreeMap<Key, Mutant>, drawn: &[Key], ledger: &Ledger) -> Self {
        let row = |key: &Key| {
            let known = ledger.known(*key);
            let by = if known.scenarios.is_some() { "scenarios" } else { "unit tests" };
            Some((mutants.get(key)?.clone(), known.verdict()?, by))
        };
        let mut rows: Vec<_> = drawn.iter().filter_map(row).collect();
        rows.sort_by(|(a, ..), (b, ..)| a.name.cmp(&b.name));
        Self { mutants: mutants.len(), rows }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|(_, is, _)| *is == verdict).count()
    }

    /// The share of the mutants that build whose tests fail, or never end.
    #[expect(clippy::cast_precision_loss, reason = "hundreds of mutants")]
    pub(crate) fn share(&self) -> f64 {
        let noticed = self.count(Verdict::Caught) + self.count(Verdict::Timeout);
        let all = noticed + self.count(Verdict::Missed);
        if all == 0 { 0.0 } else { noticed as f64 / all as f64 }
    }
}

pub(crate) fn print(report: &Report, json: bool) {
    let [caught, missed, timeout, unviable] =
        [Verdict::Caught, Verdict::Missed, Verdict::Timeout, Verdict::Unviable]
            .map(|verdict| report.count(verdict));
    if json {
        for (mutant, verdict, by) in &report.rows {
            let (name, file) = (&mutant.name, &mutant.file);
            let by = (*verdict == Verdict::Caught).then_some(by);
            println!(
                "{}",
                json!({ "name": name, "file": file, "is": verdict.word(), "caught_by": by })
            );
        }
        println!(
            "{}",
            json!({
                "mutants": report.mutants, "sample": report.rows.len(), "caught": caught,
                "missed": missed, "timeout": timeout, "unviable": unviable,
                "share": report.share(),
            })
        );
        return;
    }
    for (title, verdict) in [("missed", Verdict::Missed), ("timed out", Verdict::Timeout)] {
        if report.count(verdict) > 0 {
            println!("{title}:");
        }
        for (mutant, ..) in report.rows.iter().filter(|(_, is, _)| *is == verdict) {
            println!("  {}", mutant.name);
        }
    }
    let by_scenarios = report
        .rows
        .iter()
        .filter(|(_, is, by)| *is == Verdict::Caught && *by == "scenarios")
        .count();
    println!("{} of {} mutants of layers 1 and 2", report.rows.len(), report.mutants);
    println!("{caught:>6} caught, {by_scenarios} of them by scenarios only");
    println!("{timeout:>6} timed out: the tests hang, which is noticed too");
    println!("{missed:>6} missed");
    println!("{unviable:>6} unviable: they do not build");
    println!("{:>5.1}% of those that build are noticed", report.share() * 100.0);
}
