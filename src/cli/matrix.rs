//! `replay matrix`

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::Value;

use super::cluster_args::ClustersArgs;
use super::compare::SloArgs;
use super::trace_input::{TraceArgs, tell_failures};
use super::{compare, measured, output};
use crate::base::error::Result;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::render::shell::quoted;
use crate::report::studies::compare::{FoundRuns, RunSelection, text};
use crate::report::studies::simulation;
use crate::scenario::Scenario;
use crate::scenario::grid::{self, Cell, CellResult, FinishedCell, Grid, GridReading, GridTrace};
use crate::scenario::layout::RunKey;
use crate::trace::format::FAILURES;

/// Arguments of `replay matrix`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each cell is one run of `replay simulate`, in the same folder. A cell is run again only if something that it depends on has \
changed: the configuration, the seed, the trace's content, the content of scripts, profiles and tables, or the program. A matrix \
that was stopped therefore continues where it stopped. With --rates, each trace is written once for each rate, as \
RESULTS/traces/NAME_RATE.jsonl.zst, with its arrival times stretched.

Examples:
  replay matrix conv.csv --rates 20,40,60 --preset llama-8b-pd-4-4 \\
      --autoscaler no_autoscaling,heteroscale --seeds 0,1,2 --results output/results
  replay matrix rr_conv_40.csv rr_conv_80.csv --config small.toml,large.toml --results output/results
  replay matrix conv.csv --rates 20 --autoscaler hpa_gpu --results output/results --dry-run

Columns, files and tests: docs/comparing.md.")]
pub(super) struct MatrixArgs {
    /// Trace files in any readable format
    #[arg(value_name = "TRACE", required = true)]
    trace: Vec<PathBuf>,

    /// Format of the traces [default: recognised from their content]
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    format: Option<String>,

    /// Tokenizer, needed where traces hold text: a built-in name, a tokenizer.json or a model folder
    #[arg(long, value_name = "NAME|PATH|DIR", help_heading = "Input")]
    tokenizer: Option<OsString>,

    /// Request rates per second that each trace is stretched to [default: the traces as they are]
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        help_heading = "Input"
    )]
    rates: Vec<String>,

    #[command(flatten)]
    clusters: ClustersArgs,

    /// Tokens per block [default: the configuration's, or the block size of the trace's hash ids]
    #[arg(long, value_name = "TOKENS", help_heading = "Cluster", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Option<u32>,

    /// Autoscaling policies (see `replay simulate --list-policies`) [default: each configuration's own]
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        help_heading = "Cluster"
    )]
    autoscaler: Vec<String>,

    /// Seeds
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "0",
        help_heading = "Cluster", value_parser = number::<u64>(limits::ANY))]
    seeds: Vec<u64>,

    #[command(flatten)]
    slo: SloArgs,

    /// Results folder; a run's files are in SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    results: PathBuf,

    /// Folder of the comparison [default: RESULTS/comparison]
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Print each cell's command and exit
    #[arg(long, help_heading = "Runs")]
    dry_run: bool,

    /// Run every cell, even if its results are up to date
    #[arg(long, help_heading = "Runs")]
    force: bool,
}

/// The error of a matrix in which some cells failed while the others are complete.
#[derive(Debug)]
pub(super) struct SomeFailed {
    failed: usize,
    of: usize,
}

impl std::fmt::Display for SomeFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} cells failed; correct the causes and run the same command again, which runs only these cells",
            self.failed, self.of
        )
    }
}

impl std::error::Error for SomeFailed {}

/// Clusters combined with policies, and the flags of `simulate` that name each combination.
struct Settings {
    scenarios: Vec<Scenario>,
    flags: Vec<String>,
}

pub(super) fn run(args: &MatrixArgs, json: bool) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let grid = args.grid(&settings.scenarios)?;
    let cells = grid.cells()?;
    let command = |cell: &Cell<'_>| args.command(&grid.traces[cell.trace], cell, &settings);
    if args.dry_run {
        let lines: Vec<String> = cells.iter().map(command).collect();
        return output::print(&lines.join("\n"));
    }
    // Failed requests that were left out, and requests, of each trace that was served.
    let failures: Mutex<BTreeMap<usize, (u64, u64)>> = Mutex::default();
    let save = |finished: &FinishedCell<'_>| {
        let counts = &finished.trace.meta.counts;
        if let Some(count) = counts.get(FAILURES).and_then(Value::as_u64) {
            let requests = finished.trace.requests().len() as u64;
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.insert(finished.cell.trace, (count, requests));
        }
        let files = simulation::RunFiles {
            trace: finished.trace,
            records: &finished.run.records,
            scaling: finished.run.scaling.as_ref(),
            serving: &finished.run.serving,
            config: &finished.cell.scenario.config().to_toml(),
            command: &command(finished.cell),
            seed: finished.cell.seed,
        };
        measured::write(finished.cell.scenario, finished.folder)?;
        simulation::write(&files, finished.folder)
    };
    settings.scenarios.iter().for_each(measured::tell);
    let done = AtomicU64::new(0);
    let results = output::with_progress("runs", cells.len() as u64, &done, || {
        grid.run(&cells, &save, &done)
    });
    let failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    for (trace, (count, requests)) in failures {
        tell_failures(&grid.traces[trace].name, count, requests);
    }
    let (mut completed, mut present, mut failed) = (0, 0, 0);
    let mut replaced: BTreeMap<&str, Vec<&Path>> = BTreeMap::new();
    for (cell, result) in cells.iter().zip(&results) {
        match result {
            CellResult::Completed(why) => {
                completed += 1;
                if let Some(why) = why {
                    replaced.entry(why).or_default().push(&cell.folder);
                }
            }
            CellResult::UpToDate => present += 1,
            CellResult::Failed(why) => {
                failed += 1;
                output::warn(&format!(
                    "failed: {}: {why}; command: {}",
                    cell.folder.display(),
                    command(cell)
                ));
            }
        }
    }
    for (why, folders) in replaced {
        output::note(&replacement(why, &folders));
    }
    output::note(&format!(
        "{completed} cells run, {present} there already, {failed} failed"
    ));
    if completed + present > 0 {
        args.compare(&grid, json)?;
    }
    if failed > 0 {
        let of = results.len();
        return Err(SomeFailed { failed, of }.into());
    }
    Ok(())
}

