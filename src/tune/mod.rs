//! Chooses scheduler parameters and scaling policies by simulation, and tests whether a choice is better than chance.

pub mod aging;
mod python;
pub mod select;
pub mod significance;
pub mod study;
pub mod threshold;
mod trace_variants;

pub use python::parse_int;
pub use trace_variants::{TraceVariants, with_opt_sarathi};
