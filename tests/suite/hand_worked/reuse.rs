//! `analyze`: a pool of 4 blocks of 4 tokens by vLLM's rules, four prompts of 9 tokens. Every figure of its summary, by hand.
//!
//! A prompt fills two blocks and needs a third, which never gets a hash. Letters are blocks, times are in seconds.
//!
//! - 0: A B. Takes 3 of the 4 blocks. When they are given back, the third is the first to be taken again, then the one that was never
//!   used, then B, then A.
//! - 0.5: A B. Both are found; the third block is the one from before.
//! - 40: C D. They take the two blocks without content, and the third is B's: B came at 0, was last used at 0.5, and goes.
//! - 60: A B. A is found; B is not, and takes the block without content. The third block is D's: D came at 40, was used then, and goes.

use serde_json::{Value, json};

use super::expect::{self, spread};
use super::tokens;
use crate::common::{stdout, text};

fn analyze() -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("worked.jsonl");
    let (first, other) = (tokens(0, 8), tokens(100, 8));
    let prompts = [(0.0, &first), (0.5, &first), (40.0, &other), (60.0, &first)];
    let lines: String = prompts
        .iter()
        .zip(1000..)
        .map(|((time, prompt), last)| {
            let prompt = [&prompt[..], &[last]].concat();
            let line = json!({"request_id": format!("r{last}"), "arrival_time": time, "prompt_token_ids": prompt, "response_token_ids": [7]});
            line.to_string() + "\n"
        })
        .collect();
    std::fs::write(&trace, lines).expect("writes");
    let out = folder.path().join("out");
    let printed = stdout(&[
        "analyze",
        text(&trace),
        "--block-size",
        "4",
        "--capacity",
        "4",
        "--json",
        "--output-dir",
        text(&out),
    ]);
    (folder, serde_json::from_str(&printed).expect("JSON"))
}

/// A histogram of vLLM's: how many values are at most so large.
fn histogram(values: &[f64]) -> Value {
    let bounds = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0,
        60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0,
    ];
    let below = |bound: &f64| values.iter().filter(|value| *value <= bound).count();
    let buckets: Vec<Value> = bounds
        .iter()
        .map(|bound| json!([bound, below(bound)]))
        .collect();
    json!({"buckets": buckets, "sum": values.iter().sum::<f64>(), "count": values.len()})
}

#[test]
fn every_figure() {
    let (_folder, found) = analyze();
    // 60 windows over 60 s (and a nanosecond more each, so that the last request is in the last one): the first two requests use two blocks in the
    // first window; 40 s lie in the 40th, 60 s in the 60th.
    let windows: Vec<Value> = (0..60)
        .map(|index| {
            let blocks = if [0, 39, 59].contains(&index) { 2 } else { 0 };
            json!({"start": f64::from(index) * 1.000_000_001, "distinct_blocks": blocks})
        })
        .collect();
    let group = |label: &str| json!({"label": label, "requests": 4, "prompt_tokens": 36, "cached_tokens": 12, "mean_sharing_fraction": 1.0 / 3.0});
    let expected = json!({
        "settings": {
            "engine": "vllm", "policy": "lru", "block_size": 4, "capacity_blocks": 4, "cache_output": true,
            "last_token_cap": true, "hold": "none", "free_order": "current",
        },
        "requests": 4,
        "rejected_requests": 0,
        "cut_outputs": 0,
        "prompt_tokens": 36,
        // A and B at 0.5, A at 60.
        "cached_tokens": 12,
        "token_hit_ratio": 1.0 / 3.0,
        "mean_request_hit_ratio": (1.0 + 0.5) / 4.0,
        "block_lookups": 8,
        "block_hits": 3,
        "block_hit_ratio": 0.375,
        "distinct_blocks": 4,
        // A, B; C, D; B again.
        "new_blocks": 5,
        // A, B and C.
        "resident_blocks": 3,
        "evictions": 2,
        "evicted_copies": 0,
        "sharing_fraction": spread(&[0.0, 8.0 / 9.0, 0.0, 4.0 / 9.0]),
        "block_accesses": spread(&[3.0, 3.0, 1.0, 1.0]),
        // A and B at 0, 0.5 and 60, whether they were found or not.
        "reuse_gap_seconds": spread(&[0.5, 0.5, 59.5, 59.5]),
        "reuse_gap_requests": spread(&[1.0, 1.0, 2.0, 2.0]),
        // Between two accesses of A first B, then B, C and D; of B first A, then C, D and A.
        "reuse_stack_distance_blocks": spread(&[1.0, 1.0, 3.0, 3.0]),
        "residency": {
            // B from 0 to 40, D from 40 to 60.
            "block_lifetime_seconds": spread(&[40.0, 20.0]),
            // B since 0.5, D since it came.
            "block_idle_before_evict_seconds": spread(&[39.5, 20.0]),
            // B was wanted at 60, 20 after it went.
            "reuse_after_eviction_seconds": spread(&[20.0]),
            "histograms": {
                "vllm:kv_block_lifetime_seconds": histogram(&[40.0, 20.0]),
                "vllm:kv_block_idle_before_evict_seconds": histogram(&[39.5, 20.0]),
                // Hits only: A and B at 0.5, A at 60.
                "vllm:kv_block_reuse_gap_seconds": histogram(&[0.5, 0.5, 59.5]),
                "lmcache_mp_l1_chunk_evict_reuse_gap_seconds": histogram(&[20.0]),
            },
        },
        "savings": {"prefill_tokens_avoided": 12, "prefill_flops_avoided": null, "gib_held": null},
        "continuity": {"followups": 0, "possible_tokens": 0, "shared_tokens": 0},
        "by_turn": [group("1")],
        "by_session_length": [group("1")],
        "by_prompt_length": [group("8-15")],
        "working_set": windows,
        "answer": "A cache of 4 blocks (100.0 % of the distinct blocks) saves the prefill of 33.3 % of prompt tokens (engine \
            vllm, eviction lru, 4 tokens a block).",
    });
    let mut faults = Vec::new();
    expect::json("summary", &found, &expected, &mut faults);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_row() {
    let (folder, _) = analyze();
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).expect("reads");
    // A and B are used three times: two gaps in 60 s.
    expect::csv(
        "blocks.csv",
        &read("blocks.csv"),
        "block_id,hit_count,first_access_time,last_access_time,avg_reuse_gap
        0,3,0,60,30
        1,3,0,60,30
        2,1,40,40,0
        3,1,40,40,0",
    );
    expect::csv(
        "requests.csv",
        &read("requests.csv"),
        "request_id,total_tokens,shared_tokens,sharing_fraction,blocks_accessed,blocks_reused,session_id,turn,arrival_time,output_tokens,new_blocks,evicted_blocks,rejected,waited,preempted,allocated_blocks,evicted_copies
        r1000,9,0,0,2,0,r1000,0,0,1,2,0,false,0,0,3,0
        r1001,9,8,8/9,2,2,r1001,0,0.5,1,0,0,false,0,0,1,0
        r1002,9,0,0,2,0,r1002,0,40,1,2,1,false,0,0,3,0
        r1003,9,4,4/9,2,1,r1003,0,60,1,1,1,false,0,0,2,0",
    );
}
