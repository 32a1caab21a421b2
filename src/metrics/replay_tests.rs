//! Comparisons of whole replays: requests that overlap against requests one after another, and the curve against a
//! replay at every capacity.

use proptest::prelude::*;

use super::analyze;
use crate::cache::curve::{Rules, exact};
use crate::cache::engine::overlap_tests::{blocks, linear, options, plans, trace};
use crate::cache::engine::{Capacity, EngineKind, EngineOptions, Hold, UseOrder};
use crate::cache::testing::{paths, trace_of};
use crate::cache::{BlockTrace, HashScheme};

/// Compares the curve with a replay at each capacity.
fn agrees(runs: &[&[u32]], options: &EngineOptions) {
    let trace = trace_of(runs);
    let blocks = BlockTrace::new(&trace, None, HashScheme::Chained).expect("has blocks");
    let curve = exact(&blocks, &Rules::new(options, &blocks)).expect("is chained");
    for capacity in 1..=blocks.distinct() + 1 {
        let options = EngineOptions {
            capacity: Capacity::Blocks(capacity),
            ..options.clone()
        };
        let replayed = analyze(&trace, &blocks, &options).expect("replays");
        let point = curve.at(capacity);
        assert_eq!(point.hits, replayed.sum(|r| r.hits), "{capacity}");
        assert_eq!(
            point.cached_tokens,
            replayed.sum(|r| r.cached_tokens),
            "{capacity}"
        );
        assert_eq!(
            curve.evictions(capacity),
            replayed.sum(|r| r.evicted),
            "{capacity}"
        );
        let mean = replayed.mean_request_hit_ratio();
        assert!(
            (point.mean_request_hit_ratio - mean).abs() < 1e-12,
            "{capacity}"
        );
    }
    assert_eq!(curve.at(0).hits, 0);
}

proptest! {
    #[test]
    fn equals_a_replay_at_every_capacity(
        choices in prop::collection::vec(prop::collection::vec(0u8..3, 1..7), 1..40),
        tail_first: bool,
        cap: bool,
    ) {
        let runs = paths(&choices);
        let runs: Vec<&[u32]> = runs.iter().map(|run| &**run).collect();
        for engine in [EngineKind::IDEAL, EngineKind::BLOCK] {
            let order = if tail_first { UseOrder::TailFirst } else { UseOrder::HeadFirst };
            agrees(&runs, &EngineOptions {
                engine,
                order: Some(order),
                last_token_cap: (engine == EngineKind::IDEAL).then_some(cap),
                ..EngineOptions::default()
            });
        }
    }
}

proptest! {
    /// If requests take no time, they do not overlap.
    #[test]
    fn without_time_requests_follow_each_other(plan in plans(), capacity in 1u32..24, outputs: bool) {
        let trace = trace(&plan);
        let blocks = blocks(&trace);
        for engine in ["vllm", "sglang"] {
            for capacity in [Capacity::Blocks(capacity), Capacity::Unbounded] {
                let with = |hold| {
                    let options = EngineOptions {
                        cache_output: Some(outputs),
                        ..options(engine, capacity, hold)
                    };
                    analyze(&trace, &blocks, &options).expect("replays")
                };
                let (none, zero) = (with(Hold::None), with(linear(0, 0)));
                prop_assert_eq!(&none.requests, &zero.requests, "{}", engine);
                prop_assert_eq!(none.resident_blocks, zero.resident_blocks);
            }
        }
    }

    /// With unlimited capacity, overlap only hides blocks that are not computed yet: no request waits, and hits can
    /// only decrease.
    #[test]
    fn with_room_no_request_waits(plan in plans(), prefill in 0u64..3, decode in 0u64..4) {
        let trace = trace(&plan);
        let blocks = blocks(&trace);
        for engine in ["vllm", "sglang"] {
            let with = |capacity, hold| {
                analyze(&trace, &blocks, &options(engine, capacity, hold)).expect("replays")
            };
            let held = linear(prefill, decode);
            let bounded = with(Capacity::Blocks(4_000), held);
            let unbounded = with(Capacity::Unbounded, held);
            prop_assert_eq!(&bounded.requests, &unbounded.requests, "{}", engine);
            let apart = with(Capacity::Unbounded, Hold::None);
            for (beside, apart) in unbounded.requests.iter().zip(&apart.requests) {
                prop_assert!(beside.waited.is_none() && beside.preempted == 0);
                prop_assert!(beside.cached_tokens <= apart.cached_tokens);
            }
        }
    }
}
