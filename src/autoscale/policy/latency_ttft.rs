//! Latency thresholds for each pool, as in the Splitwise fork's `LatencyBasedPolicy`: TTFT sizes the prefill fleet, TBT the
//! decode fleet, and the worse of both an aggregated fleet.

use serde::{Deserialize, Serialize};

use super::{Decision, PolicyConfig, PolicyContext, Rounding, ScalingPolicy, TuningContext};
use crate::autoscale::signals::{Fleet, FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencyTtftConfig {
    /// TTFT objective in seconds.
    pub ttft_target: f64,
    /// TBT objective in seconds; without one, the decode fleet keeps its size.
    pub tbt_target: Option<f64>,
    /// Percentile of both that is compared with the objectives: 90 as documented, 50 in the fork's code.
    pub percentile: f64,
    /// Rounding of grown sizes. The fork rounds to the nearest number, so two instances never become three.
    pub rounding: Rounding,
}

impl Default for LatencyTtftConfig {
    fn default() -> Self {
        Self {
            ttft_target: 1.0,
            tbt_target: None,
            percentile: 90.0,
            rounding: Rounding::Up,
        }
    }
}

impl PolicyConfig for LatencyTtftConfig {
    const CARD: Card = Card::new(
        "latency_ttft",
        "prefill by TTFT and decode by TBT, in tiers",
    );
    const COLOR: &'static str = "#56B4E9";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(LatencyTtft::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        Some(Self {
            ttft_target: context.objectives.ttft_seconds * headroom,
            tbt_target: Some(context.objectives.tbt_seconds * headroom),
            ..self
        })
    }
}

/// The scaling policy `latency_ttft`.
#[derive(Debug)]
pub struct LatencyTtft {
    config: LatencyTtftConfig,
}

/// Scale-out thresholds: at or above the first number times the objective, the size is multiplied by the second number.
const OUT: [(f64, f64); 2] = [(1.2, 1.2), (1.1, 1.1)];
/// Scale-in thresholds: at or below the first number times the objective, the size is multiplied by the second number.
const IN: (f64, f64) = (0.9, 0.95);
/// Tolerance for rounding: 0.055 / 0.05 is slightly less than 1.1 in floating point.
const NEAR: f64 = 1e-9;

impl LatencyTtft {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
    pub fn new(config: LatencyTtftConfig) -> Result<Self> {
        positive(
            "autoscaling.latency_ttft.ttft_target",
            config.ttft_target,
            false,
        )?;
        let tbt = config.tbt_target.unwrap_or(1.0);
        positive("autoscaling.latency_ttft.tbt_target", tbt, false)?;
        Ok(Self { config })
    }

    fn size(&self, fleet: &Fleet, breach: f64) -> u32 {
        let have = fleet.provisioned();
        if breach <= 0.0 {
            return have;
        }
        if let Some((_, factor)) = OUT.iter().find(|(from, _)| breach >= *from - NEAR) {
            return self.config.rounding.apply(f64::from(have) * factor);
        }
        if breach <= IN.0 + NEAR {
            let rounding = match self.config.rounding {
                // A scale-out adds at least one instance, and a scale-in removes at least one.
                Rounding::Up => Rounding::Down,
                other => other,
            };
            return rounding.apply(f64::from(have) * IN.1);
        }
        have
    }
}

impl ScalingPolicy for LatencyTtft {
    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = &self.config;
        let ttft = signals.ttft.at(config.percentile) / config.ttft_target;
        let tbt = config
            .tbt_target
            .map_or(0.0, |target| signals.tbt.at(config.percentile) / target);
        let reason = format!("TTFT {ttft:.2} x and TBT {tbt:.2} x their targets");
        Decision::map(signals, reason, |fleet| match fleet.kind {
            FleetKind::Prefill => self.size(fleet, ttft),
            FleetKind::Decode => self.size(fleet, tbt),
            FleetKind::Aggregated | FleetKind::Mixed => self.size(fleet, ttft.max(tbt)),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::latency_ttft::*;
    use crate::autoscale::testing::{all, signals};

    #[test]
    fn tiers_by_hand() {
        let config = LatencyTtftConfig {
            tbt_target: Some(0.05),
            ..LatencyTtftConfig::default()
        };
        let mut policy = LatencyTtft::new(config).unwrap_or_else(|_| unreachable!());
        let mut seen = signals(12, 8);
        // TTFT of 1.2 s: 14.4, rounded up to 15. 1.15 s: 13.2, up to 14. 0.95 s: no change. 0.9 s: 11.4, down to 11. There are
        // no TBT values, so decode keeps its size.
        for (ttft, prefill) in [(1.2, 15), (1.15, 14), (0.95, 12), (0.9, 11)] {
            seen.ttft = all(ttft);
            assert_eq!(policy.decide(&seen).targets, [prefill, 8], "{ttft}");
        }
        // TBT of 55 ms is 1.1 times the objective: 8.8, rounded up to 9.
        seen.tbt = all(0.055);
        seen.ttft = all(0.95);
        assert_eq!(policy.decide(&seen).targets, [12, 9]);
    }
}
