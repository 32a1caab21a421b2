//! How values become text, tables, charts and pages.

pub mod chart;
pub mod html;
pub mod number;
pub mod shell;
pub mod table;
