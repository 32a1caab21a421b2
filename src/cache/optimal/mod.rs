//! What is known of the future: only bounds may use it.

mod next_use;

pub use next_use::{NEVER, NextUse};
