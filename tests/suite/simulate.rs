//! `replay simulate` as users call it: results, the prefix cache in the loop, determinism, and what it says to bad input.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{json, replay, stdout, text};
use serde_json::Value;

/// Three turns of one chat, each prompt being what was before and more, and a chat of its own; block ids of 16 tokens.
const CHATS: &str = r#"{"timestamp": 0, "input_length": 64, "output_length": 32, "hash_ids": [1, 2, 3, 4]}
{"timestamp": 100, "input_length": 64, "output_length": 16, "hash_ids": [11, 12, 13, 14]}
{"timestamp": 20000, "input_length": 112, "output_length": 32, "hash_ids": [1, 2, 3, 4, 5, 6, 7]}
{"timestamp": 40000, "input_length": 160, "output_length": 1, "hash_ids": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}
"#;

/// One aggregated instance whose steps take 10 ms and 1 ms per prompt token.
const CLUSTER: &str = r#"
name = "tiny"
[latency]
kind = "linear"
base_ms = 10.0
prefill_ms_per_token = 1.0
decode_ms_per_request = 0.0
context_ms_per_token = 0.0
[scheduler]
kind = "vllm-v1"
[[pool]]
name = "all"
blocks = 100
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("folder"));
        place.write("chats.jsonl", CHATS);
        place.write("tiny.toml", CLUSTER);
        place
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("writes");
        text(&path).to_owned()
    }

    fn path(&self, name: &str) -> String {
        text(&self.0.path().join(name)).to_owned()
    }

    fn simulate(&self, more: &[&str]) -> Value {
        let (trace, config) = (self.path("chats.jsonl"), self.path("tiny.toml"));
        let mut args = vec![
            "simulate", &trace, "--format", "mooncake", "--config", &config, "--json",
        ];
        args.extend(more);
        json(&args)
    }

    fn fails(&self, args: &[&str], expected: &[&str]) {
        let output = replay(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
        for part in expected {
            assert!(stderr.contains(part), "{args:?}: {stderr} without {part}");
        }
    }
}

fn csv(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).expect("opens");
    reader
        .deserialize()
        .map(|row| row.expect("a row"))
        .collect()
}

#[test]
fn a_chat_by_hand() {
    let place = Place::new();
    let out = place.path("out");
    // A mooncake trace's blocks are 512 tokens unless told: lengths here say 16.
    let figures = place.simulate(&["--block-size", "16", "--output-dir", &out]);
    let rows = csv(&place.0.path().join("out/request.csv"));
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    // The second turn finds the first's four blocks, the third the second's seven.
    assert_eq!(column("cached_tokens"), ["0", "0", "64", "112"]);
    // 10 ms and the tokens that are not cached; the second request comes 100 ms after the first, in the midst of its third
    // decode (74 + 3 x 10 = 104 ms), and so waits 4 ms for its step, which takes 74 ms.
    assert_eq!(column("ttft"), ["0.074", "0.078", "0.058", "0.058"]);
    assert_eq!(column("queue_time"), ["0.0", "0.004", "0.0", "0.0"]);
    // The first's 31 decodes take 10 ms each, but for the one that shares its step with the second's prompt.
    assert_eq!(column("e2e")[0], "0.448");
    assert_eq!(figures["cached_tokens"], 176);
    assert_eq!(figures["finished"], 4);
    let names = [
        "summary.csv",
        "summary.json",
        "instances.csv",
        "request_nodes.csv",
        "detailed/0.csv",
        "detailed/0_alloc.csv",
        "config.toml",
    ];
    for name in names {
        assert!(place.0.path().join("out").join(name).exists(), "{name}");
    }
    // The configuration that was written makes the same run again.
    let again = json(&[
        "simulate",
        &place.path("chats.jsonl"),
        "--format",
        "mooncake",
        "--block-size",
        "16",
        "--config",
        &place.path("out/config.toml"),
        "--json",
    ]);
    assert_eq!(figures, again);
}

