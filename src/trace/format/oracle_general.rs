//! libCacheSim's `oracleGeneral`: 24-byte little-endian records of block accesses.
//!
//! Defined by `traceReader/customizedReader/oracle/oracleGeneralBin.h` and `bin/traceUtils/traceConvOracleGeneral.cpp` of
//! 1a1a11a/libCacheSim: `u32 clock_time` (s), `u64 obj_id`, `u32 obj_size`, `i64 next_access_vtime`, packed. The last field is
//! the one-based position of the object's next access, or -1. Every size is 1, so that cache sizes count blocks. Caffeine's
//! simulator reads the same format. It is written but not read.

use std::path::Path;

use crate::base::error::Result;
use crate::base::registry::Card;
use crate::trace::Trace;

use super::blocks::BlockIds;
use super::{TraceFormat, WriteOptions, WriteReport, bytes};

/// Default tokens per block, the same as vLLM's.
const BLOCK_SIZE: u32 = 16;

/// Writer of the trace format `oracle-general`.
pub(super) struct OracleGeneral;

impl TraceFormat for OracleGeneral {
    fn card(&self) -> &'static Card {
        const CARD: Card = Card::new(
            "oracle-general",
            "libCacheSim's binary records of block accesses (write only)",
        );
        &CARD
    }

    fn readable(&self) -> bool {
        false
    }

    fn write(&self, trace: &Trace, options: &WriteOptions<'_>, path: &Path) -> Result<WriteReport> {
        let mut blocks = BlockIds::new(trace, options.block_size, BLOCK_SIZE, self.name())?;
        let block_size = blocks.block_size();
        let mut accesses: Vec<u32> = Vec::new();
        let mut ends = Vec::with_capacity(trace.requests().len());
        while let Some((_, ids)) = blocks.next_request() {
            accesses.extend_from_slice(ids);
            ends.push(accesses.len());
        }
        let distinct = accesses.iter().max().map_or(0, |last| *last as usize + 1);
        let mut later = vec![-1i64; distinct];
        let mut next = vec![-1i64; accesses.len()];
        for (place, id) in accesses.iter().enumerate().rev() {
            next[place] = std::mem::replace(&mut later[*id as usize], place as i64 + 1);
        }
        let mut sink = bytes::Sink::create(path)?;
        let mut place = 0;
        for (request, end) in trace.requests().iter().zip(ends) {
            let seconds = u32::try_from(request.arrival.0 / 1_000_000_000).unwrap_or(u32::MAX);
            while place < end {
                let out = &mut sink.buffer;
                out.extend_from_slice(&seconds.to_le_bytes());
                out.extend_from_slice(&u64::from(accesses[place]).to_le_bytes());
                out.extend_from_slice(&1u32.to_le_bytes());
                out.extend_from_slice(&next[place].to_le_bytes());
                place += 1;
                sink.flush_full()?;
            }
        }
        sink.finish()?;
        Ok(WriteReport {
            records: accesses.len() as u64,
            notes: vec![format!(
                "{distinct} distinct blocks of {block_size} tokens, each of size 1"
            )],
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::trace::format::oracle_general::*;
    use crate::trace::format::testing;

    #[test]
    fn golden() {
        let options = WriteOptions {
            block_size: Some(2),
            ..WriteOptions::default()
        };
        let written = testing::write(&testing::sample(), "oracle-general", &options);
        let records: Vec<(u32, u64, u32, i64)> = written
            .chunks(24)
            .map(|r| {
                (
                    u32::from_le_bytes(r[..4].try_into().expect("4")),
                    u64::from_le_bytes(r[4..12].try_into().expect("8")),
                    u32::from_le_bytes(r[12..16].try_into().expect("4")),
                    i64::from_le_bytes(r[16..].try_into().expect("8")),
                )
            })
            .collect();
        // Prompts as blocks: [0 1], [0 2 3], [0 4 5].
        assert_eq!(records.len(), 8);
        assert_eq!(records[0], (0, 0, 1, 3));
        assert_eq!(records[2], (1, 0, 1, 6));
        assert_eq!(records[5], (2, 0, 1, -1));
        assert_eq!(records[7], (2, 5, 1, -1));
    }
}
