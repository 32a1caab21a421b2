//! Runs a configuration of SplitwiseSim on a trace of SplitwiseSim and writes its files of results.
//!
//! `splitwise CONFIG.YAML TRACE.CSV OUTPUT_FOLDER [PERF_MODEL.CSV]` prints one line of JSON: requests, unfinished, and the
//! seconds that the simulation itself took.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use replay::io::Input;
use replay::sim::compat::splitwise::{Hydra, WriteOptions, read_arrivals, simulate, write_report};
use replay::sim::latency::SplitwiseTable;

#[expect(clippy::print_stdout, reason = "the result")]
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, trace, output, rest @ ..] = arguments.as_slice() else {
        bail!("expected CONFIG.YAML TRACE.CSV OUTPUT_FOLDER [PERF_MODEL.CSV]");
    };
    let config = Hydra::read(config)?.config;
    let trace = read_arrivals(Input::open(trace)?, config.application_id)?;
    let read;
    let table = match rest.first() {
        Some(path) => {
            read = SplitwiseTable::read(path)?;
            &read
        }
        None => SplitwiseTable::builtin(),
    };
    let start = Instant::now();
    let report = simulate(&config, &trace.requests, table).context("cannot simulate")?;
    let seconds = start.elapsed().as_secs_f64();
    let options = WriteOptions {
        application_id: config.application_id,
        integral: trace.integral,
    };
    write_report(&report, options, Path::new(output))?;
    let (requests, unfinished) = (report.requests.len(), report.unfinished.len());
    println!(r#"{{"requests":{requests},"unfinished":{unfinished},"seconds":{seconds}}}"#);
    Ok(())
}
