//! Candidate settings of each policy: parameters that the policy derives from the results of the load test.

use super::load_test::Capacity;
use crate::autoscale::policy::{POLICIES, PolicyCard, TuningContext};
use crate::base::error::Result;
use crate::base::registry::Named;
use crate::scenario::ScenarioConfig;

/// Headrooms to try: fractions of an instance's capacity at which it runs.
pub const HEADROOMS: [f64; 4] = [0.5, 0.6, 0.7, 0.8];

/// Cooldowns in seconds after a scale-out and after any change, for policies that need cooldowns.
pub const COOLDOWNS: [(f64, f64); 2] = [(10.0, 60.0), (30.0, 180.0)];

/// Names of the policies that can be tuned.
pub fn policies() -> Vec<&'static str> {
    let tunable = POLICIES.iter().filter(|policy| policy.is_tunable());
    tunable.map(Named::name).collect()
}

/// A candidate: one policy with one setting.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The policy.
    pub policy: &'static str,
    /// The setting in words: the fraction of its capacity at which an instance runs, and the cooldowns.
    pub setting: String,
    /// The whole configuration.
    pub config: ScenarioConfig,
}

/// The inputs from which a study makes candidates.
#[derive(Debug)]
pub(super) struct StudyContext<'a> {
    pub(super) config: &'a ScenarioConfig,
    pub(super) capacity: &'a Capacity,
    /// Requests per second in each of 24 equal intervals of the trace.
    pub(super) hours: [f64; 24],
    /// Folder of the instances' performance profile, if there is one.
    pub(super) profile: Option<&'a std::path::Path>,
    /// Length of the trace in seconds.
    pub(super) span: f64,
}

impl StudyContext<'_> {
    /// Returns the data from which a policy chooses its parameters.
    fn tuning<'b>(&'b self, signal: &'b dyn Fn(&str) -> f64) -> TuningContext<'b> {
        let section = &self.config.autoscaling;
        TuningContext {
            prefill: self.capacity.prefill,
            decode: self.capacity.decode,
            rate: self.capacity.rate,
            signal,
            objectives: self.config.slo.objectives(),
            hourly_rates: self.hours,
            trace_seconds: self.span,
            profile: self.profile,
            max_prefill: section.prefill.max,
            max_decode: section.decode.max,
        }
    }

    /// Prefill and decode instances for a rate in requests per second, at least one of each.
    pub(super) fn sizes(&self, rate: f64, headroom: f64) -> (u32, u32) {
        self.tuning(&|_| 0.0).instances_for(rate, headroom)
    }

    /// Returns all candidate settings of a policy.
    ///
    /// # Errors
    /// A configuration of the policy that is out of range.
    pub(super) fn candidates(&self, policy: &'static PolicyCard) -> Result<Vec<Candidate>> {
        let name = policy.name();
        let cooldowns = if policy.needs_cooldowns {
            &COOLDOWNS[..]
        } else {
            &COOLDOWNS[..1]
        };
        let signal = |signal: &str| self.capacity.seen.get(signal);
        let context = self.tuning(&signal);
        let given = self.config.autoscaling.table(name);
        let mut candidates = Vec::new();
        for headroom in HEADROOMS {
            let Some(tuned) = policy.tune(&given, &context, headroom)? else {
                break;
            };
            for (out, inwards) in cooldowns {
                let mut config = self.config.clone();
                let section = &mut config.autoscaling;
                name.clone_into(&mut section.policy);
                section.set(name, tuned.clone());
                let mut setting = format!("{:.0} % of capacity", headroom * 100.0);
                if policy.needs_cooldowns {
                    section.interval_seconds = Some(10.0);
                    section.scale_out_cooldown_seconds = Some(*out);
                    section.scale_in_cooldown_seconds = Some(*inwards);
                    setting += &format!(", cooldowns {out} and {inwards} s");
                }
                candidates.push(Candidate {
                    policy: name,
                    setting,
                    config,
                });
            }
        }
        Ok(candidates)
    }
}
