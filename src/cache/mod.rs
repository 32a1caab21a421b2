//! The block-hashed KV cache: from tokens to blocks, and the rules by which engines keep and find them.

mod block_trace;
pub mod capacity;
pub mod engine;
pub mod eviction;
mod hashing;

pub use block_trace::{BlockId, BlockTrace, Run, RunCursor};
pub use hashing::{BlockHasher, HashScheme};
