//! Files for the course project's notebooks: the same names and columns, followed by additional columns.

use std::path::Path;

use serde_json::{Value, json};

use crate::base::error::Result;
use crate::base::io::write_json;
use crate::report::studies::sharing::AnalyzedTrace;
use crate::report::studies::sharing::csv_files;

/// Figures published by the course project, for the first 100 records of ShareGPT_V3 and blocks of 16 characters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// Mean sharing fraction.
    pub mean: f64,
    /// Median sharing fraction.
    pub median: f64,
    /// Block look-ups that hit, divided by all look-ups.
    pub reuse_rate: f64,
    /// Mean accesses per block.
    pub mean_hits: f64,
    /// Maximum number of accesses of a block.
    pub max_hits: u32,
}

/// Figures for one request per conversation.
pub const SINGLE: Published = Published {
    mean: 0.0511,
    median: 0.0201,
    reuse_rate: 0.0342,
    mean_hits: 1.04,
    max_hits: 10,
};
/// Figures for one request per turn.
pub const MULTI: Published = Published {
    mean: 0.4059,
    median: 0.4189,
    reuse_rate: 0.5795,
    mean_hits: 2.38,
    max_hits: 25,
};

/// `{mode}_turn_stats.json`
pub fn stats(run: &AnalyzedTrace<'_>) -> Value {
    let analysis = run.analysis;
    let sharing = analysis.sharing_fractions();
    let accesses: Vec<f64> = analysis
        .blocks
        .iter()
        .filter(|block| block.accesses > 0)
        .map(|block| f64::from(block.accesses))
        .collect();
    // Gaps are stored as pairs of value and count; the file lists each gap separately.
    let gaps: Vec<f64> = analysis
        .gaps
        .samples()
        .iter()
        .flat_map(|gap| std::iter::repeat_n(gap.time.as_secs_f64(), gap.weight as usize))
        .take(MOST_LISTED)
        .collect();
    json!({
        "total_requests": analysis.requests.len(),
        "total_blocks_allocated": analysis.distinct_blocks(),
        "total_blocks_reused": analysis.sum(|request| request.hits),
        "unique_blocks": analysis.distinct_blocks(),
        "sharing_fraction": spread(&sharing, |value| json!(value)),
        "block_hits": spread(&accesses, |value| json!(value as u64)),
        "reuse_gaps": spread(&gaps, |value| json!(value)),
    })
}

/// The median as the course project computed it: for an even number of values, the upper of the two middle ones.
pub fn upper_median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Maximum number of values that a file lists; a longer list would be too large to use.
const MOST_LISTED: usize = 2_000_000;

fn spread(values: &[f64], show: impl Fn(f64) -> Value) -> Value {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mean = if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    };
    json!({
        "mean": mean,
        "median": show(upper_median(&sorted)),
        "min": show(sorted.first().copied().unwrap_or_default()),
        "max": show(sorted.last().copied().unwrap_or_default()),
        "distribution": values.iter().take(MOST_LISTED).map(|value| show(*value)).collect::<Vec<_>>(),
    })
}

/// Writes `{prefix}_stats.json`, `{prefix}_request_metrics.csv` and `{prefix}_block_metrics.csv`.
///
/// # Errors
/// A file that cannot be written.
pub fn write(run: &AnalyzedTrace<'_>, folder: &Path, prefix: &str) -> Result<()> {
    write_json(folder.join(format!("{prefix}_stats.json")), &stats(run))?;
    csv_files::requests(run, &folder.join(format!("{prefix}_request_metrics.csv")))?;
    csv_files::blocks(run, &folder.join(format!("{prefix}_block_metrics.csv")))
}
