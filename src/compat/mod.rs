//! Reproductions of other simulators: their configuration files, their rules, and their result files.

pub mod splitwise;
pub mod vidur;
