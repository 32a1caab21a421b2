//! Choosing the parameters of a scheduler by what runs measured, and saying whether a choice is more than chance.

mod python;
pub mod select;
pub mod significance;

pub use python::parse_int;
