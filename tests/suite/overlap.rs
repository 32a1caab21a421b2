//! Requests that overlap, through the program.

use crate::common::{json, text};
use serde_json::{Value, json};

/// Three prompts of 8 tokens each, a millisecond apart, with one token of output.
fn three(folder: &std::path::Path, service: Option<f64>) -> std::path::PathBuf {
    let lines: Vec<String> = (0..3u32)
        .map(|index| {
            let tokens: Vec<u32> = (index * 100..index * 100 + 8).collect();
            let mut line = json!({"request_id": index.to_string(), "arrival_time": f64::from(index) / 1e3,
                "prompt_token_ids": tokens, "response_token_ids": [9]});
            if let Some(service) = service {
                line["service_time"] = json!(service);
            }
            line.to_string() + "\n"
        })
        .collect();
    let path = folder.join("three.jsonl");
    std::fs::write(&path, lines.concat()).expect("writes");
    path
}

fn analyze(trace: &std::path::Path, engine: &str, hold: &str) -> Value {
    json(&[
        "analyze",
        text(trace),
        "--engine",
        engine,
        "--block-size",
        "4",
        "--capacity",
        "4",
        "--hold",
        hold,
        "--json",
    ])
}

/// As worked in the unit test of the same case, a token a millisecond: the third waits from 2 to 9 and takes both blocks of
/// the first, which came at 0 and were last used then.
#[test]
fn the_third_waits() {
    let folder = tempfile::tempdir().expect("folder");
    let trace = three(folder.path(), None);
    for engine in ["vllm", "sglang"] {
        let found = analyze(&trace, engine, "linear:1,1");
        assert_eq!(found["settings"]["hold"], "linear:1,1");
        let overlap = &found["overlap"];
        assert_eq!(overlap["waiting_requests"], 1, "{engine}");
        assert_eq!(overlap["waiting_seconds"]["max"], 0.007, "{engine}");
        assert_eq!(overlap["waiting_seconds_total"], 0.007, "{engine}");
        assert_eq!(overlap["preemptions"], 0, "{engine}");
        assert_eq!(found["evictions"], 2, "{engine}");
        let histograms = &found["residency"]["histograms"];
        let lifetime = &histograms["vllm:kv_block_lifetime_seconds"];
        assert_eq!(lifetime["count"], 2);
        assert_eq!(lifetime["sum"], 0.018);
        // 9 ms: above 5 ms, and up to 10.
        assert_eq!(lifetime["buckets"][2], json!([0.005, 0]));
        assert_eq!(lifetime["buckets"][3], json!([0.01, 2]));
        // Without time, no waiting.
        let apart = analyze(&trace, engine, "none");
        assert!(apart.get("overlap").is_none());
        let zero = analyze(&trace, engine, "linear:0,0");
        assert_eq!(zero["overlap"]["waiting_requests"], 0);
        for key in ["cached_tokens", "evictions", "resident_blocks", "residency"] {
            assert_eq!(apart[key], zero[key], "{engine} {key}");
        }
    }
}

#[test]
fn service_times_of_the_trace() {
    let folder = tempfile::tempdir().expect("folder");
    // Each takes 20 ms, whatever is cached.
    let trace = three(folder.path(), Some(0.02));
    let found = analyze(&trace, "vllm", "trace");
    assert_eq!(found["overlap"]["waiting_seconds"]["max"], 0.018);
    // They stay with the trace in the native format.
    let native = folder.path().join("native.jsonl");
    crate::common::stdout(&[
        "export",
        text(&trace),
        "--to",
        "native",
        "--output",
        text(&native),
    ]);
    let again = analyze(&native, "vllm", "trace");
    assert_eq!(again["overlap"], found["overlap"]);
}

#[test]
fn sweeps_and_curves_overlap_too() {
    let folder = tempfile::tempdir().expect("folder");
    let trace = three(folder.path(), None);
    let common = [
        "--engine",
        "vllm",
        "--block-size",
        "4",
        "--hold",
        "linear:1,1",
        "--json",
    ];
    let mut args = vec!["sweep", text(&trace), "--capacity", "4,inf"];
    args.extend(common);
    let found = json(&args);
    assert_eq!(found["cells"][0]["waiting"], 1, "{found}");
    assert_eq!(found["cells"][1]["waiting"], 0, "{found}");
    let mut args = vec!["curve", text(&trace), "--points", "3"];
    args.extend(common);
    assert!(json(&args)["curves"].is_array());
}
