//! Small traces for the tests of this folder.

use super::{BlockTrace, HashScheme};
use crate::trace::{Content, Nanos, NewRequest, Trace, TraceBuilder, TraceMeta};

/// A trace of hash ids, one request a second, each its own session.
pub(crate) fn trace_of(runs: &[&[u32]]) -> Trace {
    let mut builder = TraceBuilder::new(Content::HashIds { block_size: 16 });
    for (index, run) in runs.iter().enumerate() {
        let id = index.to_string();
        builder
            .push(NewRequest {
                id: &id,
                session: &id,
                turn: 0,
                arrival: Nanos(index as u64 * 1_000_000_000),
                // Every third prompt ends within its last block.
                input_length: run.len() as u32 * 16 - if index % 3 == 0 { 5 } else { 0 },
                output_length: 1,
                shared: 0,
                fresh: run,
                output: &[],
                extra: None,
            })
            .expect("fits");
    }
    builder.finish(TraceMeta::default()).expect("is whole")
}

/// The same as blocks.
pub(crate) fn blocks_of(runs: &[&[u32]]) -> BlockTrace {
    BlockTrace::new(&trace_of(runs), None, HashScheme::ChainedPartial).expect("has blocks")
}

/// Runs along paths of a tree: equal prefixes have equal ids.
pub(crate) fn paths(choices: &[Vec<u8>]) -> Vec<Vec<u32>> {
    let mut known: Vec<&[u8]> = Vec::new();
    let mut runs = Vec::new();
    for path in choices {
        let mut run = Vec::new();
        for length in 1..=path.len() {
            let prefix = &path[..length];
            let id = known.iter().position(|other| *other == prefix);
            run.push(id.unwrap_or_else(|| {
                known.push(prefix);
                known.len() - 1
            }) as u32);
        }
        runs.push(run);
    }
    runs
}
