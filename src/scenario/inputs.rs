//! The inputs of a run, recorded beside its results. A run with unchanged inputs need not be repeated.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ScenarioConfig;
use crate::base::digest::{digest_of, digest_of_files, digest_of_text};
use crate::base::error::Result;
use crate::base::io::{read_configuration, write_file};
use crate::prompt::tokenizer;

/// Name of the copy of a policy's script in a run's folder.
pub const SCRIPT: &str = "script.rhai";

/// Configuration keys whose values are paths of files or folders. A test searches the sources for keys that are missing here.
const PATH_KEYS: [&str; 5] = ["config", "file", "folder", "path", "profile_data_dir"];

/// All inputs that determine a run's results. Two runs with equal inputs have equal results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInputs {
    /// The build of this program.
    pub build: String,
    /// Seed of the run.
    pub seed: u64,
    /// Digest of the effective configuration, which `config.toml` holds.
    pub config: String,
    /// The trace.
    pub trace: TraceInput,
    /// Digests, by path, of the files that the configuration names: scripts, profiles, latency tables, models.
    pub files: BTreeMap<String, String>,
    /// SHA-256 of the autoscaling policy's script, of which the folder has a copy; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_sha256: Option<String>,
}

/// A trace file and the options with which it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceInput {
    /// Digest of the file's bytes; `None` for standard input.
    pub digest: Option<String>,
    /// The format, if it was given and not detected.
    pub format: Option<String>,
    /// The tokenizer as given; if it is a file or folder, with a digest of the files that are read.
    pub tokenizer: Option<String>,
    /// Tokens per block, if given.
    pub block_size: Option<u32>,
}

impl TraceInput {
    /// Describes a trace file that is read with these options.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn new(
        path: &Path,
        format: Option<&str>,
        tokenizer: Option<&OsStr>,
        block_size: Option<u32>,
    ) -> Result<Self> {
        let tokenizer = match tokenizer {
            Some(name) if Path::new(name).exists() => {
                let files = tokenizer::files_of(Path::new(name));
                Some(format!("{} {}", name.display(), digest_of_files(&files)?))
            }
            name => name.map(|name| name.display().to_string()),
        };
        Ok(Self {
            digest: match path.as_os_str() == "-" {
                true => None,
                false => Some(digest_of(path)?),
            },
            format: format.map(str::to_owned),
            tokenizer,
            block_size,
        })
    }
}

impl RunInputs {
    /// Collects the inputs of a run.
    ///
    /// # Errors
    /// A file that the configuration names but that cannot be read.
    pub fn new(config: &ScenarioConfig, seed: u64, trace: TraceInput) -> Result<Self> {
        let script = config.script()?;
        Ok(Self {
            script_sha256: script.map(|text| sha256(&text)),
            ..Self::of_files(&config.to_toml(), &config.named_files(), seed, trace)?
        })
    }

    /// Collects the inputs of a run whose configuration is this text and these files.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_files(config: &str, named: &[PathBuf], seed: u64, trace: TraceInput) -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in named {
            // If the run needs a missing file, its preparation has failed already; otherwise the file does not affect the run.
            let digest = match path.exists() {
                true => digest_of(path)?,
                false => "missing".to_owned(),
            };
            files.insert(path.display().to_string(), digest);
        }
        Ok(Self {
            build: crate::base::version::build_id().to_owned(),
            seed,
            config: digest_of_text(config),
            trace,
            files,
            script_sha256: None,
        })
    }

    /// What a run of other inputs has different; `None` if its results are those of these inputs.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            (
                self.build != other.build,
                "another version of this program wrote it",
            ),
            (
                self.trace.digest.is_none(),
                "the trace came from standard input",
            ),
            (
                self.trace != other.trace,
                "the trace, or how it is read, has changed",
            ),
            (self.seed != other.seed, "the seed has changed"),
            (self.config != other.config, "the configuration has changed"),
            (
                self.files != other.files,
                "a file that the configuration names has changed",
            ),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }
}

