//! Reads runs: folders RUN/THRESHOLD/METRIC.csv.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Column, METRICS, ThresholdRun};
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::tune::python::{parse_float, parse_int};

/// Reads all runs below `root`; a threshold without all its files is left out, and so is a run without any threshold.
///
/// # Errors
/// A file without its column or without values in it, a value that is no number, or no data at all.
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

/// Folders in a folder, by name; none of a folder that does not exist.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| Error::read(root, source))?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::read(root, source))?;
        if entry.path().is_dir() {
            folders.push((
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            ));
        }
    }
    folders.sort();
    Ok(folders)
}

/// All columns of one threshold, or `None` where one's file is missing.
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

/// The values of a column, empty cells left out, as Python's `csv.DictReader` has them.
///
/// # Errors
/// A file that cannot be read, without the column, without values in it, or with one that is no number.
pub fn read_column(path: &Path, name: &str) -> Result<Column> {
    let bytes = Input::open(path)?.read_to_end()?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::input(Location::file(path), "is not UTF-8", "give a CSV file"))?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut rows = reader.records();
    let fail = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        Error::input(
            Location::line(path, line),
            error.to_string(),
            "repair the file",
        )
    };
    // A file that begins with an empty line has no columns.
    let header = if text.starts_with(['\n', '\r']) {
        None
    } else {
        rows.next().transpose().map_err(fail)?
    };
    let header = header.unwrap_or_default();
    // Of columns of the same name the last counts.
    let last = |name: &str| {
        let named = header
            .iter()
            .enumerate()
            .filter(|(_, column)| *column == name);
        named.map(|(at, _)| at).last()
    };
    let Some(at) = last(name) else {
        return Err(Error::input(
            Location::file(path),
            format!("has no column `{name}`"),
            "give the file as the metrics writer made it",
        ));
    };
    let id = last("Request Id");
    let mut column = Column::default();
    for row in rows {
        let row = row.map_err(fail)?;
        let Some(cell) = row.get(at).filter(|cell| !cell.is_empty()) else {
            continue;
        };
        let line = row.position().map_or(1, csv::Position::line);
        column.values.push(parse_float(cell).ok_or_else(|| {
            Error::input(
                Location::line(path, line),
                format!("`{cell}` in column `{name}` is no number"),
                "repair the file",
            )
        })?);
        if let Some(id) = id.and_then(|id| row.get(id)) {
            column.ids.push(id.to_owned());
        }
    }
    if column.values.is_empty() {
        return Err(Error::input(
            Location::file(path),
            format!("has no values in column `{name}`"),
            "leave out thresholds that were not measured",
        ));
    }
    if column.ids.len() != column.values.len() {
        column.ids.clear();
    }
    Ok(column)
}
