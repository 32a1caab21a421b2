//! Turns values into text, tables, charts and pages, without knowledge of what was measured.

pub mod chart;
pub mod html;
pub mod number;
pub mod table;

pub use crate::base::shell;
