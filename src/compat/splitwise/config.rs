//! Configuration of a simulation: model, servers, instances, scheduler.

use serde::{Deserialize, Serialize};

use super::instance::Batching;
use crate::base::error::{Error, Result};

/// Complete configuration; the default is one DGX-H100 with bloom-176b and SplitwiseSim's own limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The model.
    pub model: ModelConfig,
    /// Groups of servers, in the order in which instances are placed on them.
    pub servers: Vec<Servers>,
    /// Instances, which exist for the whole run.
    pub start_state: StartState,
    /// Scheduler that chooses the instances of a request.
    pub scheduler: SchedulerConfig,
    /// Delay between a request's arrival and its scheduling, in seconds.
    pub routing_delay: f64,
    /// Time after which no further event is processed, in seconds.
    pub end_time: f64,
    /// Seed of scheduler `random`, the only random component.
    pub seed: u64,
    /// Number of the application, used in the names of result files.
    pub application_id: u64,
    /// Whether iteration times are extrapolated beyond the measured numbers of tokens, as in the reference, or kept at
    /// the last measured value.
    pub extrapolate: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: ModelConfig::default(),
            servers: vec![Servers::new("dgx-h100", 1)],
            start_state: StartState::default(),
            scheduler: SchedulerConfig::named("token_jsq"),
            routing_delay: 0.0,
            end_time: 86400.0,
            seed: 0,
            application_id: 0,
            extrapolate: true,
        }
    }
}

impl Config {
    /// Name of the cluster in results, made of its servers.
    pub fn cluster_label(&self) -> String {
        let servers = self.servers.iter().filter(|servers| servers.count > 0);
        let names = servers.map(|servers| format!("{}x{}", servers.sku, servers.count));
        names.collect::<Vec<_>>().join("_")
    }
}

/// A model, given by name or by its dimensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Name of the architecture. It determines the number of layers, the hidden size and the table of iteration times.
    pub architecture: String,
    /// Name of the size. It determines the bytes of the weights and of an element; if empty, the architecture's name is
    /// used.
    pub size: String,
    /// Number of layers, if it differs from the named architecture's.
    pub layers: Option<u32>,
    /// Hidden size, if it differs from the named architecture's.
    pub hidden_size: Option<u32>,
    /// Bytes of all weights, if they differ from the named size's.
    pub weights: Option<u64>,
    /// Bytes per element of the KV cache, if they differ from the named size's.
    pub dtype_size: Option<u32>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::named("bloom-176b")
    }
}

/// Layers and hidden sizes of `configs/model_repo/architectures`.
const ARCHITECTURES: [(&str, u32, u32); 7] = [
    ("bloom-176b", 70, 14336),
    ("gpt3-175b", 96, 12288),
    ("llama-13b", 40, 5120),
    ("llama-33b", 60, 6656),
    ("llama2-70b", 80, 8192),
    ("opt-30b", 48, 7168),
    ("opt-66b", 64, 9216),
];

/// Bytes of weights and of an element, from `configs/model_repo/sizes`.
const SIZES: [(&str, u64, u32); 2] = [
    ("bloom-176b-fp16", 329_000_000_000, 2),
    ("llama2-70b-fp16", 135_000_000_000, 2),
];

/// The properties of a model that the simulation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) weights: i64,
    pub(super) kv_bytes_per_token: i64,
}

impl ModelConfig {
    /// A known model in fp16.
    pub fn named(architecture: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            size: String::new(),
            layers: None,
            hidden_size: None,
            weights: None,
            dtype_size: None,
        }
    }

    pub(super) fn resolve(&self) -> Result<Model> {
        let known = ARCHITECTURES
            .iter()
            .find(|(name, ..)| *name == self.architecture);
        let layers = self.layers.or(known.map(|(_, layers, _)| *layers));
        let hidden = self.hidden_size.or(known.map(|(.., hidden)| *hidden));
        let (Some(layers), Some(hidden)) = (layers, hidden) else {
            let names = ARCHITECTURES.map(|(name, ..)| name);
            return Err(Error::unknown_name(
                "model architecture",
                &self.architecture,
                &names,
            ));
        };
        let size = match self.size.as_str() {
            "" => format!("{}-fp16", self.architecture),
            size => size.to_owned(),
        };
        let known = SIZES.iter().find(|(name, ..)| *name == size);
        let weights = self.weights.or(known.map(|(_, weights, _)| *weights));
        let dtype = self.dtype_size.or(known.map(|(.., dtype)| *dtype));
        let (Some(weights), Some(dtype)) = (weights, dtype) else {
            return Err(Error::unknown_name(
                "model size",
                &size,
                &SIZES.map(|(name, ..)| name),
            ));
        };
        let bytes = i64::from(layers)
            .checked_mul(i64::from(hidden))
            .and_then(|product| product.checked_mul(2 * i64::from(dtype)));
        match (i64::try_from(weights), bytes) {
            (Ok(weights), Some(bytes)) if bytes < MOST_BYTES && weights < MOST_BYTES => Ok(Model {
                weights,
                kv_bytes_per_token: bytes,
            }),
            _ => Err(Error::usage(
                "a model of more than 2^53 bytes",
                "check the numbers of the model",
            )),
        }
    }
}

