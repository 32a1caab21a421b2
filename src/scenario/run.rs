//! Simulates a workload on a cluster and measures the result. Every command that simulates calls this function.

use std::sync::atomic::AtomicU64;

use super::Scenario;
use crate::autoscale::{Autoscaler, ScalingLog};
use crate::base::error::{Error, Result};
use crate::cache::BlockTrace;
use crate::metrics::Serving;
use crate::sim::latency::LatencyModel;
use crate::sim::{
    Cluster, Controller, MOST_TICKS, Objectives, PoolResources, Records, Simulation, Workload,
};
use crate::trace::{Nanos, Trace};

/// The outcome of one simulation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// Records of all requests and instances.
    pub records: Records,
    /// Log of the autoscaler: its observations and decisions; `None` without an autoscaler.
    pub scaling: Option<ScalingLog>,
    /// Latencies, attainment, cost and utilisation, computed from the two fields above.
    pub serving: Serving,
}

/// Additional outputs of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions<'a> {
    /// Record every step of every instance.
    pub log_steps: bool,
    /// Counter of requests that have left the cluster, for a progress display on another thread.
    pub progress: Option<&'a AtomicU64>,
}

/// The references for the figures of a run.
pub(super) struct Yardstick<'a> {
    pub(super) resources: &'a [PoolResources],
    pub(super) objectives: Objectives,
    /// Step times of an idle instance; slowdowns are relative to them.
    pub(super) reference: &'a mut dyn LatencyModel,
}

/// Simulates a workload on a cluster, optionally with an autoscaler, and measures the result.
///
/// # Errors
/// A run that goes on beyond the clock, or an autoscaling policy that failed.
pub(super) fn serve(
    workload: &Workload<'_>,
    mut cluster: Cluster<'_>,
    mut autoscaler: Option<Autoscaler>,
    yardstick: Yardstick<'_>,
    options: RunOptions<'_>,
) -> Result<Run> {
    cluster.log_steps = options.log_steps;
    let mut simulation = Simulation::new(workload, cluster);
    if let Some(progress) = options.progress {
        simulation = simulation.watched(progress);
    }
    let records = match &mut autoscaler {
        Some(autoscaler) => simulation
            .controlled(autoscaler as &mut dyn Controller)
            .run(),
        None => simulation.run(),
    };
    if records.end > Nanos::LAST {
        return Err(Error::usage(
            "the simulation goes on beyond the clock, for more than 570 years",
            "shorten the durations of the latency model or of the transfers, or set end_seconds",
        ));
    }
    let scaling = autoscaler.map(Autoscaler::into_log).transpose()?;
    let serving = Serving::new(
        &records,
        scaling.as_ref(),
        yardstick.resources,
        &yardstick.objectives,
        yardstick.reference,
    );
    Ok(Run {
        records,
        scaling,
        serving,
    })
}

impl Scenario {
    /// Creates the workload of a trace in this scenario, with times scaled by `workload.time_scale`. `blocks` is the result of
    /// [`Scenario::blocks`].
    pub fn workload<'a>(&self, trace: &Trace, blocks: Option<&'a BlockTrace>) -> Workload<'a> {
        let mut workload = Workload::new(trace, blocks);
        workload.stretch(self.config().workload.time_scale);
        workload
    }

    /// Simulates a trace; the same trace and seed give the same run.
    ///
    /// # Errors
    /// As [`Scenario::blocks`] and [`Scenario::run`].
    pub fn run_trace(&self, trace: &Trace, seed: u64, options: RunOptions<'_>) -> Result<Run> {
        let blocks = self.blocks(trace)?;
        self.run(&self.workload(trace, blocks.as_ref()), seed, options)
    }

    /// Simulates a workload; the same workload and seed give the same run.
    ///
    /// # Errors
    /// An autoscaling policy that cannot be built for this cluster or that fails during the run, or a router that is not
    /// registered.
    pub fn run(&self, workload: &Workload<'_>, seed: u64, options: RunOptions<'_>) -> Result<Run> {
        let autoscaler = match self.config().autoscaling.is_on() {
            true => Some(self.autoscaler()?),
            false => None,
        };
        if let (Some(autoscaler), Some(last)) = (&autoscaler, workload.items().last()) {
            check_intervals(last.arrival, autoscaler.interval())?;
        }
        let resources = self.resources();
        let mut reference = self.reference();
        let yardstick = Yardstick {
            resources: &resources,
            objectives: self.config().slo.objectives(),
            reference: reference.as_mut(),
        };
        let cluster = self.cluster(workload, seed)?;
        let run = serve(workload, cluster, autoscaler, yardstick, options)?;
        match &run.scaling {
            Some(log) if log.ticks.len() as u64 >= MOST_TICKS => {
                Err(too_many_intervals(log.ticks.len() as f64))
            }
            _ => Ok(run),
        }
    }
}

/// Rejects a trace with more control intervals than can be recorded.
fn check_intervals(last: Nanos, interval: Nanos) -> Result<()> {
    let count = last.as_secs_f64() / interval.as_secs_f64();
    match count < MOST_TICKS as f64 {
        true => Ok(()),
        false => Err(too_many_intervals(count)),
    }
}

fn too_many_intervals(count: f64) -> Error {
    Error::usage(
        format!("the run has {count:.0} control intervals or more"),
        format!("raise autoscaling.interval_seconds so that it has fewer than {MOST_TICKS}"),
    )
}
