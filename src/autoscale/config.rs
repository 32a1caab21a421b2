//! `[autoscaling]` of a scenario's configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::planner::PlannerConfig;
use super::planner::profile::Profile;
use super::policy::{POLICIES, PolicyConfig, PolicyContext, ScalingPolicy};
use crate::base::error::{Error, Result};
use crate::base::parameters::Parameters;
use crate::base::registry::Named;

/// The autoscaling policy, its control interval and its bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoscalingSection {
    /// Name of the policy.
    pub policy: String,
    /// Name in the results' paths; the policy's name if not given.
    pub label: Option<String>,
    /// Control interval in seconds; the policy's own if not given.
    pub interval_seconds: Option<f64>,
    /// Seconds over which rates and latencies are measured; the control interval if not given.
    pub window_seconds: Option<f64>,
    /// Seconds after a scale-out during which no other happens; the policy's own if not given.
    pub scale_out_cooldown_seconds: Option<f64>,
    /// Seconds after any change during which no scale-in happens; the policy's own if not given.
    pub scale_in_cooldown_seconds: Option<f64>,
    /// Fraction of a change that is made at once: 0.5 goes half way each time, by at least one instance.
    pub damping: f64,
    /// Most instances added to a fleet in one control interval.
    pub max_step_out: Option<u32>,
    /// Most instances removed from a fleet in one control interval.
    pub max_step_in: Option<u32>,
    /// Most GPUs of all instances together, starting and draining ones included.
    pub gpu_budget: Option<u32>,
    /// Started instances stay out of routing while instances of the other role that the P/D ratio calls for are starting.
    pub ready_ratio_guard: bool,
    /// Instances are taken out of routing before they are removed, and return if latency gets worse.
    pub soft_scale_in: SoftScaleIn,
    /// Bounds of the prefill fleet.
    pub prefill: FleetSection,
    /// Bounds of the decode fleet.
    pub decode: FleetSection,
    /// Bounds of the fleet whose instances serve whole requests.
    pub aggregated: FleetSection,
    /// The profile of the cluster's own instances, measured for a policy that needs one and was given none.
    #[serde(skip)]
    pub measured: Option<Arc<Profile>>,
    /// Parameters of policies, each in a table of the policy's name.
    #[serde(flatten)]
    tables: PolicyTables,
}

/// Keys of [`AutoscalingSection`] besides the policies' tables.
const KEYS: [&str; 15] = [
    "policy",
    "label",
    "interval_seconds",
    "window_seconds",
    "scale_out_cooldown_seconds",
    "scale_in_cooldown_seconds",
    "damping",
    "max_step_out",
    "max_step_in",
    "gpu_budget",
    "ready_ratio_guard",
    "soft_scale_in",
    "prefill",
    "decode",
    "aggregated",
];

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
            measured: None,
            tables: PolicyTables::default(),
        }
    }
}

impl AutoscalingSection {
    /// Whether a controller runs: with `no_autoscaling` only if a control interval is set.
    pub fn is_on(&self) -> bool {
        self.policy.replace('-', "_") != "no_autoscaling" || self.interval_seconds.is_some()
    }

    /// Whether the policy plans by a profile of the instances and names none.
    pub fn lacks_profile(&self) -> bool {
        let planner = self.parameters::<PlannerConfig>();
        self.policy == PlannerConfig::CARD.name
            && planner.is_ok_and(|planner| planner.profile_data_dir.is_none())
    }

    /// Name in the results' paths.
    pub fn label(&self) -> String {
        self.label
            .clone()
            .unwrap_or_else(|| self.policy.replace('-', "_"))
    }

    /// The configuration of a policy, chosen or not, for example `section.parameters::<KpaConfig>()`.
    ///
    /// # Errors
    /// None for a section that was read or set: its tables were checked then.
    pub fn parameters<C: PolicyConfig>(&self) -> Result<C> {
        let table = self.tables.get(C::CARD.name);
        table
            .read()
            .map_err(|message| wrong_table(C::CARD.name, &message))
    }

    /// Chooses a policy and sets its configuration.
    ///
    /// # Errors
    /// As [`Parameters::of`].
    pub fn choose<C: PolicyConfig>(&mut self, config: &C) -> Result<()> {
        C::CARD.name.clone_into(&mut self.policy);
        self.set(C::CARD.name, Parameters::of(config)?);
        Ok(())
    }

    /// Sets the table of a policy.
    pub(crate) fn set(&mut self, policy: &str, table: Parameters) {
        self.tables.set(policy, table);
    }

    /// The table of a policy, empty if the section has none.
    pub(crate) fn table(&self, policy: &str) -> Parameters {
        self.tables.get(policy)
    }

