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
                input_length: run.len() as u32 * 16,
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
