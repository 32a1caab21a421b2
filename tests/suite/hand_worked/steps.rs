//! Files about single steps: those with Vidur's names, and the trace for Perfetto.
//!
//! The first test of `backlog`, with one more request. Times are in milliseconds. Two requests of 8 + 6 tokens come at 0 to an instance with 6
//! blocks: a step of both prompts until 26, four decodes of both until 106, one of the first alone until 121, and the second's 13 tokens again
//! until 144. A request of 4 + 3 comes at 200: until 214. One of 4 + 1 comes at 205 and waits: a step with a decode of the other, 10 + 4 + 5, until
//! 233; and the last decode until 248.

use serde_json::{Value, json};

use super::{COMMON, expect};
use crate::common::{stdout, text};

#[test]
fn every_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let trace =
        "arrived_at,num_prefill_tokens,num_decode_tokens\n0,8,6\n0,8,6\n0.2,4,3\n0.205,4,1\n";
    std::fs::write(path("worked.csv"), trace).expect("writes");
    let cluster = format!("{COMMON}[[pool]]\nname = \"all\"\nblocks = 6\n");
    std::fs::write(path("worked.toml"), cluster).expect("writes");
    stdout(&[
        "simulate",
        text(&path("worked.csv")),
        "--config",
        text(&path("worked.toml")),
        "--output-dir",
        text(&path("out")),
        "--metrics",
        "vidur",
        "--chrome-trace",
        text(&path("trace.json")),
    ]);
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("reads");
    expect::csv(
        "batch_metrics.csv",
        &read("out/batch_metrics.csv"),
        "Batch Id,batch_num_tokens,batch_num_prefill_tokens,batch_num_decode_tokens,batch_size,batch_execution_time
        0,16,16,0,2,0.026
        1,2,0,2,2,0.02
        2,2,0,2,2,0.02
        3,2,0,2,2,0.02
        4,2,0,2,2,0.02
        5,1,0,1,1,0.015
        6,13,13,0,1,0.023
        7,4,4,0,1,0.014
        8,5,4,1,2,0.019
        9,1,0,1,1,0.015",
    );
    // Normalized times are by output token. Execution of the second: 26 + 4 x 20 + 23; its preemption is 106 to 121. The last one's first token is
    // its only one: no time passes after it.
    expect::csv(
        "request_metrics.csv",
        &read("out/request_metrics.csv"),
        "Request Id,request_e2e_time,request_e2e_time_normalized,request_execution_time,request_execution_time_normalized,request_model_execution_time,request_model_execution_time_normalized,request_preemption_time,request_scheduling_delay,request_execution_plus_preemption_time,request_execution_plus_preemption_time_normalized,prefill_e2e_time,prefill_time_execution_plus_preemption,prefill_time_execution_plus_preemption_normalized,decode_time_execution_plus_preemption_normalized,request_inter_arrival_delay,request_num_tokens,request_num_prefill_tokens,request_num_decode_tokens,request_pd_ratio,request_num_restarts
        0,0.121,0.121/6,0.121,0.121/6,0.121,0.121/6,0,0,0.121,0.121/6,0.026,0.026,0.026/8,0.095/6,,14,8,6,8/6,0
        1,0.144,0.144/6,0.129,0.129/6,0.129,0.129/6,0.015,0,0.144,0.144/6,0.026,0.026,0.026/8,0.118/6,0,14,8,6,8/6,1
        2,0.048,0.048/3,0.048,0.048/3,0.048,0.048/3,0,0,0.048,0.048/3,0.014,0.014,0.014/4,0.034/3,0.2,7,4,3,4/3,0
        3,0.028,0.028,0.019,0.019,0.019,0.019,0,0.009,0.019,0.019,0.028,0.019,0.019/4,0,0.005,5,4,1,4,0",
    );
    let events: Vec<Value> = serde_json::from_str(&read("trace.json")).expect("JSON");
    let steps: Vec<Value> = events
        .into_iter()
        .filter(|event| event["ph"] == "X")
        .collect();
    // Start, length, prompt tokens, decodes, and blocks held of 6.
    let expected = [
        ("prefill", 0, 26, 16, 0, 4),
        ("decode", 26, 20, 0, 2, 6),
        ("decode", 46, 20, 0, 2, 6),
        ("decode", 66, 20, 0, 2, 6),
        ("decode", 86, 20, 0, 2, 6),
        ("decode", 106, 15, 0, 1, 4),
        ("prefill", 121, 23, 13, 0, 4),
        ("prefill", 200, 14, 4, 0, 1),
        ("mixed", 214, 19, 4, 1, 3),
        ("decode", 233, 15, 0, 1, 2),
    ];
    let requests = [2, 2, 2, 2, 2, 1, 1, 1, 2, 1];
    let expected: Vec<Value> = expected
        .iter()
        .zip(requests)
        .map(|((name, start, length, prompt, decodes, blocks), requests)| {
            json!({"ph": "X", "name": name, "pid": 0, "tid": 0, "ts": start * 1000, "dur": length * 1000, "args": {
                "requests": requests, "prefill_tokens": prompt, "decodes": decodes, "kv_usage": f64::from(*blocks) / 6.0,
            }})
        })
        .collect();
    let mut faults = Vec::new();
    expect::json("steps", &json!(steps), &json!(expected), &mut faults);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
