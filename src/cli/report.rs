//! `replay report`

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use clap::Args;
use serde_json::json;

use super::compare::{SelectionArgs, SloArgs};
use super::output;
use crate::base::error::{Error, Result};
use crate::base::io::ShownPath;
use crate::report::render::html::Page;
use crate::report::studies::compare::{FoundRuns, animation, page};
use crate::report::studies::result_folder::ResultKind;

/// Arguments of `replay report`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page is one file and loads nothing from the network. What kind of results the folder holds follows from its files.

Examples:
  replay report output/results                        (runs of `simulate --results`, by policy)
  replay report output/results --animate growth.gif   (the same as the load grows)
  replay report output/sweep --output sweep.html      (of `sweep` or `curve`)
  replay report output/run                            (of one run of `simulate --output-dir`)
  replay report output/first                          (of `experiment` or `analyze`)")]
pub(super) struct ReportArgs {
    /// Folder of results
    folder: PathBuf,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    slo: SloArgs,

    /// Page to write [default: report.html in the folder; for runs: comparison/report.html in it]
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Write the comparison as the load grows into this GIF (runs of one scenario)
    #[arg(long, value_name = "FILE.gif", help_heading = "Output")]
    animate: Option<PathBuf>,
}

pub(super) fn run(args: &ReportArgs, json: bool) -> anyhow::Result<()> {
    let command = super::typed_command();
    let kind = ResultKind::of(&args.folder);
    let default = match kind {
        ResultKind::Other => args.folder.join("comparison").join("report.html"),
        _ => args.folder.join("report.html"),
    };
    let path = args.output.clone().unwrap_or(default);
    if kind != ResultKind::Other {
        if args.animate.is_some() {
            return Err(Error::usage(
                "--animate needs runs of several policies, but the folder has none",
                "give the results folder of `simulate --results`",
            )
            .into());
        }
        write(&path, || kind.page(&args.folder, &command))?;
        return wrote(json, &[&path]);
    }
    let selection = args.selection.selection()?;
    let found = FoundRuns::find(&args.folder, &selection)?.with_distributions();
    let study = super::compare::read(found, args.slo.reading(false))?;
    super::compare::tell(&study);
    let scenarios = study.scenarios();
    let pairs = super::compare::pairs(&scenarios);
    write(&path, || Ok(page::page(&study, &pairs, &command)))?;
    let mut written = vec![path.as_path()];
    if let Some(path) = &args.animate {
        let [scenario] = scenarios.as_slice() else {
            return Err(Error::usage(
                format!(
                    "--animate {} shows one scenario, but the folder has {}",
                    path.display(),
                    scenarios.len()
                ),
                "choose one with --traces, --cluster, --start-state, --scheduler or --model",
            )
            .into());
        };
        animation::write(scenario, path)?;
        written.push(path);
    }
    wrote(json, &written)
}

/// Builds and writes a page with a progress bar.
pub(super) fn write(path: &Path, page: impl FnOnce() -> Result<Page>) -> Result<()> {
    output::with_progress("pages written", 1, &AtomicU64::new(0), || {
        page()?.write(path)
    })
}

/// Reports the files that were written: as the result with JSON, as notes otherwise.
fn wrote(json: bool, paths: &[&Path]) -> anyhow::Result<()> {
    if json {
        let paths: Vec<_> = paths.iter().map(|path| ShownPath(path)).collect();
        let value = json!({"written": paths});
        return output::print(&serde_json::to_string_pretty(&value)?);
    }
    paths.iter().for_each(|path| output::wrote(path));
    Ok(())
}
