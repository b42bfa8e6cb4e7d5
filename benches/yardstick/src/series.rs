//! Numbers of one kind, one a round: the median, the spread, the ratios to another's.

/// One number for each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let upper = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            even if even.is_multiple_of(2) => f64::midpoint(sorted[upper - 1], sorted[upper]),
            _ => sorted[upper],
        }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Round by round, what this is beside `other`.
    pub(crate) fn ratios(&self, other: &Self) -> Self {
        self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect()
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert!((series(&[4.0, 1.0, 3.0, 2.0]).median() - 2.5).abs() < 1e-9);
        assert!((series(&[9.0, 1.0, 3.0]).median() - 3.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratios = series(&[2.0, 30.0]).ratios(&series(&[1.0, 10.0]));
        assert_eq!(ratios, series(&[2.0, 3.0]));
    }
}
