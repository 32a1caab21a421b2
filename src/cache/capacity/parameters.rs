//! Number of parameters of a model and their bytes, from the shapes of its layers.
//!
//! Counted: embeddings and output head, attention projections, gated feed-forward layers, experts with their router, and
//! two norms per layer. Not counted: biases, norms of queries and keys, vision towers, layers for speculative decoding.

use serde::Deserialize;

/// The keys of a `config.json` that determine them.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Keys {
    #[serde(default)]
    model_type: Option<String>,
    pub(super) num_hidden_layers: u64,
    pub(super) hidden_size: u64,
    pub(super) num_attention_heads: u64,
    #[serde(default)]
    pub(super) num_key_value_heads: Option<u64>,
    #[serde(default)]
    pub(super) head_dim: Option<u64>,
    #[serde(default)]
    pub(super) vocab_size: Option<u64>,
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    pub(super) intermediate_size: Option<u64>,
    #[serde(default)]
    pub(super) moe_intermediate_size: Option<u64>,
    #[serde(default)]
    pub(super) shared_expert_intermediate_size: Option<u64>,
    #[serde(default, alias = "n_routed_experts", alias = "num_local_experts")]
    pub(super) num_experts: Option<u64>,
    #[serde(default)]
    pub(super) num_experts_per_tok: Option<u64>,
    #[serde(default)]
    pub(super) n_shared_experts: Option<u64>,
    #[serde(default)]
    first_k_dense_replace: Option<u64>,
    #[serde(default)]
    decoder_sparse_step: Option<u64>,
    #[serde(default)]
    mlp_only_layers: Option<Vec<u64>>,
    #[serde(default)]
    pub(super) q_lora_rank: Option<u64>,
    #[serde(default)]
    pub(super) kv_lora_rank: Option<u64>,
    #[serde(default)]
    pub(super) qk_nope_head_dim: Option<u64>,
    #[serde(default)]
    pub(super) qk_rope_head_dim: Option<u64>,
    #[serde(default)]
    pub(super) v_head_dim: Option<u64>,
    #[serde(default, alias = "dtype")]
    pub(super) torch_dtype: Option<String>,
    #[serde(default)]
    quantization_config: Option<Quantization>,
}

#[derive(Debug, Clone, Deserialize)]
struct Quantization {
    #[serde(default)]
    quant_method: Option<String>,
}

/// Parameters by part of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Parameters of the embeddings, or of the output head.
    pub(super) embedding: u64,
    /// Whether embeddings and output head share their weights.
    pub(super) tied: bool,
    /// Norms, over all layers.
    norms: u64,
    /// Projections, feed-forward layers, routers and shared experts.
    dense: u64,
    /// Routed experts.
    experts: u64,
    /// Of the latter, those that one token uses.
    active_experts: u64,
}

impl Parameters {
    /// All parameters.
    pub(super) fn total(&self) -> u64 {
        let heads = if self.tied { 1 } else { 2 };
        heads * self.embedding + self.norms + self.dense + self.experts
    }

    /// Parameters with which every token is multiplied, without embeddings and output head.
    pub(super) fn active(&self) -> u64 {
        self.dense + self.active_experts
    }
}

/// Bytes per value of a data type named as in `config.json`.
pub(super) fn dtype_bytes(dtype: Option<&str>) -> u64 {
    match dtype {
        Some("float32" | "float") => 4,
        Some(dtype) if dtype.contains('8') => 1,
        _ => 2,
    }
}

impl Keys {
    /// `None` if a size is missing, or larger than that of any model.
    pub(super) fn count(&self) -> Option<Parameters> {
        if self.is_absurd() {
            return None;
        }
        let (layers, hidden, heads) = (
            self.num_hidden_layers,
            self.hidden_size,
            self.num_attention_heads,
        );
        let attention = match self.kv_lora_rank {
            Some(rank) => {
                let rope = self.qk_rope_head_dim?;
                let (nope, value) = (self.qk_nope_head_dim?, self.v_head_dim?);
                let query = match self.q_lora_rank {
                    Some(low) => low * (hidden + heads * (nope + rope)),
                    None => hidden * heads * (nope + rope),
                };
                query
                    + hidden * (rank + rope)
                    + rank * heads * (nope + value)
                    + heads * value * hidden
            }
            None => {
                let dim = self.head_dim.unwrap_or(hidden / heads.max(1));
                let kv = self.num_key_value_heads.unwrap_or(heads);
                2 * hidden * dim * (heads + kv)
            }
        };
        let experts = self.num_experts.unwrap_or(0);
        let sparse = if experts > 1 { self.sparse_layers() } else { 0 };
        let expert = 3 * hidden * self.moe_intermediate_size.or(self.intermediate_size)?;
        let shared = expert * self.n_shared_experts.unwrap_or(0)
            + 3 * hidden * self.shared_expert_intermediate_size.unwrap_or(0);
        let feed_forward = 3 * hidden * self.intermediate_size?;
        Some(Parameters {
            embedding: hidden * self.vocab_size?,
            tied: self
                .tie_word_embeddings
                .unwrap_or_else(|| self.ties_by_default()),
            norms: (2 * layers + 1) * hidden,
            dense: layers * attention
                + (layers - sparse) * feed_forward
                + sparse * (shared + hidden * experts),
            experts: sparse * experts * expert,
            active_experts: sparse * expert * self.num_experts_per_tok.unwrap_or(experts),
        })
    }

