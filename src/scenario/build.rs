//! From a configuration to a cluster, or a clear error.

use super::sku::Sku;
use super::{PoolSection, ScenarioConfig};
use crate::autoscale::placement::{Placer, PoolNeeds};
use crate::autoscale::{Autoscaler, signals::FleetKind};
use crate::base::check::positive;
use crate::base::error::{Error, Result};
use crate::cache::BlockTrace;
use crate::cache::capacity::{Budget, KvDtype, ModelConfig, Storage, gpu_memory};
use crate::cache::engine;
use crate::sim::Kv;
use crate::sim::Role;
use crate::sim::Workload;
use crate::sim::latency::{LatencyContext, LatencyFactory, LatencyModel};
use crate::sim::replica::SchedulerConfig;
use crate::sim::router::{self, Stage};
use crate::sim::{Cluster, InstanceSpec, Pool, PoolResources, Resize};
use crate::trace::{Content, Nanos, Trace};

/// A configuration that was checked, with all files read: clusters are made of it, one per run.
#[derive(Debug)]
pub struct Scenario {
    config: ScenarioConfig,
    kinds: Vec<Kind>,
    reference: LatencyFactory,
    kv_bytes_per_token: f64,
    layers: u32,
    resizes: Vec<Resize>,
    placer: Placer,
    sites: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Kind {
    resources: PoolResources,
    role: Role,
    instances: u32,
    startup: Nanos,
    scheduler: SchedulerConfig,
    latency: LatencyFactory,
}

impl ScenarioConfig {
    /// Checks everything, and reads what it names.
    ///
    /// # Errors
    /// [`Error::Usage`] for what cannot be, with the key; [`Error::Input`] for files that are not as they should be.
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
                        "nobody knows how large the KV of `{}` is, and it is to be moved",
                        self.model.name
                    ),
                    "name a built-in model under [model], or give kv_bytes_per_token there",
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
        let prepared = Scenario {
            config: self.clone(),
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

    /// Where the instances of the beginning stand, pool by pool.
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
        // In turn, so that roles stand together.
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

    fn check(&self) -> Result<()> {
        if self.pool.is_empty() {
            return Err(no_pool());
        }
        let mut names = Vec::new();
        for pool in &self.pool {
            let key = |name: &str| format!("pool.{}.{name}", pool.name);
            if pool.name.is_empty() || names.contains(&&pool.name) {
                return Err(Error::usage(
                    format!("two pools are named {:?}, or one is not named", pool.name),
                    "give each [[pool]] a name of its own",
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
        // A pool that is empty now may be filled later.
        let has = |roles: &[Role]| {
            self.pool.iter().any(|pool| {
                let later = |resize: &super::ResizeSection| {
                    resize.pool == pool.name && resize.instances > 0
                };
                roles.contains(&pool.role) && (pool.instances > 0 || self.resize.iter().any(later))
            })
        };
        if !has(&[Role::Prefill, Role::Mixed, Role::Aggregated]) {
            return Err(Error::usage(
                "no instance takes prompts",
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

    /// The model as a pool's instances store it, if its sizes are known.
    fn model(&self, pool: &PoolSection) -> Result<Option<ModelConfig>> {
        let section = &self.model;
        let model = match &section.config {
            Some(path) => ModelConfig::load(path)?,
            None => match ModelConfig::builtin(&section.name) {
                Ok(model) => model,
                // A model that a table knows needs no sizes but those given.
                Err(_) if section.kv_bytes_per_token.is_some() => return Ok(None),
                Err(_) if self.needs_no_sizes() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let storage = Storage {
            dtype: KvDtype::by_name(&section.kv_cache_dtype)?,
            tensor_parallel: u64::from(pool.gpus),
            pipeline_parallel: 1,
        };
        model.stored(storage).map(Some)
    }

    /// Whether all pools say how many blocks they have and nothing else asks for a model.
    fn needs_no_sizes(&self) -> bool {
        self.pool.iter().all(|pool| {
            let latency = pool.latency.as_ref().unwrap_or(&self.latency);
            pool.blocks.is_some() && !latency.needs_model() && pool.role == Role::Aggregated
        })
    }

    /// KV of a token over all GPUs of an instance, in bytes.
    fn kv_bytes(&self, model: Option<&ModelConfig>, pool: &PoolSection) -> Option<f64> {
        let of_model = model.map(|model| model.bytes_per_token() as f64 * f64::from(pool.gpus));
        self.model.kv_bytes_per_token.or(of_model)
    }

    fn blocks(
        &self,
        pool: &PoolSection,
        model: Option<&ModelConfig>,
        bytes: Option<f64>,
    ) -> Result<u32> {
        if let Some(blocks) = pool.blocks {
            return Ok(blocks);
        }
        let unknown = || {
            Error::usage(
                format!(
                    "pool.{}.blocks is not given, and the model's sizes are not known",
                    pool.name
                ),
                "give blocks, or a built-in model, or its config.json with weight_bytes and kv_bytes_per_token",
            )
        };
        let memory = gpu_memory(&pool.sku)?;
        let weights = self.model.weight_bytes;
        let blocks = match (weights, model) {
            (None, Some(model)) => {
                let budget = Budget {
                    memory,
                    utilization: pool.gpu_memory_utilization,
                    weights: model.weight_bytes().ok_or_else(unknown)?,
                    overhead: Budget::OVERHEAD,
                    block_size: self.cache.block_size,
                    max_length: model.max_length().unwrap_or(8192),
                    max_batched: 2048,
                };
                budget.fit(model)?.usable_blocks
            }
            (Some(weights), _) => {
                let all = memory as f64 * f64::from(pool.gpus) * pool.gpu_memory_utilization;
                let block = bytes.ok_or_else(unknown)? * f64::from(self.cache.block_size);
                ((all - weights) / block).max(0.0) as u64
            }
            (None, None) => return Err(unknown()),
        };
        match u32::try_from(blocks) {
            Ok(0) | Err(_) => Err(Error::usage(
                format!(
                    "pool.{}: {blocks} blocks are left for a KV cache",
                    pool.name
                ),
                "take more or larger GPUs, or a smaller model",
            )),
            Ok(blocks) => Ok(blocks),
        }
    }
}

fn no_pool() -> Error {
    Error::usage(
        "the cluster has no instances",
        "add a [[pool]] with a name, a role and a number of instances",
    )
}

impl Scenario {
    /// What changes the cluster's size.
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

    /// The configuration that it was made of.
    pub fn config(&self) -> &ScenarioConfig {
        &self.config
    }

    /// What instances are, by pool.
    pub fn resources(&self) -> Vec<PoolResources> {
        self.kinds
            .iter()
            .map(|kind| kind.resources.clone())
            .collect()
    }

    /// What an unloaded reference instance needs.
    pub fn reference(&self) -> Box<dyn LatencyModel> {
        self.reference.build(u32::MAX)
    }

    /// A name of the pools' sizes: `prefill-4_decode-4`.
    pub fn start_state(&self) -> String {
        let pools = self.kinds.iter();
        let names = pools.map(|kind| format!("{}-{}", kind.resources.pool, kind.instances));
        names.collect::<Vec<_>>().join("_")
    }

    /// Names of the pools' schedulers, each once.
    pub fn schedulers(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for kind in &self.kinds {
            if !names.contains(&kind.scheduler.name()) {
                names.push(kind.scheduler.name());
            }
        }
        names.join("_")
    }

    /// The trace in blocks, if its prefixes are to be found and it tells what its tokens are.
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

    /// A cluster for one run with a seed.
    ///
    /// # Errors
    /// As [`router::by_name`].
    pub fn cluster<'a>(&'a self, workload: &Workload<'_>, seed: u64) -> Result<Cluster<'a>> {
        let config = &self.config;
        let contents = workload.blocks().map(BlockTrace::distinct);
        // A trace of hash ids brings its block size; memory stays the same.
        let own = config.cache.block_size;
        let size = workload.blocks().map_or(own, BlockTrace::block_size);
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
