//! Scaling policies, which decide how many instances a cluster should have. One policy is one file with its configuration, its
//! rule and its card; the list at the end of this file registers it.

pub mod heteroscale;
pub mod hpa_gpu;
pub mod hpa_v2;
pub mod independent_tps;
pub mod kpa;
pub mod latency_ttft;
pub mod no_autoscaling;
pub mod periodic;
pub mod pure_latency;
pub mod queue;
mod rounding;
pub mod script;
pub mod sla;
mod tuning;
pub mod utilization;
pub mod wva;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::planner::profile::Profile;
use super::signals::{Fleet, FleetKind, Signals};
use crate::base::error::{Error, Result};
use crate::base::parameters::Parameters;
use crate::base::registry::{Card, Named, Registry};
use crate::sim::Objectives;

pub use rounding::Rounding;
pub use tuning::TuningContext;

/// The sizes that a policy requests, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Desired instances of each fleet, in the order of the signals; starting instances count.
    pub targets: Vec<u32>,
    /// The reason, as written to the scaling log.
    pub reason: String,
}

impl Decision {
    /// Keeps the size of every fleet.
    pub fn hold(signals: &Signals, reason: impl Into<String>) -> Self {
        Self::map(signals, reason, Fleet::provisioned)
    }

    /// Applies a rule to each fleet.
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

    /// Sets the prefill and decode fleets; other fleets keep their size.
    pub fn pair(signals: &Signals, prefill: u32, decode: u32, reason: impl Into<String>) -> Self {
        Self::map(signals, reason, |fleet| match fleet.kind {
            FleetKind::Prefill => prefill,
            FleetKind::Decode => decode,
            _ => fleet.provisioned(),
        })
    }
}

/// Default control interval and cooldowns of a policy, used where the configuration sets none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Control interval in seconds.
    pub interval: f64,
    /// Seconds after a scale-out during which no further scale-out happens.
    pub out_cooldown: f64,
    /// Seconds after any change during which no scale-in happens.
    pub in_cooldown: f64,
}

impl Pace {
    /// The documented defaults of the baselines: cooldowns of 180 s and 600 s.
    pub const DOCUMENTED: Self = Self {
        interval: 10.0,
        out_cooldown: 180.0,
        in_cooldown: 600.0,
    };

    /// Defaults of a policy without cooldowns.
    pub const fn every(interval: f64) -> Self {
        Self {
            interval,
            out_cooldown: 0.0,
            in_cooldown: 0.0,
        }
    }
}

/// A policy that decides how many instances each fleet should have. It is built anew for each run, so it may keep state.
pub trait ScalingPolicy: Send + std::fmt::Debug {
    /// The policy's default control interval and cooldowns.
    fn pace(&self) -> Pace {
        Pace::DOCUMENTED
    }

    /// Checks that the cluster has the fleets that the policy scales.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the missing fleet.
    fn check(&self, _fleets: &[FleetKind]) -> Result<()> {
        Ok(())
    }

    /// Returns the desired instances for the signals of one control interval. The caller applies bounds, cooldowns and budgets
    /// afterwards.
    fn decide(&mut self, signals: &Signals) -> Decision;

    /// The problem because of which the last decision must not be used and the run ends, e.g. of a script that fails.
    fn fault(&mut self) -> Option<Error> {
        None
    }
}

/// The [`ScalingPolicy::check`] of policies that scale the prefill and the decode fleet together.
pub(super) fn needs_pair(name: &str, fleets: &[FleetKind]) -> Result<()> {
    if fleets.contains(&FleetKind::Prefill) && fleets.contains(&FleetKind::Decode) {
        return Ok(());
    }
    Err(Error::usage(
        format!(
            "policy `{name}` scales prefill and decode instances, but the cluster lacks one of these roles"
        ),
        "add [[pool]]s with roles prefill and decode, or use utilization, queue, hpa_v2, kpa or wva",
    ))
}

