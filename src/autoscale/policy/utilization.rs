//! KV memory, one instance at a time, as `utilization` of the Splitwise fork's simple baselines.

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, ScalingPolicy};
use crate::autoscale::signals::Signals;
use crate::base::check::positive;
use crate::base::error::Result;

/// Parameters, with the documented values as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UtilizationConfig {
    /// Above this part of the KV memory in use, one more.
    pub high: f64,
    /// Below it, one less.
    pub low: f64,
}

impl Default for UtilizationConfig {
    fn default() -> Self {
        Self {
            high: 0.8,
            low: 0.3,
        }
    }
}

/// The policy.
#[derive(Debug)]
pub struct Utilization {
    config: UtilizationConfig,
}

impl Utilization {
    /// With parameters.
    ///
    /// # Errors
    /// Parameters that cannot be.
    pub fn new(config: UtilizationConfig) -> Result<Self> {
        positive("autoscaling.utilization.high", config.high, false)?;
        positive("autoscaling.utilization.low", config.low, true)?;
        Ok(Self { config })
    }
}

impl ScalingPolicy for Utilization {
    fn pace(&self) -> Pace {
        Pace::every(2.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let mut seen = Vec::new();
        let decision = Decision::map(signals, "", |fleet| {
            seen.push(format!(
                "{} {:.0} %",
                fleet.kind.name(),
                fleet.kv_usage * 100.0
            ));
            if fleet.kv_usage > self.config.high {
                fleet.provisioned() + 1
            } else if fleet.kv_usage < self.config.low {
                fleet.provisioned().saturating_sub(1)
            } else {
                fleet.provisioned()
            }
        });
        Decision {
            reason: format!("KV in use: {}", seen.join(", ")),
            ..decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::utilization::*;
    use crate::autoscale::testing::signals;

    #[test]
    fn by_hand() {
        let mut policy =
            Utilization::new(UtilizationConfig::default()).unwrap_or_else(|_| unreachable!());
        let mut seen = signals(4, 4);
        seen.fleets[0].kv_usage = 0.81;
        seen.fleets[1].kv_usage = 0.29;
        assert_eq!(policy.decide(&seen).targets, [5, 3]);
        seen.fleets[0].kv_usage = 0.8;
        seen.fleets[1].kv_usage = 0.3;
        assert_eq!(policy.decide(&seen).targets, [4, 4]);
    }
}
