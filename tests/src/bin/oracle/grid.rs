//! The checks: which combinations are tried, which cells each counts, and what all of them say.

use rpc_runtime::Semantics;
use rpc_runtime::fault::Faults;
use rpc_runtime::time::Duration;

use super::chi_square::{self, Fit, real};
use super::closed_form::{self, OUTCOMES};
use super::world::{self, Counts, FLOOR, Trial};

/// A run whose counts are less likely than this is rejected, all checks together (Bonferroni).
pub(crate) const SIGNIFICANCE: f64 = 1e-4;

/// What `maybe` calls meet besides loss: a share doubled, a share damaged.
const DOUBLED: [f64; 3] = [0.0, 0.2, 0.5];
const DAMAGED: [f64; 2] = [0.0, 0.1];
/// How long a `maybe` call may take to arrive.
const MAYBE_PATIENCE: Duration = Duration::from_secs(1);

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Check {
    /// How `at_most_once` calls end.
    Outcomes { p: f64, n: u32 },
    /// How often `at_least_once` calls run.
    Executions { p: f64, n: u32 },
    /// Whether `maybe` calls run.
    Maybe { p: f64, doubled: f64, damaged: f64 },
}

/// All combinations of these drop rates and numbers of transmissions.
pub(crate) fn checks(drop: &[f64], transmissions: &[u32]) -> Vec<Check> {
    let mut checks = Vec::new();
    for &p in drop {
        checks.extend(transmissions.iter().map(|&n| Check::Outcomes { p, n }));
    }
    for &p in drop {
        checks.extend(transmissions.iter().map(|&n| Check::Executions { p, n }));
    }
    for (&p, doubled) in drop.iter().flat_map(|p| DOUBLED.map(|doubled| (p, doubled))) {
        checks.extend(DAMAGED.map(|damaged| Check::Maybe { p, doubled, damaged }));
    }
    checks
}

/// A cell of a check.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) expected: f64,
    pub(crate) counted: u64,
}

/// What came of a check.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    pub(crate) calls: u64,
    pub(crate) cells: Vec<Cell>,
    /// Executions a call: expected, and counted.
    pub(crate) mean: (f64, f64),
    pub(crate) fit: Fit,
    /// What chance does not excuse.
    pub(crate) broken: Vec<String>,
}

impl Check {
    /// Runs it; `bias` is what the network drops more than the formulas are told.
    pub(crate) fn run(self, calls: u64, seed: u64, bias: f64) -> Finding {
        let counts = world::run(self.trial(calls, seed, bias));
        let cells = self.cells(&counts);
        let counted: Vec<u64> = cells.iter().map(|cell| cell.counted).collect();
        let expected: Vec<f64> = cells.iter().map(|cell| cell.expected).collect();
        let mut broken = counts.violations.clone();
        let total: u64 = counted.iter().sum();
        if total != calls {
            broken.push(format!("{} of {calls} calls are in no cell", calls.abs_diff(total)));
        }
        let most = calls * u64::from(self.transmissions());
        if counts.requests > most {
            broken.push(format!("{} requests, where {most} are the most", counts.requests));
        }
        let mean = (self.mean(), real(counts.executions()) / real(calls));
        Finding {
            check: self,
            calls,
            cells,
            mean,
            fit: chi_square::fit(&counted, &expected),
            broken,
        }
    }

    /// How often a call is sent that nothing comes of.
    const fn transmissions(self) -> u32 {
        match self {
            Self::Outcomes { n, .. } | Self::Executions { n, .. } => n,
            Self::Maybe { .. } => 1,
        }
    }

    fn trial(self, calls: u64, seed: u64, bias: f64) -> Trial {
        let loses = |p: f64| Faults::default().loss(p * (1.0 + bias));
        let (semantics, faults, patience) = match self {
            Self::Outcomes { p, n } => {
                (Semantics::AtMostOnce, loses(p), closed_form::deadline(n, FLOOR))
            }
            Self::Executions { p, n } => {
                (Semantics::AtLeastOnce, loses(p), closed_form::deadline(n, FLOOR))
            }
            Self::Maybe { p, doubled, damaged } => {
                let faults = loses(p).duplicate(doubled).corrupt(damaged);
                (Semantics::Maybe, faults, MAYBE_PATIENCE)
            }
        };
        Trial { semantics, faults, patience, calls, seed }
    }

