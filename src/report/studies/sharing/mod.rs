//! Prefix sharing: what `analyze` prints and writes, and what `experiment` shares with it.

mod analyzed;
pub(super) mod charts;
pub(super) mod csv_files;
pub(super) mod curves;
mod folder;
pub(super) mod page;
mod text;

pub use analyzed::AnalyzedTrace;
pub(super) use folder::read_page;
pub use folder::write;
pub use text::{text, value};
