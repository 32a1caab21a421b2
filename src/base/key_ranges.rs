//! The accepted ranges of all numbers in configurations, by key.

use toml::{Table, Value};

use super::check::Range;
use super::error::Result;
use super::limits::*;

/// Ranges by the last part of a key; a `*` matches any beginning or end. The first match applies.
const KEYS: [(&str, Range); 62] = [
    ("seed", ANY),
    ("block_size", BLOCK_SIZE),
    ("blocks", BLOCKS),
    // Instances, and GPUs of instances.
    ("instances", INSTANCES),
    ("*_instances", INSTANCES),
    ("max_scale_*_per_tick", STEP),
    ("max_step_*", STEP),
    ("step_out", STEP),
    ("step_in", STEP),
    ("step", STEP),
    ("min", INSTANCES),
    ("max", INSTANCES),
    ("pods", INSTANCES),
    ("gpus", GPUS),
    ("*_gpus_per_instance", GPUS),
    ("tensor_parallel", GPUS),
    // Times.
    ("interval_seconds", INTERVAL),
    ("window_seconds", INTERVAL),
    ("sync_period_seconds", INTERVAL),
    ("period_seconds", INTERVAL),
    ("adjustment_interval_sec", INTERVAL),
    ("day_seconds", INTERVAL),
    ("*_seconds", SECONDS),
    ("seconds", SECONDS),
    ("*_delay", SECONDS),
    ("stable_window", INTERVAL),
    ("*_slo", SOME_SECONDS),
    ("ttft_target", SOME_SECONDS),
    ("tbt_target", SOME_SECONDS),
    ("host_overhead_ms", WEIGHT),
    ("*_ms", MILLISECONDS),
    ("*_ms_per_token", MILLISECONDS),
    ("*_ms_per_request", MILLISECONDS),
    ("*_us", MICROSECONDS),
    ("time_scale", FACTOR),
    // Sizes of steps, and of the model.
    ("max_num_seqs", SEQUENCES),
    ("batch_size_cap", SEQUENCES),
    ("max_num_batched_tokens", TOKENS),
    ("max_tokens_in_batch", TOKENS),
    ("chunk_size", TOKENS),
    ("*_chunk_size", TOKENS),
    ("chunk_schedule_max_tokens", TOKENS),
    ("chunk_schedule_stages", TOKENS),
    ("layers", SEQUENCES),
    ("kv_bytes_per_token", FACTOR),
    ("weight_bytes", Range::of(0.0, 1e18)),
    ("max_kv_tokens", FACTOR),
    // Fractions and percentiles.
    ("gpu_memory_utilization", SOME_FRACTION),
    ("watermark", FRACTION),
    ("watermark_blocks_fraction", FRACTION),
    ("damping", SOME_FRACTION),
    ("correction_alpha", SOME_FRACTION),
    ("smoothing_alpha", SOME_FRACTION),
    ("percentile", PERCENTILE),
    // Predictors keep this many intervals.
    ("prediction_window_size", STEP),
    ("prophet_minimum_points", STEP),
    // These may be negative: -1 is no budget, and weights have either sign.
    ("max_gpu_budget", WEIGHT),
    ("*_weight", WEIGHT),
    ("gpu_hour_cost", FACTOR),
    ("gb_per_second", Range::of(1e-9, 1e9)),
    ("*_efficiency", Range::of(1e-6, 1e6)),
    ("*", FACTOR),
];

/// The range of a key by its last part.
fn range(key: &str) -> Range {
    let fits = |pattern: &str| match pattern.split_once('*') {
        None => pattern == key,
        Some((start, end)) => {
            key.len() >= start.len() + end.len() && key.starts_with(start) && key.ends_with(end)
        }
    };
    let found = KEYS.iter().find(|(pattern, _)| fits(pattern));
    found.map_or(FACTOR, |(_, range)| *range)
}

/// Rejects a number outside the range of its key. `section` is what keys begin with in messages, e.g. `planner.`.
///
/// # Errors
/// [`Error::Usage`] with the key, the number and the accepted range.
pub fn check_table(section: &str, table: &Table) -> Result<()> {
    table
        .iter()
        .try_for_each(|(key, value)| check(&format!("{section}{key}"), key, value))
}

/// Checks a value and what is below it. `path` is the whole key, and `key` its last part.
fn check(path: &str, key: &str, value: &Value) -> Result<()> {
    match value {
        Value::Integer(number) => range(key).check(path, *number as f64),
        Value::Float(number) => range(key).check(path, *number),
        Value::Table(table) => check_table(&format!("{path}."), table),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            let name = item.get("name").and_then(Value::as_str);
            let name = name.map_or_else(|| index.to_string(), str::to_owned);
            check(&format!("{path}.{name}"), key, item)
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::key_ranges::*;

    #[test]
    fn the_first_pattern_that_matches_applies() {
        assert_eq!(range("interval_seconds"), INTERVAL);
        assert_eq!(range("startup_seconds"), SECONDS);
        assert_eq!(range("min_prefill_instances"), INSTANCES);
        assert_eq!(range("kalman_r"), FACTOR);
    }

    #[test]
    fn all_levels_are_checked() {
        let text = "seed = 1\n[a]\nb = [1.0, 2.0, -3.0]\n[[pool]]\nname = \"x\"\ngpus = 8\n";
        let told = |text: &str| {
            let table = toml::from_str(text).expect("TOML");
            check_table("top.", &table).map_err(|error| error.to_string())
        };
        assert_eq!(
            told(text),
            Err("top.a.b.2 is -3; give from 0 to 1000000000000".to_owned())
        );
        assert_eq!(
            told(&text.replace("-3.0", "3.0").replace('8', "0")),
            Err("top.pool.x.gpus is 0; give from 1 to 1024".to_owned())
        );
        assert_eq!(told(&text.replace("-3.0", "3.0")), Ok(()));
    }
}