/// Largest bound up to which a double represents every integer; the reference uses doubles.
const MOST_BYTES: i64 = 1 << 53;

/// Servers of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Servers {
    /// Name: dgx-a100, dgx-h100, dgx-h100-pcap, or another name with a `gpu`.
    pub sku: String,
    /// Number of servers.
    pub count: u32,
    /// Name of the GPU in the table of iteration times; required for servers of another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// GPUs per server; default 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Bytes of memory per GPU; default 80 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_memory: Option<u64>,
}

/// GPU names of `configs/hardware_repo/skus`, each with eight GPUs of 80 GiB.
const SKUS: [(&str, &str); 3] = [
    ("dgx-a100", "a100-80gb"),
    ("dgx-h100", "h100-80gb"),
    ("dgx-h100-pcap", "h100-80gb-pcap"),
];

impl Servers {
    /// Servers of a known kind.
    pub fn new(sku: &str, count: u32) -> Self {
        Self {
            sku: sku.to_owned(),
            count,
            gpu: None,
            gpus: None,
            gpu_memory: None,
        }
    }

    /// Name, number and bytes of the GPUs of a server.
    pub(super) fn resolve(&self) -> Result<(&str, u32, i64)> {
        let known = SKUS.iter().find(|(sku, _)| *sku == self.sku);
        let gpu = match (&self.gpu, known) {
            (Some(gpu), _) => gpu.as_str(),
            (None, Some((_, gpu))) => gpu,
            (None, None) => {
                return Err(Error::unknown_name(
                    "server",
                    &self.sku,
                    &SKUS.map(|(sku, _)| sku),
                ));
            }
        };
        let memory = self.gpu_memory.unwrap_or(80 << 30);
        match i64::try_from(memory) {
            Ok(memory) if memory < MOST_BYTES >> 10 => Ok((gpu, self.gpus.unwrap_or(8), memory)),
            _ => Err(Error::usage(
                format!("GPUs of {memory} bytes"),
                "check `gpu_memory`, which is in bytes",
            )),
        }
    }
}

/// Arrangement of the instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StartState {
    /// One instance on every server, with all of its GPUs: `orca` and `baseline`.
    Uniform {
        /// The instance.
        #[serde(default)]
        instance: InstanceConfig,
    },
    /// The first servers run prompts, the next ones tokens.
    Homogeneous {
        /// Instances for prompts.
        prompt: PoolConfig,
        /// Instances for tokens.
        token: PoolConfig,
    },
    /// Servers of some kinds run prompts, servers of others tokens.
    Heterogeneous {
        /// Instances for prompts.
        prompt: PoolConfig,
        /// Instances for tokens.
        token: PoolConfig,
    },
}

impl Default for StartState {
    fn default() -> Self {
        Self::Uniform {
            instance: InstanceConfig::default(),
        }
    }
}

impl StartState {
    /// Name in results, which the reference derives from the numbers of servers.
    pub fn label(&self) -> String {
        match self {
            Self::Uniform { instance } if instance.batching == BatchingKind::Orca => {
                "orca".to_owned()
            }
            Self::Uniform { .. } => "baseline".to_owned(),
            Self::Homogeneous { prompt, token } | Self::Heterogeneous { prompt, token } => {
                format!("splitwise_{}_{}", prompt.servers, token.servers)
            }
        }
    }

    /// Names of the start states of `configs/start_state`.
    pub const PRESETS: [&str; 4] = ["orca", "baseline", "splitwise", "splitwise_hhcap"];

    /// A start state of `configs/start_state`; the splitwise ones have one server in each pool.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name.
    pub fn preset(name: &str) -> Result<Self> {
        let pools = |token: &str| Self::Homogeneous {
            prompt: PoolConfig {
                skus: vec!["dgx-h100".to_owned()],
                ..PoolConfig::default()
            },
            token: PoolConfig {
                skus: vec![token.to_owned()],
                ..PoolConfig::default()
            },
        };
        match name {
            "orca" => Ok(Self::Uniform {
                instance: InstanceConfig {
                    batching: BatchingKind::Orca,
                    ..InstanceConfig::default()
                },
            }),
            "baseline" => Ok(Self::default()),
            "splitwise" => Ok(pools("dgx-a100")),
            "splitwise_hhcap" => Ok(pools("dgx-h100-pcap")),
            _ => Err(Error::unknown_name("start state", name, &Self::PRESETS)),
        }
    }
}

/// Instances of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// The instance.
    pub instance: InstanceConfig,
    /// For a homogeneous split: number of servers for this phase, each with as many instances as fit.
    pub servers: usize,
    /// For a heterogeneous split: names of the servers for this phase.
    pub skus: Vec<String>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            instance: InstanceConfig::default(),
            servers: 1,
            skus: Vec::new(),
        }
    }
}

