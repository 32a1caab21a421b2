//! A grid of runs: every cluster with every policy, trace and seed. A cell that already has results of the same inputs is not
//! run again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::inputs::{RunInputs, TraceInput};
use super::layout::{self, RunKey};
use super::record::Present;
use super::{Run, RunOptions, Scenario};
use crate::base::error::{Error, Location, Result};
use crate::trace::format::{self, ReadOptions};
use crate::trace::{Trace, format::WriteOptions};

/// A trace file of the grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridTrace {
    /// The file.
    pub path: PathBuf,
    /// Name of the trace in results.
    pub name: String,
    /// Whether this program wrote the file, stretched to a rate; such a file is in the native format.
    pub stretched: bool,
}

/// How trace files of the grid are read, except stretched ones.
#[derive(Debug, Clone, Default)]
pub struct GridReading {
    /// Options of the reader.
    pub options: ReadOptions,
    /// The tokenizer of the options, as named by the user.
    pub tokenizer: Option<OsString>,
}

/// All runs of a matrix.
#[derive(Debug)]
pub struct Grid<'a> {
    /// The results folder.
    pub results: PathBuf,
    /// Clusters, each combined with one policy.
    pub scenarios: &'a [Scenario],
    /// Traces.
    pub traces: Vec<GridTrace>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// How traces are read.
    pub reading: GridReading,
    /// Whether cells with existing results are run again.
    pub force: bool,
}

/// One run of the grid.
#[derive(Debug, Clone)]
pub struct Cell<'a> {
    /// Index of the scenario in [`Grid::scenarios`].
    pub setting: usize,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Index of the trace in [`Grid::traces`].
    pub trace: usize,
    /// The seed.
    pub seed: u64,
    /// Folder of its results.
    pub folder: PathBuf,
}

/// Outcome of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CellResult {
    /// The cell was run, and its results are written. If there were results that could not be used, the reason.
    Completed(Option<String>),
    /// The cell already had results of the same inputs.
    UpToDate,
    /// The cell failed, for this reason.
    Failed(String),
}

/// The results of a cell, to be written: the cell, its trace and its run.
#[derive(Debug)]
pub struct FinishedCell<'a> {
    /// The cell.
    pub cell: &'a Cell<'a>,
    /// The simulated trace.
    pub trace: &'a Trace,
    /// The results of the simulation.
    pub run: &'a Run,
    /// Where to write; not yet the cell's folder, which is whole or not there.
    pub folder: &'a Path,
}

