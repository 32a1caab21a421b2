//! `replay report`

use std::path::PathBuf;

use clap::Args;

use super::compare::{SelectionArgs, SloArgs};
use super::output;
use crate::base::error::Error;
use crate::report::studies::compare::{PolicyComparison, animation, page, pairs};
use crate::report::studies::result_folder::ResultKind;

/// Arguments of `replay report`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page is one file and asks nothing of the network. What the folder holds is told by its files.

Examples:
  replay report output/results                        (runs of `simulate --results`, by policy)
  replay report output/results --animate growth.gif   (the same as the load grows)
  replay report output/sweep --output sweep.html      (of `sweep` or `curve`)
  replay report output/first                          (of `experiment` or `analyze`)")]
pub(super) struct ReportArgs {
    /// A folder of results
    folder: PathBuf,

    /// Where the page goes [default: report.html in the folder; runs: comparison/report.html in it]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    slo: SloArgs,

    /// Write the comparison as the load grows, as a GIF
    #[arg(long, value_name = "FILE.gif")]
    animate: Option<PathBuf>,

    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    output::set_threads(args.threads)?;
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
                "--animate of a folder without runs of policies",
                "give the folder that was `simulate --results`",
            )
            .into());
        }
        kind.page(&args.folder, &command)?.write(&path)?;
        return output::print(&format!("wrote {}", path.display()));
    }
    let selection = args.selection.selection()?;
    let study = PolicyComparison::read(&args.folder, &selection, args.slo.reading(false))?;
    super::compare::tell(&study);
    let scenarios = study.scenarios();
    let pairs: Vec<_> = scenarios.iter().map(pairs::pairs).collect();
    page::page(&study, &pairs, &command)?.write(&path)?;
    output::print(&format!("wrote {}", path.display()))?;
    if let Some(path) = &args.animate {
        let [scenario] = scenarios.as_slice() else {
            return Err(Error::usage(
                format!(
                    "--animate {}: there are {} scenarios",
                    path.display(),
                    scenarios.len()
                ),
                "choose one by --traces, --cluster, --start-state, --scheduler or --model",
            )
            .into());
        };
        animation::write(scenario, path)?;
        output::print(&format!("wrote {}", path.display()))?;
    }
    Ok(())
}
