//! `replay study`

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::Args;
use rayon::prelude::*;

use super::cluster_args::ClusterArgs;
use super::slo_args::SloArgs;
use super::trace_input::TraceArgs;
use super::{compare, output, path_list};
use crate::base::error::{Error, Result};
use crate::base::io::{NewFolder, write_file};
use crate::base::limits;
use crate::cli::ranges::number;
use crate::report::render::number::thousands;
use crate::report::studies::compare::{FoundRuns, Reading, RunSelection, page, text};
use crate::report::studies::{simulation, study as written};
use crate::scenario::inputs::{RunInputs, TraceInput};
use crate::scenario::layout::{RunKey, trace_name};
use crate::scenario::profiler::{Grid, measure};
use crate::scenario::{RunOptions, Scenario, ScenarioConfig};
use crate::sim::Role;
use crate::trace::Trace;
use crate::tune::study::{self, Choice, LoadTest, StudyOptions, Trial};

/// Arguments of `replay study`.
#[derive(Debug, Args)]
#[command(after_help = "\
A load test finds the highest constant request rate at which every split of --test-instances into prefill and decode meets the \
objectives; each rate is held until the number of requests in flight is stationary. It gives the best P/D ratio and the metrics at \
full load. Each policy is tuned by these, with some headroom, and simulated on the trace; the cheapest that meets the objectives is \
chosen. The choices are simulated again on the --validate traces, which they were not chosen by.

Examples:
  replay study trace.jsonl.zst --preset llama-8b-pd-4-4 --output-dir output/study
  replay study monday.jsonl.zst --config cluster.toml --validate tuesday.jsonl.zst -o output/study
  replay study trace.jsonl.zst --autoscaler heteroscale,sla,kpa --attainment 0.95 -o output/study")]
pub(super) struct StudyArgs {
    /// Trace file to choose by
    trace: PathBuf,

    /// Format of the traces [default: recognised from their content]
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    format: Option<String>,

    /// Tokenizer, needed where traces hold text: a built-in name, a tokenizer.json or a model folder
    #[arg(long, value_name = "NAME|PATH|DIR", help_heading = "Input")]
    tokenizer: Option<OsString>,

    #[command(flatten)]
    cluster: ClusterArgs,

    /// Autoscaling policies to try [default: all]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    autoscaler: Vec<String>,

    /// Further traces to validate the choices on
    #[arg(long, value_name = "FILE,..", help_heading = "Input")]
    validate: Vec<PathBuf>,

    #[command(flatten)]
    slo: SloArgs,

    /// Fraction (0..1) of the requests that must meet all objectives
    #[arg(
        long,
        value_name = "FRACTION",
        default_value_t = 0.99,
        help_heading = "Objectives", value_parser = number::<f64>(limits::SOME_FRACTION))]
    attainment: f64,

    /// Instances that the load test splits between prefill and decode
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        help_heading = "Load test", value_parser = number::<u32>(limits::TEST_INSTANCES))]
    test_instances: u32,

    /// Requests for which the load test holds a rate at first; longer until the queue is stationary, up to 32 times as many
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3000,
        help_heading = "Load test", value_parser = number::<usize>(limits::TEST_REQUESTS))]
    test_requests: usize,

    /// Seed of the runs
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Cluster", value_parser = number::<u64>(limits::ANY))]
    seed: u64,

    /// Write the study, each policy's configuration, the runs and their comparison into this folder
    #[arg(long, short, value_name = "DIR", help_heading = "Output")]
    output_dir: PathBuf,
}

