//! One cluster with everything in it, over 1.05 seconds: prefill and decode instances, two senders to one receiver and two
//! receivers of one sender, a preemption, outputs written back and the turn that finds them, an instance that starts, one
//! that drains with work, one that is still starting at the end, a request that is too large, one that does not finish, and
//! one that never comes.
//!
//! All times here are in milliseconds. A token's KV is 1 MB and a link carries 1 GB/s, so a token takes 1 ms; the first byte
//! takes 2 ms. A request of P prompt and O output tokens computes the KV of P + O - 1.
//!
//! Instances: 0 and 1 prefill, 2 decodes; 3 and 4 are started. Who computes what:
//!
//! - `a1` (8 + 8 tokens) and `b1` (12 + 7) come at 0, each to a prefill instance of its own: the second would wait behind the
//!   first. Instance 0 computes 0 to 10 + 8 = 18, instance 1 computes 0 to 22.
//! - KV to instance 2: `a1` from 18 on, moving from 20 on. `b1` from 22 on, moving from 24 on. At 24 `a1` has 4 MB left, and
//!   both have half of instance 2's way in: `a1` is there at 24 + 8 = 32. `b1` has 12 - 4 = 8 MB left: there at 40.
//! - Instance 2 has 8 blocks. `a1` takes blocks for 8 + 1 tokens, 3; `b1` for 13, 4. Steps: `a1` alone 32 to 47; both 47 to 67,
//!   87, 107, 127, of 20 each. In the last of these `a1` has 13 tokens and takes the last block. At 127 `b1` would compute its
//!   17th token, has no block for it, and as the last that came it is preempted, with 5 of its 7 tokens.
//! - `a1` goes on alone: 142 and 157, its 7th and 8th token. At 142 `b1` does not fit: it wants 5 blocks, of which 4 hold what
//!   it had computed, and 4 are free. At 157 it does: 16 of its 17 tokens are found, so its next step is a decode. 172 and 187.
//! - Written back: `a1` has computed 15 tokens, 3 whole blocks, of which its prompt fills 2: one block goes to instance 0 at
//!   157. `b1` 18 tokens, 4 blocks, 3 of the prompt: one block to instance 1 at 187.
//! - At 100 the timetable wants 2 decode instances: instance 3 starts, and is ready at 250. At 200 it wants 1 prefill instance:
//!   both are idle, and the younger goes, instance 1.
//! - `a2` (8 + 8 + 4 = 20 prompt tokens, 12 output) and `c1` (4 + 8) come at 260. `a2` finds 3 blocks on instance 0: two of
//!   `a1`'s prompt and one written back. Its other 8 tokens and the 4 of `c1` share a step: 260 to 282.
//! - KV: `a2` goes to instance 2, which has 3 blocks of it, so 8 tokens move; `c1` to instance 3, 4 tokens. Both move from 284
//!   on, each with half of instance 0's way out: `c1` is there at 292, `a2` at 292 + 4 = 296.
//! - `a2` decodes alone on instance 2: 11 steps of 15 from 296 to 461.
//! - `d1` (4 + 7) comes at 310: 310 to 324 on instance 0; instance 3 has less of its memory in use than instance 2, so it goes
//!   there: moving from 326, there at 330.
//! - Instance 3: `c1` alone 292, 307, 322, 337; with `d1` 357, 377, 397, 417, when `c1` has 8 tokens; `d1` alone 432, 447.
//! - At 400 the timetable wants 1 decode instance. Instance 2 has one request and instance 3 two: instance 2 drains, and is gone
//!   at 461.
//! - Written back to instance 0: `c1` 11 tokens, 2 blocks, 1 of the prompt; `d1` 10, the same; `a2` 31 tokens, 7 blocks, 5 of the
//!   prompt: 1 + 1 + 2 blocks.
//! - `large` wants 100 prompt tokens, 25 blocks, at 455; a prefill instance has 20.
//! - `e1` (8 + 20) comes at 950: 950 to 968 on instance 0, moving 970 to 978 to instance 3, then 993, 1008, 1023, 1038; the
//!   step to 1053 is cut off by the end at 1050.
//! - At 1000 the timetable wants 2 decode instances again: instance 4 starts, and would be ready at 1150.
//! - `late` would come at 2000.

mod splitwise_files;
mod ticks;

use serde_json::json;

use super::expect::{attainment, bucket, limits, spread};
use super::{Run, tokens};

