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
use crate::cache::BlockTrace;
use crate::cache::curve::{Point, Rules, capacities, exact, sampled};
use crate::cache::engine::{Capacity, ENGINES, EngineOptions, hash_scheme};
use crate::metrics::analyze;
use crate::report::studies::curve::{self, Files, POINTS, Sizes, Study};
use crate::trace::Trace;

/// Arguments of `replay curve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Engines ideal and block are followed at every capacity in one pass; vllm and sglang, whose copies and partial blocks no
single pass can follow, are replayed at some capacities.

Examples:
  replay curve trace.jsonl.zst
  replay curve trace.jsonl.zst --block-size 16,64,256 --output-dir output/curve
  replay curve trace.jsonl.zst --engine vllm --points 24
  replay curve trace.jsonl.zst --sample 0.05
  replay curve mooncake.jsonl --points all --json | jq '.curves[0].knee_blocks'")]
pub(super) struct CurveArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Tokens per block, one or several [default: 16, or what the trace's hash ids stand for]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    block_size: Vec<u32>,

    /// Rules: ideal (longest resident prefix), block (every block for itself), vllm, sglang
    #[arg(long, default_value = "ideal", value_name = "NAME")]
    engine: String,

    #[command(flatten)]
    cache: CacheArgs,

    /// Capacities to write: a number, spread by magnitude, or `all` at which the hit ratio changes [default: 400, replayed 48]
    #[arg(long, value_name = "N|all")]
    points: Option<String>,

    /// Follow only this part of the sessions, and say how far the result may be off
    #[arg(long, value_name = "PART", conflicts_with = "points")]
    sample: Option<f64>,

    /// For --sample
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    /// Write curve.json, curve.csv and the picture there
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Capacities at which engines are replayed, unless more are asked for.
const REPLAYS: usize = 48;

pub(super) fn run(args: &CurveArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
    let options = args.cache.options(&args.engine)?;
    let bytes_per_token = args.cache.model()?.map(|model| model.bytes_per_token());
    let read = args.input.read(args.block_size.first().copied(), false)?;
    let sizes: Vec<Option<u32>> = if args.block_size.is_empty() {
        vec![None]
    } else {
        args.block_size.iter().copied().map(Some).collect()
    };
    let mut studies = Vec::new();
    for size in sizes {
        let blocks = BlockTrace::new(&read.trace, size, hash_scheme(&args.engine)?)?;
        let sizes = Sizes {
            block_size: blocks.block_size(),
            bytes_per_token,
        };
        studies.push(args.study(&read.trace, &blocks, &options, sizes)?);
    }
    let files = Files {
        studies: &studies,
        source: &args.input.trace.display().to_string(),
        settings: json!({"engine": args.engine, "policy": "lru", "cache_output": options.caches_output(),
            "order": format!("{:?}", options.order()), "sample": args.sample, "command": super::typed_command()}),
    };
    if let Some(folder) = &args.output_dir {
        files.write(folder)?;
    }
    if args.json {
        return output::print(&serde_json::to_string_pretty(&files.value())?);
    }
    output::print(&curve::text(&studies))?;
    if let Some(folder) = &args.output_dir {
        output::print(&format!("wrote {}", folder.display()))?;
    }
    Ok(())
}

impl CurveArgs {
    fn study(
        &self,
        trace: &Trace,
        blocks: &BlockTrace,
        options: &EngineOptions,
        sizes: Sizes,
    ) -> Result<Study> {
        let one_pass = ENGINES.find(&self.engine)?.is_block_cache();
        let points = self.points(if one_pass { POINTS } else { REPLAYS })?;
        if options.count_by_access {
            return Err(Error::usage(
                "--count access in a curve",
                "leave it away; `sweep` replays it",
            ));
        }
        let rules = Rules::new(options, blocks);
        if let Some(rate) = self.sample {
            if self.engine != "ideal" {
                return Err(Error::usage(
                    format!("--sample with --engine {}", self.engine),
                    "take --engine ideal",
                ));
            }
            let sample = sampled(blocks, &rules, rate, self.seed, POINTS)?;
            return Ok(Study::sampled(&sample, sizes));
        }
        if one_pass {
            return Ok(Study::exact(&exact(blocks, &rules)?, sizes, points));
        }
        if points == usize::MAX {
            return Err(Error::usage(
                format!(
                    "--points all with --engine {}: that is a replay each",
                    self.engine
                ),
                "give a number, or take --engine ideal",
            ));
        }
        let points = self.replays(trace, blocks, options, points)?;
        let lookups = blocks.lookups();
        Ok(Study::replayed(&points, lookups, sizes))
    }

    fn points(&self, default: usize) -> Result<usize> {
        match self.points.as_deref() {
            None => Ok(default),
            Some("all") => Ok(usize::MAX),
            Some(text) => text.parse().ok().filter(|n| *n >= 2).ok_or_else(|| {
                Error::usage(
                    format!("--points {text}"),
                    "give a number from 2 on, or `all`",
                )
            }),
        }
    }

    /// A replay at each of some capacities, on all cores.
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
