//! Memory left on a GPU for the KV cache, and the number of blocks that fit.

use serde::Serialize;

use super::ModelConfig;
use crate::base::error::{Error, Result};

const MIB: u64 = 1 << 20;

/// GPUs by name, with the memory that their driver reports, in MiB; this is less than the nominal size.
pub const GPUS: [(&str, u64); 11] = [
    ("l4-24gb", 23_034),
    ("a10-24gb", 23_028),
    ("rtx4090-24gb", 24_564),
    ("rtxpro6000-96gb", 97_887),
    ("l40s-48gb", 46_068),
    ("a100-40gb", 40_960),
    ("a100-80gb", 81_920),
    ("h100-80gb", 81_559),
    ("h200-141gb", 143_771),
    ("b200-192gb", 183_359),
    ("mi300x-192gb", 196_592),
];

/// Memory of a GPU in bytes.
///
/// # Errors
/// An unknown name.
pub fn gpu_memory(name: &str) -> Result<u64> {
    let known = GPUS.iter().find(|(known, _)| *known == name.to_lowercase());
    match known {
        Some((_, mib)) => Ok(mib * MIB),
        None => Err(Error::unknown_name(
            "GPU",
            name,
            &GPUS.map(|(name, _)| name),
        )),
    }
}

/// Use of a GPU's memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Memory of the GPU in bytes.
    pub memory: u64,
    /// Fraction that the engine may use.
    pub utilization: f64,
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of activations, CUDA graphs and the communication library.
    pub overhead: u64,
    /// Tokens per block.
    pub block_size: u32,
    /// Tokens of the longest sequence.
    pub max_length: u64,
    /// Tokens computed in one step.
    pub max_batched: u64,
}

/// KV cache that fits into a budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// Bytes per token on the GPU with the most layers, in all its layers, padding included.
    pub bytes_per_token: u64,
    /// Of these, in layers with full attention.
    pub bytes_per_token_full: u64,
    /// Of these, in layers with a window; a sequence keeps them for its last tokens only.
    pub bytes_per_token_window: u64,
    /// The window, if there is one.
    pub window: Option<u64>,
    /// Groups of layers, each with its own blocks.
    pub groups: u64,
    /// Bytes of a block of the pool.
    pub bytes_per_block: u64,
    /// Bytes left for the cache.
    pub kv_cache_bytes: u64,
    /// vLLM's number of blocks, which includes its null block.
    pub num_gpu_blocks: u64,
    /// Blocks available to requests.
    pub usable_blocks: u64,
    /// Capacity in tokens, as vLLM logs it.
    pub tokens: u64,
    /// Blocks that a sequence of maximum length needs.
    pub blocks_per_sequence: u64,
    /// Number of such sequences that fit at the same time, as vLLM logs it.
    pub max_concurrency: f64,
}

impl Budget {
    /// Default bytes for activations, CUDA graphs and libraries: about what vLLM's profiling measures for models of 8 to 70
    /// billion parameters.
    pub const OVERHEAD: u64 = 2 << 30;

    /// Computes the KV cache of `model` that fits.
    ///
    /// # Errors
    /// No memory is left for the cache, or not enough for two blocks.
    pub fn fit(&self, model: &ModelConfig) -> Result<Fit> {
        let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
        let usable = (self.memory as f64 * self.utilization).floor() as u64;
        let left = usable
            .checked_sub(self.weights.saturating_add(self.overhead))
            .filter(|left| *left > 0);
        let Some(left) = left else {
            return Err(Error::usage(
                format!(
                    "weights of {:.2} GiB and an overhead of {:.2} GiB leave nothing of {:.2} GiB for a KV cache",
                    gib(self.weights),
                    gib(self.overhead),
                    gib(usable)
                ),
                "raise `tensor_parallel` to split the model, or choose a larger GPU",
            ));
        };
        let layout = model.layout();
        let block = layout.block_bytes(self.block_size);
        let blocks = left / block;
        if blocks < 2 {
            return Err(Error::usage(
                format!(
                    "{:.2} GiB are left for a KV cache, less than two blocks of {block} bytes",
                    gib(left)
                ),
                "raise `tensor_parallel` to split the model, or choose a larger GPU",
            ));
        }
        let groups = layout.groups.len() as u64;
        let needed = layout.blocks_per_sequence(self.max_length, self.block_size, self.max_batched);
        Ok(Fit {
            bytes_per_token: layout.bytes_per_token(),
            bytes_per_token_full: layout.bytes_per_token_of(false),
            bytes_per_token_window: layout.bytes_per_token_of(true),
            window: layout.groups.iter().flatten().next().copied(),
            groups,
            bytes_per_block: block,
            kv_cache_bytes: left,
            num_gpu_blocks: blocks,
            usable_blocks: blocks - 1,
            tokens: blocks / groups * u64::from(self.block_size),
            blocks_per_sequence: needed,
            max_concurrency: blocks as f64 / needed as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::budget::*;

    const GIB: u64 = 1 << 30;

    fn budget(weights: u64) -> Budget {
        Budget {
            memory: 80 * GIB,
            utilization: 0.9,
            weights,
            overhead: 2 * GIB,
            block_size: 16,
            max_length: 8192,
            max_batched: 8192,
        }
    }

    #[test]
    fn llama_on_80_gib() {
        let model = ModelConfig::builtin("llama-3-8b").expect("built in");
        let fit = budget(15 * GIB).fit(&model).expect("fits");
        // 80 x 0.9 - 15 - 2 = 55 GiB; a block is 16 x 131,072 = 2 MiB, so 55 x 512 blocks.
        assert_eq!(fit.kv_cache_bytes, 55 * GIB);
        assert_eq!(fit.bytes_per_block, 2 * MIB);
        assert_eq!((fit.num_gpu_blocks, fit.usable_blocks), (28_160, 28_159));
        assert_eq!(fit.tokens, 450_560);
        // 8192 tokens are 512 blocks; 28,160 / 512.
        assert_eq!(fit.max_concurrency, 55.0);
    }

    #[test]
    fn a_window_bounds_what_a_sequence_needs() {
        let model = ModelConfig::builtin("gpt-oss-20b").expect("built in");
        let budget = Budget {
            max_length: 131_072,
            ..budget(15 * GIB)
        };
        let fit = budget.fit(&model).expect("fits");
        // Two groups of 12 layers: a block is 16 x 12 x 2,048 bytes = 384 KiB; 55 GiB / 384 KiB = 150,186.7.
        assert_eq!((fit.groups, fit.bytes_per_block), (2, 393_216));
        assert_eq!(fit.num_gpu_blocks, 150_186);
        assert_eq!(fit.tokens, 75_093 * 16);
        // Full: 131,072 / 16 = 8,192. Window: 127 + 8,192 = 8,319 tokens in 520 blocks, and one more.
        assert_eq!(fit.blocks_per_sequence, 8_192 + 521);
    }

    #[test]
    fn too_little() {
        let model = ModelConfig::builtin("llama-3-70b").expect("built in");
        let error = budget(131 * GIB).fit(&model).expect_err("too large");
        assert!(error.to_string().contains("`tensor_parallel`"), "{error}");
        let error = budget(70 * GIB - MIB)
            .fit(&model)
            .expect_err("no block fits");
        assert!(error.to_string().contains("two blocks"), "{error}");
        assert_eq!(gpu_memory("H100-80GB").ok(), Some(81_559 * MIB));
        assert!(gpu_memory("h1000").is_err());
    }
}
