//! Settings of a running engine: vLLM's arguments, from a file that a benchmark wrote.

use std::path::Path;

use serde_json::Value;

use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration;
use crate::cache::capacity::{Budget, GPUS, ModelConfig};
use crate::sim::replica::VllmV1Config;

/// Bytes that vLLM needs in addition to weights and cache; as in `replay capacity`.
const OVERHEAD: u64 = 2 << 30;
/// Default fraction of the memory that vLLM uses; 0.92 in newer versions.
const UTILIZATION: f64 = 0.9;

/// Keys under which the number of blocks is recorded; the first existing one is used.
const BLOCKS: [&str; 5] = [
    "num_gpu_blocks",
    "num_gpu_blocks_override",
    "num_kv_blocks",
    "kv_cache_blocks",
    "gpu_blocks",
];
/// Keys under which the capacity in tokens is recorded.
const TOKENS: [&str; 3] = ["num_kv_tokens", "kv_cache_tokens", "gpu_kv_cache_size"];

/// Settings of an engine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Engine {
    /// Its scheduler.
    pub scheduler: VllmV1Config,
    /// Tokens per block.
    pub block_size: u32,
    /// Whether prefix caching was on.
    pub prefix_caching: bool,
    /// Blocks available to requests; `None` if unknown.
    pub blocks: Option<u32>,
    /// Name of the model.
    pub model: Option<String>,
    /// Fraction of the memory that it may use.
    pub utilization: Option<f64>,
    /// Memory of its GPU in bytes, if known or derived from a name.
    pub memory: Option<u64>,
}

impl Engine {
    /// vLLM's defaults, with prefix caching and asynchronous scheduling.
    pub fn new() -> Self {
        Self {
            scheduler: VllmV1Config {
                async_scheduling: true,
                ..VllmV1Config::default()
            },
            block_size: 16,
            prefix_caching: true,
            ..Self::default()
        }
    }

    /// Reads a JSON file that has vLLM's argument names at any depth, such as LLMServingSim's `meta.json`. Requested values
    /// (`engine_kwargs`) take precedence over the resulting ones; `null` means unknown.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON, or an invalid value.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = read_configuration(path)?;
        let meta: Value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::input(
                Location::line(path, error.line().max(1) as u64),
                format!("not JSON: {error}"),
                "give the file in which the engine's arguments were recorded",
            )
        })?;
        let mut engine = Self::new();
        let whole = |name: &str| -> Result<Option<u32>> {
            let Some(value) = find(&meta, name) else {
                return Ok(None);
            };
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number
                .filter(|number| *number > 0)
                .map(Some)
                .ok_or_else(|| {
                    Error::input(
                        Location::file(path),
                        format!("`{name}`: expected a whole number above 0, found {value}"),
                        "repair the file",
                    )
                })
        };
        let yes = |name: &str| find(&meta, name).and_then(Value::as_bool);
        if let Some(tokens) = whole("max_num_batched_tokens")? {
            engine.scheduler.max_num_batched_tokens = tokens;
        }
        if let Some(requests) = whole("max_num_seqs")? {
            engine.scheduler.max_num_seqs = requests;
        }
        if let Some(size) = whole("block_size")? {
            engine.block_size = size;
        }
        engine.prefix_caching = yes("enable_prefix_caching").unwrap_or(true);
        engine.scheduler.async_scheduling = yes("async_scheduling").unwrap_or(true);
        engine.scheduler.enable_chunked_prefill = yes("enable_chunked_prefill").unwrap_or(true);
        if let Some(threshold) = find(&meta, "long_prefill_token_threshold").and_then(Value::as_u64)
        {
            engine.scheduler.long_prefill_token_threshold =
                threshold.min(u64::from(u32::MAX)) as u32;
        }
        // A number of blocks counted by vLLM, or requested from it, includes the null block.
        let mut counted = None;
        for name in BLOCKS {
            counted = counted.or(whole(name)?);
        }
        if counted.is_none() {
            for name in TOKENS {
                counted = counted.or(whole(name)?.map(|tokens| tokens / engine.block_size));
            }
        }
        engine.blocks = counted.map(|blocks| blocks.saturating_sub(1).max(1));
        engine.model = find(&meta, "model")
            .and_then(Value::as_str)
            .map(str::to_owned);
        engine.utilization = find(&meta, "gpu_memory_utilization").and_then(Value::as_f64);
        let hardware = meta.get("hardware");
        engine.memory = match hardware {
            Some(Value::String(name)) => memory_of(name),
            Some(facts) => {
                let total = facts.as_object().into_iter().flatten();
                let total = total.filter(|(key, _)| key.contains("memory"));
                let bytes = total
                    .filter_map(|(_, value)| value.as_u64())
                    .find(|bytes| *bytes > 1 << 30);
                bytes.or_else(|| {
                    let mut names = facts.as_object().into_iter().flatten();
                    names.find_map(|(_, value)| value.as_str().and_then(memory_of))
                })
            }
            None => None,
        };
        Ok(engine)
    }

    /// Its blocks: as recorded, or those that fit into the GPU's memory beside the model. `gpu` names the GPU if the file
    /// does not.
    ///
    /// # Errors
    /// Neither blocks nor memory are known, or the model does not fit.
    pub fn blocks_for(&self, model: &ModelConfig, gpu: Option<&str>) -> Result<u32> {
        if let Some(blocks) = self.blocks {
            return Ok(blocks);
        }
        let memory = self.memory.or_else(|| gpu.and_then(memory_of));
        let (Some(memory), Some(weights)) = (memory, model.weight_bytes()) else {
            return Err(Error::usage(
                "the number of KV blocks is unknown",
                "set `num_gpu_blocks`, or `gpu` to the name of the GPU",
            ));
        };
        let budget = Budget {
            memory,
            utilization: self.utilization.unwrap_or(UTILIZATION),
            weights,
            overhead: OVERHEAD,
            block_size: self.block_size,
            max_length: model.max_length().unwrap_or(8192),
            max_batched: u64::from(self.scheduler.max_num_batched_tokens),
        };
        Ok(budget.fit(model)?.usable_blocks.min(u64::from(u32::MAX)) as u32)
    }
}

