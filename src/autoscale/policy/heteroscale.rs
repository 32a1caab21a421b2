//! The HeteroScale policy (arXiv 2508.19559). Decode tokens per second determine the total size, a fixed P/D ratio splits it,
//! and two latency thresholds increase it. The severe threshold (panic) follows the Splitwise fork's `HeteroScalePolicy`.

use serde::{Deserialize, Serialize};

use super::{
    Decision, PolicyConfig, PolicyContext, Rounding, ScalingPolicy, TuningContext, needs_pair,
};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeteroScaleConfig {
    /// Target decode throughput per instance of either role, in tokens per second.
    pub target_tps: f64,
    /// Prefill instances per decode instance.
    pub pd_ratio: f64,
    /// Scale out when the desired number of instances exceeds the current one by more than this fraction.
    pub out_threshold: f64,
    /// Scale in when it falls short of the current one by more than this fraction.
    pub in_threshold: f64,
    /// TBT objective in seconds.
    pub tbt_slo: f64,
    /// Percentile of TBT that is compared with the objective.
    pub percentile: f64,
    /// Above this multiple of the objective, both fleets grow by `moderate_step`.
    pub moderate_breach: f64,
    /// Fraction by which both fleets grow above the moderate threshold.
    pub moderate_step: f64,
    /// Above this multiple of the objective, both fleets grow by `severe_step` (panic).
    pub severe_breach: f64,
    /// Fraction by which both fleets grow above the severe threshold.
    pub severe_step: f64,
    /// Count output tokens when their request completes, as the Splitwise fork does, instead of when they are generated.
    pub completed_tokens: bool,
    /// Rounding of fractional sizes.
    pub rounding: Rounding,
    /// Rounding of sizes while latency exceeds the objective. With the fork's `int`, fleets of up to four instances never grow.
    pub breach_rounding: Rounding,
    /// Allow scale-in while latency exceeds the objective, as the fork does during a scale-out cooldown.
    pub shrink_in_breach: bool,
}

impl Default for HeteroScaleConfig {
    fn default() -> Self {
        Self {
            target_tps: 100.0,
            pd_ratio: 0.33,
            out_threshold: 0.2,
            in_threshold: 0.2,
            tbt_slo: 0.04,
            percentile: 90.0,
            moderate_breach: 1.1,
            moderate_step: 0.1,
            severe_breach: 1.2,
            severe_step: 0.2,
            completed_tokens: false,
            rounding: Rounding::Nearest,
            breach_rounding: Rounding::Up,
            shrink_in_breach: false,
        }
    }
}

impl PolicyConfig for HeteroScaleConfig {
    const CARD: Card = Card::new(
        "heteroscale",
        "decode tokens per second set the total size, a fixed P/D ratio splits it; grows when TBT is too high",
    );
    const COLOR: &'static str = "#0072B2";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(HeteroScale::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let (prefill, decode) = (context.prefill_instances(), context.decode_instances());
        Some(Self {
            target_tps: context.share("decode_tps", headroom) / (prefill + decode),
            pd_ratio: prefill / decode,
            tbt_slo: context.objectives.tbt_seconds,
            out_threshold: 0.1,
            in_threshold: 0.1,
            rounding: Rounding::Up,
            ..self
        })
    }
}

/// The scaling policy `heteroscale`.
#[derive(Debug)]
pub struct HeteroScale {
    config: HeteroScaleConfig,
}

impl HeteroScale {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
    pub fn new(config: HeteroScaleConfig) -> Result<Self> {
        for (name, number, zero) in [
            ("target_tps", config.target_tps, false),
            ("pd_ratio", config.pd_ratio, false),
            ("out_threshold", config.out_threshold, true),
            ("in_threshold", config.in_threshold, true),
            ("tbt_slo", config.tbt_slo, false),
            ("moderate_step", config.moderate_step, true),
            ("severe_step", config.severe_step, true),
        ] {
            positive(&format!("autoscaling.heteroscale.{name}"), number, zero)?;
        }
        Ok(Self { config })
    }

    /// Desired prefill and decode instances for a decode throughput, before rounding.
    fn sizes(&self, decode_tps: f64) -> (f64, f64) {
        let all = decode_tps / self.config.target_tps;
        let prefill = all / (1.0 + 1.0 / self.config.pd_ratio);
        (prefill, prefill / self.config.pd_ratio)
    }
}

