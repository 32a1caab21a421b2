//! Latency alone, as in the Splitwise fork's `PureLatencyPolicy`: both pools grow in large steps and shrink in small ones.

use serde::{Deserialize, Serialize};

use super::{Decision, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext};
use crate::autoscale::signals::Signals;
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PureLatencyConfig {
    /// TBT objective in seconds.
    pub tbt_slo: f64,
    /// Percentile of TBT that is compared with the objective: 90 as documented, 50 in the fork's code.
    pub percentile: f64,
    /// Above this multiple of the objective, each fleet grows by `step_out`.
    pub high: f64,
    /// Below this multiple, each fleet shrinks by `step_in`.
    pub low: f64,
    /// Instances added to each fleet at a time.
    pub step_out: u32,
    /// Instances removed from each fleet at a time.
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

impl PolicyConfig for PureLatencyConfig {
    const CARD: Card = Card::new(
        "pure_latency",
        "TBT alone: two more instances of both roles when it is high, one less when it is low",
    );
    const COLOR: &'static str = "#CC79A7";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(PureLatency::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        Some(Self {
            tbt_slo: context.objectives.tbt_seconds * headroom,
            ..self
        })
    }
}

/// The scaling policy `pure_latency`.
#[derive(Debug)]
pub struct PureLatency {
    config: PureLatencyConfig,
}

impl PureLatency {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
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
        // 44 ms is exactly 1.1 x 40 ms and not above the threshold; 44.1 ms is above. 32 ms is exactly 0.8 x 40 ms and not
        // below the threshold.
        for (tbt, targets) in [
            (0.044, [3, 5]),
            (0.0441, [5, 7]),
            (0.032, [3, 5]),
            (0.0319, [2, 4]),
        ] {
            seen.tbt = all(tbt);
            assert_eq!(policy.decide(&seen).targets, targets, "{tbt}");
        }
        // No request finished, so there is no latency to compare.
        seen.tbt = Default::default();
        assert_eq!(policy.decide(&seen).targets, [3, 5]);
    }
}
