//! Engines, the curve and a sweep on chats that grow turn by turn.
//!
//!     cargo bench --bench engines
#![expect(clippy::unwrap_used, reason = "a benchmark")]

mod common;

use divan::Bencher;
use divan::counter::ItemsCount;
use kvreplay::cache::curve::{Rules, exact};
use kvreplay::cache::engine::{Capacity, EngineOptions};
use kvreplay::cache::sweep::Counts;
use kvreplay::cache::{BlockTrace, HashScheme};
use kvreplay::trace::{Content, Nanos, NewRequest, TraceBuilder, TraceMeta};

fn main() {
    divan::main();
}

/// Requests of one prompt each, out of chats picked by Zipf's law; a chat's prompts begin with those before them.
fn chats(requests: usize) -> BlockTrace {
    let picks = common::zipf(requests, 20_000);
    let mut paths: Vec<Vec<u32>> = vec![Vec::new(); picks.distinct as usize];
    let mut builder = TraceBuilder::new(Content::HashIds { block_size: 16 });
    let mut ids = 0;
    for (turn, chat) in picks.blocks.iter().enumerate() {
        let path = &mut paths[*chat as usize];
        if path.len() > 400 {
            path.truncate(8);
        }
        path.extend(ids..ids + 12);
        ids += 12;
        let id = turn.to_string();
        let request = NewRequest {
            id: &id,
            session: &id,
            turn: 0,
            arrival: Nanos(turn as u64 * 50_000_000),
            input_length: path.len() as u32 * 16,
            output_length: 1,
            shared: 0,
            fresh: path,
            output: &[],
            extra: None,
        };
        builder.push(request).unwrap();
    }
    let trace = builder.finish(TraceMeta::default()).unwrap();
    BlockTrace::new(&trace, None, HashScheme::ChainedPartial).unwrap()
}

const REQUESTS: usize = 20_000;

fn options(engine: &str, policy: &str, blocks: &BlockTrace) -> EngineOptions {
    EngineOptions {
        engine: engine.parse().unwrap(),
        policy: policy.into(),
        capacity: Capacity::Blocks(blocks.distinct() / 10),
        ..EngineOptions::default()
    }
}

#[divan::bench(args = ["vllm", "sglang", "ideal", "block"], sample_count = 5)]
fn engine(bencher: Bencher<'_, '_>, name: &str) {
    let blocks = chats(REQUESTS);
    let options = options(name, "lru", &blocks);
    bencher
        .counter(ItemsCount::new(blocks.lookups()))
        .bench_local(|| Counts::replay(&blocks, &options).unwrap());
}

#[divan::bench(sample_count = 5)]
fn curve(bencher: Bencher<'_, '_>) {
    let blocks = chats(REQUESTS);
    let rules = Rules::new(&options("ideal", "lru", &blocks), &blocks);
    bencher
        .counter(ItemsCount::new(blocks.lookups()))
        .bench_local(|| exact(&blocks, &rules).unwrap());
}

/// Five capacities, three policies.
#[divan::bench(sample_count = 3)]
fn sweep(bencher: Bencher<'_, '_>) {
    let blocks = chats(REQUESTS);
    let cells: Vec<EngineOptions> = ["fifo", "leaf-lru", "belady-leaf"]
        .iter()
        .flat_map(|policy| {
            [3, 6, 12, 25, 50].map(|part| EngineOptions {
                capacity: Capacity::Blocks(blocks.distinct() / 100 * part),
                ..options("ideal", policy, &blocks)
            })
        })
        .collect();
    bencher
        .counter(ItemsCount::new(blocks.lookups() * cells.len() as u64))
        .bench_local(|| {
            let cells = cells.iter().map(|options| Counts::replay(&blocks, options));
            cells.map(|cell| cell.unwrap().evictions).sum::<u64>()
        });
}