#[test]
fn prefill_and_decode_apart_by_hand() {
    let place = Place::new();
    let pools = "pool.all.role=prefill";
    let config = place.write(
        "apart.toml",
        &(CLUSTER.to_owned()
            + "[[pool]]\nname = \"decode\"\nrole = \"decode\"\nblocks = 100\n[model]\nname = \"x\"\n\
               kv_bytes_per_token = 1e6\n[transfer]\ngb_per_second = 1.0\nlatency_ms = 1.0\n[cache]\nwrite_back = false\n"),
    );
    let out = place.path("out");
    let figures = json(&[
        "simulate",
        &place.path("chats.jsonl"),
        "--format",
        "mooncake",
        "--block-size",
        "16",
        "--config",
        &config,
        "--set",
        pools,
        "--json",
        "--output-dir",
        &out,
    ]);
    assert_eq!(figures["finished"], 4);
    let rows = csv(&place.0.path().join("out/request.csv"));
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    // 64 tokens of 1 MB over 1 GB/s are 64 ms, and 1 ms for the first byte. The second turn's first four blocks are in the
    // decode instance's cache, so that only 48 tokens move; the last turn has one token and stays.
    assert_eq!(column("transferred_tokens"), ["64", "64", "48", "0"]);
    assert_eq!(column("transfer_time"), ["0.065", "0.065", "0.049", "0.0"]);
    assert_eq!(column("prefill_instance"), ["0", "0", "0", "0"]);
    assert_eq!(column("decode_instance"), ["1", "1", "1", "0"]);
    // 74 + 65 + 31 x 10 ms: nothing disturbs a decode instance.
    assert_eq!(column("e2e")[0], "0.449");
    assert_eq!(figures["moved_bytes"], 176_000_000);
}

#[test]
fn threads_and_runs_change_nothing() {
    let place = Place::new();
    let run = |threads: &str, folder: &str| {
        let out = place.path(folder);
        place.simulate(&[
            "--block-size",
            "16",
            "--seeds",
            "0,1,2",
            "--results",
            &out,
            "--threads",
            threads,
            "--set",
            "pool.all.instances=3",
            "--set",
            "router.prompt=random",
        ])
    };
    assert_eq!(run("1", "a"), run("2", "b"));
    let part = "0/all-3/chats/tiny/llama-3-8b/vllm-v1/no_autoscaling/request.csv";
    let read = |folder: &str| std::fs::read(place.0.path().join(folder).join(part)).expect("there");
    assert_eq!(read("a"), read("b"));
}

#[test]
fn what_cannot_be_served_is_told() {
    let place = Place::new();
    // 6 blocks of 16 tokens hold the first two requests and no turn more.
    let figures = place.simulate(&["--block-size", "16", "--set", "pool.all.blocks=6"]);
    assert_eq!(figures["finished"], 2);
    assert_eq!(figures["unfinished"]["too_large"], 2);
    // The end comes before the third request.
    let figures = place.simulate(&["--block-size", "16", "--set", "end_seconds=0.2"]);
    assert_eq!(figures["arrived"], 2);
    assert_eq!(figures["unfinished"]["end_of_time"], 2);
    assert_eq!(figures["unfinished"]["not_arrived"], 2);
}

#[test]
fn instances_start_late_and_drain() {
    let place = Place::new();
    // From 10 s on there are two, the new one after 5 s; from 30 s on there is one again.
    let config = place.write(
        "grow.toml",
        &(CLUSTER.to_owned()
            + "startup_seconds = 5.0\n[[resize]]\nat_seconds = 10.0\npool = \"all\"\ninstances = 2\n\
               [[resize]]\nat_seconds = 30.0\npool = \"all\"\ninstances = 1\n"),
    );
    let out = place.path("out");
    let trace = place.path("chats.jsonl");
    stdout(&[
        "simulate",
        &trace,
        "--format",
        "mooncake",
        "--block-size",
        "16",
        "--config",
        &config,
        "--output-dir",
        &out,
    ]);
    let rows = csv(&place.0.path().join("out/instances.csv"));
    let second = &rows[1];
    assert_eq!(
        (&*second["created"], &*second["ready"], &*second["gone"]),
        ("10.0", "15.0", "30.0")
    );
}

#[test]
fn pictures_of_time_for_perfetto() {
    let place = Place::new();
    let file = place.path("trace.json");
    let figures = place.simulate(&["--block-size", "16", "--chrome-trace", &file]);
    let events: Vec<Value> =
        serde_json::from_slice(&std::fs::read(&file).expect("reads")).expect("JSON");
    let steps = events.iter().filter(|event| event["ph"] == "X").count();
    assert_eq!(Some(steps as u64), figures["steps"].as_u64());
}

