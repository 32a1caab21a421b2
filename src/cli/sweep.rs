//! `replay sweep`

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use clap::Args;
use rayon::prelude::*;
use serde_json::json;

use super::engine_args::{CacheArgs, EvictionSeedArgs};
use super::output;
use super::trace_input::TraceArgs;
use crate::base::error::{Error, Result};
use crate::base::io::open_journal;
use crate::cache::BlockTrace;
use crate::cache::capacity::{Asked, ModelConfig};
use crate::cache::curve::{Curve, Rules, exact};
use crate::cache::engine::{Capacity, ENGINES, EngineOptions, check_policy, hash_scheme};
use crate::cache::sweep::{Counts, on_curve};
use crate::report::studies::sweep::{self, SweepCell, SweepFiles};

/// Arguments of `replay sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs every combination on all cores; the trace is read once. With --output-dir, combinations that are finished there are not run \
again, so a sweep that was stopped goes on where it stood.

Examples:
  replay sweep trace.jsonl.zst --engine ideal
  replay sweep trace.jsonl.zst --engine ideal --eviction lru,s3-fifo,arc --capacity 10% -o output/sweep
  replay sweep trace.jsonl.zst --block-size 8,16,32,64 --capacity 10GiB,40GiB --model llama-3-8b
  replay sweep trace.jsonl.zst --engine sglang --eviction lru,lfu,slru

Policies and their sources: docs/eviction-policies.md.")]
pub(super) struct SweepArgs {
    #[command(flatten)]
    input: TraceArgs,

    /// Tokens per block, one or several [default: 16, or the block size of the trace's hash ids]
    #[arg(
        long,
        value_name = "TOKENS",
        value_delimiter = ',',
        help_heading = "Cache"
    )]
    block_size: Vec<u32>,

    /// Rules to cache by: vllm (its own eviction policy only), sglang (six policies), ideal (longest cached prefix; every policy)
    /// or block (each block on its own; every policy)
    #[arg(
        long,
        default_value = "vllm",
        value_name = "NAME",
        help_heading = "Cache"
    )]
    engine: String,

    /// Eviction policies, or all that the engine has; those that know the future come first in the results
    #[arg(
        long,
        default_value = "all",
        value_name = "NAME,..",
        value_delimiter = ',',
        help_heading = "Cache"
    )]
    eviction: Vec<String>,

    /// Capacities: numbers of blocks, sizes such as 40GiB (need --model), percentages of the distinct blocks such as 10%, or inf
    #[arg(
        long,
        default_value = "1%,5%,10%,25%,50%,inf",
        value_name = "SIZE,..",
        value_delimiter = ',',
        help_heading = "Cache"
    )]
    capacity: Vec<String>,

    #[command(flatten)]
    seed: EvictionSeedArgs,

    #[command(flatten)]
    cache: CacheArgs,

    /// Write sweep.json, sweep.csv, a heat map and a chart into this folder, and keep finished combinations there
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,
}

/// The trace at one block size, with the data that its cells share.
struct Sheet {
    blocks: BlockTrace,
    /// Computed when a cell first needs it; `None` if one pass cannot reproduce the engine, or if ids do not identify prefixes.
    curve: OnceLock<Option<Curve>>,
    distinct_in_prompts: u32,
    fingerprint: u64,
}

impl Sheet {
    /// The curve, if it gives the result for these options. Its rules are the same for all cells of a sweep.
    fn curve_for(&self, options: &EngineOptions) -> Option<&Curve> {
        if !on_curve(options, self.blocks.distinct()) {
            return None;
        }
        let pass = || exact(&self.blocks, &Rules::new(options, &self.blocks)).ok();
        self.curve.get_or_init(pass).as_ref()
    }
}

/// A cell that is to be computed.
struct Task {
    sheet: usize,
    options: EngineOptions,
    asked: String,
    key: String,
}

pub(super) fn run(args: &SweepArgs, json: bool) -> anyhow::Result<()> {
    let policies = args.policies()?;
    let asked = args
        .capacity
        .iter()
        .map(|text| Ok((text.as_str(), Asked::parse(text)?)))
        .collect::<Result<Vec<_>>>()?;
    let base = EngineOptions {
        seed: args.seed.seed,
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
            .collect::<Result<Vec<SweepCell>>>()
    })?;
    let files = SweepFiles {
        cells: &cells,
        engine: &args.engine,
        source: &args.input.trace.display().to_string(),
        settings: json!({"engine": args.engine, "cache_output": base.caches_output(),
            "order": format!("{:?}", base.order()), "policy_seed": args.seed.seed, "command": super::typed_command()}),
    };
    if let Some(folder) = &args.output_dir {
        files.write(folder)?;
    }
    output::result(
        json,
        || Ok(files.value()),
        || sweep::text(&cells, &args.engine),
    )?;
    if let Some(folder) = &args.output_dir {
        output::wrote(folder);
        let known = journal.reused();
        if known > 0 {
            let all = cells.len();
            output::note(&format!(
                "{known} of {all} combinations were finished there already"
            ));
        }
    }
    Ok(())
}

impl SweepArgs {
    /// The named policies without duplicates; policies that know the future come first.
    fn policies(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for name in &self.eviction {
            if name == "all" {
                let known = ENGINES.find(&self.engine)?.policies();
                if let [only] = known.as_slice() {
                    let more = |engine: &str| -> Result<usize> {
                        Ok(ENGINES.find(engine)?.policies().len())
                    };
                    output::note(&format!(
                        "note: engine {} has one eviction policy, {only}; --engine sglang tries {} of them, --engine ideal {}",
                        self.engine,
                        more("sglang")?,
                        more("ideal")?
                    ));
                }
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

    /// Reads the trace and splits it at each block size.
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

fn run_task(task: &Task, sheet: &Sheet, journal: &Journal) -> Result<SweepCell> {
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
    Ok(SweepCell {
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

/// The file of finished cells, to which a line is appended as each cell finishes.
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
            // A line that is truncated because the program was stopped is a cell that is not finished.
            if let Ok((key, counts)) = serde_json::from_str::<(String, Counts)>(line) {
                journal.known.insert(key, counts);
            }
        }
        let mut file = open_journal(&path)?;
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
        // A worker that panicked ends the sweep in any case.
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
