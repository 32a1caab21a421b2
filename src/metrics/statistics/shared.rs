//! Bootstrap means of many samples that are compared with each other: each sample is resampled once, however many pairs it is
//! in.
//!
//! Samples over the same subjects, e.g. the times of the same requests under several policies, share the drawn subjects: a
//! resample gives each subject a weight, the number of times that it was drawn, and every sample's mean is a weighted one. The
//! weights are those that [`super::Resamples::new`] draws for a pair, so the means are the same up to rounding if no value is
//! missing.

use std::borrow::Cow;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::bootstrap::{CHUNK, draw};
use super::sample::SortedSample;
use crate::base::random::stream;

/// The values of a sample by subject.
#[derive(Debug, Clone)]
pub struct SharedSample {
    /// A value for each subject; 0 where it is missing.
    values: Vec<f64>,
    /// Subjects without a value, ascending.
    missing: Vec<u32>,
    /// The values that are not missing.
    own: SortedSample,
    /// Subjects by their values.
    order: OnceLock<Vec<u32>>,
}

impl SharedSample {
    /// Takes a value, or none, for each subject.
    pub fn new(values: impl Iterator<Item = Option<f64>> + Clone) -> Self {
        let missing = values.clone().zip(0..).filter(|(value, _)| value.is_none());
        Self {
            missing: missing.map(|(_, subject)| subject).collect(),
            own: SortedSample::new(values.clone().flatten().collect()),
            values: values.map(Option::unwrap_or_default).collect(),
            order: OnceLock::new(),
        }
    }

    /// The values of the subjects that also have one in another sample, in the order of the subjects.
    pub fn beside(&self, other: &Self) -> Cow<'_, SortedSample> {
        if self.missing == other.missing {
            return Cow::Borrowed(&self.own);
        }
        let mut kept = vec![true; self.values.len()];
        for subject in self.missing.iter().chain(&other.missing) {
            kept[*subject as usize] = false;
        }
        let order = self.order.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.values.len() as u32).collect();
            order.sort_by(|a, b| self.values[*a as usize].total_cmp(&self.values[*b as usize]));
            order
        });
        let order = order.iter().map(|subject| *subject as usize);
        let sorted = order.filter(|subject| kept[*subject]);
        let sorted = sorted.map(|subject| self.values[subject]).collect();
        let values = self.values.iter().zip(&kept).filter(|(_, kept)| **kept);
        let values = values.map(|(value, _)| *value).collect();
        Cow::Owned(SortedSample::of_sorted(values, sorted))
    }

    /// Number of subjects that have a value here and in another sample.
    pub fn overlap(&self, other: &Self) -> usize {
        let mut others = other.missing.iter().peekable();
        let only_here = self.missing.iter().filter(|subject| {
            while others.next_if(|other| other < subject).is_some() {}
            others.peek() != Some(subject)
        });
        self.values.len() - other.missing.len() - only_here.count()
    }
}

/// Two samples that are compared, by their indices, and the number of resamples of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedPair {
    /// The first sample.
    pub a: usize,
    /// The second sample.
    pub b: usize,
    /// Number of resamples.
    pub resamples: usize,
}

/// Number of resamples whose weights are in memory at a time, four bytes for each subject.
const AT_ONCE: usize = 10;

/// Subjects of which the values stay in the processor's cache while all resamples use them.
const BLOCK: usize = 1024;

/// The means of both samples of each pair in its resamples, over the subjects that have both values. All samples have the same
/// number of subjects, at least one; every resample draws that number of subjects, the same ones for all samples.
///
/// At least half of the subjects must have both values of a pair; otherwise a resample might have none of them.
pub fn shared_means(
    samples: &[SharedSample],
    pairs: &[SharedPair],
    seed: u64,
) -> Vec<Vec<(f64, f64)>> {
    let most = pairs.iter().map(|pair| pair.resamples).max().unwrap_or(0);
    let parts: Vec<Part> = (0..most.div_ceil(CHUNK))
        .flat_map(|chunk| {
            let size = CHUNK.min(most - chunk * CHUNK);
            (0..size.div_ceil(AT_ONCE)).map(move |part| Part {
                chunk,
                from: part * AT_ONCE,
                upto: size.min((part + 1) * AT_ONCE),
            })
        })
        .collect();
    // A stream is drawn in order, so the parts of a chunk follow each other.
    let chunks: Vec<&[Part]> = parts.chunk_by(|a, b| a.chunk == b.chunk).collect();
    let of_chunk = |parts: &&[Part]| -> Vec<Vec<(f64, f64)>> {
        let mut weights = Weights::new(samples, seed, parts[0].chunk);
        let mut means = vec![Vec::new(); pairs.len()];
        for part in *parts {
            weights.draw(part.upto - part.from);
            let sums = weights.sums(samples);
            for (pair, means) in pairs.iter().zip(&mut means) {
                let first = part.chunk * CHUNK + part.from;
                let wanted = pair.resamples.saturating_sub(first);
                let wanted = wanted.min(part.upto - part.from);
                means.extend((0..wanted).map(|at| weights.means(samples, &sums, *pair, at)));
            }
        }
        means
    };
    let found: Vec<Vec<Vec<(f64, f64)>>> = chunks.par_iter().map(of_chunk).collect();
    let of_pair = |pair: usize| found.iter().flat_map(move |chunk| chunk[pair].clone());
    (0..pairs.len())
        .map(|pair| of_pair(pair).collect())
        .collect()
}

