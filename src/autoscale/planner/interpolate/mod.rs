//! What an instance can do at a load: latencies and throughputs between the measured points.

mod clough_tocher;
mod cubic;
mod dynamo;
mod heuristic;
mod monotone;
mod pchip;

use super::profile::Profile;
use crate::base::error::Result;

pub use dynamo::DynamoGrid;
pub use heuristic::Heuristic;
pub use monotone::Monotone;

/// The most that a decode instance gives within a time between tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Output tokens per second and GPU.
    pub throughput_per_gpu: f64,
    /// The time between tokens there, in milliseconds.
    pub itl_ms: f64,
    /// The share of the KV cache in use there; NaN for a model without a cache.
    pub kv_usage: f64,
    /// Whether the time between tokens can be kept at all. If not, this is the lightest load.
    pub met: bool,
}

/// Foretells an instance's latency and throughput.
pub trait PerformanceModel: Send + std::fmt::Debug {
    /// Time to first token of a prompt of so many tokens that waits for nobody, in milliseconds.
    fn ttft_ms(&mut self, isl: f64) -> f64;

    /// Prompt tokens per second and GPU.
    fn prefill_throughput(&mut self, isl: f64) -> f64;

    /// Time between tokens, in milliseconds, of `concurrency` requests with so much context each.
    fn itl_ms(&mut self, concurrency: f64, context: f64) -> f64;

    /// The highest load that keeps a time between tokens.
    fn best_decode(&mut self, itl_ms: f64, context: f64) -> Best;

    /// Learns from what was measured, if it is a model that learns.
    fn learn(&mut self, _isl: f64, _ttft_ms: f64) {}

    /// Questions so far that lay outside of what was measured, and were answered with the edge.
    fn clamped(&self) -> u64 {
        0
    }
}

/// How to go between the points of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Interpolation {
    /// Monotone curves along each axis.
    Monotone,
    /// As Dynamo: splines, and a grid made of scattered points.
    Dynamo,
}

/// A model of a profile.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) where it has too few points for the kind of interpolation.
pub fn from_profile(profile: &Profile, kind: Interpolation) -> Result<Box<dyn PerformanceModel>> {
    Ok(match kind {
        Interpolation::Monotone => Box::new(Monotone::new(profile)),
        Interpolation::Dynamo => Box::new(DynamoGrid::new(profile)?),
    })
}

/// A value moved into a range, and whether it had to be.
fn clamp(value: f64, (low, high): (f64, f64)) -> (f64, bool) {
    // A little beyond is rounding.
    let room = 1e-9 * (1.0 + high.abs());
    let inside = value >= low - room && value <= high + room;
    (
        if value.is_nan() {
            low
        } else {
            value.clamp(low, high)
        },
        !inside,
    )
}
