//! Schedulers, which choose the instances of a request: `scheduler.py`, by the names of its configuration files.

mod mixed_pool;
mod pair;
mod single;

use super::config::SchedulerConfig;
use super::instance::{Instance, Pool};
use super::request::Request;
use crate::base::error::{Error, Result};

use mixed_pool::MixedPool;
use pair::Pair;
use single::Single;

/// All names, as in `configs/orchestrator_repo/schedulers`.
pub const NAMES: [&str; 11] = [
    "random",
    "round_robin",
    "jsq",
    "token_jsq",
    "kv_round_robin",
    "kv_round_robin_ethernet",
    "kv_jsq",
    "overlap_kv_jsq",
    "kv_token_jsq",
    "overlap_kv_token_jsq",
    "mixed_pool",
];

/// Default bandwidth of KV transfers in GiB/s: InfiniBand, and Ethernet.
const INFINIBAND: f64 = 200.0;
const ETHERNET: f64 = 12.5;
/// Transferring during the prompt hides nine tenths of the time, which equals ten times the bandwidth.
const OVERLAP: f64 = 10.0;
/// Number of prompt tokens that may wait on an instance before the mixed pool uses another.
const PROMPT_TOKENS: i64 = 8192;

/// The instances chosen for the tasks of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) prompt: usize,
    pub(super) token: usize,
    /// Whether the KV cache is transferred between the instances; otherwise the tasks are chained on one instance.
    pub(super) ships: bool,
}

#[derive(Debug)]
enum Rule {
    Single(Single),
    Pair(Pair),
    MixedPool(MixedPool),
}

/// A scheduler of SplitwiseSim with its state.
#[derive(Debug)]
pub(super) struct Scheduler {
    rule: Rule,
    /// Bandwidth of KV transfers, in bytes per second.
    bandwidth: f64,
}

impl Scheduler {
    /// Creates the scheduler of `config` over `instances`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown name, or for a parameter that the scheduler does not have.
    pub(super) fn new(config: &SchedulerConfig, seed: u64, instances: &[Instance]) -> Result<Self> {
        let name = config.name.as_str();
        let of = |pool: Pool| -> Vec<usize> {
            (0..instances.len())
                .filter(|index| instances[*index].pool == Some(pool))
                .collect()
        };
        let pair = |choice| Rule::Pair(Pair::new(choice, of(Pool::Prompt), of(Pool::Token)));
        let (rule, default, factor) = match name {
            "random" => (Rule::Single(Single::random(seed)), None, 1.0),
            "round_robin" => (Rule::Single(Single::RoundRobin { next: 0 }), None, 1.0),
            "jsq" => (Rule::Single(Single::ShortestQueue), None, 1.0),
            "token_jsq" => (Rule::Single(Single::FewestTokens), None, 1.0),
            "kv_round_robin" => (pair(pair::Choice::RoundRobin), Some(INFINIBAND), 1.0),
            "kv_round_robin_ethernet" => (pair(pair::Choice::RoundRobin), Some(ETHERNET), 1.0),
            "kv_jsq" => (pair(pair::Choice::ShortestQueue), Some(INFINIBAND), 1.0),
            "overlap_kv_jsq" => (pair(pair::Choice::ShortestQueue), Some(INFINIBAND), OVERLAP),
            // The configuration file `kv_token_jsq.yaml` also names the class that overlaps transfer and prompt.
            "kv_token_jsq" | "overlap_kv_token_jsq" => {
                (pair(pair::Choice::FewestTokens), Some(INFINIBAND), OVERLAP)
            }
            "mixed_pool" => {
                let limit = config
                    .prompt_max_pending_batch_tokens
                    .unwrap_or(PROMPT_TOKENS);
                let pool = MixedPool::new(limit, of(Pool::Prompt), of(Pool::Token));
                (Rule::MixedPool(pool), Some(INFINIBAND), 1.0)
            }
            _ => return Err(Error::unknown_name("scheduler", name, &NAMES)),
        };
        let mixed = matches!(rule, Rule::MixedPool(_));
        if config.transfer_bandwidth.is_some() && default.is_none() {
            return Err(Error::usage(
                format!("scheduler `{name}` transfers no KV cache and has no `transfer_bandwidth`"),
                "remove it, or use mixed_pool or one of the kv schedulers",
            ));
        }
        if config.prompt_max_pending_batch_tokens.is_some() && !mixed {
            return Err(Error::usage(
                format!("scheduler `{name}` has no `prompt_max_pending_batch_tokens`"),
                "remove it, or use mixed_pool",
            ));
        }
        let gib = config.transfer_bandwidth.or(default).unwrap_or(INFINIBAND);
        if !(gib > 0.0 && gib.is_finite()) {
            return Err(Error::usage(
                format!("a transfer bandwidth of {gib} GiB/s"),
                "give a number above 0",
            ));
        }
        Ok(Self {
            rule,
            bandwidth: gib * factor * f64::from(1 << 30),
        })
    }

    /// Chooses the instances of a request, and counts its load if the scheduler counts load.
    ///
    /// # Errors
    /// A description of the problem, if no instance can be chosen.
    pub(super) fn place(
        &mut self,
        request: &Request,
        instances: &mut [Instance],
    ) -> Result<Placement, String> {
        let placed = match &mut self.rule {
            Rule::Single(single) => single.place(request, instances),
            Rule::Pair(pair) => pair.place(instances),
            Rule::MixedPool(pool) => pool.place(request, instances),
        };
        placed.ok_or_else(|| {
            "the scheduler has no instance for a request; \
             kv schedulers and mixed_pool need prompt and token instances"
                .to_owned()
        })
    }

    /// Called when an instance has neither waiting nor running requests.
    pub(super) fn instance_is_free(&mut self, index: usize, instances: &mut [Instance]) {
        if let Rule::MixedPool(pool) = &mut self.rule {
            pool.instance_is_free(index, instances);
        }
    }

    /// Seconds that a transfer takes; concurrent transfers do not share the bandwidth.
    pub(super) fn transfer_seconds(&self, bytes: i64) -> f64 {
        bytes as f64 / self.bandwidth
    }
}

/// The first of several minimal elements, as Python's `min`.
fn least<K: PartialOrd>(
    indices: impl IntoIterator<Item = usize>,
    instances: &[Instance],
    key: impl Fn(&Instance) -> K,
) -> Option<usize> {
    let mut best: Option<(usize, K)> = None;
    for index in indices {
        let value = key(&instances[index]);
        if best.as_ref().is_none_or(|(_, least)| value < *least) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}
