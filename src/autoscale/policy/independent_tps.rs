//! Each pool by its own rate, as the Splitwise fork's `IndependentTPSPolicy` documents it: the P/D ratio goes where it will.

use serde::{Deserialize, Serialize};

use super::{Decision, Rounding, ScalingPolicy, needs_pair};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;

/// What prefill instances are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrefillRate {
    /// Requests that come, as the fork counts them.
    Requests,
    /// Prompt tokens that come.
    ArrivedTokens,
    /// Prompt tokens that no prefix cache had.
    CacheMissedTokens,
}

/// Parameters, with the documented values as defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndependentTpsConfig {
    /// What prefill instances are counted by.
    pub prefill_rate: PrefillRate,
    /// How much of it per second one prefill instance is to carry.
    pub prefill_target: f64,
    /// Output tokens per second that one decode instance is to carry.
    pub decode_target: f64,
    /// Whether decode goes by tokens of requests that ended, as the fork counts them, and not by tokens generated.
    pub completed_tokens: bool,
    /// How far above 1 wanted over present must be in one pool to scale out.
    pub out_threshold: f64,
    /// How far below 1 it must be in both to scale in.
    pub in_threshold: f64,
    /// How sizes become whole.
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

/// The policy.
#[derive(Debug)]
pub struct IndependentTps {
    config: IndependentTpsConfig,
}

impl IndependentTps {
    /// With parameters.
    ///
    /// # Errors
    /// Parameters that cannot be.
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
        // 75 requests/s at 30: 2.5, to the even 2; 900 tokens/s at 100: 9. Present 2 and 6: decode 1.5 > 1.1, so both are set.
        let mut seen = signals(2, 6);
        seen.arrival_rate = 75.0;
        seen.decode_tps = 900.0;
        let mut policy =
            IndependentTps::new(IndependentTpsConfig::default()).unwrap_or_else(|_| unreachable!());
        assert_eq!(policy.decide(&seen).targets, [2, 9]);
        // Decode is far too large, prefill just right: or for out, and for in. Nothing.
        seen.arrival_rate = 60.0;
        seen.decode_tps = 100.0;
        assert_eq!(policy.decide(&seen).targets, [2, 6]);
        // Cached prompts ask for no prefill: 60,000 tokens/s came, 15,000 of them to be computed, at 5,000 each: 3.
        seen.arrived_prompt_tps = 60_000.0;
        seen.cache_missed_tps = 15_000.0;
        policy.config.prefill_rate = PrefillRate::CacheMissedTokens;
        policy.config.prefill_target = 5_000.0;
        seen.decode_tps = 600.0;
        assert_eq!(policy.decide(&seen).targets, [3, 6]);
    }
}
