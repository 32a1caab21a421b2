//! The block-hashed KV cache: from tokens to blocks, and the rules by which engines keep and find them.

mod block_trace;
pub mod capacity;
pub mod engine;
pub mod eviction;
mod hashing;
mod published_hash;

pub use block_trace::{BlockId, BlockTrace, Run, RunCursor};
pub use hashing::{BlockHasher, HashScheme};
pub use published_hash::{BlockHash, HASH_NAMES, HashAlgorithm, published_hashes};