/// The note on results that were replaced for one reason; it names the first of them.
fn replacement(why: &str, folders: &[&Path]) -> String {
    let first = folders.first().map(|folder| folder.display());
    let first = first.map_or(String::new(), |first| first.to_string());
    match folders.len() {
        0 | 1 => format!("replaced results: {first}: {why}"),
        count => format!("replaced results: {why} ({count} cells, the first is {first})"),
    }
}

impl MatrixArgs {
    /// Combines every cluster with every policy.
    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings {
            scenarios: Vec::new(),
            flags: Vec::new(),
        };
        for cluster in self.clusters.read()? {
            let own = [cluster.config.autoscaling.policy.clone()];
            let policies = match self.autoscaler.as_slice() {
                [] => &own[..],
                named => named,
            };
            for policy in policies {
                let mut config = cluster.config.clone();
                config.autoscaling.policy.clone_from(policy);
                let mut flags = format!("{} --autoscaler {}", cluster.flags, quoted(policy));
                for set in &self.clusters.set {
                    flags += &format!(" --set {}", quoted(set));
                }
                if let Some(size) = self.block_size {
                    config.cache.block_size = size;
                    flags += &format!(" --block-size {size}");
                }
                settings.scenarios.push(config.prepare()?);
                settings.flags.push(flags);
            }
        }
        Ok(settings)
    }

    fn grid<'a>(&self, scenarios: &'a [Scenario]) -> Result<Grid<'a>> {
        let input = TraceArgs {
            trace: PathBuf::new(),
            format: self.format.clone(),
            tokenizer: self.tokenizer.clone(),
        };
        let reading = GridReading {
            options: input.options(self.block_size, false)?,
            tokenizer: self.tokenizer.clone(),
        };
        let rates = RunSelection::parse_rates(&self.rates)?;
        let traces = match rates.as_slice() {
            [] => grid::traces(&self.trace),
            rates => {
                let write = !self.dry_run;
                grid::stretched_traces(&self.trace, rates, &reading.options, &self.results, write)?
            }
        };
        Ok(Grid {
            results: self.results.clone(),
            scenarios,
            traces,
            seeds: self.seeds.clone(),
            reading,
            force: self.force,
        })
    }

    /// The command that runs a cell.
    fn command(&self, trace: &GridTrace, cell: &Cell<'_>, settings: &Settings) -> String {
        let mut command = format!(
            "replay simulate {}",
            quoted(&trace.path.display().to_string())
        );
        // Stretched traces are in the native format.
        if !trace.stretched {
            let tokenizer = self
                .tokenizer
                .as_ref()
                .map(|name| name.display().to_string());
            for (flag, value) in [("--format", &self.format), ("--tokenizer", &tokenizer)] {
                if let Some(value) = value {
                    command += &format!(" {flag} {}", quoted(value));
                }
            }
        }
        command += &format!(
            " {} --seeds {} --results {}",
            settings.flags[cell.setting],
            cell.seed,
            quoted(&self.results.display().to_string())
        );
        command
    }

    fn compare(&self, grid: &Grid<'_>, json: bool) -> anyhow::Result<()> {
        let keys: Vec<RunKey> = grid
            .scenarios
            .iter()
            .map(|scenario| RunKey::new(scenario, 0, ""))
            .collect();
        let names = |name: fn(&RunKey) -> &String| keys.iter().map(name).cloned().collect();
        let selection = RunSelection {
            policies: names(|key| &key.policy),
            traces: grid.traces.iter().map(|trace| trace.name.clone()).collect(),
            seeds: self.seeds.iter().map(u64::to_string).collect(),
            start_states: names(|key| &key.start_state),
            clusters: names(|key| &key.cluster),
            models: names(|key| &key.model),
            schedulers: names(|key| &key.scheduler),
            ..RunSelection::default()
        };
        let found = FoundRuns::find(&self.results, &selection)?;
        let study = compare::read(found, self.slo.reading(false))?;
        compare::tell(&study);
        let pairs = compare::pairs(&study.scenarios());
        let value = text::json(&study, &pairs, &super::typed_command());
        let folder = self
            .output_dir
            .clone()
            .unwrap_or_else(|| self.results.join("comparison"));
        compare::write(&study, &value, &folder)?;
        output::result(json, || Ok(value), || text::text(&study, &pairs))?;
        output::wrote(&folder);
        Ok(())
    }
}
