//! A simulated cluster that serves a trace: arrivals, routing, batches, KV transfers, and what each request met.
//!
//! Time is whole nanoseconds; events are ordered by (time, sequence number). Nothing is global, so that many simulations
//! run in one process, each on one thread.

pub mod calibrate;
mod cluster;
mod objectives;


pub mod controller;
mod instance;
mod event_queue;
mod kv;
pub mod latency;
mod in_flight;
pub mod record;
pub mod replica;
pub mod router;
mod simulation;
pub mod topology;
pub mod transfer;
mod workload;

pub use cluster::{Cluster, Make, Pacing, Parts, Pool, PoolResources, Resize};
pub use objectives::Objectives;
pub use controller::{Controller, Order, Sight, Window};
pub use instance::{Instance, Role, State};
pub use event_queue::{EventQueue, Key};
pub use kv::Kv;
pub use in_flight::{Live, LiveId, Lives, Work};
pub use record::{InstanceRecord, LifeEvent, Outcome, Records, RequestRecord, StepRecord};
pub use simulation::Simulation;
pub use workload::{Item, Workload};
