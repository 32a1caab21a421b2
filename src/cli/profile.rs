//! `replay profile`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::cluster_args::ClusterArgs;
use super::output;
use crate::autoscale::planner::profile_facts::{InstanceFacts, ProfileFacts};
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::render::number::thousands;
use crate::report::render::table::table;
use crate::scenario::profiler::{Grid, Measured, measure};

/// Arguments of `replay profile`.
#[derive(Debug, Args)]
#[command(after_help = "\
Measures the instances of a simulated cluster: TTFT of single prompts, and the time between tokens of equal requests that decode \
together. `replay plan --profile DIR` and the planner of `replay simulate` read the result.

Examples:
  replay profile --preset llama-8b-pd-4-4 --output-dir profile/
  replay profile --config cluster.toml --max-isl 32768 --contexts 12 --loads 16 -o profile/")]
pub(super) struct ProfileArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// Write prefill_profile.csv, decode_profile.csv and profile.json into this folder
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Shortest prompt, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = Grid::default().min_isl, help_heading = "Grid", value_parser = number::<u32>(limits::TOKENS))]
    min_isl: u32,

    /// Longest prompt, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = Grid::default().max_isl, help_heading = "Grid", value_parser = number::<u32>(limits::TOKENS))]
    max_isl: u32,

    /// Output tokens of a request while decode is measured
    #[arg(long, value_name = "TOKENS", default_value_t = Grid::default().osl, help_heading = "Grid", value_parser = number::<u32>(limits::TOKENS))]
    osl: u32,

    /// Number of prompt lengths
    #[arg(long, value_name = "N", default_value_t = Grid::default().prefill_points, help_heading = "Grid", value_parser = number::<u32>(limits::GRID))]
    prefill_points: u32,

    /// Number of context lengths for decode
    #[arg(long, value_name = "N", default_value_t = Grid::default().contexts, help_heading = "Grid", value_parser = number::<u32>(limits::GRID))]
    contexts: u32,

    /// Number of concurrencies for each of them
    #[arg(long, value_name = "N", default_value_t = Grid::default().loads, help_heading = "Grid", value_parser = number::<u32>(limits::GRID))]
    loads: u32,
}

pub(super) fn run(args: &ProfileArgs, json: bool) -> anyhow::Result<()> {
    let config = args.cluster.read_accurate()?;
    let grid = Grid {
        min_isl: args.min_isl,
        max_isl: args.max_isl,
        osl: args.osl,
        prefill_points: args.prefill_points,
        contexts: args.contexts,
        loads: args.loads,
    };
    let measured = measure(&config, &grid)?;
    let profile = &measured.profile;
    if let Some(folder) = &args.output_dir {
        measured.write(folder)?;
    }
    if json {
        let value = json!({
            "prefill_isl": column(&profile.prefill, |p| p.isl),
            "prefill_ttft": column(&profile.prefill, |p| p.ttft_ms),
            "prefill_thpt_per_gpu": column(&profile.prefill, |p| p.throughput_per_gpu),
            "x_kv_usage": column(&profile.decode, |p| p.kv_usage),
            "y_context_length": column(&profile.decode, |p| p.context_length),
            "z_itl": column(&profile.decode, |p| p.itl_ms),
            "z_thpt_per_gpu": column(&profile.decode, |p| p.throughput_per_gpu),
            "max_kv_tokens": profile.max_kv_tokens,
            "facts": measured.facts,
        });
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    output::print(&text(&measured))?;
    if let Some(folder) = &args.output_dir {
        output::wrote(folder);
    }
    Ok(())
}

fn column<T>(points: &[T], value: impl Fn(&T) -> f64) -> Vec<f64> {
    points.iter().map(value).collect()
}

fn text(measured: &Measured) -> String {
    let Measured {
        profile,
        facts,
        limited,
    } = measured;
    let prefill: Vec<_> = profile
        .prefill
        .iter()
        .map(|p| {
            vec![
                format!("{}", p.isl),
                format!("{:.2}", p.ttft_ms),
                format!("{:.0}", p.throughput_per_gpu),
            ]
        })
        .collect();
    let decode: Vec<_> = profile
        .decode
        .iter()
        .map(|p| {
            vec![
                format!("{}", p.context_length),
                format!("{:.1} %", 100.0 * p.kv_usage),
                format!("{:.3}", p.itl_ms),
                format!("{:.0}", p.throughput_per_gpu),
            ]
        })
        .collect();
    let mut out = format!(
        "{}\n\n{}\n\n{}\n{}",
        table(&["prompt", "TTFT ms", "tokens/s/GPU"], &prefill),
        table(&["context", "KV used", "ITL ms", "tokens/s/GPU"], &decode),
        instance("prefill", facts, &facts.prefill),
        instance("decode", facts, &facts.decode),
    );
    if *limited > 0 {
        out += &format!(
            "\nat {limited} context lengths the scheduler's limit of requests was reached before the KV cache was full"
        );
    }
    out
}

/// A sentence that describes a measured instance.
fn instance(phase: &str, facts: &ProfileFacts, instance: &InstanceFacts) -> String {
    let gpus = instance.gpus_per_instance;
    format!(
        "{phase} was measured on pool `{}`: {} on {gpus} x {}, scheduler {}, latency model {}, {} tokens of KV cache",
        instance.pool,
        facts.model,
        instance.gpu,
        instance.scheduler,
        instance.latency,
        thousands(instance.kv_tokens)
    )
}
