//! Agreement with what vLLM itself logged, for every machine in the reference data.

use std::path::{Path, PathBuf};

use crate::harness::Need::Data;
use crate::harness::tests;
use serde_json::Value;

tests! {
    within_a_hundredth_of_vllm: [Data("reference/vllm-truth")];
    the_truth_is_read_as_its_own_summary_says: [Data("reference/vllm-truth")];
    prefixes_are_found: [Data("reference/vllm-truth")];
}

const WORKLOAD: &str = "sharegpt-llama-3.1-8b-300-sps10.jsonl.gz";

/// Folders with the arguments of an engine, its timings and the profile of its machine.
fn machines(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .expect("a folder")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.join("meta.json").is_file())
        .collect();
    found.sort();
    found
}

/// A file, packed or not.
fn file(folder: &Path, name: &str) -> PathBuf {
    let packed = folder.join(format!("{name}.gz"));
    if packed.is_file() {
        packed
    } else {
        folder.join(name)
    }
}

fn calibrate(root: &Path, machine: &Path, more: &[&str]) -> Value {
    let (workload, requests) = (root.join(WORKLOAD), file(machine, "requests.jsonl"));
    let mut args = vec![
        "calibrate",
        crate::common::text(&workload),
        "--measured",
        crate::common::text(&requests),
        "--profile",
        crate::common::text(machine),
        "--json",
    ];
    args.extend(more);
    crate::common::json(&args)
}

fn error(found: &Value, part: &str, metric: &str, figure: &str) -> f64 {
    found[part][metric][figure]["error"]
        .as_f64()
        .expect("a number")
}

/// With the host's overhead fitted on the first half of the requests: means within 1 %, 99th percentiles within 3 %.
fn within_a_hundredth_of_vllm() {
    let root = crate::harness::shared("reference/vllm-truth");
    let machines = machines(&root);
    assert!(!machines.is_empty());
    for machine in machines {
        let meta = machine.join("meta.json");
        let found = calibrate(
            &root,
            &machine,
            &["--engine-args", crate::common::text(&meta)],
        );
        let mut told = format!("{} at {} ms:", machine.display(), found["host_overhead_ms"]);
        for metric in ["ttft", "tpot", "e2e"] {
            told += &format!(
                " {metric} {:+.2} % mean, {:+.2} % p50, {:+.2} % p99;",
                100.0 * error(&found, "all", metric, "mean"),
                100.0 * error(&found, "all", metric, "p50"),
                100.0 * error(&found, "all", metric, "p99"),
            );
        }
        for metric in ["ttft", "tpot", "e2e"] {
            assert!(error(&found, "all", metric, "mean").abs() < 0.01, "{told}");
            assert!(error(&found, "all", metric, "p99").abs() < 0.03, "{told}");
        }
        assert_eq!(found["all"]["requests"], 300);
        let count = |name: &str| found[name].as_u64().expect("a number");
        assert!(count("clamped_steps") * 100 < count("steps"), "{told}");
    }
}

/// The figures that are compared with are those that vLLM's benchmark reports.
fn the_truth_is_read_as_its_own_summary_says() {
    let root = crate::harness::shared("reference/vllm-truth");
    for machine in machines(&root) {
        let Ok(summary) = std::fs::read_to_string(machine.join("llmservingsim_summary.txt")) else {
            continue;
        };
        let meta = machine.join("meta.json");
        let found = calibrate(
            &root,
            &machine,
            &["--engine-args", crate::common::text(&meta)],
        );
        let mut compared = 0;
        for line in summary.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [metric, figure, vllm, ..] = words[..] else {
                continue;
            };
            let metric = match metric {
                "TTFT" => "ttft",
                "TPOT" => "tpot",
                "Latency" => "e2e",
                _ => continue,
            };
            let figure = match figure {
                "Mean" => "mean",
                "Median" => "p50",
                "P90" => "p90",
                "P99" => "p99",
                _ => continue,
            };
            let expected: f64 = vllm.parse().expect("a number");
            let read = found["all"][metric][figure]["measured"]
                .as_f64()
                .expect("a number")
                * 1e3;
            assert!((read - expected).abs() <= 0.051, "{line}: {read}");
            compared += 1;
        }
        assert_eq!(compared, 12);
    }
}

/// Prompts share beginnings; of 257,239 tokens, LLMServingSim finds 19,520 again with vLLM's rules.
fn prefixes_are_found() {
    let root = crate::harness::shared("reference/vllm-truth");
    let machine = root.join("RTXPRO6000");
    let meta = machine.join("meta.json");
    let args = ["--engine-args", crate::common::text(&meta)];
    let found = calibrate(&root, &machine, &args);
    assert_eq!(found["cached_tokens"], 19_520);
    let without = calibrate(
        &root,
        &machine,
        &[&args[..], &["--no-prefix-caching"]].concat(),
    );
    assert_eq!(without["cached_tokens"], 0);
}
