//! Simulation of serving: requests of a trace on instances that take time.

pub mod compat;
pub mod latency;