/// Times are in seconds; a day of the timetable has 2.4 of them, so that a tick is an hour, and starts at half past midnight.
const TOP: &str = r#"
name = "everything"
end_seconds = 1.05
"#;
const POOLS: &str = r#"
[transfer]
gb_per_second = 1.0
latency_ms = 2.0
[slo]
ttft_seconds = 0.02
tbt_seconds = 0.021
e2e_seconds = 0.15
[[pool]]
name = "prompts"
role = "prefill"
instances = 2
blocks = 20
gpus = 2
sku = "h100-80gb"
startup_seconds = 0.15
[[pool]]
name = "outputs"
role = "decode"
blocks = 8
sku = "a100-80gb"
startup_seconds = 0.15
[autoscaling]
policy = "periodic"
interval_seconds = 0.1
[autoscaling.periodic]
day_seconds = 2.4
start_hour = 0.5
hours = [
    { from = 0, to = 2, prefill = 2, decode = 2 },
    { from = 2, to = 4, prefill = 1, decode = 2 },
    { from = 4, to = 10, prefill = 1, decode = 1 },
    { from = 10, to = 24, prefill = 1, decode = 2 },
]
"#;

fn run() -> Run {
    let (first, reply) = (tokens(100, 8), tokens(200, 8));
    let second = [&first[..], &reply[..], &tokens(300, 4)[..]].concat();
    let requests = [
        ("a1", "a", 0, 0.0, first, reply),
        ("b1", "b", 0, 0.0, tokens(400, 12), tokens(450, 7)),
        ("a2", "a", 1, 0.26, second, tokens(500, 12)),
        ("c1", "c", 0, 0.26, tokens(600, 4), tokens(650, 8)),
        ("d1", "d", 0, 0.31, tokens(700, 4), tokens(750, 7)),
        ("large", "f", 0, 0.455, tokens(1000, 100), tokens(1200, 1)),
        ("e1", "e", 0, 0.95, tokens(800, 8), tokens(850, 20)),
        ("late", "g", 0, 2.0, tokens(900, 4), tokens(950, 2)),
    ];
    Run::new(TOP, POOLS, &requests)
}

/// Times between tokens: (157 - 18) / 7 of `a1`, (187 - 22) / 6 of `b1`, (461 - 282) / 11 of `a2`, (417 - 282) / 7 of `c1`,
/// (447 - 324) / 6 of `d1`.
const TBT: [f64; 5] = [
    0.139 / 7.0,
    0.165 / 6.0,
    0.179 / 11.0,
    0.135 / 7.0,
    0.123 / 6.0,
];

#[test]
fn every_request() {
    // Executed is the time in steps; stalled is the time between them. `a1`: 18, and 32 to 157; 14 in the transfer. `b1`: 22, 47 to
    // 127, 157 to 187; 25 until the first step that it is in, and 30 while it is preempted. `a2`: 22 and 165; 14. `c1`: 22 and
    // 125; 10. `d1`: 14 and 337 to 447; 324 to 337. `e1` until 1038: 18 and 60; 10.
    // The largest gap of `a1` is 18 to 47; of `b1` 22 to 67, and again 127 to 172; of `a2` 282 to 311; of `c1` 282 to 307; of `d1`
    // 324 to 357; of `e1` 968 to 993.
    run().csv(
        "request.csv",
        "request_id,session_id,turn,outcome,arrival_time,prompt_tokens,output_tokens,cached_tokens,queue_time,ttft,tbt,e2e,max_itl,execution_time,stalled_time,transfer_time,transferred_tokens,preemptions,prefill_instance,decode_instance
        a1,a,0,finished,0.0,8,8,0,0.0,0.018,0.139/7,0.157,0.029,0.143,0.014,0.014,8,0,0,2
        b1,b,0,finished,0.0,12,7,0,0.0,0.022,0.165/6,0.187,0.045,0.132,0.055,0.018,12,1,1,2
        a2,a,1,finished,0.26,20,12,12,0.0,0.022,0.179/11,0.201,0.029,0.187,0.014,0.014,8,0,0,2
        c1,c,0,finished,0.26,4,8,0,0.0,0.022,0.135/7,0.157,0.025,0.147,0.010,0.010,4,0,0,3
        d1,d,0,finished,0.31,4,7,0,0.0,0.014,0.123/6,0.137,0.033,0.124,0.013,0.006,4,0,0,3
        large,f,0,too-large,0.455,100,0,0,,,,,0.0,0.0,0.0,0.0,0,0,,
        e1,e,0,end-of-time,0.95,8,5,0,0.0,0.018,,,0.025,0.078,0.010,0.010,8,0,0,3
        late,g,0,not-arrived,2.0,4,0,0,,,,,0.0,0.0,0.0,0.0,0,0,,",
    );
}

