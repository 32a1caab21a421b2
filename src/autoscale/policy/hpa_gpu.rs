//! HPA by GPU utilisation of both pools, as the Splitwise fork's `HPAGPUPolicy` documents it. Scale-out needs one pool above
//! its target; scale-in needs both below theirs. Each pool then gets its own desired size.

use serde::{Deserialize, Serialize};

use super::{
    Decision, PolicyConfig, PolicyContext, Rounding, ScalingPolicy, TuningContext, needs_pair,
};
use crate::autoscale::signals::{Fleet, FleetKind, Signals};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Definitions of utilisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Utilisation {
    /// Fraction of time in which an instance computes, as reported by `DCGM_FI_DEV_GPU_UTIL`.
    Busy,
    /// Fraction of GPU memory in use, including weights, as in the fork.
    Memory,
}

/// Configuration; the defaults are the documented values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HpaGpuConfig {
    /// Target utilisation of prefill instances.
    pub prefill_target: f64,
    /// Target utilisation of decode instances.
    pub decode_target: f64,
    /// Scale out when the desired number of instances exceeds the current one by more than this fraction.
    pub out_threshold: f64,
    /// Scale in when both fleets' desired sizes fall short of the current ones by more than this fraction.
    pub in_threshold: f64,
    /// The utilisation that is compared with the targets.
    pub utilisation: Utilisation,
    /// Fraction of GPU memory that weights occupy, used with `memory`; 0.479 for BLOOM-176B on eight 80 GB GPUs.
    pub memory_floor: f64,
    /// Rounding of fractional sizes: up as documented, nearest as in the fork's code.
    pub rounding: Rounding,
}

impl Default for HpaGpuConfig {
    fn default() -> Self {
        Self {
            prefill_target: 0.7,
            decode_target: 0.7,
            out_threshold: 0.1,
            in_threshold: 0.1,
            utilisation: Utilisation::Busy,
            memory_floor: 0.479,
            rounding: Rounding::Up,
        }
    }
}

impl PolicyConfig for HpaGpuConfig {
    const CARD: Card = Card::new("hpa_gpu", "GPU utilisation of both fleets against a target");
    const COLOR: &'static str = "#D55E00";
    const NEEDS_COOLDOWNS: bool = true;

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(HpaGpu::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        Some(Self {
            prefill_target: context.share("prefill_busy", headroom),
            decode_target: context.decode_share("busy", headroom),
            ..self
        })
    }
}

/// The scaling policy `hpa_gpu`.
#[derive(Debug)]
pub struct HpaGpu {
    config: HpaGpuConfig,
}

impl HpaGpu {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
    pub fn new(config: HpaGpuConfig) -> Result<Self> {
        for (name, number, zero) in [
            ("prefill_target", config.prefill_target, false),
            ("decode_target", config.decode_target, false),
            ("out_threshold", config.out_threshold, true),
            ("in_threshold", config.in_threshold, true),
            ("memory_floor", config.memory_floor, true),
        ] {
            positive(&format!("autoscaling.hpa_gpu.{name}"), number, zero)?;
        }
        Ok(Self { config })
    }

    /// Returns desired size divided by current size, and the utilisation.
    fn ratio(&self, fleet: &Fleet) -> (f64, f64) {
        let config = &self.config;
        let used = match config.utilisation {
            Utilisation::Busy => fleet.busy,
            Utilisation::Memory => {
                config.memory_floor + (1.0 - config.memory_floor) * fleet.kv_usage
            }
        };
        let target = match fleet.kind {
            FleetKind::Prefill => config.prefill_target,
            _ => config.decode_target,
        };
        // Starting instances are idle now and take their share of the load once they are ready.
        let share = f64::from(fleet.ready) / f64::from(fleet.provisioned().max(1));
        (used * share / target, used)
    }
}

impl ScalingPolicy for HpaGpu {
    fn check(&self, fleets: &[FleetKind]) -> Result<()> {
        needs_pair("hpa_gpu", fleets)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let of = |kind| {
            signals
                .fleet(kind)
                .map_or((1.0, 0.0), |fleet| self.ratio(fleet))
        };
        let ((prefill, p_used), (decode, d_used)) = (of(FleetKind::Prefill), of(FleetKind::Decode));
        let reason = format!(
            "utilisation: prefill {:.0} %, decode {:.0} %",
            p_used * 100.0,
            d_used * 100.0
        );
        let config = &self.config;
        let out = prefill.max(decode) > 1.0 + config.out_threshold;
        let shrink = prefill.max(decode) < 1.0 - config.in_threshold;
        if !out && !shrink {
            return Decision::hold(signals, reason);
        }
        Decision::map(signals, reason, |fleet| {
            if !matches!(fleet.kind, FleetKind::Prefill | FleetKind::Decode) {
                return fleet.provisioned();
            }
            let (ratio, _) = self.ratio(fleet);
            config
                .rounding
                .apply(f64::from(fleet.provisioned()) * ratio)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::hpa_gpu::*;
    use crate::autoscale::testing::signals;

    fn decide(config: HpaGpuConfig, signals: &Signals) -> Vec<u32> {
        let policy = HpaGpu::new(config);
        policy.map_or(Vec::new(), |mut policy| policy.decide(signals).targets)
    }

    #[test]
    fn either_out_both_in() {
        let mut seen = signals(10, 20);
        // Prefill at 0.84 / 0.7 = 1.2 grows to 12; in the same decision, decode at 0.49 / 0.7 = 0.7 shrinks to 14.
        seen.fleets[0].busy = 0.84;
        seen.fleets[1].busy = 0.49;
        assert_eq!(decide(HpaGpuConfig::default(), &seen), [12, 14]);
        // Idle prefill instances alone do not cause a scale-in: busy decode instances keep both pools at their size.
        seen.fleets[0].busy = 0.1;
        seen.fleets[1].busy = 0.7;
        assert_eq!(decide(HpaGpuConfig::default(), &seen), [10, 20]);
        // Both pools are below target: 0.1 / 0.7 x 10 = 1.43, rounded up to 2; 0.6 / 0.7 x 20 = 17.1, rounded up to 18.
        seen.fleets[1].busy = 0.6;
        assert_eq!(decide(HpaGpuConfig::default(), &seen), [2, 18]);
        let shipped = HpaGpuConfig {
            rounding: Rounding::Nearest,
            ..HpaGpuConfig::default()
        };
        assert_eq!(decide(shipped, &seen), [1, 17]);
    }

    #[test]
    fn memory_has_a_floor() {
        // An idle pool reports 0.479 of 0.7 = 0.684, so 20 idle instances become 14. They report the same value, and the size
        // stays at 14.
        let seen = signals(20, 20);
        let memory = HpaGpuConfig {
            utilisation: Utilisation::Memory,
            ..HpaGpuConfig::default()
        };
        assert_eq!(decide(memory, &seen), [14, 14]);
    }
}
