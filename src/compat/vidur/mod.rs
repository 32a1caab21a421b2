//! Vidur (Microsoft's LLM inference simulator): reads its configuration as a scenario of this program, and writes its
//! metric files.

mod config;
mod meter;
mod metric_files;
mod sketch;

pub use config::VidurConfig;
pub use metric_files::{ModelWork, write, write_ranked};