/// The properties of the cluster that are available to a policy before the run.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PolicyContext<'a> {
    /// GPUs of one instance, by fleet.
    pub gpus: &'a [(FleetKind, u32)],
    /// The measured performance profile of the cluster's own instances, if there is one.
    pub profile: Option<&'a Profile>,
}

impl PolicyContext<'_> {
    /// GPUs of one instance of a fleet; 1 if unknown.
    pub fn gpus(&self, kind: FleetKind) -> u32 {
        let found = self.gpus.iter().find(|(known, _)| *known == kind);
        found.map_or(1, |(_, gpus)| *gpus)
    }
}

/// Configuration of a policy: its card, and how the policy is built and tuned.
pub trait PolicyConfig: Serialize + DeserializeOwned + 'static {
    /// Name and summary.
    const CARD: Card;
    /// Colour in charts, as `#rrggbb`; unique among policies.
    const COLOR: &'static str;
    /// Whether the policy needs cooldowns from the configuration to avoid oscillation; the others limit their own speed.
    const NEEDS_COOLDOWNS: bool = false;

    /// Builds the policy from this configuration.
    ///
    /// # Errors
    /// [`Error::Usage`] for a parameter that is out of range.
    fn build(self, context: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>>;

    /// Returns this configuration with parameters chosen so that an instance runs at the fraction `headroom` of its capacity;
    /// `None` for a policy without tunable parameters.
    fn tune(self, _context: &TuningContext<'_>, _headroom: f64) -> Option<Self> {
        None
    }
}

/// A registered policy, with the type of its configuration erased.
#[derive(Debug, Clone, Copy)]
pub struct PolicyCard {
    card: Card,
    /// Colour in charts, as `#rrggbb`.
    pub color: &'static str,
    /// Whether the policy needs cooldowns from the configuration to avoid oscillation; the others limit their own speed.
    pub needs_cooldowns: bool,
    complete: fn(&Parameters) -> Result<Parameters, String>,
    build: fn(&Parameters, &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>>,
    tune: fn(&Parameters, &TuningContext<'_>, f64) -> Result<Option<Parameters>>,
}

impl Named for PolicyCard {
    fn card(&self) -> &Card {
        &self.card
    }
}

/// Reads a configuration from its table; errors name the section.
fn read<C: PolicyConfig>(parameters: &Parameters) -> Result<C> {
    parameters.read().map_err(|message| {
        Error::usage(
            format!("autoscaling.{}: {message}", C::CARD.name),
            "docs/autoscaling.md describes the keys",
        )
    })
}

impl PolicyCard {
    /// Builds the policy of a configuration.
    const fn of<C: PolicyConfig>() -> Self {
        Self {
            card: C::CARD,
            color: C::COLOR,
            needs_cooldowns: C::NEEDS_COOLDOWNS,
            complete: Parameters::complete::<C>,
            build: |parameters, context| read::<C>(parameters)?.build(context),
            tune: |parameters, context, headroom| {
                let tuned = read::<C>(parameters)?.tune(context, headroom);
                tuned.as_ref().map(Parameters::of).transpose()
            },
        }
    }

    /// Returns the policy's table with every key.
    ///
    /// # Errors
    /// A sentence that names the unknown key or the invalid value.
    pub fn complete(&self, parameters: &Parameters) -> Result<Parameters, String> {
        (self.complete)(parameters)
    }

    /// Builds the policy with these parameters; missing ones take their defaults.
    ///
    /// # Errors
    /// [`Error::Usage`] for a parameter that is unknown or out of range.
    pub fn build(
        &self,
        parameters: &Parameters,
        context: &PolicyContext<'_>,
    ) -> Result<Box<dyn ScalingPolicy>> {
        (self.build)(parameters, context)
    }

    /// Returns the parameters with which an instance runs at the fraction `headroom` of its capacity; `None` for a policy
    /// without tunable parameters.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn tune(
        &self,
        parameters: &Parameters,
        context: &TuningContext<'_>,
        headroom: f64,
    ) -> Result<Option<Parameters>> {
        (self.tune)(parameters, context, headroom)
    }
}

impl PolicyCard {
    /// Whether the policy can be tuned.
    pub fn is_tunable(&self) -> bool {
        let context = TuningContext {
            prefill: 1,
            decode: 1,
            rate: 1.0,
            signal: &|_| 1.0,
            objectives: Objectives::default(),
            hourly_rates: [1.0; 24],
            trace_seconds: 1.0,
            profile: None,
            max_prefill: 1,
            max_decode: 1,
        };
        let tuned = self.tune(&Parameters::default(), &context, 1.0);
        tuned.is_ok_and(|tuned| tuned.is_some())
    }
}

/// Every policy, in the order of tables and charts.
pub static POLICIES: Registry<PolicyCard> = Registry::new("scaling policy", "autoscaling.md", LIST);

const LIST: &[PolicyCard] = &[
    PolicyCard::of::<no_autoscaling::NoAutoscalingConfig>(),
    PolicyCard::of::<heteroscale::HeteroScaleConfig>(),
    PolicyCard::of::<hpa_gpu::HpaGpuConfig>(),
    PolicyCard::of::<independent_tps::IndependentTpsConfig>(),
    PolicyCard::of::<pure_latency::PureLatencyConfig>(),
    PolicyCard::of::<periodic::PeriodicConfig>(),
    PolicyCard::of::<latency_ttft::LatencyTtftConfig>(),
    PolicyCard::of::<utilization::UtilizationConfig>(),
    PolicyCard::of::<queue::QueueConfig>(),
    PolicyCard::of::<super::planner::PlannerConfig>(),
    PolicyCard::of::<hpa_v2::HpaV2Config>(),
    PolicyCard::of::<kpa::KpaConfig>(),
    PolicyCard::of::<wva::WvaConfig>(),
    PolicyCard::of::<script::ScriptConfig>(),
];

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::*;

