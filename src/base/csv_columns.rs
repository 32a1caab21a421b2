//! Wanted columns of a CSV file, by name.

use std::path::Path;

use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;

/// A file's columns, in the order in which they were asked for.
pub(crate) struct Columns {
    /// Lines below the header.
    pub(crate) rows: usize,
    columns: Vec<Option<Column>>,
}

enum Column {
    Text(Vec<String>),
    Numbers(Vec<f64>),
}

impl Columns {
    /// Each wanted column goes by one of several names. One whose names begin with `text:` keeps its texts; of the others a
    /// cell that is no number is read as not a number. What the file has not is left out.
    pub(crate) fn read(path: &Path, wanted: &[&[&str]]) -> Result<Self> {
        let fault = |error: csv::Error| {
            let line = error.position().map_or(1, csv::Position::line);
            Error::input(
                Location::line(path, line),
                format!("is no CSV table: {error}"),
                "run it again, or remove the folder",
            )
        };
        let bytes = Input::open(path)?.read_to_end()?;
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.byte_headers().map_err(fault)?.clone();
        let place = |names: &&[&str]| {
            let matches = |column: &[u8]| {
                let plain = names.iter().map(|name| name.trim_start_matches("text:"));
                plain.into_iter().any(|name| name.as_bytes() == column)
            };
            header.iter().position(matches)
        };
        let places: Vec<Option<usize>> = wanted.iter().map(place).collect();
        let empty = |(names, place): (&&[&str], &Option<usize>)| {
            let text = names.iter().any(|name| name.starts_with("text:"));
            place.map(|_| {
                if text {
                    Column::Text(Vec::new())
                } else {
                    Column::Numbers(Vec::new())
                }
            })
        };
        let mut columns: Vec<Option<Column>> = wanted.iter().zip(&places).map(empty).collect();
        let mut rows = 0;
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(fault)? {
            rows += 1;
            for (column, place) in columns.iter_mut().zip(&places) {
                let (Some(column), Some(place)) = (column, place) else {
                    continue;
                };
                let cell = record.get(*place).unwrap_or_default();
                let text = std::str::from_utf8(cell);
                match column {
                    Column::Text(all) => all.push(text.unwrap_or_default().to_owned()),
                    Column::Numbers(all) => {
                        let number = text.ok().and_then(|text| text.parse().ok());
                        all.push(number.unwrap_or(f64::NAN));
                    }
                }
            }
        }
        Ok(Self { rows, columns })
    }

    /// Whether the file has a column.
    pub(crate) fn has(&self, column: usize) -> bool {
        self.columns[column].is_some()
    }

    /// A cell; not a number where there is none.
    pub(crate) fn number(&self, column: usize, row: usize) -> f64 {
        match &self.columns[column] {
            Some(Column::Numbers(all)) => all.get(row).copied().unwrap_or(f64::NAN),
            _ => f64::NAN,
        }
    }

    /// All of a column.
    pub(crate) fn numbers(&self, column: usize) -> &[f64] {
        match &self.columns[column] {
            Some(Column::Numbers(all)) => all,
            _ => &[],
        }
    }

    /// A cell's text.
    pub(crate) fn text(&self, column: usize, row: usize) -> &str {
        match &self.columns[column] {
            Some(Column::Text(all)) => all.get(row).map_or("", String::as_str),
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::csv_columns::*;

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
            panic!("a line that is too short was taken");
        };
        assert!(
            error.to_string().contains("a.csv:3: is no CSV table"),
            "{error}"
        );
    }
}
