//! `replay compare`

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::Args;
use serde_json::Value;

use super::output;
pub(super) use super::slo_args::SloArgs;
use crate::base::error::Result;
use crate::report::studies::compare::pairs::{self, Pair};
use crate::report::studies::compare::{
    FoundRuns, PolicyComparison, Reading, RunSelection, ScenarioGroup, files, text,
};

/// Arguments of `replay compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs are found by their folders, SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY, as `simulate --results` and SplitwiseSim \
write them. The number after the last `_` of a trace's name is its request rate. For each missing cell of the grid, a warning \
prints its path and the command that would produce it.

Examples:
  replay compare output/results
  replay compare output/results --autoscaler no_autoscaling,hpa_* --rates 20,40
  replay compare output/results --traces 'rr_conv_*' --ttft-slo 1s --tbt-slo 40ms -o output/conv
  replay compare splitwise-sim/results --quick
  replay compare output/results --json | jq '.scenarios[0].policies'

Columns, files and tests: docs/comparing.md.")]
pub(super) struct CompareArgs {
    /// Folder of results
    results: PathBuf,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Read only summary.csv of each run: P50, P90 and P99 of TTFT, TBT and E2E, without cost, SLO and tests
    #[arg(long, help_heading = "Reading")]
    quick: bool,

    #[command(flatten)]
    slo: SloArgs,

    /// Write tables and charts into this folder [default: RESULTS/comparison; with --quick: RESULTS/comparison-quick]
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,
}

/// Which runs, by names or patterns with * ? [a-c].
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection (names, or patterns with * ? [a-c])")]
pub(super) struct SelectionArgs {
    /// Autoscaling policies
    #[arg(
        long = "autoscaler",
        id = "autoscaler",
        value_name = "NAME,..",
        value_delimiter = ','
    )]
    policies: Vec<String>,

    /// Traces, with or without their rates
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    traces: Vec<String>,

    /// Request rates, as in the names of the traces
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    rates: Vec<String>,

    /// Seeds
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    seeds: Vec<String>,

    /// Start states, i.e. the instances at the beginning
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    start_state: Vec<String>,

    /// Clusters
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    cluster: Vec<String>,

    /// Schedulers
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    scheduler: Vec<String>,

    /// Models
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    model: Vec<String>,
}

impl SelectionArgs {
    pub(super) fn selection(&self) -> crate::base::error::Result<RunSelection> {
        Ok(RunSelection {
            policies: self.policies.clone(),
            traces: self.traces.clone(),
            rates: RunSelection::parse_rates(&self.rates)?,
            seeds: self.seeds.clone(),
            start_states: self.start_state.clone(),
            clusters: self.cluster.clone(),
            schedulers: self.scheduler.clone(),
            models: self.model.clone(),
        })
    }
}

impl SloArgs {
    pub(super) fn reading(self, quick: bool) -> Reading {
        Reading {
            quick,
            ttft_slo: self.ttft_slo,
            tbt_slo: self.tbt_slo,
            e2e_slo: self.e2e_slo,
        }
    }
}

pub(super) fn run(args: &CompareArgs, json: bool) -> anyhow::Result<()> {
    let selection = args.selection.selection()?;
    let found = FoundRuns::find(&args.results, &selection)?;
    let study = read(found, args.slo.reading(args.quick))?;
    tell(&study);
    let folder = args
        .output_dir
        .clone()
        .unwrap_or_else(|| files::folder(&args.results, args.quick));
    let command = super::typed_command();
    let scenarios = study.scenarios();
    let pairs: Vec<_> = match args.quick {
        true => vec![Vec::new(); scenarios.len()],
        false => pairs(&scenarios),
    };
    let value = text::json(&study, &pairs, &command);
    write(&study, &value, &folder)?;
    output::result(json, || Ok(value), || text::text(&study, &pairs))?;
    output::wrote(&folder);
    Ok(())
}

/// Reads runs with a progress bar.
pub(super) fn read(found: FoundRuns<'_>, reading: Reading) -> Result<PolicyComparison> {
    let done = AtomicU64::new(0);
    let total = found.len() as u64;
    output::with_progress("runs read", total, &done, || found.read(reading, &done))
}

/// Writes the files of a comparison with a progress bar.
pub(super) fn write(study: &PolicyComparison, value: &Value, folder: &Path) -> Result<()> {
    let done = AtomicU64::new(0);
    let total = study.scenarios().len();
    output::with_progress("scenarios written", total as u64, &done, || {
        files::write(study, value, folder, &done)
    })?;
    let drawn = files::drawn(total);
    if drawn < total {
        output::note(&format!(
            "charts are those of the first {drawn} of {total} scenarios; select others with --traces, --cluster, --start-state, --scheduler or --model"
        ));
    }
    Ok(())
}

/// Compares the policies of each scenario with each other, with a progress bar.
pub(super) fn pairs(scenarios: &[ScenarioGroup<'_>]) -> Vec<Vec<Pair>> {
    let done = AtomicU64::new(0);
    let total: usize = scenarios.iter().map(pairs::count).sum();
    output::with_progress("pairs compared", total as u64, &done, || {
        let scenarios = scenarios.iter();
        scenarios.map(|one| pairs::pairs(one, &done)).collect()
    })
}

/// Maximum number of missing cells that are listed one by one; the others are counted.
const MOST_TOLD: usize = 20;

/// Prints warnings about skipped runs and missing cells.
pub(super) fn tell(study: &PolicyComparison) {
    for skipped in &study.skipped {
        output::warn(&format!("skipped: {}", skipped.why));
    }
    for missing in study.missing.iter().take(MOST_TOLD) {
        output::warn(&format!(
            "missing: {}; to make it: {}",
            missing.folder.display(),
            missing.command
        ));
    }
    if let Some(more) = study.missing.len().checked_sub(MOST_TOLD + 1) {
        output::warn(&format!(
            "missing: {} more, all in comparison.json",
            more + 1
        ));
    }
}
