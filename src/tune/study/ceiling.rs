//! The upper bound on the request rate of a cluster, from the performance profile of its instances.

use crate::autoscale::planner::interpolate::{Monotone, PerformanceModel};
use crate::autoscale::planner::profile::Profile;
use crate::scenario::{Run, ScenarioConfig};
use crate::sim::Role;

/// Maximum prompt and output throughput of all instances of a cluster, in tokens per second.
pub(super) struct Ceiling<'a> {
    profile: &'a Profile,
    /// Number of GPUs that compute prompts, and of GPUs that decode.
    gpus: [f64; 2],
    /// Time between tokens in milliseconds that the objectives allow.
    itl_ms: f64,
}

impl<'a> Ceiling<'a> {
    /// Creates the bound of a cluster of fixed size. The profile is of its first pools, which hold all its instances.
    pub(super) fn new(profile: &'a Profile, config: &ScenarioConfig) -> Self {
        let gpus = |role: Role| {
            let of = |own: Role| own == role || matches!(own, Role::Aggregated | Role::Mixed);
            let pools = config.pool.iter().filter(|pool| of(pool.role));
            pools
                .map(|pool| f64::from(pool.instances * pool.gpus))
                .sum()
        };
        Self {
            profile,
            gpus: [gpus(Role::Prefill), gpus(Role::Decode)],
            itl_ms: 1000.0 * config.slo.tbt_seconds,
        }
    }

    /// Returns the maximum request rate per second for requests like those of a run. The prefill bound divides the highest
    /// throughput of any prompt length by the prompt tokens that no prefix cache held; the decode bound divides the highest
    /// throughput that meets the time between tokens by the output tokens. `None` if the profile has no load that meets it, or
    /// if nothing was computed.
    pub(super) fn rate(&self, run: &Run) -> Option<f64> {
        let requests = &run.records.requests;
        let count = requests.len() as f64;
        let mean = |sum: u64| sum as f64 / count;
        let prompt = mean(requests.iter().map(|r| u64::from(r.prompt)).sum());
        let missed = mean(
            requests
                .iter()
                .map(|r| u64::from(r.prompt.saturating_sub(r.cached)))
                .sum(),
        );
        let output = mean(requests.iter().map(|r| u64::from(r.output)).sum());
        // The first output token is computed by prefill.
        let decoded = mean(requests.iter().map(|r| u64::from(r.output - 1)).sum());
        let points = self.profile.prefill.iter();
        let fastest = points.map(|p| p.throughput_per_gpu).fold(0.0, f64::max);
        let best = Monotone::new(self.profile).best_decode(self.itl_ms, prompt + output / 2.0);
        if !best.met || count == 0.0 {
            return None;
        }
        let prefill = self.gpus[0] * fastest / missed;
        let decode = self.gpus[1] * best.throughput_per_gpu / decoded;
        // Without work of one kind, the other kind is the bound.
        let rate = prefill.min(decode);
        rate.is_finite().then_some(rate)
    }
}
