//! Figures of a simulated cluster: latencies, service level objectives, throughput, cost, utilisation and scaling.
//!
//! Each figure is computed by one function here, from rows that both a simulation and a results folder provide:
//! [`RequestRow`], [`InstanceRecord`](crate::sim::InstanceRecord), [`StateChange`](crate::sim::StateChange),
//! [`ScalingLog`] and [`PoolResources`]. The base of every ratio over requests is the requests that arrived, and a
//! figure without values is `None`.

mod cost;
mod fleet;
mod latency;
mod pools;
pub mod request_times;
mod requests;
mod rows;
mod scaling;
mod slo;
mod slowdown;

use serde::Serialize;

pub use cost::Cost;
pub use fleet::{Fleet, Moments, Steps, state_changes};
pub use latency::{Latencies, alone, token_gaps};
pub use pools::PoolUse;
pub use requests::{Tokens, Unfinished, arrived, finished, per_second, ratio};
pub use rows::{RequestRow, rows};
pub use scaling::{
    ChangeCounts, FLAP_SECONDS, Scaling, ScalingFigures, SizeChange, changes_so_far, decided,
    observed,
};
pub use slo::{Attainment, Slo};
pub use slowdown::{
    LIMITED, LIMITED_AT, SLOWDOWN_LIMITS, SlowdownLimit, Slowdowns, limits_met, slowdowns,
};

use crate::autoscale::ScalingLog;
use crate::base::Distribution;
use crate::sim::latency::{Clamped, LatencyModel};
use crate::sim::{Objectives, PoolResources, Records};

/// The figures of one run, as written to `summary.json`. Times are in seconds.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Serving {
    /// Number of requests that arrived.
    pub arrived: u64,
    /// Number of requests that finished: all their tokens were generated.
    pub finished: u64,
    /// Numbers of requests that did not finish, by reason.
    pub unfinished: Unfinished,
    /// Time of the last event.
    pub end_seconds: f64,
    /// TTFT: from arrival to the first token, of finished requests.
    pub ttft: Distribution,
    /// TBT (also TPOT): mean time between tokens, of finished requests with more than one token.
    pub tbt: Distribution,
    /// ITL: single gaps between consecutive tokens of all requests, to three digits.
    pub itl: Distribution,
    /// E2E: from arrival to the last token, of finished requests.
    pub e2e: Distribution,
    /// Queueing time: from arrival to the first batch, of finished requests.
    pub queue: Distribution,
    /// TTFT, TBT and E2E as multiples of those on an idle reference instance.
    pub slowdown: Slowdowns,
    /// Service level objectives and the requests that met them.
    pub slo: Slo,
    /// Finished requests per second; `None` for a duration of 0.
    pub requests_per_second: Option<f64>,
    /// Requests per second that finished and met all objectives; `None` for a duration of 0.
    pub goodput: Option<f64>,
    /// Prompt tokens of finished requests.
    pub prompt_tokens: u64,
    /// Prompt tokens of finished requests that were found in a prefix cache.
    pub cached_tokens: u64,
    /// `cached_tokens / prompt_tokens`; `None` without prompt tokens.
    pub token_hit_ratio: Option<f64>,
    /// Output tokens of finished requests.
    pub output_tokens: u64,
    /// Bytes of KV cache transferred between instances.
    pub moved_bytes: u64,
    /// Number of times that a request lost its KV cache and was computed again.
    pub preemptions: u64,
    /// Number of steps of all instances.
    pub steps: u64,
    /// Number of steps outside the measured range of the latency models.
    pub clamped: Clamped,
    /// Hours, dollars and energy.
    pub cost: Cost,
    /// Utilisation of each pool.
    pub pools: Vec<PoolUse>,
    /// Changes of the cluster's size.
    pub scaling: Scaling,
}

