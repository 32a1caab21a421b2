//! Tiers: cases worked by hand, and properties that hold for any trace.

use proptest::prelude::*;

use super::{
    CacheEngine, Capacity, EngineKind, EngineOptions, Outcome, Shape, Tier, TierSummary, Tiered,
    UseOrder, build,
};
use crate::cache::{BlockTrace, HashScheme};
use crate::trace::{Content, Nanos, NewRequest, Trace, TraceBuilder, TraceMeta};

/// Prompts without outputs, in blocks of one token.
fn blocks_of(prompts: &[Vec<u32>]) -> (Trace, BlockTrace) {
    let mut builder = TraceBuilder::new(Content::Tokens);
    for (index, prompt) in prompts.iter().enumerate() {
        let id = index.to_string();
        let request = NewRequest {
            id: &id,
            session: &id,
            turn: 0,
            arrival: Nanos(index as u64),
            input_length: prompt.len() as u32,
            output_length: 0,
            shared: 0,
            fresh: prompt,
            output: &[],
            extra: None,
        };
        builder.push(request).expect("a request");
    }
    let trace = builder
        .finish_in_entry_order(TraceMeta::default())
        .expect("a trace");
    let blocks = BlockTrace::new(&trace, Some(1), HashScheme::Chained).expect("blocks");
    (trace, blocks)
}

fn options(capacity: Capacity) -> EngineOptions {
    EngineOptions {
        engine: EngineKind::IDEAL,
        capacity,
        ..EngineOptions::default()
    }
}

fn tiers_of(sizes: &[Option<u32>]) -> Vec<Tier> {
    let tier = |(index, size): (usize, &Option<u32>)| Tier {
        name: index.to_string(),
        capacity: size.map_or(Capacity::Unbounded, Capacity::Blocks),
        bandwidth: (index > 0).then_some(1000.0),
    };
    sizes.iter().enumerate().map(tier).collect()
}

fn replay(engine: &mut dyn CacheEngine, trace: &Trace, blocks: &BlockTrace) -> Vec<Outcome> {
    let mut evicted = Vec::new();
    let mut outcomes = Vec::new();
    let mut cursor = blocks.cursor();
    while let Some(run) = cursor.next_run() {
        let request = Shape {
            input_length: trace.requests()[run.index].input_length,
            output_length: 0,
        };
        outcomes.push(engine.serve(&run, request, &mut evicted));
    }
    outcomes
}

fn tiered(prompts: &[Vec<u32>], sizes: &[Option<u32>]) -> (Vec<Outcome>, Vec<TierSummary>, u32) {
    let (trace, blocks) = blocks_of(prompts);
    let tiers = tiers_of(sizes);
    let capacity = tiers[0].capacity;
    let mut engine = Tiered::new(&blocks, &tiers, &options(capacity)).expect("fits");
    let outcomes = replay(&mut engine, &trace, &blocks);
    let summary = TierSummary::of(&tiers, &engine, Some(100));
    (outcomes, summary, engine.resident())
}

fn ideal(prompts: &[Vec<u32>], size: Option<u32>) -> (Vec<Outcome>, u32) {
    let (trace, blocks) = blocks_of(prompts);
    let capacity = size.map_or(Capacity::Unbounded, Capacity::Blocks);
    let mut engine = build(&options(capacity), &blocks).expect("fits");
    let outcomes = replay(engine.as_mut(), &trace, &blocks);
    (outcomes, engine.resident())
}

fn hits(outcomes: &[Outcome]) -> u64 {
    outcomes
        .iter()
        .map(|outcome| u64::from(outcome.hit_blocks))
        .sum()
}

