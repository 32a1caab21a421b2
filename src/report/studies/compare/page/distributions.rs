//! Cumulative distributions of requests' times, thinned so that a page stays small.

use crate::report::render::chart::{Axis, Chart, Look, Marks, Scale, Series};
use crate::report::render::number::thousands;
use crate::report::studies::compare::read::METRIC_NAMES;
use crate::report::studies::compare::{ScenarioGroup, charts};

/// How far distributions were thinned.
#[derive(Default)]
pub(super) struct Thinning {
    most: usize,
    kept: usize,
}

impl Thinning {
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
    let names = ["ttft_cdf", "tbt_cdf", "e2e_cdf"];
    let mut all = Vec::new();
    for metric in 0..METRIC_NAMES.len() {
        let mut series = Vec::new();
        for policy in &policies {
            let Some(run) = charts::first(scenario, policy, trace) else {
                continue;
            };
            let shares = &run.figures.distributions[metric];
            let points = shares.points.clone();
            thinning.most = thinning.most.max(shares.count);
            if points.len() < shares.count {
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
