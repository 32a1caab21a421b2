//! llm-d's Workload Variant Autoscaler with its percentage rule (saturation analyzer V1). It compares the spare KV cache and
//! the free queue places of unsaturated instances with thresholds, and adds or removes one instance at a time
//! (llm-d-workload-variant-autoscaler, `docs/saturation-scaling-config.md`).

use serde::{Deserialize, Serialize};

use super::{Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext};
use crate::autoscale::signals::{Fleet, Signals};
use crate::base::check::positive;
use crate::base::error::Result;
use crate::base::registry::Card;

/// Configuration under WVA's names, with its defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WvaConfig {
    /// KV cache usage (0 to 1) from which an instance is saturated.
    pub kv_cache_threshold: f64,
    /// Number of waiting requests from which an instance is saturated.
    pub queue_length_threshold: f64,
    /// Add an instance if the mean spare KV cache of the unsaturated instances is less than this fraction.
    pub kv_spare_trigger: f64,
    /// Add an instance if their mean number of free queue places is less than this.
    pub queue_spare_trigger: f64,
}

impl Default for WvaConfig {
    fn default() -> Self {
        Self {
            kv_cache_threshold: 0.8,
            queue_length_threshold: 5.0,
            kv_spare_trigger: 0.1,
            queue_spare_trigger: 3.0,
        }
    }
}

impl PolicyConfig for WvaConfig {
    const CARD: Card = Card::new(
        "wva",
        "llm-d's saturation rule: spare KV cache and queue places of instances that are not saturated",
    );
    const COLOR: &'static str = "#999999";

    fn build(self, _: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Wva::new(self)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        let kv_cache_threshold = context.decode_share("kv_usage", headroom).min(0.95);
        Some(Self {
            kv_cache_threshold,
            kv_spare_trigger: kv_cache_threshold / 8.0,
            ..self
        })
    }
}

/// The scaling policy `wva`.
#[derive(Debug)]
pub struct Wva {
    config: WvaConfig,
}

/// Change of a fleet's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Out,
    In,
    Stay,
}

impl Wva {
    /// Creates the policy.
    ///
    /// # Errors
    /// A usage error for a parameter that is out of range.
    pub fn new(config: WvaConfig) -> Result<Self> {
        for (name, number) in [
            ("kv_cache_threshold", config.kv_cache_threshold),
            ("queue_length_threshold", config.queue_length_threshold),
            ("kv_spare_trigger", config.kv_spare_trigger),
            ("queue_spare_trigger", config.queue_spare_trigger),
        ] {
            positive(&format!("autoscaling.wva.{name}"), number, false)?;
        }
        Ok(Self { config })
    }

    fn step(&self, fleet: &Fleet) -> (Step, &'static str) {
        let config = &self.config;
        let healthy: Vec<(f64, f64)> = fleet
            .members
            .iter()
            .map(|member| (member.kv_usage, f64::from(member.waiting)))
            .filter(|(kv, queue)| {
                *kv < config.kv_cache_threshold && *queue < config.queue_length_threshold
            })
            .collect();
        if fleet.starting > 0 {
            return (Step::Stay, "one is starting");
        }
        if healthy.is_empty() {
            return (Step::Out, "all are saturated");
        }
        let count = healthy.len() as f64;
        let kv = healthy.iter().map(|(kv, _)| kv).sum::<f64>();
        let queue = healthy.iter().map(|(_, queue)| queue).sum::<f64>();
        let spare = |over: f64| {
            config.kv_cache_threshold - kv / over < config.kv_spare_trigger
                || config.queue_length_threshold - queue / over < config.queue_spare_trigger
        };
        if spare(count) {
            return (Step::Out, "little to spare");
        }
        // A removal needs two instances, so that the remaining one can take over the load.
        if healthy.len() < 2 || spare(count - 1.0) {
            return (Step::Stay, "one less would not do");
        }
        (Step::In, "one less would do")
    }
}

impl ScalingPolicy for Wva {
    fn pace(&self) -> Pace {
        Pace::every(30.0)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let mut seen = Vec::new();
        let decision = Decision::map(signals, "", |fleet| {
            let (step, why) = self.step(fleet);
            seen.push(format!("{}: {why}", fleet.kind.name()));
            match step {
                Step::Out => fleet.provisioned() + 1,
                Step::In => fleet.provisioned() - 1,
                Step::Stay => fleet.provisioned(),
            }
        });
        Decision {
            reason: seen.join(", "),
            ..decision
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::wva::*;
    use crate::autoscale::signals::FleetKind;
    use crate::autoscale::testing::fleet;

    fn step(members: &[(f64, u32)]) -> Step {
        let mut fleet = fleet(FleetKind::Decode, members.len() as u32);
        for (member, (kv, waiting)) in fleet.members.iter_mut().zip(members) {
            member.kv_usage = *kv;
            member.waiting = *waiting;
        }
        let wva = Wva::new(WvaConfig::default());
        wva.map_or(Step::Stay, |wva| wva.step(&fleet).0)
    }

    #[test]
    fn by_hand() {
        // Usage 0.75 and 0.65: the mean is 0.70, and spare 0.10 is not less than 0.10. With 0.76 and 0.66, spare is 0.09.
        assert_eq!(step(&[(0.75, 0), (0.65, 0)]), Step::Stay);
        assert_eq!(step(&[(0.76, 0), (0.66, 0)]), Step::Out);
        // Queue: the mean is 2.5 waiting requests, so 2.5 of 5 places are free, fewer than 3.
        assert_eq!(step(&[(0.1, 2), (0.1, 3)]), Step::Out);
        // A saturated instance does not count in the mean: without the one at 0.9, the one at 0.2 has enough spare capacity,
        // but it must stay.
        assert_eq!(step(&[(0.9, 0), (0.2, 0)]), Step::Stay);
        assert_eq!(step(&[(0.9, 0), (0.2, 9)]), Step::Out);
        // Usage 0.3 on each of two instances would be 0.6 on one: 0.2 spare.
        assert_eq!(step(&[(0.3, 0), (0.3, 0)]), Step::In);
        // Usage 0.4 on each would be 0.8: nothing spare.
        assert_eq!(step(&[(0.4, 0), (0.4, 0)]), Step::Stay);
    }
}
