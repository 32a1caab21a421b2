//! The options that name a model and describe how its KV cache is stored.

use std::path::PathBuf;

use clap::Args;

use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cache::capacity::{KvDtype, ModelConfig, Storage};
use crate::cli::ranges::number;

/// A model, and how its KV cache is stored.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(super) struct ModelArgs {
    /// Built-in model such as llama-3-8b, for sizes in GiB and savings in FLOPs; an unknown name lists all
    #[arg(long, value_name = "NAME", conflicts_with = "model_config")]
    model: Option<String>,

    /// Hugging Face config.json of a model that is not built in
    #[arg(long, value_name = "FILE")]
    model_config: Option<PathBuf>,

    /// Type of cached keys and values: auto (the model's own), bf16, fp16, fp32, fp8 or int8
    #[arg(long, default_value = "auto", value_name = "TYPE")]
    kv_cache_dtype: String,

    /// Tensor parallelism: GPUs that share each layer; sizes are per GPU
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = number::<u64>(limits::GPUS))]
    tensor_parallel: u64,

    /// Pipeline parallelism: stages that share the layers; sizes are those of the largest stage
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = number::<u64>(limits::GPUS))]
    pipeline_parallel: u64,
}

impl ModelArgs {
    /// The model, if the options name one.
    pub(super) fn load(&self) -> Result<Option<ModelConfig>> {
        let storage = self.storage()?;
        let model = match (&self.model, &self.model_config) {
            (Some(name), _) => ModelConfig::builtin(name)?,
            (None, Some(path)) => ModelConfig::load(path)?,
            (None, None) if storage == Storage::default() => return Ok(None),
            (None, None) => {
                return Err(Error::usage(
                    "--kv-cache-dtype, --tensor-parallel and --pipeline-parallel describe a model, but no model is named",
                    "name it with --model, or give its config.json with --model-config",
                ));
            }
        };
        model.stored(storage).map(Some)
    }

    /// The model's name as given, even if it is not a built-in model.
    pub(super) fn name(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn storage(&self) -> Result<Storage> {
        Ok(Storage {
            dtype: KvDtype::by_name(&self.kv_cache_dtype)?,
            tensor_parallel: self.tensor_parallel,
            pipeline_parallel: self.pipeline_parallel,
        })
    }
}
