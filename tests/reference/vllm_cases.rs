//! Agreement with vLLM's own cache manager, request by request.

use std::io::Read;

use crate::common::text;
use crate::harness::Need::Data;
use crate::harness::{shared, tests};
use serde_json::Value;

tests! {
    cached_tokens_new_blocks_and_evictions_are_vllms: [Data("reference/vllm-cache")];
    mooncake_with_an_unbounded_cache: [Data("data/mooncake_conversation_trace.jsonl.xz")];
    block_hashes_are_vllms: [Data("reference/vllm-cache/hash_vectors.json")];
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
fn cached_tokens_new_blocks_and_evictions_are_vllms() {
    let folder = shared("reference/vllm-cache");
    let out = tempfile::tempdir().expect("folder");
    let mut cases = 0;
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("lists")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    names.sort();
    for summary in names
        .iter()
        .filter(|path| text(path).ends_with(".summary.json"))
    {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(summary).expect("reads")).expect("JSON");
        let trace = folder.join(expected["trace"].as_str().expect("path"));
        let number = |key: &str| expected[key].as_u64().expect("number").to_string();
        let hold = match number("hold").as_str() {
            "0" => "none".to_owned(),
            requests => format!("requests:{requests}"),
        };
        let (block_size, blocks) = (number("block_size"), number("num_gpu_blocks"));
        let mut args = vec![
            "analyze",
            text(&trace),
            "--block-size",
            &block_size,
            "--num-gpu-blocks",
            &blocks,
            "--hold",
            &hold,
            "--output-dir",
            text(out.path()),
            "--json",
        ];
        if expected["decode"] == "none" {
            args.push("--no-cache-output");
        }
        // Cases of a version that freed blocks in another order say so.
        if let Some(order) = expected["free_order"].as_str() {
            args.extend(["--free-order", order]);
        }
        let found = crate::common::json(&args);
        for (ours, theirs) in [
            ("cached_tokens", "hit_tokens"),
            ("rejected_requests", "rejected"),
            ("resident_blocks", "cached_hashes_at_end"),
        ] {
            assert_eq!(
                found[ours],
                expected[theirs],
                "{}: {ours}",
                summary.display()
            );
        }
        // vLLM counts a second copy of a cached block that loses its content, too.
        let count = |key: &str| found[key].as_u64().expect("number");
        let evicted = count("evictions") + count("evicted_copies");
        assert_eq!(evicted, expected["evictions"], "{}", summary.display());
        let balance = count("new_blocks") - count("evictions");
        assert_eq!(balance, count("resident_blocks"), "{}", summary.display());
        let reference = lines(std::path::Path::new(
            &text(summary).replace(".summary.json", ".jsonl.gz"),
        ));
        let mut csv = csv::Reader::from_path(out.path().join("requests.csv")).expect("opens");
        let columns = csv.headers().expect("header").clone();
        let column = |name: &str| {
            columns
                .iter()
                .position(|column| column == name)
                .expect("column")
        };
        let pairs = [
            (&["shared_tokens"][..], "num_cached_tokens"),
            (&["allocated_blocks"], "num_new_blocks"),
            (&["evicted_blocks", "evicted_copies"], "evicted_blocks"),
        ];
        let mut compared = 0;
        for (row, expected) in csv.records().zip(&reference) {
            let row = row.expect("row");
            assert_eq!(
                row[column("request_id")],
                *expected["request_id"].as_str().expect("id")
            );
            for (ours, theirs) in pairs {
                let number = |name: &&str| row[column(name)].parse::<u64>().expect("number");
                let sum: u64 = ours.iter().map(number).sum();
                assert_eq!(
                    sum,
                    expected[theirs].as_u64().unwrap_or(0),
                    "{}: {} {ours:?}",
                    summary.display(),
                    expected["request_id"]
                );
            }
            compared += 1;
        }
        assert_eq!(compared, reference.len());
        cases += 1;
    }
    assert!(cases >= 8, "{cases} cases");
}

fn mooncake_with_an_unbounded_cache() {
    let packed = shared("data/mooncake_conversation_trace.jsonl.xz");
    let folder = tempfile::tempdir().expect("folder");
    let trace = crate::common::unpack(&packed, folder.path());
    for engine in ["vllm", "ideal"] {
        let found = crate::common::json(&[
            "analyze",
            text(&trace),
            "--block-size",
            "512",
            "--engine",
            engine,
            "--json",
        ]);
        assert_eq!(found["block_lookups"], 288_500);
        assert_eq!(found["block_hits"], 105_710);
        assert_eq!(found["distinct_blocks"], 182_790);
        for (name, ratio) in [
            ("block_hit_ratio", 0.366_412),
            ("token_hit_ratio", 0.373_624),
            ("mean_request_hit_ratio", 0.384_258),
        ] {
            let found = found[name].as_f64().expect("number");
            assert!((found - ratio).abs() < 5e-7, "{name}: {found}");
        }
    }
}

/// The published vectors, through the program: one trace with a plain, a salted and an adapted request.
fn block_hashes_are_vllms() {
    let file = shared("reference/vllm-cache/hash_vectors.json");
    let expected: Value =
        serde_json::from_slice(&std::fs::read(file).expect("reads")).expect("JSON");
    let out = tempfile::tempdir().expect("folder");
    let trace = out.path().join("trace.jsonl");
    let request = |id: &str, tokens: u32, extra: Value| {
        let mut line = serde_json::json!({"request_id": id, "conversation_id": id, "turn_index": 0, "arrival_time": 0.0,
            "prompt_token_ids": (0..tokens).collect::<Vec<_>>(), "response_token_ids": [0]});
        for (key, value) in extra.as_object().expect("object") {
            line[key] = value.clone();
        }
        line.to_string() + "\n"
    };
    let lines = [
        request("plain", 32, serde_json::json!({})),
        request("salted", 16, serde_json::json!({"cache_salt": "s1"})),
        request("adapted", 16, serde_json::json!({"lora": "ad=/p"})),
    ];
    std::fs::write(&trace, lines.concat()).expect("writes");
    let hashes = |algorithm: &str, seed: &[&str]| -> Vec<(String, String)> {
        let mut args = vec![
            "analyze",
            text(&trace),
            "--output-dir",
            text(out.path()),
            "--hash",
            algorithm,
        ];
        args.extend(seed);
        crate::common::stdout(&args);
        let mut csv = csv::Reader::from_path(out.path().join("blocks.csv")).expect("opens");
        csv.records()
            .map(|row| {
                let row = row.expect("row");
                (row[5].to_owned(), row[6].to_owned())
            })
            .collect()
    };
    let cbor = &expected["sha256_cbor"];
    let found = hashes("sha256_cbor", &[]);
    for (index, key) in [
        "b0_tokens0_15",
        "b1_tokens16_31",
        "b0_salt_s1",
        "b0_lora_ad_p",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(found[index].0, cbor[key].as_str().expect("text"), "{key}");
    }
    assert_eq!(found[0].1, cbor["b0_event_int64"].to_string());
    for algorithm in ["sha256_cbor", "xxhash_cbor"] {
        let vector = &expected[format!("{algorithm}_PYTHONHASHSEED0")]["b0"];
        let found = hashes(algorithm, &["--hash-seed", "0"]);
        assert_eq!(found[0].0, vector.as_str().expect("text"), "{algorithm}");
    }
}