    #[test]
    fn every_policy_is_told_apart_by_its_color() {
        let mut colors: Vec<&str> = POLICIES.iter().map(|policy| policy.color).collect();
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), POLICIES.names().len());
    }

    #[test]
    fn tuning_follows_the_load_test() -> Result<()> {
        // In the load test, 2 prefill and 4 decode instances served 12 requests/s with every signal at 0.6.
        let context = TuningContext {
            prefill: 2,
            decode: 4,
            rate: 12.0,
            signal: &|_| 0.6,
            objectives: Objectives::default(),
            hourly_rates: [6.0; 24],
            trace_seconds: 240.0,
            profile: None,
            max_prefill: 10,
            max_decode: 20,
        };
        // The target is half of 0.6. Half the rate at half the load per instance needs the whole fleet.
        assert_eq!(context.decode_share("kv_usage", 0.5), 0.3);
        assert_eq!(context.instances_for(6.0, 0.5), (2, 4));
        for policy in &POLICIES {
            let tuned = policy.tune(&Parameters::default(), &context, 0.5)?;
            let fixed = ["no_autoscaling", "script"].contains(&policy.name());
            assert_eq!(tuned.is_none(), fixed, "{}", policy.name());
            let Some(tuned) = tuned else {
                continue;
            };
            policy.build(&tuned, &PolicyContext::default())?;
            assert_ne!(
                Some(&tuned),
                policy.complete(&Parameters::default()).ok().as_ref()
            );
        }
        let kpa = POLICIES.find("kpa")?;
        let tuned = kpa.tune(&Parameters::default(), &context, 0.5)?;
        let tuned = tuned.and_then(|tuned| tuned.read::<kpa::KpaConfig>().ok());
        let tuned = tuned.unwrap_or_else(|| unreachable!("kpa can be tuned"));
        // At least 1 request over 4 instances; 0.6 + 0.6 prompts over 2.
        assert_eq!(tuned.container_concurrency_target, 0.25);
        assert_eq!(tuned.prefill_concurrency_target, Some(0.6));
        Ok(())
    }
}
