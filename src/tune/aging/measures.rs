//! Measurements of one request order: times to first token, and their fairness.

use serde::Serialize;

use crate::base::percentile_sorted;
use crate::metrics::serving::request_times::{TIMES, times};
use crate::sim::RequestRecord;

/// Seconds per prompt token, including waiting between chunks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TokenTime {
    /// Mean over requests.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// 80th percentile.
    pub p80: f64,
}

/// TTFT slowdowns of the requests of one class of prompt length.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LengthClass {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Measurements of one request order, in one run or as a mean over several.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Measures {
    /// Time to first token in seconds: median, 90th and 99th percentile.
    pub ttft: [f64; 3],
    /// Jain's index of the TTFT slowdowns: 1 if all are equal, 1/n if one of n requests has all the slowdown.
    pub jain: f64,
    /// Longest wait in seconds: TTFT minus the time that the prompt takes on an idle instance.
    pub max_wait: f64,
    /// Short, middle and long prompts, each one third of the requests.
    pub classes: [LengthClass; 3],
}

/// Percentiles of [`Measures::ttft`], by name.
pub const TTFT: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// Measures of fairness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fairness {
    /// Jain's index.
    Jain,
    /// The longest wait.
    MaxWait,
    /// The 99th percentile of the slowdown in the class of prompt lengths where it is largest.
    WorstClass,
}

impl Fairness {
    /// Returns the measure as a loss: lower is fairer.
    pub(super) fn loss(self, measures: &Measures) -> f64 {
        match self {
            Self::Jain => 1.0 - measures.jain,
            Self::MaxWait => measures.max_wait,
            Self::WorstClass => measures
                .classes
                .iter()
                .map(|class| class.p99)
                .fold(0.0, f64::max),
        }
    }
}

impl TokenTime {
    /// Computes the percentiles over the requests that finished.
    pub(super) fn of(records: &[Vec<RequestRecord>]) -> Option<Self> {
        let name = "prefill_time_execution_plus_preemption_normalized";
        let at = TIMES.iter().position(|time| *time == name)?;
        let mut values: Vec<f64> = records
            .iter()
            .flatten()
            .filter_map(times)
            .map(|times| times[at])
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean > 0.0).then(|| Self {
            mean,
            median: quantile(&values, 0.5),
            p80: quantile(&values, 0.8),
        })
    }

    /// Returns the ratios that these values suggest, each with its origin.
    pub fn ratios(&self) -> Vec<(f64, &'static str)> {
        [
            (1.0 / self.mean, "1 / mean token time"),
            (1.0 / self.median, "1 / median token time"),
            (1.0 / self.p80, "1 / P80 of token time"),
            (0.3 / self.p80, "0.3 / P80 of token time"),
        ]
        .into_iter()
        .filter(|(ratio, _)| ratio.is_finite())
        .collect()
    }
}

/// A quantile of one or more values in rising order.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    percentile_sorted(sorted, q).unwrap_or(f64::NAN)
}

impl Measures {
    /// Measures one run; `alone` is the time that each request's prompt takes on an idle instance.
    pub(super) fn of(records: &[RequestRecord], alone: &[f64]) -> Option<Self> {
        let mut finished: Vec<(u32, f64, f64)> = records
            .iter()
            .zip(alone)
            .filter(|(record, _)| record.is_finished())
            .filter_map(|(record, alone)| Some((record.prompt, record.ttft()?, *alone)))
            .collect();
        if finished.is_empty() {
            return None;
        }
        let mut ttft: Vec<f64> = finished.iter().map(|one| one.1).collect();
        ttft.sort_unstable_by(f64::total_cmp);
        let slow = |one: &(u32, f64, f64)| if one.2 > 0.0 { one.1 / one.2 } else { 1.0 };
        let (sum, squares) = finished
            .iter()
            .map(slow)
            .fold((0.0, 0.0), |(sum, squares), slow| {
                (sum + slow, squares + slow * slow)
            });
        // Thirds by prompt length; equal lengths are ordered by index.
        finished.sort_by_key(|one| one.0);
        let n = finished.len();
        let classes = std::array::from_fn(|class| {
            let mut values: Vec<f64> = finished[n * class / 3..n * (class + 1) / 3]
                .iter()
                .map(slow)
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            LengthClass {
                p50: quantile(&values, 0.5),
                p99: quantile(&values, 0.99),
            }
        });
        Some(Self {
            ttft: TTFT.map(|(_, q)| quantile(&ttft, q)),
            jain: sum * sum / (n as f64 * squares),
            max_wait: finished.iter().map(|one| one.1 - one.2).fold(0.0, f64::max),
            classes,
        })
    }

    pub(super) fn mean(runs: &[Self]) -> Self {
        let of =
            |value: &dyn Fn(&Self) -> f64| runs.iter().map(value).sum::<f64>() / runs.len() as f64;
        Self {
            ttft: std::array::from_fn(|at| of(&|run| run.ttft[at])),
            jain: of(&|run| run.jain),
            max_wait: of(&|run| run.max_wait),
            classes: std::array::from_fn(|at| LengthClass {
                p50: of(&|run| run.classes[at].p50),
                p99: of(&|run| run.classes[at].p99),
            }),
        }
    }
}
