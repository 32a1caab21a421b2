//! The figures of one replay under their published names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::analysis::Residency;
use super::{Analysis, BLOCK_SECONDS, Continuity, Group, Histogram};
use crate::base::Distribution;
use crate::cache::BlockTrace;
use crate::cache::capacity::ModelConfig;
use crate::cache::engine::{Capacity, EngineOptions, FreeOrder, TierSummary};
use crate::trace::Trace;

/// Settings of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Engine that manages the cache.
    pub engine: String,
    /// Eviction policy.
    pub policy: String,
    /// Tokens per block.
    pub block_size: u32,
    /// Number of usable blocks; `None` if unbounded.
    pub capacity_blocks: Option<u32>,
    /// Whether the blocks that outputs fill are cached.
    pub cache_output: bool,
    /// Whether a fully cached prompt still computes its last token.
    pub last_token_cap: bool,
    /// How long requests hold their blocks.
    pub hold: String,
    /// Whether requests overlap.
    #[serde(skip)]
    pub overlaps: bool,
    /// Position of freed blocks without hash in vLLM's free queue.
    pub free_order: String,
}

/// Savings by the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Savings {
    /// Prompt tokens that need no prefill.
    pub prefill_tokens_avoided: u64,
    /// Floating-point operations of prefill that were avoided; only with a model.
    pub prefill_flops_avoided: Option<f64>,
    /// Size in bytes of the blocks that are cached at the end; only with a model.
    pub gib_held: Option<f64>,
}

/// Times in the cache of evicted blocks, in seconds, by vLLM's and LMCache's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResidencySummary {
    /// Insertion to eviction.
    pub block_lifetime_seconds: Distribution,
    /// Last use to eviction.
    pub block_idle_before_evict_seconds: Distribution,
    /// From eviction to the next request that contains the block.
    pub reuse_after_eviction_seconds: Distribution,
    /// The same times by the names and in the buckets of the engines' own metrics.
    pub histograms: BTreeMap<String, Histogram>,
}

/// Effects of overlapping requests on each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverlapSummary {
    /// Number of requests that did not fit on arrival and waited for blocks.
    pub waiting_requests: u64,
    /// Total waiting time, in seconds.
    pub waiting_seconds_total: f64,
    /// Distribution of the waiting times, in seconds.
    pub waiting_seconds: Distribution,
    /// Number of requests that were preempted at least once.
    pub preempted_requests: u64,
    /// Number of preemptions.
    pub preemptions: u64,
}

/// Distinct blocks used in a window of the trace's time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Start of the window in seconds.
    pub start: f64,
    /// Number of distinct blocks.
    pub distinct_blocks: u64,
}

/// All figures of one replay, as written to `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Settings of the replay.
    pub settings: Settings,
    /// Number of requests in the trace.
    pub requests: u64,
    /// Number of requests that were rejected because they need more blocks than the cache has.
    pub rejected_requests: u64,
    /// Number of requests whose output was truncated because it needs more blocks than the cache has.
    pub cut_outputs: u64,
    /// Waiting and preemptions; only where requests overlap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapSummary>,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Prompt tokens found in the cache.
    pub cached_tokens: u64,
    /// `cached_tokens / prompt_tokens`
    pub token_hit_ratio: f64,
    /// Mean over requests of the fraction of block look-ups that hit.
    pub mean_request_hit_ratio: f64,
    /// Prompt blocks that could be looked up.
    pub block_lookups: u64,
    /// Prompt blocks that were found and used.
    pub block_hits: u64,
    /// `block_hits / block_lookups`
    pub block_hit_ratio: f64,
    /// Number of distinct blocks in prompts.
    pub distinct_blocks: u64,
    /// Number of times that a block was stored that was not cached, including blocks of outputs.
    #[serde(default)]
    pub new_blocks: u64,
    /// Number of blocks cached at the end, including those of outputs: `new_blocks - evictions`.
    pub resident_blocks: u64,
    /// Number of times that a block was evicted, so that it could no longer be found.
    pub evictions: u64,
    /// Number of second copies of cached blocks that lost their content; vLLM counts them as evictions, too.
    #[serde(default)]
    pub evicted_copies: u64,
    /// Distribution over requests of cached prompt tokens / prompt tokens.
    pub sharing_fraction: Distribution,
    /// Distribution of the accesses per block (a block with 1 access was never reused).
    pub block_accesses: Distribution,
    /// Distribution of the trace time between accesses of a block, in seconds.
    pub reuse_gap_seconds: Distribution,
    /// Distribution of the number of requests from one access of a block to the next.
    pub reuse_gap_requests: Distribution,
    /// Distribution of the number of distinct blocks used between accesses of a block; only where blocks are chained.
    pub reuse_stack_distance_blocks: Option<Distribution>,
    /// Times in the cache; only with a finite capacity.
    pub residency: Option<ResidencySummary>,
    /// Savings by the cache.
    pub savings: Savings,
    /// Tokens that follow-up prompts share with the previous request; only for traces of tokens.
    pub continuity: Option<Continuity>,
    /// Sharing by turn, counted from 1.
    pub by_turn: Vec<Group>,
    /// Sharing by number of requests in the session.
    pub by_session_length: Vec<Group>,
    /// Sharing by prompt tokens.
    pub by_prompt_length: Vec<Group>,
    /// Distinct blocks per window of the trace's time.
    pub working_set: Vec<Window>,
    /// Counts of each tier; only with tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Vec<TierSummary>>,
}

