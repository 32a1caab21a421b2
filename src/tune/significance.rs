//! Tests whether a threshold is really better than the baseline, by a bootstrap over runs and over the requests of each run.
//!
//! A resample draws runs, and in each drawn run its requests. All thresholds use the same drawn requests, because their values
//! are paired. Each resample goes through the whole computation of [`super::select`]. The p-values are Holm-corrected for the
//! number of thresholds. Drawing at both levels is slightly conservative where runs differ by their requests alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;

use super::select::{BY_TAIL, Column, SelectOptions, Selection, ThresholdRun};
use crate::base::random::stream;
use crate::metrics::statistics::{Interval, draw, holm, p_text, percentile_interval, two_sided};

/// Number of resamples that one random stream draws.
const CHUNK: usize = 50;

/// Comparison of one threshold with the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Finding {
    /// The threshold.
    pub threshold: i128,
    /// Relative difference of its score from the baseline's: score / baseline - 1; below 0 is better.
    pub change: f64,
    /// Confidence interval of that difference.
    pub interval: Interval,
    /// Two-sided p-value of no difference.
    pub p: f64,
    /// The same p-value, Holm-corrected for the number of thresholds.
    pub p_adjusted: f64,
    /// Whether the difference is significant.
    pub significant: bool,
}

/// Values of a metric in rising order, with the indices of their requests in the run.
struct Sorted {
    values: Vec<f64>,
    places: Vec<u32>,
}

/// A run, prepared for resampling.
struct Prepared {
    requests: usize,
    thresholds: BTreeMap<i128, [Sorted; 5]>,
    baseline: i128,
}

impl Prepared {
    fn new(run: &ThresholdRun, options: &SelectOptions) -> Self {
        // Requests are numbered by their ids, so that the order of rows does not affect the drawn requests.
        let columns = run.thresholds.values().flatten();
        let ids: BTreeSet<&str> = columns
            .flat_map(|column| &column.ids)
            .map(String::as_str)
            .collect();
        let known: HashMap<&str, u32> = ids.into_iter().zip(0..).collect();
        let mut count = known.len() as u32;
        let mut thresholds = BTreeMap::new();
        for (threshold, columns) in &run.thresholds {
            let sorted: [Sorted; 5] = std::array::from_fn(|metric| {
                let column: &Column = &columns[metric];
                let mut rows: Vec<(f64, u32)> = Vec::with_capacity(column.values.len());
                for (row, value) in column.values.iter().enumerate() {
                    // Values without a request id are drawn independently.
                    let mut new = || {
                        count += 1;
                        count - 1
                    };
                    let id = column.ids.get(row);
                    let place = id.and_then(|id| known.get(id.as_str()).copied());
                    let place = place.unwrap_or_else(&mut new);
                    rows.push((*value, place));
                }
                rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                Sorted {
                    values: rows.iter().map(|row| row.0).collect(),
                    places: rows.iter().map(|row| row.1).collect(),
                }
            });
            thresholds.insert(*threshold, sorted);
        }
        Self {
            requests: count as usize,
            thresholds,
            baseline: run.baseline(options.baseline),
        }
    }

    /// Ratios of all thresholds in a resample of the requests, by threshold.
    fn ratios(&self, random: &mut Pcg64, counts: &mut Vec<u32>) -> Vec<(i128, [f64; 5])> {
        counts.clear();
        counts.resize(self.requests, 0);
        for _ in 0..self.requests {
            counts[draw(self.requests, random)] += 1;
        }
        let metrics: Vec<(i128, [f64; 5])> = self
            .thresholds
            .iter()
            .map(|(threshold, columns)| {
                let of = |metric: usize| resampled(&columns[metric], BY_TAIL[metric], counts);
                (*threshold, std::array::from_fn(of))
            })
            .collect();
        let base = metrics
            .iter()
            .find(|(threshold, _)| *threshold == self.baseline);
        let base = base.map_or([f64::NAN; 5], |(_, values)| *values);
        metrics
            .into_iter()
            .map(|(threshold, values)| {
                (
                    threshold,
                    std::array::from_fn(|metric| values[metric] / base[metric]),
                )
            })
            .collect()
    }
}

