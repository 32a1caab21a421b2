//! Simulates a trace on a built-in cluster with autoscaling, and prints latency and cost.
//!
//! ```sh
//! cargo run --example simulate -- trace.jsonl.zst
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use kvreplay::Scenario;
use kvreplay::trace::format::ReadOptions;

fn main() -> kvreplay::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "-".to_owned());
    let trace = kvreplay::read_trace(path, &ReadOptions::default())?.trace;
    let scenario = Scenario::preset("llama-8b-pd-4-4")?
        .autoscaler("kpa")
        .build()?;
    let serving = kvreplay::simulate(&scenario, &trace)?.serving;
    println!(
        "{} of {} requests finished",
        serving.finished, serving.arrived
    );
    if let Some(hours) = serving.cost.gpu_hours {
        println!("{hours:.2} GPU-hours");
    }
    Ok(())
}
