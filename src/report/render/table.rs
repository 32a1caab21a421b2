//! Tables for the terminal, made with `comfy-table`.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Formats a table: the first column is left-aligned text, all others are right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // Only the rules around the table and below the header are kept.
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let is_rule = |line: &str| line.chars().all(|c| c == '─');
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(index, line)| *index == 0 || *index + 1 == lines.len() || !is_rule(line));
    kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
}

/// Formats names and values in two aligned columns.
pub fn pairs(rows: &[(String, String)]) -> String {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    let lines: Vec<_> = rows
        .iter()
        .map(|(name, value)| format!("  {name:<width$}  {value}"))
        .collect();
    lines.join("\n")
}