/// P95 or mean of the values, each weighted by the number of times that its request was drawn.
fn resampled(column: &Sorted, tail: bool, counts: &[u32]) -> f64 {
    let times = |place: &u32| counts[*place as usize];
    let rows = column.values.iter().zip(column.places.iter().map(times));
    let total: u64 = column
        .places
        .iter()
        .map(|place| u64::from(times(place)))
        .sum();
    if total == 0 {
        return f64::NAN;
    }
    if !tail {
        let sum: f64 = rows.map(|(value, count)| value * f64::from(count)).sum();
        return sum / total as f64;
    }
    let position = 0.95 * (total - 1) as f64;
    let low = position.floor() as u64;
    let (mut seen, mut below) = (0, None);
    for (value, count) in rows {
        seen += u64::from(count);
        if below.is_none() && seen > low {
            below = Some(*value);
        }
        if let Some(below) = below
            && seen > (low + 1).min(total - 1)
        {
            return below + (value - below) * (position - low as f64);
        }
    }
    below.unwrap_or(f64::NAN)
}

/// Compares every threshold of a selection with the baseline, in the order of its rows; the baseline itself is left out.
pub fn judge(
    runs: &[ThresholdRun],
    selection: &Selection,
    options: &SelectOptions,
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Vec<Finding> {
    let prepared: Vec<Prepared> = runs.iter().map(|run| Prepared::new(run, options)).collect();
    let base = options.score([1.0; 5]);
    // Weights may have any sum; if the sum is 0, no weight can be expressed as a fraction of it.
    let size = if base == 0.0 { 1.0 } else { base.abs() };
    let change = |score: f64| (score - base) / size;
    let rows = selection.rows.len();
    let chunk = |chunk: usize| {
        let mut random = stream(seed, "threshold bootstrap", chunk as u64);
        let mut counts = Vec::new();
        (0..CHUNK.min(resamples - chunk * CHUNK))
            .map(|_| {
                let mut ratios: Vec<Vec<[f64; 5]>> = vec![Vec::new(); rows];
                for _ in 0..prepared.len() {
                    let run = &prepared[draw(prepared.len(), &mut random)];
                    for (threshold, one) in run.ratios(&mut random, &mut counts) {
                        let row = selection
                            .rows
                            .iter()
                            .position(|row| row.threshold == threshold);
                        if let Some(row) = row {
                            ratios[row].push(one);
                        }
                    }
                }
                ratios.iter().map(|ratios| score(ratios, options)).collect()
            })
            .collect::<Vec<Vec<f64>>>()
    };
    let chunks: Vec<usize> = (0..resamples.div_ceil(CHUNK)).collect();
    let scores: Vec<Vec<f64>> = chunks.into_par_iter().map(chunk).flatten().collect();
    let baselines: Vec<i128> = prepared.iter().map(|run| run.baseline).collect();
    let mut findings = Vec::new();
    for (index, row) in selection.rows.iter().enumerate() {
        // A threshold that is the baseline of every run has the score 1 by definition.
        if baselines.iter().all(|baseline| *baseline == row.threshold) {
            continue;
        }
        let mut changes: Vec<f64> = scores
            .iter()
            .map(|scores| change(scores[index]))
            .filter(|change| !change.is_nan())
            .collect();
        changes.sort_unstable_by(f64::total_cmp);
        findings.push(Finding {
            threshold: row.threshold,
            change: change(row.score),
            interval: percentile_interval(&changes, confidence),
            p: two_sided(changes.iter().copied()),
            p_adjusted: 1.0,
            significant: false,
        });
    }
    let adjusted = holm(&findings.iter().map(|finding| finding.p).collect::<Vec<_>>());
    for (finding, p) in findings.iter_mut().zip(adjusted) {
        finding.p_adjusted = p;
        finding.significant = p < 1.0 - confidence;
    }
    findings
}

/// The score of one threshold over the runs that have it; NaN if none of these runs was drawn.
fn score(ratios: &[[f64; 5]], options: &SelectOptions) -> f64 {
    if ratios.is_empty() {
        return f64::NAN;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    options.score(std::array::from_fn(|metric| {
        let all: Vec<f64> = ratios.iter().map(|run| run[metric]).collect();
        options.aggregate.of(&all, mean)
    }))
}

/// A sentence on whether the recommended threshold is significantly better.
pub fn verdict(selection: &Selection, findings: &[Finding]) -> String {
    let best = selection.best;
    let Some(finding) = findings.iter().find(|finding| finding.threshold == best) else {
        return format!("{best} is the baseline itself: no other threshold scored better");
    };
    let range = format!(
        "{:+.2} % [{:+.2}, {:+.2}]",
        finding.change * 100.0,
        finding.interval.low * 100.0,
        finding.interval.high * 100.0
    );
    let p = p_text(finding.p_adjusted);
    if finding.significant {
        format!(
            "{best} is better than the baseline: score {range}, {p} (Holm, {} thresholds)",
            findings.len()
        )
    } else {
        format!(
            "no significant difference between {best} and the baseline: score {range}, {p} (Holm, {} thresholds)",
            findings.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::tune::select::select;
    use crate::tune::significance::*;
    use rand_distr::{Distribution, LogNormal};

    /// Runs of 60 requests at 6 thresholds; values of thresholds from `from` on are `factor` times as large as the others.
    fn runs(seed: u64, count: usize, from: i128, factor: f64) -> Vec<ThresholdRun> {
        let skewed = LogNormal::new(0.0, 0.6).expect("a distribution");
        let noise = LogNormal::new(0.0, 0.05).expect("a distribution");
        (0..count)
            .map(|run| {
                let mut random = stream(seed, "planted", run as u64);
                let own: Vec<f64> = (0..60).map(|_| skewed.sample(&mut random)).collect();
                let thresholds = (0..6)
                    .map(|threshold| {
                        let columns: [Column; 5] = std::array::from_fn(|_| Column {
                            values: own
                                .iter()
                                .map(|own| {
                                    own * noise.sample(&mut random)
                                        * if threshold >= from { factor } else { 1.0 }
                                })
                                .collect(),
                            ids: (0..60).map(|id| id.to_string()).collect(),
                        });
                        (threshold, columns)
                    })
                    .collect();
                ThresholdRun {
                    name: run.to_string(),
                    thresholds,
                }
            })
            .collect()
    }

    fn judged(runs: &[ThresholdRun], resamples: usize) -> (Selection, Vec<Finding>) {
        let options = SelectOptions::default();
        let selection = select(runs, &options).expect("selects");
        let findings = judge(runs, &selection, &options, 0.95, resamples, 0);
        (selection, findings)
    }

    #[test]
    fn where_nothing_differs_nothing_is_told() {
        let told = (0..100).filter(|seed| {
            let (_, findings) = judged(&runs(*seed, 3, 99, 1.0), 400);
            findings.iter().any(|finding| finding.significant)
        });
        // 5 of 100, and three standard errors.
        let told = told.count();
        assert!(told <= 11, "{told}");
    }

    #[test]
    fn what_differs_is_told() {
        let told = (0..20).filter(|seed| {
            let (selection, findings) = judged(&runs(*seed, 3, 3, 0.9), 1000);
            let text = verdict(&selection, &findings);
            selection.best >= 3
                && text.contains("is better than the baseline: score -")
                && findings
                    .iter()
                    .all(|finding| finding.significant == (finding.threshold >= 3))
        });
        let told = told.count();
        assert!(told >= 17, "{told}");
        let (selection, findings) = judged(&runs(1, 3, 1, 1.2), 1000);
        assert_eq!(selection.best, 0);
        assert!(
            findings
                .iter()
                .all(|finding| finding.significant && finding.change > 0.15)
        );
        assert_eq!(
            verdict(&selection, &findings),
            "0 is the baseline itself: no other threshold scored better"
        );
    }

    #[test]
    fn the_same_values_differ_by_nothing() {
        let mut runs = runs(5, 2, 99, 1.0);
        for run in &mut runs {
            let zero = run.thresholds[&0].clone();
            run.thresholds.insert(1, zero);
        }
        let (_, findings) = judged(&runs, 200);
        let one = findings
            .iter()
            .find(|finding| finding.threshold == 1)
            .expect("is there");
        assert_eq!(
            (one.change, one.interval.low, one.interval.high, one.p),
            (0.0, 0.0, 0.0, 1.0)
        );
    }

    #[test]
    fn threads_change_nothing() {
        let runs = runs(2, 3, 2, 0.97);
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a pool");
        assert_eq!(judged(&runs, 230).1, alone.install(|| judged(&runs, 230)).1);
    }
}
