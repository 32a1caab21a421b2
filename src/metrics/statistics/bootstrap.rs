//! Bootstrap confidence intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): percentile, and
//! bias-corrected and accelerated (BCa), of the difference and of the ratio of a statistic of two samples.

use rand::Rng;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

use super::jackknife::accelerations;
use super::sample::SortedSample;
use crate::base::error::{Error, Result};
use crate::base::quantile::{between, percentile_sorted, ranks};
use crate::base::random::stream;

/// The statistic that is compared between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Arithmetic mean.
    Mean,
    /// Quantile, from 0 to 1, linear between ranks.
    Quantile(f64),
}

impl Statistic {
    /// Parses `mean`, `median`, or a percentile, e.g. `p95` or `p99.9`.
    ///
    /// # Errors
    /// [`Error::Usage`] for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "mean" => return Ok(Self::Mean),
            "median" => return Ok(Self::Quantile(0.5)),
            _ => {}
        }
        text.strip_prefix('p')
            .and_then(|percent| percent.parse::<f64>().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Self::Quantile(percent / 100.0))
            .ok_or_else(|| {
                Error::usage(
                    format!("the statistic `{text}`"),
                    "give mean, median, or a percentile, e.g. p95",
                )
            })
    }

    /// Name of the statistic.
    pub fn name(self) -> String {
        match self {
            Self::Mean => "mean".to_owned(),
            Self::Quantile(0.5) => "median".to_owned(),
            Self::Quantile(q) => format!("p{}", (q * 1e6).round() / 1e4),
        }
    }

    /// The statistic of values in any order.
    pub fn of(self, values: &[f64]) -> f64 {
        match self {
            Self::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Self::Quantile(q) => {
                let mut values = values.to_vec();
                values.sort_unstable_by(f64::total_cmp);
                quantile(&values, q)
            }
        }
    }
}

/// A quantile of at least one value in ascending order.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    percentile_sorted(sorted, q).unwrap_or(f64::NAN)
}

/// The contrast of two statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contrast {
    /// First - second.
    Difference,
    /// First / second - 1.
    Relative,
}

impl Contrast {
    fn of(self, (a, b): (f64, f64)) -> f64 {
        match self {
            Self::Difference => a - b,
            Self::Relative => a / b - 1.0,
        }
    }
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Method by which the interval was computed.
    pub method: &'static str,
}

/// A random integer below `n`, from the upper half of a product (Lemire 2019, without the rejection step: the bias is
/// below 2^-32).
pub fn draw(n: usize, random: &mut Pcg64) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// Number of resamples per random stream; a fixed number makes the result independent of the number of threads.
pub(super) const CHUNK: usize = 100;

/// A sample, prepared for resampling.
struct Drawn {
    statistic: Statistic,
    values: Vec<f64>,
    sorted: Vec<f64>,
    /// Index in `sorted` of each value.
    place: Vec<u32>,
}

impl Drawn {
    fn new(statistic: Statistic, values: &[f64]) -> Self {
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_by(|a, b| values[*a as usize].total_cmp(&values[*b as usize]));
        let mut place = vec![0; values.len()];
        for (at, index) in order.iter().enumerate() {
            place[*index as usize] = at as u32;
        }
        Self {
            statistic,
            values: values.to_vec(),
            sorted: order.iter().map(|index| values[*index as usize]).collect(),
            place,
        }
    }

    /// The statistic of the values with these indices; `counts` has room for one number per value.
    fn resampled(&self, indices: &[u32], counts: &mut Vec<u32>) -> f64 {
        let n = self.values.len();
        match self.statistic {
            Statistic::Mean => {
                let sum: f64 = indices
                    .iter()
                    .map(|index| self.values[*index as usize])
                    .sum();
                sum / n as f64
            }
            Statistic::Quantile(q) => {
                counts.clear();
                counts.resize(n, 0);
                for index in indices {
                    counts[self.place[*index as usize] as usize] += 1;
                }
                let (low, high, fraction) = ranks(n, q);
                let (mut seen, mut below) = (0, None);
                for (count, value) in counts.iter().zip(&self.sorted) {
                    seen += *count as usize;
                    if below.is_none() && seen > low {
                        below = Some(*value);
                    }
                    if seen > high {
                        let below = below.unwrap_or(*value);
                        return between(below, *value, fraction);
                    }
                }
                self.sorted[n - 1]
            }
        }
    }

