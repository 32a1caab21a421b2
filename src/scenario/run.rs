//! The function that serves a workload on a cluster and measures the result. Every command that simulates calls it.

use std::sync::atomic::AtomicU64;

use super::Scenario;
use crate::autoscale::{Autoscaler, ScalingLog};
use crate::base::Result;
use crate::cache::BlockTrace;
use crate::metrics::Serving;
use crate::sim::latency::LatencyModel;
use crate::sim::{Cluster, Controller, Objectives, PoolResources, Records, Simulation, Workload};
use crate::trace::Trace;

/// The outcome of one simulation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// What became of each request and each instance.
    pub records: Records,
    /// What the autoscaler saw and decided; `None` where nothing scaled the cluster.
    pub scaling: Option<ScalingLog>,
    /// Latencies, attainment, cost and use, computed from the two above.
    pub serving: Serving,
}

/// What to record of a run besides its results.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions<'a> {
    /// Record every step of every instance.
    pub log_steps: bool,
    /// Counts requests as they leave the cluster, for a progress display on another thread.
    pub progress: Option<&'a AtomicU64>,
}

/// What the records of a run are measured against.
pub(super) struct Yardstick<'a> {
    pub(super) resources: &'a [PoolResources],
    pub(super) objectives: Objectives,
    /// Step times of an instance without load, by which slowdowns are counted.
    pub(super) reference: &'a mut dyn LatencyModel,
}

/// Serves a workload on a cluster, which an autoscaler may change, and measures the result.
pub(super) fn serve(
    workload: &Workload<'_>,
    mut cluster: Cluster<'_>,
    mut autoscaler: Option<Autoscaler>,
    yardstick: Yardstick<'_>,
    options: RunOptions<'_>,
) -> Run {
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
    let scaling = autoscaler.map(Autoscaler::into_log);
    let serving = Serving::new(
        &records,
        scaling.as_ref(),
        yardstick.resources,
        &yardstick.objectives,
        yardstick.reference,
    );
    Run {
        records,
        scaling,
        serving,
    }
}

impl Scenario {
    /// A trace as this scenario serves it, at `workload.time_scale` of its times. `blocks` are those of
    /// [`Scenario::blocks`].
    pub fn workload<'a>(&self, trace: &Trace, blocks: Option<&'a BlockTrace>) -> Workload<'a> {
        let mut workload = Workload::new(trace, blocks);
        workload.stretch(self.config().workload.time_scale);
        workload
    }

    /// Serves a trace; the same trace and seed give the same run.
    ///
    /// # Errors
    /// As [`Scenario::blocks`] and [`Scenario::run`].
    pub fn run_trace(&self, trace: &Trace, seed: u64, options: RunOptions<'_>) -> Result<Run> {
        let blocks = self.blocks(trace)?;
        self.run(&self.workload(trace, blocks.as_ref()), seed, options)
    }

    /// Serves a workload; the same workload and seed give the same run.
    ///
    /// # Errors
    /// An autoscaling policy that cannot be built for this cluster, or a router that is not registered.
    pub fn run(&self, workload: &Workload<'_>, seed: u64, options: RunOptions<'_>) -> Result<Run> {
        let autoscaler = match self.config().autoscaling.is_on() {
            true => Some(self.autoscaler()?),
            false => None,
        };
        let resources = self.resources();
        let mut reference = self.reference();
        let yardstick = Yardstick {
            resources: &resources,
            objectives: self.config().slo.objectives(),
            reference: reference.as_mut(),
        };
        let cluster = self.cluster(workload, seed)?;
        Ok(serve(workload, cluster, autoscaler, yardstick, options))
    }
}
