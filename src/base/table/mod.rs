//! CSV tables: read by the names of their columns, written as whole files.
//!
//! Every reader of a CSV file goes through [`TableReader`], which hands out one row after the other; [`Columns`] keeps the
//! wanted columns of a whole file. [`CsvFile`] writes.

mod columns;
mod read;
mod write;

pub(crate) use columns::Columns;
pub(crate) use read::{Row, TableReader};
pub(crate) use write::{CsvFile, float};
