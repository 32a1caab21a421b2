//! One instance with 6 blocks of 4 tokens that serves whole requests, and two requests of 8 + 6 tokens at 0, of which the second is preempted.
//! Times are in milliseconds.
//!
//! Both prompts share a step until 26. Each then has 9 tokens to keep, 3 blocks, up to the 12th: steps of 20 until 46, 66, 86, 106. For its 13th
//! token the first has no block; the second, which came last, loses its own. It has 5 of its 6 tokens: 13 tokens are to be computed again.
//! The first has its last token at 121. `later` (4 + 3) comes at 200: 214, 229, 244.

use super::{Run, tokens};

/// A tick every 110, and nothing that changes the cluster's size.
const POOLS: &str = r#"
[autoscaling]
interval_seconds = 0.11
[[pool]]
name = "all"
blocks = 6
"#;

/// At 110 the second waits; at 220 `later` decodes. Waiting requests and tokens that are to be computed.
fn queues(run: &Run) -> Vec<(String, String)> {
    run.rows("scaling/0.csv")
        .iter()
        .map(|row| {
            let cell = |name: &str| row[name].clone();
            (cell("aggregated_waiting"), cell("aggregated_queue_tokens"))
        })
        .collect()
}

#[test]
fn what_was_lost_is_computed_again() {
    // Without contents nothing is found: 13 tokens, 121 to 144, and its 6th token.
    let trace = "arrived_at,num_prefill_tokens,num_decode_tokens\n0,8,6\n0,8,6\n0.2,4,3\n";
    let run = Run::of_file("", POOLS, "worked.csv", trace);
    run.csv(
        "instances.csv",
        // Blocks: both 2 until 26, 3 until 106; the first 4 until 121; the second 4 from 121 to 144; `later` 1 from 200, 2 from 214 to 244.
        // 104 + 480 + 60 + 92 + 14 + 60 = 810, of 6 over 244. Prompt tokens: 16 + 13 + 4.
        // Steps with prompts: until 26, from 121 to 144, and from 200 to 214: 26 + 23 + 14.
        "instance,pool,role,created,ready,draining,gone,busy,busy_prefill,utilisation,steps,prefill_tokens,output_tokens,cached_tokens,preemptions,mean_kv_usage,peak_kv_usage,clamped_steps
        0,all,aggregated,0.0,0.0,,0.244,0.188,0.063,188/244,10,33,15,0,1,810/1464,1,0",
    );
    assert_eq!(
        run.column("request.csv", "e2e"),
        ["0.121", "0.144", "0.044"]
    );
    assert_eq!(run.column("request.csv", "preemptions"), ["0", "1", "0"]);
    // From 106 to 121 it is in no step.
    assert_eq!(
        run.column("request.csv", "stalled_time"),
        ["0.0", "0.015", "0.0"]
    );
    assert_eq!(queues(&run), [pair("1.0", "13.0"), pair("0.0", "0.0")]);
}

#[test]
fn what_is_found_again_is_no_backlog() {
    // 8 blocks: `a` (8 + 8) and `b` (12 + 7) have their first tokens at 30, and further ones at 50, 70, 90 and 110, when `a` takes the last
    // block and `b`, for its 17th token, has none. `a` has its last token at 155. Then `b` finds the 16 tokens that it had computed, and the
    // 17th is a decode: 170 and 185. Nothing is left to compute then; `later` decodes from 214 to 244.
    let requests = [
        ("a", "a", 0, 0.0, tokens(0, 8), tokens(50, 8)),
        ("b", "b", 0, 0.0, tokens(100, 12), tokens(150, 7)),
        ("later", "c", 0, 0.2, tokens(200, 4), tokens(250, 3)),
    ];
    let pools = POOLS
        .replace("blocks = 6", "blocks = 8")
        .replace("0.11", "0.12");
    let run = Run::new("", &pools, &requests);
    assert_eq!(
        run.column("request.csv", "e2e"),
        ["0.155", "0.185", "0.044"]
    );
    assert_eq!(run.column("request.csv", "preemptions"), ["0", "1", "0"]);
    // Tokens that are found after a preemption are not those of a first look-up.
    assert_eq!(run.column("request.csv", "cached_tokens"), ["0", "0", "0"]);
    assert_eq!(run.column("instances.csv", "prefill_tokens"), ["24"]);
    assert_eq!(queues(&run), [pair("1.0", "17.0"), pair("0.0", "0.0")]);
}

fn pair(waiting: &str, tokens: &str) -> (String, String) {
    (waiting.to_owned(), tokens.to_owned())
}