    /// Families whose files omit the key if embeddings and head share their weights.
    fn ties_by_default(&self) -> bool {
        let kind = self.model_type.as_deref().unwrap_or("");
        kind.starts_with("gemma") || kind.starts_with("cohere")
    }

    /// Sizes whose products would overflow 64 bits.
    fn is_absurd(&self) -> bool {
        let widths = [
            Some(self.hidden_size),
            Some(self.num_attention_heads),
            self.num_key_value_heads,
            self.head_dim,
            self.intermediate_size,
            self.moe_intermediate_size,
            self.shared_expert_intermediate_size,
            self.vocab_size.map(|size| size >> 4),
            self.q_lora_rank,
            self.kv_lora_rank,
            self.qk_nope_head_dim,
            self.qk_rope_head_dim,
            self.v_head_dim,
            self.num_experts.map(|count| count.saturating_mul(64)),
            self.n_shared_experts.map(|count| count.saturating_mul(64)),
            self.num_experts_per_tok
                .map(|count| count.saturating_mul(64)),
            Some(self.num_hidden_layers.saturating_mul(64)),
        ];
        widths.into_iter().flatten().any(|width| width > 1 << 18)
    }

    /// Layers with experts instead of a feed-forward layer.
    pub(super) fn sparse_layers(&self) -> u64 {
        let dense = self.mlp_only_layers.as_deref().unwrap_or(&[]);
        let step = self.decoder_sparse_step.unwrap_or(1).max(1);
        (self.first_k_dense_replace.unwrap_or(0)..self.num_hidden_layers)
            .filter(|layer| !dense.contains(layer) && (layer + 1).is_multiple_of(step))
            .count() as u64
    }

    /// Bytes per value of dense layers and of experts, scales included, as the checkpoint stores them; `None` for unknown
    /// kinds of quantization.
    pub(super) fn weight_bytes(&self) -> Option<(f64, f64)> {
        let plain = dtype_bytes(self.torch_dtype.as_deref()) as f64;
        let method = self
            .quantization_config
            .as_ref()
            .map(|config| config.quant_method.as_deref().unwrap_or(""));
        match method {
            None => Some((plain, plain)),
            // Blocks of 128 x 128 values share a scale, which is negligible.
            Some("fp8") => Some((1.0, 1.0)),
            // Experts in 4 bits, with one byte of scale per 32 values; other layers unchanged.
            Some("mxfp4") => Some((plain, 17.0 / 32.0)),
            Some(_) => None,
        }
    }

    /// Bytes of the layers' weights and of the embeddings (or the head), as the checkpoint stores them.
    pub(super) fn bytes(&self) -> Option<(u64, u64)> {
        let parameters = self.count()?;
        let plain = dtype_bytes(self.torch_dtype.as_deref());
        let (dense, experts) = self.weight_bytes()?;
        // Exact: counts are below 2^53, and the bytes per value are binary fractions.
        let layers =
            parameters.dense as f64 * dense + (parameters.experts as f64 * experts).floor();
        Some((
            layers as u64 + plain * parameters.norms,
            plain * parameters.embedding,
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::ModelConfig;

    #[test]
    fn published_counts() {
        // From the model cards, in billions: the computed numbers differ by less than a thousandth.
        for (name, billions) in [
            // 32 x (2 x 4096 x 128 x 40 + 3 x 4096 x 14336) + 2 x 4096 x 128256 + 65 x 4096 = 8,030,261,248.
            ("llama-3-8b", 8.030_261_248),
            ("llama-2-7b", 6.738_415_616),
            ("llama-3-70b", 70.553_706_496),
            ("llama-3.1-405b", 405.853_388_8),
            ("mixtral-8x7b", 46.702_792_704),
            ("mistral-7b-v0.1", 7.241_732_096),
            ("deepseek-v3", 671.0),
            ("qwen3-30b-a3b", 30.53),
            ("gpt-oss-120b", 116.8),
            ("gpt-oss-20b", 20.9),
        ] {
            let model = ModelConfig::builtin(name).expect("built in");
            let counted = model.parameters().expect("known sizes") as f64 / 1e9;
            assert!((counted / billions - 1.0).abs() < 1e-3, "{name}: {counted}");
        }
    }
}
