//! Service level objectives of a request.

use std::fmt;

/// Limits for the latency of a request, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Objectives {
    /// Time to first token (TTFT), from arrival.
    pub ttft_seconds: f64,
    /// Mean time between output tokens (TBT, also called TPOT).
    pub tbt_seconds: f64,
    /// End-to-end time (E2E), from arrival to the last token; `None` sets no limit.
    pub e2e_seconds: Option<f64>,
}

impl Default for Objectives {
    /// TTFT within 2 s and 100 ms between tokens.
    fn default() -> Self {
        Self {
            ttft_seconds: 2.0,
            tbt_seconds: 0.1,
            e2e_seconds: None,
        }
    }
}

impl fmt::Display for Objectives {
    /// Text such as `TTFT <= 2 s, TBT <= 100 ms` with every limit that is set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            ("TTFT", Some(self.ttft_seconds)),
            ("TBT", Some(self.tbt_seconds)),
            ("E2E", self.e2e_seconds),
        ];
        let mut before = "";
        for (name, limit) in limits {
            let Some(limit) = limit.filter(|limit| limit.is_finite()) else {
                continue;
            };
            let (value, unit) = match limit {
                seconds if seconds >= 1.0 => (seconds, "s"),
                seconds => (seconds * 1e3, "ms"),
            };
            // Rounded to six digits, so that 0.1 s is not 100.00000000000001 ms.
            let value = (value * 1e6).round() / 1e6;
            write!(f, "{before}{name} <= {value} {unit}")?;
            before = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::Objectives;

    #[test]
    fn limits_are_named_with_units() {
        let usual = Objectives::default();
        assert_eq!(usual.to_string(), "TTFT <= 2 s, TBT <= 100 ms");
        let some = Objectives {
            ttft_seconds: f64::INFINITY,
            tbt_seconds: 0.0355,
            e2e_seconds: Some(12.5),
        };
        assert_eq!(some.to_string(), "TBT <= 35.5 ms, E2E <= 12.5 s");
    }
}
