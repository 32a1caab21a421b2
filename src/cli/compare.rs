//! `replay compare`

use std::path::PathBuf;

use clap::Args;

use super::output;
use crate::report::studies::compare::{
    PolicyComparison, Reading, RunSelection, files, pairs, text,
};

/// Arguments of `replay compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs are found by their folders: SEED/START_STATE/TRACE/CLUSTER/MODEL/SCHEDULER/POLICY, as `simulate --results` and
SplitwiseSim write them. The number behind the last `_` of a trace's name is its request rate.

Examples:
  replay compare output/results
  replay compare output/results --policies no_autoscaling,hpa_* --rates 20,40
  replay compare output/results --traces 'rr_conv_*' --ttft-slo 1 --tbt-slo 0.04 --output-dir output/conv
  replay compare splitwise-sim/results --quick
  replay compare output/results --json | jq '.scenarios[0].policies'")]
pub(super) struct CompareArgs {
    /// The folder of results
    results: PathBuf,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Read only summary.csv of each run: P50, P90 and P99 of TTFT, TBT and E2E, without cost, SLO and tests
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    slo: SloArgs,

    /// Write tables and pictures there [default: RESULTS/comparison, with --quick RESULTS/comparison-quick]
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Which runs; names, or patterns with * ? [a-c].
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SelectionArgs {
    /// Policies, names or patterns
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    policies: Vec<String>,

    /// Traces, with their rates or without
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    traces: Vec<String>,

    /// Request rates, as the traces' names end in them
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    rates: Vec<String>,

    /// Seeds
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    seed: Vec<String>,

    /// Instances at the beginning
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
            seeds: self.seed.clone(),
            start_states: self.start_state.clone(),
            clusters: self.cluster.clone(),
            schedulers: self.scheduler.clone(),
            models: self.model.clone(),
        })
    }
}

/// Objectives in place of the runs' own.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct SloArgs {
    /// A request must have its first token within so many seconds [default: each run's own objectives]
    #[arg(long, value_name = "SECONDS")]
    ttft_slo: Option<f64>,

    /// And a mean time between tokens of at most this
    #[arg(long, value_name = "SECONDS")]
    tbt_slo: Option<f64>,

    /// And end within so many seconds
    #[arg(long, value_name = "SECONDS")]
    e2e_slo: Option<f64>,
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

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
    let selection = args.selection.selection()?;
    let study = PolicyComparison::read(&args.results, &selection, args.slo.reading(args.quick))?;
    tell(&study);
    let folder = args
        .output_dir
        .clone()
        .unwrap_or_else(|| files::folder(&args.results, args.quick));
    let command = super::typed_command();
    let scenarios = study.scenarios();
    let pairs: Vec<_> = match args.quick {
        true => vec![Vec::new(); scenarios.len()],
        false => scenarios.iter().map(pairs::pairs).collect(),
    };
    let value = text::json(&study, &pairs, &command);
    files::write(&study, &value, &folder)?;
    if args.json {
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    output::print(&text::text(&study, &pairs))?;
    output::note(&format!("wrote {}", folder.display()));
    Ok(())
}

/// Missing cells that are told one by one; more are counted.
const MOST_TOLD: usize = 20;

/// What was left out, and what is missing.
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
