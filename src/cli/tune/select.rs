//! `replay tune select`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::super::output;
use super::python_int;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::studies::tuning;
use crate::tune::select::{
    Aggregate, RATIOS, SelectOptions, ThresholdRun, read_runs, select, text,
};
use crate::tune::significance::{judge, verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RunAgg {
    Mean,
    Median,
    P90,
    Max,
}

/// Where the significance is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Significance {
    /// After the recommendation, on standard output
    Stdout,
    /// On standard error
    Stderr,
    /// Nowhere, which leaves the bytes of sarathi-serve's script
    None,
}

/// How thresholds are scored.
#[derive(Debug, Args)]
#[command(next_help_heading = "Score")]
pub(super) struct ScoreArgs {
    /// Threshold that the others are compared with; a run without it uses its lowest
    #[arg(long, default_value = "0", value_name = "N", value_parser = python_int, allow_negative_numbers = true)]
    baseline: i128,

    /// Weight of the P95 of request_execution_time
    #[arg(
        long,
        alias = "w_request",
        default_value_t = 0.35,
        value_name = "WEIGHT",
        allow_negative_numbers = true, value_parser = number::<f64>(limits::WEIGHT))]
    w_request: f64,

    /// Weight of the P95 of prefill_e2e_time (TTFT)
    #[arg(
        long,
        alias = "w_prefill",
        default_value_t = 0.35,
        value_name = "WEIGHT",
        allow_negative_numbers = true, value_parser = number::<f64>(limits::WEIGHT))]
    w_prefill: f64,

    /// Weight of the mean of prefill_time_execution_plus_preemption_normalized
    #[arg(
        long,
        alias = "w_prefill_exec_norm",
        default_value_t = 0.2,
        value_name = "WEIGHT",
        allow_negative_numbers = true, value_parser = number::<f64>(limits::WEIGHT))]
    w_prefill_exec_norm: f64,

    /// Weight of the mean of request_execution_time_normalized
    #[arg(
        long,
        alias = "w_request_exec_norm",
        default_value_t = 0.05,
        value_name = "WEIGHT",
        allow_negative_numbers = true, value_parser = number::<f64>(limits::WEIGHT))]
    w_request_exec_norm: f64,

    /// Weight of the mean of decode_time_execution_plus_preemption_normalized
    #[arg(
        long,
        alias = "w_decode",
        default_value_t = 0.05,
        value_name = "WEIGHT",
        allow_negative_numbers = true, value_parser = number::<f64>(limits::WEIGHT))]
    w_decode: f64,

    /// How the ratios of several runs are combined
    #[arg(long, alias = "run_agg", value_enum, default_value = "mean")]
    run_agg: RunAgg,

    /// Confidence level of the intervals; the significance level is 1 minus this
    #[arg(long, default_value_t = 0.95, value_name = "FRACTION", value_parser = number::<f64>(limits::CONFIDENCE))]
    confidence: f64,

    /// Number of bootstrap resamples
    #[arg(long, default_value_t = 4000, value_name = "N", value_parser = number::<usize>(limits::RESAMPLES))]
    resamples: usize,

    /// Where to print whether the recommendation can be told from chance: after it on standard output, on standard error, or
    /// nowhere
    #[arg(long, value_enum, default_value = "stdout", value_name = "WHERE")]
    significance: Significance,
}

/// Arguments of `replay tune select`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs are folders RUNS/RUN/THRESHOLD/ with request_execution_time.csv, request_execution_time_normalized.csv, prefill_e2e_time.csv, \
prefill_time_execution_plus_preemption_normalized.csv and decode_time_execution_plus_preemption_normalized.csv, as `replay tune \
threshold` or sarathi-serve's script writes them. With --significance none, standard output is that of sarathi-serve's \
select_threshold.py, byte for byte. Options may be spelt with underscores.

Examples:
  replay tune select threshold_output
  replay tune select threshold_output --run-agg median --w_prefill 0.5
  replay tune select threshold_output --significance none
  replay tune select threshold_output --json")]
pub(super) struct SelectArgs {
    /// Folder of the runs
    #[arg(default_value = "threshold_output", value_name = "RUNS")]
    root: PathBuf,

    #[command(flatten)]
    score: ScoreArgs,
}

pub(super) fn run(args: &SelectArgs, json: bool) -> anyhow::Result<()> {
    let runs = read_runs(&args.root)?;
    args.score.report(&runs, &args.root, json)
}

impl ScoreArgs {
    fn options(&self) -> SelectOptions {
        SelectOptions {
            baseline: self.baseline,
            weights: [
                self.w_request,
                self.w_request_exec_norm,
                self.w_prefill,
                self.w_prefill_exec_norm,
                self.w_decode,
            ],
            aggregate: match self.run_agg {
                RunAgg::Mean => Aggregate::Mean,
                RunAgg::Median => Aggregate::Median,
                RunAgg::P90 => Aggregate::P90,
                RunAgg::Max => Aggregate::Max,
            },
        }
    }

    /// Selects a threshold, tests its significance and prints both.
    pub(super) fn report(
        &self,
        runs: &[ThresholdRun],
        root: &std::path::Path,
        json: bool,
    ) -> anyhow::Result<()> {
        let options = self.options();
        let selection = select(runs, &options)?;
        let judged = |()| {
            judge(
                runs,
                &selection,
                &options,
                self.confidence,
                self.resamples,
                0,
            )
        };
        if json {
            let findings = judged(());
            let rows: Vec<_> = selection
                .rows
                .iter()
                .map(|row| {
                    let mut value = json!({"threshold": row.threshold as i64, "runs": row.runs});
                    for (name, ratio) in RATIOS.iter().zip(row.ratios) {
                        value[name] = json!(ratio);
                    }
                    value["score"] = json!(row.score);
                    let finding = findings
                        .iter()
                        .find(|finding| finding.threshold == row.threshold);
                    value["against_baseline"] = json!(finding);
                    value
                })
                .collect();
            let value = json!({
                "recommended_min_chunk_threshold": selection.best as i64,
                "runs": selection.runs,
                "options": {"baseline": options.baseline as i64, "run_agg": options.aggregate, "weights":
                    RATIOS.iter().zip(options.weights).map(|(name, weight)| (name.to_string(), json!(weight)))
                        .collect::<serde_json::Map<_, _>>()},
                "confidence": self.confidence,
                "resamples": self.resamples,
                "verdict": verdict(&selection, &findings),
                "answer": verdict(&selection, &findings),
                "thresholds": rows,
            });
            return output::print(&serde_json::to_string_pretty(&value)?);
        }
        output::print(&text(&selection, root))?;
        if self.significance == Significance::None {
            return Ok(());
        }
        let findings = judged(());
        let beside = tuning::significance(&findings, self.confidence);
        let text = format!("\n{beside}\n{}", verdict(&selection, &findings));
        match self.significance {
            Significance::Stdout => output::print(&text)?,
            _ => output::note(&text),
        }
        Ok(())
    }
}
