//! The curve in one pass beside replays, on real traces.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use crate::common::{json, text, unpack};
use crate::harness::Need::Data;
use crate::harness::{shared, tests};
use rand::{RngExt, SeedableRng};
use serde_json::Value;

tests! {
    equals_replays_at_random_capacities: [Data("data/mooncake_conversation_trace.jsonl.xz"), Data("data/mooncake_synthetic_trace.jsonl.xz")];
    mooncake_tables: [Data("data/mooncake_conversation_trace.jsonl.xz"), Data("data/mooncake_synthetic_trace.jsonl.xz")];
    samples_keep_their_bound: [Data("data/mooncake_conversation_trace.jsonl.xz")];
    engines_without_one_pass_are_replayed: [Data("reference/vllm-cache/trace_2000.jsonl.gz")];
    mooncake_tables_of_other_policies: [Data("data/mooncake_conversation_trace.jsonl.xz"), Data("data/mooncake_synthetic_trace.jsonl.xz")];
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key}"))
}

/// All points of a curve: a step function, told by where it changes.
fn at(points: &[Value], capacity: u32) -> &Value {
    let upto = points.partition_point(|p| number(p, "capacity_blocks") <= f64::from(capacity));
    &points[upto - 1]
}

fn equals_replays_at_random_capacities() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = rand_pcg::Pcg64::seed_from_u64(7);
    for name in ["conversation", "synthetic"] {
        let packed = shared(&format!("data/mooncake_{name}_trace.jsonl.xz"));
        let trace = unpack(&packed, folder.path());
        for (engine, order) in [
            ("ideal", "tail-first"),
            ("ideal", "head-first"),
            ("block", "head-first"),
        ] {
            let rules = ["--engine", engine, "--order", order];
            let curve = json(
                &[
                    &["curve", text(&trace), "--points", "all", "--json"],
                    &rules[..],
                ]
                .concat(),
            );
            let points = curve["curves"][0]["points"].as_array().unwrap();
            for _ in 0..9 {
                // Evenly by magnitude.
                let capacity =
                    (random.random_range(0.0..5.3f64) * std::f64::consts::LN_10).exp() as u32;
                let capacity_text = capacity.to_string();
                let replayed = json(
                    &[
                        &[
                            "analyze",
                            text(&trace),
                            "--capacity",
                            &capacity_text,
                            "--json",
                        ],
                        &rules[..],
                    ]
                    .concat(),
                );
                let point = at(points, capacity);
                for key in [
                    "block_hit_ratio",
                    "token_hit_ratio",
                    "mean_request_hit_ratio",
                ] {
                    let (one, other) = (number(point, key), number(&replayed, key));
                    assert!(
                        (one - other).abs() < 1e-12,
                        "{name}, {engine} {order}, {capacity} blocks, {key}: {one}, replayed {other}"
                    );
                }
            }
        }
    }
}

/// LRU, block by block, on Mooncake's traces: the figures of its tables.
fn mooncake_tables() {
    let folder = tempfile::tempdir().unwrap();
    let tables = [
        (
            "conversation",
            &[
                0.0445, 0.0653, 0.1360, 0.2116, 0.3257, 0.3546, 0.3637, 0.3664,
            ],
        ),
        (
            "synthetic",
            &[
                0.0841, 0.1905, 0.3094, 0.4239, 0.6242, 0.6396, 0.6396, 0.6396,
            ],
        ),
    ];
    for (name, expected) in tables {
        let packed = shared(&format!("data/mooncake_{name}_trace.jsonl.xz"));
        let trace = unpack(&packed, folder.path());
        let curve = json(&[
            "curve",
            text(&trace),
            "--engine",
            "block",
            "--points",
            "all",
            "--json",
        ]);
        let points = curve["curves"][0]["points"].as_array().unwrap();
        let capacities = [1000, 3000, 5859, 10_000, 30_000, 50_000, 100_000, u32::MAX];
        for (capacity, expected) in capacities.into_iter().zip(expected) {
            let found = number(at(points, capacity), "block_hit_ratio");
            assert!(
                (found - expected).abs() <= 5e-5,
                "{name} {capacity}: {found}, not {expected}"
            );
        }
    }
}

