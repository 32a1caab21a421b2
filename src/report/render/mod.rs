//! How values become text, tables, charts and pages.

pub mod chart;
pub mod html;
pub mod number;
pub mod table;

pub use crate::base::shell;
