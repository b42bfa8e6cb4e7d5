//! Findings as a table for people, or as JSON, one object a line.

use serde_json::{Map, Value, json};

use super::chi_square::real;
use super::grid::{Check, Finding, SIGNIFICANCE, Summary};

/// Cells that a row has room for; the others are in the JSON.
const CELLS_SHOWN: usize = 3;

pub(crate) fn print(findings: &[Finding], summary: &Summary, json: bool) {
    if json {
        for finding in findings {
            println!("{}", object(finding, summary.threshold));
        }
        println!("{}", total(summary));
        return;
    }
    for finding in findings.iter().enumerate() {
        let (place, finding) = finding;
        let same = |one: &Finding| std::mem::discriminant(&one.check);
        if place == 0 || same(&findings[place - 1]) != same(finding) {
            heading(finding.check);
        }
        row(finding, summary.threshold);
    }
    println!();
    verdict(summary);
}

fn heading(check: Check) {
    let (what, cells) = match check {
        Check::Outcomes { .. } => (
            "at_most_once: how a call ends after n transmissions (expected / counted, percent)",
            ["replied", "ran, no reply", "never ran"].map(|cell| format!("{cell:>17}")).concat(),
        ),
        Check::Executions { .. } => (
            "at_least_once: how often a call runs (mean, expected / counted)",
            format!("{:>17}", "executions"),
        ),
        Check::Maybe { .. } => (
            "maybe: whether a call runs, doubled with d, damaged with c (expected / counted, percent)",
            format!("{:>17}", "ran"),
        ),
    };
    println!("\n{what}\n{:<24}{cells}{:>10}{:>5}{:>11}", "", "χ²", "df", "p");
}

fn row(finding: &Finding, threshold: f64) {
    let percent = |cell: &super::grid::Cell| {
        let counted = real(cell.counted) / real(finding.calls);
        format!("{:>17}", format!("{:.2} / {:.2}", cell.expected * 100.0, counted * 100.0))
    };
    let (label, shares) = match finding.check {
        Check::Outcomes { p, n } => (
            format!("p {p:<5} n {n}"),
            finding.cells.iter().take(CELLS_SHOWN).map(percent).collect::<String>(),
        ),
        Check::Executions { p, n } => {
            let (expected, counted) = finding.mean;
            (format!("p {p:<5} n {n}"), format!("{:>17}", format!("{expected:.4} / {counted:.4}")))
        }
        Check::Maybe { p, doubled, damaged } => (
            format!("p {p:<5} d {doubled:<4} c {damaged}"),
            finding.cells.iter().take(1).map(percent).collect(),
        ),
    };
    let fit = finding.fit;
    let mark = if fit.p_value < threshold { "  REJECTED" } else { "" };
    println!(
        "{label:<24}{shares}{:>10.2}{:>5}{:>11.2e}{mark}",
        fit.statistic, fit.degrees, fit.p_value
    );
    for what in &finding.broken {
        println!("  BROKEN: {what}");
    }
}

fn verdict(summary: &Summary) {
    let Summary { checks, calls, threshold, rejected, smallest_p, combined, broken, bias, .. } =
        summary;
    println!("{checks} checks, {calls} calls; the smallest p is {smallest_p:.2e}");
    println!(
        "all as one: χ² {:.1} with {} degrees, p {:.3}",
        combined.statistic, combined.degrees, combined.p_value
    );
    println!(
        "{rejected} rejected at p < {threshold:.2e} ({SIGNIFICANCE} over {} tests), {broken} broken",
        checks + 1
    );
    if *bias != 0.0 {
        let noticed = if *rejected > 0 { "noticed" } else { "NOT NOTICED" };
        println!("the network dropped {:+.1} percent more than was told: {noticed}", bias * 100.0);
    }
}

fn object(finding: &Finding, threshold: f64) -> Value {
    let cells: Map<String, Value> = finding
        .cells
        .iter()
        .map(|cell| {
            let expected = cell.expected * real(finding.calls);
            (cell.name.clone(), json!({ "expected": expected, "counted": cell.counted }))
        })
        .collect();
    let mut object = match finding.check {
        Check::Outcomes { p, n } => {
            json!({ "semantics": "at_most_once", "drop": p, "transmissions": n })
        }
        Check::Executions { p, n } => {
            json!({ "semantics": "at_least_once", "drop": p, "transmissions": n })
        }
        Check::Maybe { p, doubled, damaged } => {
            json!({ "semantics": "maybe", "drop": p, "duplicate": doubled, "corrupt": damaged })
        }
    };
    object["calls"] = json!(finding.calls);
    object["cells"] = Value::Object(cells);
    object["executions_expected"] = json!(finding.mean.0);
    object["executions_counted"] = json!(finding.mean.1);
    object["chi_square"] = json!(finding.fit.statistic);
    object["degrees"] = json!(finding.fit.degrees);
    object["p_value"] = json!(finding.fit.p_value);
    object["rejected"] = json!(finding.fit.p_value < threshold);
    object["broken"] = json!(finding.broken);
    object
}

fn total(summary: &Summary) -> Value {
    json!({
        "checks": summary.checks, "calls": summary.calls, "threshold": summary.threshold,
        "rejected": summary.rejected, "smallest_p": summary.smallest_p,
        "combined_chi_square": summary.combined.statistic,
        "combined_degrees": summary.combined.degrees, "combined_p": summary.combined.p_value,
        "broken": summary.broken, "bias": summary.bias, "passed": summary.passed,
    })
}
