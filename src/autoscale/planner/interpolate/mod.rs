//! Performance models: latency and throughput of an instance at a load, interpolated between measurements.

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

/// Highest throughput of a decode instance within an ITL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Output tokens per second and GPU.
    pub throughput_per_gpu: f64,
    /// The ITL there, in milliseconds.
    pub itl_ms: f64,
    /// Fraction of the KV cache in use there; NaN for a model without a cache.
    pub kv_usage: f64,
    /// Whether the ITL can be met at all. If not, the other values are those of the lightest load.
    pub met: bool,
}

/// Predicts latency and throughput of an instance.
pub trait PerformanceModel: Send + std::fmt::Debug {
    /// TTFT of a prompt of this length without waiting, in milliseconds.
    fn ttft_ms(&mut self, isl: f64) -> f64;

    /// Prompt tokens per second and GPU.
    fn prefill_throughput(&mut self, isl: f64) -> f64;

    /// ITL in milliseconds, of `concurrency` requests with this mean context.
    fn itl_ms(&mut self, concurrency: f64, context: f64) -> f64;

    /// The highest load that meets an ITL.
    fn best_decode(&mut self, itl_ms: f64, context: f64) -> Best;

    /// Updates the model from measurements, if it learns.
    fn learn(&mut self, _isl: f64, _ttft_ms: f64) {}

    /// Number of queries so far outside the measured range, which were answered with the value at its edge.
    fn clamped(&self) -> u64 {
        0
    }
}

/// How the points of a profile are interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Interpolation {
    /// Monotone curves along each axis.
    Monotone,
    /// As Dynamo: splines, and a grid made of scattered points.
    Dynamo,
}

/// The model of a profile.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) if it has too few points for the kind of interpolation.
pub fn from_profile(profile: &Profile, kind: Interpolation) -> Result<Box<dyn PerformanceModel>> {
    Ok(match kind {
        Interpolation::Monotone => Box::new(Monotone::new(profile)),
        Interpolation::Dynamo => Box::new(DynamoGrid::new(profile)?),
    })
}

/// Clamps a value to a range; returns whether it was outside.
fn clamp(value: f64, (low, high): (f64, f64)) -> (f64, bool) {
    // A small excess is rounding.
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