    fn cells(self, counts: &Counts) -> Vec<Cell> {
        let (with, without) = (&counts.replied, &counts.unreplied);
        let cell = |name: String, expected, counted| Cell { name, expected, counted };
        match self {
            Self::Outcomes { p, n } => {
                let counted = [Counts::of(with, 1), Counts::of(without, 1), Counts::of(without, 0)];
                let cells = OUTCOMES.iter().zip(closed_form::outcomes(p, n)).zip(counted);
                cells.map(|((name, share), count)| cell((*name).to_owned(), share, count)).collect()
            }
            Self::Executions { p, n } => {
                let ran = 0..=n as usize;
                let counted = ran
                    .clone()
                    .map(|ran| (format!("{ran}_unreplied"), Counts::of(without, ran)))
                    .chain(ran.map(|ran| (format!("{ran}_replied"), Counts::of(with, ran))));
                let cells = counted.zip(closed_form::executions(p, n));
                cells.map(|((name, count), share)| cell(name, share, count)).collect()
            }
            Self::Maybe { p, doubled, damaged } => {
                let runs = closed_form::maybe_runs(p, doubled, damaged);
                vec![
                    cell("ran".to_owned(), runs, Counts::of(with, 1)),
                    cell("never_ran".to_owned(), 1.0 - runs, Counts::of(with, 0)),
                ]
            }
        }
    }

    /// The expected number of executions.
    fn mean(self) -> f64 {
        match self {
            Self::Outcomes { p, n } => 1.0 - closed_form::outcomes(p, n)[2],
            Self::Executions { p, n } => closed_form::mean_executions(p, n),
            Self::Maybe { p, doubled, damaged } => closed_form::maybe_runs(p, doubled, damaged),
        }
    }
}

/// What all checks say.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) checks: usize,
    pub(crate) calls: u64,
    /// Below this a check is rejected.
    pub(crate) threshold: f64,
    pub(crate) rejected: usize,
    pub(crate) smallest_p: f64,
    /// All statistics as one.
    pub(crate) combined: Fit,
    pub(crate) broken: usize,
    pub(crate) bias: f64,
    /// Without a bias: nothing was rejected. With one: something was.
    pub(crate) passed: bool,
}

impl Summary {
    pub(crate) fn of(findings: &[Finding], bias: f64) -> Self {
        let fits: Vec<Fit> = findings.iter().map(|finding| finding.fit).collect();
        let combined = chi_square::combined(&fits);
        // All checks, and the one of their sum.
        let threshold = SIGNIFICANCE / real(fits.len() as u64 + 1);
        let tests = fits.iter().chain([&combined]);
        let rejected = tests.clone().filter(|fit| fit.p_value < threshold).count();
        let smallest_p = tests.map(|fit| fit.p_value).fold(1.0, f64::min);
        let broken = findings.iter().filter(|finding| !finding.broken.is_empty()).count();
        let noticed = rejected > 0;
        let passed = if bias == 0.0 { !noticed && broken == 0 } else { noticed };
        let calls = findings.iter().map(|finding| finding.calls).sum();
        let checks = findings.len();
        Self { checks, calls, threshold, rejected, smallest_p, combined, broken, bias, passed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(bias: f64) -> Summary {
        let checks = checks(&[0.2], &[1, 3]);
        let findings: Vec<_> =
            checks.iter().zip(7..).map(|(check, seed)| check.run(20_000, seed, bias)).collect();
        Summary::of(&findings, bias)
    }

    #[test]
    fn counts_agree_with_the_formulas() {
        let summary = summary(0.0);
        assert!(summary.passed, "{summary:?}");
    }

    #[test]
    fn a_tenth_more_or_less_loss_is_noticed() {
        for bias in [0.1, -0.1] {
            let summary = summary(bias);
            assert!(summary.passed && summary.rejected > 3, "{summary:?}");
        }
    }
}
