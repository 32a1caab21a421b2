//! Autoscaling: what is seen of a cluster, who decides its size, and how that comes to be.
//!
//! [`signals`] measures a window of the cluster, [`policy`] turns that into wanted sizes, [`actuator`] bounds them and says
//! which instances start, stop or are put aside; the simulator lets start-up and draining take their time. What was seen
//! and decided at each tick is in the [`ScalingLog`].
//!
//! [`planner`] is pure: it has no clock and knows no simulator, so that a simulation, a plan for a trace and a request_state cluster are
//! served by the same code. [`open_loop`] feeds it from a trace, [`prometheus`] from a real cluster, and
//! [`profiler`] measures the simulator's instances for it.

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

pub use actuator::{Limits, ScalingBounds};
pub use autoscaler::Autoscaler;
pub use config::{AutoscalingSection, FleetSection, SoftScaleIn};
pub use log::{Action, Move, ScalingCounts, ScalingLog, Tick};
