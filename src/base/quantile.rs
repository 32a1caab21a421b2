//! Quantiles of sorted values, computed as numpy's default method (`linear`) computes them.

/// Interpolates between `low` and `high`. Like numpy, it starts from the nearer end, so both ends are exact.
pub fn between(low: f64, high: f64, fraction: f64) -> f64 {
    let step = high - low;
    if fraction >= 0.5 {
        high - step * (1.0 - fraction)
    } else {
        low + step * fraction
    }
}

/// Returns the ranks below and above quantile `q` (0 to 1) of `count` sorted values, and its position between them (0 to 1).
/// `count` must be 1 or more.
pub fn ranks(count: usize, q: f64) -> (usize, usize, f64) {
    let last = count - 1;
    let rank = q.clamp(0.0, 1.0) * last as f64;
    let low = (rank.floor() as usize).min(last);
    (low, (low + 1).min(last), rank - low as f64)
}

/// The `q`-th quantile (0 to 1) of values in rising order; `None` if there are no values.
pub fn percentile_sorted(values: &[f64], q: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let (low, high, fraction) = ranks(values.len(), q);
    Some(between(values[low], values[high], fraction))
}

/// The quantiles (0 to 1, in rising order) of values in any order, which are reordered in part; `None` if there are no values.
/// They are those of [`percentile_sorted`], without sorting all values.
pub fn percentiles<const N: usize>(values: &mut [f64], quantiles: [f64; N]) -> [Option<f64>; N] {
    let count = values.len();
    if count == 0 {
        return [None; N];
    }
    let mut from = 0;
    quantiles.map(|q| {
        let (low, high, fraction) = ranks(count, q);
        let (_, below, rest) = values[from..].select_nth_unstable_by(low - from, f64::total_cmp);
        let below = *below;
        let above = rest.iter().copied().min_by(f64::total_cmp);
        from = low;
        let above = above.filter(|_| high > low).unwrap_or(below);
        Some(between(below, above, fraction))
    })
}

/// The median of values in rising order, as numpy, pandas and Python's `statistics` compute it: the middle value, or the mean
/// of the two middle values. `None` if there are no values.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::quantile::*;

    #[test]
    fn quantiles_are_numpys_to_the_last_bit() {
        let values = [0.1, 0.2, 0.7, 1.1];
        // numpy.quantile([0.1, 0.2, 0.7, 1.1], q) for each q, printed with repr.
        for (q, expected) in [
            (0.0, 0.1),
            (0.25, 0.175_000_000_000_000_02),
            (0.5, 0.449_999_999_999_999_96),
            (0.9, 0.980_000_000_000_000_1),
            (0.99, 1.088),
            (1.0, 1.1),
        ] {
            assert_eq!(percentile_sorted(&values, q), Some(expected), "{q}");
        }
        assert_eq!(percentile_sorted(&[7.0], 0.3), Some(7.0));
        assert_eq!(percentiles(&mut [], [0.5]), [None]);
        let mut random = crate::base::random::stream(4, "quantiles", 0);
        for count in [1, 2, 3, 10, 101, 1000] {
            let mut draw = || rand::Rng::next_u32(&mut random) % 500;
            let mut values: Vec<f64> = (0..count).map(|_| f64::from(draw()) / 7.0).collect();
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let quantiles = [0.0, 0.5, 0.9, 0.99, 1.0];
            let expected = quantiles.map(|q| percentile_sorted(&sorted, q));
            assert_eq!(percentiles(&mut values, quantiles), expected);
        }
        assert_eq!(percentile_sorted(&[], 0.3), None);
    }

    #[test]
    fn the_median_is_a_middle_or_between_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
    }
}
