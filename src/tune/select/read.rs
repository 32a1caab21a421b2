//! Reads runs from folders RUN/THRESHOLD/METRIC.csv.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Column, METRICS, ThresholdRun};
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::base::table::TableReader;
use crate::tune::python::{parse_float, parse_int};

/// Reads all runs below `root`. A threshold with a missing file is skipped, and so is a run without any threshold.
///
/// # Errors
/// A file that lacks its column or has no values in it, a value that is not a number, or a root without any data.
pub fn read_runs(root: &Path) -> Result<Vec<ThresholdRun>> {
    let mut runs = Vec::new();
    for (name, folder) in folders(root)? {
        let mut thresholds = BTreeMap::new();
        for (name, folder) in folders(&folder)? {
            if let Some(threshold) = parse_int(&name)
                && let Some(columns) = read_columns(&folder)?
            {
                thresholds.insert(threshold, columns);
            }
        }
        if !thresholds.is_empty() {
            runs.push(ThresholdRun { name, thresholds });
        }
    }
    if runs.is_empty() {
        return Err(Error::input(
            Location::file(root),
            "holds no data of any threshold",
            "name the folder above the runs: RUN/THRESHOLD/request_execution_time.csv and so on",
        ));
    }
    Ok(runs)
}

/// Subfolders of a folder, sorted by name; empty for a folder that does not exist.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| Error::read(root, source))?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::read(root, source))?;
        // Hidden folders are not finished yet.
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.path().is_dir() {
            folders.push((
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            ));
        }
    }
    folders.sort();
    Ok(folders)
}

/// All metrics of one threshold; `None` if a file is missing.
fn read_columns(folder: &Path) -> Result<Option<[Column; 5]>> {
    let mut columns: [Column; 5] = Default::default();
    for (column, metric) in columns.iter_mut().zip(METRICS) {
        let path = folder.join(format!("{metric}.csv"));
        if !path.exists() {
            return Ok(None);
        }
        *column = read_column(&path, metric)?;
    }
    Ok(Some(columns))
}

/// The values of a column without empty cells, as Python's `csv.DictReader` reads them.
///
/// # Errors
/// A file that cannot be read, lacks the column, has no values in it, or has a value that is not a number.
pub fn read_column(path: &Path, name: &str) -> Result<Column> {
    let mut input = Input::open(path)?;
    // Python treats an empty first line as a header without columns; the table reader would skip it.
    let headless = input.peek()?.starts_with(b"\n") || input.peek()?.starts_with(b"\r");
    let by_place: [&str; 0] = [];
    let table = TableReader::open(input, &by_place, 0)?.with_remedy("repair the file");
    // Among columns of the same name the last one applies, as in a Python dictionary.
    let last = |name: &str| table.header().iter().rposition(|column| column == name);
    let Some(at) = last(name).filter(|_| !headless) else {
        return Err(Error::input(
            Location::file(path),
            format!("has no column `{name}`"),
            "give an unmodified file of the metrics writer",
        ));
    };
    let id = last("Request Id");
    let mut column = Column::default();
    table.each_row(|row| {
        let Some(cell) = row.cell(at).filter(|cell| !cell.is_empty()) else {
            return Ok(());
        };
        let number = parse_float(&cell)
            .ok_or_else(|| row.fault(format!("`{cell}` in column `{name}` is no number")))?;
        column.values.push(number);
        column
            .ids
            .extend(id.and_then(|id| row.cell(id)).map(Cow::into_owned));
        Ok(())
    })?;
    if column.values.is_empty() {
        return Err(Error::input(
            Location::file(path),
            format!("has no values in column `{name}`"),
            "remove the folders of thresholds that were not measured",
        ));
    }
    if column.ids.len() != column.values.len() {
        column.ids.clear();
    }
    Ok(column)
}
