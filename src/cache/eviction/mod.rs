//! Eviction policies over dense block ids, one a file.

mod list;
mod lru;

pub use list::Links;
pub use lru::Lru;

use super::BlockId;
use crate::error::{Error, Result};

/// Decides which resident block goes when room is needed.
///
/// The caller tells of every insertion and hit; the policy keeps the order and never sees capacity or time.
pub trait Eviction {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// A block that was not resident has come in.
    fn insert(&mut self, block: BlockId);

    /// A resident block was used.
    fn touch(&mut self, block: BlockId);

    /// Takes out the block that goes next.
    fn evict(&mut self) -> Option<BlockId>;
}

/// Names that [`by_name`] knows.
pub const NAMES: &[&str] = &["lru"];

/// A policy for block ids below `blocks`.
///
/// # Errors
/// [`Error::Usage`] for a name that is not registered.
pub fn by_name(name: &str, blocks: u32) -> Result<Box<dyn Eviction>> {
    match name {
        "lru" => Ok(Box::new(Lru::new(blocks))),
        _ => Err(Error::unknown_name("policy", name, NAMES)),
    }
}