fn samples_keep_their_bound() {
    let folder = tempfile::tempdir().unwrap();
    let packed = shared("data/mooncake_conversation_trace.jsonl.xz");
    // Its few long chats have most of the blocks.
    let chats = folder.path().join("chats.jsonl.zst");
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/data/sharegpt-synthetic.jsonl.zst"
    );
    crate::common::stdout(&[
        "gen-trace",
        data,
        "--output",
        text(&chats),
        "--tokenizer",
        "gpt2",
    ]);
    for trace in [unpack(&packed, folder.path()), chats] {
        let name = trace.display();
        let exact = json(&[
            "curve",
            text(&trace),
            "--engine",
            "ideal",
            "--points",
            "all",
            "--json",
        ]);
        let exact = exact["curves"][0]["points"].as_array().unwrap();
        for (rate, seed) in [
            ("0.6", "0"),
            ("0.4", "0"),
            ("0.4", "1"),
            ("0.3", "2"),
            ("1", "0"),
        ] {
            let sample = json(&[
                "curve",
                text(&trace),
                "--engine",
                "ideal",
                "--sample",
                rate,
                "--seed",
                seed,
                "--json",
            ]);
            let curve = &sample["curves"][0];
            assert!(curve["followed"].as_u64() <= curve["lookups"].as_u64());
            for point in curve["points"].as_array().unwrap() {
                let capacity = number(point, "capacity_blocks") as u32;
                let truth = number(at(exact, capacity), "block_hit_ratio");
                let (found, bound) = (number(point, "block_hit_ratio"), number(point, "bound"));
                assert!(
                    (found - truth).abs() <= bound + 1e-12,
                    "{name} at {capacity} blocks, rate {rate}: {found} +- {bound}, exact {truth}"
                );
            }
        }
    }
}

fn engines_without_one_pass_are_replayed() {
    let trace = shared("reference/vllm-cache/trace_2000.jsonl.gz");
    let curve = json(&[
        "curve",
        text(&trace),
        "--engine",
        "vllm",
        "--points",
        "6",
        "--json",
    ]);
    let points = curve["curves"][0]["points"].as_array().unwrap();
    assert!(points.len() >= 5);
    for point in points {
        let capacity = point["capacity_blocks"].to_string();
        let replayed = json(&["analyze", text(&trace), "--capacity", &capacity, "--json"]);
        assert_eq!(
            number(point, "token_hit_ratio"),
            number(&replayed, "token_hit_ratio")
        );
    }
}

/// Other policies on the same traces, counted as blocks are used.
fn mooncake_tables_of_other_policies() {
    let folder = tempfile::tempdir().unwrap();
    let capacities = ["1000", "3000", "5859", "10000", "30000", "50000"];
    let tables = [
        (
            "conversation",
            "lfu",
            [0.0481, 0.0747, 0.0966, 0.1318, 0.2759, 0.3438],
        ),
        (
            "conversation",
            "length-aware",
            [0.0504, 0.0669, 0.0855, 0.1123, 0.2028, 0.2602],
        ),
        (
            "conversation",
            "fifo",
            [0.0435, 0.0631, 0.1270, 0.1865, 0.3021, 0.3400],
        ),
        (
            "synthetic",
            "lfu",
            [0.0401, 0.1289, 0.2429, 0.3578, 0.6260, 0.6396],
        ),
        (
            "synthetic",
            "fifo",
            [0.0787, 0.1839, 0.3007, 0.3990, 0.5951, 0.6396],
        ),
    ];
    for (name, policy, expected) in tables {
        let packed = shared(&format!("data/mooncake_{name}_trace.jsonl.xz"));
        let trace = unpack(&packed, folder.path());
        for (capacity, expected) in capacities.into_iter().zip(expected) {
            let args = [
                "analyze",
                text(&trace),
                "--engine",
                "block",
                "--count",
                "access",
                "--eviction",
                policy,
                "--capacity",
                capacity,
                "--json",
            ];
            let found = number(&json(&args), "block_hit_ratio");
            assert!(
                (found - expected).abs() <= 5e-5,
                "{name} {policy} {capacity}: {found}, not {expected}"
            );
        }
    }
}
