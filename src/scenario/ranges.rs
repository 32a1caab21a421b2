//! Checks that all numbers of a scenario's configuration are in their ranges.

use super::ScenarioConfig;
use crate::base::error::{Error, Result};
use crate::base::key_ranges::check_table;

impl ScenarioConfig {
    /// Rejects a number outside the range of its key.
    pub(super) fn check_ranges(&self) -> Result<()> {
        let mut table = toml::Table::try_from(self).map_err(|error| {
            Error::usage(
                format!("the configuration is no TOML: {error}"),
                "give paths that are UTF-8, and seeds up to 9223372036854775807",
            )
        })?;
        // SplitwiseSim's section has rules of its own.
        table.remove("splitwise");
        check_table("", &table)
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::ScenarioConfig;

    fn refused(set: &str) -> String {
        let config = ScenarioConfig::preset("llama-8b-pd-4-4", &[set.to_owned()]);
        let refused = config.and_then(|config| config.prepare()).map(drop);
        refused.expect_err(set).to_string()
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for (set, expected) in [
            (
                "pool.prefill.instances=1000000",
                "pool.prefill.instances is 1000000; give from 0 to 10000",
            ),
            (
                "slo.ttft_seconds=nan",
                "slo.ttft_seconds is NaN; give from 0 to 1000000000",
            ),
            (
                "autoscaling.interval_seconds=1e-9",
                "autoscaling.interval_seconds is 0.000000001; give from 0.001 to 1000000000",
            ),
            (
                "cache.block_size=0",
                "cache.block_size is 0; give from 1 to 1048576",
            ),
            (
                "pool.decode.gpu_memory_utilization=1.5",
                "pool.decode.gpu_memory_utilization is 1.5; give above 0 and up to 1",
            ),
            (
                "autoscaling.kpa.stable_window=-5",
                "autoscaling.kpa.stable_window is -5; give from 0.001 to 1000000000",
            ),
            (
                "scheduler.max_num_seqs=0",
                "scheduler.max_num_seqs is 0; give from 1 to 1000000",
            ),
            (
                "autoscaling.prefill.max=4294967295",
                "autoscaling.prefill.max is 4294967295; give from 0 to 10000",
            ),
        ] {
            assert_eq!(refused(set), expected);
        }
    }
}
