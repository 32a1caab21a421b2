//! Measures the simulator's own instances as Dynamo's profiler measures real ones (`dynamo/profiler`). Prefill is measured with
//! single prompts of increasing length, decode with batches of equal requests at increasing concurrency for several context
//! lengths.

use std::path::Path;

use crate::autoscale::AutoscalingSection;
use crate::autoscale::planner::profile::{
    DECODE_CSV, DecodePoint, PREFILL_CSV, PrefillPoint, Profile,
};
use crate::autoscale::planner::profile_facts::{InstanceFacts, ProfileFacts};
use crate::base::error::{Error, Result};
use crate::base::io::{StagedFolder, write_file};
use crate::scenario::{
    LatencyConfig, PoolSection, RunOptions, Scenario, ScenarioConfig, SchedulerConfig,
};
use crate::sim::Item;
use crate::sim::Role;
use crate::sim::latency::Constant;
use crate::sim::transfer::Contention;
use crate::sim::{Records, Workload};
use crate::trace::Nanos;

/// The grid of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Shortest prompt, in tokens.
    pub min_isl: u32,
    /// Longest prompt, in tokens.
    pub max_isl: u32,
    /// Output tokens of each request in decode measurements.
    pub osl: u32,
    /// Number of prompt lengths for prefill.
    pub prefill_points: u32,
    /// Number of context lengths for decode.
    pub contexts: u32,
    /// Number of concurrencies for each context length.
    pub loads: u32,
}

impl Grid {
    /// Number of prompt tokens that fill one step of an instance: several short prompts together have the throughput of one
    /// prompt of their total length.
    const FULL_STEP: u32 = 8192;

    /// Creates the grid that covers the lengths of a workload's requests and a full step of prompt tokens. Outputs have at
    /// least 20 tokens, so that the mean is over several gaps.
    pub fn of(workload: &Workload<'_>) -> Self {
        let prompts = workload.items().iter().map(|item| item.prompt);
        let outputs = workload.items().iter().map(|item| u64::from(item.output));
        let count = workload.items().len().max(1) as u64;
        let mean = outputs.sum::<u64>().div_ceil(count);
        let shortest = prompts.clone().min().unwrap_or(1).max(1);
        Self {
            min_isl: shortest,
            max_isl: prompts
                .max()
                .unwrap_or(1)
                .max(shortest.max(Self::FULL_STEP)),
            osl: u32::try_from(mean).unwrap_or(u32::MAX).max(20),
            ..Self::default()
        }
    }
}

impl Default for Grid {
    /// The size of the profile in Dynamo's tests.
    fn default() -> Self {
        Self {
            min_isl: 100,
            max_isl: 16_384,
            osl: 500,
            prefill_points: 17,
            contexts: 6,
            loads: 7,
        }
    }
}

/// A measured profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The measured points.
    pub profile: Profile,
    /// The measured instances.
    pub facts: ProfileFacts,
    /// Number of context lengths for which memory would hold more requests than the scheduler's maximum.
    pub limited: u32,
}

impl Measured {
    /// Writes the profile's two CSV files and `profile.json` into a folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let (prefill, decode) = self.profile.to_csv();
        let begun = StagedFolder::begin(folder)?;
        let folder = begun.path();
        self.facts.write(folder)?;
        write_file(folder.join(PREFILL_CSV), prefill.as_bytes())?;
        write_file(folder.join(DECODE_CSV), decode.as_bytes())?;
        // Without the last file, the folder holds no profile.
        begun.finish(&[DECODE_CSV])
    }
}

