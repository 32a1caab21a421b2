//! Capacity: bytes of a model's KV cache, and the blocks that fit into a GPU's memory.
//!
//! Sizes are those of one GPU of a replica: with tensor or pipeline parallelism every GPU holds a part of each block, and
//! the one with the most layers is the limit. Rules are vLLM's where it has any (`vllm/v1/core/kv_cache_utils.py` and
//! `vllm/v1/kv_cache_interface.py`).

mod budget;
mod builtin;
mod layers;
mod layout;
mod model;
mod parameters;
mod shapes;

pub use budget::{Budget, Fit, GPUS, gpu_memory};
pub use layout::{KvDtype, Layout, Storage};
pub use model::ModelConfig;
pub use shapes::{Attention, Experts, Shapes};

use super::engine::Capacity;
use crate::base::error::{Error, Result};
use crate::base::limits::BLOCKS;
use crate::base::units::parse_bytes;

/// A capacity as users write it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asked {
    /// `inf`: no limit.
    Unbounded,
    /// `N`: a number of blocks.
    Blocks(u32),
    /// `NGiB`: a size, in bytes.
    Bytes(f64),
    /// `N%`: a fraction (0..1) of the trace's distinct blocks.
    Fraction(f64),
}

fn positive(digits: &str) -> Option<f64> {
    let number: f64 = digits.trim().parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number)
}

impl Asked {
    /// Parses `inf`, `N`, `NMiB`, `NGiB`, `NTiB`, the same with decimal units, or `N%`.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let parsed = if matches!(text, "inf" | "infinite" | "unlimited") {
            Some(Self::Unbounded)
        } else if let Some(percent) = text.strip_suffix('%') {
            positive(percent).map(|percent| Self::Fraction(percent / 100.0))
        } else if let Some(bytes) = parse_bytes(text) {
            Some(Self::Bytes(bytes))
        } else {
            text.parse()
                .ok()
                .filter(|blocks| *blocks > 0)
                .map(Self::Blocks)
        };
        parsed.ok_or_else(|| {
            Error::usage(
                format!("`{text}` is not a capacity"),
                "give inf, a number of blocks, a size such as 40GiB, or a percentage such as 50%",
            )
        })
    }

    /// Number of blocks of `block_size` tokens, for a trace with `distinct` blocks.
    ///
    /// # Errors
    /// A size without a model, or less than one block.
    pub fn resolve(
        self,
        block_size: u32,
        distinct: u32,
        model: Option<&ModelConfig>,
    ) -> Result<Capacity> {
        let blocks = match self {
            Self::Unbounded => return Ok(Capacity::Unbounded),
            Self::Blocks(blocks) => blocks,
            Self::Fraction(part) => ((part * f64::from(distinct)).round() as u32).max(1),
            Self::Bytes(bytes) => {
                let Some(model) = model else {
                    return Err(Error::usage(
                        "a capacity in bytes needs a model",
                        "set `model` to a built-in model, or `model_config` to a config.json",
                    ));
                };
                let block = model
                    .bytes_per_token()
                    .saturating_mul(u64::from(block_size));
                let blocks = (bytes / block as f64).floor() as u32;
                if blocks == 0 {
                    return Err(Error::usage(
                        format!("the capacity is less than one block of {block} bytes"),
                        "give a larger capacity",
                    ));
                }
                blocks
            }
        };
        match BLOCKS.holds(f64::from(blocks)) {
            true => Ok(Capacity::Blocks(blocks)),
            false => Err(Error::usage(
                format!("a capacity of {blocks} blocks"),
                format!("give {BLOCKS} blocks, or inf"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::*;

    #[test]
    fn a_capacity_fits_into_memory() {
        for text in ["4294967295", "1e300%", "60000000"] {
            let asked = Asked::parse(text).expect("parses");
            let told = asked.resolve(16, 100, None).expect_err(text).to_string();
            assert!(
                told.ends_with(" blocks; give from 1 to 50000000 blocks, or inf"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_size_becomes_blocks() {
        let llama = ModelConfig::builtin("llama-3-8b").expect("built in");
        let asked = Asked::parse("1GiB").expect("parses");
        // 2^30 / (16 x 131,072) = 512.
        assert_eq!(
            asked.resolve(16, 0, Some(&llama)).expect("fits"),
            Capacity::Blocks(512)
        );
        let asked = Asked::parse("1GB").expect("parses");
        // 10^9 / 2,097,152 = 476.8.
        assert_eq!(
            asked.resolve(16, 0, Some(&llama)).expect("fits"),
            Capacity::Blocks(476)
        );
        assert!(asked.resolve(16, 0, None).is_err());
        let asked = Asked::parse("1MiB").expect("parses");
        assert!(asked.resolve(16, 0, Some(&llama)).is_err());
    }

    #[test]
    fn capacities_as_users_write_them() {
        assert_eq!(Asked::parse("inf").expect("parses"), Asked::Unbounded);
        assert_eq!(Asked::parse("2048").expect("parses"), Asked::Blocks(2048));
        assert_eq!(Asked::parse("50%").expect("parses"), Asked::Fraction(0.5));
        for (text, bytes) in [
            ("2GiB", 2_147_483_648.0),
            ("512MiB", 536_870_912.0),
            ("40GB", 4e10),
            ("40G", 40.0 * 1_073_741_824.0),
            ("0.5 TiB", 549_755_813_888.0),
        ] {
            assert_eq!(Asked::parse(text).expect("parses"), Asked::Bytes(bytes));
        }
        for text in [
            "", "0", "-1", "x", "5 apples", "0%", "nan%", "GiB", "-1GiB", "infGiB",
        ] {
            assert!(Asked::parse(text).is_err(), "{text}");
        }
    }
}
