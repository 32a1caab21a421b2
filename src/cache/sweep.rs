//! One run of a sweep: a policy at a capacity, with counters only.

use serde::{Deserialize, Serialize};

use super::BlockTrace;
use super::Run;
use super::curve::Curve;
use super::engine::{
    CacheChange, Capacity, EngineEvent, EngineObserver, EngineOptions, Outcome, Shape, build,
    replay,
};
use super::eviction::expires;
use crate::base::error::Result;
use crate::trace::Nanos;

/// Result of one policy at one capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Hits divided by look-ups.
    pub block_hit_ratio: f64,
    /// Cached prompt tokens divided by all prompt tokens.
    pub token_hit_ratio: f64,
    /// Mean over requests of hits divided by look-ups.
    pub mean_request_hit_ratio: f64,
    /// Number of evictions.
    pub evictions: u64,
    /// Requests that need more blocks than the cache has.
    pub rejected: u64,
    /// Requests that waited for blocks, if requests overlap.
    pub waiting: u64,
    /// Number of preemptions, if requests overlap.
    pub preemptions: u64,
    /// Mean time since a block's last use when it hits; only if hits are prefixes.
    pub hit_gap_seconds: Option<f64>,
    /// Operations of the policy; `None` if it was not replayed, or does not count them.
    pub steps: Option<u64>,
}

/// Whether the curve gives the result for these options: LRU at any capacity, and policies without expiry at unlimited
/// capacity.
pub fn on_curve(options: &EngineOptions, distinct: u32) -> bool {
    let roomy = match options.capacity {
        Capacity::Unbounded => true,
        Capacity::Blocks(blocks) => blocks >= distinct,
    };
    options.engine.card().is_block_cache()
        && !options.count_by_access
        && (options.policy == "lru" || (roomy && !expires(&options.policy)))
}

impl Counts {
    /// Reads the result from the curve.
    pub fn of_curve(curve: &Curve, capacity: Capacity) -> Self {
        let blocks = match capacity {
            Capacity::Unbounded => u32::MAX,
            Capacity::Blocks(blocks) => blocks,
        };
        let point = curve.at(blocks);
        Self {
            block_hit_ratio: point.block_hit_ratio,
            token_hit_ratio: point.token_hit_ratio,
            mean_request_hit_ratio: point.mean_request_hit_ratio,
            evictions: curve.evictions(blocks),
            rejected: 0,
            waiting: 0,
            preemptions: 0,
            hit_gap_seconds: Some(curve.mean_gap(blocks)),
            steps: None,
        }
    }

    /// Computes the result by a replay.
    ///
    /// # Errors
    /// As [`build`].
    pub fn replay(blocks: &BlockTrace, options: &EngineOptions) -> Result<Self> {
        let prefixes = !options.engine.card().hits_anywhere();
        let mut counter = Counter::new(blocks, prefixes);
        let mut steps = 0;
        if options.hold.overlaps() {
            replay(blocks, options, &mut counter)?;
        } else {
            let mut engine = build(options, blocks)?;
            let mut evicted = Vec::new();
            let mut cursor = blocks.cursor();
            while let Some(run) = cursor.next_run() {
                evicted.clear();
                let outcome = engine.serve(&run, Shape::of(&run.facts), &mut evicted);
                counter.add(&run, run.facts.arrival, &outcome);
            }
            steps = engine.steps();
        }
        Ok(Self {
            block_hit_ratio: ratio(counter.hits, counter.lookups),
            token_hit_ratio: ratio(counter.cached, counter.tokens),
            mean_request_hit_ratio: counter.shares / blocks.len().max(1) as f64,
            evictions: counter.evictions,
            rejected: counter.rejected,
            waiting: counter.waiting,
            preemptions: counter.preemptions,
            hit_gap_seconds: prefixes
                .then(|| counter.gaps as f64 / 1e9 / counter.hits.max(1) as f64),
            steps: Some(steps).filter(|steps| *steps > 0),
        })
    }
}

/// Adds up the results of requests.
#[derive(Debug)]
struct Counter {
    /// For each block, its last use; only if hits are prefixes.
    last: Option<Vec<Nanos>>,
    hits: u64,
    lookups: u64,
    cached: u64,
    tokens: u64,
    evictions: u64,
    rejected: u64,
    waiting: u64,
    preemptions: u64,
    shares: f64,
    gaps: u128,
}

