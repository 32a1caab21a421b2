//! Scaling: how many instances of each role there should be.
//!
//! [`planner`] is pure: it has no clock and knows no simulator, so that a simulation, a plan for a trace and a live cluster
//! are served by the same code. [`open_loop`] feeds it from a trace, [`prometheus`] from a real cluster, and
//! [`profiler`] measures the simulator's instances for it.

pub mod open_loop;
pub mod planner;
pub mod profiler;
pub mod prometheus;
