//! Pearson's chi-square test of counts against exact probabilities.
//!
//! Knows numbers only. The tail probability is the regularised upper incomplete gamma function
//! Q(df / 2, χ² / 2), by its series below the mean and its continued fraction above (Abramowitz &
//! Stegun 6.5.29 and 6.5.31).

/// Cells are merged until this many are expected in each: below that the statistic is not χ².
const EXPECTED_MIN: f64 = 5.0;
/// Where series and continued fraction stand still.
const PRECISION: f64 = 1e-15;
/// Terms after which they have converged for any number of degrees that a run can have.
const TERMS_MAX: u32 = 10_000;

/// What a test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// Pearson's statistic.
    pub(crate) statistic: f64,
    /// Cells that are free, after merging.
    pub(crate) degrees: u32,
    /// How likely a statistic at least so large is, if the probabilities are right.
    pub(crate) p_value: f64,
}

/// Compares what was counted with the probabilities of the same cells, which sum to 1.
pub(crate) fn fit(counted: &[u64], probabilities: &[f64]) -> Fit {
    let all = real(counted.iter().sum());
    let impossible = |(count, &p): (&u64, &f64)| *count > 0 && p <= 0.0;
    if counted.iter().zip(probabilities).any(impossible) {
        return Fit { statistic: f64::INFINITY, degrees: 1, p_value: 0.0 };
    }
    let cells = merged(counted, probabilities, all);
    let off = |&(count, expected): &(f64, f64)| (count - expected).powi(2) / expected;
    let statistic = cells.iter().map(off).sum();
    let degrees = u32::try_from(cells.len().saturating_sub(1)).unwrap_or(u32::MAX);
    Fit { statistic, degrees, p_value: upper_tail(statistic, degrees) }
}

/// Several independent tests as one: statistics and degrees add up.
pub(crate) fn combined(fits: &[Fit]) -> Fit {
    let statistic = fits.iter().map(|fit| fit.statistic).sum();
    let degrees = fits.iter().map(|fit| fit.degrees).sum();
    Fit { statistic, degrees, p_value: upper_tail(statistic, degrees) }
}

/// Counts and expectations, neighbours merged where too few are expected.
fn merged(counted: &[u64], probabilities: &[f64], all: f64) -> Vec<(f64, f64)> {
    let mut cells: Vec<(f64, f64)> = Vec::new();
    let mut open = (0.0, 0.0);
    for (&count, probability) in counted.iter().zip(probabilities) {
        open = (open.0 + real(count), open.1 + probability * all);
        if open.1 >= EXPECTED_MIN {
            cells.push(std::mem::take(&mut open));
        }
    }
    match cells.last_mut() {
        Some(last) => *last = (last.0 + open.0, last.1 + open.1),
        None => cells.push(open),
    }
    cells
}

/// The probability that χ² with so many degrees of freedom is `statistic` or more.
pub(crate) fn upper_tail(statistic: f64, degrees: u32) -> f64 {
    if degrees == 0 || statistic <= 0.0 {
        return 1.0;
    }
    if statistic.is_infinite() {
        return 0.0;
    }
    let (a, x) = (f64::from(degrees) / 2.0, statistic / 2.0);
    let front = (a * x.ln() - x - ln_gamma_of_half(degrees)).exp();
    if x < a + 1.0 { 1.0 - front * series(a, x) } else { front * fraction(a, x) }
}

/// Σ xⁿ / (a (a+1) … (a+n)).
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
    for _ in 0..TERMS_MAX {
        n += 1.0;
        term *= x / n;
        sum += term;
        if term < sum * PRECISION {
            break;
        }
    }
    sum
}

/// 1/(x+1−a− 1(1−a)/(x+3−a− 2(2−a)/(…))), by Lentz's method.
fn fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut value = d;
    for i in (1..TERMS_MAX).map(f64::from) {
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / away_from_zero(numerator.mul_add(d, b), TINY);
        c = away_from_zero(b + numerator / c, TINY);
        value *= d * c;
        if (d * c - 1.0).abs() < PRECISION {
            break;
        }
    }
    value
}

fn away_from_zero(x: f64, tiny: f64) -> f64 {
    if x.abs() < tiny { tiny } else { x }
}

/// ln Γ(degrees / 2), by Γ(x + 1) = x Γ(x) from Γ(1/2) = √π or Γ(1) = 1.
fn ln_gamma_of_half(degrees: u32) -> f64 {
    let (start, gamma) = match degrees % 2 {
        0 => (2, 0.0),
        _ => (1, std::f64::consts::PI.sqrt().ln()),
    };
    let factors = (start..degrees).step_by(2).map(|n| (f64::from(n) / 2.0).ln());
    gamma + factors.sum::<f64>()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz & Stegun, table 26.8: percentage points of χ².
    #[test]
    fn agrees_with_the_printed_table() {
        let table = [
            (3.841_46, 1, 0.05),
            (6.634_90, 1, 0.01),
            (10.828, 1, 0.001),
            (5.991_47, 2, 0.05),
            (9.487_73, 4, 0.05),
            (0.710_721, 4, 0.95),
            (18.307_0, 10, 0.05),
            (2.558_21, 10, 0.99),
            (43.773_0, 30, 0.05),
            (124.342, 100, 0.05),
            (149.449, 100, 0.001),
        ];
        for (statistic, degrees, p) in table {
            let found = upper_tail(statistic, degrees);
            assert!((found - p).abs() < p * 1e-3, "{statistic} with {degrees}: {found}, not {p}");
        }
        assert!((upper_tail(50.0, 2) - (-25.0_f64).exp()).abs() < 1e-20);
    }

    #[test]
    fn a_fair_count_fits_and_a_shifted_one_does_not() {
        let right = fit(&[2_510, 2_490, 5_000], &[0.25, 0.25, 0.5]);
        assert_eq!(right.degrees, 2);
        assert!(right.p_value > 0.5, "{right:?}");
        let wrong = fit(&[2_800, 2_200, 5_000], &[0.25, 0.25, 0.5]);
        assert!(wrong.p_value < 1e-10, "{wrong:?}");
    }

    #[test]
    fn cells_that_expect_too_little_are_merged_and_impossible_ones_condemn() {
        let thin = fit(&[97, 2, 1], &[0.97, 0.02, 0.01]);
        assert_eq!(thin.degrees, 0, "3 expected in two cells together");
        let thin = fit(&[90, 4, 6], &[0.9, 0.04, 0.06]);
        assert_eq!(thin.degrees, 1);
        assert_eq!(fit(&[99, 1], &[1.0, 0.0]).p_value.to_bits(), 0);
        assert_eq!(fit(&[100, 0], &[1.0, 0.0]).degrees, 0);
    }
}
