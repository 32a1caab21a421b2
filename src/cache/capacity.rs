//! From GiB to blocks: how many bytes a model's KV cache takes per token.

use std::path::Path;

use serde::Deserialize;

use super::engine::Capacity;
use crate::error::{Error, Location, Result};
use crate::io::Input;

/// The part of a Hugging Face `config.json` that decides the size of the KV cache and the cost of prefill.
#[derive(Debug, Clone, Deserialize)]
pub struct ModelConfig {
    num_hidden_layers: u64,
    hidden_size: u64,
    num_attention_heads: u64,
    #[serde(default)]
    num_key_value_heads: Option<u64>,
    #[serde(default)]
    head_dim: Option<u64>,
    /// Multi-head latent attention (DeepSeek): one compressed vector per token and layer.
    #[serde(default)]
    kv_lora_rank: Option<u64>,
    #[serde(default)]
    qk_rope_head_dim: Option<u64>,
    #[serde(default)]
    intermediate_size: Option<u64>,
    #[serde(default, alias = "dtype")]
    torch_dtype: Option<String>,
}

#[derive(Deserialize)]
struct Nested {
    text_config: Option<serde_json::Value>,
}

impl ModelConfig {
    /// Reads a `config.json`; of a multimodal model, its `text_config`.
    ///
    /// # Errors
    /// A file that cannot be read or lacks the needed keys.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = Input::open(path)?.read_to_end()?;
        let refuse = |error: serde_json::Error| {
            Error::input(
                Location::line(path, error.line().max(1) as u64),
                format!("not a model's config.json: {error}"),
                "give the Hugging Face config.json of the model",
            )
        };
        let nested: Nested = serde_json::from_slice(&bytes).map_err(refuse)?;
        let config: Self = match nested.text_config {
            Some(inner) => serde_json::from_value(inner).map_err(refuse)?,
            None => serde_json::from_slice(&bytes).map_err(refuse)?,
        };
        if config.num_attention_heads == 0
            || config.num_hidden_layers == 0
            || config.bytes_per_token() == 0
        {
            return Err(Error::input(
                Location::file(path),
                "a model without layers or heads",
                "give the Hugging Face config.json of the model",
            ));
        }
        Ok(config)
    }

    fn head_dim(&self) -> u64 {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn kv_heads(&self) -> u64 {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn bytes_per_value(&self) -> u64 {
        match self.torch_dtype.as_deref() {
            Some("float32") => 4,
            Some(dtype) if dtype.contains("8") => 1,
            _ => 2,
        }
    }

    /// Bytes of keys and values per token, over all layers, before any split over devices.
    pub fn bytes_per_token(&self) -> u64 {
        let values = match self.kv_lora_rank {
            Some(rank) => rank + self.qk_rope_head_dim.unwrap_or(0),
            None => 2 * self.kv_heads() * self.head_dim(),
        };
        self.num_hidden_layers * values * self.bytes_per_value()
    }

    /// Floating-point operations to prefill one token, without attention over the context: twice the weights of the
    /// attention projections and of a gated feed-forward layer. `None` for models whose layers are built differently.
    pub fn prefill_flops_per_token(&self) -> Option<u64> {
        let intermediate = self
            .intermediate_size
            .filter(|_| self.kv_lora_rank.is_none())?;
        let attention =
            self.hidden_size * self.head_dim() * 2 * (self.num_attention_heads + self.kv_heads());
        Some(2 * self.num_hidden_layers * (attention + 3 * self.hidden_size * intermediate))
    }
}

/// A capacity as users give it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Asked {
    /// `inf`
    Unbounded,
    /// `N`
    Blocks(u32),
    /// `NGiB`, in bytes
    Bytes(f64),
    /// `N%` of the trace's distinct blocks
    Fraction(f64),
}