/// Measures the first prefill pool and the first decode pool of a configuration; an aggregated pool is measured as both.
///
/// # Errors
/// [`Error::Usage`] for a configuration that has no such pools or cannot be prepared, or if no measurement fits into memory.
pub fn measure(config: &ScenarioConfig, grid: &Grid) -> Result<Measured> {
    if grid.min_isl == 0 || grid.min_isl > grid.max_isl || grid.osl < 2 {
        return Err(Error::usage(
            format!(
                "the profile cannot have prompts of {} to {} tokens with {} output tokens",
                grid.min_isl, grid.max_isl, grid.osl
            ),
            "give prompts of 1 token or more, the shortest first, and 2 output tokens or more",
        ));
    }
    let pool = |role: Role| {
        let pools = &config.pool;
        let own = pools.iter().find(|pool| pool.role == role);
        own.or_else(|| pools.iter().find(|pool| pool.role == Role::Aggregated))
            .ok_or_else(|| {
                Error::usage(
                    format!("{}: no pool to measure {role:?} on", config.name),
                    "give it a pool of that role, or an aggregated pool",
                )
            })
    };
    let (prefill_pool, decode_pool) = (pool(Role::Prefill)?, pool(Role::Decode)?);
    let (prefill, prefill_kv) = prefill_points(config, prefill_pool, grid)?;
    let (decode, max_kv_tokens, limited) = decode_points(config, decode_pool, grid)?;
    Ok(Measured {
        facts: ProfileFacts {
            version: crate::base::version::VERSION.to_owned(),
            cluster: config.name.clone(),
            model: config.model.name.clone(),
            prefill: facts(config, prefill_pool, prefill_kv),
            decode: facts(config, decode_pool, max_kv_tokens as u64),
        },
        profile: Profile {
            prefill,
            decode,
            max_kv_tokens,
        },
        limited,
    })
}

/// Metadata of a measured instance.
fn facts(config: &ScenarioConfig, pool: &PoolSection, kv_tokens: u64) -> InstanceFacts {
    let latency = pool.latency.as_ref().unwrap_or(&config.latency);
    InstanceFacts {
        pool: pool.name.clone(),
        gpus_per_instance: pool.gpus,
        gpu: pool.sku.clone(),
        kv_tokens,
        scheduler: pool
            .scheduler
            .as_ref()
            .unwrap_or(&config.scheduler)
            .name()
            .to_owned(),
        latency: latency.name().to_owned(),
    }
}

/// Returns the configuration with only these pools, without autoscaling, prefix caches and other settings that would affect the
/// measurement.
fn alone(config: &ScenarioConfig, pools: Vec<PoolSection>) -> ScenarioConfig {
    let mut config = config.clone();
    config.pool = pools;
    config.resize.clear();
    config.autoscaling = AutoscalingSection::default();
    config.end_seconds = None;
    config.cache.prefix = false;
    config.cache.write_back = false;
    config.router.prompt = "round-robin".into();
    config.router.output = "round-robin".into();
    config
}

fn run(prepared: &Scenario, items: Vec<Item>) -> Result<Records> {
    let workload = Workload::of_items(items);
    let run = prepared.run(&workload, prepared.config().seed, RunOptions::default())?;
    Ok(run.records)
}

fn same(count: u32, prompt: u32, output: u32) -> Vec<Item> {
    let item = |session| Item {
        arrival: Nanos::ZERO,
        session,
        prompt,
        output,
    };
    (0..count).map(item).collect()
}

/// Evenly spaced whole numbers from `from` to `to`, without duplicates.
fn spread(from: u32, to: u32, points: u32) -> Vec<u32> {
    let steps = f64::from(points.max(2) - 1);
    let place = |i: u32| f64::from(from) + f64::from(to - from) * f64::from(i) / steps;
    let mut out: Vec<u32> = (0..points.max(1)).map(|i| place(i) as u32).collect();
    out.dedup();
    out
}

/// Measures the TTFT of prompts on an idle instance.
fn prefill_points(
    config: &ScenarioConfig,
    pool: &PoolSection,
    grid: &Grid,
) -> Result<(Vec<PrefillPoint>, u64)> {
    let own = PoolSection {
        role: Role::Aggregated,
        instances: 1,
        ..pool.clone()
    };
    let prepared = alone(config, vec![own]).prepare()?;
    let kv_tokens = u64::from(prepared.resources()[0].blocks) * u64::from(config.cache.block_size);
    let gpus = f64::from(pool.gpus);
    let mut out = Vec::new();
    for isl in spread(grid.min_isl, grid.max_isl, grid.prefill_points) {
        // The request has one output token, so it finishes when its prompt is computed.
        let records = run(&prepared, same(1, isl, 1))?;
        let Some(ttft) = records.requests[0].ttft() else {
            // Longer prompts do not fit either.
            break;
        };
        out.push(PrefillPoint {
            isl: f64::from(isl),
            ttft_ms: 1000.0 * ttft,
            throughput_per_gpu: f64::from(isl) / ttft / gpus,
        });
    }
    if out.is_empty() {
        return Err(too_small(pool));
    }
    Ok((out, kv_tokens))
}

