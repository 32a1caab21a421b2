//! Runs by the rules of SplitwiseSim and Vidur: reading inputs, printing and writing results.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::SimulateArgs;
use crate::cli::{output, typed_command};
use crate::compat::{splitwise, vidur as vidur_files};
use crate::report::studies;
use crate::report::studies::simulation;
use crate::scenario::inputs::{RunInputs, TraceInput};
use crate::scenario::{ScenarioConfig, SplitwiseSetup, VidurSetup};

/// Simulates by SplitwiseSim's rules.
pub(super) fn splitwise(
    args: &SimulateArgs,
    config: &splitwise::Config,
    json: bool,
) -> anyhow::Result<()> {
    if args.print_config {
        return output::print(&ScenarioConfig::of_splitwise(config).to_toml());
    }
    let input = args.input()?;
    let setup = SplitwiseSetup::read(config, &input.trace, args.perf_model.as_deref())?;
    for seed in args.seeds(config.seed)? {
        let run = setup.run(seed)?;
        let mut figures = studies::splitwise::figures(&run.report, setup.table());
        figures["version"] = json!(crate::base::version::VERSION);
        figures["seed"] = json!(seed);
        figures["command"] = json!(typed_command());
        if let Some(folder) = args.folder(&input.trace, |trace| run.key(trace)) {
            let config = ScenarioConfig::of_splitwise(&run.config).to_toml();
            let source = TraceInput::new(&input.trace, None, None, None)?;
            let tables: Vec<PathBuf> = args.perf_model.iter().cloned().collect();
            RunInputs::of_files(&config, &tables, seed, source)?.record(&folder, |place| {
                studies::splitwise::write(&run.report, run.options, &figures, &config, place)
            })?;
            output::wrote(&folder);
        }
        if json {
            output::print(&serde_json::to_string_pretty(&figures)?)?;
        } else {
            output::print(&studies::splitwise::text(&run.report, setup.table()))?;
        }
    }
    Ok(())
}

/// Simulates by Vidur's rules, from Vidur's own configuration.
pub(super) fn vidur(args: &SimulateArgs, config: &Path, json: bool) -> anyhow::Result<()> {
    let setup = VidurSetup::read(config, args.vidur_tables.as_deref())?;
    let input = args.input()?;
    let trace = input.read(None, false)?.trace;
    let run = setup.run(&input.trace)?;
    if let Some(path) = &args.chrome_trace {
        simulation::chrome_trace(&run.records, path)?;
    }
    if let Some(folder) = args.folder(&input.trace, |trace| setup.key(trace)) {
        let files = simulation::RunFiles {
            trace: &trace,
            records: &run.records,
            scaling: None,
            serving: &run.serving,
            config: "",
            command: &typed_command(),
            seed: setup.config().seed,
        };
        let format = args.format.as_deref();
        let source = TraceInput::new(&input.trace, format, None, None)?;
        let named: Vec<PathBuf> = std::iter::once(config.to_path_buf())
            .chain(args.vidur_tables.iter().cloned())
            .collect();
        RunInputs::of_files("", &named, files.seed, source)?.record(&folder, |place| {
            vidur_files::write(place, &run.records, Some(setup.model_work()))?;
            simulation::write(&files, place)
        })?;
        output::wrote(&folder);
    }
    if json {
        return output::print(&serde_json::to_string_pretty(&simulation::value(
            &run.serving,
        )?)?);
    }
    output::print(&simulation::text(&run.serving))
}