/// Function that writes the results of a cell.
pub type Save<'a> = &'a (dyn Fn(&FinishedCell<'_>) -> Result<()> + Sync);

impl<'a> Grid<'a> {
    /// Returns all cells, by trace, scenario and seed.
    ///
    /// # Errors
    /// [`Error::Usage`] if two cells would be written to the same folder.
    pub fn cells(&self) -> Result<Vec<Cell<'a>>> {
        let mut cells = Vec::new();
        for (trace, served) in self.traces.iter().enumerate() {
            for (setting, scenario) in self.scenarios.iter().enumerate() {
                for seed in &self.seeds {
                    cells.push(Cell {
                        setting,
                        scenario,
                        trace,
                        seed: *seed,
                        folder: RunKey::new(scenario, *seed, &served.name).path(&self.results),
                    });
                }
            }
        }
        let mut folders: Vec<&Path> = cells.iter().map(|cell| cell.folder.as_path()).collect();
        folders.sort_unstable();
        if let Some(twice) = folders.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::usage(
                format!("two cells would be written to {}", twice[0].display()),
                "give clusters that differ another `name`, policies that differ another `autoscaling.label`, and traces other file names",
            ));
        }
        Ok(cells)
    }

    /// Runs the cells in parallel and passes each result to `save`. `done` counts cells.
    pub fn run(&self, cells: &[Cell<'_>], save: Save<'_>, done: &AtomicU64) -> Vec<CellResult> {
        let by_trace: Vec<&[Cell<'_>]> = cells.chunk_by(|a, b| a.trace == b.trace).collect();
        by_trace
            .par_iter()
            .map(|cells| self.run_trace(cells, save, done))
            .flatten()
            .collect()
    }

    /// Runs all cells of one trace, which is read only if one of them has to be run.
    fn run_trace(&self, cells: &[Cell<'_>], save: Save<'_>, done: &AtomicU64) -> Vec<CellResult> {
        let Some(served) = cells.first().map(|cell| &self.traces[cell.trace]) else {
            return Vec::new();
        };
        let input = self.trace_input(served);
        let inputs: Vec<Result<RunInputs, String>> = cells
            .iter()
            .map(|cell| {
                let input = input.clone()?;
                RunInputs::new(cell.scenario.config(), cell.seed, input)
                    .map_err(|error| error.to_string())
            })
            .collect();
        let present: Vec<Present> = cells
            .iter()
            .zip(&inputs)
            .map(|(cell, inputs)| match inputs {
                Ok(inputs) if !self.force => inputs.present(&cell.folder),
                _ => Present::Nothing,
            })
            .collect();
        let trace = match present.iter().all(|present| *present == Present::Complete) {
            true => None,
            false => Some(self.read(served).map_err(|error| error.to_string())),
        };
        let run = |(index, cell): (usize, &Cell<'_>)| {
            let result = match (&present[index], &trace, &inputs[index]) {
                (Present::Complete, ..) | (_, None, _) => CellResult::UpToDate,
                (_, Some(Err(error)), _) | (.., Err(error)) => CellResult::Failed(error.clone()),
                (present, Some(Ok(trace)), Ok(inputs)) => {
                    match self.run_cell(cell, inputs, trace, save) {
                        Ok(true) => CellResult::Completed(match present {
                            Present::Other(why) => Some(why.clone()),
                            _ => None,
                        }),
                        Ok(false) => CellResult::UpToDate,
                        Err(error) => CellResult::Failed(error.to_string()),
                    }
                }
            };
            done.fetch_add(1, Ordering::Relaxed);
            result
        };
        cells.par_iter().enumerate().map(run).collect()
    }

    /// Runs a cell and writes its results; false if another process has written them meanwhile.
    fn run_cell(
        &self,
        cell: &Cell<'_>,
        inputs: &RunInputs,
        trace: &Trace,
        save: Save<'_>,
    ) -> Result<bool> {
        let run = cell
            .scenario
            .run_trace(trace, cell.seed, RunOptions::default())?;
        let write = |folder: &Path| {
            cell.scenario.config().keep_script(folder)?;
            save(&FinishedCell {
                cell,
                trace,
                run: &run,
                folder,
            })
        };
        match self.force {
            true => inputs.record(&cell.folder, write).map(|()| true),
            false => inputs.record_if_new(&cell.folder, write),
        }
    }

    fn trace_input(&self, served: &GridTrace) -> Result<TraceInput, String> {
        let input = if served.stretched {
            TraceInput::new(&served.path, None, None, None)
        } else {
            let GridReading { options, tokenizer } = &self.reading;
            TraceInput::new(
                &served.path,
                options.format.as_deref(),
                tokenizer.as_deref(),
                options.block_size,
            )
        };
        input.map_err(|error| error.to_string())
    }

    fn read(&self, served: &GridTrace) -> Result<Trace> {
        if served.stretched {
            let native = ReadOptions::default();
            return format::read_trace(&served.path, &native).map(|read| read.trace);
        }
        read(&served.path, &self.reading.options)
    }
}

/// Reads a trace and rejects one without requests.
fn read(path: &Path, options: &ReadOptions) -> Result<Trace> {
    let trace = format::read_trace(path, options)?.trace;
    if trace.requests().is_empty() {
        return Err(Error::input(
            Location::file(path),
            "has no requests",
            "give a trace with at least one request",
        ));
    }
    Ok(trace)
}

/// Returns the traces without changes.
pub fn traces(paths: &[PathBuf]) -> Vec<GridTrace> {
    let one = |path: &PathBuf| GridTrace {
        path: path.clone(),
        name: layout::trace_name(path),
        stretched: false,
    };
    paths.iter().map(one).collect()
}

/// Stretches traces to rates in requests per second; the files are below the results folder. They are
/// written only with `write`.
///
/// # Errors
/// A trace that cannot be read, or has no requests or no rate; a file that cannot be written.
pub fn stretched_traces(
    paths: &[PathBuf],
    rates: &[f64],
    reading: &ReadOptions,
    results: &Path,
    write: bool,
) -> Result<Vec<GridTrace>> {
    let mut found = Vec::new();
    for path in paths {
        let trace = read(path, reading)?;
        let Some(own) = trace.rate() else {
            return Err(Error::input(
                Location::file(path),
                "has fewer than two distinct arrival times, so it has no rate to change",
                "give a longer trace, or give no rates",
            ));
        };
        let name = layout::trace_name(path);
        for rate in rates {
            let name = format!("{}_{rate}", layout::family(&name));
            let path = layout::stretched_trace(results, &name);
            if write {
                let options = WriteOptions::default();
                let stretched = trace.stretched(own / rate)?;
                format::format("native")?.write(&stretched, &options, &path)?;
            }
            found.push(GridTrace {
                path,
                name,
                stretched: true,
            });
        }
    }
    Ok(found)
}
