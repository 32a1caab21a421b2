//! Latency alone, as the Splitwise fork's `PureLatencyPolicy`: both pools go up in large steps and down in small ones.

use serde::{Deserialize, Serialize};

use super::{Decision, ScalingPolicy};
use crate::autoscale::signals::Signals;
use crate::base::check::positive;
use crate::base::error::Result;

/// Parameters, with the documented values as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PureLatencyConfig {
    /// Time between tokens that is to be kept, in seconds.
    pub tbt_slo: f64,
    /// Percentile at which it is looked at: 90 as documented, 50 as shipped.
    pub percentile: f64,
    /// From this multiple of the SLO on, `step_out` more.
    pub high: f64,
    /// Below this multiple, `step_in` less.
    pub low: f64,
    /// Instances more of each pool.
    pub step_out: u32,
    /// Instances less of each pool.
    pub step_in: u32,
}

impl Default for PureLatencyConfig {
    fn default() -> Self {
        Self {
            tbt_slo: 0.04,
            percentile: 90.0,
            high: 1.1,
            low: 0.8,
            step_out: 2,
            step_in: 1,
        }
    }
}

/// The policy.
#[derive(Debug)]
pub struct PureLatency {
    config: PureLatencyConfig,
}

impl PureLatency {
    /// With parameters.
    ///
    /// # Errors
    /// Parameters that cannot be.
    pub fn new(config: PureLatencyConfig) -> Result<Self> {
        positive("autoscaling.pure_latency.tbt_slo", config.tbt_slo, false)?;
        Ok(Self { config })
    }
}

impl ScalingPolicy for PureLatency {
    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = &self.config;
        let tbt = signals.tbt.at(config.percentile);
        let reason = format!("TBT p{} {:.1} ms", config.percentile, tbt * 1e3);
        if tbt > config.tbt_slo * config.high {
            return Decision::map(signals, reason, |fleet| {
                fleet.provisioned() + config.step_out
            });
        }
        if tbt > 0.0 && tbt < config.tbt_slo * config.low {
            return Decision::map(signals, reason, |fleet| {
                fleet.provisioned().saturating_sub(config.step_in)
            });
        }
        Decision::hold(signals, reason)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::pure_latency::*;
    use crate::autoscale::testing::{all, signals};

    #[test]
    fn by_hand() {
        let mut policy =
            PureLatency::new(PureLatencyConfig::default()).unwrap_or_else(|_| unreachable!());
        let mut seen = signals(3, 5);
        // 44 ms is 1.1 x 40: not above it. 44.1 is. 32 is 0.8 x 40: not below it.
        for (tbt, targets) in [
            (0.044, [3, 5]),
            (0.0441, [5, 7]),
            (0.032, [3, 5]),
            (0.0319, [2, 4]),
        ] {
            seen.tbt = all(tbt);
            assert_eq!(policy.decide(&seen).targets, targets, "{tbt}");
        }
        // Nothing ended: nothing is known.
        seen.tbt = Default::default();
        assert_eq!(policy.decide(&seen).targets, [3, 5]);
    }
}