impl Serving {
    /// Computes the figures of a run. Slowdowns are relative to `reference`, an idle instance.
    pub fn new(
        records: &Records,
        log: Option<&ScalingLog>,
        resources: &[PoolResources],
        objectives: &Objectives,
        reference: &mut dyn LatencyModel,
    ) -> Self {
        let requests = rows(&records.requests);
        let instances = &records.instances;
        let end_seconds = records.end.as_secs_f64();
        let latencies = Latencies::of(&requests);
        let (slowdown, limits) = slowdowns(&requests, |prompt| alone(prompt, reference));
        let attainment = Attainment::of(&requests, objectives);
        let tokens = Tokens::of(&requests);
        let finished = finished(&requests);
        let fleet = Fleet::of(&records.state_changes, instances, records.end);
        let mut clamped = Clamped::default();
        for instance in instances {
            clamped.steps += instance.clamped.steps;
            clamped.of += instance.clamped.of;
        }
        Self {
            arrived: arrived(&requests),
            finished,
            unfinished: Unfinished::of(&requests),
            end_seconds,
            ttft: latencies.ttft,
            tbt: latencies.tbt,
            itl: token_gaps(&records.token_gaps),
            e2e: latencies.e2e,
            queue: latencies.queue,
            slowdown,
            slo: Slo {
                objectives: *objectives,
                attainment: attainment.all,
                ttft_attainment: attainment.ttft,
                tbt_attainment: attainment.tbt,
                e2e_attainment: attainment.e2e,
                slowdowns_met: limits_met(&limits),
                slowdowns: limits,
            },
            requests_per_second: per_second(finished, end_seconds),
            goodput: per_second(attainment.requests, end_seconds),
            prompt_tokens: tokens.prompt,
            cached_tokens: tokens.cached,
            token_hit_ratio: tokens.hit_ratio(),
            output_tokens: tokens.output,
            moved_bytes: records.moved_bytes,
            preemptions: instances.iter().map(|i| i.preemptions).sum(),
            steps: records.steps,
            clamped,
            cost: Cost::of(instances, resources),
            pools: PoolUse::of(instances, resources),
            scaling: Scaling {
                policy: log.map(|log| log.policy.clone()),
                figures: ScalingFigures::of(instances, &fleet, log, records.end),
                counts: log.map(|log| log.counts),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use crate::metrics::serving::cost::testing::{instance, pool};
    use crate::metrics::serving::*;
    use crate::sim::latency::Constant;
    use crate::sim::{Outcome, RequestRecord, Role};
    use crate::trace::Nanos;

    /// A prompt of 100 tokens with 40 cached, and 5 output tokens; times in seconds.
    fn request(arrival: f64, scheduled: f64, first: f64, ended: f64) -> RequestRecord {
        let at = Nanos::from_secs_f64;
        RequestRecord {
            arrival: at(arrival),
            scheduled: Some(at(scheduled)),
            first_token: Some(at(first)),
            ended: at(ended),
            outcome: Outcome::Finished,
            prompt: 100,
            output: 5,
            generated: 5,
            cached: 40,
            ..RequestRecord::default()
        }
    }

    fn records() -> Records {
        let mut requests = vec![
            request(0.0, 0.5, 1.0, 2.0),
            request(10.0, 10.5, 13.0, 14.0),
            // Got its first token and was in flight at the end.
            request(19.0, 19.0, 19.5, 20.0),
            RequestRecord::default(),
        ];
        requests[2].outcome = Outcome::EndOfTime;
        requests[2].generated = 2;
        let mut instances = vec![
            instance(Role::Prefill, [0.0, 0.0], None, 20.0),
            instance(Role::Decode, [0.0, 0.0], None, 20.0),
            instance(Role::Decode, [5.0, 10.0], None, 20.0),
        ];
        for (instance, [busy, clamped, preempted]) in
            instances
                .iter_mut()
                .zip([[4.0, 1.0, 0.0], [6.0, 2.0, 1.0], [0.0, 0.0, 2.0]])
        {
            instance.busy = Nanos::from_secs_f64(busy);
            instance.clamped = Clamped {
                steps: clamped as u64,
                of: 10,
            };
            instance.preemptions = preempted as u64;
        }
        let end = Nanos::from_secs_f64(20.0);
        let mut token_gaps = Histogram::new_with_bounds(1, 86_400_000_000_000, 3).expect("bounds");
        token_gaps.record_n(250_000_000, 8).expect("in range");
        Records {
            requests,
            state_changes: state_changes(&instances, end),
            instances,
            token_gaps,
            end,
            moved_bytes: 12_345,
            steps: 30,
            step_log: Vec::new(),
        }
    }

    #[test]
    fn figures_of_a_run_by_hand() {
        let objectives = Objectives {
            ttft_seconds: 2.0,
            tbt_seconds: 0.3,
            e2e_seconds: None,
        };
        let resources = [pool("prefill"), pool("decode")];
        let found = Serving::new(
            &records(),
            None,
            &resources,
            &objectives,
            &mut Constant { seconds: 0.5 },
        );
        // Three arrived: two finished, one was in flight at the end; the fourth never arrived.
        assert_eq!((found.arrived, found.finished), (3, 2));
        assert_eq!(
            (found.unfinished.total, found.unfinished.not_arrived),
            (1, 1)
        );
        // TTFT 1 and 3 s, TBT 1 s over 4 gaps for both, E2E 2 and 4 s, 0.5 s in the queue.
        assert_eq!((found.ttft.count, found.ttft.mean), (2, Some(2.0)));
        assert_eq!((found.tbt.mean, found.tbt.max), (Some(0.25), Some(0.25)));
        assert_eq!((found.e2e.mean, found.queue.p50), (Some(3.0), Some(0.5)));
        assert_eq!(found.itl.count, 8);
        // One of three met TTFT (the second has 3 s); both that finished met TBT.
        assert_eq!(found.slo.attainment, Some(1.0 / 3.0));
        assert_eq!(found.slo.ttft_attainment, Some(1.0 / 3.0));
        assert_eq!(found.slo.tbt_attainment, Some(2.0 / 3.0));
        assert_eq!(found.slo.e2e_attainment, None);
        // 2 and 1 requests in 20 s.
        assert_eq!(
            (found.requests_per_second, found.goodput),
            (Some(0.1), Some(0.05))
        );
        // Every step takes 0.5 s: slowdowns 2 and 6 of TTFT, 0.5 of TBT, and of E2E 2 / 2.5 and 4 / 2.5.
        assert_eq!(found.slowdown.ttft.max, Some(6.0));
        assert_eq!(found.slowdown.tbt.max, Some(0.5));
        assert_eq!(found.slowdown.e2e.max, Some(1.6));
        // TTFT at p50 is 4; the limit is 2.
        assert_eq!(found.slo.slowdowns[0].value, Some(4.0));
        assert_eq!(found.slo.slowdowns_met, Some(false));
        // 2 x 100 prompt tokens, 2 x 40 of them cached, 2 x 5 output tokens.
        assert_eq!((found.prompt_tokens, found.cached_tokens), (200, 80));
        assert_eq!(
            (found.token_hit_ratio, found.output_tokens),
            (Some(0.4), 10)
        );
        assert_eq!((found.moved_bytes, found.steps), (12_345, 30));
        assert_eq!((found.preemptions, found.clamped.steps), (3, 3));
        assert_eq!((found.clamped.of, found.end_seconds), (30, 20.0));
        // 20 + 20 + 15 s of 2 GPUs at 3 dollars per hour.
        assert!((found.cost.instance_hours - 55.0 / 3600.0).abs() < 1e-12);
        assert!((found.cost.gpu_hours.expect("GPUs") - 110.0 / 3600.0).abs() < 1e-12);
        assert!((found.cost.dollars.expect("prices") - 330.0 / 3600.0).abs() < 1e-12);
        // Busy for 4 of 20 s, and for 6 of 20 + 10 s.
        let busy: Vec<_> = found.pools.iter().map(|pool| pool.utilisation).collect();
        assert_eq!(busy, [Some(0.2), Some(0.2)]);
        // One instance was requested at 5 s: 1/1 until 10 s, then 1/2.
        let scaling = &found.scaling;
        assert_eq!((scaling.policy.as_ref(), scaling.counts), (None, None));
        assert_eq!(scaling.figures.changes.scale_out, 1);
        assert_eq!(scaling.figures.most_instances, 3);
        assert_eq!(scaling.figures.pd_ratio_mean, Some(0.75));
        assert_eq!(scaling.figures.pd_ratio_deviation, Some(0.25));
    }

    #[test]
    fn a_run_without_requests_has_no_figures_of_them() {
        let nothing = Records {
            requests: vec![RequestRecord::default()],
            instances: Vec::new(),
            token_gaps: Histogram::new_with_bounds(1, 86_400_000_000_000, 3).expect("bounds"),
            end: Nanos::ZERO,
            moved_bytes: 0,
            steps: 0,
            step_log: Vec::new(),
            state_changes: Vec::new(),
        };
        let found = Serving::new(
            &nothing,
            None,
            &[],
            &Objectives::default(),
            &mut Constant { seconds: 0.5 },
        );
        let json = serde_json::to_value(&found).expect("JSON");
        for figure in [
            "/ttft/mean",
            "/itl/p50",
            "/slowdown/e2e/p99",
            "/slo/attainment",
            "/slo/ttft_attainment",
            "/slo/tbt_attainment",
            "/slo/slowdowns_met",
            "/slo/slowdowns/0/met",
            "/requests_per_second",
            "/goodput",
            "/token_hit_ratio",
            "/scaling/pd_ratio_mean",
        ] {
            let value = json.pointer(figure);
            assert_eq!(value, Some(&serde_json::Value::Null), "{figure}");
        }
        assert_eq!((found.arrived, found.unfinished.not_arrived), (0, 1));
    }
}
