//! The SLA planner: computes the numbers of prefill and decode instances that meet a mean TTFT and a mean ITL.
//!
//! Source: the throughput planner of NVIDIA Dynamo (`planner/core/`, ai-dynamo 0.4 to 1.6) and its port in sageLLM's
//! control plane. In every interval it observes, corrects the performance model, predicts the load, sizes the pools, and
//! applies bounds and the budget. `docs/sla-planner.md` has the formulas and the differences from the sources.
//!
//! The planner is pure. It has no clock, and starts and stops nothing: [`Planner::tick`] turns an [`Observation`] into a
//! [`Decision`], which the caller carries out.

pub mod backtest;
mod budget;
mod config;
mod correction;
pub mod interpolate;
pub mod load_rule;
mod npz;
pub mod predictor;
pub mod profile;
pub mod profile_facts;
mod replicas;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests;

use serde::{Deserialize, Serialize};

use self::correction::{Corrector, Measured};
use self::interpolate::{Heuristic, PerformanceModel};
use self::predictor::LoadPredictor;
use self::profile::Profile;
use self::replicas::Sizing;
use crate::base::error::Result;

pub use budget::Budget;
pub use config::{BudgetRule, PlannerConfig, Variant};
pub use correction::Correction;
pub use replicas::{Load, wait_ms};

/// Measurements of an interval, and the instances at its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// Duration in seconds; 0 stands for the configured interval.
    pub interval_sec: f64,
    /// Requests that finished; `None` if unknown.
    pub num_req: Option<f64>,
    /// Requests that arrived, if known.
    pub arrivals: Option<f64>,
    /// Mean prompt tokens.
    pub isl: Option<f64>,
    /// Mean output tokens.
    pub osl: Option<f64>,
    /// Mean time to first token, in milliseconds.
    pub ttft_ms: Option<f64>,
    /// Mean time between tokens, in milliseconds.
    pub itl_ms: Option<f64>,
    /// Mean time of a request from arrival to its last token, in seconds.
    pub request_duration_sec: Option<f64>,
    /// Fraction of prompt tokens found in a prefix cache.
    pub cache_hit_ratio: Option<f64>,
    /// Requests that wait for prefill at the end of the interval.
    pub queue_length: Option<f64>,
    /// Ready prefill instances.
    pub ready_prefill: u32,
    /// Starting prefill instances.
    pub starting_prefill: u32,
    /// Ready decode instances.
    pub ready_decode: u32,
    /// Starting decode instances.
    pub starting_decode: u32,
    /// Reason why the measurements are unreliable; the planner then holds.
    pub fault: Option<String>,
}

/// The numbers of instances that the planner decides, and their derivation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// The observation.
    pub observed: Observation,
    /// The predicted load of the next interval, unless the planner held.
    pub predicted: Option<Load>,
    /// Correction factor of TTFT.
    pub c_p: f64,
    /// Correction factor of ITL.
    pub c_d: f64,
    /// Prefill instances that the load needs, before bounds.
    pub raw_prefill: Option<u32>,
    /// Decode instances that the load needs, before bounds.
    pub raw_decode: Option<u32>,
    /// Prefill instances decided.
    pub prefill: u32,
    /// Decode instances decided.
    pub decode: u32,
    /// Whether the planner held: the instances stay as they are.
    pub held: bool,
    /// Reason in words; empty if the load alone determined the numbers.
    pub reason: String,
    /// Number of queries so far that were outside the profile of the model.
    pub clamped_queries: u64,
}

/// The planner, which decides interval by interval.
#[derive(Debug)]
pub struct Planner {
    config: PlannerConfig,
    model: Box<dyn PerformanceModel>,
    num_req: Box<dyn LoadPredictor>,
    isl: Box<dyn LoadPredictor>,
    osl: Box<dyn LoadPredictor>,
    /// Mean fraction of prompt tokens found in a cache.
    hits: predictor::Series,
    corrector: Corrector,
    sizing: Sizing,
    budget: Budget,
    /// Lengths of the last interval with requests.
    lengths: Option<(f64, f64)>,
    /// Number of the planner's own queries outside the profile.
    clamped: u64,
}

