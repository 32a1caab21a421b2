//! Sizes each pool by its own rate, as the Splitwise fork's `IndependentTPSPolicy` documents it; the P/D ratio is not fixed.

use serde::{Deserialize, Serialize};

use super::{
    Decision, PolicyConfig, PolicyContext, Rounding, ScalingPolicy, TuningContext, needs_pair,
};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Rates by which the prefill fleet can be sized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PrefillRate {
    /// Requests that arrive per second, as in the fork.
    Requests,
    /// Prompt tokens that arrive per second.
    ArrivedTokens,
    /// Prompt tokens that arrive per second and are not in the prefix cache.
    CacheMissedTokens,
}

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndependentTpsConfig {
    /// Rate by which the prefill fleet is sized.
    pub prefill_rate: PrefillRate,
    /// Target rate per prefill instance, per second.
    pub prefill_target: f64,
    /// Target rate per decode instance, in output tokens per second.
    pub decode_target: f64,
    /// Count output tokens when their request completes, as the fork does, instead of when they are generated.
    pub completed_tokens: bool,
    /// Scale out when the desired size of either fleet exceeds the current one by more than this fraction.
    pub out_threshold: f64,
    /// Scale in when both fleets' desired sizes fall short of the current ones by more than this fraction.
    pub in_threshold: f64,
    /// Rounding of fractional sizes.
    pub rounding: Rounding,
}

impl Default for IndependentTpsConfig {
    fn default() -> Self {
        Self {
            prefill_rate: PrefillRate::Requests,
            prefill_target: 30.0,
            decode_target: 100.0,
            completed_tokens: false,
            out_threshold: 0.1,
            in_threshold: 0.1,
            rounding: Rounding::Nearest,
        }
    }
}

impl PolicyConfig for IndependentTpsConfig {
    const CARD: Card = Card::new(
        "independent_tps",
        "each fleet by its own tokens or requests per second",
    );
    const COLOR: &'static str = "#009E73";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(IndependentTps::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        Some(Self {
            prefill_rate: PrefillRate::CacheMissedTokens,
            prefill_target: context.share("cache_missed_tps", headroom)
                / context.prefill_instances(),
            decode_target: context.share("decode_tps", headroom) / context.decode_instances(),
            rounding: Rounding::Up,
            ..self
        })
    }
}

/// The scaling policy `independent_tps`.
#[derive(Debug)]
pub struct IndependentTps {
    config: IndependentTpsConfig,
}

impl IndependentTps {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
    pub fn new(config: IndependentTpsConfig) -> Result<Self> {
        for (name, number, zero) in [
            ("prefill_target", config.prefill_target, false),
            ("decode_target", config.decode_target, false),
            ("out_threshold", config.out_threshold, true),
            ("in_threshold", config.in_threshold, true),
        ] {
            positive(&format!("autoscaling.independent_tps.{name}"), number, zero)?;
        }
        Ok(Self { config })
    }
}

impl ScalingPolicy for IndependentTps {
    fn check(&self, fleets: &[FleetKind]) -> Result<()> {
        needs_pair("independent_tps", fleets)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let config = &self.config;
        let prompts = match config.prefill_rate {
            PrefillRate::Requests => signals.arrival_rate,
            PrefillRate::ArrivedTokens => signals.arrived_prompt_tps,
            PrefillRate::CacheMissedTokens => signals.cache_missed_tps,
        };
        let outputs = if config.completed_tokens {
            signals.completed_output_tps
        } else {
            signals.decode_tps
        };
        let (prefill, decode) = (
            prompts / config.prefill_target,
            outputs / config.decode_target,
        );
        let over = |kind, wanted: f64| {
            let have = signals.fleet(kind).map_or(1, |fleet| fleet.provisioned());
            wanted / f64::from(have.max(1))
        };
        let (p, d) = (
            over(FleetKind::Prefill, prefill),
            over(FleetKind::Decode, decode),
        );
        let reason = format!("wanted over present: prefill {p:.2}, decode {d:.2}");
        if p.max(d) > 1.0 + config.out_threshold || p.max(d) < 1.0 - config.in_threshold {
            let whole = |size| config.rounding.apply(size);
            return Decision::pair(signals, whole(prefill), whole(decode), reason);
        }
        Decision::hold(signals, reason)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::independent_tps::*;
    use crate::autoscale::testing::signals;

    #[test]
    fn by_hand() {
        // 75 requests/s at 30 per instance: 2.5, rounded to the even 2. 900 tokens/s at 100 per instance: 9. The cluster has 2
        // and 6: decode's ratio 1.5 > 1.1, so both sizes are set.
        let mut seen = signals(2, 6);
        seen.arrival_rate = 75.0;
        seen.decode_tps = 900.0;
        let mut policy =
            IndependentTps::new(IndependentTpsConfig::default()).unwrap_or_else(|_| unreachable!());
        assert_eq!(policy.decide(&seen).targets, [2, 9]);
        // Decode is far too large and prefill is right. Scale-out needs one fleet above its band and scale-in needs both below:
        // nothing changes.
        seen.arrival_rate = 60.0;
        seen.decode_tps = 100.0;
        assert_eq!(policy.decide(&seen).targets, [2, 6]);
        // Cached prompt tokens need no prefill: of 60,000 tokens/s that arrive, 15,000 must be computed, at 5,000 per instance:
        // 3.
        seen.arrived_prompt_tps = 60_000.0;
        seen.cache_missed_tps = 15_000.0;
        policy.config.prefill_rate = PrefillRate::CacheMissedTokens;
        policy.config.prefill_target = 5_000.0;
        seen.decode_tps = 600.0;
        assert_eq!(policy.decide(&seen).targets, [3, 6]);
    }
}