    /// The statistic of all values but one.
    fn without(&self, index: usize) -> f64 {
        let n = self.values.len();
        match self.statistic {
            Statistic::Mean => {
                let sum: f64 = self.values.iter().sum();
                (sum - self.values[index]) / (n - 1) as f64
            }
            Statistic::Quantile(q) => {
                let gone = self.place[index] as usize;
                let at = |place: usize| self.sorted[place + usize::from(place >= gone)];
                let (low, high, fraction) = ranks(n - 1, q);
                between(at(low), at(high), fraction)
            }
        }
    }

    /// The statistic without each value in turn.
    fn jackknife(&self) -> Vec<f64> {
        match self.statistic {
            Statistic::Mean => means_without_each(&self.values),
            Statistic::Quantile(_) => (0..self.values.len())
                .map(|index| self.without(index))
                .collect(),
        }
    }
}

/// The mean of all values but one, for each value.
fn means_without_each(values: &[f64]) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    let rest = (values.len() - 1) as f64;
    values.iter().map(|value| (sum - value) / rest).collect()
}

/// The statistics of both samples without each value in turn: one group of pairs, or one group per sample.
fn left_out(
    point: (f64, f64),
    (of_a, of_b): (Vec<f64>, Vec<f64>),
    paired: bool,
) -> Vec<Vec<(f64, f64)>> {
    if paired {
        return vec![of_a.into_iter().zip(of_b).collect()];
    }
    vec![
        of_a.into_iter().map(|a| (a, point.1)).collect(),
        of_b.into_iter().map(|b| (point.0, b)).collect(),
    ]
}

/// Statistics of both samples in each resample, and without each value (jackknife).
#[derive(Debug, Clone)]
pub struct Resamples {
    /// Statistics of the original samples.
    pub point: (f64, f64),
    pairs: Vec<(f64, f64)>,
    left_out: LeftOut,
}

/// What BCa intervals need of the samples without each value in turn.
#[derive(Debug, Clone)]
enum LeftOut {
    /// The statistics: one group per sample, or one group of pairs.
    Statistics(Vec<Vec<(f64, f64)>>),
    /// The accelerations that follow from them, of the difference and of the ratio.
    Accelerations(f64, f64),
}

impl LeftOut {
    fn acceleration(&self, contrast: Contrast) -> f64 {
        match (self, contrast) {
            (Self::Statistics(groups), _) => {
                let groups = groups.iter();
                acceleration(groups.map(|group| group.iter().map(|pair| contrast.of(*pair))))
            }
            (Self::Accelerations(difference, _), Contrast::Difference) => *difference,
            (Self::Accelerations(_, relative), Contrast::Relative) => *relative,
        }
    }
}

impl Resamples {
    /// Draws `count` resamples of both samples; with `paired`, the same indices from both. Each sample needs two
    /// values.
    pub fn new(
        statistic: Statistic,
        a: &[f64],
        b: &[f64],
        paired: bool,
        count: usize,
        seed: u64,
    ) -> Self {
        let (first, second) = (Drawn::new(statistic, a), Drawn::new(statistic, b));
        let point = (statistic.of(a), statistic.of(b));
        let chunk = |chunk: usize| {
            let mut random = stream(seed, "bootstrap", chunk as u64);
            let (mut indices, mut counts) = (Vec::new(), Vec::new());
            let size = CHUNK.min(count - chunk * CHUNK);
            let mut pairs = Vec::with_capacity(size);
            for _ in 0..size {
                draw_all(a.len(), &mut indices, &mut random);
                let one = first.resampled(&indices, &mut counts);
                if !paired {
                    draw_all(b.len(), &mut indices, &mut random);
                }
                pairs.push((one, second.resampled(&indices, &mut counts)));
            }
            pairs
        };
        let chunks: Vec<usize> = (0..count.div_ceil(CHUNK)).collect();
        let pairs: Vec<Vec<(f64, f64)>> = chunks.into_par_iter().map(chunk).collect();
        let left_out = left_out(point, (first.jackknife(), second.jackknife()), paired);
        Self {
            point,
            pairs: pairs.concat(),
            left_out: LeftOut::Statistics(left_out),
        }
    }

