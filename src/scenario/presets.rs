//! Built-in cluster configurations.

use std::fmt::Write as _;

use crate::base::error::{Error, Result};

/// A built-in cluster.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Name in commands.
    pub name: &'static str,
    /// Short description.
    pub summary: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A preset with its own TOML file.
    File(&'static str),
    /// Pools of the Splitwise study: GPU and number of prompt instances, and the same for token instances.
    Splitwise(&'static str, u32, &'static str, u32),
    /// Aggregated instances of one kind, as in the study's baselines.
    Baseline(&'static str, u32),
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "llama-8b-pd-4-4",
        summary: "Llama 3 8B on H100: 4 prefill and 4 decode instances",
        kind: Kind::File(include_str!("../../data/presets/llama-8b-pd-4-4.toml")),
    },
    Preset {
        name: "llama-8b-aggregated-4",
        summary: "Llama 3 8B on 4 H100 that serve whole requests",
        kind: Kind::File(include_str!(
            "../../data/presets/llama-8b-aggregated-4.toml"
        )),
    },
    Preset {
        name: "llama-70b-pd-2-2",
        summary: "Llama 3 70B on H100 at tensor parallelism 4: 2 prefill and 2 decode instances",
        kind: Kind::File(include_str!("../../data/presets/llama-70b-pd-2-2.toml")),
    },
    Preset {
        name: "splitwise-hh-25-15",
        summary: "BLOOM 176B as in Splitwise: 25 prompt and 15 token DGX-H100",
        kind: Kind::Splitwise("h100-80gb", 25, "h100-80gb", 15),
    },
    Preset {
        name: "splitwise-aa-55-15",
        summary: "the same on 55 prompt and 15 token DGX-A100",
        kind: Kind::Splitwise("a100-80gb", 55, "a100-80gb", 15),
    },
    Preset {
        name: "splitwise-ha-35-8",
        summary: "the same with 35 DGX-H100 for prompts and 8 DGX-A100 for tokens",
        kind: Kind::Splitwise("h100-80gb", 35, "a100-80gb", 8),
    },
    Preset {
        name: "splitwise-baseline-h100-40",
        summary: "BLOOM 176B on 40 DGX-H100 that serve whole requests",
        kind: Kind::Baseline("h100-80gb", 40),
    },
    Preset {
        name: "splitwise-baseline-a100-70",
        summary: "BLOOM 176B on 70 DGX-A100 that serve whole requests",
        kind: Kind::Baseline("a100-80gb", 70),
    },
];

/// Returns a preset by name.
///
/// # Errors
/// An unknown name.
pub(super) fn find(name: &str) -> Result<&'static Preset> {
    PRESETS
        .iter()
        .find(|preset| preset.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            Error::unknown_name("preset", name, &names)
        })
}

/// Settings that all clusters of the study share: model sizes, links, and the reference for slowdowns.
const BLOOM: &str = r#"
[model]
name = "bloom-176b"
# 2 x 70 layers x 14336 x 2 bytes
kv_bytes_per_token = 4014080.0
weight_bytes = 329e9
layers = 70

[transfer]
# 200 GiB/s
gb_per_second = 214.7483648
latency_ms = 0.0
contention = "none"

[slo.reference]
kind = "splitwise-table"
model = "bloom-176b"
hardware = "a100-80gb"
tensor_parallel = 8

[scheduler]
kind = "vllm-v1"
max_num_batched_tokens = 2048
max_num_seqs = 512
async_scheduling = false
"#;

impl Preset {
    /// Returns the preset's configuration.
    pub fn toml(&self) -> String {
        let mut text = format!("name = \"{}\"\n", self.name);
        let mut pool = |name: &str, role: &str, sku: &str, instances: u32| {
            let _ = write!(
                text,
                r#"
[[pool]]
name = "{name}"
role = "{role}"
instances = {instances}
sku = "{sku}"
gpus = 8
gpu_memory_utilization = 1.0

[pool.latency]
kind = "splitwise-table"
model = "bloom-176b"
hardware = "{sku}"
tensor_parallel = 8
"#
            );
        };
        match self.kind {
            Kind::File(file) => return file.to_owned(),
            Kind::Splitwise(prompt, prompts, token, tokens) => {
                pool("prefill", "prefill", prompt, prompts);
                pool("decode", "decode", token, tokens);
                text.push_str("\n[router]\nprompt = \"mixed-pool\"\noutput = \"least-loaded\"\n");
            }
            Kind::Baseline(sku, instances) => {
                pool("baseline", "aggregated", sku, instances);
                text.push_str("\n[router]\nprompt = \"token-jsq\"\n");
            }
        }
        text.push_str(BLOOM);
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::ScenarioConfig;
    use crate::scenario::presets::*;

    #[test]
    fn every_preset_is_a_cluster() {
        for preset in PRESETS {
            let config = ScenarioConfig::preset(preset.name, &[]).expect(preset.name);
            assert_eq!(config.name, preset.name);
            config.prepare().expect(preset.name);
        }
        assert!(ScenarioConfig::preset("splitwise-hh", &[]).is_err());
    }
}
