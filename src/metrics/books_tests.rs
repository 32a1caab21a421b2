//! New blocks minus evicted blocks are the resident ones: for every engine, eviction policy, capacity, block size and size of a
//! request, whether requests overlap or not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Settings, Summary, analyze};
use crate::cache::engine::overlap_tests::{linear, plans, trace as trace_of_tokens};
use crate::cache::engine::{
    Capacity, ENGINES, EngineKind, EngineOptions, Hold, Shape, UseOrder, build, check,
};
use crate::cache::testing::{paths, trace_of};
use crate::cache::{BlockId, BlockTrace, HashScheme};
use crate::trace::Trace;

/// Sums of the figures that `summary.json` and `requests.csv` show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Book {
    new: u64,
    evicted: u64,
    resident: u64,
    /// Number of lifetimes, of which each eviction ends one.
    lifetimes: Option<u64>,
}

/// The books after each of the first 1, 2, ... requests; `None` if the engine does not have these options.
fn books(runs: &[&[u32]], options: &EngineOptions) -> Option<Vec<Book>> {
    check(options).ok()?;
    let after = |count: usize| {
        let trace = trace_of(&runs[..count]);
        let blocks = BlockTrace::new(&trace, None, HashScheme::ChainedPartial).expect("has blocks");
        book(&trace, &blocks, options)
    };
    (1..=runs.len()).map(after).collect()
}

/// The books at the end of a trace.
fn book(trace: &Trace, blocks: &BlockTrace, options: &EngineOptions) -> Option<Book> {
    let analysis = analyze(trace, blocks, options).ok()?;
    let settings = Settings::new(options, blocks);
    let summary = Summary::new(trace, &analysis, settings, None);
    let new = analysis.sum(|request| request.new_blocks);
    let evicted = analysis.sum(|request| request.evicted);
    assert_eq!((summary.new_blocks, summary.evictions), (new, evicted));
    Some(Book {
        new,
        evicted,
        resident: summary.resident_blocks,
        lifetimes: summary.residency.map(|times| {
            let name = "vllm:kv_block_lifetime_seconds";
            times.histograms[name].count
        }),
    })
}

/// Serves requests one after another and looks into the cache after each: what it counts as new and evicted is what came and went.
fn counts_what_is_there(blocks: &BlockTrace, options: &EngineOptions) {
    let Ok(mut engine) = build(options, blocks) else {
        return;
    };
    let (mut before, mut gone) = (BTreeSet::<BlockId>::new(), Vec::new());
    let mut cursor = blocks.cursor();
    while let Some(run) = cursor.next_run() {
        gone.clear();
        let outcome = engine.serve(&run, Shape::of(&run.facts), &mut gone);
        let after: BTreeSet<BlockId> = (0..blocks.distinct())
            .filter(|block| engine.keeps(*block))
            .collect();
        let place = || format!("{options:?}, request {}: {outcome:?}", run.index);
        assert_eq!(outcome.evicted as usize, gone.len(), "{}", place());
        assert_eq!(engine.resident() as usize, after.len(), "{}", place());
        let came = after.difference(&before).count();
        let went: BTreeSet<_> = before.difference(&after).copied().collect();
        // A block that cannot be used, such as that of the last token, can go and come again in one request. Where a request holds no
        // blocks, its own can also come and go.
        let passed = gone.len() - went.len();
        assert_eq!(outcome.new_blocks as usize, came + passed, "{}", place());
        assert!(went.iter().all(|block| gone.contains(block)), "{}", place());
        if options.engine.card().is_server() {
            let known = gone.iter().all(|block| before.contains(block));
            assert!(known, "{}", place());
        }
        before = after;
    }
}

/// Numbers of different blocks that are ever stored without a limit: whole blocks of the computed tokens, each with all tokens
/// before it, and with a partial last block where these are stored.
fn distinct_stored(
    plan: &[(u64, Vec<u32>, Vec<u32>)],
    size: usize,
    outputs: bool,
    scheme: HashScheme,
) -> u64 {
    let mut stored = BTreeSet::new();
    for (_, prompt, output) in plan {
        let mut tokens = prompt.clone();
        if outputs && scheme == HashScheme::Chained {
            // The last token of an output is never computed.
            tokens.extend(&output[..output.len() - 1]);
        }
        for end in (size..=tokens.len()).step_by(size) {
            let start = if scheme == HashScheme::Alone {
                end - size
            } else {
                0
            };
            stored.insert(tokens[start..end].to_vec());
        }
        let whole = tokens.len() / size * size;
        if scheme != HashScheme::Chained && whole < tokens.len() {
            let start = if scheme == HashScheme::Alone {
                whole
            } else {
                0
            };
            stored.insert(tokens[start..].to_vec());
        }
    }
    stored.len() as u64
}