#[test]
fn every_instance() {
    // Blocks that requests hold, times how long.
    // 0: `a1` 2 x 32 (until its KV is elsewhere), `a2` 5 x 36, `c1` 1 x 32, `d1` 1 x 20, `e1` 2 x 28: 352, of 20 blocks over 1,050;
    //    6 at once.
    // 1: `b1` 3 x 40, of 20 over 200.
    // 2: `a1` 3 from 18 to 107, 4 to 157: 267 + 200. `b1` 4 from 22 to 127, 5 from 157 to 187: 420 + 150. `a2` 6 (21 tokens) from 282
    //    to 356, 7 (25) to 416, 8 (29) to 461: 444 + 420 + 360. In all 2,261, of 8 over 461; all 8 at once.
    // 3: `c1` 2 (5 tokens) from 282 to 357, 3 (9) to 417: 150 + 180. `d1` 2 from 324 to 417, 3 to 447: 186 + 90. `e1` 3 (9) from 968 to
    //    1038, 4 (13) to 1050: 210 + 48. In all 864, of 8 over 1050 - 250; 5 at once.
    // Busy: 0 computed 18 + 22 + 14 + 18; 1 22; 2 32 to 187 and 296 to 461; 3 292 to 447 and 978 to 1050, of which the last step is
    // not over. Instance 4 never is ready: it has no time that it could use.
    // Steps: 2 had 7 for `a1`, 2 for `b1` alone, 11 for `a2`; 3 had 3 + 4 + 2, and 4.
    run().csv(
        "instances.csv",
        "instance,pool,role,created,ready,draining,gone,busy,busy_prefill,utilisation,steps,prefill_tokens,output_tokens,cached_tokens,preemptions,mean_kv_usage,peak_kv_usage,clamped_steps
        0,prompts,prefill,0.0,0.0,,1.05,0.072,0.072,0.072/1.05,4,32,5,12,0,352/21000,0.3,0
        1,prompts,prefill,0.0,0.0,0.2,0.2,0.022,0.022,0.11,1,12,1,0,0,0.03,0.15,0
        2,outputs,decode,0.0,0.0,0.4,0.461,0.32,0.0,0.32/0.461,20,0,24,0,1,2261/3688,1,0
        3,outputs,decode,0.1,0.25,,1.05,0.227,0.0,0.227/0.8,13,0,17,0,0,0.135,0.625,0
        4,outputs,decode,1.0,1.05,,1.05,0.0,0.0,,0,0,0,0,0,,0.0,0",
    );
}

