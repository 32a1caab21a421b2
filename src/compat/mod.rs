//! Other simulators, reproduced: their configuration, their rules, and the files that they write.

pub mod splitwise;
pub mod vidur;