#[test]
fn bad_input_is_told_in_a_line() {
    let place = Place::new();
    let trace = place.path("chats.jsonl");
    let tiny = place.path("tiny.toml");
    let with = |more: &[&str], expected: &[&str]| {
        let mut args = vec![
            "simulate",
            &*trace,
            "--format",
            "mooncake",
            "--block-size",
            "16",
        ];
        args.extend(more);
        place.fails(&args, expected);
    };
    let unknown = place.write("unknown.toml", &CLUSTER.replace("blocks", "blokcs"));
    with(&["--config", &unknown], &["unknown.toml:13", "blokcs"]);
    with(
        &["--config", &tiny, "--set", "pool.all.instances=0"],
        &["no instance computes prompts"],
    );
    with(
        &["--config", &tiny, "--set", "pool.all.role=prefill"],
        &["nowhere to send their outputs"],
    );
    with(
        &["--config", &tiny, "--set", "pool.al.instances=1"],
        &["none of that name"],
    );
    with(
        &["--config", &tiny, "--set", "router.prompt=jqs"],
        &["jqs", "did you mean", "jsq"],
    );
    with(&["--config", &tiny, "--set", "latency.base_ms=-1"], &["-1"]);
    with(
        &["--config", &tiny, "--set", "pool.all.sku=h1000"],
        &["h1000"],
    );
    with(
        &["--config", "nowhere.toml"],
        &["nowhere.toml", "cannot read"],
    );
    with(&["--preset", "splitwise"], &["splitwise-hh-25-15"]);
    let zero = ["--autoscaler", "queue", "--set", "autoscaling.decode.min=0"];
    with(&zero, &["autoscaling.decode.min is 0; give 1 or more"]);
    with(&["--metrics", "vidr"], &["vidr", "vidur"]);
    let seeds = ["--config", &tiny, "--seeds", "1,2", "--output-dir", "x"];
    with(&seeds, &["--results"]);
    let empty = place.write(
        "empty.csv",
        "arrived_at,num_prefill_tokens,num_decode_tokens\n",
    );
    place.fails(&["simulate", &empty, "--config", &tiny], &["empty.csv"]);
    place.fails(&["simulate"], &["no trace"]);
    let small = place.write(
        "small.toml",
        &CLUSTER.replace("blocks = 100", "sku = \"l4-24gb\""),
    );
    let big = ["--config", &small, "--set", "model.name=llama-3-70b"];
    with(&big, &["larger GPU"]);
}

#[test]
fn options_without_a_meaning_for_another_simulators_configuration_are_refused() {
    let place = Place::new();
    let trace = place.path("chats.jsonl");
    let splitwise = place.write("config.yaml", "");
    let vidur = place.write("config.json", "{}");
    let compat = place.write("compat.toml", "compat = \"splitwise\"\n");
    let tiny = place.path("tiny.toml");
    for (config, name, options) in [
        (
            &splitwise,
            "SplitwiseSim's config.yaml",
            &[
                &["--autoscaler", "kpa"][..],
                &["--set", "seed=1"],
                &["--block-size", "16"],
                &["--format", "mooncake"],
                &["--tokenizer", "gpt2"],
                &["--metrics", "vidur"],
                &["--chrome-trace", "x.json"],
                &["--vidur-tables", "x"],
            ][..],
        ),
        (
            &vidur,
            "Vidur's config.json",
            &[
                &["--autoscaler", "kpa"],
                &["--set", "seed=1"],
                &["--block-size", "16"],
                &["--tokenizer", "gpt2"],
                &["--seeds", "1"],
                &["--perf-model", "x.csv"],
                &["--print-config"],
            ],
        ),
        (
            &compat,
            "a configuration with compat = \"splitwise\"",
            &[&["--autoscaler", "kpa"], &["--block-size", "16"]],
        ),
        (
            &tiny,
            "a TOML configuration",
            &[&["--perf-model", "x.csv"], &["--vidur-tables", "x"]],
        ),
    ] {
        for option in options {
            let mut args = vec!["simulate", &trace, "--config", config];
            args.extend(*option);
            let says = format!("{} cannot be combined with {name}", option[0]);
            place.fails(&args, &[&says]);
        }
    }
}
