//! Figures of a replay (sharing, block hits, reuse gaps) and of a simulated cluster, and their statistics.

mod analysis;
#[cfg(test)]
mod books_tests;
mod continuity;
mod gaps;
mod groups;
mod histogram;
#[cfg(test)]
mod replay_tests;
pub mod serving;
pub mod statistics;
mod summary;

pub use analysis::{
    Analysis, Analyzer, BlockMetrics, RequestMetrics, analyze, analyze_trace, analyze_with,
};
pub use continuity::Continuity;
pub use gaps::{Gap, Gaps};
pub use groups::{Group, Groups};
pub use histogram::{BLOCK_SECONDS, Histogram};
pub use serving::{
    Cost, PoolUse, RequestRow, Serving, Slo, SlowdownLimit, Slowdowns, Unfinished, alone, slowdowns,
};
pub use summary::{Settings, Summary};