impl Counter {
    fn new(blocks: &BlockTrace, prefixes: bool) -> Self {
        Self {
            last: prefixes.then(|| vec![Nanos::ZERO; blocks.distinct() as usize]),
            hits: 0,
            lookups: 0,
            cached: 0,
            tokens: 0,
            evictions: 0,
            rejected: 0,
            waiting: 0,
            preemptions: 0,
            shares: 0.0,
            gaps: 0,
        }
    }

    fn add(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome) {
        self.hits += u64::from(outcome.hit_blocks);
        self.lookups += run.prompt.len() as u64;
        self.cached += u64::from(outcome.cached_tokens);
        self.tokens += u64::from(run.facts.input_length);
        self.evictions += u64::from(outcome.evicted);
        self.rejected += u64::from(outcome.rejected);
        self.waiting += u64::from(outcome.waited.is_some());
        self.shares += ratio(u64::from(outcome.hit_blocks), run.prompt.len() as u64);
        if let Some(last) = &mut self.last {
            for block in &run.prompt[..outcome.hit_blocks as usize] {
                self.gaps += u128::from((now - last[*block as usize]).0);
            }
            for block in run.all {
                last[*block as usize] = now;
            }
        }
    }
}

impl EngineObserver for Counter {
    fn served(&mut self, run: &Run<'_>, now: Nanos, outcome: &Outcome, _: &CacheChange<'_>) {
        self.add(run, now, outcome);
    }

    fn changed(&mut self, _: usize, _: Nanos, change: &CacheChange<'_>) {
        self.evictions += change.went.len() as u64;
    }

    fn happened(&mut self, _: usize, what: EngineEvent) {
        self.preemptions += u64::from(what == EngineEvent::Preempted);
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use crate::base::registry::Named;
    use crate::cache::curve::{Rules, exact};
    use crate::cache::engine::EngineKind;
    use crate::cache::sweep::*;
    use crate::cache::testing::{blocks_of, paths};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_curve_says_what_a_replay_does(
            choices in prop::collection::vec(prop::collection::vec(0u8..3, 1..7), 1..40),
            capacity in 1u32..60,
        ) {
            let runs = paths(&choices);
            let runs: Vec<&[u32]> = runs.iter().map(|run| &**run).collect();
            let blocks = blocks_of(&runs);
            let options = EngineOptions {
                engine: EngineKind::IDEAL,
                capacity: Capacity::Blocks(capacity),
                ..EngineOptions::default()
            };
            let curve = exact(&blocks, &Rules::new(&options, &blocks)).expect("is chained");
            let (read, replayed) = (
                Counts::of_curve(&curve, options.capacity),
                Counts::replay(&blocks, &options).expect("replays"),
            );
            prop_assert_eq!(read.evictions, replayed.evictions);
            prop_assert_eq!(read.block_hit_ratio, replayed.block_hit_ratio);
            prop_assert_eq!(read.token_hit_ratio, replayed.token_hit_ratio);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            prop_assert!(near(read.mean_request_hit_ratio, replayed.mean_request_hit_ratio));
            prop_assert!(near(read.hit_gap_seconds.unwrap_or(-1.0), replayed.hit_gap_seconds.unwrap_or(-2.0)));
        }

        /// No policy has more block hits than Belady's, counted as blocks are used. A policy that may refuse a block is
        /// bounded by Belady's with one more block of capacity, through which refused blocks pass.
        #[test]
        fn nothing_beats_belady(
            choices in prop::collection::vec(prop::collection::vec(0u8..3, 1..7), 1..60),
            capacity in 1u32..30,
        ) {
            let runs = paths(&choices);
            let runs: Vec<&[u32]> = runs.iter().map(|run| &**run).collect();
            let blocks = blocks_of(&runs);
            let hits = |policy: &str, capacity: u32| {
                let options = EngineOptions {
                    engine: EngineKind::BLOCK,
                    policy: policy.into(),
                    count_by_access: true,
                    capacity: Capacity::Blocks(capacity),
                    ..EngineOptions::default()
                };
                Counts::replay(&blocks, &options).expect("replays").block_hit_ratio
            };
            let (bound, wider) = (hits("belady", capacity), hits("belady", capacity + 1));
            for policy in &crate::cache::eviction::POLICIES {
                let name = match policy.name() {
                    name if policy.needs_parameter() => format!("{name}:10"),
                    name => name.to_owned(),
                };
                let leaves = matches!(policy.name(), "leaf-lru" | "belady-leaf");
                let bound = if leaves { wider } else { bound };
                let reached = hits(&name, capacity);
                prop_assert!(reached <= bound + 1e-12, "{name}: {reached} above {bound}");
            }
        }
    }
}
