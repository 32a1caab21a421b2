//! SplitwiseSim (Mutinifni/splitwise-sim at 8f99e7d), reproduced: the same trace, table and configuration give every
//! request the same TTFT and E2E, to the last bit where the C library's are not involved.
//!
//! What it models: whole prompts and decodes in batches on instances; one iteration takes a time that depends on the
//! tokens of the batch alone; memory is reserved per request; KV caches are shipped after the prompt at a fixed bandwidth.
//! Two things are defined here that end the original with an exception: requests that arrive at time 0 are events like
//! others, and a run in which nothing completes has an empty report. Requests that do not end are reported.

mod arrivals;
mod batch;
mod config;
mod event_queue;
mod hydra;
mod instance;
mod layout;
mod report;
mod request;
mod scheduler;
mod simulator;
mod start_state;
mod statistics;

#[cfg(test)]
mod tests;

pub use arrivals::{Arrivals, read_arrivals};
pub use config::{
    BatchingKind, Config, InstanceConfig, ModelConfig, PoolConfig, SchedulerConfig, Servers,
    StartState,
};
pub use hydra::Hydra;
pub use instance::Pool;
pub use layout::{InstanceRow, RequestRow, WriteOptions, write_report, write_rows};
pub use report::{InstanceRecord, Report, RequestRecord, Stage, UnfinishedRequest};
pub use request::Arrival;
pub use scheduler::NAMES as SCHEDULERS;
pub use statistics::{Statistics, statistics};

use crate::base::error::{Error, Result};
use crate::sim::latency::SplitwiseTable;

/// Simulates `arrivals`, which are scheduled in their order.
///
/// # Errors
/// [`Error::Usage`] for a configuration that cannot be met, an arrival that is no number, and where the reference stops
/// with an exception: a scheduler without instances, an iteration time that is not above 0.
pub fn simulate(config: &Config, arrivals: &[Arrival], table: &SplitwiseTable) -> Result<Report> {
    let model = config.model.resolve()?;
    let instances = start_state::instances(config, model, table)?;
    let scheduler = scheduler::Scheduler::new(&config.scheduler, config.seed, &instances)?;
    let seconds = [
        ("routing_delay", config.routing_delay),
        ("end_time", config.end_time),
    ];
    for (name, value) in seconds {
        if value.is_nan() || value < 0.0 {
            return Err(Error::usage(
                format!("`{name}` is {value}"),
                "give a number of seconds, 0 or more",
            ));
        }
    }
    if let Some(arrival) = arrivals.iter().find(|arrival| !arrival.arrival.is_finite()) {
        return Err(Error::usage(
            format!("request {} arrives at {}", arrival.id, arrival.arrival),
            "give arrivals in seconds",
        ));
    }
    if arrivals.len() >= (u32::MAX / 2) as usize {
        return Err(Error::usage("more than 2^31 requests", "cut the trace"));
    }
    let mut run = simulator::Simulator::new(
        arrivals,
        model.kv_bytes_per_token,
        instances,
        scheduler,
        config.routing_delay,
    );
    run.run(config.end_time).map_err(|fault| {
        Error::usage(
            format!("SplitwiseSim's rules end {fault}"),
            "its rules cannot serve this trace on this configuration; change one of them",
        )
    })?;
    Ok(Report::new(arrivals, run))
}
