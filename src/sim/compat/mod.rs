//! Other simulators: their rules reproduced with their rounding, or their configuration files read as ours.

pub mod splitwise;
pub mod vidur;
