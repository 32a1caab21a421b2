//! `replay matrix`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use rayon::prelude::*;

use super::compare::SloArgs;
use super::trace_input::TraceArgs;
use super::{compare, output, simulate};
use crate::base::error::{Error, Location, Result};
use crate::report::render::shell::quoted;
use crate::report::studies::compare::{PolicyComparison, RunSelection, files, key, pairs, text};
use crate::report::studies::simulation;
use crate::scenario::{Compat, RunOptions, Scenario, ScenarioConfig};
use crate::sim::Workload;
use crate::trace::{Trace, format};

/// Arguments of `replay matrix`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each cell is what `replay simulate` makes of it, in the same folder. Cells that are there already are left as they are, so
that a matrix that was stopped goes on where it stood. With --rates each trace is written once for each rate, as
RESULTS/traces/NAME_RATE.jsonl.zst, its arrival times stretched; without, traces are taken as they are.

Examples:
  replay matrix --traces conv.csv --rates 20,40,60 --presets llama-8b-pd-4-4 --policies no_autoscaling,heteroscale \\
      --seeds 0,1,2 --results output/results
  replay matrix --traces rr_conv_40.csv,rr_conv_80.csv --configs small.toml,large.toml --results output/results
  replay matrix --traces conv.csv --rates 20 --policies hpa_gpu --results output/results --dry-run")]
pub(super) struct MatrixArgs {
    /// Trace files of any readable format
    #[arg(long, value_name = "FILE,..", value_delimiter = ',', required = true)]
    traces: Vec<PathBuf>,

    /// Requests per second to which each trace is stretched
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    rates: Vec<String>,

    /// Autoscaling policies [default: each configuration's own]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    policies: Vec<String>,

    /// Clusters as TOML files
    #[arg(long, value_name = "FILE,..", value_delimiter = ',')]
    configs: Vec<PathBuf>,

    /// Clusters that ship [default: llama-8b-pd-4-4, where no other is named]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    presets: Vec<String>,

    /// Clusters of both kinds: files that end in .toml, and names
    #[arg(long, value_name = "FILE|NAME,..", value_delimiter = ',')]
    clusters: Vec<String>,

    /// Set a key of every configuration, as pool.prefill.instances=4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Seeds
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,

    /// The traces' format, where it is not recognised
    #[arg(long, value_name = "NAME")]
    format: Option<String>,

    /// The model's tokenizer, where traces hold text
    #[arg(long, value_name = "NAME|PATH|DIR")]
    tokenizer: Option<String>,

    /// Tokens per block [default: the configuration's, or what the trace's hash ids stand for]
    #[arg(long, value_name = "TOKENS")]
    block_size: Option<u32>,

    /// Where results go, as SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY
    #[arg(long, value_name = "DIR")]
    results: PathBuf,

    /// Where the comparison goes [default: RESULTS/comparison]
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    #[command(flatten)]
    slo: SloArgs,

    /// Print each cell's command, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Run cells again that are there already
    #[arg(long)]
    force: bool,

    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Some cells failed, and the others are done.
#[derive(Debug)]
pub(super) struct SomeFailed {
    failed: usize,
    of: usize,
}

impl std::fmt::Display for SomeFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} cells failed; run the same command again when their causes are mended, and only they are run",
            self.failed, self.of
        )
    }
}

impl std::error::Error for SomeFailed {}

/// A cluster under one policy.
struct Setting {
    /// How `simulate` is told of it.
    flags: String,
    prepared: Scenario,
    toml: String,
}

/// A trace as it lies in a file.
struct Served {
    path: PathBuf,
    name: String,
}

/// One run.
struct Cell<'a> {
    setting: &'a Setting,
    seed: u64,
    folder: PathBuf,
    command: String,
}

/// What became of a cell.
enum Outcome {
    Made,
    There,
    Failed(String),
}

