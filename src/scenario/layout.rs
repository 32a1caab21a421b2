//! Paths of runs below a results folder. Only this module writes and parses such paths.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Scenario;

/// The folders between a results folder and the files of a run, as shown to users.
pub const LAYOUT: &str = "SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY";

/// Number of folders in [`LAYOUT`].
pub const DEPTH: usize = 7;

/// Name of the policy folder of runs without autoscaling.
pub const NO_AUTOSCALING: &str = "no_autoscaling";

/// This program's summary of a run; a folder without it holds no complete run.
pub const SUMMARY: &str = "summary.json";

/// SplitwiseSim's summary of a run.
pub const SUMMARY_CSV: &str = "summary.csv";

/// Names of a run's folders, in the order of [`LAYOUT`]. No name contains a `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RunKey {
    /// Seed of the run.
    pub seed: String,
    /// Number of instances of each pool at the start, e.g. `prefill-4_decode-4`.
    pub start_state: String,
    /// Name of the simulated trace, see [`trace_name`].
    pub trace: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the model.
    pub model: String,
    /// Name of the scheduler that forms batches; for SplitwiseSim, of the scheduler that assigns requests to instances.
    pub scheduler: String,
    /// Label of the autoscaling policy.
    pub policy: String,
}

impl RunKey {
    /// Creates the key of a scenario's run on a trace.
    pub fn new(scenario: &Scenario, seed: u64, trace: &str) -> Self {
        let config = scenario.config();
        Self::of_names([
            &seed.to_string(),
            &scenario.start_state(),
            trace,
            &config.name,
            &config.model.name,
            &scenario.schedulers(),
            &config.autoscaling.label(),
        ])
    }

    /// Creates a key from names in the order of [`LAYOUT`]; a `/` in a name becomes `_`.
    pub fn of_names(names: [&str; DEPTH]) -> Self {
        let [seed, start_state, trace, cluster, model, scheduler, policy] =
            names.map(|name| name.replace('/', "_"));
        Self {
            seed,
            start_state,
            trace,
            cluster,
            model,
            scheduler,
            policy,
        }
    }

    /// Parses the folder names below the results folder; `None` if their number is not [`DEPTH`].
    pub fn parse(names: &[String]) -> Option<Self> {
        let names: [&str; DEPTH] = names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .try_into()
            .ok()?;
        Some(Self::of_names(names))
    }

    /// The run's folder below `results`.
    pub fn path(&self, results: &Path) -> PathBuf {
        let Self {
            seed,
            start_state,
            trace,
            cluster,
            model,
            scheduler,
            policy,
        } = self;
        [seed, start_state, trace, cluster, model, scheduler, policy]
            .iter()
            .fold(results.to_path_buf(), |path, name| path.join(name))
    }

    /// Requests per second, if the trace's name ends in `_` and a number.
    pub fn rate(&self) -> Option<f64> {
        rate(&self.trace)
    }

    /// The trace's name without its rate.
    pub fn family(&self) -> &str {
        family(&self.trace)
    }
}

/// Path of a trace that `matrix` stretched to a rate.
pub fn stretched_trace(results: &Path, name: &str) -> PathBuf {
    results.join("traces").join(format!("{name}.jsonl.zst"))
}

/// Name of a trace in results: its file name without the endings of compression and format.
pub fn trace_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let packed = [".zst", ".gz", ".xz"];
    let plain = packed.iter().find_map(|ending| name.strip_suffix(ending));
    let plain = plain.unwrap_or(&name);
    match plain.rsplit_once('.') {
        // Digits after a point belong to a rate, as in conv_2.5.
        Some((stem, ending))
            if !stem.is_empty() && !ending.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            stem.to_owned()
        }
        _ if plain.is_empty() => "trace".to_owned(),
        _ => plain.to_owned(),
    }
}

/// The rate of a trace in requests per second: the whole or decimal number after the last `_` of its name.
pub fn rate(trace: &str) -> Option<f64> {
    let (_, last) = trace.rsplit_once('_')?;
    let number = last.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && last.starts_with(|c: char| c.is_ascii_digit());
    number.then(|| last.parse().ok()).flatten()
}

/// A trace's name without its rate.
pub fn family(trace: &str) -> &str {
    match trace.rsplit_once('_') {
        Some((family, _)) if rate(trace).is_some() => family,
        _ => trace,
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::layout::*;

    #[test]
    fn a_path_is_parsed_as_it_was_written() {
        let names = [
            "3",
            "all-2",
            "conv_40",
            "h100",
            "meta/llama",
            "vllm-v1",
            "kpa",
        ];
        let key = RunKey::of_names(names);
        assert_eq!(
            key.path(Path::new("out")),
            Path::new("out/3/all-2/conv_40/h100/meta_llama/vllm-v1/kpa")
        );
        let path = key.path(Path::new(""));
        let parts: Vec<String> = path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        assert_eq!(RunKey::parse(&parts), Some(key.clone()));
        assert_eq!(RunKey::parse(&parts[1..]), None);
        assert_eq!((key.rate(), key.family()), (Some(40.0), "conv"));
        assert_eq!(LAYOUT.split('/').count(), DEPTH);
    }

    #[test]
    fn traces_are_named_after_their_files() {
        for (path, name) in [
            ("a/conv.csv", "conv"),
            ("conv_2.5.jsonl.zst", "conv_2.5"),
            ("conv_2.5", "conv_2.5"),
            ("rr_conv_40.csv.gz", "rr_conv_40"),
            (".hidden", ".hidden"),
            ("-", "-"),
            ("", "trace"),
        ] {
            assert_eq!(trace_name(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn rates_are_numbers_after_the_last_underscore() {
        for (name, expected) in [
            ("rr_conv_40", Some(40.0)),
            ("conv_2.5", Some(2.5)),
            ("0_40", Some(40.0)),
            ("fluct_conv_12min", None),
            ("conv", None),
            ("conv_", None),
            ("conv_inf", None),
            ("conv_1.2.3", None),
            ("conv_.5", None),
            ("conv_-3", None),
        ] {
            assert_eq!(rate(name), expected, "{name}");
        }
        assert_eq!(family("rr_conv_40"), "rr_conv");
        assert_eq!(family("fluct_conv"), "fluct_conv");
    }
}
