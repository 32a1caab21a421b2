//! Prefix sharing: the output of `analyze`, and the code that `experiment` shares with it.

mod analyzed;
pub(super) mod charts;
pub(super) mod csv_files;
pub(super) mod curves;
mod folder;
pub(super) mod page;
mod text;

pub use analyzed::AnalyzedTrace;
pub use folder::write;
pub(super) use folder::{read_page, trace_meta};
pub use text::{text, value};
