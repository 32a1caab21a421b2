//! Choosing the parameters of a scheduler by what runs measured, and saying whether a choice is more than chance.

pub mod aging;
mod python;
pub mod select;
pub mod significance;
pub mod study;
pub mod threshold;
mod trace_variants;

pub use python::parse_int;
pub use trace_variants::{TraceVariants, with_opt_sarathi};
