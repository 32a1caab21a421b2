//! Vidur's own runs: the same configuration file, requests and table must give the same batches and the same times.
//!
//! Each folder in the reference's `runs` is a case; `REPLAY_VIDUR_RUNS` names a further folder of such folders.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::harness::Need::Data;
use crate::harness::tests;
use kvreplay::compat::vidur::ModelWork;
use kvreplay::compat::vidur::VidurConfig;
use kvreplay::sim::latency::VidurTable;
use kvreplay::sim::{Records, Simulation, Workload};

tests! {
    vidurs_runs_come_out_the_same: [Data("reference/vidur"), Data("data/vidur_splitwise_conv.csv.xz")];
}

/// Seconds by which a time may differ.
const TOLERANCE: f64 = 1e-6;

fn content(path: &Path) -> String {
    let mut text = String::new();
    kvreplay::base::io::Input::open(path)
        .unwrap()
        .into_reader()
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// A CSV table by column.
fn columns(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let text = content(path);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in reader.records() {
        for (name, cell) in names.iter().zip(&row.unwrap()) {
            let value = cell.parse().unwrap_or(f64::NAN);
            columns.entry(name.clone()).or_default().push(value);
        }
    }
    columns
}

/// Where the requests of a run are.
fn trace(config: &VidurConfig, folder: &Path) -> PathBuf {
    let file = config.request_generator_config.trace_file.clone().unwrap();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    if name.starts_with("splitwise_conv") {
        let packed = crate::harness::shared("data/vidur_splitwise_conv.csv.xz");
        return crate::common::unpack(&packed, folder);
    }
    let traces = crate::harness::shared("reference/vidur/traces");
    [name.clone(), format!("{name}.gz")]
        .iter()
        .map(|name| traces.join(name))
        .find(|path| path.exists())
        .unwrap()
}

fn simulate(run: &Path) -> (VidurConfig, Records) {
    let config = VidurConfig::read(&run.join("config.json")).unwrap();
    let tables = crate::harness::shared("reference/vidur/tables");
    let table = VidurTable::read(&tables, &config.table_prefix(), config.overhead()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let items = config.requests(&trace(&config, scratch.path())).unwrap();
    let workload = Workload::of_items(items);
    let mut cluster = config.cluster(&table);
    cluster.log_steps = true;
    let records = Simulation::new(&workload, cluster).run();
    (config, records)
}

fn check_requests(run: &Path, records: &Records) {
    let expected = columns(&run.join("request_metrics.csv.gz"));
    let ids = &expected["Request Id"];
    assert_eq!(ids.len(), records.requests.len());
    let compare = |name: &str, value: &dyn Fn(&kvreplay::sim::RequestRecord) -> f64| {
        for (id, expected) in ids.iter().zip(&expected[name]) {
            let value = value(&records.requests[*id as usize]);
            let error = (value - expected).abs();
            assert!(
                error <= TOLERANCE,
                "{}: request {id}: {name} {value}, expected {expected}",
                run.display()
            );
        }
    };
    compare("request_num_restarts", &|r| f64::from(r.preemptions));
    compare("request_scheduling_delay", &|r| r.queued().unwrap());
    compare("prefill_e2e_time", &|r| r.ttft().unwrap());
    compare("request_e2e_time", &|r| r.e2e().unwrap());
    compare("request_execution_time", &|r| r.executed.as_secs_f64());
    compare("request_preemption_time", &|r| r.stalled.as_secs_f64());
}

/// The files written in Vidur's form, against Vidur's.
fn check_files(run: &Path, config: &VidurConfig, records: &Records) {
    let folder = tempfile::tempdir().unwrap();
    let (parameters, attention_width, flops) = config.work();
    let work = ModelWork {
        parameters,
        attention_width,
        flops,
    };
    kvreplay::compat::vidur::write(folder.path(), records, Some(work)).unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(run).unwrap() {
        let theirs = entry.unwrap().path();
        let name = theirs.file_name().unwrap().to_str().unwrap().to_owned();
        let name = name.trim_end_matches(".gz");
        let ours = match name {
            "config.json" | "timing.json" => continue,
            "request_metrics.csv" | "batch_metrics.csv" => folder.path().join(name),
            // One batch a line: all of them are in batch_metrics.csv.
            _ if name.ends_with("_per_batch.csv") => continue,
            _ => folder.path().join("plots").join(name),
        };
        if name.ends_with(".json") {
            check_json(&theirs, &ours);
        } else {
            check_table(&theirs, &ours);
        }
        compared += 1;
    }
    assert!(compared > 0, "{} has no files to compare", run.display());
}

fn check_table(theirs: &Path, ours: &Path) {
    let header = |path: &Path| content(path).lines().next().unwrap().to_owned();
    assert_eq!(header(theirs), header(ours), "{}", theirs.display());
    let (expected, got) = (columns(theirs), columns(ours));
    let by_rank = expected.contains_key("cdf") && expected.contains_key("Request Id");
    for (name, expected) in &expected {
        let got = &got[name];
        assert_eq!(got.len(), expected.len(), "{}: {name}", theirs.display());
        // Times that differ by less than their errors may change places.
        if by_rank && (name.is_empty() || name == "Request Id") {
            continue;
        }
        for (row, (expected, got)) in expected.iter().zip(got).enumerate() {
            assert!(
                (got - expected).abs()
                    <= TOLERANCE.max(2.1e-3 * expected * f64::from(is_sketch(theirs, name)))
                    || (got.is_nan() && expected.is_nan()),
                "{}: {name} in row {row}: {got}, expected {expected}",
                theirs.display()
            );
        }
    }
}

/// A time near the bound of a bucket may fall into the next one, 0.2 % away; counts may not.
fn is_sketch(file: &Path, column: &str) -> u8 {
    u8::from(column == "batch_execution_time" && file.ends_with("batch_execution_time.csv"))
}

fn check_json(theirs: &Path, ours: &Path) {
    let read = |path: &Path| -> serde_json::Value { serde_json::from_str(&content(path)).unwrap() };
    let (expected, got) = (read(theirs), read(ours));
    let expected = expected.as_object().unwrap();
    assert_eq!(expected.len(), got.as_object().unwrap().len());
    for (key, expected) in expected {
        let (expected, got) = (expected.as_f64().unwrap(), got[key].as_f64().unwrap());
        assert!(
            (got - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "{}: {key} {got}, expected {expected}",
            theirs.display()
        );
    }
}

fn vidurs_runs_come_out_the_same() {
    let runs = crate::harness::shared("reference/vidur/runs");
    let mut folders = vec![runs];
    folders.extend(std::env::var_os("REPLAY_VIDUR_RUNS").map(PathBuf::from));
    let mut cases: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("config.json").exists())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    for run in cases {
        let (config, records) = simulate(&run);
        let timing: serde_json::Value =
            serde_json::from_str(&content(&run.join("timing.json"))).unwrap();
        assert_eq!(
            records.steps,
            timing["batches"].as_u64().unwrap(),
            "{}",
            run.display()
        );
        check_requests(&run, &records);
        check_files(&run, &config, &records);
    }
}
