//! A reproduction of SplitwiseSim (Mutinifni/splitwise-sim at 8f99e7d): with the same trace, table and configuration,
//! every request has the same TTFT and E2E, to the last bit unless functions of the C library are involved.
//!
//! Its model: instances run whole prompts and decodes in batches; the time of an iteration depends only on the tokens
//! of the batch; memory is reserved per request; KV caches are transferred after the prompt at a fixed bandwidth. Two
//! cases that end the original with an exception are defined here: requests that arrive at time 0 are ordinary events,
//! and a run in which nothing completes has an empty report. Requests that do not finish are reported.

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
pub use layout::{InstanceRow, WriteOptions, write_report, write_rows};
pub use report::{InstanceRecord, Report, RequestRecord, Stage, UnfinishedRequest};
pub use request::Arrival;
pub use scheduler::NAMES as SCHEDULERS;
pub use statistics::{Statistics, statistics};

use crate::base::error::{Error, Result};
use crate::sim::latency::SplitwiseTable;

/// Simulates `arrivals`, which are scheduled in the order given.
///
/// # Errors
/// [`Error::Usage`] for an invalid configuration, an arrival time that is not a number, and cases in which the
/// reference stops with an exception: a scheduler without instances, or an iteration time that is not above 0.
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
        return Err(Error::usage("more than 2^31 requests", "shorten the trace"));
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
            format!("SplitwiseSim's rules stop with an error {fault}"),
            "its rules cannot serve this trace on this configuration; change one of them",
        )
    })?;
    Ok(Report::new(arrivals, run))
}