    /// Takes the means of both samples in resamples that were drawn elsewhere, e.g. by [`super::shared_means`].
    pub fn of_means(
        a: &SortedSample,
        b: &SortedSample,
        paired: bool,
        pairs: Vec<(f64, f64)>,
    ) -> Self {
        let point = (a.mean_and_variance().0, b.mean_and_variance().0);
        let left_out = if paired {
            let (difference, relative) = accelerations(a.values(), b.values(), point);
            LeftOut::Accelerations(difference, relative)
        } else {
            let without = (
                means_without_each(a.values()),
                means_without_each(b.values()),
            );
            LeftOut::Statistics(left_out(point, without, false))
        };
        Self {
            point,
            pairs,
            left_out,
        }
    }

    /// The contrast in each resample, ascending.
    fn sorted(&self, contrast: Contrast) -> Vec<f64> {
        let mut values: Vec<f64> = self.pairs.iter().map(|pair| contrast.of(*pair)).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    /// Percentile interval: the range of the middle resamples that make up the fraction `confidence`.
    pub fn percentile(&self, contrast: Contrast, confidence: f64) -> Interval {
        percentile_interval(&self.sorted(contrast), confidence)
    }

    /// BCa interval, which corrects for bias and skew; where the corrections are NaN, the percentile interval.
    pub fn bca(&self, contrast: Contrast, confidence: f64) -> Interval {
        corrected(
            &self.sorted(contrast),
            contrast.of(self.point),
            self.left_out.acceleration(contrast),
            confidence,
        )
    }

    /// Two-sided p-value of the hypothesis of no difference: the level at which the percentile interval just touches 0.
    pub fn p(&self) -> f64 {
        two_sided(self.pairs.iter().map(|pair| Contrast::Difference.of(*pair)))
    }
}

fn draw_all(n: usize, indices: &mut Vec<u32>, random: &mut Pcg64) {
    indices.clear();
    indices.extend((0..n).map(|_| draw(n, random) as u32));
}

/// Twice the smaller fraction of values on one side of 0. One is added to each count, so that the result is never 0.
pub fn two_sided(values: impl Iterator<Item = f64>) -> f64 {
    let (mut below, mut above, mut count) = (1.0, 1.0, 1.0);
    for value in values {
        below += f64::from(value <= 0.0);
        above += f64::from(value >= 0.0);
        count += 1.0;
    }
    f64::min(1.0, 2.0 * f64::min(below, above) / count)
}

/// Percentile interval: the ends of the middle fraction `confidence` of values in ascending order.
pub fn percentile_interval(sorted: &[f64], confidence: f64) -> Interval {
    let tail = (1.0 - confidence) / 2.0;
    Interval {
        low: quantile(sorted, tail),
        high: quantile(sorted, 1.0 - tail),
        method: "percentile bootstrap",
    }
}

/// Efron's bias-corrected and accelerated interval. `sorted` are resampled values, `left_out` those without each member
/// of each sample. Several samples share the acceleration as in `scipy.stats.bootstrap`.
pub fn bca(sorted: &[f64], point: f64, left_out: &[Vec<f64>], confidence: f64) -> Interval {
    let groups = left_out.iter().map(|group| group.iter().copied());
    corrected(sorted, point, acceleration(groups), confidence)
}

/// The acceleration of [`bca`]: how fast the standard error changes with the statistic, from the statistics without each member
/// of each sample.
fn acceleration<G: ExactSizeIterator<Item = f64> + Clone>(groups: impl Iterator<Item = G>) -> f64 {
    let (mut cubes, mut squares) = (0.0, 0.0);
    for group in groups {
        let n = group.len() as f64;
        let mean = group.clone().sum::<f64>() / n;
        let influence = group.map(|value| (n - 1.0) * (mean - value));
        let (cube, square) = influence.fold((0.0, 0.0), |(cube, square), u| {
            (cube + u * u * u, square + u * u)
        });
        cubes += cube / (n * n * n);
        squares += square / (n * n);
    }
    cubes / (6.0 * squares.powf(1.5))
}

/// The interval of [`bca`] with a known acceleration.
fn corrected(sorted: &[f64], point: f64, acceleration: f64, confidence: f64) -> Interval {
    let normal = Normal::standard();
    let below = sorted.partition_point(|value| *value < point);
    let up_to = sorted.partition_point(|value| *value <= point);
    let bias = normal.inverse_cdf((below + up_to) as f64 / (2 * sorted.len()) as f64);
    let tail = (1.0 - confidence) / 2.0;
    let level = |tail: f64| {
        let z = bias + normal.inverse_cdf(tail);
        normal.cdf(bias + z / (1.0 - acceleration * z))
    };
    let (low, high) = (level(tail), level(1.0 - tail));
    if !(low.is_finite() && high.is_finite() && bias.is_finite()) {
        return percentile_interval(sorted, confidence);
    }
    Interval {
        low: quantile(sorted, low),
        high: quantile(sorted, high),
        method: "bca bootstrap",
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::bootstrap::*;

    #[test]
    fn names() {
        for name in ["mean", "median", "p95", "p99.9", "p0", "p100"] {
            assert_eq!(Statistic::parse(name).expect(name).name(), name);
        }
        for name in ["p101", "p", "95", "max", "p-1"] {
            assert!(Statistic::parse(name).is_err(), "{name}");
        }
    }

    /// A resample's statistic equals the plain statistic of the same values.
    #[test]
    fn resampled_and_left_out() {
        let values = [5.0, 1.0, 4.0, 4.0, 2.0, 9.0, 7.5];
        let mut random = stream(3, "test", 0);
        for statistic in [
            Statistic::Mean,
            Statistic::Quantile(0.5),
            Statistic::Quantile(0.93),
        ] {
            let drawn = Drawn::new(statistic, &values);
            let (mut indices, mut counts) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                draw_all(values.len(), &mut indices, &mut random);
                let plain: Vec<f64> = indices.iter().map(|i| values[*i as usize]).collect();
                let found = drawn.resampled(&indices, &mut counts);
                assert!(
                    (found - statistic.of(&plain)).abs() < 1e-12,
                    "{statistic:?} {plain:?}"
                );
            }
            for (index, found) in drawn.jackknife().into_iter().enumerate() {
                let mut rest = values.to_vec();
                rest.remove(index);
                assert!(
                    (found - statistic.of(&rest)).abs() < 1e-12,
                    "{statistic:?} {index}"
                );
            }
        }
    }

    #[test]
    fn intervals_cover_as_often_as_they_say() {
        // Exponential values are skewed, so BCa has an effect. The true difference of means is 0.3.
        let (runs, n) = (400, 40);
        let (mut plain, mut corrected) = (0, 0);
        for run in 0..runs {
            let mut random = stream(run, "coverage", 0);
            let mut sample = |mean: f64| -> Vec<f64> {
                (0..n)
                    .map(|_| {
                        crate::trace::arrival::ArrivalProcess::Poisson.gap(1.0 / mean, &mut random)
                    })
                    .collect()
            };
            let (a, b) = (sample(1.3), sample(1.0));
            let resamples = Resamples::new(Statistic::Mean, &a, &b, false, 1000, run);
            let covers =
                |interval: Interval| u32::from(interval.low <= 0.3 && 0.3 <= interval.high);
            plain += covers(resamples.percentile(Contrast::Difference, 0.9));
            corrected += covers(resamples.bca(Contrast::Difference, 0.9));
        }
        // 90 % of 400, within four standard errors (24), and a margin because 40 values give slightly narrow intervals.
        assert!((330..=385).contains(&plain), "{plain}");
        assert!((330..=385).contains(&corrected), "{corrected}");
    }

    #[test]
    fn threads_change_nothing() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i * i % 17)).collect();
        let once = || {
            Resamples::new(
                Statistic::Quantile(0.9),
                &values,
                &values[..30],
                false,
                550,
                1,
            )
        };
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a pool");
        assert_eq!(once().pairs, alone.install(once).pairs);
        assert_eq!(once().pairs.len(), 550);
    }

    #[test]
    fn constants_have_no_width() {
        let resamples = Resamples::new(Statistic::Mean, &[2.0; 5], &[1.0; 5], false, 200, 0);
        let interval = resamples.bca(Contrast::Relative, 0.95);
        assert_eq!((interval.low, interval.high), (1.0, 1.0));
        assert!(resamples.p() < 0.02);
    }
}