/// The valid measurements of an interval.
struct Taken {
    demand: f64,
    isl: f64,
    osl: f64,
    /// Whether the interval has enough requests to measure the speed of the instances.
    latencies: bool,
}

impl Planner {
    /// A planner with the configured profile, or with the rule of thumb if there is none.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for invalid or contradictory keys; as [`Profile::load`] for the profile.
    pub fn new(config: PlannerConfig) -> Result<Self> {
        config.check()?;
        let model = match &config.profile_data_dir {
            Some(folder) => {
                let profile = Profile::load(folder, config.max_kv_tokens)?;
                interpolate::from_profile(&profile, config.interpolation())?
            }
            None => Box::new(Heuristic::new(config.enable_online_learning)),
        };
        Self::with_model(config, model)
    }

    /// A planner with another performance model.
    ///
    /// # Errors
    /// As [`PlannerConfig::check`].
    pub fn with_model(config: PlannerConfig, model: Box<dyn PerformanceModel>) -> Result<Self> {
        config.check()?;
        let options = config.predictor_options();
        let predictor = || predictor::by_name(&config.load_predictor_type, &options);
        Ok(Self {
            num_req: predictor()?,
            isl: predictor()?,
            osl: predictor()?,
            hits: predictor::Series::new(config.prediction_window_size),
            corrector: Corrector::new(&config),
            sizing: Sizing::new(&config),
            budget: Budget::new(&config),
            lengths: None,
            clamped: 0,
            model,
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &PlannerConfig {
        &self.config
    }

    /// The performance model, with its predicted latencies.
    pub fn model(&mut self) -> &mut dyn PerformanceModel {
        self.model.as_mut()
    }

    /// Decides the numbers of instances for the next interval.
    pub fn tick(&mut self, observation: &Observation) -> Decision {
        let interval = if observation.interval_sec > 0.0 {
            observation.interval_sec
        } else {
            self.config.adjustment_interval_sec
        };
        let before = self.model.clamped();
        let mut decision = match self.take(observation) {
            Err(why) => {
                // The time series continue: a missing value is replaced by its prediction.
                for predictor in [&mut self.num_req, &mut self.isl, &mut self.osl] {
                    let expected = predictor.predict();
                    predictor.observe(expected);
                }
                self.hold(observation, why)
            }
            Ok(taken) => self.decide(observation, &taken, interval),
        };
        self.clamped += self.model.clamped() - before;
        decision.clamped_queries = self.clamped;
        decision
    }

    /// The valid measurements, or the reason why they are not sufficient.
    fn take(&self, seen: &Observation) -> Result<Taken, String> {
        if let Some(fault) = &seen.fault {
            return Err(format!("held: {fault}"));
        }
        let number = |value: Option<f64>| value.filter(|v| v.is_finite() && *v >= 0.0);
        let completed = number(seen.num_req);
        let arrivals = number(seen.arrivals);
        let from_arrivals = self.config.holds(self.config.demand_from_arrivals);
        let demand = match (from_arrivals, arrivals, completed) {
            (true, Some(arrivals), _) => arrivals,
            (_, _, Some(completed)) => completed,
            _ => return Err("held: the number of requests is unknown".into()),
        };
        let none_completed = completed.unwrap_or(demand) == 0.0;
        let positive = |value: Option<f64>| number(value).filter(|v| *v > 0.0);
        let lengths = positive(seen.isl).zip(number(seen.osl));
        if none_completed {
            // Idle, or so busy that no request finished: neither shows the speed of the instances.
            let keep = self.config.holds(self.config.keep_lengths_when_idle);
            let known = lengths.or(if keep { self.lengths } else { None });
            return match known {
                Some((isl, osl)) => Ok(Taken {
                    demand,
                    isl,
                    osl,
                    latencies: false,
                }),
                None if demand == 0.0 => Ok(Taken {
                    demand,
                    isl: 0.0,
                    osl: 0.0,
                    latencies: false,
                }),
                None => {
                    Err("held: requests arrived, but none has finished yet, so their lengths are unknown".into())
                }
            };
        }
        let missing =
            |what: &str| Err(format!("held: requests were served, but {what} is unknown"));
        let Some((isl, osl)) = lengths else {
            return missing("their length");
        };
        if positive(seen.ttft_ms).is_none() {
            return missing("TTFT");
        }
        if positive(seen.itl_ms).is_none() && osl > 1.0 {
            return missing("ITL");
        }
        Ok(Taken {
            demand,
            isl,
            osl,
            latencies: true,
        })
    }

    fn decide(&mut self, seen: &Observation, taken: &Taken, interval: f64) -> Decision {
        let mut notes: Vec<String> = Vec::new();
        if taken.isl > 0.0 {
            self.lengths = Some((taken.isl, taken.osl));
        }
        self.num_req.observe(taken.demand);
        self.isl.observe(taken.isl);
        self.osl.observe(taken.osl);
        let hits = seen.cache_hit_ratio.filter(|ratio| ratio.is_finite());
        let discount = self.config.holds(self.config.discount_cached_tokens);
        if let (Some(ratio), true) = (hits, taken.latencies) {
            self.hits.push(ratio.clamp(0.0, 1.0));
        }
        let computed = if discount {
            taken.isl * (1.0 - hits.unwrap_or(0.0).clamp(0.0, 1.0))
        } else {
            taken.isl
        };
        if taken.latencies {
            let itl = seen.itl_ms.filter(|itl| itl.is_finite() && *itl > 0.0);
            let ttft = seen.ttft_ms.unwrap_or(0.0);
            let duration = seen
                .request_duration_sec
                .filter(|duration| duration.is_finite() && *duration > 0.0)
                .unwrap_or_else(|| (ttft + taken.osl * itl.unwrap_or(0.0)) / 1000.0);
            let measured = Measured {
                requests: seen.num_req.unwrap_or(taken.demand),
                computed_isl: computed.max(1.0),
                isl: taken.isl,
                osl: taken.osl,
                ttft_ms: seen.ttft_ms,
                itl_ms: itl,
                duration_sec: duration,
                decode_instances: seen.ready_decode,
                interval_sec: interval,
            };
            self.corrector.update(&measured, self.model.as_mut());
            // A TTFT above its target shows queues rather than prompt computation.
            let queued =
                self.config.holds(self.config.honour_ttft) && ttft > self.config.target_ttft_ms;
            if !queued {
                self.model.learn(computed, ttft);
            }
        }
        let predicted = Load {
            num_req: self.num_req.predict(),
            isl: self.isl.predict(),
            osl: self.osl.predict(),
        };
        // The queue must be served in addition to new arrivals.
        let waiting = match seen.queue_length {
            Some(queue)
                if queue.is_finite() && self.config.holds(self.config.demand_from_arrivals) =>
            {
                queue.max(0.0)
            }
            _ => 0.0,
        };
        let load = Load {
            num_req: predicted.num_req + waiting,
            ..predicted
        };
        let missed = if discount {
            1.0 - self.hits.mean()
        } else {
            1.0
        };
        let correction = self.corrector.factors();
        let model = self.model.as_mut();
        let prefill = self
            .sizing
            .prefill(&load, missed, interval, correction, model);
        let decode = self.sizing.decode(&load, interval, correction, model);
        let current = self.current(seen);
        let guarded = self.config.holds(self.config.guarded_scale_in);
        let mut wanted = [0; 2];
        for (role, need) in [&prefill, &decode].into_iter().enumerate() {
            notes.extend(need.note.clone());
            wanted[role] = match need.instances {
                Some(instances) => instances,
                // If no capacity meets the target there is no number. The minimum alone could break a working cluster.
                None if guarded => current[role].max(self.budget.min[role]),
                None => self.budget.min[role],
            };
        }
        self.react(seen, taken, computed, &mut wanted, &mut notes);
        if guarded {
            self.guard(
                seen,
                taken,
                &load,
                missed,
                interval,
                &mut wanted,
                &mut notes,
            );
        }
        let [prefill_target, decode_target] = self.constrain(wanted, current, &mut notes);
        if self.config.no_operation {
            notes.push("dry run".into());
        }
        Decision {
            observed: seen.clone(),
            predicted: Some(predicted),
            c_p: correction.prefill,
            c_d: correction.decode,
            raw_prefill: prefill.instances,
            raw_decode: decode.instances,
            prefill: prefill_target,
            decode: decode_target,
            held: false,
            reason: notes.join("; "),
            clamped_queries: 0,
        }
    }

    /// If a target is missed while no instance is starting, the reason is outside the model: adds one instance.
    fn react(
        &mut self,
        seen: &Observation,
        taken: &Taken,
        computed: f64,
        wanted: &mut [u32; 2],
        notes: &mut Vec<String>,
    ) {
        let honour = self.config.holds(self.config.honour_ttft);
        let late = taken.latencies
            && seen
                .ttft_ms
                .is_some_and(|ttft| ttft > self.config.target_ttft_ms);
        if !(honour && late && seen.starting_prefill == 0 && wanted[0] <= seen.ready_prefill) {
            return;
        }
        if self
            .sizing
            .ttft_is_reachable(computed.max(1.0), self.model.as_mut())
        {
            wanted[0] = seen.ready_prefill + 1;
            notes.push("TTFT above its target".into());
        }
    }

    /// Limits scale-in so that the remaining instances carry the larger of the last and the predicted load, and only while
    /// the targets are met.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is one interval's state"
    )]
    fn guard(
        &mut self,
        seen: &Observation,
        taken: &Taken,
        load: &Load,
        missed: f64,
        interval: f64,
        wanted: &mut [u32; 2],
        notes: &mut Vec<String>,
    ) {
        let current = self.current(seen);
        let busy = Load {
            num_req: load.num_req.max(taken.demand),
            isl: if taken.isl > 0.0 {
                load.isl.max(taken.isl)
            } else {
                load.isl
            },
            osl: load.osl.max(taken.osl),
        };
        let correction = self.corrector.factors();
        let model = self.model.as_mut();
        let targets = [self.config.target_ttft_ms, self.config.target_itl_ms];
        let measured = [seen.ttft_ms, seen.itl_ms];
        for (role, name) in ["prefill", "decode"].into_iter().enumerate() {
            if wanted[role] >= current[role] {
                continue;
            }
            let need = if role == 0 {
                self.sizing
                    .prefill(&busy, missed, interval, correction, model)
            } else {
                self.sizing.decode(&busy, interval, correction, model)
            };
            let late = taken.latencies && measured[role].is_some_and(|value| value > targets[role]);
            let least = match need.instances {
                Some(instances) if !late => instances,
                _ => current[role],
            };
            if least > wanted[role] {
                wanted[role] = least.min(current[role]);
                notes.push(format!("{name}: fewer instances would miss the target"));
            }
        }
    }

    /// Applies bounds, step limits, and finally the budget.
    fn constrain(&self, wanted: [u32; 2], current: [u32; 2], notes: &mut Vec<String>) -> [u32; 2] {
        let mut target = self.budget.bound(wanted);
        for (role, name) in ["prefill", "decode"].into_iter().enumerate() {
            if target[role] < wanted[role] {
                notes.push(format!("{name} needs {}, at its maximum", wanted[role]));
            }
        }
        if self.config.holds(self.config.limit_steps) {
            for role in [0, 1] {
                let low = current[role].saturating_sub(self.config.max_scale_in_per_tick);
                let high = current[role].saturating_add(self.config.max_scale_out_per_tick);
                let step = target[role].clamp(low, high);
                if step != target[role] {
                    notes.push("step".into());
                }
                target[role] = step;
            }
            notes.dedup();
            target = self.budget.bound(target);
        }
        let fitted = self.budget.fit(target);
        if fitted != target {
            notes.push("budget".into());
        }
        fitted
    }

    /// Ready instances and, if they count, starting ones.
    fn current(&self, seen: &Observation) -> [u32; 2] {
        let starting = u32::from(self.config.holds(self.config.count_starting));
        [
            seen.ready_prefill + starting * seen.starting_prefill,
            seen.ready_decode + starting * seen.starting_decode,
        ]
    }

    /// Keeps all instances, including starting ones, because of missing or invalid measurements.
    fn hold(&mut self, seen: &Observation, reason: String) -> Decision {
        let correction = self.corrector.factors();
        Decision {
            observed: seen.clone(),
            predicted: None,
            c_p: correction.prefill,
            c_d: correction.decode,
            raw_prefill: None,
            raw_decode: None,
            prefill: seen.ready_prefill + seen.starting_prefill,
            decode: seen.ready_decode + seen.starting_decode,
            held: true,
            reason,
            clamped_queries: 0,
        }
    }
}
