//! CSV tables: reading by column name, and writing as whole files.
//!
//! [`TableReader`] reads all CSV files, and [`CsvFile`] writes them.

mod cells;
mod read;
mod write;

pub(crate) use read::{ColumnNames, Row, TableReader};
pub(crate) use write::{CsvFile, float};
