//! Slowdowns: latencies as multiples of those on an idle reference instance; and the Splitwise study's limits.

use serde::Serialize;

use super::rows::RequestRow;
use crate::base::distribution::{Distribution, percentile_sorted};

/// Distributions of slowdowns over finished requests.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Slowdowns {
    /// Slowdowns of TTFT.
    pub ttft: Distribution,
    /// Slowdowns of TBT.
    pub tbt: Distribution,
    /// Slowdowns of E2E.
    pub e2e: Distribution,
}

/// One of the study's limits, and the run's slowdown at that percentile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SlowdownLimit {
    /// The latency: `ttft`, `tbt` or `e2e`.
    pub metric: &'static str,
    /// The percentile.
    pub percentile: u32,
    /// The largest slowdown that the study allows.
    pub limit: f64,
    /// The run's slowdown; `None` if no request has this latency.
    pub value: Option<f64>,
    /// Whether the limit is met; `None` without a slowdown.
    pub met: Option<bool>,
}

/// The latencies that have limits, by their names in JSON and CSV.
pub const LIMITED: [&str; 3] = ["ttft", "tbt", "e2e"];

/// The percentiles that have limits.
pub const LIMITED_AT: [u32; 3] = [50, 90, 99];

/// The largest slowdowns allowed, by [`LIMITED`] and [`LIMITED_AT`] (Splitwise, ISCA 2024, table 6).
pub const SLOWDOWN_LIMITS: [[f64; 3]; 3] = [[2.0, 3.0, 6.0], [1.25, 1.5, 5.0], [1.25, 1.5, 5.0]];

/// Computes the slowdowns of the finished requests and compares them with the limits. `alone` returns the seconds that
/// the reference needs for a prompt, and for each further token.
pub fn slowdowns(
    requests: &[RequestRow],
    mut alone: impl FnMut(u32) -> (f64, f64),
) -> (Slowdowns, Vec<SlowdownLimit>) {
    let mut values: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for request in requests.iter().filter(|r| r.is_finished()) {
        let (first, between) = alone(request.prompt);
        let whole = first + between * f64::from(request.output.saturating_sub(1));
        let times = [
            (request.ttft, first),
            (request.tbt, between),
            (request.e2e, whole),
        ];
        for (values, (time, alone)) in values.iter_mut().zip(times) {
            if let Some(time) = time
                && alone > 0.0
            {
                values.push(time / alone);
            }
        }
    }
    let [ttft, tbt, e2e] = values.each_mut().map(|v| Distribution::from_values(v));
    let mut limits = Vec::new();
    for ((metric, allowed), values) in LIMITED.into_iter().zip(SLOWDOWN_LIMITS).zip(&values) {
        for (percentile, limit) in LIMITED_AT.into_iter().zip(allowed) {
            let value = percentile_sorted(values, f64::from(percentile) / 100.0);
            limits.push(SlowdownLimit {
                metric,
                percentile,
                limit,
                value,
                met: value.map(|value| value <= limit),
            });
        }
    }
    (Slowdowns { ttft, tbt, e2e }, limits)
}

/// Whether all limits that have a slowdown are met; `None` if none has.
pub fn limits_met(limits: &[SlowdownLimit]) -> Option<bool> {
    limits
        .iter()
        .filter_map(|limit| limit.met)
        .reduce(|all, met| all && met)
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::rows::testing::{finished, unfinished};
    use crate::metrics::serving::slowdown::*;
    use crate::sim::Outcome;

    #[test]
    fn by_hand() {
        // On an idle instance: 0.1 s for the prompt and 0.02 s per token, so 0.1 + 10 x 0.02 = 0.3 s for 11 tokens.
        let request = RequestRow {
            output: 11,
            ..finished(0.25, Some(0.02), 0.45)
        };
        let (found, limits) = slowdowns(&[request], |_| (0.1, 0.02));
        assert!((found.ttft.p50.expect("a value") - 2.5).abs() < 1e-12);
        assert!((found.e2e.p99.expect("a value") - 1.5).abs() < 1e-12);
        // 2.5 is more than 2 at p50, and less than 3 at p90; 1.5 is more than 1.25.
        let met: Vec<Option<bool>> = limits.iter().map(|limit| limit.met).collect();
        assert_eq!(met[..6], [false, true, true, true, true, true].map(Some));
        assert_eq!(met[6], Some(false));
        assert_eq!(limits_met(&limits), Some(false));
    }

    #[test]
    fn where_nothing_finished_no_limit_is_met() {
        let (found, limits) = slowdowns(&[unfinished(Outcome::EndOfTime)], |_| (0.1, 0.02));
        assert_eq!((found.ttft.count, found.ttft.p50), (0, None));
        assert_eq!(limits.len(), 9);
        assert!(
            limits
                .iter()
                .all(|limit| limit.value.is_none() && limit.met.is_none())
        );
        assert_eq!(limits_met(&limits), None);
    }

    #[test]
    fn single_tokens_leave_the_limits_of_tbt_out() {
        let request = RequestRow {
            output: 1,
            ..finished(0.1, None, 0.1)
        };
        let (found, limits) = slowdowns(&[request], |_| (0.1, 0.02));
        // The same as on an idle instance: 1, which all limits of TTFT and E2E allow.
        assert_eq!((found.tbt.count, found.e2e.p50), (0, Some(1.0)));
        assert_eq!(limits[3].met, None);
        assert_eq!(limits_met(&limits), Some(true));
    }
}
