//! `replay`: how much of your chat traffic a prefix cache can save, measured offline.
//!
//! The folders follow the way of the data: [`dataset`] -> [`prompt`] -> [`trace`] -> [`cache`] -> [`metrics`] ->
//! [`report`]; [`sim`] stands beside `metrics` and serves traces on a simulated cluster, and [`tune`] chooses
//! parameters by what such runs measured. A module uses what stands left of it,
//! never what stands right of it.

pub mod autoscale;
pub mod base;
pub mod cache;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod compat;
pub mod dataset;
pub mod metrics;
pub mod prompt;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod trace;
pub mod tune;

pub use base::{Error, Result};
pub use cache::engine::{Capacity, EngineKind, EngineOptions};
pub use metrics::analyze_trace as analyze;
pub use scenario::{Scenario, simulate};
pub use trace::format::read_trace;