pub(super) fn run(args: &StudyArgs, json: bool) -> anyhow::Result<()> {
    let mut config = args.cluster.read_accurate()?;
    args.slo.apply(&mut config);
    let trace = args.read(&args.trace)?;
    let prepared = config.prepare()?;
    let blocks = prepared.blocks(&trace)?;
    let workload = prepared.workload(&trace, blocks.as_ref());
    if args.test_requests < study::SHORTEST_HOLD {
        output::note(&format!(
            "--test-requests {}: the load test holds each rate for at least {} requests, which show whether queues grow",
            args.test_requests,
            thousands(study::SHORTEST_HOLD as u64)
        ));
    }
    let begun = NewFolder::begin(&args.output_dir)?;
    // The profile bounds the load test. The SLA planner uses it, too, on clusters with separate prefill and decode instances.
    let split = config.pool.iter().any(|pool| pool.role == Role::Prefill);
    let profile = args.output_dir.join("profile");
    let measured = measure(&config, &Grid::of(&workload))?;
    measured.write(&profile)?;
    let options = StudyOptions {
        load_test: LoadTest {
            requests: args.test_requests,
            attainment: args.attainment,
            instances: args.test_instances,
            seed: args.seed,
        },
        instances: Some(measured.profile),
        profile: split.then_some(profile),
        policies: match args.autoscaler.is_empty() {
            true => study::policies().into_iter().map(str::to_owned).collect(),
            false => args.autoscaler.clone(),
        },
    };
    let done = AtomicU64::new(0);
    let steps = study::steps(&config, &options);
    let found = output::with_progress("steps", steps, &done, || {
        study::study(&config, &workload, &options, &done)
    })?;
    let results = args.output_dir.join("results");
    let written_last = args.output_dir.join("study.json");
    if written_last.exists() {
        std::fs::remove_file(&written_last)
            .map_err(|source| Error::write(&written_last, source))?;
    }
    let mut validated = Vec::new();
    serve_all(
        args,
        &trace,
        &args.trace,
        &found.choices,
        &results,
        &prepared,
    )?;
    for path in &path_list::split(args.validate.iter().map(|path| path.as_os_str())) {
        let trace = args.read(path)?;
        let trials = serve_all(args, &trace, path, &found.choices, &results, &prepared)?;
        validated.push((trace_name(path), trials));
    }
    for choice in &found.choices {
        let name = format!("{}.toml", choice.trial.policy);
        let path = args.output_dir.join("tuned").join(name);
        write_file(path, choice.config.to_toml().as_bytes())?;
    }
    let command = super::typed_command();
    let paper = written::Paper {
        study: &found,
        validated: &validated,
        slo: &config.slo.objectives(),
        attainment: args.attainment,
        trace: &trace_name(&args.trace),
        cluster: &config.name,
        command: &command,
    };
    write_file(
        args.output_dir.join("study.md"),
        paper.markdown().as_bytes(),
    )?;
    let value = paper.json();
    let text = serde_json::to_string_pretty(&value)?;
    compare_all(&results, &args.output_dir, &command)?;
    // Written last: a folder with this file is complete.
    write_file(&written_last, text.as_bytes())?;
    begun.finish();
    output::result(json, || Ok(value), || paper.text())?;
    output::wrote(&args.output_dir);
    Ok(())
}

impl StudyArgs {
    /// The inputs that determine the run of a chosen setting on a trace.
    fn inputs(&self, path: &Path, config: &ScenarioConfig) -> Result<RunInputs> {
        let (format, tokenizer) = (self.format.as_deref(), self.tokenizer.as_deref());
        RunInputs::new(
            config,
            self.seed,
            TraceInput::new(path, format, tokenizer, None)?,
        )
    }

    fn read(&self, path: &Path) -> Result<Trace> {
        let input = TraceArgs {
            trace: path.to_path_buf(),
            format: self.format.clone(),
            tokenizer: self.tokenizer.clone(),
        };
        input.read_some(None)
    }
}

/// Runs every chosen setting on a trace, and writes the runs.
fn serve_all(
    args: &StudyArgs,
    trace: &Trace,
    path: &Path,
    choices: &[Choice],
    results: &Path,
    base: &Scenario,
) -> Result<Vec<Trial>> {
    let name = trace_name(path);
    choices
        .par_iter()
        .map(|choice| {
            let prepared = choice.config.prepare()?;
            let run = prepared.run_trace(trace, args.seed, RunOptions::default())?;
            // All policies use the path of one cluster, regardless of their initial sizes.
            let key = RunKey {
                policy: choice.trial.policy.clone(),
                ..RunKey::new(base, args.seed, &name)
            };
            let files = simulation::RunFiles {
                trace,
                records: &run.records,
                scaling: run.scaling.as_ref(),
                serving: &run.serving,
                config: &choice.config.to_toml(),
                command: &super::typed_command(),
                seed: args.seed,
            };
            let folder = key.path(results);
            let inputs = args.inputs(path, &choice.config)?;
            inputs.record(&folder, |place| {
                choice.config.keep_script(place)?;
                simulation::write(&files, place)
            })?;
            let (policy, setting) = (&choice.trial.policy, &choice.trial.setting);
            Ok(Trial::new(policy, setting, &run.serving))
        })
        .collect()
}

/// Writes tables, charts and the page of all runs.
fn compare_all(results: &Path, folder: &Path, command: &str) -> anyhow::Result<()> {
    let selection = RunSelection::default();
    let found = FoundRuns::find(results, &selection)?.with_distributions();
    let study = compare::read(found, Reading::default())?;
    compare::tell(&study);
    let pairs = compare::pairs(&study.scenarios());
    let value = text::json(&study, &pairs, command);
    compare::write(&study, &value, &folder.join("comparison"))?;
    super::report::write(&folder.join("report.html"), || {
        Ok(page::page(&study, &pairs, command))
    })?;
    Ok(())
}
