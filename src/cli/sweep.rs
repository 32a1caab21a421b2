//! `replay sweep`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::engine_args::CacheArgs;
use super::output;
use super::trace_input::TraceArgs;
use crate::base::error::{Error, Result};
use crate::cache::BlockTrace;
use crate::cache::capacity::{Asked, ModelConfig};
use crate::cache::curve::{Curve, Rules, exact};
use crate::cache::engine::{Capacity, ENGINES, EngineOptions, check_policy, hash_scheme};
use crate::cache::sweep::{Counts, on_curve};
use crate::report::studies::sweep::{self, Cell, Files};

/// Arguments of `replay sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every policy at every capacity and block size, on all cores; the trace is read once. With --output-dir, cells that are
finished there are not run again, so a sweep that was stopped goes on.

Examples:
  replay sweep trace.jsonl.zst
  replay sweep trace.jsonl.zst --policy lru,s3-fifo,arc --capacity 1%,5%,25%,inf --output-dir output/sweep
  replay sweep trace.jsonl.zst --block-size 8,16,32,64 --policy all --capacity 10GiB,40GiB --model llama-3-8b
  replay sweep trace.jsonl.zst --engine sglang --policy lru,lfu,slru")]
pub(super) struct SweepArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Tokens per block, one or several [default: 16, or what the trace's hash ids stand for]
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    block_size: Vec<u32>,

    /// Rules: ideal (longest resident prefix), block (every block for itself), sglang, vllm
    #[arg(long, default_value = "ideal", value_name = "NAME")]
    engine: String,

    /// Eviction policies, or all; the bounds stand first in the results
    #[arg(
        long,
        default_value = "all",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    policy: Vec<String>,

    /// Capacities: numbers of blocks, sizes as 40GiB (with --model), parts of the distinct blocks as 10%, inf
    #[arg(
        long,
        default_value = "1%,5%,10%,25%,50%,inf",
        value_name = "SIZES",
        value_delimiter = ','
    )]
    capacity: Vec<String>,

    #[command(flatten)]
    cache: CacheArgs,

    /// For policies that draw
    #[arg(long, default_value_t = 0, value_name = "N")]
    policy_seed: u64,

    /// Print as JSON
    #[arg(long)]
    json: bool,

    /// Write sweep.json, sweep.csv, a heat map and lines there, and keep finished cells
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// One block size with all that its cells share.
struct Sheet {
    blocks: BlockTrace,
    /// Made when a cell first asks for it; none where no pass can follow the engine, or ids name no prefixes.
    curve: OnceLock<Option<Curve>>,
    distinct_in_prompts: u32,
    fingerprint: u64,
}

impl Sheet {
    /// The curve, if it answers for these options. Its rules are the same for all cells of a sweep.
    fn curve_for(&self, options: &EngineOptions) -> Option<&Curve> {
        if !on_curve(options, self.blocks.distinct()) {
            return None;
        }
        let pass = || exact(&self.blocks, &Rules::new(options, &self.blocks)).ok();
        self.curve.get_or_init(pass).as_ref()
    }
}

/// What is to be done.
struct Task {
    sheet: usize,
    options: EngineOptions,
    asked: String,
    key: String,
}

pub(super) fn run(args: &SweepArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
    let policies = args.policies()?;
    let asked = args
        .capacity
        .iter()
        .map(|text| Ok((text.as_str(), Asked::parse(text)?)))
        .collect::<Result<Vec<_>>>()?;
    let base = EngineOptions {
        seed: args.policy_seed,
        ..args.cache.options(&args.engine)?
    };
    let model = args.cache.model()?;
    let sheets = args.sheets()?;
    let tasks = tasks(&sheets, &policies, &asked, &base, model.as_ref())?;
    let journal = Journal::open(args.output_dir.as_deref())?;
    let done = AtomicU64::new(0);
    let cells = output::with_progress("cells", tasks.len() as u64, &done, || {
        tasks
            .par_iter()
            .map(|task| {
                let cell = run_task(task, &sheets[task.sheet], &journal);
                done.fetch_add(1, Ordering::Relaxed);
                cell
            })
            .collect::<Result<Vec<Cell>>>()
    })?;
    let files = Files {
        cells: &cells,
        source: &args.input.trace.display().to_string(),
        settings: json!({"engine": args.engine, "cache_output": base.caches_output(),
            "order": format!("{:?}", base.order()), "policy_seed": args.policy_seed, "command": super::typed_command()}),
    };
    if let Some(folder) = &args.output_dir {
        files.write(folder)?;
    }
    if args.json {
        return output::print(&serde_json::to_string_pretty(&files.value())?);
    }
    output::print(&sweep::text(&cells))?;
    if let Some(folder) = &args.output_dir {
        let known = journal.reused();
        let note = if known > 0 {
            format!(" ({known} of {} cells were there already)", cells.len())
        } else {
            String::new()
        };
        output::print(&format!("wrote {}{note}", folder.display()))?;
    }
    Ok(())
}

