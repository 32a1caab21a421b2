//! Replays a stream of uses in tests of policies.

use super::{BlockId, Eviction, EvictionContext, Use};

/// Result of a replay.
pub(super) struct Played {
    /// One character per use: `h` for a hit, `.` for a miss.
    pub(super) hits: String,
    pub(super) evicted: Vec<BlockId>,
}

pub(super) fn play(cache: &mut dyn Eviction, stream: &[BlockId]) -> Played {
    play_uses(
        cache,
        stream.iter().map(|block| Use {
            block: *block,
            ..Use::default()
        }),
    )
}

pub(super) fn play_uses(cache: &mut dyn Eviction, uses: impl IntoIterator<Item = Use>) -> Played {
    let mut evicted = Vec::new();
    let hits = uses
        .into_iter()
        .map(|used| {
            if cache.access(&used, &mut evicted) {
                'h'
            } else {
                '.'
            }
        })
        .collect();
    Played { hits, evicted }
}

impl EvictionContext {
    pub(super) fn of(blocks: u32, capacity: u32) -> Self {
        Self {
            blocks,
            capacity,
            block_size: 16,
            seed: 0,
        }
    }
}
