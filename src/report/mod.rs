//! Results for people and for programs.
//!
//! [`render`] turns values into text, tables, charts and pages; it knows nothing of what was measured. [`studies`] has one
//! module per kind of result and uses [`render`].

pub mod render;
pub mod studies;
