//! Agreement with SplitwiseSim, request by request, on every run of the reference folder.

mod common;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use common::{shared, text};
use replay::io::Input;
use replay::sim::compat::splitwise::{
    Arrivals, Hydra, WriteOptions, read_arrivals, simulate, write_report,
};
use replay::sim::latency::SplitwiseTable;

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
#[test]
fn requests_nodes_and_instances_are_splitwisesims() {
    let Some(reference) = shared("reference/splitwise") else {
        return;
    };
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
#[test]
fn the_built_in_table_is_the_measured_one() {
    let Some(reference) = shared("reference/splitwise") else {
        return;
    };
    let measured = SplitwiseTable::read(reference.join("perf_model.csv.gz")).expect("reads");
    assert_eq!(&measured, SplitwiseTable::builtin());
}
