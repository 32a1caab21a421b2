//! Vidur's `config.json`, which it writes beside its results, read as the same cluster, scheduler, requests and table
//! of this program.
//!
//! Follows, at 7d47513, `vidur/config/config.py` (names, defaults), `vidur/scheduler/utils/memory_planner.py` and
//! `vidur/utils/param_counter.py` (blocks), and `vidur/request_generator/trace_replay_request_generator.py` (requests).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::check::Range;
use crate::base::error::{Error, Location, Result};
use crate::base::io::{Input, read_configuration};
use crate::base::limits::{BLOCK_SIZE, GPUS, INSTANCES, SECONDS, SEQUENCES};
use crate::base::table::TableReader;
use crate::sim::latency::{BatchingOverhead, VidurTable};
use crate::sim::replica::{ReplicaScheduler, Sarathi, SarathiConfig, VllmV0, VllmV0Config};
use crate::sim::router::{RoundRobin, Router, VidurLor, VidurRandom};
use crate::sim::{Cluster, InstanceSpec, Item, Kv};
use crate::trace::Nanos;

/// The parts of the file that determine a run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VidurConfig {
    /// Seed of the random scheduler.
    pub seed: u64,
    /// Time at which the run ends, in seconds; 0 for no limit.
    #[serde(default)]
    pub time_limit: f64,
    /// Replicas, their model, and schedulers.
    pub cluster_config: ClusterConfig,
    /// Source of the requests.
    pub request_generator_config: GeneratorConfig,
    /// Options with which the table of execution times was made.
    pub execution_time_predictor_config: PredictorConfig,
}

/// Replicas and schedulers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClusterConfig {
    /// Number of replicas.
    pub num_replicas: u32,
    /// Model and device of a replica.
    pub replica_config: ReplicaConfig,
    /// Scheduler that assigns requests to replicas.
    pub global_scheduler_config: Named,
    /// Scheduler that forms a replica's batches.
    pub replica_scheduler_config: SchedulerConfig,
}

/// A component that is chosen by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// Name of the component.
    pub name: String,
}

/// Model, device, and the model's distribution over devices.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReplicaConfig {
    /// Name of the model at Hugging Face.
    pub model_name: String,
    /// Fraction of the memory that is not used.
    pub memory_margin_fraction: f64,
    /// Number of pipeline stages.
    pub num_pipeline_stages: u32,
    /// Number of devices that share each layer (tensor parallelism).
    pub tensor_parallel_size: u64,
    /// Name of the device.
    pub device: String,
    /// Dimensions of the model.
    pub model_config: ModelConfig,
    /// Memory and speed of the device.
    pub device_config: DeviceConfig,
}

/// Dimensions of a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ModelConfig {
    pub num_layers: u64,
    pub num_q_heads: u64,
    pub num_kv_heads: u64,
    pub embedding_dim: u64,
    pub mlp_hidden_dim: u64,
    pub use_gated_mlp: bool,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DeviceConfig {
    /// Teraflops at 16 bit; Vidur's tera is 2^40.
    pub fp16_tflops: f64,
    /// Memory in GiB.
    pub total_memory_gb: f64,
}

/// A replica scheduler; its name determines which parameters it has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SchedulerConfig {
    /// Name, e.g. `sarathi` or `vllm`.
    pub name: String,
    /// Maximum number of requests in a step.
    pub batch_size_cap: u32,
    /// Tokens per block.
    pub block_size: u32,
    /// Fraction of the blocks that must stay free when a request is admitted.
    pub watermark_blocks_fraction: f64,
    /// Number of blocks; computed from the memory if missing or 0.
    pub num_blocks: Option<f64>,
    /// Maximum number of tokens in a step (`sarathi`).
    pub chunk_size: Option<u32>,
    /// Maximum number of padded tokens in a step of prompts (`vllm`).
    pub max_tokens_in_batch: Option<u32>,
}

