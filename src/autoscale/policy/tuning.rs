//! What a policy may use to choose its own parameters for a cluster and a workload.

use std::path::Path;

use super::Rounding;
use crate::sim::Objectives;

/// Results of a load test at the highest rate that meets the objectives, and the workload to come.
///
/// A policy is tuned so that an instance carries a fraction of what it carried then, the headroom: what HeteroScale's
/// Algorithm 1 (arXiv 2508.19559) calls workload-centric curation.
#[non_exhaustive]
pub struct TuningContext<'a> {
    /// Prefill instances of the load test; 0 where instances serve whole requests.
    pub prefill: u32,
    /// Decode instances of the load test, or those that serve whole requests.
    pub decode: u32,
    /// Requests per second that they carried.
    pub rate: f64,
    /// Mean of a signal during the load test: of the cluster, or of a fleet as `decode_busy`; 0 for one that does not exist.
    pub signal: &'a dyn Fn(&str) -> f64,
    /// What requests are to meet.
    pub objectives: Objectives,
    /// Requests per second in each of 24 equal parts of the trace.
    pub hourly_rates: [f64; 24],
    /// Length of the trace in seconds.
    pub trace_seconds: f64,
    /// Folder of a performance profile of the instances, if there is one.
    pub profile: Option<&'a Path>,
    /// Most prefill instances that the configuration allows.
    pub max_prefill: u32,
    /// Most decode instances that the configuration allows.
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
    /// Whether prompts and outputs have instances of their own.
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

    /// A fraction of a signal, at least 0.001.
    pub fn share(&self, signal: &str, headroom: f64) -> f64 {
        ((self.signal)(signal) * headroom).max(1e-3)
    }

    /// A fraction of a signal of the fleet that decodes, at least 0.001.
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
