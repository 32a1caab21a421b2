//! The block-hashed KV cache: blocks of tokens, and the rules by which engines keep and find them.

mod block_manager;
mod block_trace;
pub mod capacity;
pub mod curve;
pub mod engine;
pub mod eviction;
mod hashing;
pub mod optimal;
mod published_hash;
pub mod sweep;
#[cfg(test)]
pub(crate) mod testing;

pub use block_manager::{BlockManager, EvictionSink, FreeOrder, HeldBlocks};
pub use block_trace::{BlockId, BlockTrace, Facts, Run, RunCursor};
pub use hashing::{BlockHasher, HashScheme};
pub use published_hash::{BlockHash, HASH_NAMES, HashAlgorithm, published_hashes};
