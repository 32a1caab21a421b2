//! Sizes of a model's layers, for latency models.

use super::layers::Window;
use super::parameters;

/// How attention stores keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Separate key and value heads, each shared by a group of query heads.
    Grouped {
        /// Key and value heads.
        kv_heads: u64,
        /// Values per head.
        dim: u64,
    },
    /// One compressed vector per token, multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
    Latent {
        /// Values of the compressed vector.
        rank: u64,
        /// Values with the position, which are not compressed.
        rope: u64,
        /// Values of a query head without the position.
        nope: u64,
        /// Values of a head's output.
        value: u64,
        /// Values to which queries are compressed, if they are.
        query: Option<u64>,
    },
}

/// Experts (mixture of experts) in place of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// Layers with experts.
    pub layers: u64,
    /// Experts per layer.
    pub count: u64,
    /// Experts per token.
    pub active: u64,
    /// Inner width of an expert.
    pub width: u64,
    /// Inner width of the shared experts, through which every token goes.
    pub shared: u64,
}

/// The sizes of a model's layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapes {
    /// Number of layers.
    pub layers: u64,
    /// Hidden size.
    pub hidden: u64,
    /// Query heads.
    pub heads: u64,
    /// How keys and values are stored.
    pub attention: Attention,
    /// Inner width of a feed-forward layer.
    pub feed_forward: u64,
    /// Experts, if there are any.
    pub experts: Option<Experts>,
    /// Rows of the output head: size of the vocabulary.
    pub vocabulary: u64,
    /// Attention window of each layer; `None` for the whole context.
    pub windows: Vec<Option<u64>>,
    /// Bytes per value between layers.
    pub value_bytes: f64,
    /// Bytes per value in projections and dense feed-forward layers, and in experts.
    pub weight_bytes: (f64, f64),
}

impl Shapes {
    /// `None` if the file lacks a size, or its quantization is unknown.
    pub(super) fn new(keys: &parameters::Keys, windows: &[Window]) -> Option<Self> {
        keys.count()?;
        let heads = keys.num_attention_heads;
        let attention = match keys.kv_lora_rank {
            Some(rank) => Attention::Latent {
                rank,
                rope: keys.qk_rope_head_dim?,
                nope: keys.qk_nope_head_dim?,
                value: keys.v_head_dim?,
                query: keys.q_lora_rank,
            },
            None => Attention::Grouped {
                kv_heads: keys.num_key_value_heads.unwrap_or(heads),
                dim: keys.head_dim.unwrap_or(keys.hidden_size / heads.max(1)),
            },
        };
        let count = keys.num_experts.unwrap_or(0);
        let width = keys.moe_intermediate_size.or(keys.intermediate_size)?;
        let experts = (count > 1).then(|| Experts {
            layers: keys.sparse_layers(),
            count,
            active: keys.num_experts_per_tok.unwrap_or(count),
            width,
            shared: width * keys.n_shared_experts.unwrap_or(0)
                + keys.shared_expert_intermediate_size.unwrap_or(0),
        });
        Some(Self {
            layers: keys.num_hidden_layers,
            hidden: keys.hidden_size,
            heads,
            attention,
            feed_forward: keys.intermediate_size?,
            experts,
            vocabulary: keys.vocab_size?,
            windows: windows.to_vec(),
            value_bytes: parameters::dtype_bytes(keys.torch_dtype.as_deref()) as f64,
            weight_bytes: keys.weight_bytes()?,
        })
    }
}
