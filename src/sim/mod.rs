//! A simulated cluster that serves a trace: arrivals, routing, batches, KV transfers, and a record of each request.
//!
//! Time is in whole nanoseconds; events are ordered by (time, sequence number). There is no global state, so many
//! simulations can run in one process, each on one thread.

pub mod calibrate;
mod cluster;
mod objectives;

pub mod controller;
mod event_queue;
mod in_flight;
mod instance;
mod kv;
pub mod latency;
pub mod record;
pub mod replica;
pub mod router;
mod simulation;
pub mod topology;
pub mod transfer;
mod workload;

pub use cluster::{Cluster, InstanceFactory, InstanceSpec, Pacing, Pool, PoolResources, Resize};
pub use controller::{ClusterView, ControlWindow, Controller, MOST_TICKS, ScalingAction};
pub use event_queue::{EventQueue, Key};
pub use in_flight::{InFlightId, InFlightRequest, InFlightRequests, ServedPhases};
pub use instance::{Instance, Role, State};
pub use kv::Kv;
pub use objectives::Objectives;
pub use record::{InstanceRecord, Outcome, Records, RequestRecord, StateChange, StepRecord};
pub use simulation::Simulation;
pub use workload::{Item, Workload};
