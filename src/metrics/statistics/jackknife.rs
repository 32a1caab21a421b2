//! The acceleration of BCa intervals (Efron 1987) of the means of pairs, in one pass: how fast the standard error changes with the
//! statistic. It is the skewness of the influences of single pairs, divided by six times the root of their number.

/// Sums that are computed side by side.
const LANES: usize = 4;

/// The first three powers of a value, summed over all pairs.
#[derive(Clone, Copy, Default)]
struct Powers([[f64; LANES]; 3]);

impl Powers {
    #[inline(always)]
    fn add(&mut self, lane: usize, value: f64) {
        let square = value * value;
        self.0[0][lane] += value;
        self.0[1][lane] += square;
        self.0[2][lane] += square * value;
    }

    /// The acceleration; NaN if all values are equal.
    fn acceleration(&self, n: f64) -> f64 {
        let [first, second, third] = self.0.map(|lanes| lanes.iter().sum::<f64>());
        // Moments about the mean, which is close to zero already.
        let mean = first / n;
        let squares = second - n * mean * mean;
        let cubes = third - 3.0 * mean * second + 2.0 * n * mean * mean * mean;
        cubes / (6.0 * squares.powf(1.5))
    }
}

/// The accelerations of the difference of the means of pairs and of their ratio.
pub(super) fn accelerations(a: &[f64], b: &[f64], (mean_a, mean_b): (f64, f64)) -> (f64, f64) {
    let n = a.len() as f64;
    let (difference, ratio, sum) = (mean_a - mean_b, mean_a / mean_b, n * mean_b);
    let mut powers = (Powers::default(), Powers::default());
    let mut add = |lane: usize, a: f64, b: f64| {
        // Without a pair, the difference of means falls by (a - b - difference) / (n - 1).
        powers.0.add(lane, a - b - difference);
        // And the ratio falls by (a - ratio b) / (sum - b).
        powers.1.add(lane, (a - ratio * b) / (sum - b));
    };
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for lane in 0..LANES {
            add(lane, a[lane], b[lane]);
        }
    }
    for (a, b) in rest_a.iter().zip(rest_b) {
        add(0, *a, *b);
    }
    (powers.0.acceleration(n), powers.1.acceleration(n))
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::jackknife::*;

    /// The definition: influences from the statistic without each pair.
    fn plain(a: &[f64], b: &[f64], of: fn(f64, f64) -> f64) -> f64 {
        let n = a.len() as f64;
        let mean =
            |values: &[f64], left_out: f64| (values.iter().sum::<f64>() - left_out) / (n - 1.0);
        let without = a.iter().zip(b);
        let without: Vec<f64> = without.map(|(x, y)| of(mean(a, *x), mean(b, *y))).collect();
        let middle = without.iter().sum::<f64>() / n;
        let sum = |power: i32| -> f64 {
            let all = without.iter();
            all.map(|value| (middle - value).powi(power)).sum()
        };
        sum(3) / (6.0 * sum(2).powf(1.5))
    }

    #[test]
    fn accelerations_are_those_of_the_definition() {
        let mut random = crate::base::random::stream(8, "jackknife", 0);
        for n in [3, 30, 301] {
            let mut draw =
                || 0.2 + (crate::metrics::statistics::draw(1000, &mut random) as f64).powi(2);
            let (a, b): (Vec<f64>, Vec<f64>) = (0..n).map(|_| (draw(), draw())).unzip();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
            let (difference, ratio) = accelerations(&a, &b, (mean(&a), mean(&b)));
            for (found, expected) in [
                (difference, plain(&a, &b, |a, b| a - b)),
                (ratio, plain(&a, &b, |a, b| a / b)),
            ] {
                assert!((found - expected).abs() < 1e-10, "{found} {expected}");
            }
        }
        let (difference, _) = accelerations(&[2.0; 5], &[1.0; 5], (2.0, 1.0));
        assert!(difference.is_nan());
    }
}