pub(super) fn run(args: &MatrixArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
    let settings = args.settings()?;
    let served = args.served()?;
    let grid: Vec<(&Served, Vec<Cell<'_>>)> = served
        .iter()
        .map(|served| (served, args.cells(served, &settings)))
        .collect();
    let all: Vec<&Cell<'_>> = grid.iter().flat_map(|(_, cells)| cells).collect();
    let mut folders: Vec<&Path> = all.iter().map(|cell| cell.folder.as_path()).collect();
    folders.sort_unstable();
    if let Some(twice) = folders.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::usage(
            format!("two cells would be written to {}", twice[0].display()),
            "give clusters that differ another `name`, policies that differ another `autoscaling.label`, and traces other file names",
        )
        .into());
    }
    if args.dry_run {
        let lines: Vec<&str> = all.iter().map(|cell| cell.command.as_str()).collect();
        return output::print(&lines.join("\n"));
    }
    let done = AtomicU64::new(0);
    let outcomes: Vec<(&Cell<'_>, Outcome)> =
        output::with_progress("runs", all.len() as u64, &done, || {
            let of_trace = |(served, cells)| args.run_trace(served, cells, &done);
            grid.par_iter()
                .map(|(s, c)| of_trace((s, c)))
                .flatten()
                .collect()
        });
    let (mut made, mut there, mut failed) = (0, 0, 0);
    for (cell, outcome) in &outcomes {
        match outcome {
            Outcome::Made => made += 1,
            Outcome::There => there += 1,
            Outcome::Failed(why) => {
                failed += 1;
                output::warn(&format!(
                    "failed: {}: {why}; command: {}",
                    cell.folder.display(),
                    cell.command
                ));
            }
        }
    }
    output::note(&format!(
        "{made} cells run, {there} there already, {failed} failed"
    ));
    if made + there > 0 {
        args.compare(&served, &settings)?;
    }
    if failed > 0 {
        let of = outcomes.len();
        return Err(SomeFailed { failed, of }.into());
    }
    Ok(())
}

impl MatrixArgs {
    /// Clusters by policies.
    fn settings(&self) -> Result<Vec<Setting>> {
        let mut clusters: Vec<(bool, String)> = Vec::new();
        clusters.extend(
            self.configs
                .iter()
                .map(|path| (true, path.display().to_string())),
        );
        clusters.extend(self.presets.iter().map(|name| (false, name.clone())));
        let is_file = |name: &String| name.ends_with(".toml") || Path::new(name).is_file();
        clusters.extend(
            self.clusters
                .iter()
                .map(|name| (is_file(name), name.clone())),
        );
        if clusters.is_empty() {
            clusters.push((false, simulate::DEFAULT_PRESET.to_owned()));
        }
        let mut settings = Vec::new();
        for (file, name) in &clusters {
            let config = if *file {
                ScenarioConfig::read(Path::new(name), &self.set)?
            } else {
                ScenarioConfig::preset(name, &self.set)?
            };
            if config.compat != Compat::Accurate {
                return Err(Error::usage(
                    format!("{name}: compat is not `accurate`"),
                    "a matrix runs this simulator's own rules; give others to `replay simulate`",
                ));
            }
            let own = [config.autoscaling.policy.clone()];
            let policies = if self.policies.is_empty() {
                &own[..]
            } else {
                &self.policies
            };
            for policy in policies {
                let mut config = config.clone();
                config.autoscaling.policy.clone_from(policy);
                if let Some(size) = self.block_size {
                    config.cache.block_size = size;
                }
                let flag = if *file { "--config" } else { "--preset" };
                let mut flags = format!("{flag} {} --policy {}", quoted(name), quoted(policy));
                for set in &self.set {
                    flags += &format!(" --set {}", quoted(set));
                }
                if let Some(size) = self.block_size {
                    flags += &format!(" --block-size {size}");
                }
                settings.push(Setting {
                    flags,
                    toml: config.to_toml(),
                    prepared: config.prepare()?,
                });
            }
        }
        Ok(settings)
    }