impl Asked {
    /// Reads `inf`, `N`, `NMiB`, `NGiB`, `NTiB` or `N%`.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let number = |digits: &str| {
            digits
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|n| n.is_finite() && *n > 0.0)
        };
        let units = [("TiB", 40), ("GiB", 30), ("MiB", 20)];
        let parsed = if matches!(text, "inf" | "infinite" | "unlimited") {
            Some(Self::Unbounded)
        } else if let Some(percent) = text.strip_suffix('%') {
            number(percent).map(|percent| Self::Fraction(percent / 100.0))
        } else if let Some((digits, shift)) = units
            .iter()
            .find_map(|(unit, shift)| text.strip_suffix(unit).map(|digits| (digits, *shift)))
        {
            number(digits).map(|n| Self::Bytes(n * f64::from(1u32 << (shift - 10)) * 1024.0))
        } else {
            text.parse()
                .ok()
                .filter(|blocks| *blocks > 0)
                .map(Self::Blocks)
        };
        parsed.ok_or_else(|| {
            Error::usage(
                format!("the capacity `{text}`"),
                "give inf, a number of blocks, a size as 40GiB, or a part as 50%",
            )
        })
    }

    /// As blocks of `block_size` tokens, for a trace of `distinct` blocks.
    ///
    /// # Errors
    /// A size without a model, or one in which no block fits.
    pub fn resolve(
        self,
        block_size: u32,
        distinct: u32,
        model: Option<&ModelConfig>,
    ) -> Result<Capacity> {
        Ok(match self {
            Self::Unbounded => Capacity::Unbounded,
            Self::Blocks(blocks) => Capacity::Blocks(blocks),
            Self::Fraction(part) => {
                Capacity::Blocks(((part * f64::from(distinct)).round() as u32).max(1))
            }
            Self::Bytes(bytes) => {
                let Some(model) = model else {
                    return Err(Error::usage(
                        "a capacity in bytes needs to know the model",
                        "give its config.json with --model-config",
                    ));
                };
                let block = model.bytes_per_token() * u64::from(block_size);
                let blocks = (bytes / block as f64).floor() as u32;
                if blocks == 0 {
                    return Err(Error::usage(
                        format!("a capacity in which not one block of {block} bytes fits"),
                        "give a larger one",
                    ));
                }
                Capacity::Blocks(blocks)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> ModelConfig {
        serde_json::from_str(json).expect("parses")
    }

    #[test]
    fn published_sizes_per_token() {
        // Llama-3-8B: 32 layers x 2 x 8 heads x 128 x 2 bytes = 131,072.
        let llama = config(
            r#"{"num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,
                "intermediate_size":14336,"torch_dtype":"bfloat16"}"#,
        );
        assert_eq!(llama.bytes_per_token(), 131_072);
        // 32 x (4096 x 128 x 2 x 40 + 3 x 4096 x 14336) x 2 = 13.96 GFLOP: twice its 6.98 G weights outside embeddings.
        assert_eq!(llama.prefill_flops_per_token(), Some(13_958_643_712));
        // DeepSeek-V3: 61 layers x (512 + 64) x 2 bytes = 70,272.
        let deepseek = config(
            r#"{"num_hidden_layers":61,"hidden_size":7168,"num_attention_heads":128,"num_key_value_heads":128,
                "kv_lora_rank":512,"qk_rope_head_dim":64,"torch_dtype":"bfloat16"}"#,
        );
        assert_eq!(deepseek.bytes_per_token(), 70_272);
        let asked = Asked::parse("1GiB").expect("parses");
        assert_eq!(
            asked.resolve(16, 0, Some(&llama)).expect("fits"),
            Capacity::Blocks(512)
        );
    }

    #[test]
    fn capacities_as_users_write_them() {
        assert_eq!(Asked::parse("inf").expect("parses"), Asked::Unbounded);
        assert_eq!(Asked::parse("2048").expect("parses"), Asked::Blocks(2048));
        assert_eq!(Asked::parse("50%").expect("parses"), Asked::Fraction(0.5));
        assert_eq!(
            Asked::parse("2GiB").expect("parses"),
            Asked::Bytes(2_147_483_648.0)
        );
        for text in ["", "0", "-1", "x", "5 apples", "0%", "nan%"] {
            assert!(Asked::parse(text).is_err(), "{text}");
        }
    }
}
