//! The signals that scaling policies use, each defined once.
//!
//! Rates and latencies cover a window that ends now; numbers of instances and queues are current values. A signal without
//! values in the window (for example, if no request got its first token) is 0, as in the reference systems;
//! [`Sample::is_empty`] and `completed` show whether there were values.

use crate::base::percentile_sorted;
use crate::sim::Role;

/// A fleet: the instances with one role, over all pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FleetKind {
    /// Prefill.
    Prefill,
    /// Decode.
    Decode,
    /// Prefill and decode.
    Mixed,
    /// Whole requests.
    Aggregated,
}

impl FleetKind {
    /// Name in configuration and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Mixed => "mixed",
            Self::Aggregated => "aggregated",
        }
    }

    /// Whether its instances compute prompts.
    pub fn prefills(self) -> bool {
        self != Self::Decode
    }

    /// Whether its instances compute outputs.
    pub fn decodes(self) -> bool {
        self != Self::Prefill
    }
}

impl From<Role> for FleetKind {
    fn from(role: Role) -> Self {
        match role {
            Role::Prefill => Self::Prefill,
            Role::Decode => Self::Decode,
            Role::Mixed => Self::Mixed,
            Role::Aggregated => Self::Aggregated,
        }
    }
}

/// Values of a window, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// Values in any order.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { sorted: values }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Mean; 0 if there are no values.
    pub fn mean(&self) -> f64 {
        self.sorted.iter().sum::<f64>() / self.sorted.len().max(1) as f64
    }

    /// A percentile, 0 to 100, interpolated as numpy's default; 0 if there are no values.
    pub fn at(&self, percentile: f64) -> f64 {
        percentile_sorted(&self.sorted, percentile / 100.0).unwrap_or_default()
    }
}

/// A ready instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Member {
    /// Number of the instance.
    pub instance: u32,
    /// Fraction of its blocks that requests hold.
    pub kv_usage: f64,
    /// Requests that wait for a batch or for KV memory.
    pub waiting: u32,
    /// Requests in its batches.
    pub running: u32,
    /// Requests routed to it that have not finished.
    pub requests: u32,
}

/// Signals of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The fleet.
    pub kind: FleetKind,
    /// Instances that accept requests.
    pub ready: u32,
    /// Instances that were requested and are not ready yet.
    pub starting: u32,
    /// Instances that are out of routing but kept.
    pub parked: u32,
    /// Instances that finish their requests and then terminate.
    pub draining: u32,
    /// Fraction of the window in which ready instances computed.
    pub busy: f64,
    /// Fraction of the KV blocks that requests hold now, mean of ready instances.
    pub kv_usage: f64,
    /// Requests that wait for a batch or for KV memory.
    pub waiting: u32,
    /// Waiting tokens: for a prefill or aggregated fleet, prompt tokens still to be computed; for a decode fleet, tokens
    /// whose KV has not been transferred yet.
    pub queue_tokens: u64,
    /// Requests in batches.
    pub running: u32,
    /// Requests routed to this fleet that have not finished.
    pub requests: u32,
    /// Prompt tokens computed per second, recomputed ones included.
    pub prefill_tps: f64,
    /// Output tokens sampled per second.
    pub output_tps: f64,
    /// Ready instances, by number.
    pub members: Vec<Member>,
}

impl Fleet {
    /// A fleet without instances.
    pub fn none(kind: FleetKind) -> Self {
        Self {
            kind,
            ready: 0,
            starting: 0,
            parked: 0,
            draining: 0,
            busy: 0.0,
            kv_usage: 0.0,
            waiting: 0,
            queue_tokens: 0,
            running: 0,
            requests: 0,
            prefill_tps: 0.0,
            output_tps: 0.0,
            members: Vec::new(),
        }
    }

    /// Ready and starting instances: the number that a target is compared with.
    pub fn provisioned(&self) -> u32 {
        self.ready + self.starting
    }

    /// A signal by its name in [`FLEET_SIGNALS`].
    pub fn signal(&self, name: &str) -> Option<f64> {
        let found = FLEET_SIGNALS.iter().find(|signal| signal.name == name)?;
        Some((found.get)(self))
    }
}

