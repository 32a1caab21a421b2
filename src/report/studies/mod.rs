//! One module per kind of result: the output of `analyze`, `sweep`, `simulate`, `compare` and other commands.

pub mod answer;
pub mod compare;
pub mod curve;
pub mod experiment;
mod json_file;
pub mod result_folder;
mod run;
pub mod sharing;
pub mod simulation;
pub mod splitwise;
pub mod study;
pub mod sweep;
pub mod tuning;

pub use experiment::course;
