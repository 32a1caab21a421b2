//! Determines which layers attend to the whole context and which to a window, from the keys of different model families.

use serde::Deserialize;

/// The keys of a `config.json` that determine it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Keys {
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    sliding_window: Option<u64>,
    #[serde(default, alias = "_sliding_window_pattern")]
    sliding_window_pattern: Option<u64>,
    #[serde(default)]
    use_sliding_window: Option<bool>,
    #[serde(default)]
    max_window_layers: Option<u64>,
}

/// Attention window of a layer in tokens; `None` for the whole context.
pub(super) type Window = Option<u64>;

/// Families without autoregressive decoding.
const ENCODERS: [&str; 10] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "deberta",
    "deberta-v2",
    "electra",
    "albert",
    "modernbert",
    "nomic_bert",
];

/// Keys whose presence means memory that is not modelled, with a description of it.
const FOREIGN: [(&str, &str); 15] = [
    (
        "sparse_attention_config",
        "an index beside its keys (sparse attention)",
    ),
    ("hybrid_override_pattern", "layers with a state (Mamba)"),
    ("layers_block_type", "layers with a state (Mamba)"),
    ("mamba_d_state", "layers with a state (Mamba)"),
    ("mamba_d_ssm", "layers with a state (Mamba)"),
    ("ssm_cfg", "layers with a state (Mamba)"),
    ("state_size", "layers with a state (Mamba)"),
    ("attn_type_list", "layers of linear attention"),
    ("linear_attn_config", "layers of linear attention"),
    ("linear_num_value_heads", "layers of linear attention"),
    ("attention_chunk_size", "attention in chunks"),
    (
        "index_head_dim",
        "an index beside its keys (sparse attention)",
    ),
    ("global_head_dim", "heads of two sizes"),
    ("swa_head_dim", "heads of two sizes"),
    ("num_kv_shared_layers", "layers that share their keys"),
];

/// The part of a model that this module cannot account for; `None` if there is none.
pub(super) fn refusal(config: &serde_json::Value) -> Option<String> {
    let kind = config["model_type"].as_str().unwrap_or("");
    let encoder = config["architectures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
        .any(|name| name.ends_with("ForMaskedLM"));
    if ENCODERS.contains(&kind) || encoder {
        return Some("is an encoder, which has no KV cache".into());
    }
    if config["is_encoder_decoder"] == true {
        return Some("is an encoder with a decoder, whose cross-attention is not modelled".into());
    }
    if ["mamba", "rwkv", "retnet"]
        .iter()
        .any(|name| kind.contains(name))
    {
        return Some("has layers with a state in place of a KV cache, not modelled".into());
    }
    FOREIGN.iter().find_map(|(key, what)| {
        let value = &config[*key];
        // MiniMax lists each layer's kind; 1 is the usual attention.
        let usual = value
            .as_array()
            .is_some_and(|kinds| kinds.iter().all(|kind| *kind == 1));
        let there = !value.is_null() && *value != 0 && *value != false && !usual;
        there.then(|| format!("has {what} (`{key}`), whose memory is not modelled"))
    })
}

/// The window of each of `count` layers.
pub(super) fn windows(keys: &Keys, count: u64) -> Result<Vec<Window>, String> {
    if let Some(types) = &keys.layer_types {
        if types.len() as u64 != count {
            return Err(format!(
                "has {} layer_types for {count} layers",
                types.len()
            ));
        }
        return types
            .iter()
            .map(|kind| match kind.as_str() {
                "full_attention" => Ok(None),
                "sliding_attention" => Ok(Some(width(keys)?)),
                other => Err(format!(
                    "has layers of `{other}`, whose memory is not modelled"
                )),
            })
            .collect();
    }
    let kind = keys.model_type.as_deref().unwrap_or("");
    // Qwen's files name a window that its models do not use by default.
    let used = keys.use_sliding_window.unwrap_or(!kind.starts_with("qwen"));
    if keys.sliding_window.is_none() || !used {
        return Ok(vec![None; count as usize]);
    }
    let window = Some(width(keys)?);
    let pattern = match (keys.sliding_window_pattern, kind) {
        (Some(pattern), _) => Some(pattern),
        (None, "gemma2" | "gpt_oss") => Some(2),
        (None, "cohere2") => Some(4),
        (None, "gemma3" | "gemma3_text") => Some(6),
        _ => None,
    };
    let sees = |layer: u64| match (pattern, keys.max_window_layers) {
        // The last layer of each period attends to the whole context.
        (Some(period), _) if period > 0 && (layer + 1).is_multiple_of(period) => None,
        (Some(_), _) => window,
        // In Qwen's models, the first layers do.
        (None, Some(first)) if kind.starts_with("qwen") && layer < first => None,
        _ => window,
    };
    Ok((0..count).map(sees).collect())
}

fn width(keys: &Keys) -> Result<u64, String> {
    keys.sliding_window
        .filter(|window| *window > 0)
        .ok_or_else(|| "has sliding layers without a `sliding_window`".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::cache::capacity::layers::*;
    use serde_json::json;

    fn of(config: serde_json::Value, count: u64) -> String {
        let keys: Keys = serde_json::from_value(config).expect("parses");
        let windows = windows(&keys, count).expect("known");
        let letter = |window: &Window| if window.is_some() { 's' } else { 'f' };
        windows.iter().map(letter).collect()
    }

    #[test]
    fn families() {
        let mistral = json!({"model_type": "mistral", "sliding_window": 4096});
        assert_eq!(of(mistral, 3), "sss");
        assert_eq!(of(json!({"sliding_window": null}), 3), "fff");
        let gemma2 = json!({"model_type": "gemma2", "sliding_window": 4096});
        assert_eq!(of(gemma2, 4), "sfsf");
        let gemma3 = json!({"model_type": "gemma3_text", "sliding_window": 1024});
        assert_eq!(of(gemma3, 8), "sssssfss");
        let patterned = json!({"sliding_window": 8, "sliding_window_pattern": 3});
        assert_eq!(of(patterned, 6), "ssfssf");
        let unused =
            json!({"model_type": "qwen2", "sliding_window": 131_072, "max_window_layers": 28});
        assert_eq!(of(unused, 3), "fff");
        let used = json!({"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": true,
            "max_window_layers": 2});
        assert_eq!(of(used, 4), "ffss");
        let named =
            json!({"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"]});
        assert_eq!(of(named, 2), "sf");
    }

    #[test]
    fn what_is_not_modelled() {
        for (config, expected) in [
            (json!({"model_type": "bert"}), "an encoder"),
            (json!({"is_encoder_decoder": true}), "cross-attention"),
            (json!({"model_type": "falcon_mamba"}), "with a state"),
            (json!({"hybrid_override_pattern": "M-M*"}), "Mamba"),
            (json!({"attention_chunk_size": 8192}), "in chunks"),
            (json!({"index_head_dim": 128}), "an index"),
            (json!({"attn_type_list": [0, 1]}), "linear"),
        ] {
            let told = refusal(&config).expect("refused");
            assert!(told.contains(expected), "{told}");
        }
        let well = json!({"model_type": "llama", "attention_chunk_size": null, "num_kv_shared_layers": 0,
            "attn_type_list": [1, 1]});
        assert_eq!(refusal(&well), None);
        let keys: Keys =
            serde_json::from_value(json!({"layer_types": ["linear_attention"]})).expect("parses");
        assert!(windows(&keys, 1).is_err());
    }
}