/// The signals of one control interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Signals {
    /// Seconds since the start.
    pub time: f64,
    /// Duration of the window, in seconds.
    pub window: f64,
    /// Requests that arrived, per second.
    pub arrival_rate: f64,
    /// Requests that finished in the window.
    pub completed: u64,
    /// Prompt tokens of requests that arrived, per second.
    pub arrived_prompt_tps: f64,
    /// Uncached prompt tokens of requests whose prefill began, per second: the tokens that prefill has to compute.
    pub cache_missed_tps: f64,
    /// Fraction of the prompt tokens of requests whose prefill began that was found in a prefix cache.
    pub hit_ratio: f64,
    /// Prompt tokens computed per second.
    pub prefill_tps: f64,
    /// Output tokens sampled per second.
    pub decode_tps: f64,
    /// Output tokens of requests that finished, per second; lags by the duration of a request.
    pub completed_output_tps: f64,
    /// Mean prompt length (ISL) of requests that arrived.
    pub isl: f64,
    /// Mean output length (OSL) of requests that finished.
    pub osl: f64,
    /// Time to first token (TTFT) of requests that got it, in seconds.
    pub ttft: Sample,
    /// Mean time between tokens (TBT) of requests that finished, in seconds.
    pub tbt: Sample,
    /// Mean gap between consecutive tokens (ITL) of all requests, in seconds.
    pub itl: f64,
    /// End-to-end time (E2E) of requests that finished, in seconds.
    pub e2e: Sample,
    /// Requests that have not been in a batch yet.
    pub waiting: u32,
    /// Waiting time of the oldest of them, in seconds.
    pub oldest_wait: f64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Fleets of the cluster, in the order of [`FleetKind`].
    pub fleets: Vec<Fleet>,
}

impl Signals {
    /// Signals without values.
    pub fn empty() -> Self {
        Self {
            time: 0.0,
            window: 0.0,
            arrival_rate: 0.0,
            completed: 0,
            arrived_prompt_tps: 0.0,
            cache_missed_tps: 0.0,
            hit_ratio: 0.0,
            prefill_tps: 0.0,
            decode_tps: 0.0,
            completed_output_tps: 0.0,
            isl: 0.0,
            osl: 0.0,
            ttft: Sample::default(),
            tbt: Sample::default(),
            itl: 0.0,
            e2e: Sample::default(),
            waiting: 0,
            oldest_wait: 0.0,
            in_flight: 0,
            fleets: Vec::new(),
        }
    }

    /// The fleet of a kind.
    pub fn fleet(&self, kind: FleetKind) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.kind == kind)
    }

    /// Ready prefill instances per ready decode instance; 0 if there are none of either.
    pub fn pd_ratio(&self) -> f64 {
        let ready = |kind| self.fleet(kind).map_or(0, |fleet| fleet.ready);
        match (ready(FleetKind::Prefill), ready(FleetKind::Decode)) {
            (_, 0) => 0.0,
            (prefill, decode) => f64::from(prefill) / f64::from(decode),
        }
    }

    /// A signal of the whole cluster by its name in [`SIGNALS`], or a percentile such as `ttft_p95`.
    pub fn signal(&self, name: &str) -> Option<f64> {
        if let Some(found) = SIGNALS.iter().find(|signal| signal.name == name) {
            return Some((found.get)(self));
        }
        let (sample, percentile) = name.rsplit_once("_p")?;
        let percentile: f64 = percentile.parse().ok()?;
        let sample = match sample {
            "ttft" => &self.ttft,
            "tbt" => &self.tbt,
            "e2e" => &self.e2e,
            _ => return None,
        };
        (0.0..=100.0)
            .contains(&percentile)
            .then(|| sample.at(percentile))
    }
}

/// Name, unit and meaning of a signal, and the function that reads it.
#[derive(Debug)]
pub struct Signal<T> {
    /// Name in configuration, scripts and logs.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Short description.
    pub meaning: &'static str,
    /// Reads the value.
    pub get: fn(&T) -> f64,
}

macro_rules! signals {
    ($of:ty: $($name:literal, $unit:literal, $meaning:literal, $get:expr;)*) => {
        &[$(Signal { name: $name, unit: $unit, meaning: $meaning, get: { let get: fn(&$of) -> f64 = $get; get } }),*] as &[Signal<$of>]
    };
}