/// Memory of the GPU whose short name is part of a name such as "NVIDIA RTX PRO 6000 Blackwell Server Edition".
fn memory_of(name: &str) -> Option<u64> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let fits = |known: &str| {
        let short = known.split('-').next().unwrap_or(known);
        plain.contains(&known.replace('-', "")) || plain.contains(short)
    };
    // Names that include the memory size come first, and longer names before their prefixes.
    let mut known: Vec<_> = GPUS.iter().filter(|(known, _)| fits(known)).collect();
    known.sort_by_key(|(known, _)| {
        let size = known.split('-').next_back().unwrap_or("");
        (!plain.contains(size), std::cmp::Reverse(known.len()))
    });
    known.first().map(|(_, mib)| mib << 20)
}

/// The value of a key: among the requested values, at the top level, or at any depth in the order of the file.
fn find<'a>(meta: &'a Value, name: &str) -> Option<&'a Value> {
    fn anywhere<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
        match value {
            Value::Object(entries) => entries
                .get(name)
                .filter(|value| !value.is_null())
                .or_else(|| entries.values().find_map(|value| anywhere(value, name))),
            Value::Array(values) => values.iter().find_map(|value| anywhere(value, name)),
            _ => None,
        }
    }
    let asked = meta.get("engine_kwargs").and_then(|asked| asked.get(name));
    asked
        .filter(|value| !value.is_null())
        .or_else(|| anywhere(meta, name))
}

#[cfg(test)]
mod tests {
    use crate::sim::calibrate::engine::*;

    fn load(text: &str) -> Result<Engine> {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), text).expect("writes");
        Engine::load(file.path())
    }

    #[test]
    fn arguments_at_any_depth() {
        let asked = load(r#"{"model": "x", "engine_kwargs": {"model": "y", "max_num_seqs": 9, "max_model_len": null}}"#)
            .expect("reads");
        assert_eq!(asked.scheduler.max_num_seqs, 9);
        assert_eq!(asked.model.as_deref(), Some("y"));
        assert_eq!((asked.blocks, asked.block_size), (None, 16));
        let resolved = load(
            r#"{"engine_kwargs": {"max_num_seqs": 256, "num_gpu_blocks_override": null},
                "kv_cache": {"num_gpu_blocks": 2588, "block_size": 32},
                "resolved_config": {"scheduler_config": {"max_num_seqs": 4, "async_scheduling": false},
                    "cache_config": {"enable_prefix_caching": false}}}"#,
        )
        .expect("reads");
        // One is vLLM's null block; requested values take precedence.
        assert_eq!((resolved.blocks, resolved.block_size), (Some(2587), 32));
        assert_eq!(resolved.scheduler.max_num_seqs, 256);
        assert!(!resolved.scheduler.async_scheduling && !resolved.prefix_caching);
        let forced = load(r#"{"engine_kwargs": {"num_gpu_blocks_override": 100}}"#).expect("reads");
        assert_eq!(forced.blocks, Some(99));
        assert!(load(r#"{"max_num_seqs": "x"}"#).is_err());
        assert!(load("{").is_err());
    }

    #[test]
    fn blocks_from_memory() {
        let model = ModelConfig::builtin("llama-3.1-8b").expect("built in");
        let engine =
            load(r#"{"hardware": {"name": "NVIDIA RTX PRO 6000 Blackwell Server Edition"}}"#)
                .expect("reads");
        assert_eq!(engine.memory, Some(97_887 << 20));
        // 97,887 MiB x 0.9 - 15,317 MiB of weights - 2,048 MiB = 70,733 MiB, at 2 MiB per block.
        let blocks = engine.blocks_for(&model, None).expect("fits");
        assert!((35_300..35_400).contains(&blocks), "{blocks}");
        assert!(Engine::new().blocks_for(&model, None).is_err());
        assert_eq!(
            Engine::new().blocks_for(&model, Some("RTXPRO6000")).ok(),
            Some(blocks)
        );
        assert_eq!(memory_of("NVIDIA L40S"), Some(46_068 << 20));
        assert_eq!(memory_of("NVIDIA L4"), Some(23_034 << 20));
        assert_eq!(memory_of("NVIDIA A100-SXM4-80GB"), Some(81_920 << 20));
        assert_eq!(memory_of("a100-40gb"), Some(40_960 << 20));
    }
}
