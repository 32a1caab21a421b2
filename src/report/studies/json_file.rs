//! Reads results from JSON files to build pages.

use std::path::Path;

use serde_json::Value;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::report::render::html::Cell;
use crate::report::render::number::{percent, thousands};

/// Reads a JSON file.
///
/// # Errors
/// A file that cannot be read or is not JSON.
pub(super) fn read(path: &Path) -> Result<Value> {
    let bytes = Input::open(path)?.read_to_end()?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let at = Location::line(path, error.line() as u64);
        Error::input(
            at,
            format!("is not JSON: {error}"),
            "run the command that wrote it again",
        )
    })
}

/// Returns the list under a key, which must not be empty.
pub(super) fn entry<'a>(value: &'a Value, name: &str, path: &Path) -> Result<&'a Vec<Value>> {
    value[name]
        .as_array()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| {
            let problem = format!("has no list `{name}`");
            Error::input(
                Location::file(path),
                problem,
                "run the command that wrote it again",
            )
        })
}

/// Returns the distinct values under a key, in order of their first appearance.
pub(super) fn distinct(all: &[Value], name: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for value in all {
        let name = shown(&value[name]);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Formats a value as text.
pub(super) fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Formats a fraction as a cell.
pub(super) fn ratio_cell(value: &Value) -> Cell {
    let ratio = value.as_f64();
    Cell {
        text: ratio.map_or("-".into(), percent),
        value: ratio,
    }
}

/// Formats a number as a cell.
pub(super) fn number_cell(value: &Value) -> Cell {
    Cell {
        text: match (value.as_u64(), value.as_f64()) {
            (Some(whole), _) => thousands(whole),
            (None, Some(number)) => format!("{number:.4}"),
            _ => "-".into(),
        },
        value: value.as_f64(),
    }
}

/// The command that wrote the files, if it is recorded, and the current command.
pub(super) fn commands(made: &Value, command: &str) -> String {
    match made["command"].as_str() {
        Some(made) => format!("{made}\n{command}"),
        None => command.to_owned(),
    }
}

/// The answer in a file; empty if it has none.
pub(super) fn answer(value: &Value) -> String {
    value["answer"].as_str().unwrap_or_default().to_owned()
}
