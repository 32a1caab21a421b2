//! Results as text, tables, charts, files and pages.
//!
//! [`render`] turns values into text, tables, charts and pages, without knowledge of what was measured. [`studies`] has one
//! module per kind of result and uses [`render`].

pub mod render;
pub mod studies;
