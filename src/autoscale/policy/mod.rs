//! Who decides how many instances there should be: policies, one a file, and their registry.

mod heteroscale;
mod hpa_gpu;
mod hpa_v2;
mod independent_tps;
mod kpa;
mod latency_ttft;
mod periodic;
mod pure_latency;
mod queue;
mod rounding;
mod script;
mod sla;
mod utilization;
mod wva;

use super::config::AutoscalingSection;
use super::planner::profile::Profile;
use super::signals::{Fleet, FleetKind, Signals};
use crate::base::error::{Error, Result};

pub use heteroscale::{HeteroScale, HeteroScaleConfig};
pub use hpa_gpu::{HpaGpu, HpaGpuConfig};
pub use hpa_v2::{HpaV2, HpaV2Config, Metric, TargetType};
pub use independent_tps::{IndependentTps, IndependentTpsConfig, PrefillRate};
pub use kpa::{Kpa, KpaConfig};
pub use latency_ttft::{LatencyTtft, LatencyTtftConfig};
pub use periodic::{Hours, Periodic, PeriodicConfig};
pub use pure_latency::{PureLatency, PureLatencyConfig};
pub use queue::{Queue, QueueConfig};
pub use rounding::Rounding;
pub use script::{Script, ScriptConfig};
pub use sla::Sla;
pub use utilization::{Utilization, UtilizationConfig};
pub use wva::{Wva, WvaConfig};

/// What a policy wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Instances that each fleet of the signals should have, in their order; those that start count.
    pub targets: Vec<u32>,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// Everything stays.
    pub fn hold(signals: &Signals, reason: impl Into<String>) -> Self {
        Self::map(signals, reason, Fleet::provisioned)
    }

    /// Each fleet by a rule.
    pub fn map(
        signals: &Signals,
        reason: impl Into<String>,
        target: impl FnMut(&Fleet) -> u32,
    ) -> Self {
        Self {
            targets: signals.fleets.iter().map(target).collect(),
            reason: reason.into(),
        }
    }

    /// Prefill and decode to numbers, others stay.
    pub fn pair(signals: &Signals, prefill: u32, decode: u32, reason: impl Into<String>) -> Self {
        Self::map(signals, reason, |fleet| match fleet.kind {
            FleetKind::Prefill => prefill,
            FleetKind::Decode => decode,
            _ => fleet.provisioned(),
        })
    }
}

/// When it looks and how soon it may act again, where the configuration does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Seconds between two looks.
    pub interval: f64,
    /// Seconds after a scale-out in which there is no other.
    pub out_cooldown: f64,
    /// Seconds after any change in which there is no scale-in.
    pub in_cooldown: f64,
}

impl Pace {
    /// As the documents of the baselines have it: 180 and 600 s.
    pub const DOCUMENTED: Self = Self {
        interval: 10.0,
        out_cooldown: 180.0,
        in_cooldown: 600.0,
    };

    /// A policy that paces itself.
    pub const fn every(interval: f64) -> Self {
        Self {
            interval,
            out_cooldown: 0.0,
            in_cooldown: 0.0,
        }
    }
}

/// Decides how many instances there should be.
pub trait ScalingPolicy: Send + std::fmt::Debug {
    /// Its own pace.
    fn pace(&self) -> Pace {
        Pace::DOCUMENTED
    }

    /// Which fleets it needs: an error says what is missing.
    ///
    /// # Errors
    /// [`Error::Usage`] for a cluster that it cannot scale.
    fn check(&self, _fleets: &[FleetKind]) -> Result<()> {
        Ok(())
    }

    /// What should be, given what is seen. Bounds, cooldowns and budgets are applied afterwards.
    fn decide(&mut self, signals: &Signals) -> Decision;
}

/// For [`ScalingPolicy::check`] of policies that scale prompts and outputs by each other.
pub(super) fn needs_pair(name: &str, fleets: &[FleetKind]) -> Result<()> {
    if fleets.contains(&FleetKind::Prefill) && fleets.contains(&FleetKind::Decode) {
        return Ok(());
    }
    Err(Error::usage(
        format!(
            "policy `{name}` scales prefill and decode instances, and the cluster has not both"
        ),
        "give [[pool]]s with role prefill and decode, or take utilization, queue, hpa_v2, kpa or wva",
    ))
}

/// How a policy is made of its configuration.
type Build = fn(&AutoscalingSection, &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>>;

/// What a policy is told of the cluster before it begins.
#[derive(Debug)]
pub struct PolicyContext<'a> {
    /// GPUs of one instance, by task.
    pub gpus: &'a [(FleetKind, u32)],
    /// The profile of the cluster's own instances, where it was measured.
    pub profile: Option<&'a Profile>,
}