impl SweepArgs {
    /// Those that are named, the bounds first, each once.
    fn policies(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for name in &self.policy {
            if name == "all" {
                let known = ENGINES.find(&self.engine)?.policies();
                names.extend(known.into_iter().map(str::to_owned));
            } else {
                check_policy(&self.engine, name)?;
                names.push(name.clone());
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names.sort_by_key(|name| !crate::cache::eviction::looks_ahead(name));
        Ok(names)
    }

    /// Reads the trace and cuts it at each block size.
    fn sheets(&self) -> Result<Vec<Sheet>> {
        let read = self.input.read(self.block_size.first().copied(), false)?;
        let sizes: Vec<Option<u32>> = if self.block_size.is_empty() {
            vec![None]
        } else {
            self.block_size.iter().copied().map(Some).collect()
        };
        let sheet = |size: Option<u32>| {
            let blocks = BlockTrace::new(&read.trace, size, hash_scheme(&self.engine)?)?;
            Ok(Sheet {
                curve: OnceLock::new(),
                distinct_in_prompts: blocks.distinct_in_prompts(),
                fingerprint: blocks.fingerprint(),
                blocks,
            })
        };
        sizes.into_par_iter().map(sheet).collect()
    }
}

fn tasks(
    sheets: &[Sheet],
    policies: &[String],
    asked: &[(&str, Asked)],
    base: &EngineOptions,
    model: Option<&ModelConfig>,
) -> Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for (number, sheet) in sheets.iter().enumerate() {
        let block_size = sheet.blocks.block_size();
        for policy in policies {
            for (text, capacity) in asked {
                let capacity = capacity.resolve(block_size, sheet.distinct_in_prompts, model)?;
                let options = EngineOptions {
                    policy: policy.clone(),
                    capacity,
                    ..base.clone()
                };
                let key = format!(
                    "{} {:016x} {block_size} {:?}",
                    crate::base::version::VERSION,
                    sheet.fingerprint,
                    options
                );
                tasks.push(Task {
                    sheet: number,
                    options,
                    asked: (*text).to_owned(),
                    key,
                });
            }
        }
    }
    Ok(tasks)
}

fn run_task(task: &Task, sheet: &Sheet, journal: &Journal) -> Result<Cell> {
    let counts = match journal.find(&task.key) {
        Some(counts) => counts,
        None => {
            let counts = match sheet.curve_for(&task.options) {
                Some(curve) => Counts::of_curve(curve, task.options.capacity),
                None => Counts::replay(&sheet.blocks, &task.options)?,
            };
            journal.add(&task.key, &counts)?;
            counts
        }
    };
    Ok(Cell {
        block_size: sheet.blocks.block_size(),
        policy: task.options.policy.clone(),
        capacity: task.asked.clone(),
        capacity_blocks: match task.options.capacity {
            Capacity::Unbounded => None,
            Capacity::Blocks(blocks) => Some(blocks),
        },
        counts,
    })
}

/// Finished cells, a line each, written as they finish.
struct Journal {
    known: BTreeMap<String, Counts>,
    reused: AtomicU64,
    file: Option<Mutex<std::fs::File>>,
    path: PathBuf,
}

impl Journal {
    fn open(folder: Option<&Path>) -> Result<Self> {
        let path = folder.map(|folder| folder.join("cells.jsonl"));
        let mut journal = Self {
            known: BTreeMap::new(),
            reused: AtomicU64::new(0),
            file: None,
            path: path.clone().unwrap_or_default(),
        };
        let (Some(folder), Some(path)) = (folder, path) else {
            return Ok(journal);
        };
        let fail = |source| Error::write(&path, source);
        std::fs::create_dir_all(folder).map_err(fail)?;
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(fail(error)),
        };
        for line in before.lines() {
            // A line that was cut off by a stop is a cell that is not finished.
            if let Ok((key, counts)) = serde_json::from_str::<(String, Counts)>(line) {
                journal.known.insert(key, counts);
            }
        }
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(fail)?;
        if !before.is_empty() && !before.ends_with('\n') {
            file.write_all(b"\n").map_err(fail)?;
        }
        journal.file = Some(Mutex::new(file));
        Ok(journal)
    }

    fn find(&self, key: &str) -> Option<Counts> {
        let counts = self.known.get(key)?.clone();
        self.reused.fetch_add(1, Ordering::Relaxed);
        Some(counts)
    }

    fn add(&self, key: &str, counts: &Counts) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let line = json!([key, counts]).to_string() + "\n";
        // A worker that panicked ends the sweep anyway.
        let mut file = file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(line.as_bytes())
            .map_err(|source| Error::write(&self.path, source))
    }

    fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }
}
