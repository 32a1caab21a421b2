//! Cumulative distributions of requests' times, thinned so that a page stays small.

use rayon::prelude::*;

use crate::report::render::chart::{Axis, Chart, Look, Marks, Scale, Series};
use crate::report::render::number::thousands;
use crate::report::studies::compare::read::{METRIC_NAMES, requests, times};
use crate::report::studies::compare::{ScenarioGroup, charts};

/// Maximum number of points in all distributions of a page together; they take about a third of its size.
const ALL_POINTS: usize = 90_000;

/// Maximum and minimum number of points to which one distribution is thinned.
const POINTS: (usize, usize) = (400, 12);

/// The limit to which distributions are thinned, and how far they were thinned.
pub(super) struct Thinning {
    points: usize,
    most: usize,
    kept: usize,
}

impl Thinning {
    pub(super) fn new(scenarios: &[ScenarioGroup<'_>], quick: bool) -> Self {
        let curves =
            |scenario: &ScenarioGroup<'_>| 3 * scenario.policies().len() * scenario.traces().len();
        let curves: usize = scenarios.iter().map(curves).sum();
        let points = if quick { 0 } else { ALL_POINTS / curves.max(1) };
        Self {
            points: points.clamp(POINTS.1, POINTS.0),
            most: 0,
            kept: 0,
        }
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.kept > 0 {
            notes.push(format!(
                "Distributions keep up to {} points each of up to {} requests, evenly over the shares, with the smallest and the largest; percentiles in tables are of all requests.",
                self.kept,
                thousands(self.most as u64)
            ));
        }
        notes
    }
}

/// Charts of the cumulative distributions of TTFT, TBT and E2E in the first seed's runs.
pub(super) fn distributions(
    scenario: &ScenarioGroup<'_>,
    trace: &str,
    thinning: &mut Thinning,
) -> Vec<Chart> {
    let policies = scenario.policies();
    let read: Vec<Option<[Vec<f64>; 3]>> = policies
        .par_iter()
        .map(|policy| {
            let run = charts::first(scenario, policy, trace)?;
            let rows = requests(&run.folder).ok().flatten()?.rows;
            let finished = || rows.iter().filter(|row| row.is_finished()).map(times);
            Some(std::array::from_fn(|metric| {
                let mut values: Vec<f64> = finished().filter_map(|times| times[metric]).collect();
                values.sort_unstable_by(f64::total_cmp);
                values
            }))
        })
        .collect();
    let names = ["ttft_cdf", "tbt_cdf", "e2e_cdf"];
    let mut all = Vec::new();
    for metric in 0..METRIC_NAMES.len() {
        let mut series = Vec::new();
        for (policy, times) in policies.iter().zip(&read) {
            let Some(times) = times else { continue };
            let values = &times[metric];
            let points = shares(values, thinning.points);
            thinning.most = thinning.most.max(values.len());
            if points.len() < values.len() {
                thinning.kept = thinning.kept.max(points.len());
            }
            let look = Look {
                sign: None,
                ..scenario.comparison.styles.look(policy)
            };
            series.push(Series {
                name: (*policy).to_owned(),
                color: scenario.comparison.styles.color(policy),
                dashed: false,
                marks: Marks::Styled(points, look),
            });
        }
        all.push(Chart {
            name: names[metric],
            title: format!("{} of requests, {trace}", METRIC_NAMES[metric]),
            x: Axis::new(&format!("{} (s)", METRIC_NAMES[metric]), Scale::Log),
            y: Axis::new("share of finished requests", Scale::Percent),
            categories: Vec::new(),
            series,
        });
    }
    all
}

/// Points of a cumulative distribution: a value and the fraction of all values up to it, at even fractions.
fn shares(sorted: &[f64], most: usize) -> Vec<(f64, f64)> {
    let count = sorted.len();
    if count == 0 {
        return Vec::new();
    }
    let kept = count.min(most.max(2));
    let mut points: Vec<(f64, f64)> = (0..kept)
        .map(|n| {
            let index = if kept == 1 {
                0
            } else {
                n * (count - 1) / (kept - 1)
            };
            (sorted[index], (index + 1) as f64 / count as f64)
        })
        .collect();
    points.dedup();
    points
}
#[cfg(test)]
mod tests {
    use crate::report::studies::compare::page::distributions::*;

    #[test]
    fn distributions_keep_their_ends_and_stay_short() {
        let values: Vec<f64> = (1..=100_000).map(f64::from).collect();
        let points = shares(&values, 200);
        assert_eq!(points.len(), 200);
        assert_eq!(points[0], (1.0, 1e-5));
        assert_eq!(points[199], (100_000.0, 1.0));
        assert_eq!(shares(&[2.0], 200), [(2.0, 1.0)]);
        assert_eq!(shares(&[], 200), []);
    }
}
