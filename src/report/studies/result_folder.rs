//! Detects the kind of results in a folder, and builds their page.

use std::path::Path;

use super::{curve, experiment, run, sharing, sweep};
use crate::base::error::{Error, Location, Result};
use crate::report::render::html::Page;

/// The command whose results a folder holds, as far as `report` supports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// Results of `sweep`.
    Sweep,
    /// Results of `curve`.
    Curve,
    /// Results of `experiment`.
    Experiment,
    /// Results of `analyze`.
    Analysis,
    /// One run of `simulate --output-dir`.
    Run,
    /// Anything else; `simulate --results` writes runs in subfolders.
    Other,
}

impl ResultKind {
    /// Detects the kind by file names.
    pub fn of(folder: &Path) -> Self {
        let has = |name: &str| folder.join(name).is_file();
        if has("sweep.json") {
            Self::Sweep
        } else if has("curve.json") {
            Self::Curve
        } else if has("multi_turn_request_metrics.csv") && has("summary.json") {
            Self::Experiment
        } else if has("requests.csv") && has("summary.json") {
            Self::Analysis
        } else if run::is_run(folder) {
            Self::Run
        } else {
            Self::Other
        }
    }

    /// Builds the page of a folder.
    ///
    /// # Errors
    /// Files with invalid content.
    pub fn page(self, folder: &Path, command: &str) -> Result<Page> {
        match self {
            Self::Sweep => sweep::read_page(folder, command),
            Self::Curve => curve::read_page(folder, command),
            Self::Experiment => experiment::read_page(folder),
            Self::Analysis => sharing::read_page(folder),
            Self::Run => run::read_page(folder, command),
            Self::Other => Err(Error::input(
                Location::file(folder),
                "has no results for which `report` can make a page",
                "give a folder of results that `experiment`, `analyze`, `sweep`, `curve` or `simulate` wrote",
            )),
        }
    }
}