impl PolicyContext<'_> {
    /// GPUs of one instance with a task.
    pub fn gpus(&self, kind: FleetKind) -> u32 {
        let found = self.gpus.iter().find(|(known, _)| *known == kind);
        found.map_or(1, |(_, gpus)| *gpus)
    }
}

/// A policy's name and what it does.
#[derive(Debug)]
pub struct Named {
    /// As `--policy` and `autoscaling.policy` have it.
    pub name: &'static str,
    /// In few words.
    pub summary: &'static str,
    build: Build,
}

fn boxed<P: ScalingPolicy + 'static>(policy: P) -> Result<Box<dyn ScalingPolicy>> {
    Ok(Box::new(policy))
}

/// Every policy, in the order of tables and pictures.
pub const POLICIES: &[Named] = &[
    Named {
        name: "no_autoscaling",
        summary: "as many as at the beginning",
        build: |_, _| boxed(Fixed),
    },
    Named {
        name: "heteroscale",
        summary: "decode tokens per second give the size, a fixed P/D ratio both pools; latency feedback",
        build: |section, _| boxed(HeteroScale::new(section.heteroscale.clone())?),
    },
    Named {
        name: "hpa_gpu",
        summary: "GPU utilisation of both pools against a target",
        build: |section, _| boxed(HpaGpu::new(section.hpa_gpu.clone())?),
    },
    Named {
        name: "independent_tps",
        summary: "each pool by its own tokens or requests per second",
        build: |section, _| boxed(IndependentTps::new(section.independent_tps.clone())?),
    },
    Named {
        name: "pure_latency",
        summary: "time between tokens alone: two more of both when high, one less when low",
        build: |section, _| boxed(PureLatency::new(section.pure_latency.clone())?),
    },
    Named {
        name: "periodic",
        summary: "a timetable of the day",
        build: |section, _| boxed(Periodic::new(section.periodic.clone())?),
    },
    Named {
        name: "latency_ttft",
        summary: "prefill by TTFT and decode by TBT, in tiers",
        build: |section, _| boxed(LatencyTtft::new(section.latency_ttft.clone())?),
    },
    Named {
        name: "utilization",
        summary: "one more where KV memory is nearly full, one less where it is nearly empty",
        build: |section, _| boxed(Utilization::new(section.utilization.clone())?),
    },
    Named {
        name: "queue",
        summary: "by tokens that wait",
        build: |section, _| boxed(Queue::new(section.queue.clone())?),
    },
    Named {
        name: "sla",
        summary: "the SLA planner (Dynamo, sageLLM): foretells load, asks a profile, corrects it by what is seen",
        build: |section, around| boxed(Sla::new(section.sla.clone(), around)?),
    },
    Named {
        name: "hpa_v2",
        summary: "Kubernetes' horizontal pod autoscaler: any signals, tolerance, stabilisation windows",
        build: |section, _| boxed(HpaV2::new(section.hpa_v2.clone())?),
    },
    Named {
        name: "kpa",
        summary: "Knative's autoscaler: requests per instance over a stable and a panic window",
        build: |section, _| boxed(Kpa::new(section.kpa.clone())?),
    },
    Named {
        name: "wva",
        summary: "llm-d's saturation rule: spare KV and queue of instances that are not saturated",
        build: |section, _| boxed(Wva::new(section.wva.clone())?),
    },
    Named {
        name: "script",
        summary: "your own: `fn decide(signals)` in a Rhai script",
        build: |section, _| boxed(Script::new(&section.script)?),
    },
];

/// The policy that a configuration names.
///
/// # Errors
/// [`Error::Usage`] for a name that is not known, or parameters that cannot be.
pub fn build(
    section: &AutoscalingSection,
    surroundings: &PolicyContext<'_>,
) -> Result<Box<dyn ScalingPolicy>> {
    let wanted = section.policy.replace('-', "_");
    match POLICIES.iter().find(|policy| policy.name == wanted) {
        Some(policy) => (policy.build)(section, surroundings),
        None => {
            let names: Vec<&str> = POLICIES.iter().map(|policy| policy.name).collect();
            Err(Error::unknown_name("policy", &section.policy, &names))
        }
    }
}

/// Nothing changes.
#[derive(Debug)]
struct Fixed;

impl ScalingPolicy for Fixed {
    fn decide(&mut self, signals: &Signals) -> Decision {
        Decision::hold(signals, "fixed")
    }
}
