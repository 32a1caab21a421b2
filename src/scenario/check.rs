//! Checks of a configuration that need no other file.

use super::{ResizeSection, ScenarioConfig};
use crate::base::error::{Error, Result};
use crate::base::limits::SOME_SECONDS;
use crate::sim::Role;

impl ScenarioConfig {
    pub(super) fn check(&self) -> Result<()> {
        if self.pool.is_empty() {
            return Err(no_pool());
        }
        self.check_ranges()?;
        let mut names = Vec::new();
        for pool in &self.pool {
            if pool.name.is_empty() || names.contains(&&pool.name) {
                return Err(Error::usage(
                    format!("two pools are named {:?}, or a pool has no name", pool.name),
                    "give each [[pool]] a unique name",
                ));
            }
            names.push(&pool.name);
        }
        for (name, seconds) in [
            ("slo.ttft_seconds", Some(self.slo.ttft_seconds)),
            ("slo.tbt_seconds", Some(self.slo.tbt_seconds)),
            ("slo.e2e_seconds", self.slo.e2e_seconds),
            ("end_seconds", self.end_seconds),
        ] {
            SOME_SECONDS.check(name, seconds.unwrap_or(1.0))?;
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
