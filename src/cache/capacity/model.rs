//! A model, from its `config.json`.

use std::path::Path;

use serde::Deserialize;

use super::layers::{self, Window, refusal};
use super::layout::{Layout, Storage, Width};
use super::shapes::Shapes;
use super::{builtin, parameters};
use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration;

/// The part of a Hugging Face `config.json` that determines the size of the KV cache and the cost of prefill.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    name: String,
    windows: Vec<Window>,
    width: Width,
    value_bytes: u64,
    max_length: Option<u64>,
    parameters: parameters::Keys,
    storage: Storage,
    layout: Layout,
}

#[derive(Deserialize)]
struct Keys {
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
    #[serde(default, alias = "dtype")]
    torch_dtype: Option<String>,
    #[serde(default)]
    max_position_embeddings: Option<u64>,
}

/// A value that has two names; the first is used if a file has both.
const ALIASES: [(&str, &str); 4] = [
    ("torch_dtype", "dtype"),
    ("n_routed_experts", "num_experts"),
    ("num_experts", "num_local_experts"),
    ("sliding_window_pattern", "_sliding_window_pattern"),
];

/// Larger than any model's value; beyond it the products below could overflow.
const LARGEST: u64 = 1 << 16;

impl ModelConfig {
    /// Reads a `config.json`, or the `text_config` of a multimodal model.
    ///
    /// # Errors
    /// A file that cannot be read, lacks required keys, or describes a model that is not supported.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = read_configuration(path)?;
        let config = serde_json::from_slice(&bytes).map_err(|error| {
            Error::input(
                Location::line(path, error.line().max(1) as u64),
                format!("not a model's config.json: {error}"),
                "give the Hugging Face config.json of the model",
            )
        })?;
        Self::parse(&path.display().to_string(), config).map_err(|problem| {
            Error::input(
                Location::file(path),
                problem,
                "give the Hugging Face config.json of a decoder with attention",
            )
        })
    }

    /// A built-in model, by its name or its repository on Hugging Face.
    ///
    /// # Errors
    /// An unknown name.
    pub fn builtin(name: &str) -> Result<Self> {
        let model = builtin::find(name)?;
        let config = serde_json::from_str(model.config).unwrap_or_default();
        Self::parse(model.name, config).map_err(|problem| {
            Error::usage(format!("model `{name}` {problem}"), "choose another model")
        })
    }

    fn parse(name: &str, mut config: serde_json::Value) -> Result<Self, String> {
        if let Some(mut text) = config.get_mut("text_config").map(serde_json::Value::take)
            && let Some(inner) = text.as_object_mut()
        {
            // The outer object of a multimodal model may contain values that are common to all its parts.
            for key in [
                "torch_dtype",
                "dtype",
                "tie_word_embeddings",
                "quantization_config",
            ] {
                if !inner.contains_key(key)
                    && let Some(value) = config.get(key)
                {
                    inner.insert(key.to_owned(), value.clone());
                }
            }
            config = text;
        }
        if let Some(problem) = refusal(&config) {
            return Err(problem);
        }
        // Keys that were renamed; a file with both would be rejected.
        for (kept, other) in ALIASES {
            if let Some(entries) = config.as_object_mut()
                && entries.contains_key(kept)
            {
                entries.remove(other);
            }
        }
        let told = |error: serde_json::Error| format!("not a model's config.json: {error}");
        let keys = Keys::deserialize(&config).map_err(told)?;
        let windows = layers::Keys::deserialize(&config).map_err(told)?;
        let parameters = parameters::Keys::deserialize(&config).map_err(told)?;
        let heads = keys.num_key_value_heads.unwrap_or(keys.num_attention_heads);
        let dim = keys
            .head_dim
            .unwrap_or(keys.hidden_size / keys.num_attention_heads.max(1));
        let width = match keys.kv_lora_rank {
            Some(rank) => Width::Latent {
                dim: rank.saturating_add(keys.qk_rope_head_dim.unwrap_or(0)),
            },
            None => Width::Heads { heads, dim },
        };
        let sizes = [keys.num_hidden_layers, heads, dim, keys.num_attention_heads];
        if sizes.contains(&0) {
            return Err("a model without layers or heads".into());
        }
        let far = match width {
            Width::Latent { dim } => dim > LARGEST,
            Width::Heads { .. } => false,
        };
        if far || sizes.iter().any(|size| *size > LARGEST) || keys.num_hidden_layers > 1 << 14 {
            return Err("has sizes beyond those of any model".into());
        }
        let value_bytes = parameters::dtype_bytes(keys.torch_dtype.as_deref());
        let windows = layers::windows(&windows, keys.num_hidden_layers)?;
        let storage = Storage::default();
        let layout = Layout::new(&windows, width, value_bytes, storage)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            windows,
            width,
            value_bytes,
            max_length: keys.max_position_embeddings,
            parameters,
            storage,
            layout,
        })
    }

    /// The same model with another storage of its cache and weights.
    ///
    /// # Errors
    /// Heads or layers that cannot be divided in this way.
    pub fn stored(mut self, storage: Storage) -> Result<Self> {
        self.layout = Layout::new(&self.windows, self.width, self.value_bytes, storage)?;
        self.storage = storage;
        Ok(self)
    }

    /// Built-in name, or path of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Layout of the cache on the GPU with the most layers.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Storage of cache and weights.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// The longest sequence that the model supports.
    pub fn max_length(&self) -> Option<u64> {
        self.max_length
    }

    /// Bytes of keys and values per token on the GPU with the most layers, over all its layers, windowed ones included.
    pub fn bytes_per_token(&self) -> u64 {
        self.layout.bytes_per_token()
    }

    /// Number of parameters, from the shapes; `None` if the file lacks a size.
    pub fn parameters(&self) -> Option<u64> {
        self.parameters.count().map(|count| count.total())
    }

    /// Estimated bytes of weights on the GPU with the most layers; `None` if shapes are missing or the quantization is
    /// unknown.
    pub fn weight_bytes(&self) -> Option<u64> {
        let (layers, embedding) = self.parameters.bytes()?;
        let count = self.windows.len() as u64;
        let held = layers * self.layout.layers / count;
        // A single stage has both embeddings and head; of several stages, the first and the last have one each.
        let tied = self.parameters.count()?.tied;
        let ends = if self.storage.pipeline_parallel == 1 && !tied {
            2
        } else {
            1
        };
        Some((held + ends * embedding).div_ceil(self.storage.tensor_parallel))
    }

    /// The sizes of its layers; `None` if the file lacks one, or its quantization is unknown.
    pub fn shapes(&self) -> Option<Shapes> {
        Shapes::new(&self.parameters, &self.windows)
    }

    /// Floating-point operations to prefill one token, without attention over the context: twice the number of weights with
    /// which it is multiplied, without embeddings and output head. For the whole model, regardless of parallelism.
    pub fn prefill_flops_per_token(&self) -> Option<u64> {
        self.parameters.count().map(|count| 2 * count.active())
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::KvDtype;
    use crate::cache::capacity::model::*;
    use serde_json::json;

    fn per_token(name: &str) -> u64 {
        ModelConfig::builtin(name)
            .expect("built in")
            .bytes_per_token()
    }

    #[test]
    fn published_sizes_per_token() {
        // Layers x 2 x KV heads x head size x 2 bytes.
        assert_eq!(per_token("llama-2-7b"), 32 * 2 * 32 * 128 * 2); // 524,288
        assert_eq!(per_token("llama-2-7b"), 524_288);
        assert_eq!(per_token("llama-3-8b"), 131_072);
        assert_eq!(per_token("llama-3-70b"), 327_680);
        assert_eq!(per_token("qwen3-8b"), 147_456);
        // 126 x 2 x 8 x 128 x 2.
        assert_eq!(per_token("llama-3.1-405b"), 516_096);
        // Latent: 61 layers x (512 + 64) x 2 bytes.
        assert_eq!(per_token("deepseek-v3"), 70_272);
        assert_eq!(per_token("deepseek-v2-lite"), 27 * 576 * 2);
        // All 32 layers have a window, which does not change what a token takes: 32 x 2 x 8 x 128 x 2.
        assert_eq!(per_token("mistral-7b-v0.1"), 131_072);
        // 24 layers x 2 x 8 x 64 x 2, in two groups of 12.
        assert_eq!(per_token("gpt-oss-20b"), 49_152);
        // 62 layers, every sixth full: 10 full, 52 with a window, so 1 + 6 groups of 10; 70 x 2 x 16 x 128 x 2.
        assert_eq!(per_token("gemma-3-27b"), 573_440);
    }

    #[test]
    fn storage_changes_it() {
        let of = |name, dtype, tensor_parallel, pipeline_parallel| {
            let storage = Storage {
                dtype,
                tensor_parallel,
                pipeline_parallel,
            };
            ModelConfig::builtin(name)
                .and_then(|model| model.stored(storage))
                .expect("fits")
        };
        let fp8 = KvDtype::by_name("fp8").expect("known");
        assert_eq!(of("llama-3-8b", fp8, 1, 1).bytes_per_token(), 65_536);
        let auto = KvDtype::Auto;
        assert_eq!(of("llama-3-70b", auto, 4, 1).bytes_per_token(), 81_920);
        // 8 heads on 16 GPUs: one each, twice.
        assert_eq!(of("llama-3-70b", auto, 16, 1).bytes_per_token(), 40_960);
        // 80 layers in 3 stages: 27 x 2 x 8 x 128 x 2.
        assert_eq!(of("llama-3-70b", auto, 1, 3).bytes_per_token(), 110_592);
        // The latent vector is not split.
        assert_eq!(of("deepseek-v3", auto, 8, 1).bytes_per_token(), 70_272);
        // 70.55 G parameters of two bytes, and an eighth of them.
        let whole = of("llama-3-70b", auto, 1, 1).weight_bytes().expect("known");
        assert_eq!(whole, 2 * 70_553_706_496);
        let eighth = of("llama-3-70b", auto, 8, 1).weight_bytes();
        assert_eq!(eighth, Some(whole.div_ceil(8)));
    }

    #[test]
    fn cost_of_prefill() {
        let flops = |name| {
            ModelConfig::builtin(name)
                .expect("built in")
                .prefill_flops_per_token()
        };
        // 32 x (4096 x 128 x 2 x 40 + 3 x 4096 x 14336) x 2 = 13.96 GFLOP: twice its 6.98 G weights outside embeddings.
        assert_eq!(flops("llama-3-8b"), Some(13_958_643_712));
        // 32 x (4096 x 128 x 2 x 40 + 4096 x 8 + 2 x 3 x 4096 x 14336) x 2: two experts of eight.
        assert_eq!(flops("mixtral-8x7b"), Some(25_235_030_016));
    }

    #[test]
    fn parts_of_multimodal_models_and_refusals() {
        let nested = json!({"torch_dtype": "float32", "text_config": {"num_hidden_layers": 2, "hidden_size": 64,
            "num_attention_heads": 4}});
        let model = ModelConfig::parse("x", nested).expect("parses");
        // 2 layers x 2 x 4 x 16 x 4 bytes.
        assert_eq!(model.bytes_per_token(), 1024);
        assert_eq!(model.parameters(), None);
        for (config, expected) in [
            (json!({"model_type": "bert"}), "encoder"),
            (json!({"num_hidden_layers": 2}), "missing field"),
            (json!([]), "config.json"),
            (
                json!({"num_hidden_layers": 0, "hidden_size": 1, "num_attention_heads": 1}),
                "without layers",
            ),
            (
                json!({"num_hidden_layers": 1u64 << 60, "hidden_size": 64, "num_attention_heads": 1}),
                "beyond",
            ),
        ] {
            let told = ModelConfig::parse("x", config).expect_err("refused");
            assert!(told.contains(expected), "{told}");
        }
    }
}
