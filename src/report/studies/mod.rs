//! One module per kind of result: what `analyze`, `sweep`, `simulate`, `compare` and the others print and write.

pub mod answer;
pub mod compare;
pub mod course;
pub mod curve;
pub mod experiment;
pub mod pages;
pub mod pictures;
mod scaling;
pub mod sharing;
mod sharing_files;
mod sharing_page;
pub mod simulation;
pub mod splitwise;
pub mod study;
pub mod sweep;
pub mod tuning;
