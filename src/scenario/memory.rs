//! The memory of a pool's instances: the model's weights, and the KV blocks that fit beside them.

use super::{PoolSection, ScenarioConfig};
use crate::base::error::{Error, Result};
use crate::cache::capacity::{Budget, KvDtype, ModelConfig, Storage, gpu_memory};
use crate::sim::Role;

impl ScenarioConfig {
    /// The model as stored by the pool's instances; `None` if its sizes are unknown.
    pub(super) fn model(&self, pool: &PoolSection) -> Result<Option<ModelConfig>> {
        let section = &self.model;
        let model = match &section.config {
            Some(path) => ModelConfig::load(path)?,
            None => match ModelConfig::builtin(&section.name) {
                Ok(model) => model,
                // For a model known only to a latency table, the given sizes are sufficient.
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

    /// Whether all pools set their number of blocks and nothing else needs the sizes of a model.
    fn needs_no_sizes(&self) -> bool {
        self.pool.iter().all(|pool| {
            let latency = pool.latency.as_ref().unwrap_or(&self.latency);
            pool.blocks.is_some() && !latency.needs_model() && pool.role == Role::Aggregated
        })
    }

    /// KV cache size of one token over all GPUs of an instance, in bytes.
    pub(super) fn kv_bytes(&self, model: Option<&ModelConfig>, pool: &PoolSection) -> Option<f64> {
        let of_model = model.map(|model| model.bytes_per_token() as f64 * f64::from(pool.gpus));
        self.model.kv_bytes_per_token.or(of_model)
    }

    pub(super) fn blocks(
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
                    "pool.{}.blocks is not set, and the model's sizes are unknown",
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
                format!("pool.{}: {blocks} blocks remain for a KV cache", pool.name),
                "use more or larger GPUs, or a smaller model",
            )),
            Ok(blocks) => Ok(blocks),
        }
    }
}