impl ScalingPolicy for HeteroScale {
    fn check(&self, fleets: &[FleetKind]) -> Result<()> {
        needs_pair("heteroscale", fleets)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = &self.config;
        let have = |kind| signals.fleet(kind).map_or(0, |fleet| fleet.provisioned());
        let (prefill, decode) = (have(FleetKind::Prefill), have(FleetKind::Decode));
        let tbt = signals.tbt.at(config.percentile);
        let breach = tbt / config.tbt_slo;
        let tier = [
            (config.severe_breach, config.severe_step, "panic"),
            (config.moderate_breach, config.moderate_step, "slow"),
        ];
        for (from, step, name) in tier {
            if step > 0.0 && breach > from {
                let grow = |count: u32| {
                    config
                        .breach_rounding
                        .apply(f64::from(count) * (1.0 + step))
                };
                let reason = format!(
                    "{name}: TBT p{} {:.1} ms is {breach:.2} x the SLO",
                    config.percentile,
                    tbt * 1e3
                );
                return Decision::pair(signals, grow(prefill), grow(decode), reason);
            }
        }
        let tps = if config.completed_tokens {
            signals.completed_output_tps
        } else {
            signals.decode_tps
        };
        let (more_prefill, more_decode) = self.sizes(tps);
        let ratio = (more_prefill + more_decode) / f64::from((prefill + decode).max(1));
        let reason = format!("{tps:.0} decode tokens/s need {ratio:.2} x the current instances");
        let out = ratio > 1.0 + config.out_threshold;
        let shrink = ratio < 1.0 - config.in_threshold;
        if shrink && breach > 1.0 && !config.shrink_in_breach {
            return Decision::hold(signals, format!("{reason}, but TBT is over the SLO"));
        }
        if out || shrink {
            let whole = |size| config.rounding.apply(size);
            return Decision::pair(signals, whole(more_prefill), whole(more_decode), reason);
        }
        Decision::hold(signals, reason)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::heteroscale::*;
    use crate::autoscale::testing::{all, signals};

    fn policy() -> HeteroScale {
        HeteroScale::new(HeteroScaleConfig {
            pd_ratio: 0.5,
            ..HeteroScaleConfig::default()
        })
        .unwrap_or_else(|_| unreachable!())
    }

    #[test]
    fn proportional_by_hand() {
        // 1,800 tokens/s at 100 per instance need 18 instances, which the ratio 1:2 splits into 6 and 12. The cluster has 4 + 8
        // = 12: 18 / 12 = 1.5 > 1.2.
        let mut seen = signals(4, 8);
        seen.decode_tps = 1800.0;
        assert_eq!(policy().decide(&seen).targets, [6, 12]);
        // 1,300 tokens/s: 13 / 12 = 1.08 is within the band. 900 tokens/s: 9 / 12 = 0.75 is below 0.8, so the sizes become 3
        // and 6.
        seen.decode_tps = 1300.0;
        assert_eq!(policy().decide(&seen).targets, [4, 8]);
        seen.decode_tps = 900.0;
        assert_eq!(policy().decide(&seen).targets, [3, 6]);
        // The same throughput with TBT above its objective: no instance is removed.
        seen.tbt = all(0.041);
        assert_eq!(policy().decide(&seen).targets, [4, 8]);
    }

    #[test]
    fn tiers_by_hand() {
        // 45 ms is 1.125 x 40 ms: 10 % growth gives 4.4 and 8.8, rounded up to 5 and 9. 50 ms is 1.25 x 40 ms: 20 % growth
        // gives 4.8 and 9.6, rounded up to 5 and 10.
        let mut seen = signals(4, 8);
        seen.tbt = all(0.045);
        assert_eq!(policy().decide(&seen).targets, [5, 9]);
        seen.tbt = all(0.050);
        assert_eq!(policy().decide(&seen).targets, [5, 10]);
        // The fork as shipped truncates: int(4.8) = 4 and int(9.6) = 9.
        let mut shipped = policy();
        shipped.config.breach_rounding = Rounding::Down;
        assert_eq!(shipped.decide(&seen).targets, [4, 9]);
    }

    #[test]
    fn starting_instances_count() {
        let mut seen = signals(4, 8);
        seen.decode_tps = 1800.0;
        seen.fleets[0].starting = 2;
        seen.fleets[1].starting = 4;
        // The desired size of 18 equals the number of ready and starting instances.
        assert_eq!(policy().decide(&seen).targets, [6, 12]);
        assert!(policy().decide(&seen).reason.contains("1.00 x"));
    }
}
