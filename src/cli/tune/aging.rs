//! `replay tune aging`

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use clap::{Args, ValueEnum};

use super::super::output;
use super::cluster::WorkloadArgs;
use crate::base::error::Error;
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::studies::tuning;
use crate::tune::aging::{AgingSweep, Fairness, RATIOS, study};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FairnessArg {
    Jain,
    MaxWait,
    WorstClass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TtftArg {
    P50,
    P90,
    P99,
}

/// Arguments of `replay tune aging`.
#[derive(Debug, Args)]
#[command(after_help = "\
The order `aging` of the scheduler opt-sarathi sorts requests in memory by waiting time against remaining prompt. Only the ratio of \
the two weights matters: how many prompt tokens weigh as much as a second of waiting. The ratio that sarathi-serve's fork derives \
from a run is tried beside others, from shortest remaining prompt first (0) to first come first served (infinite).

Examples:
  replay tune aging trace.jsonl.zst --seeds 0,1,2,3,4
  replay tune aging trace.jsonl.zst --ratios 100,1000 --ttft p99 --fairness max-wait -o output/aging
  replay tune aging trace.jsonl.zst --set scheduler.enable_dynamic_chunking_schedule=true --json")]
pub(super) struct AgingArgs {
    #[command(flatten)]
    workload: WorkloadArgs,

    /// Ratios to try besides the derived ones, in tokens per second [default: 10,37.5,100,300,1000,3000,10000]
    #[arg(
        long,
        value_name = "N,..",
        help_heading = "Orders",
        value_delimiter = ',',
        allow_negative_numbers = true, value_parser = number::<f64>(limits::RATE))]
    ratios: Vec<f64>,

    /// Percentile of TTFT that orders are judged by
    #[arg(long, value_enum, default_value = "p90", help_heading = "Orders")]
    ttft: TtftArg,

    /// Fairness that TTFT is weighed against: Jain's index of the slowdowns, the longest wait, or the P99 slowdown of the prompt
    /// lengths that fare worst
    #[arg(long, value_enum, default_value = "jain", help_heading = "Orders")]
    fairness: FairnessArg,

    /// Confidence level of the intervals; the significance level is 1 minus this
    #[arg(
        long,
        default_value_t = 0.95,
        value_name = "FRACTION",
        help_heading = "Orders", value_parser = number::<f64>(limits::CONFIDENCE))]
    confidence: f64,

    /// Write aging.csv, aging.json and charts into this folder
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,
}

pub(super) fn run(args: &AgingArgs, json: bool) -> anyhow::Result<()> {
    if !(args.confidence > 0.0 && args.confidence < 1.0) {
        return Err(Error::usage(
            format!("a confidence of {}", args.confidence),
            "give a fraction between 0 and 1, e.g. 0.95",
        )
        .into());
    }
    let served = args.workload.open(None)?;
    let ratios = if args.ratios.is_empty() {
        RATIOS.to_vec()
    } else {
        args.ratios.clone()
    };
    // One run with first come first served, two with shortest remaining prompt first, and up to four with derived ratios.
    let orders = ratios.len() + 3 + 4;
    let sweep = AgingSweep {
        ratios,
        ttft: match args.ttft {
            TtftArg::P50 => 0,
            TtftArg::P90 => 1,
            TtftArg::P99 => 2,
        },
        fairness: match args.fairness {
            FairnessArg::Jain => Fairness::Jain,
            FairnessArg::MaxWait => Fairness::MaxWait,
            FairnessArg::WorstClass => Fairness::WorstClass,
        },
        confidence: args.confidence,
    };
    let done = AtomicU64::new(0);
    let total = (served.variants.requests() * served.variants.seeds().len() * orders) as u64;
    let found = output::with_progress("requests", total, &done, || {
        study(&served.variants, &served.config, &sweep, &done)
    })?;
    if let Some(folder) = &args.output_dir {
        tuning::write_aging(&found, &sweep, served.variants.seeds(), folder)?;
        output::wrote(folder);
    }
    if json {
        return output::print(&serde_json::to_string_pretty(&tuning::aging_json(
            &found,
            &sweep,
            served.variants.seeds(),
        ))?);
    }
    output::print(&tuning::aging_text(&found, &sweep))
}

#[cfg(test)]
mod tests {
    use crate::cli::tune::aging::*;
    use crate::tune::aging::TTFT;

    #[test]
    fn flags_and_figures_have_the_same_order() {
        let flags = TtftArg::value_variants()
            .iter()
            .map(|flag| format!("{flag:?}").to_lowercase());
        assert!(flags.eq(TTFT.iter().map(|(name, _)| (*name).to_owned())));
        assert!(RATIOS.is_sorted());
    }
}
