//! Checks of a configuration that need no other file.

use super::{ResizeSection, ScenarioConfig};
use crate::base::check::positive;
use crate::base::error::{Error, Result};
use crate::sim::Role;

impl ScenarioConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.pool.is_empty() {
            return Err(no_pool());
        }
        let mut names = Vec::new();
        for pool in &self.pool {
            let key = |name: &str| format!("pool.{}.{name}", pool.name);
            if pool.name.is_empty() || names.contains(&&pool.name) {
                return Err(Error::usage(
                    format!("two pools are named {:?}, or a pool has no name", pool.name),
                    "give each [[pool]] a unique name",
                ));
            }
            names.push(&pool.name);
            for (name, number) in [("gpus", pool.gpus), ("blocks", pool.blocks.unwrap_or(1))] {
                if number == 0 {
                    return Err(Error::usage(
                        format!("{} is 0", key(name)),
                        "give 1 or more",
                    ));
                }
            }
            positive(&key("startup_seconds"), pool.startup_seconds, true)?;
            positive(
                &key("gpu_memory_utilization"),
                pool.gpu_memory_utilization,
                false,
            )?;
        }
        for (name, number, zero) in [
            ("workload.time_scale", self.workload.time_scale, true),
            ("transfer.gb_per_second", self.transfer.gb_per_second, false),
            ("transfer.latency_ms", self.transfer.latency_ms, true),
            ("slo.ttft_seconds", self.slo.ttft_seconds, false),
            ("slo.tbt_seconds", self.slo.tbt_seconds, false),
            (
                "slo.e2e_seconds",
                self.slo.e2e_seconds.unwrap_or(1.0),
                false,
            ),
            ("end_seconds", self.end_seconds.unwrap_or(1.0), false),
        ] {
            positive(name, number, zero)?;
        }
        if self.cache.block_size == 0 {
            return Err(Error::usage("cache.block_size is 0", "give 1 or more"));
        }
        // A pool that is empty at the start may grow later.
        let has = |roles: &[Role]| {
            self.pool.iter().any(|pool| {
                let later =
                    |resize: &ResizeSection| resize.pool == pool.name && resize.instances > 0;
                roles.contains(&pool.role) && (pool.instances > 0 || self.resize.iter().any(later))
            })
        };
        if !has(&[Role::Prefill, Role::Mixed, Role::Aggregated]) {
            return Err(Error::usage(
                "no instance computes prompts",
                "give a [[pool]] with role prefill, mixed or aggregated at least one instance",
            ));
        }
        if has(&[Role::Prefill]) && !has(&[Role::Decode, Role::Mixed]) {
            return Err(Error::usage(
                "prefill instances have nowhere to send their outputs",
                "give a [[pool]] with role decode or mixed at least one instance",
            ));
        }
        Ok(())
    }
}

pub(super) fn no_pool() -> Error {
    Error::usage(
        "the cluster has no instances",
        "add a [[pool]] with a name, a role and a number of instances",
    )
}
