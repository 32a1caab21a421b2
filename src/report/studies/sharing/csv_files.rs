//! `requests.csv` and `blocks.csv` of `analyze` and `experiment`.

use std::path::Path;

use super::AnalyzedTrace;
use crate::base::Result;
use crate::base::table::{CsvFile, float};

/// Writes `requests.csv`, one line per request.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::report::studies) fn requests(run: &AnalyzedTrace<'_>, path: &Path) -> Result<()> {
    let mut csv = CsvFile::create(
        path,
        &[
            "request_id",
            "total_tokens",
            "shared_tokens",
            "sharing_fraction",
            "blocks_accessed",
            "blocks_reused",
            "session_id",
            "turn",
            "arrival_time",
            "output_tokens",
            "new_blocks",
            "evicted_blocks",
            "rejected",
            "waited",
            "preempted",
            "allocated_blocks",
            "evicted_copies",
        ],
    )?;
    for (request, metrics) in run.trace.requests().iter().zip(&run.analysis.requests) {
        csv.row([
            request.id.to_string(),
            metrics.prompt_tokens.to_string(),
            metrics.cached_tokens.to_string(),
            float(metrics.sharing_fraction()),
            metrics.lookups.to_string(),
            metrics.hits.to_string(),
            run.trace.sessions()[request.session as usize].to_string(),
            request.turn.to_string(),
            request.arrival.to_string(),
            request.output_length.to_string(),
            metrics.new_blocks.to_string(),
            metrics.evicted.to_string(),
            metrics.rejected.to_string(),
            metrics.waited.unwrap_or_default().to_string(),
            metrics.preempted.to_string(),
            metrics.allocated_blocks.to_string(),
            metrics.evicted_copies.to_string(),
        ])?;
    }
    csv.finish()
}

/// Writes `blocks.csv`, one line per block that a prompt looked up, in order of first use.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::report::studies) fn blocks(run: &AnalyzedTrace<'_>, path: &Path) -> Result<()> {
    let mut columns = vec![
        "block_id",
        "hit_count",
        "first_access_time",
        "last_access_time",
        "avg_reuse_gap",
    ];
    if run.hashes.is_some() {
        columns.extend(["block_hash", "block_hash_int64"]);
    }
    let mut csv = CsvFile::create(path, &columns)?;
    for (id, block) in run.analysis.blocks.iter().enumerate() {
        let Some((first, last)) = run.analysis.access_times(block) else {
            continue;
        };
        let gaps = f64::from(block.accesses - 1);
        let average = if block.accesses > 1 {
            (last - first).as_secs_f64() / gaps
        } else {
            0.0
        };
        let mut row = vec![
            id.to_string(),
            block.accesses.to_string(),
            first.to_string(),
            last.to_string(),
            float(average),
        ];
        if let Some(hashes) = run.hashes {
            let hash = hashes[id];
            row.extend([hash.hex(), hash.low_64().to_string()]);
        }
        csv.row(row)?;
    }
    csv.finish()
}
