//! Turns a configuration into a checked scenario, or returns an error.

use std::sync::Arc;

use super::build::{Kind, Scenario};
use super::check::no_pool;
use super::profiler::{self, Grid};
use super::sku::Sku;
use super::{PoolSection, ScenarioConfig};
use crate::autoscale::placement::{Placer, PoolNeeds};
use crate::autoscale::signals::FleetKind;
use crate::base::check::positive;
use crate::base::error::{Error, Result};
use crate::sim::latency::LatencyContext;
use crate::sim::router::{self, Stage};
use crate::sim::{PoolResources, Resize, Role};
use crate::trace::Nanos;

impl ScenarioConfig {
    /// Checks the configuration and reads the files that it names. For the policy `sla` without a profile, also measures a
    /// profile of the cluster's own instances.
    ///
    /// # Errors
    /// [`Error::Usage`] for an invalid value, with its key; [`Error::Input`] for files with invalid content.
    pub fn prepare(&self) -> Result<Scenario> {
        self.check()?;
        let mut kinds = Vec::new();
        let mut sizes = None;
        let mut reference = None;
        for pool in &self.pool {
            let model = self.model(pool)?;
            let scheduler = pool.scheduler.as_ref().unwrap_or(&self.scheduler).clone();
            scheduler.build()?;
            let latency = pool.latency.as_ref().unwrap_or(&self.latency);
            let context = LatencyContext {
                model: model.as_ref(),
                gpu: &pool.sku,
                seed: self.seed,
            };
            let latency = latency.prepare(&context)?;
            let bytes = self.kv_bytes(model.as_ref(), pool);
            let known = model.as_ref().map(|model| model.layout().layers as u32);
            let layers = self.model.layers.or(known);
            sizes = sizes.or(bytes.map(|bytes| (bytes, layers.unwrap_or(1))));
            if reference.is_none() {
                reference = Some(match &self.slo.reference {
                    Some(reference) => reference.prepare(&context)?,
                    None => latency.clone(),
                });
            }
            let (hour_cost, watts) = Sku::by_name(&pool.sku)?;
            let resources = PoolResources {
                pool: pool.name.clone(),
                sku: pool.sku.clone(),
                gpus: pool.gpus,
                blocks: self.blocks(pool, model.as_ref(), bytes)?,
                hour_cost: pool.gpu_hour_cost.or(hour_cost),
                watts,
            };
            kinds.push(Kind {
                resources,
                role: pool.role,
                instances: pool.instances,
                startup: Nanos::from_secs_f64(pool.startup_seconds),
                scheduler,
                latency,
            });
        }
        let splits = self.pool.iter().any(|pool| pool.role == Role::Prefill);
        let (kv_bytes_per_token, layers) = match sizes {
            Some(sizes) => sizes,
            None if !splits => (0.0, 1),
            None => {
                return Err(Error::usage(
                    format!(
                        "model `{}` has no known KV size, which KV transfers need",
                        self.model.name
                    ),
                    "use a built-in model or set model.kv_bytes_per_token",
                ));
            }
        };
        let Some(reference) = reference else {
            return Err(no_pool());
        };
        let mut resizes = Vec::new();
        for resize in &self.resize {
            let names: Vec<&str> = self.pool.iter().map(|pool| pool.name.as_str()).collect();
            let Some(pool) = names.iter().position(|name| *name == resize.pool) else {
                return Err(Error::unknown_name("pool", &resize.pool, &names));
            };
            positive("resize.at_seconds", resize.at_seconds, true)?;
            resizes.push(Resize {
                at: Nanos::from_secs_f64(resize.at_seconds),
                pool: pool as u32,
                instances: resize.instances,
            });
        }
        resizes.sort_by_key(|resize| resize.at);
        for (text, stage) in [
            (&self.router.prompt, Stage::Prompt),
            (&self.router.output, Stage::Output),
        ] {
            router::by_name(text, self.seed, stage)?;
        }
        let (placer, sites) = self.place()?;
        let mut config = self.clone();
        let roles = |role: Role| self.pool.iter().any(|pool| pool.role == role);
        let measured = match self.autoscaling.lacks_profile() {
            true if roles(Role::Prefill) && roles(Role::Decode) => {
                let measured = profiler::measure(self, &Grid::default())?;
                config.autoscaling.measured = Some(Arc::new(measured.profile.clone()));
                Some(measured)
            }
            _ => None,
        };
        let prepared = Scenario {
            config,
            measured,
            kinds,
            reference,
            kv_bytes_per_token,
            layers,
            resizes,
            placer,
            sites,
        };
        if self.autoscaling.is_on() {
            prepared.autoscaler()?;
        }
        Ok(prepared)
    }

    /// The sites of the initial instances of each pool.
    fn place(&self) -> Result<(Placer, Vec<Vec<u32>>)> {
        let needs = |pool: &PoolSection| PoolNeeds {
            kind: FleetKind::from(pool.role),
            sku: pool.sku.clone(),
            gpus: pool.gpus,
        };
        let placer = Placer::new(&self.topology, self.pool.iter().map(needs).collect());
        let mut sites: Vec<Vec<u32>> = vec![Vec::new(); self.pool.len()];
        let most = self.pool.iter().map(|pool| pool.instances).max();
        let mut filling = placer.clone();
        // Sites are assigned in turn, so that each site has instances of every role.
        for round in 0..most.unwrap_or(0) {
            for (index, pool) in self.pool.iter().enumerate() {
                if round < pool.instances {
                    let Some(site) = filling.next_of(index as u32) else {
                        return Err(Error::usage(
                            format!(
                                "no [[topology.site]] has room for instance {} of pool `{}`",
                                round + 1,
                                pool.name
                            ),
                            format!("give sites more of {}", pool.sku),
                        ));
                    };
                    sites[index].push(site);
                }
            }
        }
        Ok((placer, sites))
    }
}
