//! Candidate settings of each policy: the parameters that the policy itself chooses from the results of the load test.

use super::load_test::Capacity;
use crate::autoscale::policy::{POLICIES, PolicyCard, TuningContext};
use crate::base::error::Result;
use crate::base::registry::Named;
use crate::scenario::ScenarioConfig;

/// Fractions of its capacity that an instance is to carry.
pub const HEADROOMS: [f64; 4] = [0.5, 0.6, 0.7, 0.8];

/// Cooldowns in seconds after a scale-out and after any change, for policies that need them.
pub const COOLDOWNS: [(f64, f64); 2] = [(10.0, 60.0), (30.0, 180.0)];

/// Names of the policies that choose their own parameters.
pub fn policies() -> Vec<&'static str> {
    let tunable = POLICIES.iter().filter(|policy| policy.is_tunable());
    tunable.map(Named::name).collect()
}

/// One setting of one policy.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The policy.
    pub policy: &'static str,
    /// In words: the fraction of its capacity that an instance carries, and the cooldowns.
    pub setting: String,
    /// The whole configuration.
    pub config: ScenarioConfig,
}

/// What a study knows before it tries candidates.
#[derive(Debug)]
pub(super) struct StudyContext<'a> {
    pub(super) config: &'a ScenarioConfig,
    pub(super) capacity: &'a Capacity,
    /// Requests per second in each of 24 equal parts of the trace.
    pub(super) hours: [f64; 24],
    /// Folder of the instances' performance profile, if there is one.
    pub(super) profile: Option<&'a std::path::Path>,
    /// Length of the trace in seconds.
    pub(super) span: f64,
}

impl StudyContext<'_> {
    /// Everything that a policy may use to choose its parameters.
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

    /// All settings of a policy that are tried.
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
