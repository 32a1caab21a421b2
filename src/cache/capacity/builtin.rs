//! Built-in models: the values of their published `config.json` on Hugging Face.
//!
//! Older files of Gemma and Mistral omit keys that have a default in `transformers`; those are written out.

use crate::base::error::{Error, Result};

/// A model and the origin of its values.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    /// Its repository on Hugging Face.
    pub(super) source: &'static str,
    /// Values of its `config.json`.
    pub(super) config: &'static str,
}

const fn model(name: &'static str, source: &'static str, config: &'static str) -> Builtin {
    Builtin {
        name,
        source,
        config,
    }
}

/// All models, in the order in which they are listed.
#[rustfmt::skip]
pub(super) const MODELS: &[Builtin] = &[
    model("llama-2-7b", "meta-llama/Llama-2-7b-hf",
        r#"{"num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":32,"intermediate_size":11008,"vocab_size":32000,"max_position_embeddings":4096,"torch_dtype":"float16"}"#),
    model("llama-2-13b", "meta-llama/Llama-2-13b-hf",
        r#"{"num_hidden_layers":40,"hidden_size":5120,"num_attention_heads":40,"num_key_value_heads":40,"intermediate_size":13824,"vocab_size":32000,"max_position_embeddings":4096,"torch_dtype":"float16"}"#),
    model("llama-2-70b", "meta-llama/Llama-2-70b-hf",
        r#"{"num_hidden_layers":80,"hidden_size":8192,"num_attention_heads":64,"num_key_value_heads":8,"intermediate_size":28672,"vocab_size":32000,"max_position_embeddings":4096,"torch_dtype":"float16"}"#),
    model("llama-3-8b", "meta-llama/Meta-Llama-3-8B",
        r#"{"num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"intermediate_size":14336,"vocab_size":128256,"max_position_embeddings":8192,"torch_dtype":"bfloat16"}"#),
    model("llama-3-70b", "meta-llama/Meta-Llama-3-70B",
        r#"{"num_hidden_layers":80,"hidden_size":8192,"num_attention_heads":64,"num_key_value_heads":8,"intermediate_size":28672,"vocab_size":128256,"max_position_embeddings":8192,"torch_dtype":"bfloat16"}"#),
    model("llama-3.1-8b", "meta-llama/Meta-Llama-3.1-8B",
        r#"{"num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"intermediate_size":14336,"vocab_size":128256,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("llama-3.1-70b", "meta-llama/Meta-Llama-3.1-70B",
        r#"{"num_hidden_layers":80,"hidden_size":8192,"num_attention_heads":64,"num_key_value_heads":8,"intermediate_size":28672,"vocab_size":128256,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("llama-3.1-405b", "meta-llama/Meta-Llama-3.1-405B",
        r#"{"num_hidden_layers":126,"hidden_size":16384,"num_attention_heads":128,"num_key_value_heads":8,"intermediate_size":53248,"vocab_size":128256,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct",
        r#"{"num_hidden_layers":80,"hidden_size":8192,"num_attention_heads":64,"num_key_value_heads":8,"intermediate_size":28672,"vocab_size":128256,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("qwen2.5-7b", "Qwen/Qwen2.5-7B",
        r#"{"num_hidden_layers":28,"hidden_size":3584,"num_attention_heads":28,"num_key_value_heads":4,"intermediate_size":18944,"vocab_size":152064,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("qwen2.5-14b", "Qwen/Qwen2.5-14B",
        r#"{"num_hidden_layers":48,"hidden_size":5120,"num_attention_heads":40,"num_key_value_heads":8,"intermediate_size":13824,"vocab_size":152064,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("qwen2.5-32b", "Qwen/Qwen2.5-32B",
        r#"{"num_hidden_layers":64,"hidden_size":5120,"num_attention_heads":40,"num_key_value_heads":8,"intermediate_size":27648,"vocab_size":152064,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("qwen2.5-72b", "Qwen/Qwen2.5-72B",
        r#"{"num_hidden_layers":80,"hidden_size":8192,"num_attention_heads":64,"num_key_value_heads":8,"intermediate_size":29568,"vocab_size":152064,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("qwen3-0.6b", "Qwen/Qwen3-0.6B",
        r#"{"num_hidden_layers":28,"hidden_size":1024,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"intermediate_size":3072,"vocab_size":151936,"tie_word_embeddings":true,"max_position_embeddings":40960,"torch_dtype":"bfloat16"}"#),
    model("qwen3-8b", "Qwen/Qwen3-8B",
        r#"{"num_hidden_layers":36,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":128,"intermediate_size":12288,"vocab_size":151936,"max_position_embeddings":40960,"torch_dtype":"bfloat16"}"#),
    model("qwen3-32b", "Qwen/Qwen3-32B",
        r#"{"num_hidden_layers":64,"hidden_size":5120,"num_attention_heads":64,"num_key_value_heads":8,"head_dim":128,"intermediate_size":25600,"vocab_size":151936,"max_position_embeddings":40960,"torch_dtype":"bfloat16"}"#),
    model("qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B",
        r#"{"num_hidden_layers":48,"hidden_size":2048,"num_attention_heads":32,"num_key_value_heads":4,"head_dim":128,"intermediate_size":6144,"moe_intermediate_size":768,"num_experts":128,"num_experts_per_tok":8,"vocab_size":151936,"max_position_embeddings":40960,"torch_dtype":"bfloat16"}"#),
    model("qwen3-235b-a22b", "Qwen/Qwen3-235B-A22B",
        r#"{"num_hidden_layers":94,"hidden_size":4096,"num_attention_heads":64,"num_key_value_heads":4,"head_dim":128,"intermediate_size":12288,"moe_intermediate_size":1536,"num_experts":128,"num_experts_per_tok":8,"vocab_size":151936,"max_position_embeddings":40960,"torch_dtype":"bfloat16"}"#),
    model("mistral-7b-v0.1", "mistralai/Mistral-7B-v0.1",
        r#"{"model_type":"mistral","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"intermediate_size":14336,"vocab_size":32000,"sliding_window":4096,"max_position_embeddings":32768,"torch_dtype":"bfloat16"}"#),
    model("mistral-7b-v0.3", "mistralai/Mistral-7B-v0.3",
        r#"{"model_type":"mistral","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"intermediate_size":14336,"vocab_size":32768,"max_position_embeddings":32768,"torch_dtype":"bfloat16"}"#),
    model("mistral-nemo", "mistralai/Mistral-Nemo-Instruct-2407",
        r#"{"model_type":"mistral","num_hidden_layers":40,"hidden_size":5120,"num_attention_heads":32,"num_key_value_heads":8,"head_dim":128,"intermediate_size":14336,"vocab_size":131072,"max_position_embeddings":1024000,"torch_dtype":"bfloat16"}"#),
    model("mixtral-8x7b", "mistralai/Mixtral-8x7B-v0.1",
        r#"{"model_type":"mixtral","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"intermediate_size":14336,"num_local_experts":8,"num_experts_per_tok":2,"vocab_size":32000,"max_position_embeddings":32768,"torch_dtype":"bfloat16"}"#),
    model("mixtral-8x22b", "mistralai/Mixtral-8x22B-v0.1",
        r#"{"model_type":"mixtral","num_hidden_layers":56,"hidden_size":6144,"num_attention_heads":48,"num_key_value_heads":8,"intermediate_size":16384,"num_local_experts":8,"num_experts_per_tok":2,"vocab_size":32000,"max_position_embeddings":65536,"torch_dtype":"bfloat16"}"#),
    model("deepseek-v2-lite", "deepseek-ai/DeepSeek-V2-Lite",
        r#"{"num_hidden_layers":27,"hidden_size":2048,"num_attention_heads":16,"num_key_value_heads":16,"intermediate_size":10944,"moe_intermediate_size":1408,"n_routed_experts":64,"n_shared_experts":2,"num_experts_per_tok":6,"first_k_dense_replace":1,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"vocab_size":102400,"max_position_embeddings":163840,"torch_dtype":"bfloat16"}"#),
    model("deepseek-v3", "deepseek-ai/DeepSeek-V3",
        r#"{"num_hidden_layers":61,"hidden_size":7168,"num_attention_heads":128,"num_key_value_heads":128,"intermediate_size":18432,"moe_intermediate_size":2048,"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,"first_k_dense_replace":3,"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"vocab_size":129280,"max_position_embeddings":163840,"torch_dtype":"bfloat16","quantization_config":{"quant_method":"fp8"}}"#),
    model("deepseek-r1", "deepseek-ai/DeepSeek-R1",
        r#"{"num_hidden_layers":61,"hidden_size":7168,"num_attention_heads":128,"num_key_value_heads":128,"intermediate_size":18432,"moe_intermediate_size":2048,"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,"first_k_dense_replace":3,"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"vocab_size":129280,"max_position_embeddings":163840,"torch_dtype":"bfloat16","quantization_config":{"quant_method":"fp8"}}"#),
    model("gemma-2-9b", "google/gemma-2-9b",
        r#"{"model_type":"gemma2","num_hidden_layers":42,"hidden_size":3584,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":256,"intermediate_size":14336,"vocab_size":256000,"tie_word_embeddings":true,"sliding_window":4096,"max_position_embeddings":8192,"torch_dtype":"bfloat16"}"#),
    model("gemma-2-27b", "google/gemma-2-27b",
        r#"{"model_type":"gemma2","num_hidden_layers":46,"hidden_size":4608,"num_attention_heads":32,"num_key_value_heads":16,"head_dim":128,"intermediate_size":36864,"vocab_size":256000,"tie_word_embeddings":true,"sliding_window":4096,"max_position_embeddings":8192,"torch_dtype":"bfloat16"}"#),
    model("gemma-3-27b", "google/gemma-3-27b-it",
        r#"{"model_type":"gemma3_text","num_hidden_layers":62,"hidden_size":5376,"num_attention_heads":32,"num_key_value_heads":16,"head_dim":128,"intermediate_size":21504,"vocab_size":262208,"tie_word_embeddings":true,"sliding_window":1024,"sliding_window_pattern":6,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}"#),
    model("phi-4", "microsoft/phi-4",
        r#"{"num_hidden_layers":40,"hidden_size":5120,"num_attention_heads":40,"num_key_value_heads":10,"intermediate_size":17920,"vocab_size":100352,"max_position_embeddings":16384,"torch_dtype":"bfloat16"}"#),
    model("gpt-oss-20b", "openai/gpt-oss-20b",
        r#"{"model_type":"gpt_oss","num_hidden_layers":24,"hidden_size":2880,"num_attention_heads":64,"num_key_value_heads":8,"head_dim":64,"intermediate_size":2880,"num_local_experts":32,"num_experts_per_tok":4,"vocab_size":201088,"sliding_window":128,"max_position_embeddings":131072,"quantization_config":{"quant_method":"mxfp4"}}"#),
    model("gpt-oss-120b", "openai/gpt-oss-120b",
        r#"{"model_type":"gpt_oss","num_hidden_layers":36,"hidden_size":2880,"num_attention_heads":64,"num_key_value_heads":8,"head_dim":64,"intermediate_size":2880,"num_local_experts":128,"num_experts_per_tok":4,"vocab_size":201088,"sliding_window":128,"max_position_embeddings":131072,"quantization_config":{"quant_method":"mxfp4"}}"#),
];

/// Remark on a variant with the same shapes.
const VARIANTS: [&str; 5] = ["-instruct", "-chat", "-base", "-hf", "-it"];

/// The model with this name or repository, regardless of case.
pub(super) fn find(given: &str) -> Result<&'static Builtin> {
    let repository = MODELS
        .iter()
        .find(|model| model.source.eq_ignore_ascii_case(given));
    if let Some(model) = repository {
        return Ok(model);
    }
    let lower = given.to_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    let name = name.strip_prefix("meta-").unwrap_or(name);
    let mut stem = name;
    loop {
        if let Some(model) = MODELS.iter().find(|model| model.name == stem) {
            return Ok(model);
        }
        match VARIANTS.iter().find_map(|end| stem.strip_suffix(end)) {
            Some(shorter) => stem = shorter,
            None => break,
        }
    }
    let names: Vec<_> = MODELS.iter().map(|model| model.name).collect();
    Err(Error::unknown_name("model", given, &names))
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::ModelConfig;
    use crate::cache::capacity::builtin::*;

    #[test]
    fn all_are_read() {
        for model in MODELS {
            let config = ModelConfig::builtin(model.name).expect("parses");
            assert!(config.weight_bytes().is_some(), "{}", model.name);
            assert!(config.max_length().is_some(), "{}", model.name);
        }
    }

    #[test]
    fn names_as_users_write_them() {
        for name in [
            "llama-3-8b",
            "Llama-3-8B-Instruct",
            "meta-llama/Meta-Llama-3-8B-Instruct",
            "meta-llama/Meta-Llama-3-8B",
        ] {
            assert_eq!(find(name).map(|model| model.name).ok(), Some("llama-3-8b"));
        }
        let error = find("qwen3-8").err().expect("unknown").to_string();
        assert!(
            error.starts_with("unknown model `qwen3-8`; did you mean `qwen3-8b`?"),
            "{error}"
        );
    }
}
