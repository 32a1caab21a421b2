//! What a simulated cluster achieved: latencies, slowdowns, service level objectives, cost.

pub mod request_times;
mod slowdown;

use serde::Serialize;

pub use slowdown::{SlowdownLimit, Slowdowns, Times, slowdowns};

use crate::autoscale::{ScalingCounts, ScalingLog};
use crate::base::Distribution;
use crate::sim::Objectives;
use crate::sim::PoolResources;
use crate::sim::latency::{Chunk, Clamped, LatencyModel, Step};
use crate::sim::{InstanceRecord, Outcome, Records, RequestRecord, Role, State};
use crate::trace::Nanos;

/// The figures of one run, under the names of `summary.json`. Times are in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Serving {
    /// Requests that came.
    pub arrived: u64,
    /// Of these, those that got all their tokens.
    pub finished: u64,
    /// And the others, by reason.
    pub unfinished: Unfinished,
    /// When the last event came.
    pub end_seconds: f64,
    /// From arrival to the first token.
    pub ttft: Distribution,
    /// A request's mean time between tokens (TPOT), of those with more than one.
    pub tbt: Distribution,
    /// Single times between consecutive tokens (ITL), over all requests; to three digits.
    pub itl: Distribution,
    /// From arrival to the last token.
    pub e2e: Distribution,
    /// From arrival to the first batch.
    pub queue: Distribution,
    /// The same as multiples of what an unloaded reference instance needs.
    pub slowdown: Slowdowns,
    /// Service level objectives.
    pub slo: Slo,
    /// Finished requests per second.
    pub requests_per_second: f64,
    /// Finished requests per second that met all objectives.
    pub goodput: f64,
    /// Prompt tokens of finished requests.
    pub prompt_tokens: u64,
    /// Of these, those found in a prefix cache.
    pub cached_tokens: u64,
    /// The same as a part.
    pub token_hit_ratio: f64,
    /// Output tokens of finished requests.
    pub output_tokens: u64,
    /// KV moved between instances, in bytes.
    pub moved_bytes: u64,
    /// Times that a request lost its memory.
    pub preemptions: u64,
    /// Steps of all instances.
    pub steps: u64,
    /// Steps outside of what the latency models know.
    pub clamped: Clamped,
    /// What was used.
    pub cost: Cost,
    /// By pool.
    pub pools: Vec<PoolUse>,
    /// What the autoscaler did, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

/// What an autoscaler did.
#[derive(Debug, Clone, Serialize)]
pub struct Scaling {
    /// Its policy.
    pub policy: String,
    /// How often what was done.
    #[serde(flatten)]
    pub counts: ScalingCounts,
    /// Most instances that there were at once, those that started or drained included.
    pub most_instances: u64,
    /// Ready prefill instances for each ready decode instance, mean by time; none without both.
    pub pd_ratio_mean: Option<f64>,
    /// Its standard deviation.
    pub pd_ratio_deviation: Option<f64>,
}

impl Scaling {
    fn of(records: &Records, log: &ScalingLog) -> Self {
        let mut kinds = vec![None; records.instances.len()];
        let (mut ready, mut there) = ([0_u64; 2], 0_u64);
        let (mut most, mut weight, mut sum, mut squares) = (0, 0.0, 0.0, 0.0);
        let mut since = Nanos::ZERO;
        let mut add = |time: Nanos, since: Nanos, ready: [u64; 2]| {
            let seconds = (time - since).as_secs_f64();
            if ready[1] > 0 {
                let ratio = ready[0] as f64 / ready[1] as f64;
                weight += seconds;
                sum += seconds * ratio;
                squares += seconds * ratio * ratio;
            }
        };
        for event in &records.state_changes {
            add(event.time, since, ready);
            since = event.time;
            let role = records.instances[event.instance as usize].role;
            let index = match role {
                Role::Prefill => Some(0),
                Role::Decode => Some(1),
                _ => None,
            };
            let before = kinds[event.instance as usize].replace(event.state);
            if before.is_none() {
                there += 1;
            }
            if event.state == State::Gone {
                there -= 1;
            }
            most = most.max(there);
            if let Some(index) = index {
                ready[index] -= u64::from(before == Some(State::Ready));
                ready[index] += u64::from(event.state == State::Ready);
            }
        }
        add(records.end.max(since), since, ready);
        let paired = [Role::Prefill, Role::Decode]
            .iter()
            .all(|role| records.instances.iter().any(|i| i.role == *role));
        let mean = (paired && weight > 0.0).then(|| sum / weight);
        Self {
            policy: log.policy.clone(),
            counts: log.counts,
            most_instances: most,
            pd_ratio_mean: mean,
            pd_ratio_deviation: mean.map(|mean| (squares / weight - mean * mean).max(0.0).sqrt()),
        }
    }
}

/// Requests that did not end, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Unfinished {
    /// In all.
    pub total: u64,
    /// They need more memory than an instance has.
    pub too_large: u64,
    /// No instance took them.
    pub no_instance: u64,
    /// The simulation ended before.
    pub end_of_time: u64,
    /// The simulation ended before they came; these are not among those that arrived.
    pub not_arrived: u64,
}