/// Resamples of a random stream that are drawn together.
#[derive(Debug, Clone, Copy)]
struct Part {
    chunk: usize,
    from: usize,
    upto: usize,
}

/// The weights of subjects in a few resamples.
struct Weights {
    subjects: usize,
    random: rand_pcg::Pcg64,
    /// For each resample, how often each subject was drawn.
    drawn: Vec<Vec<u32>>,
}

impl Weights {
    fn new(samples: &[SharedSample], seed: u64, chunk: usize) -> Self {
        Self {
            subjects: samples.first().map_or(0, |sample| sample.values.len()),
            random: stream(seed, "bootstrap", chunk as u64),
            drawn: Vec::new(),
        }
    }

    /// Draws the next resamples.
    fn draw(&mut self, resamples: usize) {
        self.drawn.resize(resamples, Vec::new());
        for weights in &mut self.drawn {
            weights.clear();
            weights.resize(self.subjects, 0);
            for _ in 0..self.subjects {
                weights[draw(self.subjects, &mut self.random)] += 1;
            }
        }
    }

    /// The weighted sum of each sample's values, by resample.
    fn sums(&self, samples: &[SharedSample]) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![0.0; samples.len()]; self.drawn.len()];
        let mut block = vec![0.0; BLOCK];
        for from in (0..self.subjects).step_by(BLOCK) {
            let upto = self.subjects.min(from + BLOCK);
            for (weights, sums) in self.drawn.iter().zip(&mut sums) {
                for (weight, drawn) in block.iter_mut().zip(&weights[from..upto]) {
                    *weight = f64::from(*drawn);
                }
                for (sum, sample) in sums.iter_mut().zip(samples) {
                    *sum += product(&block[..upto - from], &sample.values[from..upto]);
                }
            }
        }
        sums
    }

    /// The means of a pair in one resample: the sums of all subjects, less those of subjects that lack the other value.
    fn means(
        &self,
        samples: &[SharedSample],
        sums: &[Vec<f64>],
        pair: SharedPair,
        at: usize,
    ) -> (f64, f64) {
        let weights = &self.drawn[at];
        let (a, b) = (&samples[pair.a], &samples[pair.b]);
        let (mut sum_a, mut sum_b) = (sums[at][pair.a], sums[at][pair.b]);
        let mut count = self.subjects as u64;
        let weight = |subject: u32| weights[subject as usize];
        count -= a.missing.iter().map(|s| u64::from(weight(*s))).sum::<u64>();
        if a.missing != b.missing {
            for subject in &b.missing {
                sum_a -= f64::from(weight(*subject)) * a.values[*subject as usize];
            }
            for subject in &a.missing {
                sum_b -= f64::from(weight(*subject)) * b.values[*subject as usize];
            }
            let mut others = a.missing.iter().peekable();
            for subject in &b.missing {
                while others.next_if(|other| *other < subject).is_some() {}
                if others.peek() != Some(&subject) {
                    count -= u64::from(weight(*subject));
                }
            }
        }
        (sum_a / count as f64, sum_b / count as f64)
    }
}

