//! Agreement with SplitwiseSim, request by request, on every run of the reference folder.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::common::text;
use crate::harness::Need::Data;
use crate::harness::{shared, tests};
use kvreplay::base::io::Input;
use kvreplay::compat::splitwise::{
    Arrivals, Hydra, WriteOptions, read_arrivals, simulate, write_report,
};
use kvreplay::sim::latency::SplitwiseTable;

tests! {
    requests_nodes_and_instances_are_splitwisesims: [Data("reference/splitwise")];
    the_built_in_table_is_the_measured_one: [Data("reference/splitwise")];
    slowdowns_are_those_of_the_study: [Data("reference/splitwise")];
}

/// Largest relative difference of a time.
const TOLERANCE: f64 = 1e-6;

fn folders(runs: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(runs)
        .expect("lists")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("config.yaml").exists())
        .collect();
    folders.sort();
    folders
}

/// The file under one of its names, plain or compressed.
fn content(folder: &Path, name: &str) -> Option<String> {
    let path = [name.to_owned(), format!("{name}.gz")]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.exists())?;
    let mut text = String::new();
    let input = Input::open(&path).expect("opens");
    input
        .into_reader()
        .read_to_string(&mut text)
        .expect("reads");
    Some(text)
}

/// Compares two CSV files cell by cell; the number of cells.
fn compare(ours: &str, theirs: &str, place: &str) -> usize {
    assert_eq!(
        ours.lines().count(),
        theirs.lines().count(),
        "{place}: rows"
    );
    let header: Vec<&str> = theirs
        .lines()
        .next()
        .unwrap_or_default()
        .split(',')
        .collect();
    let mut cells = 0;
    for (row, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (ours.split(',').collect(), theirs.split(',').collect());
        assert_eq!(ours.len(), theirs.len(), "{place}:{row}");
        for (column, (found, expected)) in ours.iter().zip(&theirs).enumerate() {
            cells += 1;
            if found == expected {
                continue;
            }
            let (Ok(a), Ok(b)) = (found.parse::<f64>(), expected.parse::<f64>()) else {
                panic!(
                    "{place}:{row} {}: {found}, expected {expected}",
                    header[column]
                );
            };
            let difference = (a - b).abs();
            assert!(
                difference <= TOLERANCE * b.abs() || difference < 1e-12,
                "{place}:{row} {}: {found}, expected {expected}",
                header[column]
            );
        }
    }
    cells
}

/// Every run of the folder, so that new ones are met without being named.
fn requests_nodes_and_instances_are_splitwisesims() {
    let reference = shared("reference/splitwise");
    let measured = SplitwiseTable::read(reference.join("perf_model.csv.gz")).expect("reads");
    let out = tempfile::tempdir().expect("folder");
    let mut traces: BTreeMap<String, Arrivals> = BTreeMap::new();
    let (mut runs, mut cells) = (0, 0);
    for folder in folders(&reference.join("runs")) {
        let label = text(&folder).to_owned();
        let hydra = Hydra::read(folder.join("config.yaml")).expect("reads");
        if let Some(overrides) = content(&folder, "overrides.txt") {
            let composed = Hydra::from_overrides(&overrides).expect("composes");
            assert_eq!(composed, hydra, "{label}");
        }
        let name = hydra
            .trace
            .file_name()
            .expect("named")
            .to_string_lossy()
            .into_owned();
        let trace = traces.entry(name).or_insert_with_key(|name| {
            let path = reference.join("traces").join(format!("{name}.gz"));
            read_arrivals(Input::open(path).expect("opens"), 0).expect("reads")
        });
        let report = simulate(&hydra.config, &trace.requests, &measured).expect("runs");
        assert_eq!(
            report.requests.len() + report.unfinished.len(),
            trace.requests.len(),
            "{label}"
        );
        let options = WriteOptions {
            application_id: hydra.config.application_id,
            integral: trace.integral,
        };
        write_report(&report, options, out.path()).expect("writes");
        for (ours, theirs) in [
            ("detailed/0.csv", "detailed_0.csv"),
            ("detailed/0_alloc.csv", "0_alloc.csv"),
            ("request_nodes.csv", "request_nodes.csv"),
            ("summary.csv", "summary.csv"),
        ] {
            if let Some(theirs) = content(&folder, theirs) {
                let ours_text = content(out.path(), ours).expect("written");
                cells += compare(&ours_text, &theirs, &format!("{label} {ours}"));
            }
        }
        runs += 1;
    }
    assert!(runs >= 8 && cells > 200_000, "{runs} runs, {cells} cells");
}

/// What ships is what the measurements give.
fn the_built_in_table_is_the_measured_one() {
    let reference = shared("reference/splitwise");
    let measured = SplitwiseTable::read(reference.join("perf_model.csv.gz")).expect("reads");
    assert_eq!(&measured, SplitwiseTable::builtin());
}

/// Slowdowns at p50, p90 and p99 as the reference's own analysis has them, for the runs that are there.
fn slowdowns_are_those_of_the_study() {
    let folder = shared("reference/splitwise");
    let targets = content(&folder, "slowdown_targets.csv").expect("targets");
    let mut compared = 0;
    for line in targets.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let run = folder.join("runs").join(cells[0]);
        if !run.join("config.yaml").exists() {
            continue;
        }
        let hydra = Hydra::read(run.join("config.yaml")).expect("reads");
        let trace = hydra.trace.file_name().expect("named").to_string_lossy();
        let path = folder.join("traces").join(format!("{trace}.gz"));
        let trace = read_arrivals(Input::open(path).expect("opens"), 0).expect("reads");
        let report =
            simulate(&hydra.config, &trace.requests, SplitwiseTable::builtin()).expect("runs");
        let (found, _) = kvreplay::report::studies::splitwise::study_slowdowns(
            &report,
            SplitwiseTable::builtin(),
        )
        .expect("measured");
        let ours = [found.ttft, found.tbt, found.e2e]
            .iter()
            .flat_map(|d| [d.p50, d.p90, d.p99].map(|value| value.expect("requests finished")))
            .collect::<Vec<_>>();
        for (ours, theirs) in ours.iter().zip(&cells[1..]) {
            let theirs: f64 = theirs.parse().expect("a number");
            // Printed with four decimals.
            assert!(
                (ours - theirs).abs() < 1e-4,
                "{}: {ours}, not {theirs}",
                cells[0]
            );
        }
        compared += 1;
    }
    assert!(compared >= 3, "{compared} runs");
}
