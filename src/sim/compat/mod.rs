//! Other simulators, reproduced with their rules and their rounding.

pub mod splitwise;
