//! Knowledge of the future, for policies that are bounds.

mod next_use;

pub use next_use::{NEVER, NextUse};
