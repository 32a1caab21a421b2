//! Results for people and for programs: tables, JSON, CSV, pictures, a page.

pub mod chart;
pub mod compare;
pub mod course;
mod csv_columns;
pub mod curve;
pub mod experiment;
pub mod html;
pub mod number;
pub mod pages;
pub mod pictures;
mod scaling;
pub mod sharing;
pub mod shell;
pub mod simulation;
pub mod splitwise;
pub mod study;
pub mod sweep;
pub mod table;
pub mod tables;
pub mod tuning;
pub mod vidur;
