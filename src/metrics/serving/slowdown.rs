//! Times as multiples of what a request would take on an unloaded reference instance, and the limits of the Splitwise study.

use serde::Serialize;

use crate::base::distribution::{Distribution, percentile_sorted};

/// A finished request's times, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Prompt tokens.
    pub prompt: u32,
    /// Output tokens.
    pub output: u32,
    /// To the first token.
    pub ttft: Option<f64>,
    /// Between tokens; none of a single one.
    pub tbt: Option<f64>,
    /// To the last token.
    pub e2e: Option<f64>,
}

/// Multiples of what the reference needs.
#[derive(Debug, Clone, Serialize)]
pub struct Slowdowns {
    /// Of the time to first token.
    pub ttft: Distribution,
    /// Of the time between tokens.
    pub tbt: Distribution,
    /// Of the whole time.
    pub e2e: Distribution,
}

/// One limit.
#[derive(Debug, Clone, Serialize)]
pub struct SlowdownLimit {
    /// Which time.
    pub metric: &'static str,
    /// Which percentile.
    pub percentile: u32,
    /// What is allowed.
    pub limit: f64,
    /// What was.
    pub value: f64,
    /// Whether it is kept.
    pub met: bool,
}

/// Allowed at p50, p90 and p99 (Splitwise, ISCA 2024, table 6).
const LIMITS: [(&str, [f64; 3]); 3] = [
    ("ttft", [2.0, 3.0, 6.0]),
    ("tbt", [1.25, 1.5, 5.0]),
    ("e2e", [1.25, 1.5, 5.0]),
];

/// Slowdowns of requests, where `alone` says what the reference needs for a prompt, and for a token after it; and the limits.
pub fn slowdowns(
    requests: impl Iterator<Item = Times>,
    mut alone: impl FnMut(u32) -> (f64, f64),
) -> (Slowdowns, Vec<SlowdownLimit>) {
    let mut values: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for request in requests {
        let (first, between) = alone(request.prompt);
        let whole = first + between * f64::from(request.output - 1);
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
    for ((metric, allowed), values) in LIMITS.into_iter().zip(&values) {
        for (percentile, limit) in [50, 90, 99].into_iter().zip(allowed) {
            let value =
                percentile_sorted(values, f64::from(percentile) / 100.0).unwrap_or_default();
            limits.push(SlowdownLimit {
                metric,
                percentile,
                limit,
                value,
                met: value <= limit,
            });
        }
    }
    (Slowdowns { ttft, tbt, e2e }, limits)
}

#[cfg(test)]
mod tests {
    use crate::metrics::serving::slowdown::*;

    #[test]
    fn by_hand() {
        // Alone: 0.1 s for the prompt and 0.02 s a token, so 0.1 + 10 x 0.02 = 0.3 s for 11 tokens.
        let request = Times {
            prompt: 100,
            output: 11,
            ttft: Some(0.25),
            tbt: Some(0.02),
            e2e: Some(0.45),
        };
        let (found, limits) = slowdowns([request].into_iter(), |_| (0.1, 0.02));
        assert!((found.ttft.p50 - 2.5).abs() < 1e-12);
        assert!((found.e2e.p99 - 1.5).abs() < 1e-12);
        // 2.5 is more than 2 at p50, and less than 3 at p90; 1.5 is more than 1.25.
        let met: Vec<bool> = limits.iter().map(|limit| limit.met).collect();
        assert_eq!(met[..6], [false, true, true, true, true, true]);
        assert!(!met[6]);
    }
}
