//! Eviction policies on a stream of equal blocks by Zipf's law.
//!
//!     cargo bench --bench policies
//!
//! With `REPLAY_BENCH_STREAM=FILE REPLAY_BENCH_CAPACITY=N REPLAY_BENCH_POLICIES=lru,arc` it plays a file in libCacheSim's
//! oracleGeneral format instead, and prints a line of JSON for each policy: `scripts/bench/cache.py` does so.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use replay::cache::eviction::{POLICIES, Setup, Use, by_name};

use common::{Stream, zipf};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

/// Blocks that are looked up together before they are used, as engines look up a request.
const RUN: usize = 32;

fn main() {
    match std::env::var("REPLAY_BENCH_STREAM") {
        Ok(path) => play_file(&path),
        Err(_) => divan::main(),
    }
}

/// Misses of one policy, as an engine drives it.
fn play(policy: &str, stream: &Stream, capacity: u32) -> u64 {
    let setup = Setup {
        blocks: stream.distinct,
        capacity,
        block_size: 16,
        seed: 0,
    };
    let mut cache = by_name(policy, &setup).unwrap();
    let mut evicted = Vec::new();
    let mut misses = 0;
    let mut request = 0;
    for run in stream.blocks.chunks(RUN) {
        black_box(run.iter().filter(|block| cache.contains(**block)).count());
        for block in run {
            let used = Use {
                block: *block,
                request,
                next: stream.next[request as usize],
                ..Use::default()
            };
            misses += u64::from(!cache.access(&used, &mut evicted));
            evicted.clear();
            request += 1;
        }
    }
    misses
}

/// A million uses, capacity a tenth of the distinct blocks.
#[divan::bench(args = POLICIES.iter().map(|entry| match entry.name { "ttl" => "ttl:300", name => name }), sample_count = 5)]
fn tenth(bencher: Bencher<'_, '_>, policy: &str) {
    let stream = zipf(1_000_000, 200_000);
    let capacity = stream.distinct / 10;
    bencher
        .counter(ItemsCount::new(stream.blocks.len()))
        .bench_local(|| play(policy, &stream, capacity));
}

/// Ten million uses, a million blocks resident.
#[divan::bench(args = ["lru", "fifo", "sieve", "s3-fifo"], sample_count = 3)]
fn million_resident(bencher: Bencher<'_, '_>, policy: &str) {
    let stream = zipf(10_000_000, 4_000_000);
    bencher
        .counter(ItemsCount::new(stream.blocks.len()))
        .bench_local(|| play(policy, &stream, 1_000_000));
}

/// Resident memory of this process, in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|text| text.parse().ok());
    pages.unwrap_or(0u64) * 4096
}

/// Seconds that this thread was on a processor, which other work on the machine disturbs least; Linux only.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos: u64 = text.split(' ').next().unwrap().parse().unwrap();
    nanos as f64 / 1e9
}

fn play_file(path: &str) {
    let stream = Stream::of_oracle_general(&std::fs::read(path).unwrap());
    let capacity = std::env::var("REPLAY_BENCH_CAPACITY").unwrap();
    let capacity: u32 = capacity.parse().unwrap();
    for policy in std::env::var("REPLAY_BENCH_POLICIES").unwrap().split(',') {
        let before = resident();
        let start = processor_seconds();
        let misses = play(policy, &stream, capacity);
        let seconds = processor_seconds() - start;
        // What is freed may stay with the allocator, so of several policies only the first growth means much.
        let bytes = resident().saturating_sub(before);
        println!(
            "{{\"policy\":\"{policy}\",\"uses\":{},\"distinct\":{},\"misses\":{misses},\"seconds\":{seconds},\"bytes\":{bytes}}}",
            stream.blocks.len(),
            stream.distinct
        );
    }
}
