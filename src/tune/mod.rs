//! Choosing the parameters of a scheduler by what runs measured, and saying whether a choice is more than chance.

pub mod aging;
mod bench;
mod python;
pub mod select;
pub mod significance;
pub mod study;
pub mod threshold;

pub use bench::{Bench, with_opt_sarathi};
pub use python::parse_int;
