//! Vidur (Microsoft's LLM inference simulator): its configuration read as one of this program's clusters, and its metric
//! files.

mod config;
mod meter;
mod metric_files;
mod sketch;

pub use config::VidurConfig;
pub use metric_files::{ModelWork, write, write_ranked};
