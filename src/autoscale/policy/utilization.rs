//! KV cache usage, as in `utilization` of the Splitwise fork's simple baselines: one instance is added or removed at a time.

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext};
use crate::autoscale::signals::Signals;
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UtilizationConfig {
    /// Above this KV cache usage (0 to 1), add one instance.
    pub high: f64,
    /// Below this KV cache usage, remove one instance.
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

impl PolicyConfig for UtilizationConfig {
    const CARD: Card = Card::new(
        "utilization",
        "one more instance where the KV cache is nearly full, one less where it is nearly empty",
    );
    const COLOR: &'static str = "#B8A800";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Utilization::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let high = context.decode_share("kv_usage", headroom);
        Some(Self {
            high,
            low: high * 0.5,
        })
    }
}

/// The scaling policy `utilization`.
#[derive(Debug)]
pub struct Utilization {
    config: UtilizationConfig,
}

impl Utilization {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
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
