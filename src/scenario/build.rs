//! A checked scenario, and the clusters built from it.

use super::ScenarioConfig;
use super::profiler::Measured;
use crate::autoscale::placement::Placer;
use crate::autoscale::{Autoscaler, signals::FleetKind};
use crate::base::error::Result;
use crate::base::limits::ALL_BLOCKS;
use crate::cache::BlockTrace;
use crate::cache::engine;
use crate::sim::latency::{LatencyFactory, LatencyModel};
use crate::sim::replica::SchedulerConfig;
use crate::sim::router::{self, Stage};
use crate::sim::{Cluster, InstanceSpec, Kv, Pool, PoolResources, Resize, Role, Workload};
use crate::trace::{Content, Nanos, Trace};

/// A checked configuration, with the contents of all its files. Each run builds a new cluster from it.
#[derive(Debug)]
pub struct Scenario {
    pub(super) config: ScenarioConfig,
    pub(super) measured: Option<Measured>,
    pub(super) kinds: Vec<Kind>,
    pub(super) reference: LatencyFactory,
    pub(super) kv_bytes_per_token: f64,
    pub(super) layers: u32,
    pub(super) resizes: Vec<Resize>,
    pub(super) placer: Placer,
    pub(super) sites: Vec<Vec<u32>>,
}

/// A checked pool, from which its instances are built.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) resources: PoolResources,
    pub(super) role: Role,
    pub(super) instances: u32,
    pub(super) startup: Nanos,
    pub(super) scheduler: SchedulerConfig,
    pub(super) latency: LatencyFactory,
}

impl Scenario {
    /// Builds the autoscaler of one run.
    ///
    /// # Errors
    /// As [`Autoscaler::new`].
    pub(super) fn autoscaler(&self) -> Result<Autoscaler> {
        let mut fleets: Vec<FleetKind> = self.kinds.iter().map(|kind| kind.role.into()).collect();
        fleets.sort_unstable();
        fleets.dedup();
        let config = &self.config;
        Autoscaler::new(
            &config.autoscaling,
            &config.slo.objectives(),
            &fleets,
            self.placer.clone(),
        )
    }

    /// The profile of the cluster's own instances, which was measured because the policy needs one and the configuration has
    /// none.
    pub fn measured_profile(&self) -> Option<&Measured> {
        self.measured.as_ref()
    }

    /// The configuration of this scenario.
    pub fn config(&self) -> &ScenarioConfig {
        &self.config
    }

    /// GPUs, memory and prices of an instance of each pool.
    pub fn resources(&self) -> Vec<PoolResources> {
        self.kinds
            .iter()
            .map(|kind| kind.resources.clone())
            .collect()
    }

    /// Step times of an idle reference instance; slowdowns are relative to them.
    pub fn reference(&self) -> Box<dyn LatencyModel> {
        self.reference.build(u32::MAX)
    }

    /// The pools' sizes at the start, e.g. `prefill-4_decode-4`.
    pub fn start_state(&self) -> String {
        let pools = self.kinds.iter();
        let names = pools.map(|kind| format!("{}-{}", kind.resources.pool, kind.instances));
        names.collect::<Vec<_>>().join("_")
    }

    /// Names of the pools' schedulers, without duplicates.
    pub fn schedulers(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for kind in &self.kinds {
            if !names.contains(&kind.scheduler.name()) {
                names.push(kind.scheduler.name());
            }
        }
        names.join("_")
    }

    /// The trace in blocks; `None` if instances have no prefix cache or the trace has lengths only.
    ///
    /// # Errors
    /// As [`BlockTrace::new`].
    pub fn blocks(&self, trace: &Trace) -> Result<Option<BlockTrace>> {
        let cache = &self.config.cache;
        let finds = self
            .kinds
            .iter()
            .any(|kind| kind.scheduler.finds_prefixes());
        let size = match trace.content() {
            Content::Lengths => return Ok(None),
            Content::HashIds { block_size } => block_size,
            Content::Tokens => cache.block_size,
        };
        if !cache.prefix || !finds {
            return Ok(None);
        }
        BlockTrace::new(trace, Some(size), engine::hash_scheme("vllm")?).map(Some)
    }

    /// Builds a cluster for one run with a seed.
    ///
    /// # Errors
    /// As [`router::by_name`], and caches that would not fit into memory.
    pub fn cluster<'a>(&'a self, workload: &Workload<'_>, seed: u64) -> Result<Cluster<'a>> {
        let config = &self.config;
        let contents = workload.blocks().map(BlockTrace::distinct);
        // A trace of hash ids has its own block size; the memory in tokens is unchanged.
        let own = config.cache.block_size;
        let size = workload.blocks().map_or(own, BlockTrace::block_size);
        if contents.is_some() {
            let kv = |kind: &Kind| f64::from(kind.instances) * f64::from(kind.resources.blocks);
            ALL_BLOCKS.check(
                "the number of blocks of all instances (pool.NAME.instances and pool.NAME.blocks)",
                self.kinds.iter().map(kv).sum(),
            )?;
        }
        let mut pools = Vec::new();
        for (kind, sites) in self.kinds.iter().zip(&self.sites) {
            let blocks =
                (u64::from(kind.resources.blocks) * u64::from(own) / u64::from(size)).max(1);
            let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
            let contents = contents.filter(|_| kind.scheduler.finds_prefixes());
            pools.push(Pool {
                name: kind.resources.pool.clone(),
                role: kind.role,
                instances: kind.instances,
                startup: kind.startup,
                sites: sites.clone(),
                make: Box::new(move |number| InstanceSpec {
                    kv: match contents {
                        Some(contents) => Kv::cached(size, blocks, contents),
                        None => Kv::counted(size, blocks),
                    },
                    scheduler: match kind.scheduler.build() {
                        Ok(scheduler) => scheduler,
                        Err(_) => unreachable!("it was built when it was checked"),
                    },
                    latency: kind.latency.build(number),
                }),
            });
        }
        Ok(Cluster {
            pools,
            prompt_router: router::by_name(&config.router.prompt, seed, Stage::Prompt)?,
            output_router: router::by_name(&config.router.output, seed, Stage::Output)?,
            transfer: config.transfer.clone(),
            kv_bytes_per_token: self.kv_bytes_per_token,
            layers: self.layers,
            write_back: config.cache.write_back,
            pacing: config.workload.pacing,
            resizes: self.resizes.clone(),
            topology: config.topology.clone(),
            end: config.end_seconds.map(Nanos::from_secs_f64),
            log_steps: false,
        })
    }
}