/// Source of the requests.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GeneratorConfig {
    /// Name of the generator; must be `trace_replay`.
    pub name: String,
    /// Path of a CSV file with the columns `arrived_at,num_prefill_tokens,num_decode_tokens`.
    pub trace_file: Option<PathBuf>,
    /// Factor of prompt lengths.
    #[serde(default = "one")]
    pub prefill_scale_factor: f64,
    /// Factor of output lengths.
    #[serde(default = "one")]
    pub decode_scale_factor: f64,
    /// Factor of arrival times.
    #[serde(default = "one")]
    pub time_scale_factor: f64,
    /// Maximum number of tokens of a request; the prompts of longer ones are truncated.
    pub max_tokens: u32,
}

fn one() -> f64 {
    1.0
}

/// Options with which the table of execution times was made and is read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PredictorConfig {
    pub attention_decode_batching_overhead_fraction: f64,
    pub attention_prefill_batching_overhead_fraction: f64,
    #[serde(default)]
    pub skip_cpu_overhead_modeling: bool,
}

impl VidurConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Input`] if it is not such a file or uses a feature that is not supported here; [`Error::Io`] if it
    /// cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_configuration(path)?;
        let config: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::input(
                Location::line(path, error.line() as u64),
                format!("not a configuration of Vidur: {error}"),
                "take the config.json of a run's output folder",
            )
        })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let refuse = |problem: String, remedy: &str| {
            Err(Error::input(Location::file(path), problem, remedy))
        };
        let replica = &self.cluster_config.replica_config;
        if replica.num_pipeline_stages != 1 {
            return refuse(
                format!("num_pipeline_stages is {}", replica.num_pipeline_stages),
                "only 1 stage is simulated",
            );
        }
        if !self
            .execution_time_predictor_config
            .skip_cpu_overhead_modeling
        {
            return refuse(
                "skip_cpu_overhead_modeling is false".to_owned(),
                "the tables have no CPU overhead; set it to true",
            );
        }
        if self.request_generator_config.name != "trace_replay" {
            return refuse(
                format!("request generator {:?}", self.request_generator_config.name),
                "only trace_replay is read; write the requests to a CSV file",
            );
        }
        let model = &replica.model_config;
        let heads = [model.num_q_heads, replica.tensor_parallel_size];
        let scheduler = &self.cluster_config.replica_scheduler_config;
        if heads.contains(&0) || scheduler.block_size == 0 || self.cluster_config.num_replicas == 0
        {
            return refuse(
                "heads, tensor_parallel_size, block_size or num_replicas is 0".to_owned(),
                "give at least 1",
            );
        }
        // Products of these dimensions fit into 64 bits.
        const DIMENSION: Range = Range::of(1.0, 1e6);
        const LAYERS: Range = Range::of(1.0, 10_000.0);
        const HEADS: Range = Range::of(1.0, 10_000.0);
        let generator = &self.request_generator_config;
        for (name, range, number) in [
            (
                "num_replicas",
                INSTANCES,
                f64::from(self.cluster_config.num_replicas),
            ),
            (
                "tensor_parallel_size",
                GPUS,
                replica.tensor_parallel_size as f64,
            ),
            (
                "num_pipeline_stages",
                GPUS,
                f64::from(replica.num_pipeline_stages),
            ),
            ("num_layers", LAYERS, model.num_layers as f64),
            ("num_q_heads", HEADS, model.num_q_heads as f64),
            ("num_kv_heads", HEADS, model.num_kv_heads as f64),
            ("embedding_dim", DIMENSION, model.embedding_dim as f64),
            ("mlp_hidden_dim", DIMENSION, model.mlp_hidden_dim as f64),
            (
                "total_memory_gb",
                Range::above(0.0, 1e6),
                replica.device_config.total_memory_gb,
            ),
            ("block_size", BLOCK_SIZE, f64::from(scheduler.block_size)),
            (
                "batch_size_cap",
                SEQUENCES,
                f64::from(scheduler.batch_size_cap),
            ),
            ("max_tokens", DIMENSION, f64::from(generator.max_tokens)),
            ("time_limit", SECONDS, self.time_limit),
        ] {
            if !range.holds(number) {
                return refuse(format!("{name} is {number}"), &format!("give {range}"));
            }
        }
        let known = ["sarathi", "vllm"];
        if !known.contains(&scheduler.name.as_str()) {
            return Err(Error::unknown_name(
                "replica scheduler",
                &scheduler.name,
                &known,
            ));
        }
        let known = ["round_robin", "random", "lor"];
        let name = &self.cluster_config.global_scheduler_config.name;
        if !known.contains(&name.as_str()) {
            return Err(Error::unknown_name("global scheduler", name, &known));
        }
        if self.blocks() == 0 {
            return refuse(
                "the model leaves no memory for KV".to_owned(),
                "raise tensor_parallel_size or give num_blocks",
            );
        }
        Ok(())
    }

    /// Common prefix of the names of the table's files: device, model and tensor parallelism, e.g.
    /// `a100_llama3-8b_tp1`.
    pub fn table_prefix(&self) -> String {
        let replica = &self.cluster_config.replica_config;
        let name = replica.model_name.to_lowercase();
        let name = name.rsplit('/').next().unwrap_or_default();
        let name = name.strip_prefix("meta-").unwrap_or(name);
        let name = name.strip_suffix("-hf").unwrap_or(name);
        let name = name.replacen("llama-", "llama", 1);
        let devices = replica.tensor_parallel_size;
        format!("{}_{name}_tp{devices}", replica.device)
    }

    /// Overhead of attention in batches, as a fraction; only where query heads share KV heads.
    pub fn overhead(&self) -> BatchingOverhead {
        let model = &self.cluster_config.replica_config.model_config;
        let predictor = &self.execution_time_predictor_config;
        if model.num_q_heads > model.num_kv_heads {
            BatchingOverhead {
                prefill: predictor.attention_prefill_batching_overhead_fraction,
                decode: predictor.attention_decode_batching_overhead_fraction,
            }
        } else {
            BatchingOverhead::NONE
        }
    }

    /// Number of parameters on one device. Like Vidur, counts projections only and no embeddings.
    pub fn parameters(&self) -> u64 {
        let replica = &self.cluster_config.replica_config;
        let (model, devices) = (&replica.model_config, replica.tensor_parallel_size);
        let head = model.embedding_dim / model.num_q_heads;
        let q_heads = model.num_q_heads / devices;
        let kv_heads = model.num_kv_heads.div_ceil(devices);
        let attention = model.embedding_dim * head * (2 * q_heads + 2 * kv_heads);
        let matrices = if model.use_gated_mlp { 3 } else { 2 };
        let mlp = matrices * model.embedding_dim * model.mlp_hidden_dim / devices;
        (attention + mlp) * model.num_layers
    }

    /// Parameters of a device, width of its attention (layers times query heads times head size) and its operations per
    /// second (with Vidur's factor of 2^40).
    pub fn work(&self) -> (f64, f64, f64) {
        let replica = &self.cluster_config.replica_config;
        let model = &replica.model_config;
        let heads = model.num_q_heads / replica.tensor_parallel_size;
        let head = model.embedding_dim / model.num_q_heads;
        (
            self.parameters() as f64,
            (model.num_layers * heads * head) as f64,
            replica.device_config.fp16_tflops * 1024f64.powi(4),
        )
    }

    /// Number of requests of maximum length whose KV cache fits into the memory that the parameters leave.
    pub fn slots(&self) -> u32 {
        let replica = &self.cluster_config.replica_config;
        let model = &replica.model_config;
        let head = model.embedding_dim / model.num_q_heads;
        let kv_heads = model.num_kv_heads.div_ceil(replica.tensor_parallel_size);
        let tokens = u64::from(self.request_generator_config.max_tokens);
        let request = 4 * head * kv_heads * tokens * model.num_layers;
        let memory = replica.device_config.total_memory_gb
            * 1024f64.powi(3)
            * (1.0 - replica.memory_margin_fraction);
        ((memory - 2.0 * self.parameters() as f64) / request as f64).floor() as u32
    }

    /// Number of KV blocks of a replica.
    pub fn blocks(&self) -> u32 {
        let scheduler = &self.cluster_config.replica_scheduler_config;
        match scheduler.num_blocks {
            Some(blocks) if blocks > 0.0 => blocks as u32,
            _ => self.request_generator_config.max_tokens / scheduler.block_size * self.slots(),
        }
    }

    /// The requests of a trace, scaled and truncated by this configuration, in order of arrival.
    ///
    /// # Errors
    /// [`Error::Input`] if the file is not such a trace, or if a request's output alone is longer than `max_tokens`.
    pub fn requests(&self, trace: &Path) -> Result<Vec<Item>> {
        let config = &self.request_generator_config;
        let columns = ["arrived_at", "num_prefill_tokens", "num_decode_tokens"];
        let table = TableReader::open(Input::open(trace)?, &columns, columns.len())?;
        let mut items = Vec::new();
        table.with_full_rows().each_row(|row| {
            let number = |column: usize| row.parse(column, "a number", |text| text.parse().ok());
            let (arrival, prompt, output): (f64, f64, f64) = (number(0)?, number(1)?, number(2)?);
            let scale = |tokens: f64, factor: f64| ((tokens * factor) as i64).max(1);
            let mut prompt = scale(prompt, config.prefill_scale_factor);
            let output = scale(output, config.decode_scale_factor);
            prompt -= (prompt + output - i64::from(config.max_tokens)).max(0);
            if prompt < 1 {
                let problem = format!(
                    "{output} output tokens leave no prompt within max_tokens {}",
                    config.max_tokens
                );
                return Err(row
                    .fault(problem)
                    .remedy("raise max_tokens or drop the request"));
            }
            items.push(Item {
                arrival: Nanos::from_secs_f64(arrival * config.time_scale_factor),
                session: items.len() as u32,
                prompt: prompt as u32,
                output: output as u32,
            });
            Ok(())
        })?;
        items.sort_by_key(|item| item.arrival);
        Ok(items)
    }

    /// The scenario, with the table that [`Self::table_prefix`] and [`Self::overhead`] name.
    pub fn cluster<'a>(&'a self, table: &'a VidurTable) -> Cluster<'a> {
        let config = &self.cluster_config;
        let make = move |_| InstanceSpec {
            kv: Kv::counted(config.replica_scheduler_config.block_size, self.blocks()),
            scheduler: self.scheduler(),
            latency: Box::new(table.clone()),
        };
        let end = Nanos::from_secs_f64(self.time_limit);
        Cluster {
            prompt_router: self.router(),
            layers: config.replica_config.model_config.num_layers as u32,
            end: (end > Nanos::ZERO).then_some(end),
            ..Cluster::aggregated("replica", config.num_replicas, Box::new(make))
        }
    }

    fn scheduler(&self) -> Box<dyn ReplicaScheduler> {
        let config = &self.cluster_config.replica_scheduler_config;
        let (batch_size_cap, watermark_blocks_fraction) =
            (config.batch_size_cap, config.watermark_blocks_fraction);
        if config.name == "vllm" {
            let default = VllmV0Config::default();
            Box::new(VllmV0::new(VllmV0Config {
                max_tokens_in_batch: config
                    .max_tokens_in_batch
                    .unwrap_or(default.max_tokens_in_batch),
                batch_size_cap,
                watermark_blocks_fraction,
            }))
        } else {
            let default = SarathiConfig::default();
            Box::new(Sarathi::new(SarathiConfig {
                chunk_size: config.chunk_size.unwrap_or(default.chunk_size),
                batch_size_cap,
                watermark_blocks_fraction,
                keep_prompt: false,
            }))
        }
    }

    fn router(&self) -> Box<dyn Router> {
        match self.cluster_config.global_scheduler_config.name.as_str() {
            "lor" => Box::new(VidurLor),
            "random" => Box::new(VidurRandom::new(self.seed)),
            _ => Box::new(RoundRobin::default()),
        }
    }
}
