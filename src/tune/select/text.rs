//! The text of a selection, as `select_threshold.py` prints it.

use std::path::{Path, PathBuf};

use super::{RATIOS, Selection};

/// Formats a ratio as Python's `%.4f`.
fn fixed(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    format!("{value:.4}")
}

/// Formats a path as Python's `pathlib` does.
pub(super) fn python_path(path: &Path) -> String {
    let parts: PathBuf = path
        .components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect();
    let text = parts.display().to_string();
    if text.is_empty() {
        ".".to_owned()
    } else {
        text
    }
}

/// Formats the selection, byte for byte as the original script does.
pub fn text(selection: &Selection, root: &Path) -> String {
    let mut header = vec!["threshold", "runs"];
    header.extend(RATIOS);
    header.push("score");
    let rows: Vec<Vec<String>> = selection
        .rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.threshold.to_string(), row.runs.to_string()];
            cells.extend(row.ratios.iter().map(|ratio| fixed(*ratio)));
            cells.push(fixed(row.score));
            cells
        })
        .collect();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().map(|row| row[column].len());
            cells.fold(name.len(), usize::max)
        })
        .collect();
    let line = |cells: Vec<String>| cells.join("  ");
    let mut lines = vec![
        format!(
            "Found runs: {} (from {})",
            selection.runs,
            python_path(root)
        ),
        line(
            header
                .iter()
                .zip(&widths)
                .map(|(name, width)| format!("{name:<width$}"))
                .collect(),
        ),
    ];
    for row in &rows {
        lines.push(line(
            row.iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect(),
        ));
    }
    format!(
        "{}\n\nRecommended min_chunk_threshold = {}\n",
        lines.join("\n"),
        selection.best
    )
}
