//! The planner's configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::interpolate::Interpolation;
use super::predictor::{self, PredictorOptions};
use crate::base::error::{Error, Result};
use crate::base::key_ranges::check_table;

/// Origin of the planner's rules. The variant determines the defaults of keys that are not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Variant {
    /// The documented algorithm without its known weaknesses.
    #[default]
    Replay,
    /// Dynamo's throughput planner.
    Dynamo,
    /// sageLLM's port of it.
    Sagellm,
}

/// How numbers of instances that exceed the budget are reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BudgetRule {
    /// Rounds down and leaves the other role its minimum (Dynamo 1.0 and later).
    Floor,
    /// Rounds half to even, and can exceed the budget (Dynamo up to 0.7).
    Round,
    /// Rounds down regardless of the other role's minimum (sageLLM).
    Int,
}

/// All keys. The defaults are those of the autoscaling guide; keys without a value follow the variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlannerConfig {
    /// Origin of the rules.
    pub variant: Variant,
    /// Target of the mean TTFT, in milliseconds.
    pub target_ttft_ms: f64,
    /// Target of the mean ITL, in milliseconds.
    pub target_itl_ms: f64,
    /// Seconds between two decisions.
    pub adjustment_interval_sec: f64,
    /// Fewest prefill instances.
    pub min_prefill_instances: u32,
    /// Most prefill instances.
    pub max_prefill_instances: u32,
    /// Fewest decode instances.
    pub min_decode_instances: u32,
    /// Most decode instances.
    pub max_decode_instances: u32,
    /// GPUs of all instances together; -1 is no limit.
    pub max_gpu_budget: i64,
    /// GPUs of a prefill instance.
    pub prefill_gpus_per_instance: u32,
    /// GPUs of a decode instance.
    pub decode_gpus_per_instance: u32,
    /// Load predictor: a name of [`predictor::PREDICTORS`].
    pub load_predictor_type: String,
    /// Number of past intervals that a predictor uses.
    pub prediction_window_size: usize,
    /// Folder of the profile; without one the rule of thumb applies.
    #[serde(serialize_with = "crate::base::io::shown_optional_path")]
    pub profile_data_dir: Option<PathBuf>,
    /// Capacity of a decode instance's KV cache in tokens, if the profile does not have it.
    pub max_kv_tokens: Option<f64>,
    /// Update the rule of thumb from measured TTFTs.
    pub enable_online_learning: bool,
    /// Correct the model by measurements.
    pub enable_correction: bool,
    /// Dry run: decisions are made and logged, but not carried out.
    pub no_operation: bool,
    /// How numbers are reduced to the budget [default: floor; sagellm: int].
    pub budget_rule: Option<BudgetRule>,
    /// How a profile's points are interpolated [default: monotone; dynamo: dynamo].
    pub interpolation: Option<Interpolation>,

    /// Weight of the newest value in exponential smoothing.
    pub smoothing_alpha: f64,
    /// Fit ARIMA, Prophet and the Kalman filter to log(1 + value).
    pub load_predictor_log1p: bool,
    /// Keep ARIMA's first order [default: no; dynamo: yes].
    pub arima_frozen_order: Option<bool>,
    /// Fewest points for Prophet [default: 6; sagellm: 10; dynamo: 5, with the last value instead of the mean below].
    pub prophet_minimum_points: Option<usize>,
    /// Variance of the change of the Kalman filter's level.
    pub kalman_q_level: f64,
    /// Variance of the change of its trend.
    pub kalman_q_trend: f64,
    /// Variance of a measurement.
    pub kalman_r: f64,

    /// Demand is the number of arrivals plus waiting requests, not of completions.
    pub demand_from_arrivals: Option<bool>,
    /// Correction factors are smoothed and clamped, and idle intervals do not change them.
    pub smooth_correction: Option<bool>,
    /// Weight of the newest correction factor.
    pub correction_alpha: f64,
    /// Smallest correction factor.
    pub correction_min: f64,
    /// Largest correction factor.
    pub correction_max: f64,
    /// Fewest requests of an interval for a correction.
    pub correction_min_requests: f64,
    /// Prefill demand counts uncached tokens only.
    pub discount_cached_tokens: Option<bool>,
    /// The TTFT target determines the prefill instances, through the waiting time of requests.
    pub honour_ttft: Option<bool>,
    /// Scale in only if one instance fewer still meets the target.
    pub guarded_scale_in: Option<bool>,
    /// Limit the change per interval.
    pub limit_steps: Option<bool>,
    /// Most instances of a role added in an interval.
    pub max_scale_out_per_tick: u32,
    /// Most instances of a role removed in an interval.
    pub max_scale_in_per_tick: u32,
    /// Starting instances count as future capacity.
    pub count_starting: Option<bool>,
    /// GPUs that the budget takes from prefill do not raise decode beyond its demand.
    pub cap_decode_at_demand: Option<bool>,
    /// An interval without requests leaves the predicted lengths unchanged, instead of setting them to 0.
    pub keep_lengths_when_idle: Option<bool>,
}

