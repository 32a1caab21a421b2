//! The data from which a policy chooses its own parameters for a cluster and a workload.

use std::path::Path;

use super::Rounding;
use crate::sim::Objectives;

/// Results of a load test at the highest rate that meets the objectives, and a description of the workload.
///
/// A policy is tuned so that an instance runs at a fraction (the headroom) of its load in that test. HeteroScale's Algorithm 1
/// (arXiv 2508.19559) calls this workload-centric curation.
#[non_exhaustive]
pub struct TuningContext<'a> {
    /// Prefill instances of the load test; 0 for aggregated instances.
    pub prefill: u32,
    /// Decode instances of the load test, or its aggregated instances.
    pub decode: u32,
    /// Requests per second that these instances served within the objectives.
    pub rate: f64,
    /// Means of signals during the load test, by name: a signal of the cluster, or of a fleet such as `decode_busy`. An unknown
    /// name gives 0.
    pub signal: &'a dyn Fn(&str) -> f64,
    /// The objectives of a request.
    pub objectives: Objectives,
    /// Requests per second in each of 24 equal intervals of the trace.
    pub hourly_rates: [f64; 24],
    /// Length of the trace in seconds.
    pub trace_seconds: f64,
    /// Folder with a performance profile of the instances, if there is one.
    pub profile: Option<&'a Path>,
    /// Maximum number of prefill instances that the configuration allows.
    pub max_prefill: u32,
    /// Maximum number of decode instances that the configuration allows.
    pub max_decode: u32,
}

impl std::fmt::Debug for TuningContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TuningContext")
            .field("prefill", &self.prefill)
            .field("decode", &self.decode)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl TuningContext<'_> {
    /// Whether prefill and decode run on separate instances.
    pub fn is_disaggregated(&self) -> bool {
        self.prefill > 0
    }

    /// Name of the fleet that decodes.
    pub fn decode_fleet(&self) -> &'static str {
        if self.is_disaggregated() {
            "decode"
        } else {
            "aggregated"
        }
    }

    /// Prefill instances of the load test, at least 1.
    pub fn prefill_instances(&self) -> f64 {
        f64::from(self.prefill.max(1))
    }

    /// Decode instances of the load test, at least 1.
    pub fn decode_instances(&self) -> f64 {
        f64::from(self.decode.max(1))
    }

    /// A fraction of a signal's mean, at least 0.001.
    pub fn share(&self, signal: &str, headroom: f64) -> f64 {
        ((self.signal)(signal) * headroom).max(1e-3)
    }

    /// A fraction of a signal's mean in the decode fleet, at least 0.001.
    pub fn decode_share(&self, signal: &str, headroom: f64) -> f64 {
        self.share(&format!("{}_{signal}", self.decode_fleet()), headroom)
    }

    /// Prefill and decode instances for a rate in requests per second, at least one of each.
    pub fn instances_for(&self, rate: f64, headroom: f64) -> (u32, u32) {
        let scale = rate / (self.rate * headroom).max(1e-9);
        let of = |tested: u32| Rounding::Up.apply(scale * f64::from(tested)).max(1);
        (of(self.prefill), of(self.decode))
    }
}
