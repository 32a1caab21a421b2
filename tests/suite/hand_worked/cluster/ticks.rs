//! What the autoscaler sees of [the cluster](super) and decides, tick by tick.

use super::{TBT, run};

/// What the autoscaler sees at 100, 200, 300, 400 and 500 ms, then nothing until 1,000 ms: rates and latencies of the last
/// 100 ms, numbers of instances and queues of the moment.
#[test]
fn every_tick() {
    let run = run();
    // Both prompts came and began: 20 tokens. 7 tokens: two first ones, and 1, 2 and 2 at 47, 67 and 87. Gaps: 29 and 20 and 20 of `a1`,
    // 45 and 20 of `b1`. Prefill was busy 18 and 22 of 200; decode 32 to 100. `a1` holds 3 blocks and `b1` 4.
    run.tick(
        0,
        "scale_out",
        &[
            ("time", 0.1),
            ("prefill_current", 2.0),
            ("prefill_wanted", 2.0),
            ("prefill_target", 2.0),
            ("decode_current", 1.0),
            ("decode_wanted", 2.0),
            ("decode_target", 2.0),
            ("arrival_rate", 20.0),
            ("arrived_prompt_tps", 200.0),
            ("cache_missed_tps", 200.0),
            ("isl", 10.0),
            ("prefill_tps", 200.0),
            ("decode_tps", 70.0),
            ("ttft_p50", 0.020),
            ("ttft_p90", 0.0216),
            ("ttft_p99", 0.02196),
            ("itl", 0.134 / 5.0),
            ("in_flight", 2.0),
            ("pd_ratio", 2.0),
            ("prefill_ready", 2.0),
            ("prefill_busy", 0.2),
            ("prefill_prefill_tps", 200.0),
            ("prefill_output_tps", 20.0),
            ("decode_ready", 1.0),
            ("decode_busy", 0.68),
            ("decode_kv_usage", 0.875),
            ("decode_running", 2.0),
            ("decode_requests", 2.0),
            ("decode_output_tps", 50.0),
        ],
    );
    // Both ended: 15 output tokens. 8 tokens: 2 at 107 and 127, then 1 at 142, 157, 172, 187. Gaps: 20 x 4, 15, 15, 45, 15. Decode was
    // busy until 187. Instance 3 is starting.
    let (low, high) = (0.139 / 7.0, 0.0275);
    run.tick(
        1,
        "scale_in",
        &[
            ("time", 0.2),
            ("prefill_current", 2.0),
            ("prefill_wanted", 1.0),
            ("prefill_target", 1.0),
            ("decode_current", 2.0),
            ("decode_wanted", 2.0),
            ("decode_target", 2.0),
            ("completion_rate", 20.0),
            ("completed_output_tps", 150.0),
            ("osl", 7.5),
            ("decode_tps", 80.0),
            ("tbt_p50", low + 0.5 * (high - low)),
            ("tbt_p90", low + 0.9 * (high - low)),
            ("tbt_p99", low + 0.99 * (high - low)),
            ("itl", 0.170 / 8.0),
            ("e2e_p50", 0.172),
            ("e2e_p90", 0.184),
            ("e2e_p99", 0.1867),
            ("pd_ratio", 2.0),
            ("prefill_ready", 2.0),
            ("decode_ready", 1.0),
            ("decode_starting", 1.0),
            ("decode_busy", 0.87),
            ("decode_output_tps", 80.0),
        ],
    );
    // `a2` and `c1` came and began: 24 tokens, 12 of them found, and had their first tokens. Instance 0 was busy for 22 of 100, instance 2 for 4
    // of 100, instance 3 for 8 of the 50 that it has been ready. `a2` holds 6 blocks of 8 and `c1` 2 of 8.
    run.tick(
        2,
        "hold",
        &[
            ("time", 0.3),
            ("prefill_current", 1.0),
            ("prefill_wanted", 1.0),
            ("prefill_target", 1.0),
            ("decode_current", 2.0),
            ("decode_wanted", 2.0),
            ("decode_target", 2.0),
            ("arrival_rate", 20.0),
            ("arrived_prompt_tps", 240.0),
            ("cache_missed_tps", 120.0),
            ("hit_ratio", 0.5),
            ("isl", 12.0),
            ("prefill_tps", 120.0),
            ("decode_tps", 20.0),
            ("ttft_p50", 0.022),
            ("ttft_p90", 0.022),
            ("ttft_p99", 0.022),
            ("in_flight", 2.0),
            ("pd_ratio", 0.5),
            ("prefill_ready", 1.0),
            ("prefill_busy", 0.22),
            ("prefill_prefill_tps", 120.0),
            ("prefill_output_tps", 20.0),
            ("decode_ready", 2.0),
            ("decode_busy", 0.08),
            ("decode_kv_usage", 0.5),
            ("decode_running", 2.0),
            ("decode_requests", 2.0),
        ],
    );
    // `d1` came and had its first token after 14. Others: 6 of `a2` (311 to 386), 6 of `c1` (307 to 397), 3 of `d1` (357 to 397). Gaps: 29 + 15 x 5;
    // 25, 15, 15, 20, 20, 20; 33, 20, 20. `a2` computes its 27th token and holds 7 blocks; `c1` holds 3 and `d1` 2.
    run.tick(
        3,
        "scale_in",
        &[
            ("time", 0.4),
            ("prefill_current", 1.0),
            ("prefill_wanted", 1.0),
            ("prefill_target", 1.0),
            ("decode_current", 2.0),
            ("decode_wanted", 1.0),
            ("decode_target", 1.0),
            ("arrival_rate", 10.0),
            ("arrived_prompt_tps", 40.0),
            ("cache_missed_tps", 40.0),
            ("isl", 4.0),
            ("prefill_tps", 40.0),
            ("decode_tps", 160.0),
            ("ttft_p50", 0.014),
            ("ttft_p90", 0.014),
            ("ttft_p99", 0.014),
            ("itl", (0.104 + 0.115 + 0.073) / 15.0),
            ("in_flight", 3.0),
            ("pd_ratio", 0.5),
            ("prefill_ready", 1.0),
            ("prefill_busy", 0.14),
            ("prefill_prefill_tps", 40.0),
            ("prefill_output_tps", 10.0),
            ("decode_ready", 2.0),
            ("decode_busy", 1.0),
            ("decode_kv_usage", 0.75),
            ("decode_running", 3.0),
            ("decode_requests", 3.0),
            ("decode_output_tps", 150.0),
        ],
    );
    // `large` came. `c1`, `d1` and `a2` ended: 27 output tokens. 9 tokens: 5 of `a2`, 1 of `c1`, 3 of `d1`; gaps 15 x 5, 20, and 20, 15, 15. Instance 3
    // was busy until 447; instance 2 is gone.
    let [_, _, low, middle, high] = TBT;
    let above = |part: f64| middle + (2.0 * part - 1.0) * (high - middle);
    assert!(low < middle && middle < high);
    run.tick(
        4,
        "hold",
        &[
            ("time", 0.5),
            ("prefill_current", 1.0),
            ("prefill_wanted", 1.0),
            ("prefill_target", 1.0),
            ("decode_current", 1.0),
            ("decode_wanted", 1.0),
            ("decode_target", 1.0),
            ("arrival_rate", 10.0),
            ("arrived_prompt_tps", 1000.0),
            ("isl", 100.0),
            ("completion_rate", 30.0),
            ("completed_output_tps", 270.0),
            ("osl", 9.0),
            ("decode_tps", 90.0),
            ("tbt_p50", middle),
            ("tbt_p90", above(0.9)),
            ("tbt_p99", above(0.99)),
            ("itl", 0.145 / 9.0),
            ("e2e_p50", 0.157),
            ("e2e_p90", 0.1922),
            ("e2e_p99", 0.20012),
            ("pd_ratio", 1.0),
            ("prefill_ready", 1.0),
            ("decode_ready", 1.0),
            ("decode_busy", 0.47),
            ("decode_output_tps", 90.0),
        ],
    );
    for index in 5..9 {
        run.tick(
            index,
            "hold",
            &[
                ("time", (index + 1) as f64 / 10.0),
                ("prefill_current", 1.0),
                ("prefill_wanted", 1.0),
                ("prefill_target", 1.0),
                ("decode_current", 1.0),
                ("decode_wanted", 1.0),
                ("decode_target", 1.0),
                ("pd_ratio", 1.0),
                ("prefill_ready", 1.0),
                ("decode_ready", 1.0),
            ],
        );
    }
    // `e1` came, had its first token after 18 and its second 25 later; it computes its 10th token and holds 3 blocks. Instance 3 has been
    // busy since 978.
    run.tick(
        9,
        "scale_out",
        &[
            ("time", 1.0),
            ("prefill_current", 1.0),
            ("prefill_wanted", 1.0),
            ("prefill_target", 1.0),
            ("decode_current", 1.0),
            ("decode_wanted", 2.0),
            ("decode_target", 2.0),
            ("arrival_rate", 10.0),
            ("arrived_prompt_tps", 80.0),
            ("cache_missed_tps", 80.0),
            ("isl", 8.0),
            ("prefill_tps", 80.0),
            ("decode_tps", 20.0),
            ("ttft_p50", 0.018),
            ("ttft_p90", 0.018),
            ("ttft_p99", 0.018),
            ("itl", 0.025),
            ("in_flight", 1.0),
            ("pd_ratio", 1.0),
            ("prefill_ready", 1.0),
            ("prefill_busy", 0.18),
            ("prefill_prefill_tps", 80.0),
            ("prefill_output_tps", 10.0),
            ("decode_ready", 1.0),
            ("decode_busy", 0.22),
            ("decode_kv_usage", 0.375),
            ("decode_running", 1.0),
            ("decode_requests", 1.0),
            ("decode_output_tps", 10.0),
        ],
    );
    assert_eq!(run.rows("scaling/0.csv").len(), 10);
}
