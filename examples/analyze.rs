//! Replays a trace against vLLM's prefix cache, and prints how many prompt tokens it saves.
//!
//! ```sh
//! cargo run --example analyze -- trace.jsonl.zst 10000
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use kvreplay::trace::format::ReadOptions;
use kvreplay::{Capacity, EngineOptions};

fn main() -> kvreplay::Result<()> {
    let mut words = std::env::args().skip(1);
    let path = words.next().unwrap_or_else(|| "-".to_owned());
    let blocks = words.next().and_then(|text| text.parse().ok());
    let trace = kvreplay::read_trace(path, &ReadOptions::default())?.trace;
    let options = EngineOptions {
        capacity: blocks.map_or(Capacity::Unbounded, Capacity::Blocks),
        ..EngineOptions::default()
    };
    let requests = kvreplay::analyze(&trace, &options)?.requests;
    let sum = |tokens: fn(&kvreplay::metrics::RequestMetrics) -> u32| -> u64 {
        requests.iter().map(tokens).map(u64::from).sum()
    };
    let (cached, all) = (sum(|r| r.cached_tokens), sum(|r| r.prompt_tokens));
    println!("{cached} of {all} prompt tokens are found in the cache");
    Ok(())
}
