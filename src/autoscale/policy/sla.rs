//! The SLA planner as a scaling policy. Its observations are the simulator's signals in place of Prometheus metrics.

use super::{
    Decision, Pace, PolicyConfig, PolicyContext, ScalingPolicy, TuningContext, needs_pair,
};
use crate::autoscale::planner::{Observation, Planner, PlannerConfig, interpolate};
use crate::autoscale::signals::{FleetKind, Signals};
use crate::base::error::Result;
use crate::base::registry::Card;

impl PolicyConfig for PlannerConfig {
    const CARD: Card = Card::new(
        "sla",
        "the SLA planner (Dynamo, sageLLM): predicts load, looks up a profile, corrects it by measurements",
    );
    const COLOR: &'static str = "#332288";

    fn build(self, context: &PolicyContext<'_>) -> Result<Box<dyn ScalingPolicy>> {
        Ok(Box::new(Sla::new(self, context)?))
    }

    fn tune(self, context: &TuningContext<'_>, headroom: f64) -> Option<Self> {
        Some(Self {
            target_ttft_ms: context.objectives.ttft_seconds * 1e3 * headroom,
            target_itl_ms: context.objectives.tbt_seconds * 1e3 * headroom,
            profile_data_dir: context.profile.map(std::path::Path::to_path_buf),
            adjustment_interval_sec: 30.0,
            max_gpu_budget: -1,
            max_prefill_instances: context.max_prefill,
            max_decode_instances: context.max_decode,
            load_predictor_type: "kalman".into(),
            ..self
        })
    }
}

/// The scaling policy `sla`.
#[derive(Debug)]
pub struct Sla {
    planner: Planner,
}

impl Sla {
    /// Creates the policy. The GPUs per instance are those of the cluster's pools and override the configuration. Without a
    /// profile in the configuration, the policy uses the context's measured profile.
    ///
    /// # Errors
    /// As [`Planner::new`].
    pub fn new(config: PlannerConfig, context: &PolicyContext<'_>) -> Result<Self> {
        let config = PlannerConfig {
            prefill_gpus_per_instance: context.gpus(FleetKind::Prefill),
            decode_gpus_per_instance: context.gpus(FleetKind::Decode),
            ..config
        };
        let planner = match (context.profile, &config.profile_data_dir) {
            (Some(profile), None) => {
                let model = interpolate::from_profile(profile, config.interpolation())?;
                Planner::with_model(config, model)?
            }
            _ => Planner::new(config)?,
        };
        Ok(Self { planner })
    }
}

/// One observation of the planner. Latencies are means, not percentiles, as `rate(..._sum) / rate(..._count)` gives them.
fn observe(signals: &Signals) -> Observation {
    let fleet = |kind| signals.fleet(kind);
    let ready = |kind| fleet(kind).map_or(0, |fleet| fleet.ready);
    let starting = |kind| fleet(kind).map_or(0, |fleet| fleet.starting);
    let known = |there: bool, value: f64| there.then_some(value);
    let completed = signals.completed > 0;
    Observation {
        interval_sec: signals.window,
        num_req: Some(signals.completed as f64),
        arrivals: Some(signals.arrival_rate * signals.window),
        isl: known(signals.isl > 0.0, signals.isl),
        osl: known(completed, signals.osl),
        ttft_ms: known(!signals.ttft.is_empty(), signals.ttft.mean() * 1e3),
        itl_ms: known(signals.itl > 0.0, signals.itl * 1e3),
        request_duration_sec: known(completed, signals.e2e.mean()),
        cache_hit_ratio: Some(signals.hit_ratio),
        queue_length: fleet(FleetKind::Prefill).map(|fleet| f64::from(fleet.waiting)),
        ready_prefill: ready(FleetKind::Prefill),
        starting_prefill: starting(FleetKind::Prefill),
        ready_decode: ready(FleetKind::Decode),
        starting_decode: starting(FleetKind::Decode),
        fault: None,
    }
}

impl ScalingPolicy for Sla {
    fn pace(&self) -> Pace {
        Pace::every(self.planner.config().adjustment_interval_sec)
    }

    fn check(&self, fleets: &[FleetKind]) -> Result<()> {
        needs_pair("sla", fleets)
    }

    fn decide(&mut self, signals: &Signals) -> Decision {
        let decision = self.planner.tick(&observe(signals));
        if decision.held {
            return Decision::hold(signals, decision.reason);
        }
        let number = |value: Option<u32>| value.map_or("?".to_owned(), |value| value.to_string());
        let mut reason = match &decision.predicted {
            Some(load) => format!(
                "expects {:.1} requests of {:.0} + {:.0} tokens; c_p {:.2}, c_d {:.2}; needs {} and {}",
                load.num_req,
                load.isl,
                load.osl,
                decision.c_p,
                decision.c_d,
                number(decision.raw_prefill),
                number(decision.raw_decode)
            ),
            None => String::new(),
        };
        if !decision.reason.is_empty() {
            reason += "; ";
            reason += &decision.reason;
        }
        if self.planner.config().no_operation {
            reason = format!(
                "dry run: {} and {}: {reason}",
                decision.prefill, decision.decode
            );
            return Decision::hold(signals, reason);
        }
        Decision::pair(signals, decision.prefill, decision.decode, reason)
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscale::policy::sla::*;
    use crate::autoscale::testing::{all, signals};

    #[test]
    fn what_is_not_heard_is_not_zero() {
        let mut seen = signals(2, 3);
        seen.arrival_rate = 4.0;
        seen.isl = 100.0;
        let told = observe(&seen);
        assert_eq!(told.arrivals, Some(40.0));
        assert_eq!(told.num_req, Some(0.0));
        assert_eq!((told.ttft_ms, told.itl_ms, told.osl), (None, None, None));
        assert_eq!((told.ready_prefill, told.ready_decode), (2, 3));
        seen.ttft = all(0.25);
        assert_eq!(observe(&seen).ttft_ms, Some(250.0));
    }
}
