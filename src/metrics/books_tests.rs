//! New blocks minus evicted blocks are the resident ones: for every engine, eviction policy, capacity and size of a request, after
//! every request.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Settings, Summary, analyze};
use crate::cache::engine::{Capacity, ENGINES, EngineKind, EngineOptions, UseOrder, check};
use crate::cache::testing::{paths, trace_of};
use crate::cache::{BlockTrace, HashScheme};

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
        let analysis = analyze(&trace, &blocks, options).ok()?;
        let settings = Settings::new(options, &blocks);
        let summary = Summary::new(&trace, &analysis, settings, None);
        Some(Book {
            new: analysis.sum(|request| request.new_blocks),
            evicted: summary.evictions,
            resident: summary.resident_blocks,
            lifetimes: summary.residency.map(|times| {
                let name = "vllm:kv_block_lifetime_seconds";
                times.histograms[name].count
            }),
        })
    };
    (1..=runs.len()).map(after).collect()
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