#[test]
fn the_whole_summary() {
    let ttft = [0.018, 0.022, 0.022, 0.022, 0.014];
    let e2e = [0.157, 0.187, 0.201, 0.157, 0.137];
    // Alone, a prompt of P takes 10 + P and a further token 15: 18, 22, 30, 14, 14 for the prompts, and with 7, 6, 11, 7, 6 further
    // tokens 123, 112, 195, 119, 104 in all.
    let ttft_slow = [1.0, 1.0, 22.0 / 30.0, 22.0 / 14.0, 1.0];
    let tbt_slow = TBT.map(|tbt| tbt / 0.015);
    let e2e_slow = [
        157.0 / 123.0,
        187.0 / 112.0,
        201.0 / 195.0,
        157.0 / 119.0,
        137.0 / 104.0,
    ];
    let slowdowns = [
        limits("ttft", [2.0, 3.0, 6.0], &ttft_slow),
        limits("tbt", [1.25, 1.5, 5.0], &tbt_slow),
        limits("e2e", [1.25, 1.5, 5.0], &e2e_slow),
    ]
    .concat();
    // Gaps between tokens: `a1` 29, then the steps 20 x 4, 15 x 2; `b1` 45, 20 x 3, 45, 15; `a2` 29, 15 x 10; `c1` 25, 15 x 2, 20 x 4; `d1` 33,
    // 20 x 3, 15 x 2; `e1` 25, 15 x 3.
    let gaps = [
        (29, 2),
        (45, 2),
        (25, 2),
        (33, 1),
        (20, 4 + 3 + 4 + 3),
        (15, 2 + 1 + 10 + 2 + 2 + 3),
    ];
    let gaps: Vec<f64> = gaps
        .iter()
        .flat_map(|(gap, count)| std::iter::repeat_n(bucket(*gap), *count))
        .collect();
    assert_eq!(gaps.len(), 41);
    run().summary(&json!({
        "seed": 0,
        "arrived": 7,
        "finished": 5,
        "unfinished": {"total": 2, "too_large": 1, "no_instance": 0, "end_of_time": 1, "not_arrived": 1},
        "end_seconds": 1.05,
        "ttft": spread(&ttft),
        "tbt": spread(&TBT),
        "itl": spread(&gaps),
        "e2e": spread(&e2e),
        "queue": spread(&[0.0; 5]),
        "slowdown": {"ttft": spread(&ttft_slow), "tbt": spread(&tbt_slow), "e2e": spread(&e2e_slow)},
        "slo": {
            "objectives": {"ttft_seconds": 0.02, "tbt_seconds": 0.021, "e2e_seconds": 0.15},
            "slowdowns": slowdowns,
            // TBT's median is 19.3 / 15 = 1.29, and 1.25 is allowed.
            "slowdowns_met": false,
            // First token by 20 ms: `a1` and `d1`. 21 ms between tokens: all but `b1`. All by 150 ms: `d1`, which meets them all.
            "attainment": attainment(1, 7),
            "ttft_attainment": attainment(2, 7),
            "tbt_attainment": attainment(4, 7),
            "e2e_attainment": attainment(1, 7),
        },
        "requests_per_second": 5.0 / 1.05,
        "goodput": 1.0 / 1.05,
        "prompt_tokens": 8 + 12 + 20 + 4 + 4,
        "cached_tokens": 12,
        "token_hit_ratio": 0.25,
        "output_tokens": 8 + 7 + 12 + 8 + 7,
        // 44 tokens before decoding, and 6 blocks of 4 tokens written back.
        "moved_bytes": (8 + 12 + 8 + 4 + 4 + 8 + 24) * 1_000_000,
        "preemptions": 1,
        "steps": 4 + 1 + 20 + 13,
        "clamped": {"steps": 0, "of": 0},
        "cost": {
            // From when an instance was asked for: 1,050, 200, 461, 950 and 50; the first two have two GPUs each.
            "instance_hours": 2.711 / 3600.0,
            "gpu_hours": (2.0 * 1.25 + 1.461) / 3600.0,
            "dollars": (4.76 * 2.5 + 2.21 * 1.461) / 3600.0,
            // Watts of a GPU: H100 75 idle and 700 in prefill; A100 63 idle and 250 in decode.
            "gpu_watt_hours": (2.0 * (75.0 * 0.978 + 700.0 * 0.072)
                + 2.0 * (75.0 * 0.178 + 700.0 * 0.022)
                + (63.0 * 0.141 + 250.0 * 0.32)
                + (63.0 * 0.723 + 250.0 * 0.227)
                + 63.0 * 0.05) / 3600.0,
        },
        "pools": [
            {
                "pool": "prompts", "sku": "h100-80gb", "gpus": 2, "blocks": 20, "gpu_hour_cost": 4.76, "instances": 2,
                "utilisation": 0.094 / 1.25,
                "mean_kv_usage": (352.0 + 120.0) / 20.0 / 1250.0,
                "peak_kv_usage": 0.3,
            },
            {
                // From ready to gone: 461 and 800; instance 4 is never ready.
                "pool": "outputs", "sku": "a100-80gb", "gpus": 1, "blocks": 8, "gpu_hour_cost": 2.21, "instances": 3,
                "utilisation": 0.547 / 1.261,
                "mean_kv_usage": (2261.0 + 864.0) / 8.0 / 1261.0,
                "peak_kv_usage": 1.0,
            },
        ],
        "scaling": {
            "policy": "periodic",
            "ticks": 10,
            "scale_out": 2, "scale_in": 2, "rebalance": 0, "scaling_events": 4,
            "instances_started": 2, "instances_drained": 2, "parked": 0, "reinstated": 0,
            // The decode instances grew at 0.1 s, shrank at 0.4 and grew at 1.0.
            "flaps": 2,
            "no_room": 0,
            // Three at first, four from 100 to 200.
            "most_instances": 4,
            // Ready prefill instances by ready decode instances: 2 for 200 ms, 1 for 50, 1/2 for 150, 1 for 650.
            "pd_ratio_mean": (2.0 * 0.2 + 0.05 + 0.5 * 0.15 + 0.65) / 1.05,
            "pd_ratio_variance": (4.0 * 0.2 + 0.05 + 0.25 * 0.15 + 0.65) / 1.05
                - f64::powi((2.0 * 0.2 + 0.05 + 0.5 * 0.15 + 0.65) / 1.05, 2),
            "pd_ratio_deviation": ((4.0 * 0.2 + 0.05 + 0.25 * 0.15 + 0.65) / 1.05
                - f64::powi((2.0 * 0.2 + 0.05 + 0.5 * 0.15 + 0.65) / 1.05, 2)).sqrt(),
        },
    }));
}

#[test]
fn the_answer() {
    let answer = run().printed["answer"].to_string();
    // 1 of 7 met all objectives, in 1.05 s.
    for part in [
        "14.3 %",
        "7 requests",
        "20 ms",
        "21 ms",
        "150 ms",
        "0.95 a second",
        "2 did not finish",
    ] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
}

#[test]
fn every_change_of_an_instance() {
    run().csv(
        "scaling/instances.csv",
        "time,instance,pool,state
        0.0,0,prompts,ready
        0.0,1,prompts,ready
        0.0,2,outputs,ready
        0.1,3,outputs,starting
        0.2,1,prompts,draining
        0.2,1,prompts,gone
        0.25,3,outputs,ready
        0.4,2,outputs,draining
        0.461,2,outputs,gone
        1.0,4,outputs,starting",
    );
}