impl Default for PlannerConfig {
    fn default() -> Self {
        let predictor = PredictorOptions::default();
        Self {
            variant: Variant::Replay,
            target_ttft_ms: 200.0,
            target_itl_ms: 50.0,
            adjustment_interval_sec: 60.0,
            min_prefill_instances: 1,
            max_prefill_instances: 10,
            min_decode_instances: 1,
            max_decode_instances: 20,
            max_gpu_budget: 32,
            prefill_gpus_per_instance: 4,
            decode_gpus_per_instance: 1,
            load_predictor_type: "constant".into(),
            prediction_window_size: predictor.window,
            profile_data_dir: None,
            max_kv_tokens: None,
            enable_online_learning: true,
            enable_correction: true,
            no_operation: false,
            budget_rule: None,
            interpolation: None,
            smoothing_alpha: predictor.alpha,
            load_predictor_log1p: false,
            arima_frozen_order: None,
            prophet_minimum_points: None,
            kalman_q_level: predictor.kalman_q_level,
            kalman_q_trend: predictor.kalman_q_trend,
            kalman_r: predictor.kalman_r,
            demand_from_arrivals: None,
            smooth_correction: None,
            correction_alpha: 0.5,
            correction_min: 0.2,
            correction_max: 5.0,
            correction_min_requests: 5.0,
            discount_cached_tokens: None,
            honour_ttft: None,
            guarded_scale_in: None,
            limit_steps: None,
            max_scale_out_per_tick: 4,
            max_scale_in_per_tick: 1,
            count_starting: None,
            cap_decode_at_demand: None,
            keep_lengths_when_idle: None,
        }
    }
}

impl PlannerConfig {
    /// A variant with its own program's defaults: for Dynamo an interval of 180 s, 8 GPUs, a TTFT of 500 ms, ARIMA on 50
    /// intervals, and one GPU per instance.
    pub fn of(variant: Variant) -> Self {
        let base = Self {
            variant,
            ..Self::default()
        };
        match variant {
            Variant::Replay | Variant::Sagellm => base,
            Variant::Dynamo => Self {
                target_ttft_ms: 500.0,
                adjustment_interval_sec: 180.0,
                max_gpu_budget: 8,
                prefill_gpus_per_instance: 1,
                load_predictor_type: "arima".into(),
                prediction_window_size: 50,
                ..base
            },
        }
    }

    /// Whether an option is on: as set, else only in the variant `replay`.
    pub fn holds(&self, option: Option<bool>) -> bool {
        option.unwrap_or(self.variant == Variant::Replay)
    }

    /// How numbers are reduced to the budget.
    pub fn budget_rule(&self) -> BudgetRule {
        self.budget_rule.unwrap_or(match self.variant {
            Variant::Replay | Variant::Dynamo => BudgetRule::Floor,
            Variant::Sagellm => BudgetRule::Int,
        })
    }

    /// How a profile's points are interpolated.
    pub fn interpolation(&self) -> Interpolation {
        self.interpolation.unwrap_or(match self.variant {
            Variant::Replay | Variant::Sagellm => Interpolation::Monotone,
            Variant::Dynamo => Interpolation::Dynamo,
        })
    }

    /// Options of the predictors.
    pub fn predictor_options(&self) -> PredictorOptions {
        let dynamo = self.variant == Variant::Dynamo;
        PredictorOptions {
            window: self.prediction_window_size,
            interval_sec: self.adjustment_interval_sec,
            alpha: self.smoothing_alpha,
            log1p: self.load_predictor_log1p,
            arima_frozen_order: self.arima_frozen_order.unwrap_or(dynamo),
            // Six had the smallest errors at 60 and at 180 s on Mooncake's trace.
            prophet_minimum_points: self.prophet_minimum_points.unwrap_or(match self.variant {
                Variant::Replay => 6,
                Variant::Sagellm => 10,
                Variant::Dynamo => 5,
            }),
            prophet_falls_back_to_last: dynamo,
            kalman_q_level: self.kalman_q_level,
            kalman_q_trend: self.kalman_q_trend,
            kalman_r: self.kalman_r,
        }
    }