fn balances(runs: &[&[u32]], options: &EngineOptions) -> bool {
    let Some(books) = books(runs, options) else {
        return false;
    };
    for (index, book) in books.iter().enumerate() {
        let place = || format!("{options:?}, request {index} of {runs:?}: {book:?}");
        assert_eq!(book.new - book.evicted, book.resident, "{}", place());
        if let Capacity::Blocks(blocks) = options.capacity {
            assert!(book.resident <= u64::from(blocks), "{}", place());
            assert_eq!(book.lifetimes, Some(book.evicted), "{}", place());
        } else {
            // Without evictions, every distinct block is new once.
            let distinct: BTreeSet<u32> =
                runs[..=index].iter().copied().flatten().copied().collect();
            let distinct = distinct.len() as u64;
            assert_eq!((book.new, book.evicted), (distinct, 0), "{}", place());
        }
    }
    true
}

/// The policies of an engine, with a parameter where one is needed.
fn policies(engine: &EngineKind) -> Vec<String> {
    let card = engine.card();
    let with_parameter = |name: &&str| {
        let texts = ["", ":3", ":2,1"].map(|parameter| format!("{name}{parameter}"));
        texts
            .into_iter()
            .find(|text| card.check_policy(text).is_ok())
    };
    let mut found: Vec<String> = card.policies().iter().filter_map(with_parameter).collect();
    if found.is_empty() {
        found.push("lru".into());
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Tokens: partial last blocks, outputs, several turns, requests of the same prompt that overlap, blocks of all sizes.
    #[test]
    fn books_of_tokens_balance(
        plan in plans(),
        size in prop::sample::select(vec![1u32, 4, 16, 64]),
        capacity in prop::option::weighted(0.8, 1u32..40),
        outputs: bool,
        held in 0u32..4,
        prefill in 0u64..3,
        decode in 0u64..4,
    ) {
        let trace = trace_of_tokens(&plan);
        let capacity = capacity.map_or(Capacity::Unbounded, Capacity::Blocks);
        for name in ENGINES.names() {
            let engine: EngineKind = name.parse().expect("registered");
            let scheme = engine.card().hash_scheme();
            let blocks = BlockTrace::new(&trace, Some(size), scheme).expect("has blocks");
            let mut checked = 0;
            for hold in [Hold::None, Hold::Requests(held), linear(prefill, decode)] {
                let options = EngineOptions {
                    engine,
                    capacity,
                    cache_output: Some(outputs),
                    hold,
                    ..EngineOptions::default()
                };
                let Some(book) = book(&trace, &blocks, &options) else { continue };
                checked += 1;
                let place = format!("{options:?}, blocks of {size}: {book:?}");
                prop_assert_eq!(book.new - book.evicted, book.resident, "{}", place);
                match capacity {
                    Capacity::Blocks(most) => prop_assert!(book.resident <= u64::from(most), "{}", place),
                    Capacity::Unbounded => {
                        let distinct = distinct_stored(&plan, size as usize, outputs, scheme);
                        prop_assert_eq!(book.new, distinct, "{}", place);
                    }
                }
                counts_what_is_there(&blocks, &options);
            }
            let unbounded = capacity == Capacity::Unbounded;
            prop_assert!(checked > 0 || engine == EngineKind::NAIVE && !unbounded, "{name}");
        }
    }

    #[test]
    fn new_minus_evicted_is_resident(
        choices in prop::collection::vec(prop::collection::vec(0u8..3, 1..9), 1..12),
        capacity in prop::option::weighted(0.9, 1u32..12),
    ) {
        let runs = paths(&choices);
        let runs: Vec<&[u32]> = runs.iter().map(|run| &**run).collect();
        let capacity = capacity.map_or(Capacity::Unbounded, Capacity::Blocks);
        for name in ENGINES.names() {
            let engine: EngineKind = name.parse().expect("registered");
            let mut checked = 0;
            for policy in policies(&engine) {
                for order in [None, Some(UseOrder::HeadFirst), Some(UseOrder::TailFirst)] {
                    checked += u32::from(balances(&runs, &EngineOptions {
                        engine,
                        policy: policy.clone(),
                        capacity,
                        order,
                        ..EngineOptions::default()
                    }));
                }
            }
            // `naive` has no capacity.
            let unbounded = capacity == Capacity::Unbounded;
            prop_assert!(checked > 0 || engine == EngineKind::NAIVE && !unbounded, "{name}");
        }
    }

    /// A cache with LRU kept by another rule: a list of blocks, of which the first is the least recently used.
    #[test]
    fn ideal_is_a_list_of_blocks(
        choices in prop::collection::vec(prop::collection::vec(0u8..3, 1..9), 1..12),
        capacity in 1usize..12,
        tail_first: bool,
    ) {
        let runs = paths(&choices);
        let runs: Vec<&[u32]> = runs.iter().map(|run| &**run).collect();
        let order = if tail_first { UseOrder::TailFirst } else { UseOrder::HeadFirst };
        let found = books(&runs, &EngineOptions {
            engine: EngineKind::IDEAL,
            capacity: Capacity::Blocks(capacity as u32),
            order: Some(order),
            ..EngineOptions::default()
        });
        let (mut list, mut new, mut evicted) = (Vec::new(), 0, 0);
        let mut expected = Vec::new();
        for run in &runs {
            let mut uses = run.to_vec();
            if tail_first {
                uses.reverse();
            }
            for block in uses {
                match list.iter().position(|held| *held == block) {
                    Some(place) => {
                        list.remove(place);
                    }
                    None => {
                        new += 1;
                        if list.len() == capacity {
                            list.remove(0);
                            evicted += 1;
                        }
                    }
                }
                list.push(block);
            }
            let resident = list.len() as u64;
            expected.push(Book { new, evicted, resident, lifetimes: Some(evicted) });
        }
        prop_assert_eq!(found, Some(expected));
    }
}

#[test]
fn a_request_larger_than_the_cache_evicts_its_own_blocks() {
    let options = EngineOptions {
        engine: EngineKind::IDEAL,
        capacity: Capacity::Blocks(4),
        ..EngineOptions::default()
    };
    // Last block first: 5 4 3 2, then 1 and 0 take the places of 5 and 4. The second time, each block is evicted before its use,
    // although 0 to 3 were there when the request came.
    let run: &[u32] = &[0, 1, 2, 3, 4, 5];
    let book = |new, evicted| Book {
        new,
        evicted,
        resident: 4,
        lifetimes: Some(evicted),
    };
    let found = books(&[run, run], &options);
    assert_eq!(found, Some(vec![book(6, 2), book(12, 8)]));
}

/// Two requests of one prompt overlap, and SGLang computes both: the second copy is freed, and neither new nor evicted. vLLM computes
/// the last token again and keeps a second copy of its block until it is needed for other content.
#[test]
fn second_copies_are_no_new_blocks() {
    let plan: Vec<(u64, Vec<u32>, Vec<u32>)> = vec![
        (0, (0..8).collect(), vec![1]),
        (1, (0..8).collect(), vec![1]),
        (100, (50..64).collect(), vec![1]),
    ];
    let trace = trace_of_tokens(&plan);
    let blocks = BlockTrace::new(&trace, Some(4), HashScheme::Chained).expect("has blocks");
    let found = |engine: EngineKind| {
        let options = EngineOptions {
            engine,
            capacity: Capacity::Blocks(4),
            hold: linear(1, 1),
            ..EngineOptions::default()
        };
        let analysis = analyze(&trace, &blocks, &options).expect("replays");
        let of = |request: &super::RequestMetrics| {
            [
                request.allocated_blocks,
                request.new_blocks,
                request.evicted,
                request.evicted_copies,
            ]
        };
        let requests: Vec<_> = analysis.requests.iter().map(of).collect();
        (requests, analysis.resident_blocks)
    };
    // The third prompt takes all four blocks: three whole ones and a partial one.
    let sglang = [[2, 2, 0, 0], [2, 0, 0, 0], [4, 3, 2, 0]];
    assert_eq!(found(EngineKind::SGLANG), (sglang.to_vec(), 3));
    // The second request of vLLM finds the first block at once, and takes one for the second.
    let vllm = [[2, 2, 0, 0], [1, 0, 0, 0], [4, 3, 2, 1]];
    assert_eq!(found(EngineKind::VLLM), (vllm.to_vec(), 3));
}
