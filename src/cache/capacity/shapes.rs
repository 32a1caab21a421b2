//! The sizes of a model's layers, for models of time.

use super::layers::Window;
use super::parameters;

/// How attention stores keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Heads of keys and values, each shared by some heads of queries.
    Grouped {
        /// Heads of keys and values.
        kv_heads: u64,
        /// Values of a head.
        dim: u64,
    },
    /// One compressed vector per token, multi-head latent attention (DeepSeek-V2, arXiv 2405.04434).
    Latent {
        /// Values of the compressed vector.
        rank: u64,
        /// Values with the position, which are not compressed.
        rope: u64,
        /// Values of a query's head without the position.
        nope: u64,
        /// Values of a head's output.
        value: u64,
        /// Values that queries are compressed to, if they are.
        query: Option<u64>,
    },
}

/// Experts in place of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// Layers that have them.
    pub layers: u64,
    /// How many there are in one.
    pub count: u64,
    /// How many a token goes through.
    pub active: u64,
    /// Inner width of one.
    pub width: u64,
    /// Inner width of what every token goes through besides.
    pub shared: u64,
}

/// The sizes of a model's layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Shapes {
    /// Layers in all.
    pub layers: u64,
    /// Width of a token between layers.
    pub hidden: u64,
    /// Heads of queries.
    pub heads: u64,
    /// How keys and values are stored.
    pub attention: Attention,
    /// Inner width of a feed-forward layer.
    pub feed_forward: u64,
    /// Experts, if there are.
    pub experts: Option<Experts>,
    /// Rows of the output head.
    pub vocabulary: u64,
    /// How far back each layer looks; `None` is to the beginning.
    pub windows: Vec<Option<u64>>,
    /// Bytes of a value between layers.
    pub value_bytes: f64,
    /// Bytes of a value in projections and dense feed-forward layers, and in experts.
    pub weight_bytes: (f64, f64),
}

impl Shapes {
    /// `None` where the file lacks a size, or its quantization is unknown.
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
