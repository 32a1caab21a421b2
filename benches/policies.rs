//! Eviction policies on a stream of equal blocks by Zipf's law.
//!
//!     cargo bench --bench policies
//!
//! With `REPLAY_BENCH_STREAM=FILE REPLAY_BENCH_CAPACITY=N REPLAY_BENCH_POLICIES=lru,arc` it plays a file in libCacheSim's
//! oracleGeneral format instead, and prints a line of JSON for each policy: `scripts/bench/cache.py` does so.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    unsafe_code,
    reason = "a benchmark that counts memory"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use kvreplay::base::registry::Named;
use kvreplay::cache::eviction::{EvictionContext, POLICIES, Use, by_name};

use common::{Stream, zipf};

/// The system's allocator, which knows how much is allocated and how much was at most.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn add(bytes: usize) {
        let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
        MOST.fetch_max(live, Relaxed);
    }
}

// SAFETY: all is done by the system's allocator, whose rules callers follow.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

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
    let setup = EvictionContext {
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
#[divan::bench(args = POLICIES.iter().map(|policy| if policy.needs_parameter() { format!("{}:300", policy.name()) } else { policy.name().to_owned() }), sample_count = 5)]
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
        let before = LIVE.load(Relaxed);
        MOST.store(before, Relaxed);
        let start = processor_seconds();
        let misses = play(policy, &stream, capacity);
        let seconds = processor_seconds() - start;
        let bytes = MOST.load(Relaxed) - before;
        println!(
            "{{\"policy\":\"{policy}\",\"uses\":{},\"distinct\":{},\"misses\":{misses},\"seconds\":{seconds},\"bytes\":{bytes}}}",
            stream.blocks.len(),
            stream.distinct
        );
    }
}
