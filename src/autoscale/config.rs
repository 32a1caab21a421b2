//! `[autoscaling]` of a simulation's configuration.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::planner::PlannerConfig;
use super::planner::profile::Profile;
use super::policy::{
    HeteroScaleConfig, HpaGpuConfig, HpaV2Config, IndependentTpsConfig, KpaConfig,
    LatencyTtftConfig, PeriodicConfig, PureLatencyConfig, QueueConfig, ScriptConfig,
    UtilizationConfig, WvaConfig,
};

/// Who decides a cluster's size, how often, and within what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoscalingSection {
    /// A policy's name.
    pub policy: String,
    /// Name in results' paths, where not the policy's.
    pub label: Option<String>,
    /// Seconds between two looks; the policy's own, if not given.
    pub interval_seconds: Option<f64>,
    /// Seconds that rates and latencies are over; the interval, if not given.
    pub window_seconds: Option<f64>,
    /// Seconds after a scale-out in which there is no other; the policy's own, if not given.
    pub scale_out_cooldown_seconds: Option<f64>,
    /// Seconds after any change in which there is no scale-in; the policy's own, if not given.
    pub scale_in_cooldown_seconds: Option<f64>,
    /// Part of a change that is made at once: 0.5 goes half way each time, and by at least one instance.
    pub damping: f64,
    /// Most instances of a fleet that are added at one look.
    pub max_step_out: Option<u32>,
    /// Most instances of a fleet that are taken away at one look.
    pub max_step_in: Option<u32>,
    /// GPUs that all instances together may have, those that start or drain included.
    pub gpu_budget: Option<u32>,
    /// Instances that have started wait outside of routing while the other role's instances, which the P/D ratio asks for,
    /// are still starting.
    pub ready_ratio_guard: bool,
    /// Instances to be taken away are put out of routing first, and come back if latency gets worse.
    pub soft_scale_in: SoftScaleIn,
    /// Bounds of prefill instances.
    pub prefill: FleetSection,
    /// Bounds of decode instances.
    pub decode: FleetSection,
    /// Bounds of instances that serve whole requests.
    pub aggregated: FleetSection,
    /// Parameters of `heteroscale`.
    pub heteroscale: HeteroScaleConfig,
    /// Parameters of `hpa_gpu`.
    pub hpa_gpu: HpaGpuConfig,
    /// Parameters of `independent_tps`.
    pub independent_tps: IndependentTpsConfig,
    /// Parameters of `pure_latency`.
    pub pure_latency: PureLatencyConfig,
    /// Parameters of `periodic`.
    pub periodic: PeriodicConfig,
    /// Parameters of `latency_ttft`.
    pub latency_ttft: LatencyTtftConfig,
    /// Parameters of `utilization`.
    pub utilization: UtilizationConfig,
    /// Parameters of `queue`.
    pub queue: QueueConfig,
    /// The planner's configuration, of `sla`.
    pub sla: PlannerConfig,
    /// Parameters of `hpa_v2`.
    pub hpa_v2: HpaV2Config,
    /// Parameters of `kpa`.
    pub kpa: KpaConfig,
    /// Parameters of `wva`.
    pub wva: WvaConfig,
    /// The script of `script`.
    pub script: ScriptConfig,
    /// The profile of the cluster's own instances, measured for a policy that needs one and was given none.
    #[serde(skip)]
    pub measured: Option<Arc<Profile>>,
}

impl Default for AutoscalingSection {
    fn default() -> Self {
        Self {
            policy: "no_autoscaling".into(),
            label: None,
            interval_seconds: None,
            window_seconds: None,
            scale_out_cooldown_seconds: None,
            scale_in_cooldown_seconds: None,
            damping: 1.0,
            max_step_out: None,
            max_step_in: None,
            gpu_budget: None,
            ready_ratio_guard: false,
            soft_scale_in: SoftScaleIn::default(),
            prefill: FleetSection::default(),
            decode: FleetSection::default(),
            aggregated: FleetSection::default(),
            heteroscale: HeteroScaleConfig::default(),
            hpa_gpu: HpaGpuConfig::default(),
            independent_tps: IndependentTpsConfig::default(),
            pure_latency: PureLatencyConfig::default(),
            periodic: PeriodicConfig::default(),
            latency_ttft: LatencyTtftConfig::default(),
            utilization: UtilizationConfig::default(),
            queue: QueueConfig::default(),
            sla: PlannerConfig::default(),
            hpa_v2: HpaV2Config::default(),
            kpa: KpaConfig::default(),
            wva: WvaConfig::default(),
            script: ScriptConfig::default(),
            measured: None,
        }
    }
}

impl AutoscalingSection {
    /// Whether anything is to be looked at: with `no_autoscaling` nothing is, unless asked for.
    pub fn is_on(&self) -> bool {
        self.policy.replace('-', "_") != "no_autoscaling" || self.interval_seconds.is_some()
    }

    /// Whether the policy plans by a profile of the instances and names none.
    pub fn lacks_profile(&self) -> bool {
        self.policy == "sla" && self.sla.profile_data_dir.is_none()
    }

    /// Name in results' paths.
    pub fn label(&self) -> String {
        self.label
            .clone()
            .unwrap_or_else(|| self.policy.replace('-', "_"))
    }
}

/// How many instances of a role there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetSection {
    /// Fewest instances; at least 1, as a fleet without instances reports nothing that it could be scaled out by.
    pub min: u32,
    /// Most instances.
    pub max: u32,
}

impl Default for FleetSection {
    fn default() -> Self {
        Self { min: 1, max: 100 }
    }
}

/// Scale-in in two steps (HeteroScale, section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoftScaleIn {
    /// Seconds for which an instance stays out of routing before it drains; 0 drains at once.
    pub seconds: f64,
    /// Time to first token at the 90th percentile over which it comes back; the SLO, if not given.
    pub ttft_seconds: Option<f64>,
    /// Time between tokens likewise.
    pub tbt_seconds: Option<f64>,
}