    /// The traces, stretched to the rates and written where there are any.
    fn served(&self) -> Result<Vec<Served>> {
        let rates = RunSelection::parse_rates(&self.rates)?;
        let mut served = Vec::new();
        for path in &self.traces {
            let name = simulation::trace_name(path);
            if rates.is_empty() {
                served.push(Served {
                    path: path.clone(),
                    name,
                });
                continue;
            }
            let trace = self.read(path)?;
            let Some(own) = trace.rate() else {
                return Err(Error::input(
                    Location::file(path),
                    "has no two arrival times, so it has no rate to change",
                    "give a longer trace, or leave --rates away",
                ));
            };
            let family = match key::rate(&name) {
                Some(_) => name
                    .rsplit_once('_')
                    .map_or(name.as_str(), |(family, _)| family),
                None => &name,
            };
            for rate in &rates {
                let name = format!("{family}_{rate}");
                let path = self
                    .results
                    .join("traces")
                    .join(format!("{name}.jsonl.zst"));
                if !self.dry_run {
                    write_if_new(&trace.stretched(own / rate), &path)?;
                }
                served.push(Served { path, name });
            }
        }
        Ok(served)
    }

    fn read(&self, path: &Path) -> Result<Trace> {
        let input = TraceArgs {
            trace: path.to_path_buf(),
            format: self.format.clone(),
            tokenizer: self.tokenizer.clone(),
        };
        let trace = input.read(self.block_size, false)?.trace;
        if trace.requests().is_empty() {
            return Err(Error::input(
                Location::file(path),
                "has no requests",
                "give a trace with at least one",
            ));
        }
        Ok(trace)
    }

    fn cells<'a>(&self, served: &Served, settings: &'a [Setting]) -> Vec<Cell<'a>> {
        let mut cells = Vec::new();
        for setting in settings {
            let names = simulate::names(&setting.prepared);
            for seed in &self.seeds {
                let folder = simulate::run_folder(&self.results, *seed, &served.name, &names);
                let mut command = format!(
                    "replay simulate {}",
                    quoted(&served.path.display().to_string())
                );
                // Stretched traces are in this program's own format.
                if self.rates.is_empty() {
                    for (flag, value) in
                        [("--format", &self.format), ("--tokenizer", &self.tokenizer)]
                    {
                        if let Some(value) = value {
                            command += &format!(" {flag} {}", quoted(value));
                        }
                    }
                }
                command += &format!(
                    " {} --seeds {seed} --results {}",
                    setting.flags,
                    quoted(&self.results.display().to_string())
                );
                cells.push(Cell {
                    setting,
                    seed: *seed,
                    folder,
                    command,
                });
            }
        }
        cells
    }

    /// All cells of one trace, which is read only if one has to be run.
    fn run_trace<'a, 'b>(
        &self,
        served: &Served,
        cells: &'a [Cell<'b>],
        done: &AtomicU64,
    ) -> Vec<(&'a Cell<'b>, Outcome)> {
        let there: Vec<bool> = cells
            .iter()
            .map(|cell| !self.force && cell.is_there(served))
            .collect();
        let trace = if there.iter().all(|there| *there) {
            None
        } else if self.rates.is_empty() {
            Some(self.read(&served.path))
        } else {
            let plain = format::ReadOptions::default();
            Some(format::read_trace(&served.path, &plain).map(|read| read.trace))
        };
        let work: Vec<_> = cells.iter().zip(there).collect();
        work.into_par_iter()
            .map(|(cell, there)| {
                let outcome = match (&trace, there) {
                    (_, true) | (None, _) => Outcome::There,
                    (Some(Err(error)), _) => Outcome::Failed(error.to_string()),
                    (Some(Ok(trace)), _) => match cell.run(trace) {
                        Ok(()) => Outcome::Made,
                        Err(error) => Outcome::Failed(error.to_string()),
                    },
                };
                done.fetch_add(1, Ordering::Relaxed);
                (cell, outcome)
            })
            .collect()
    }

    fn compare(&self, served: &[Served], settings: &[Setting]) -> anyhow::Result<()> {
        let names = |part: usize| {
            let all = settings
                .iter()
                .map(|setting| simulate::names(&setting.prepared)[part].replace('/', "_"));
            all.collect::<Vec<_>>()
        };
        let selection = RunSelection {
            policies: names(4),
            traces: served.iter().map(|served| served.name.clone()).collect(),
            seeds: self.seeds.iter().map(u64::to_string).collect(),
            start_states: names(0),
            clusters: names(1),
            models: names(2),
            schedulers: names(3),
            ..RunSelection::default()
        };
        let study = PolicyComparison::read(&self.results, &selection, self.slo.reading(false))?;
        compare::tell(&study);
        let pairs: Vec<_> = study.scenarios().iter().map(pairs::pairs).collect();
        let value = text::json(&study, &pairs, &super::typed_command());
        let folder = self
            .output_dir
            .clone()
            .unwrap_or_else(|| self.results.join("comparison"));
        files::write(&study, &value, &folder)?;
        if self.json {
            return output::print(&serde_json::to_string_pretty(&value)?);
        }
        output::print(&text::text(&study, &pairs))?;
        output::note(&format!("wrote {}", folder.display()));
        Ok(())
    }
}