fn too_small(pool: &PoolSection) -> Error {
    Error::usage(
        format!("pool {}: no measurement fits into its KV cache", pool.name),
        "measure shorter prompts, or give the pool more memory",
    )
}

/// Measures the time between tokens while a number of equal requests decode together. An instance with zero step time computes
/// their prompts.
fn decode_points(
    config: &ScenarioConfig,
    pool: &PoolSection,
    grid: &Grid,
) -> Result<(Vec<DecodePoint>, f64, u32)> {
    let own = PoolSection {
        role: Role::Decode,
        instances: 1,
        ..pool.clone()
    };
    let feeder = PoolSection {
        name: format!("{}-feeder", pool.name),
        role: Role::Prefill,
        instances: 1,
        blocks: Some(u32::MAX / 1024),
        scheduler: Some(SchedulerConfig::default()),
        latency: Some(LatencyConfig::of(&Constant { seconds: 0.0 })?),
        ..pool.clone()
    };
    let mut config = alone(config, vec![feeder, own]);
    // Transfers take no time, so that only the decode instance is measured.
    config.transfer.latency_ms = 0.0;
    config.transfer.gb_per_second = 1e9;
    config.transfer.contention = Contention::None;
    config.model.kv_bytes_per_token = config.model.kv_bytes_per_token.or(Some(1.0));
    let prepared = config.prepare()?;
    let blocks = prepared.resources()[1].blocks;
    let capacity = u64::from(blocks) * u64::from(config.cache.block_size);
    let gpus = f64::from(pool.gpus);
    let mut out = Vec::new();
    let mut limited = 0;
    for isl in spread(grid.min_isl, grid.max_isl, grid.contexts + 1)
        .into_iter()
        .take(grid.contexts as usize)
    {
        let measure = |load: u32| -> Result<Option<(f64, f64)>> {
            Ok(together(&run(&prepared, same(load, isl, grid.osl))?))
        };
        let tokens = u64::from(isl) + u64::from(grid.osl);
        let fits = u32::try_from(capacity / tokens).unwrap_or(u32::MAX);
        if fits == 0 || measure(1)?.is_none() {
            break;
        }
        // Finds the largest number of requests that decode at once.
        let (mut most, mut above) = (1, fits.saturating_add(1));
        if measure(fits)?.is_some() {
            most = fits;
        } else {
            while above - most > 1 {
                let middle = most + (above - most) / 2;
                if measure(middle)?.is_some() {
                    most = middle;
                } else {
                    above = middle;
                }
            }
            // Rounding to whole blocks may reduce the number by one.
            limited += u32::from(f64::from(most) < 0.9 * f64::from(fits));
        }
        let context = f64::from(isl) + f64::from(grid.osl) / 2.0;
        for load in spread(1, most, grid.loads) {
            let Some((itl, tokens_per_second)) = measure(load)? else {
                continue;
            };
            out.push(DecodePoint {
                kv_usage: f64::from(load) * context / capacity as f64,
                context_length: context,
                itl_ms: 1000.0 * itl,
                throughput_per_gpu: tokens_per_second / gpus,
            });
        }
    }
    if out.is_empty() {
        return Err(too_small(pool));
    }
    Ok((out, capacity as f64, limited))
}

/// Mean time between tokens in seconds, and tokens per second; `None` unless all requests decoded simultaneously from the first
/// token to the last.
fn together(records: &Records) -> Option<(f64, f64)> {
    let mut sum = 0.0;
    let mut tokens = 0.0;
    let (mut start, mut end) = (Nanos(u64::MAX), Nanos::ZERO);
    for request in &records.requests {
        let itl = request.tbt()?;
        // A request that waited or was recomputed did not decode together with the others.
        let longest = request.longest_gap.as_secs_f64();
        if request.preemptions > 0 || longest > 4.0 * itl {
            return None;
        }
        sum += itl;
        tokens += f64::from(request.output - 1);
        start = start.min(request.first_token?);
        end = end.max(request.ended);
    }
    let seconds = (end - start).as_secs_f64();
    (sum > 0.0 && seconds > 0.0).then(|| (sum / records.requests.len() as f64, tokens / seconds))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests;
