//! The one function that serves a workload on a scenario's cluster and measures what came of it.

use std::sync::atomic::AtomicU64;

use super::Scenario;
use crate::autoscale::ScalingLog;
use crate::base::Result;
use crate::metrics::Serving;
use crate::sim::{Controller, Records, Simulation, Workload};

/// What one run leaves behind.
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

impl Scenario {
    /// Serves a workload; the same workload and seed give the same run.
    ///
    /// # Errors
    /// An autoscaling policy that cannot be built for this cluster, or a router that is not registered.
    pub fn run(&self, workload: &Workload<'_>, seed: u64, options: RunOptions<'_>) -> Result<Run> {
        let mut cluster = self.cluster(workload, seed)?;
        cluster.log_steps = options.log_steps;
        let mut autoscaler = match self.config().autoscaling.is_on() {
            true => Some(self.autoscaler()?),
            false => None,
        };
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
        let scaling = autoscaler.map(crate::autoscale::Autoscaler::into_log);
        let serving = Serving::new(
            &records,
            scaling.as_ref(),
            &self.resources(),
            &self.config().slo.objectives(),
            self.reference().as_mut(),
        );
        Ok(Run {
            records,
            scaling,
            serving,
        })
    }
}
