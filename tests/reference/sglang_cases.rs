//! Agreement with SGLang's own radix cache, request by request.

use std::io::Read;

use crate::common::text;
use crate::harness::Need::Data;
use crate::harness::{shared, tests};
use serde_json::Value;

tests! {
    cached_tokens_and_evictions_are_sglangs: [Data("reference/sglang-cache")];
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    let mut content = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).expect("opens"))
        .read_to_string(&mut content)
        .expect("reads");
    content
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Every case of the reference folder, so that new ones are run without being named.
fn cached_tokens_and_evictions_are_sglangs() {
    let folder = shared("reference/sglang-cache");
    let out = tempfile::tempdir().expect("folder");
    let mut cases = 0;
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("lists")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| text(path).ends_with(".summary.json"))
        .collect();
    names.sort();
    for summary in &names {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(summary).expect("reads")).expect("JSON");
        let number = |key: &str| expected[key].as_u64().expect("number");
        let trace = folder.join(expected["trace"].as_str().expect("path"));
        let (page_size, capacity) = (number("page_size"), number("capacity_tokens"));
        assert!(
            capacity.is_multiple_of(page_size),
            "a pool is made of whole pages"
        );
        // Where nothing had to go, the unbounded engine must agree, too.
        let mut capacities = vec![(capacity / page_size).to_string()];
        if number("evicted_tokens") == 0 && number("rejected") == 0 {
            capacities.push("inf".into());
        }
        for capacity in &capacities {
            let case = format!("{} with {capacity} pages", summary.display());
            let page_size_text = page_size.to_string();
            let mut args = vec![
                "analyze",
                text(&trace),
                "--engine",
                "sglang",
                "--eviction",
                expected["policy"].as_str().expect("name"),
                "--block-size",
                &page_size_text,
                "--capacity",
                capacity,
                "--output-dir",
                text(out.path()),
                "--json",
            ];
            if expected["output"] == false {
                args.push("--no-cache-output");
            }
            let found = crate::common::json(&args);
            let of = |key: &str| found[key].as_u64().expect("number");
            assert_eq!(of("cached_tokens"), number("hit_tokens"), "{case}");
            assert_eq!(of("rejected_requests"), number("rejected"), "{case}");
            assert_eq!(
                of("evictions") * page_size,
                number("evicted_tokens"),
                "{case}"
            );
            let resident = of("resident_blocks") * page_size;
            assert_eq!(resident, number("tree_tokens"), "{case}");
            assert_eq!(
                number("capacity_tokens") - resident,
                number("free_tokens"),
                "{case}"
            );
            compare(summary, out.path(), page_size, &case);
        }
        cases += 1;
    }
    assert!(cases >= 12, "{cases} cases");
}

fn compare(summary: &std::path::Path, out: &std::path::Path, page_size: u64, case: &str) {
    let reference = lines(std::path::Path::new(
        &text(summary).replace(".summary.json", ".jsonl.gz"),
    ));
    let mut csv = csv::Reader::from_path(out.join("requests.csv")).expect("opens");
    let columns = csv.headers().expect("header").clone();
    let column = |name: &str| {
        columns
            .iter()
            .position(|column| column == name)
            .expect("column")
    };
    let mut compared = 0;
    for (row, expected) in csv.records().zip(&reference) {
        let row = row.expect("row");
        let id = expected["request_id"].as_str().expect("id");
        assert_eq!(row[column("request_id")], *id);
        let number = |name: &str| row[column(name)].parse::<u64>().expect("number");
        assert_eq!(
            [
                number("shared_tokens"),
                number("evicted_blocks") * page_size
            ],
            ["num_cached_tokens", "evicted_tokens"].map(|key| expected[key].as_u64().unwrap_or(0)),
            "{case}: {id}"
        );
        compared += 1;
    }
    assert_eq!(compared, reference.len(), "{case}");
}
