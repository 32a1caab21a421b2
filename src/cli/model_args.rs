//! The flags that say which model's KV cache it is, and how it lies on its GPUs.

use std::path::PathBuf;

use clap::Args;

use crate::base::error::{Error, Result};
use crate::cache::capacity::{KvDtype, ModelConfig, Storage};

/// Which model, and how it is stored.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// A built-in model as llama-3-8b, for sizes in GiB and savings in FLOPs; a wrong name lists them
    #[arg(long, value_name = "NAME", conflicts_with = "model_config")]
    model: Option<String>,

    /// The model's Hugging Face config.json, in place of a built-in model
    #[arg(long, value_name = "FILE")]
    model_config: Option<PathBuf>,

    /// Type of the cached keys and values: auto (the model's own), bf16, fp16, fp32, fp8, or int8
    #[arg(long, default_value = "auto", value_name = "TYPE")]
    kv_cache_dtype: String,

    /// GPUs that share each layer; sizes are those of one of them
    #[arg(long, default_value_t = 1, value_name = "N")]
    tensor_parallel: u64,

    /// Stages that share the layers; sizes are those of the largest
    #[arg(long, default_value_t = 1, value_name = "N")]
    pipeline_parallel: u64,
}

impl ModelArgs {
    /// The model, if one is named.
    pub(super) fn load(&self) -> Result<Option<ModelConfig>> {
        let storage = self.storage()?;
        let model = match (&self.model, &self.model_config) {
            (Some(name), _) => ModelConfig::builtin(name)?,
            (None, Some(path)) => ModelConfig::load(path)?,
            (None, None) if storage == Storage::default() => return Ok(None),
            (None, None) => {
                return Err(Error::usage(
                    "--kv-cache-dtype, --tensor-parallel and --pipeline-parallel say how a model is stored, and none is named",
                    "name it with --model, or give its config.json with --model-config",
                ));
            }
        };
        model.stored(storage).map(Some)
    }

    /// What it is called, whoever knows that name.
    pub(super) fn name(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn storage(&self) -> Result<Storage> {
        for (flag, value) in [
            ("--tensor-parallel", self.tensor_parallel),
            ("--pipeline-parallel", self.pipeline_parallel),
        ] {
            if value == 0 {
                return Err(Error::usage(format!("{flag} 0"), "give 1 or more"));
            }
        }
        Ok(Storage {
            dtype: KvDtype::by_name(&self.kv_cache_dtype)?,
            tensor_parallel: self.tensor_parallel,
            pipeline_parallel: self.pipeline_parallel,
        })
    }
}
