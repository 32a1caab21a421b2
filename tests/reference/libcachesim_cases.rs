//! Misses of eviction policies against those of libCacheSim, as `scripts/reference/rebuild.py libcachesim` counts them.

use crate::common::{json, text};
use crate::harness::Need::Rebuilt;
use crate::harness::{shared, tests};

tests! {
    misses_are_libcachesims: [Rebuilt("reference/libcachesim")];
}

/// Policies whose counts may differ by half a percent: libCacheSim draws other random numbers or breaks ties otherwise.
const CLOSE: [&str; 3] = ["lirs", "gdsf", "lecar"];

/// Follows its paper where libCacheSim does not.
const OTHER: [&str; 1] = ["cacheus"];

/// Each table of the folder that has a trace. Those without one belong to `src/cache/eviction/golden.rs`.
fn misses_are_libcachesims() {
    let folder = shared("reference/libcachesim");
    let mut tables: Vec<_> = std::fs::read_dir(&folder)
        .expect("lists")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "csv"))
        .collect();
    tables.sort();
    let (mut compared, mut wrong) = (0, Vec::new());
    for table in tables {
        let stem = table.file_stem().expect("named").to_string_lossy();
        let trace = folder.join(format!("trace_{stem}.jsonl.gz"));
        if !trace.exists() {
            continue;
        }
        let mut rows = csv::Reader::from_path(&table).expect("opens");
        for row in rows.records() {
            let row = row.expect("a row");
            let (policy, capacity) = (&row[0], &row[1]);
            let expected: u64 = row[2].parse().expect("a number");
            if OTHER.contains(&policy) {
                continue;
            }
            let found = json(&[
                "analyze",
                text(&trace),
                "--engine",
                "block",
                "--eviction",
                policy,
                "--capacity",
                capacity,
                "--json",
            ]);
            let number = |key: &str| found[key].as_u64().expect("a number");
            let misses = number("block_lookups") - number("block_hits");
            let allowed = if CLOSE.contains(&policy) {
                expected / 200
            } else {
                0
            };
            if misses.abs_diff(expected) > allowed {
                wrong.push(format!(
                    "{stem}, {policy} at {capacity}: {misses}, not {expected}"
                ));
            }
            compared += 1;
        }
    }
    assert!(compared > 0 && wrong.is_empty(), "{}", wrong.join("\n"));
}
