//! Results for people and for programs: tables, JSON, CSV, pictures, a page.

pub mod number;
pub mod sharing;
pub mod table;
pub mod tables;
