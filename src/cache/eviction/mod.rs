//! Eviction policies over dense block ids. Each policy is one file with its algorithm and its card; the list at the end
//! of this file registers it.
//!
//! A policy is a whole cache of equal blocks: it knows which blocks are resident; on a miss it admits the block and
//! reports which blocks it evicted. This interface supports the ghost lists, windows and adaptive targets of published
//! algorithms, and an access costs one call.

mod arc;
mod belady;
mod cacheus;
mod card;
mod clock;
mod fifo;
#[cfg(test)]
mod golden;
mod heap;
mod leaves;
mod lecar;
mod lfu;
mod lirs;
mod list;
mod lru;
mod queues;
mod random;
mod ranked;
mod ring;
mod s3_fifo;
mod sieve;
mod slru;
#[cfg(test)]
mod testing;
mod ttl;
mod two_q;
mod w_tinylfu;

pub use arc::Arc;
pub use belady::Belady;
pub use cacheus::Cacheus;
pub use card::{EvictionCard, by_name, check, expires, looks_ahead};
pub use clock::Clock;
pub use fifo::Fifo;
pub(crate) use heap::{Heap, Key};
pub use leaves::Leaves;
pub use lecar::Lecar;
pub use lfu::Lfu;
pub use lirs::Lirs;
pub use list::Links;
pub use lru::Lru;
pub use random::Random;
pub use ranked::{Rank, Ranked};
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;
pub use slru::Slru;
pub use ttl::Ttl;
pub use two_q::TwoQ;
pub use w_tinylfu::WTinyLfu;

use super::BlockId;
use crate::base::registry::Registry;
use crate::trace::Nanos;

/// One use of a block, with the information that policies may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// The block.
    pub block: BlockId,
    /// The preceding block of its prompt; `None` for a first block.
    pub parent: Option<BlockId>,
    /// Number of blocks before it in its prompt.
    pub depth: u32,
    /// The request, by index in the trace.
    pub request: u32,
    /// The session of the request, by index in the trace.
    pub session: u32,
    /// Number of later requests of the session.
    pub turns_left: u32,
    /// The request's priority; policies that use it keep higher priorities longer.
    pub priority: i32,
    /// Arrival of the request.
    pub now: Nanos,
    /// The next request that uses the block, by index; `u32::MAX` for none. Set only for bounds, else `u32::MAX`.
    pub next: u32,
}

/// A cache of equal blocks that decides which block to evict.
pub trait Eviction: Send {
    /// Whether the block is in the cache.
    fn contains(&self, block: BlockId) -> bool;

    /// Uses a block and returns whether it was resident. A miss admits it unless the policy refuses; evicted blocks are
    /// appended to `evicted` (the block itself if it is refused).
    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool;

    /// Number of resident blocks.
    fn len(&self) -> u32;

    /// Whether no block is resident.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Advances the clock and evicts the blocks that expire. Called before a request is looked up.
    fn advance(&mut self, _now: Nanos, _evicted: &mut Vec<BlockId>) {}

    /// Number of operations so far, a measure of work that does not depend on the machine: entries linked, unlinked,
    /// moved or examined to find a victim.
    fn steps(&self) -> u64;
}

/// The cache that a policy is built for.
#[derive(Debug, Clone, Copy)]
pub struct EvictionContext {
    /// Number of distinct blocks; ids are smaller.
    pub blocks: u32,
    /// Maximum number of resident blocks; at least 1.
    pub capacity: u32,
    /// Tokens per block.
    pub block_size: u32,
    /// Seed of policies that draw random numbers.
    pub seed: u64,
}

/// All policies; the bounds, which use future accesses, are last.
pub static POLICIES: Registry<EvictionCard> =
    Registry::new("eviction policy", "eviction-policies.md", LIST);

const LIST: &[EvictionCard] = &[
    lru::CARD,
    fifo::CARD,
    clock::CARD,
    sieve::CARD,
    s3_fifo::CARD,
    two_q::CARD,
    slru::CARD,
    arc::CARD,
    lirs::CARD,
    lfu::LFU,
    lfu::LFU_AGING,
    ranked::GDSF,
    w_tinylfu::CARD,
    lecar::CARD,
    cacheus::CARD,
    random::CARD,
    ttl::CARD,
    ranked::PRIORITY,
    leaves::LEAF_LRU,
    ranked::SESSION_AWARE,
    ranked::COST_AWARE,
    ranked::LENGTH_AWARE,
    belady::CARD,
    leaves::BELADY_LEAF,
];
