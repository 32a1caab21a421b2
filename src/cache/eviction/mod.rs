//! Eviction policies over dense block ids, one a file.
//!
//! A policy is a whole cache of equal blocks: it knows what is resident, and on a miss it lets the block in and says what
//! went. So the ghosts, windows and adaptive targets of published algorithms have a place, and an access costs one call.

mod arc;
mod belady;
mod cacheus;
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
mod registry;
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
pub use registry::{Entry, POLICIES, by_name, check, looks_ahead};
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;
pub use slru::Slru;
pub use ttl::Ttl;
pub use two_q::TwoQ;
pub use w_tinylfu::WTinyLfu;

use super::BlockId;
use crate::trace::Nanos;

/// One use of a block, with what a policy may know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Use {
    /// Which block.
    pub block: BlockId,
    /// The block before it in its prompt; `None` for a first block.
    pub parent: Option<BlockId>,
    /// Blocks before it in its prompt.
    pub depth: u32,
    /// The request, by index in the trace.
    pub request: u32,
    /// The session of the request, by index in the trace.
    pub session: u32,
    /// Requests of the session that are still to come.
    pub turns_left: u32,
    /// The request's priority; higher is kept longer by policies that look at it.
    pub priority: i32,
    /// When the request comes.
    pub now: Nanos,
    /// The next request that uses the block, by index; `u32::MAX` for none. Known to bounds only, else `u32::MAX`.
    pub next: u32,
}

/// A cache of equal blocks that decides what goes.
pub trait Eviction: Send {
    /// Whether the block is in the cache.
    fn contains(&self, block: BlockId) -> bool;

    /// Uses a block; whether it was there. A miss lets it in, unless the policy refuses; what goes is added to `evicted`
    /// (the block itself, where it is refused).
    fn access(&mut self, used: &Use, evicted: &mut Vec<BlockId>) -> bool;

    /// How many blocks are in the cache.
    fn len(&self) -> u32;

    /// Whether none is.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Time has come so far: what goes by time alone goes now. Called before a request is looked up.
    fn advance(&mut self, _now: Nanos, _evicted: &mut Vec<BlockId>) {}

    /// Operations so far, a measure of work that does not depend on the machine: entries that were linked, unlinked, moved
    /// or looked at in order to find a victim.
    fn steps(&self) -> u64;
}

/// What a policy is made for.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Block ids are below this.
    pub blocks: u32,
    /// How many fit; at least 1.
    pub capacity: u32,
    /// Tokens per block.
    pub block_size: u32,
    /// For policies that draw.
    pub seed: u64,
}
