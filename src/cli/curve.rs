//! `replay curve`

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::engine_args::CacheArgs;
use super::output;
use super::trace_input::TraceArgs;
use crate::base::error::{Error, Result};
use crate::base::limits;
use crate::cache::BlockTrace;
use crate::cache::curve::{Point, Rules, capacities, exact, sampled};
use crate::cache::engine::{Capacity, ENGINES, EngineOptions, hash_scheme};
use crate::cli::ranges::number;
use crate::metrics::analyze;
use crate::report::studies::curve::{self, CapacityCurve, CurveFiles, POINTS, Sizes};
use crate::trace::Trace;

/// Arguments of `replay curve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Engines ideal and block are computed at every capacity in one pass. vllm and sglang keep duplicates and partial blocks, which no \
single pass can follow, so they are replayed at a number of capacities.

Examples:
  replay curve trace.jsonl.zst
  replay curve trace.jsonl.zst --block-size 16,64,256 --output-dir output/curve
  replay curve trace.jsonl.zst --model llama-3-8b --points 24
  replay curve trace.jsonl.zst --engine ideal --sample 0.05
  replay curve mooncake.jsonl --engine ideal --points all --json | jq '.curves[0].knee_blocks'")]
pub(super) struct CurveArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Tokens per block, one or several [default: 16, or the block size of the trace's hash ids]
    #[arg(
        long,
        value_name = "TOKENS",
        value_delimiter = ',',
        help_heading = "Cache", value_parser = number::<u32>(limits::BLOCK_SIZE))]
    block_size: Vec<u32>,

    /// Rules to cache by: vllm, sglang, ideal (longest cached prefix) or block (each block on its own)
    #[arg(
        long,
        default_value = "vllm",
        value_name = "NAME",
        help_heading = "Cache"
    )]
    engine: String,

    /// Number of capacities, spread by magnitude, or `all` at which the hit ratio changes (engines ideal and block)
    /// [default: 48 replays; engines ideal and block: 400]
    #[arg(long, value_name = "N|all", help_heading = "Curve")]
    points: Option<String>,

    /// Follow only this fraction (0..1) of the sessions, and report the error bound (engine ideal)
    #[arg(
        long,
        value_name = "FRACTION",
        conflicts_with = "points",
        help_heading = "Curve", value_parser = number::<f64>(limits::SOME_FRACTION))]
    sample: Option<f64>,

    /// Seed of the sample
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Curve", value_parser = number::<u64>(limits::ANY))]
    seed: u64,

    #[command(flatten)]
    cache: CacheArgs,

    /// Write curve.json, curve.csv and the chart into this folder
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,
}

/// Default number of capacities at which engines are replayed.
const REPLAYS: usize = 48;

pub(super) fn run(args: &CurveArgs, json: bool) -> anyhow::Result<()> {
    let options = args.cache.options(&args.engine)?;
    let bytes_per_token = args.cache.model()?.map(|model| model.bytes_per_token());
    let read = args.input.read(args.block_size.first().copied(), false)?;
    let sizes: Vec<Option<u32>> = if args.block_size.is_empty() {
        vec![None]
    } else {
        args.block_size.iter().copied().map(Some).collect()
    };
    let mut curves = Vec::new();
    for size in sizes {
        let blocks = BlockTrace::new(&read.trace, size, hash_scheme(&args.engine)?)?;
        let sizes = Sizes {
            block_size: blocks.block_size(),
            bytes_per_token,
        };
        curves.push(args.curve(&read.trace, &blocks, &options, sizes)?);
    }
    let files = CurveFiles {
        curves: &curves,
        engine: &args.engine,
        source: &args.input.trace.display().to_string(),
        settings: json!({"engine": args.engine, "policy": "lru", "cache_output": options.caches_output(),
            "order": format!("{:?}", options.order()), "sample": args.sample, "command": super::typed_command()}),
    };
    if let Some(folder) = &args.output_dir {
        files.write(folder)?;
    }
    output::result(
        json,
        || Ok(files.value()),
        || curve::text(&curves, &args.engine),
    )?;
    if let Some(folder) = &args.output_dir {
        output::wrote(folder);
    }
    Ok(())
}

impl CurveArgs {
    fn curve(
        &self,
        trace: &Trace,
        blocks: &BlockTrace,
        options: &EngineOptions,
        sizes: Sizes,
    ) -> Result<CapacityCurve> {
        let one_pass = ENGINES.find(&self.engine)?.is_block_cache();
        let points = self.points(if one_pass { POINTS } else { REPLAYS })?;
        if options.count_by_access {
            return Err(Error::usage(
                "--count access with a curve",
                "leave it out, or use `replay sweep`, which replays it",
            ));
        }
        let rules = Rules::new(options, blocks);
        if let Some(rate) = self.sample {
            if self.engine != "ideal" {
                return Err(Error::usage(
                    format!("--sample with --engine {}", self.engine),
                    "use --engine ideal",
                ));
            }
            let sample = sampled(blocks, &rules, rate, self.seed, POINTS)?;
            return Ok(CapacityCurve::sampled(&sample, sizes));
        }
        if one_pass {
            return Ok(CapacityCurve::exact(&exact(blocks, &rules)?, sizes, points));
        }
        if points == usize::MAX {
            return Err(Error::usage(
                format!(
                    "--points all with --engine {}: that is a replay each",
                    self.engine
                ),
                "give a number, or use --engine ideal",
            ));
        }
        let points = self.replays(trace, blocks, options, points)?;
        let lookups = blocks.lookups();
        Ok(CapacityCurve::replayed(&points, lookups, sizes))
    }

    fn points(&self, default: usize) -> Result<usize> {
        match self.points.as_deref() {
            None => Ok(default),
            Some("all") => Ok(usize::MAX),
            Some(text) => limits::POINTS.parse(text).map_err(|_| {
                Error::usage(
                    format!("--points {text}"),
                    format!("give a number {}, or `all`", limits::POINTS),
                )
            }),
        }
    }

    /// Replays the trace at several capacities, on all cores.
    fn replays(
        &self,
        trace: &Trace,
        blocks: &BlockTrace,
        options: &EngineOptions,
        points: usize,
    ) -> Result<Vec<Point>> {
        let capacities = capacities(blocks.distinct(), points);
        let done = AtomicU64::new(0);
        output::with_progress("replays", capacities.len() as u64, &done, || {
            capacities
                .par_iter()
                .map(|capacity| {
                    let options = EngineOptions {
                        capacity: Capacity::Blocks(*capacity),
                        ..options.clone()
                    };
                    let analysis = analyze(trace, blocks, &options)?;
                    done.fetch_add(1, Ordering::Relaxed);
                    Ok(Point {
                        capacity: *capacity,
                        hits: analysis.sum(|r| r.hits),
                        cached_tokens: analysis.sum(|r| r.cached_tokens),
                        block_hit_ratio: analysis.block_hit_ratio(),
                        token_hit_ratio: analysis.token_hit_ratio(),
                        mean_request_hit_ratio: analysis.mean_request_hit_ratio(),
                    })
                })
                .collect()
        })
    }
}
