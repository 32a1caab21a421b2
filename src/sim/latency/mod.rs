//! How long an iteration takes: one file per model.

mod splitwise_table;

pub use splitwise_table::{IterationTimes, SplitwiseTable};
