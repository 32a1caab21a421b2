//! What a replay measured: sharing, block hits, reuse gaps, and how they are summarised.

mod analysis;
mod continuity;
mod distribution;
mod gaps;
mod groups;
mod histogram;
pub mod request_times;
mod serving;
mod slowdown;
pub mod statistics;
mod summary;

pub use analysis::{Analysis, Analyzer, BlockMetrics, RequestMetrics, analyze, analyze_with};
pub use continuity::Continuity;
pub use distribution::{Distribution, percentile_sorted};
pub use gaps::{Gap, Gaps};
pub use groups::{Group, Groups};
pub use histogram::{BLOCK_SECONDS, Histogram};
pub use serving::{Cost, PoolUse, Serving, Slo, Unfinished, alone, kept};
pub use slowdown::{SlowdownLimit, Slowdowns, Times, slowdowns};
pub use summary::{Settings, Summary};