impl Settings {
    /// The settings of a replay with these options.
    pub fn new(options: &EngineOptions, blocks: &BlockTrace) -> Self {
        Self {
            engine: options.engine.name().to_owned(),
            policy: options.policy.clone(),
            block_size: blocks.block_size(),
            capacity_blocks: match options.capacity {
                Capacity::Unbounded => None,
                Capacity::Blocks(blocks) => Some(blocks),
            },
            cache_output: options.caches_output(),
            last_token_cap: options.caps_last_token(blocks),
            hold: options.hold.to_string(),
            overlaps: options.hold.overlaps(),
            free_order: match options.free_order {
                FreeOrder::Current => "current",
                FreeOrder::Legacy => "legacy",
            }
            .to_owned(),
        }
    }
}

impl OverlapSummary {
    fn of(analysis: &Analysis) -> Self {
        let mut waits = analysis.waits();
        Self {
            waiting_requests: waits.len() as u64,
            waiting_seconds_total: waits.iter().sum(),
            waiting_seconds: Distribution::from_values(&mut waits),
            preempted_requests: analysis.sum(|request| u32::from(request.preempted > 0)),
            preemptions: analysis.sum(|request| request.preempted),
        }
    }
}

/// vLLM's metrics of its KV blocks, and LMCache's metric of blocks that are requested again after their eviction.
fn histograms(residency: &Residency) -> BTreeMap<String, Histogram> {
    let of = |values: &[f64]| Histogram::new(BLOCK_SECONDS, values.iter().map(|v| (*v, 1)));
    let named = [
        ("vllm:kv_block_lifetime_seconds", of(&residency.lifetimes)),
        (
            "vllm:kv_block_idle_before_evict_seconds",
            of(&residency.idle),
        ),
        (
            "vllm:kv_block_reuse_gap_seconds",
            Histogram::new(BLOCK_SECONDS, residency.hit_gaps.iter().copied()),
        ),
        (
            "lmcache_mp_l1_chunk_evict_reuse_gap_seconds",
            of(&residency.reuse_after_eviction),
        ),
    ];
    named.map(|(name, all)| (name.to_owned(), all)).into()
}

impl Summary {
    /// Computes the figures of an analysis.
    pub fn new(
        trace: &Trace,
        analysis: &Analysis,
        settings: Settings,
        model: Option<&ModelConfig>,
    ) -> Self {
        let cached_tokens = analysis.sum(|request| request.cached_tokens);
        let bounded = settings.capacity_blocks.is_some();
        let overlaps = settings.overlaps;
        let block_bytes =
            model.map(|model| model.bytes_per_token() * u64::from(settings.block_size));
        let held = u64::from(analysis.resident_blocks);
        let of = |values: &[f64]| Distribution::from_values(&mut values.to_vec());
        let residency = &analysis.residency;
        Self {
            settings,
            requests: analysis.requests.len() as u64,
            rejected_requests: analysis.rejected(),
            cut_outputs: analysis.sum(|request| u32::from(request.cut)),
            overlap: overlaps.then(|| OverlapSummary::of(analysis)),
            prompt_tokens: analysis.sum(|request| request.prompt_tokens),
            cached_tokens,
            token_hit_ratio: analysis.token_hit_ratio(),
            mean_request_hit_ratio: analysis.mean_request_hit_ratio(),
            block_lookups: analysis.sum(|request| request.lookups),
            block_hits: analysis.sum(|request| request.hits),
            block_hit_ratio: analysis.block_hit_ratio(),
            distinct_blocks: analysis.distinct_blocks(),
            new_blocks: analysis.sum(|request| request.new_blocks),
            resident_blocks: held,
            evictions: analysis.sum(|request| request.evicted),
            evicted_copies: analysis.sum(|request| request.evicted_copies),
            sharing_fraction: of(&analysis.sharing_fractions()),
            block_accesses: analysis.block_accesses(),
            reuse_gap_seconds: analysis.gaps.in_seconds(),
            reuse_gap_requests: analysis.gaps.in_requests(),
            reuse_stack_distance_blocks: analysis.gaps.in_blocks(),
            residency: bounded.then(|| ResidencySummary {
                block_lifetime_seconds: of(&residency.lifetimes),
                block_idle_before_evict_seconds: of(&residency.idle),
                reuse_after_eviction_seconds: of(&residency.reuse_after_eviction),
                histograms: histograms(residency),
            }),
            savings: Savings {
                prefill_tokens_avoided: cached_tokens,
                prefill_flops_avoided: model
                    .and_then(ModelConfig::prefill_flops_per_token)
                    .map(|flops| flops as f64 * cached_tokens as f64),
                gib_held: block_bytes.map(|bytes| (bytes * held) as f64 / (1u64 << 30) as f64),
            },
            continuity: Continuity::of(trace),
            by_turn: analysis.groups.by_turn.clone(),
            by_session_length: analysis.groups.by_session_length.clone(),
            by_prompt_length: analysis.groups.by_prompt_length.clone(),
            working_set: analysis
                .working_set
                .iter()
                .map(|(start, blocks)| Window {
                    start: start.as_secs_f64(),
                    distinct_blocks: *blocks,
                })
                .collect(),
            tiers: None,
        }
    }
}
