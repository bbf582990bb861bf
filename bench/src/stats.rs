//! Medians, percentiles and ratios.

use serde::Serialize;

/// The middle and the ends of some values, in the values' own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The middle value; of an even number the mean of the two in the middle.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`; `None` when there is none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[half - 1], sorted[half])
        } else {
            sorted[half]
        };
        Some(Self { median, min, max })
    }

    /// The same in units of `base`.
    pub(crate) fn over(self, base: f64) -> Self {
        Self { median: self.median / base, min: self.min / base, max: self.max / base }
    }
}

/// The value below which `percent` of the sorted values lie (nearest rank); 0 when there is none.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The ratios of one peer's value to another's, round by round: `(round, value)` on both sides. A round that either
/// side lacks, or in which the base is 0, gives none.
pub(crate) fn ratios(of: &[(usize, f64)], base: &[(usize, f64)]) -> Vec<f64> {
    of.iter()
        .filter_map(|(round, value)| {
            let (_, base) = base.iter().find(|(other, _)| other == round)?;
            (*base > 0.0).then(|| value / base)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of(&[7.0]), Some(Spread { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), 50.0);
        assert_eq!(percentile(&values, 99.0), 99.0);
        assert_eq!(percentile(&values, 100.0), 100.0);
        assert_eq!(percentile(&values[..1], 99.0), 1.0);
        assert_eq!(percentile(&[], 50.0), 0.0);
    }

    #[test]
    fn ratios_pair_the_same_round_only() {
        let of = [(0, 2.0), (1, 9.0), (3, 4.0)];
        let base = [(0, 4.0), (2, 1.0), (3, 0.0), (1, 3.0)];
        assert_eq!(ratios(&of, &base), [0.5, 3.0]);
    }
}