/// Objectives of the Splitwise study, and a user's own.
#[derive(Debug, Clone, Serialize)]
pub struct Slo {
    /// Slowdowns at the 50th, 90th and 99th percentile against what is allowed there.
    pub slowdowns: Vec<SlowdownLimit>,
    /// Whether all of these are kept.
    pub slowdowns_met: bool,
    /// Part of the finished requests that met all absolute objectives.
    pub attainment: f64,
    /// Part whose first token came in time.
    pub ttft_attainment: f64,
    /// Part whose tokens followed each other in time.
    pub tbt_attainment: f64,
    /// Part that ended in time, where there is such an objective.
    pub e2e_attainment: Option<f64>,
}

/// Hours and dollars.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cost {
    /// From asking for an instance until it was given back.
    pub instance_hours: f64,
    /// The same, times GPUs.
    pub gpu_hours: f64,
    /// Dollars, where the price of all GPUs is known.
    pub dollars: Option<f64>,
    /// Watt-hours of GPUs, where their powers are known.
    pub gpu_watt_hours: Option<f64>,
}

/// What one pool did.
#[derive(Debug, Clone, Serialize)]
pub struct PoolUse {
    /// Name.
    pub pool: String,
    /// GPU.
    pub sku: String,
    /// GPUs of an instance.
    pub gpus: u32,
    /// Blocks of an instance.
    pub blocks: u32,
    /// Instances that there were.
    pub instances: u64,
    /// Part of their time that they computed.
    pub utilisation: f64,
    /// Part of their blocks that requests held, by time.
    pub mean_kv_usage: f64,
    /// Most of it on one instance.
    pub peak_kv_usage: f64,
}

impl Serving {
    /// Of a run; slowdowns are against `reference`, an instance that has nothing else to do.
    pub fn new(
        records: &Records,
        scaling: Option<&ScalingLog>,
        resources: &[PoolResources],
        slo: &Objectives,
        reference: &mut dyn LatencyModel,
    ) -> Self {
        let finished: Vec<&RequestRecord> = records
            .requests
            .iter()
            .filter(|r| r.is_finished())
            .collect();
        let of = |value: fn(&RequestRecord) -> Option<f64>| -> Vec<f64> {
            finished.iter().filter_map(|r| value(r)).collect()
        };
        let (mut ttft, mut tbt, mut e2e, mut queue) = (
            of(RequestRecord::ttft),
            of(RequestRecord::tbt),
            of(RequestRecord::e2e),
            of(RequestRecord::queued),
        );
        let times = finished.iter().map(|r| Times {
            prompt: r.prompt,
            output: r.output,
            ttft: r.ttft(),
            tbt: r.tbt(),
            e2e: r.e2e(),
        });
        let (slowdown, limits) = slowdowns(times, |prompt| alone(prompt, reference));
        let seconds = records.end.as_secs_f64();
        let per_second = |count: usize| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        let part = |keeps: &dyn Fn(&RequestRecord) -> bool| {
            let kept = finished.iter().filter(|r| keeps(r)).count();
            kept as f64 / finished.len().max(1) as f64
        };
        let first = |r: &RequestRecord| kept(r, slo)[0];
        let between = |r: &RequestRecord| kept(r, slo)[1];
        let whole = |r: &RequestRecord| kept(r, slo)[2];
        let all = |r: &RequestRecord| first(r) && between(r) && whole(r);
        let good = finished.iter().filter(|r| all(r)).count();
        let sum = |of: fn(&RequestRecord) -> u32| -> u64 {
            finished.iter().map(|r| u64::from(of(r))).sum()
        };
        let (prompt_tokens, cached_tokens) = (sum(|r| r.prompt), sum(|r| r.cached));
        let unfinished = Unfinished::of(&records.requests);
        let mut clamped = Clamped::default();
        for instance in &records.instances {
            clamped.steps += instance.clamped.steps;
            clamped.of += instance.clamped.of;
        }
        Self {
            arrived: records.requests.len() as u64 - unfinished.not_arrived,
            finished: finished.len() as u64,
            unfinished,
            end_seconds: seconds,
            ttft: Distribution::from_values(&mut ttft),
            tbt: Distribution::from_values(&mut tbt),
            itl: token_gaps(records),
            e2e: Distribution::from_values(&mut e2e),
            queue: Distribution::from_values(&mut queue),
            slowdown,
            slo: Slo {
                slowdowns_met: limits.iter().all(|limit| limit.met),
                slowdowns: limits,
                attainment: part(&all),
                ttft_attainment: part(&first),
                tbt_attainment: part(&between),
                e2e_attainment: slo.e2e_seconds.map(|_| part(&whole)),
            },
            requests_per_second: per_second(finished.len()),
            goodput: per_second(good),
            prompt_tokens,
            cached_tokens,
            token_hit_ratio: cached_tokens as f64 / prompt_tokens.max(1) as f64,
            output_tokens: sum(|r| r.output),
            moved_bytes: records.moved_bytes,
            preemptions: records.instances.iter().map(|i| i.preemptions).sum(),
            steps: records.steps,
            clamped,
            cost: Cost::of(records, resources),
            pools: pools(records, resources),
            scaling: scaling.map(|log| Scaling::of(records, log)),
        }
    }
}

