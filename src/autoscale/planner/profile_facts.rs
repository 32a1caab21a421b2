//! `profile.json`: which instances a profile was measured on.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Location, Result};
use crate::base::io::write_json;

/// The name under which a folder's facts are written, beside the points.
pub const FACTS_JSON: &str = "profile.json";

/// What was measured, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileFacts {
    /// Version of the program that measured.
    pub version: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the model.
    pub model: String,
    /// The instance that computed prompts.
    pub prefill: InstanceFacts,
    /// The instance that decoded.
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
    /// Tokens that its KV cache holds.
    pub kv_tokens: u64,
    /// The engine's scheduler.
    pub scheduler: String,
    /// The latency model.
    pub latency: String,
}

impl ProfileFacts {
    /// Reads the facts of a profile's folder; `None` where it has none, as profiles of other programs.
    ///
    /// # Errors
    /// A file that cannot be read or is not such a file.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FACTS_JSON);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = std::fs::read(&path).map_err(|source| Error::read(&path, source))?;
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

    /// Writes them into a profile's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let value = serde_json::to_value(self).unwrap_or_default();
        write_json(folder.join(FACTS_JSON), &value)
    }
}
