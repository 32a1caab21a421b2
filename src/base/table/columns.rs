//! Reads the wanted columns of a whole CSV file into memory.

use std::path::Path;

use super::TableReader;
use crate::base::error::Result;
use crate::base::io::Input;

/// Columns of a file, in the order in which they were requested.
pub(crate) struct Columns {
    /// Rows below the header.
    pub(crate) rows: usize,
    columns: Vec<Option<Column>>,
}

enum Column {
    Text(Vec<String>),
    Numbers(Vec<f64>),
}

/// Marks a wanted column as one of text.
const TEXT: &str = "text:";

impl Columns {
    /// Reads columns, each under one of several names. A column whose names start with `text:` keeps its text; in all others a
    /// cell that is not a number becomes NaN. Columns that the file lacks are absent.
    ///
    /// # Errors
    /// A file that cannot be read, or has a row with more or fewer cells than the header.
    pub(crate) fn read(path: &Path, wanted: &[&[&str]]) -> Result<Self> {
        let plain = |names: &&[&str]| -> Vec<String> {
            let name = |name: &&str| name.trim_start_matches(TEXT).to_owned();
            names.iter().map(name).collect()
        };
        let plain: Vec<Vec<String>> = wanted.iter().map(plain).collect();
        let names: Vec<Vec<&str>> = plain
            .iter()
            .map(|names| names.iter().map(String::as_str).collect())
            .collect();
        let names: Vec<&[&str]> = names.iter().map(Vec::as_slice).collect();
        let mut table = TableReader::open(Input::open(path)?, &names, 0)?
            .with_full_rows()
            .with_remedy("run the command that wrote it again, or remove the folder");
        let column = |(place, names): (usize, &&[&str])| {
            let text = names.iter().any(|name| name.starts_with(TEXT));
            table.has(place).then(|| match text {
                true => Column::Text(Vec::new()),
                false => Column::Numbers(Vec::new()),
            })
        };
        let mut columns: Vec<Option<Column>> = wanted.iter().enumerate().map(column).collect();
        let mut rows = 0;
        while let Some(row) = table.next_row()? {
            rows += 1;
            for (place, column) in columns.iter_mut().enumerate() {
                let text = row.text(place).map_err(|fault| row.error(fault))?;
                match column {
                    None => {}
                    Some(Column::Text(all)) => all.push(text.to_owned()),
                    Some(Column::Numbers(all)) => all.push(text.parse().unwrap_or(f64::NAN)),
                }
            }
        }
        Ok(Self { rows, columns })
    }

    /// Whether the file has a column.
    pub(crate) fn has(&self, column: usize) -> bool {
        self.columns[column].is_some()
    }

    /// The number in a cell; NaN where there is none.
    pub(crate) fn number(&self, column: usize, row: usize) -> f64 {
        self.numbers(column).get(row).copied().unwrap_or(f64::NAN)
    }

    /// All numbers of a column; empty if the file lacks it.
    pub(crate) fn numbers(&self, column: usize) -> &[f64] {
        match &self.columns[column] {
            Some(Column::Numbers(all)) => all,
            _ => &[],
        }
    }

    /// The text of a cell; empty where there is none.
    pub(crate) fn text(&self, column: usize, row: usize) -> &str {
        match &self.columns[column] {
            Some(Column::Text(all)) => all.get(row).map_or("", String::as_str),
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::table::columns::*;

    #[test]
    fn columns_go_by_name_and_may_be_missing() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "pool,x,\"odd, name\"\np,1.5,a\n\"q,r\",,b\n").expect("writes");
        let table = Columns::read(&path, &[&["text:pool"], &["y", "x"], &["z"]]).expect("reads");
        assert_eq!((table.rows, table.text(1, 1)), (2, ""));
        assert_eq!(table.text(0, 1), "q,r");
        assert_eq!(table.number(1, 0), 1.5);
        assert!(table.number(1, 1).is_nan() && !table.has(2));
        std::fs::write(&path, "a,b\n1,2\n3\n").expect("writes");
        let Err(error) = Columns::read(&path, &[&["a"]]) else {
            panic!("a row that is too short was taken");
        };
        assert!(
            error
                .to_string()
                .contains("a.csv:3: has 1 cells, and the header has 2"),
            "{error}"
        );
    }
}
