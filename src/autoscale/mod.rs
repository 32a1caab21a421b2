//! Autoscaling: signals of a cluster, policies that decide its size, and how decisions are carried out.
//!
//! [`signals`] measures a window of the cluster, [`policy`] turns the signals into a number of instances per fleet,
//! `actuator` applies bounds, and `autoscaler` selects the instances that start, drain or are parked; the simulator
//! adds the time for start-up and draining. The signals and the decision of each control interval are in the
//! [`ScalingLog`].
//!
//! [`planner`] is pure: it has no clock and does not depend on the simulator, so the same code serves a simulation, a plan
//! for a trace and a real cluster. [`open_loop`] feeds it from a trace, [`prometheus`] from a real cluster;
//! `scenario::profiler` measures the simulator's instances for it.

mod actuator;
mod autoscaler;
mod config;
mod log;
mod meter;
pub mod open_loop;
pub mod placement;
pub mod planner;
pub mod policy;
pub mod prometheus;
pub mod signals;
#[cfg(test)]
mod testing;
pub mod web;

pub use actuator::{Limits, ScalingBounds};
pub use autoscaler::Autoscaler;
pub use config::{AutoscalingSection, FleetSection, SoftScaleIn};
pub use log::{Action, Move, ScalingCounts, ScalingLog, Tick};