    /// Checks for invalid and contradictory keys.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the key.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &str, value: String, remedy: &str| {
            Err(Error::usage(format!("planner: {key} = {value}"), remedy))
        };
        for (key, value) in [
            ("target_ttft_ms", self.target_ttft_ms),
            ("target_itl_ms", self.target_itl_ms),
            ("adjustment_interval_sec", self.adjustment_interval_sec),
            ("correction_min", self.correction_min),
            ("correction_max", self.correction_max),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return refuse(key, value.to_string(), "give a number above 0");
            }
        }
        if self.correction_min > self.correction_max {
            let both = format!(
                "{} above correction_max = {}",
                self.correction_min, self.correction_max
            );
            return refuse(
                "correction_min",
                both,
                "give a minimum that is not above the maximum",
            );
        }
        if !(self.correction_alpha > 0.0 && self.correction_alpha <= 1.0) {
            return refuse(
                "correction_alpha",
                self.correction_alpha.to_string(),
                "give a number above 0 and up to 1",
            );
        }
        for (role, min, max, gpus) in [
            (
                "prefill",
                self.min_prefill_instances,
                self.max_prefill_instances,
                self.prefill_gpus_per_instance,
            ),
            (
                "decode",
                self.min_decode_instances,
                self.max_decode_instances,
                self.decode_gpus_per_instance,
            ),
        ] {
            if min > max {
                return refuse(
                    &format!("min_{role}_instances"),
                    format!("{min} above max_{role}_instances = {max}"),
                    "give a minimum that is not above the maximum",
                );
            }
            if gpus == 0 {
                return refuse(
                    &format!("{role}_gpus_per_instance"),
                    "0".into(),
                    "give 1 or more",
                );
            }
        }
        for (key, value) in [
            ("max_scale_out_per_tick", self.max_scale_out_per_tick),
            ("max_scale_in_per_tick", self.max_scale_in_per_tick),
        ] {
            if value == 0 {
                return refuse(
                    key,
                    "0".into(),
                    "give 1 or more, or set limit_steps = false",
                );
            }
        }
        let least = i64::from(self.min_prefill_instances)
            * i64::from(self.prefill_gpus_per_instance)
            + i64::from(self.min_decode_instances) * i64::from(self.decode_gpus_per_instance);
        if self.max_gpu_budget < -1 {
            return refuse(
                "max_gpu_budget",
                self.max_gpu_budget.to_string(),
                "give a number of GPUs, or -1 for no limit",
            );
        }
        if self.max_gpu_budget >= 0 && self.max_gpu_budget < least {
            return refuse(
                "max_gpu_budget",
                format!(
                    "{}, but the minimum numbers of instances need {least} GPUs",
                    self.max_gpu_budget
                ),
                "give more GPUs, or lower the minimum numbers of instances",
            );
        }
        if let Ok(table) = toml::Table::try_from(self) {
            check_table("planner: ", &table)?;
        }
        predictor::by_name(&self.load_predictor_type, &self.predictor_options()).map(drop)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::autoscale::planner::config::*;

    #[test]
    fn keys_and_their_defaults() {
        let config: PlannerConfig = toml::from_str("").unwrap();
        assert_eq!(config, PlannerConfig::default());
        config.check().unwrap();
        let text = "variant = \"dynamo\"\nbudget_rule = \"round\"\nmax_gpu_budget = -1\nguarded_scale_in = true";
        let config: PlannerConfig = toml::from_str(text).unwrap();
        assert_eq!(config.budget_rule(), BudgetRule::Round);
        assert_eq!(config.interpolation(), Interpolation::Dynamo);
        assert!(config.holds(config.guarded_scale_in) && !config.holds(config.honour_ttft));
        let error = toml::from_str::<PlannerConfig>("target_tftt_ms = 3").unwrap_err();
        assert!(error.to_string().contains("unknown field"));
        let again = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<PlannerConfig>(&again).unwrap(), config);
    }

    #[test]
    fn what_cannot_be_honoured_is_told_at_the_start() {
        for (text, told) in [
            ("max_gpu_budget = 4", "need 5 GPUs"),
            ("max_gpu_budget = -2", "-1 for no limit"),
            ("min_decode_instances = 21", "max_decode_instances"),
            ("target_ttft_ms = 0.0", "above 0"),
            ("load_predictor_type = \"prophe\"", "did you mean `prophet`"),
            ("prediction_window_size = 0", "window"),
            ("decode_gpus_per_instance = 0", "1 or more"),
            ("max_scale_in_per_tick = 0", "limit_steps"),
        ] {
            let config: PlannerConfig = toml::from_str(text).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
