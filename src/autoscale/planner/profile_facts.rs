//! `profile.json`: the instances on which a profile was measured.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Location, Result};
use crate::base::io::{read_configuration, write_json};

/// Name of the file, in the folder of the profile.
pub const FACTS_JSON: &str = "profile.json";

/// The measured instances and their settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileFacts {
    /// Version of the program that measured.
    pub version: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the model.
    pub model: String,
    /// Prefill instance.
    pub prefill: InstanceFacts,
    /// Decode instance.
    pub decode: InstanceFacts,
}

/// One measured instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    /// Name of its pool.
    pub pool: String,
    /// GPUs of the instance.
    pub gpus_per_instance: u32,
    /// Type of the GPUs.
    pub gpu: String,
    /// Capacity of its KV cache, in tokens.
    pub kv_tokens: u64,
    /// Scheduler of the engine.
    pub scheduler: String,
    /// Latency model.
    pub latency: String,
}

impl ProfileFacts {
    /// Reads the file of a profile's folder; `None` if there is none, as in profiles of other programs.
    ///
    /// # Errors
    /// A file that cannot be read or has another form.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FACTS_JSON);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = read_configuration(&path)?;
        let refuse = |problem: String| {
            Error::input(
                Location::file(&path),
                problem,
                "measure the profile again with `replay profile`, or remove the file",
            )
        };
        let facts: Self =
            serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        if facts.prefill.gpus_per_instance == 0 || facts.decode.gpus_per_instance == 0 {
            return Err(refuse("gpus_per_instance is 0".to_owned()));
        }
        Ok(Some(facts))
    }

    /// Writes the file into a profile's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let value = serde_json::to_value(self).unwrap_or_default();
        write_json(folder.join(FACTS_JSON), &value)
    }
}