    /// The same section with every parameter of the chosen policy.
    #[must_use]
    pub fn effective(&self) -> Self {
        let mut section = self.clone();
        if let Ok(policy) = POLICIES.find(&self.policy)
            && let Ok(table) = policy.complete(&self.tables.get(policy.name()))
        {
            section.set(policy.name(), table);
        }
        section
    }

    /// The policy that the section chooses.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown policy, or a parameter that is out of range.
    pub(super) fn build(&self, context: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        let policy = POLICIES.find(&self.policy)?;
        policy.build(&self.tables.get(policy.name()), context)
    }
}

fn wrong_table(policy: &str, message: &str) -> Error {
    Error::usage(
        format!("autoscaling.{policy}: {message}"),
        "docs/autoscaling.md describes the keys",
    )
}

/// Tables of policies' parameters, by the policy's name.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
struct PolicyTables(BTreeMap<String, Parameters>);

impl PolicyTables {
    fn get(&self, policy: &str) -> Parameters {
        self.0.get(policy).cloned().unwrap_or_default()
    }

    fn set(&mut self, policy: &str, table: Parameters) {
        self.0.insert(policy.to_owned(), table);
    }
}

impl<'de> Deserialize<'de> for PolicyTables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut tables = Self::default();
        for (key, value) in Map::deserialize(deserializer)? {
            let Some(policy) = POLICIES.iter().find(|policy| policy.name() == key) else {
                let names = POLICIES.names();
                let known: Vec<&str> = KEYS.iter().chain(&names).copied().collect();
                let error = Error::unknown_name("key of [autoscaling]", &key, &known);
                return Err(D::Error::custom(error));
            };
            let Value::Object(table) = value else {
                let message = format!("autoscaling.{key} is {value}, expected a table");
                return Err(D::Error::custom(message));
            };
            let table = policy
                .complete(&table.into())
                .map_err(|message| D::Error::custom(format!("autoscaling.{key}: {message}")))?;
            tables.set(&key, table);
        }
        Ok(tables)
    }
}

/// Bounds on the number of instances of a fleet.
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
    /// TTFT at the 90th percentile, in seconds, above which the instance returns; the SLO if not given.
    pub ttft_seconds: Option<f64>,
    /// TBT at the 90th percentile, in seconds, above which the instance returns; the SLO if not given.
    pub tbt_seconds: Option<f64>,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::config::*;
    use crate::autoscale::policy::heteroscale::HeteroScaleConfig;
    use crate::autoscale::policy::kpa::KpaConfig;

    #[test]
    fn the_list_of_keys_is_complete() {
        let section = serde_json::to_value(AutoscalingSection::default()).unwrap();
        let keys: Vec<&str> = section
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, KEYS);
    }

    #[test]
    fn every_policy_has_a_table() {
        for policy in &POLICIES {
            let text = format!("policy = \"{0}\"\n[{0}]\n", policy.name());
            let section: AutoscalingSection = toml::from_str(&text).unwrap();
            let printed = toml::to_string(&section.effective()).unwrap();
            let again: AutoscalingSection = toml::from_str(&printed).unwrap();
            assert_eq!(again, section.effective(), "{}", policy.name());
            let text = format!("[{}]\nno_such_key = 1\n", policy.name());
            let error = toml::from_str::<AutoscalingSection>(&text).unwrap_err();
            let expected = format!("autoscaling.{}: unknown key `no_such_key`", policy.name());
            assert!(error.message().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn the_effective_section_has_every_key_of_the_chosen_policy() {
        let text = "policy = \"kpa\"\n[kpa]\nstable_window = 30\n[heteroscale]\ntarget_tps = 900\n";
        let section: AutoscalingSection = toml::from_str(text).unwrap();
        assert_eq!(
            section.parameters::<KpaConfig>().unwrap().stable_window,
            30.0
        );
        let own = section.parameters::<HeteroScaleConfig>().unwrap();
        assert_eq!((own.target_tps, own.pd_ratio), (900.0, 0.33));
        let mut other = section.clone();
        other.policy = "wva".into();
        let printed = toml::to_string(&other.effective()).unwrap();
        for key in [
            "[wva]\nkv_cache_threshold = 0.8\n",
            "stable_window = 30.0\n",
        ] {
            assert!(printed.contains(key), "{printed}");
        }
    }

    #[test]
    fn unknown_keys_come_with_a_guess() {
        let error = |text: &str| toml::from_str::<AutoscalingSection>(text).unwrap_err();
        let message = error("[heteroscale]\ntarget_tsp = 3").message().to_owned();
        let expected = "autoscaling.heteroscale: unknown key `target_tsp`: did you mean `target_tps`? known: target_tps, pd_ratio,";
        assert!(message.starts_with(expected), "{message}");
        let message = error("polcy = \"kpa\"").message().to_owned();
        let expected = "unknown key of [autoscaling] `polcy`; did you mean `policy`?";
        assert!(message.starts_with(expected), "{message}");
    }
}
