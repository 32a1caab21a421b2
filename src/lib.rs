//! An offline simulator of prefix caches and of prefill/decode serving of large language models. It computes from exact token
//! ids how many prompt tokens a prefix cache saves, and how a simulated cluster serves the remaining work, without a GPU.
//!
//! [`analyze`] replays a trace against a prefix cache:
//!
//! ```no_run
//! let trace = kvreplay::read_trace("trace.jsonl", &Default::default())?.trace;
//! let options = kvreplay::EngineOptions { capacity: kvreplay::Capacity::Blocks(10_000), ..Default::default() };
//! let analysis = kvreplay::analyze(&trace, &options)?;
//! println!("{:.1} % of the prompt tokens are cached", 100.0 * analysis.token_hit_ratio());
//! # Ok::<(), kvreplay::Error>(())
//! ```
//!
//! [`simulate`] serves a trace on a simulated cluster:
//!
//! ```no_run
//! let trace = kvreplay::read_trace("trace.jsonl", &Default::default())?.trace;
//! let scenario = kvreplay::Scenario::preset("llama-8b-pd-4-4")?.autoscaler("kpa").build()?;
//! let run = kvreplay::simulate(&scenario, &trace)?;
//! println!("{} requests finished", run.serving.finished);
//! # Ok::<(), kvreplay::Error>(())
//! ```
//!
//! The modules follow the flow of data. Each uses only the modules to its left:
//!
//! [`base`] -> [`dataset`] -> [`prompt`] -> [`trace`] -> [`cache`] -> [`sim`] -> [`autoscale`] -> [`metrics`] -> [`compat`] ->
//! [`scenario`] -> [`tune`] -> [`report`] -> `cli`

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