/// Whether a finished request's first token, its mean time between tokens and its end came in time.
pub fn kept(record: &RequestRecord, slo: &Objectives) -> [bool; 3] {
    let in_time = |time: Option<f64>, limit: f64| time.is_none_or(|time| time <= limit);
    [
        in_time(record.ttft(), slo.ttft_seconds),
        in_time(record.tbt(), slo.tbt_seconds),
        slo.e2e_seconds
            .is_none_or(|most| in_time(record.e2e(), most)),
    ]
}

impl Unfinished {
    fn of(requests: &[RequestRecord]) -> Self {
        let count = |outcome| requests.iter().filter(|r| r.outcome == outcome).count() as u64;
        let (too_large, no_instance, end_of_time) = (
            count(Outcome::TooLarge),
            count(Outcome::NoInstance),
            count(Outcome::EndOfTime),
        );
        Self {
            total: too_large + no_instance + end_of_time,
            too_large,
            no_instance,
            end_of_time,
            not_arrived: count(Outcome::NotArrived),
        }
    }
}

/// The histogram's buckets by their middle.
fn token_gaps(records: &Records) -> Distribution {
    let gaps = records.token_gaps.iter_recorded();
    let mut pairs: Vec<(f64, u64)> = gaps
        .map(|gap| {
            let middle = records
                .token_gaps
                .median_equivalent(gap.value_iterated_to());
            (middle as f64 / 1e9, gap.count_since_last_iteration())
        })
        .collect();
    Distribution::from_weighted(&mut pairs)
}

/// Seconds that a request would take alone: its prompt in one step, and a decode with its prompt as context.
pub fn alone(prompt: u32, reference: &mut dyn LatencyModel) -> (f64, f64) {
    let mut step = Step {
        prefills: vec![Chunk {
            tokens: prompt,
            past: 0,
        }],
        sampled: 1,
        ..Step::default()
    };
    let first = reference.seconds(&step);
    step.clear();
    step.decodes = 1;
    step.decode_context = u64::from(prompt.saturating_sub(1));
    step.sampled = 1;
    (first, reference.seconds(&step))
}

/// Hours from asking for an instance until it was given back.
fn hours(instance: &InstanceRecord) -> f64 {
    (instance.gone - instance.created).as_secs_f64() / 3600.0
}

impl Cost {
    fn of(records: &Records, resources: &[PoolResources]) -> Self {
        let mut cost = Self {
            dollars: Some(0.0),
            gpu_watt_hours: Some(0.0),
            ..Self::default()
        };
        for instance in &records.instances {
            let Some(setup) = resources.iter().find(|setup| setup.pool == instance.pool) else {
                continue;
            };
            let hours = hours(instance);
            let gpu_hours = hours * f64::from(setup.gpus);
            cost.instance_hours += hours;
            cost.gpu_hours += gpu_hours;
            cost.dollars = cost
                .dollars
                .zip(setup.hour_cost)
                .map(|(sum, price)| sum + price * gpu_hours);
            let watts = setup.watts.map(|[idle, prefill, decode]| {
                let busy = instance.busy.as_secs_f64() / 3600.0;
                let prompts = instance.busy_prefill.as_secs_f64() / 3600.0;
                idle * (hours - busy) + prefill * prompts + decode * (busy - prompts)
            });
            cost.gpu_watt_hours = cost
                .gpu_watt_hours
                .zip(watts)
                .map(|(sum, watts)| sum + watts * f64::from(setup.gpus));
        }
        cost
    }
}

fn pools(records: &Records, resources: &[PoolResources]) -> Vec<PoolUse> {
    let of = |setup: &PoolResources| {
        let members: Vec<&InstanceRecord> = records
            .instances
            .iter()
            .filter(|instance| instance.pool == setup.pool)
            .collect();
        let life: f64 = members
            .iter()
            .map(|i| (i.gone - i.ready).as_secs_f64())
            .sum();
        let mean = |value: &dyn Fn(&InstanceRecord) -> f64| {
            if life > 0.0 {
                members.iter().map(|i| value(i)).sum::<f64>() / life
            } else {
                0.0
            }
        };
        PoolUse {
            pool: setup.pool.clone(),
            sku: setup.sku.clone(),
            gpus: setup.gpus,
            blocks: setup.blocks,
            instances: members.len() as u64,
            utilisation: mean(&|i| i.busy.as_secs_f64()),
            mean_kv_usage: mean(&|i| i.mean_kv_usage * (i.gone - i.ready).as_secs_f64()),
            peak_kv_usage: members.iter().map(|i| i.peak_kv_usage).fold(0.0, f64::max),
        }
    };
    resources.iter().map(of).collect()
}