/// Rule by which an instance forms batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchingKind {
    /// Iteration-level scheduling, first come first served (Orca, OSDI 2022).
    Orca,
    /// Prompts first, up to a token limit; decodes are preempted (Splitwise, ISCA 2024).
    Splitwise,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstanceConfig {
    /// Rule by which it forms batches.
    pub batching: BatchingKind,
    /// GPUs per instance.
    pub tensor_parallelism: u32,
    /// Has no effect, as in the reference.
    pub pipeline_parallelism: u32,
    /// Maximum number of requests per batch.
    pub max_batch_size: usize,
    /// Maximum number of tokens per batch of more than one request; not used by ORCA.
    pub max_batch_tokens: u32,
    /// Number of iterations without a request after which it is taken first; not used by ORCA.
    pub max_preemptions: u32,
}

impl Default for InstanceConfig {
    fn default() -> Self {
        Self {
            batching: BatchingKind::Splitwise,
            tensor_parallelism: 8,
            pipeline_parallelism: 1,
            max_batch_size: 512,
            max_batch_tokens: 2048,
            max_preemptions: 4,
        }
    }
}

impl InstanceConfig {
    pub(super) fn batching(&self) -> Batching {
        match self.batching {
            BatchingKind::Orca => Batching::Orca,
            BatchingKind::Splitwise => Batching::Splitwise {
                max_batch_tokens: self.max_batch_tokens.into(),
                max_preemptions: self.max_preemptions,
            },
        }
    }
}

/// A scheduler and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerConfig {
    /// Name, one of [`super::SCHEDULERS`].
    pub name: String,
    /// Bandwidth of KV transfers in GiB/s; default 200, or 12.5 for `kv_round_robin_ethernet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_bandwidth: Option<f64>,
    /// For `mixed_pool`: number of pending tokens beyond which a prompt is sent to another instance; default 8192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_max_pending_batch_tokens: Option<i64>,
}

impl SchedulerConfig {
    /// A scheduler with the parameters of its file in `configs/orchestrator_repo/schedulers`.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            transfer_bandwidth: None,
            prompt_max_pending_batch_tokens: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::compat::splitwise::config::*;

    const TEXT: &str = r#"
        routing_delay = 0.5
        [model]
        architecture = "llama2-70b"
        [[servers]]
        sku = "dgx-a100"
        count = 3
        [start_state]
        kind = "homogeneous"
        prompt = { servers = 2, instance = { tensor_parallelism = 4 } }
        token = {}
        [scheduler]
        name = "mixed_pool"
        transfer_bandwidth = 25
    "#;

    #[test]
    fn reads_toml_and_writes_it_back() {
        let config: Config = toml::from_str(TEXT).expect("reads");
        let StartState::Homogeneous { prompt, token } = &config.start_state else {
            panic!("{:?}", config.start_state);
        };
        assert_eq!((prompt.servers, prompt.instance.tensor_parallelism), (2, 4));
        assert_eq!((token.servers, token.instance.max_batch_tokens), (1, 2048));
        assert_eq!(config.scheduler.transfer_bandwidth, Some(25.0));
        let text = toml::to_string(&config).expect("writes");
        assert_eq!(toml::from_str::<Config>(&text).expect("reads"), config);
    }

    #[test]
    fn unknown_keys_are_errors() {
        for text in [
            "sed = 1",
            "[scheduler]\nname = 'jsq'\nbandwidth = 1",
            "[start_state]\nkind = 'uniform'\nprompt = {}",
            "[start_state]\nkind = 'uniform'\ninstance = { tp = 8 }",
            "[start_state]\nkind = 'mixed'",
            "[[servers]]\nsku = 'dgx-h100'",
        ] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn models_by_name_and_by_number() {
        let bloom = ModelConfig::default().resolve().expect("known");
        assert_eq!(bloom.kv_bytes_per_token, 4_014_080);
        assert_eq!(bloom.weights, 329_000_000_000);
        let llama = ModelConfig::named("llama2-70b").resolve().expect("known");
        assert_eq!(llama.kv_bytes_per_token, 2_621_440);
        let own = ModelConfig {
            layers: Some(2),
            hidden_size: Some(8),
            weights: Some(1000),
            dtype_size: Some(1),
            ..ModelConfig::named("mine")
        };
        assert_eq!(own.resolve().expect("told").kv_bytes_per_token, 32);
        let error = ModelConfig::named("bloom").resolve().expect_err("unknown");
        assert!(
            error
                .to_string()
                .contains("unknown model architecture `bloom`")
        );
        let error = ModelConfig::named("opt-30b")
            .resolve()
            .expect_err("no size");
        assert!(
            error
                .to_string()
                .contains("unknown model size `opt-30b-fp16`")
        );
    }
}