impl Cell<'_> {
    /// Whether the folder holds this run: whole, of the same command and configuration, not older than the trace.
    fn is_there(&self, served: &Served) -> bool {
        let summary = self.folder.join("summary.json");
        let Ok(bytes) = std::fs::read(&summary) else {
            return false;
        };
        let same = |value: serde_json::Value| {
            value["command"] == self.command.as_str()
                && value["version"] == env!("CARGO_PKG_VERSION")
        };
        let config = std::fs::read_to_string(self.folder.join("config.toml"));
        let changed = |path: &Path| {
            std::fs::metadata(path)
                .and_then(|meta| meta.modified())
                .ok()
        };
        let newer = match (changed(&served.path), changed(&summary)) {
            (Some(trace), Some(summary)) => trace > summary,
            _ => false,
        };
        serde_json::from_slice(&bytes).is_ok_and(same)
            && config.is_ok_and(|config| config == self.setting.toml)
            && !newer
    }

    /// As `simulate` runs it.
    fn run(&self, trace: &Trace) -> Result<()> {
        let prepared = &self.setting.prepared;
        let blocks = prepared.blocks(trace)?;
        let mut workload = Workload::new(trace, blocks.as_ref());
        workload.stretch(prepared.config().workload.time_scale);
        let run = prepared.run(&workload, self.seed, RunOptions::default())?;
        let files = simulation::RunFiles {
            trace,
            records: &run.records,
            scaling: run.scaling.as_ref(),
            serving: &run.serving,
            config: &self.setting.toml,
            command: &self.command,
            seed: self.seed,
        };
        simulation::write(&files, &self.folder)
    }
}

/// Writes a trace unless the same one is there: what is newer makes runs stale.
fn write_if_new(trace: &Trace, path: &Path) -> Result<()> {
    let options = format::WriteOptions::default();
    let native = format::format("native")?;
    if !path.exists() {
        return native.write(trace, &options, path).map(drop);
    }
    let new = path.with_file_name(format!(
        ".new-{}",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    native.write(trace, &options, &new)?;
    let read = |path: &Path| std::fs::read(path).map_err(|source| Error::read(path, source));
    if read(&new)? == read(path)? {
        std::fs::remove_file(&new).map_err(|source| Error::write(&new, source))
    } else {
        std::fs::rename(&new, path).map_err(|source| Error::write(path, source))
    }
}