#[test]
fn by_hand() {
    // Blocks A, B, C, D of one token each; two fit in the upper tier and two in the lower.
    let prompts: Vec<_> = [1, 2, 3, 1, 2, 4, 3].iter().map(|id| vec![*id]).collect();
    let (outcomes, tiers, resident) = tiered(&prompts, &[Some(2), Some(2)]);
    // request  above  below (oldest first)
    // A        A
    // B        A B
    // C        B C    A          A written
    // A hit    C A    A B        A read and refreshed, B written
    // B hit    A B    B C        B read; C written, and A is evicted from the lower tier but stays above
    // D        B D    C A        A written, and B is evicted from the lower tier but stays above
    // C hit    D C    A C -> C B C is read and refreshed; B written, and A is lost
    let found: Vec<_> = outcomes.iter().map(|outcome| outcome.hit_blocks).collect();
    assert_eq!(found, [0, 0, 0, 1, 1, 0, 1]);
    let lost: Vec<_> = outcomes.iter().map(|outcome| outcome.evicted).collect();
    assert_eq!(lost, [0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((tiers[0].hits, tiers[1].hits), (0, 3));
    assert_eq!((tiers[0].blocks_in, tiers[0].blocks_out), (7, 5));
    // Blocks written to the lower tier: A, B, C, A, B.
    assert_eq!((tiers[1].blocks_written, tiers[1].blocks_out), (5, 3));
    assert_eq!(tiers[1].blocks_read, 3);
    // Blocks of 100 bytes each, at 1,000 bytes per second.
    assert_eq!(
        (tiers[1].bytes_read, tiers[1].bytes_written),
        (Some(300), Some(500))
    );
    assert_eq!(
        (tiers[1].seconds_read, tiers[1].seconds_written),
        (Some(0.3), Some(0.5))
    );
    assert_eq!(
        (tiers[0].seconds_read, tiers[0].bytes_written),
        (None, Some(0))
    );
    // D and C are in the upper tier, C and B in the lower.
    assert_eq!(resident, 3);
}

#[test]
fn a_refresh_follows_the_order_of_use() {
    // Blocks A to E; two fit in the upper tier and three in the lower. Last block first, with the oldest first:
    // request  above  below
    // A B      B A
    // C D      D C    B A        B and A written
    // A B hit  B A    A D C      B and A refreshed in this order; D and C written, and B is evicted from the lower tier
    // E        A E    D C B      B written, and A is evicted from the lower tier
    // First block first, A and B change places. If B were refreshed last, it would stay in the lower tier, and need no writing.
    let prompts = [vec![1, 2], vec![3, 4], vec![1, 2], vec![5]];
    for order in [None, Some(UseOrder::TailFirst), Some(UseOrder::HeadFirst)] {
        let (trace, blocks) = blocks_of(&prompts);
        let tiers = tiers_of(&[Some(2), Some(3)]);
        let options = EngineOptions {
            order,
            ..options(tiers[0].capacity)
        };
        let mut engine = Tiered::new(&blocks, &tiers, &options).expect("fits");
        let outcomes = replay(&mut engine, &trace, &blocks);
        let hits: Vec<_> = outcomes.iter().map(|outcome| outcome.hit_blocks).collect();
        assert_eq!(hits, [0, 0, 2, 0]);
        let lower = engine.counts()[1];
        assert_eq!(
            (lower.blocks_read, lower.blocks_in, lower.blocks_out),
            (2, 5, 2),
            "{order:?}"
        );
    }
}

#[test]
fn only_the_prefix_rule_has_tiers() {
    let (_, blocks) = blocks_of(&[vec![1]]);
    let error = Tiered::new(&blocks, &tiers_of(&[Some(1)]), &EngineOptions::default())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("use engine `ideal`"), "{error}");
}

fn prompts() -> impl Strategy<Value = Vec<Vec<u32>>> {
    // Few distinct tokens, so that prefixes are shared.
    prop::collection::vec(prop::collection::vec(0u32..3, 1..8), 1..60)
}

proptest! {
    #[test]
    fn books_balance_after_every_request(
        prompts in prompts(),
        sizes in prop::collection::vec(1u32..9, 1..4),
    ) {
        let sizes: Vec<_> = sizes.into_iter().map(Some).collect();
        let (outcomes, _, resident) = tiered(&prompts, &sizes);
        let sum = |of: fn(&Outcome) -> u32| outcomes.iter().map(of).sum::<u32>();
        prop_assert_eq!(sum(|o| o.new_blocks) - sum(|o| o.evicted), resident);
        for count in 1..prompts.len() {
            let (some, _, resident) = tiered(&prompts[..count], &sizes);
            let kept = some.iter().map(|o| i64::from(o.new_blocks) - i64::from(o.evicted));
            prop_assert_eq!(kept.sum::<i64>(), i64::from(resident));
        }
    }

    #[test]
    fn one_tier_is_the_ideal_cache(prompts in prompts(), size in 1u32..20) {
        let (expected, held) = ideal(&prompts, Some(size));
        let (outcomes, tiers, resident) = tiered(&prompts, &[Some(size)]);
        prop_assert_eq!(outcomes, expected);
        prop_assert_eq!(resident, held);
        prop_assert_eq!(tiers[0].resident_blocks, u64::from(held));
    }

    #[test]
    fn a_tier_below_loses_nothing(prompts in prompts(), a in 1u32..12, b in 1u32..12) {
        let (alone, _) = ideal(&prompts, Some(a));
        let (outcomes, tiers, _) = tiered(&prompts, &[Some(a), Some(b)]);
        for (with, without) in outcomes.iter().zip(&alone) {
            prop_assert!(with.hit_blocks >= without.hit_blocks);
        }
        prop_assert_eq!(hits(&outcomes), tiers.iter().map(|tier| tier.hits).sum::<u64>());
    }

    #[test]
    fn an_endless_tier_keeps_everything(prompts in prompts(), a in 1u32..12, b in 1u32..12) {
        let (endless, held) = ideal(&prompts, None);
        for sizes in [vec![Some(a), None], vec![Some(a), Some(b), None]] {
            let (outcomes, _, resident) = tiered(&prompts, &sizes);
            prop_assert_eq!(hits(&outcomes), hits(&endless));
            prop_assert!(outcomes.iter().all(|outcome| outcome.evicted == 0));
            prop_assert_eq!(resident, held);
        }
    }

    #[test]
    fn what_comes_in_goes_or_stays(prompts in prompts(), sizes in prop::collection::vec(1u32..10, 1..4)) {
        let sizes: Vec<_> = sizes.into_iter().map(Some).collect();
        let (outcomes, tiers, resident) = tiered(&prompts, &sizes);
        for (index, tier) in tiers.iter().enumerate() {
            prop_assert_eq!(tier.blocks_in, tier.blocks_out + tier.resident_blocks);
            prop_assert_eq!(tier.blocks_read, if index == 0 { 0 } else { tier.hits });
            prop_assert_eq!(tier.bytes_written, Some(100 * tier.blocks_written));
            if let Some(above) = index.checked_sub(1).map(|above| &tiers[above]) {
                // Only blocks evicted from the upper tier are written, and only if the lower tier does not hold them.
                prop_assert_eq!(tier.blocks_written, tier.blocks_in);
                prop_assert!(tier.blocks_written <= above.blocks_out);
            }
        }
        let tokens: u64 = outcomes.iter().map(|outcome| u64::from(outcome.cached_tokens)).sum();
        prop_assert_eq!(tokens, tiers.iter().map(|tier| tier.hit_tokens).sum::<u64>());
        // A block may be in several tiers.
        let copies: u64 = tiers.iter().map(|tier| tier.resident_blocks).sum();
        prop_assert!(u64::from(resident) <= copies);
        prop_assert!(tiers.iter().all(|tier| u64::from(resident) >= tier.resident_blocks));
    }
}
