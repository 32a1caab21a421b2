//! One module per kind of result: what `analyze`, `sweep`, `simulate`, `compare` and the others print and write.

pub mod answer;
pub mod compare;
pub mod curve;
pub mod experiment;
mod json_file;
pub mod result_folder;
pub mod sharing;
pub mod simulation;
pub mod splitwise;
pub mod study;
pub mod sweep;
pub mod tuning;

pub use experiment::course;