/// SHA-256 in hex.
fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ScenarioConfig {
    /// The autoscaling policy's script, if it is one in a file that exists.
    fn script(&self) -> Result<Option<Vec<u8>>> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let text = |keys: [&str; 2]| {
            let section = table.get("autoscaling")?;
            let value = match keys {
                [key, ""] => section.get(key)?,
                [section_key, key] => section.get(section_key)?.get(key)?,
            };
            value.as_str().map(str::to_owned)
        };
        let path = text(["script", "path"]).filter(|path| Path::new(path).is_file());
        match path {
            Some(path) if text(["policy", ""]).as_deref() == Some("script") => {
                read_configuration(&path).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Keeps a copy of the autoscaling policy's script in a run's folder, so that the run can be repeated from there.
    ///
    /// # Errors
    /// A script that cannot be read, or a copy that cannot be written.
    pub fn keep_script(&self, folder: &Path) -> Result<()> {
        match self.script()? {
            Some(text) => write_file(folder.join(SCRIPT), &text),
            None => Ok(()),
        }
    }

    /// Files and folders that the configuration names, without duplicates.
    pub fn named_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if let Ok(table) = toml::Table::try_from(self) {
            collect(&toml::Value::Table(table), &mut found);
        }
        found.sort();
        found.dedup();
        found
    }
}

fn collect(value: &toml::Value, found: &mut Vec<PathBuf>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(path) if PATH_KEYS.contains(&key.as_str()) => {
                        found.push(PathBuf::from(path));
                    }
                    _ => collect(value, found),
                }
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use crate::scenario::inputs::*;

    fn inputs(config: &ScenarioConfig, trace: &Path) -> RunInputs {
        RunInputs::new(config, 1, TraceInput::new(trace, None, None, None).unwrap()).unwrap()
    }

    #[test]
    fn any_input_that_changes_makes_another_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let trace = file("trace.csv", "a");
        let script = file("policy.rhai", "one");
        let script = format!("autoscaling.script.path={script:?}");
        let mut config = ScenarioConfig::preset("llama-8b-pd-4-4", &[script]).unwrap();
        let first = inputs(&config, &trace);
        assert_eq!(inputs(&config, &trace), first);
        // A change of the script's text, the trace's content, a read option, a key or the seed requires another run.
        file("policy.rhai", "two");
        assert_ne!(inputs(&config, &trace), first);
        file("policy.rhai", "one");
        assert_eq!(inputs(&config, &trace), first);
        file("trace.csv", "b");
        assert_ne!(inputs(&config, &trace), first);
        file("trace.csv", "a");
        let blocks = TraceInput::new(&trace, None, None, Some(16)).unwrap();
        assert_ne!(RunInputs::new(&config, 1, blocks).unwrap(), first);
        let same = TraceInput::new(&trace, None, None, None).unwrap();
        assert_ne!(RunInputs::new(&config, 2, same).unwrap(), first);
        config.slo.ttft_seconds += 0.1;
        assert_ne!(inputs(&config, &trace), first);
    }

    #[test]
    fn of_a_model_folder_only_the_tokenizer_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let trace = folder.path().join("trace.csv");
        write("trace.csv", "a");
        let model = folder.path().as_os_str();
        let read = || {
            TraceInput::new(&trace, None, Some(model), None)
                .unwrap()
                .tokenizer
        };
        write("tokenizer.json", "{}");
        let first = read();
        // Weights of any size are not read.
        write("model.safetensors", "weights");
        assert_eq!(read(), first);
        write("tokenizer_config.json", "{}");
        let second = read();
        assert_ne!(second, first);
        write("tokenizer.json", "{ }");
        assert_ne!(read(), second);
    }

    #[test]
    fn every_key_that_holds_a_path_is_known() {
        let mut found = 0;
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    // Folders whose code does not define configurations are skipped.
                    if [
                        "src", "compat", "report", "cli", "trace", "dataset", "prompt",
                    ]
                    .contains(&name.as_str())
                    {
                        continue;
                    }
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                if !text.contains("Deserialize") {
                    continue;
                }
                for line in text.lines() {
                    let line = line.trim().trim_start_matches("pub ");
                    let Some((key, kind)) = line.split_once(": ") else {
                        continue;
                    };
                    if matches!(kind, "PathBuf," | "Option<PathBuf>,") {
                        assert!(PATH_KEYS.contains(&key), "{}: {key}", path.display());
                        found += 1;
                    }
                }
            }
        }
        assert!(found >= 7, "{found}");
    }
}