/// Sum of products; eight sums side by side, which the processor computes in parallel.
fn product(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest = rest_a.iter().zip(rest_b).map(|(a, b)| a * b);
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

/// The means of one sample in resamples of its own, for comparisons with samples over other subjects. Samples with different
/// numbers are drawn independently of each other.
pub fn independent_means(values: &[f64], sample: usize, resamples: usize, seed: u64) -> Vec<f64> {
    let name = format!("bootstrap of sample {sample}");
    let n = values.len();
    let of_chunk = |chunk: usize| -> Vec<f64> {
        let mut random = stream(seed, &name, chunk as u64);
        let size = CHUNK.min(resamples - chunk * CHUNK);
        let mut mean = || (0..n).map(|_| values[draw(n, &mut random)]).sum::<f64>() / n as f64;
        (0..size).map(|_| mean()).collect()
    };
    let chunks: Vec<usize> = (0..resamples.div_ceil(CHUNK)).collect();
    chunks.into_par_iter().flat_map_iter(of_chunk).collect()
}

#[cfg(test)]
mod tests {
    use crate::metrics::statistics::shared::*;
    use crate::metrics::statistics::{Contrast, Interval, Resamples, Statistic};

    fn sample(seed: u64, n: usize) -> Vec<Option<f64>> {
        let mut random = stream(seed, "shared", 0);
        (0..n)
            .map(|_| Some(0.5 + draw(1000, &mut random) as f64 / 7.0))
            .collect()
    }

    fn shared(all: &[Vec<Option<f64>>]) -> Vec<SharedSample> {
        let samples = all.iter();
        samples
            .map(|sample| SharedSample::new(sample.iter().copied()))
            .collect()
    }

    fn near(found: Interval, expected: Interval, tolerance: f64) {
        let scale = expected.low.abs().max(expected.high.abs());
        for (found, expected) in [(found.low, expected.low), (found.high, expected.high)] {
            assert!(
                (found - expected).abs() <= tolerance * scale,
                "{found} {expected}"
            );
        }
        assert_eq!(found.method, expected.method);
    }

    /// Intervals are those of a bootstrap of the pair alone, within 1e-12 of their size, because the same subjects are drawn.
    #[test]
    fn shared_resamples_are_those_of_each_pair() {
        let n = 2500;
        let all: Vec<Vec<Option<f64>>> = (0..4).map(|seed| sample(seed, n)).collect();
        let samples = shared(&all);
        let pairs = [(0, 1, 400), (0, 3, 400), (1, 2, 100), (3, 2, 150)];
        let pairs = pairs.map(|(a, b, resamples)| SharedPair { a, b, resamples });
        let means = shared_means(&samples, &pairs, 0);
        for (pair, means) in pairs.iter().zip(means) {
            let [a, b] = [pair.a, pair.b].map(|s| all[s].iter().flatten().copied().collect());
            let (a, b): (Vec<f64>, Vec<f64>) = (a, b);
            assert_eq!(means.len(), pair.resamples);
            let found = Resamples::of_means(
                &SortedSample::new(a.clone()),
                &SortedSample::new(b.clone()),
                true,
                means,
            );
            let alone = Resamples::new(Statistic::Mean, &a, &b, true, pair.resamples, 0);
            for contrast in [Contrast::Difference, Contrast::Relative] {
                near(found.bca(contrast, 0.95), alone.bca(contrast, 0.95), 1e-12);
            }
        }
    }

    /// Means over the subjects that have both values, by a plain computation with the same draws.
    #[test]
    fn subjects_without_a_value_are_left_out_of_their_pairs() {
        let n = 60;
        let mut all: Vec<Vec<Option<f64>>> = (0..3).map(|seed| sample(seed, n)).collect();
        for subject in [3, 17, 40] {
            all[0][subject] = None;
        }
        for subject in [0, 17, 41, 59] {
            all[1][subject] = None;
        }
        let samples = shared(&all);
        let pairs = [(0, 1), (1, 0), (0, 2), (2, 1)];
        let pairs = pairs.map(|(a, b)| SharedPair {
            a,
            b,
            resamples: 30,
        });
        let means = shared_means(&samples, &pairs, 7);
        for (pair, means) in pairs.iter().zip(means) {
            let (a, b) = (&all[pair.a], &all[pair.b]);
            let mut random = stream(7, "bootstrap", 0);
            for (found_a, found_b) in means {
                let drawn: Vec<usize> = (0..n).map(|_| draw(n, &mut random)).collect();
                let both = drawn
                    .iter()
                    .filter_map(|subject| a[*subject].zip(b[*subject]));
                let both: Vec<(f64, f64)> = both.collect();
                let count = both.len() as f64;
                let sum_a: f64 = both.iter().map(|both| both.0).sum();
                let sum_b: f64 = both.iter().map(|both| both.1).sum();
                assert!((found_a - sum_a / count).abs() < 1e-10);
                assert!((found_b - sum_b / count).abs() < 1e-10);
            }
        }
        let both = all[0].iter().zip(&all[1]);
        let both: Vec<f64> = both.filter_map(|(a, b)| b.and(*a)).collect();
        assert_eq!(samples[0].overlap(&samples[1]), both.len());
        assert_eq!(samples[0].overlap(&samples[2]), n - 3);
        let beside = samples[0].beside(&samples[1]).into_owned();
        assert_eq!(beside, SortedSample::new(both));
        assert_eq!(samples[2].beside(&samples[2]).values().len(), n);
    }

    /// The spread of independent means is the standard error, and different samples are not correlated.
    #[test]
    fn independent_means_have_the_standard_error() {
        let values: Vec<f64> = sample(1, 400).into_iter().flatten().collect();
        let (mean, variance) = crate::metrics::statistics::mean_and_variance(&values);
        let error = (variance / 400.0).sqrt();
        let [a, b] = [0, 1].map(|sample| independent_means(&values, sample, 2000, 0));
        let (found, spread) = crate::metrics::statistics::mean_and_variance(&a);
        assert!((found - mean).abs() < 4.0 * error / 2000f64.sqrt());
        assert!((spread.sqrt() / error - 1.0).abs() < 0.07);
        let products = a.iter().zip(&b).map(|(a, b)| (a - mean) * (b - mean));
        let correlation = products.sum::<f64>() / 2000.0 / (error * error);
        assert!(correlation.abs() < 0.09, "{correlation}");
    }
}