/// Signals of the whole cluster, in the order of the log.
pub const SIGNALS: &[Signal<Signals>] = signals! { Signals:
    "arrival_rate", "1/s", "requests that arrived", |s| s.arrival_rate;
    "completion_rate", "1/s", "requests that finished", |s| s.completed as f64 / s.window.max(f64::MIN_POSITIVE);
    "arrived_prompt_tps", "tokens/s", "prompt tokens of requests that arrived", |s| s.arrived_prompt_tps;
    "cache_missed_tps", "tokens/s", "uncached prompt tokens of requests whose prefill began", |s| s.cache_missed_tps;
    "hit_ratio", "", "fraction of the prompt tokens of requests whose prefill began that was found in a prefix cache", |s| s.hit_ratio;
    "prefill_tps", "tokens/s", "prompt tokens computed", |s| s.prefill_tps;
    "decode_tps", "tokens/s", "output tokens sampled", |s| s.decode_tps;
    "completed_output_tps", "tokens/s", "output tokens of requests that finished", |s| s.completed_output_tps;
    "isl", "tokens", "mean prompt length of requests that arrived", |s| s.isl;
    "osl", "tokens", "mean output length of requests that finished", |s| s.osl;
    "ttft_p50", "s", "time to first token, median", |s| s.ttft.at(50.0);
    "ttft_p90", "s", "time to first token, 90th percentile", |s| s.ttft.at(90.0);
    "ttft_p99", "s", "time to first token, 99th percentile", |s| s.ttft.at(99.0);
    "tbt_p50", "s", "mean time between tokens of a request, median", |s| s.tbt.at(50.0);
    "tbt_p90", "s", "mean time between tokens of a request, 90th percentile", |s| s.tbt.at(90.0);
    "tbt_p99", "s", "mean time between tokens of a request, 99th percentile", |s| s.tbt.at(99.0);
    "itl", "s", "mean gap between consecutive tokens", |s| s.itl;
    "e2e_p50", "s", "time from arrival to last token, median", |s| s.e2e.at(50.0);
    "e2e_p90", "s", "time from arrival to last token, 90th percentile", |s| s.e2e.at(90.0);
    "e2e_p99", "s", "time from arrival to last token, 99th percentile", |s| s.e2e.at(99.0);
    "waiting", "requests", "requests that have not been in a batch yet", |s| f64::from(s.waiting);
    "oldest_wait", "s", "waiting time of the oldest of these", |s| s.oldest_wait;
    "in_flight", "requests", "requests that have arrived and not finished", |s| f64::from(s.in_flight);
    "pd_ratio", "", "ready prefill instances per ready decode instance", Signals::pd_ratio;
};

/// Signals of a fleet, in the order of the log.
pub const FLEET_SIGNALS: &[Signal<Fleet>] = signals! { Fleet:
    "ready", "instances", "instances that accept requests", |f| f64::from(f.ready);
    "starting", "instances", "instances that were requested and are not ready yet", |f| f64::from(f.starting);
    "parked", "instances", "instances that are out of routing but kept", |f| f64::from(f.parked);
    "draining", "instances", "instances that finish their requests and then terminate", |f| f64::from(f.draining);
    "busy", "", "fraction of the window in which ready instances computed", |f| f.busy;
    "kv_usage", "", "fraction of the KV blocks that requests hold now, mean of ready instances", |f| f.kv_usage;
    "waiting", "requests", "requests that wait for a batch or for KV memory", |f| f64::from(f.waiting);
    "queue_tokens", "tokens", "tokens that wait to be computed, or to be transferred to this fleet", |f| f.queue_tokens as f64;
    "running", "requests", "requests in batches", |f| f64::from(f.running);
    "requests", "requests", "requests routed to this fleet that have not finished", |f| f64::from(f.requests);
    "prefill_tps", "tokens/s", "prompt tokens computed by this fleet", |f| f.prefill_tps;
    "output_tps", "tokens/s", "output tokens sampled by this fleet", |f| f.output_tps;
};

#[cfg(test)]
mod tests {
    use crate::autoscale::signals::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([1, 2, 3, 4], 90) is 3.7.
        let sample = Sample::new(vec![4.0, 1.0, 3.0, 2.0]);
        assert!((sample.at(90.0) - 3.7).abs() < 1e-12);
        assert_eq!(sample.at(0.0), 1.0);
        assert_eq!(sample.at(100.0), 4.0);
        assert_eq!(Sample::default().at(50.0), 0.0);
    }
}
