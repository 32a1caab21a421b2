//! `workload.pacing = "wait"`: a turn that comes before the one before it has ended waits, and arrives when that ends.

use super::{Run, tokens};

#[test]
fn a_turn_that_waits_arrives_when_the_one_before_ends() {
    // One instance that serves whole requests; times in milliseconds. `s0` (8 + 3 tokens) begins at 0 and has its first token at 18. `u0`
    // (4 + 1) comes at 10 and begins at 18, in a step with a decode of `s0`: 10 + 4 + 5, until 37. `s0` has its last token at 52.
    // `s1` (12 + 2), which comes at 5, waits until then: that is its arrival. It finds the 8 tokens of `s0`'s prompt (of the 10 tokens computed
    // these are the whole blocks) and computes 4: until 66, and 81. `s2` (4 + 1) comes at 500, when nothing is before it.
    let (first, reply) = (tokens(0, 8), tokens(20, 3));
    let second = [&first[..], &reply[..], &[99]].concat();
    let requests = [
        ("s0", "s", 0, 0.0, first, reply),
        ("s1", "s", 1, 0.005, second, tokens(30, 2)),
        ("u0", "u", 0, 0.01, tokens(40, 4), tokens(50, 1)),
        ("s2", "s", 2, 0.5, tokens(60, 4), tokens(70, 1)),
    ];
    let pools = "[workload]\npacing = \"wait\"\n[autoscaling]\ninterval_seconds = 0.07\n[[pool]]\nname = \"all\"\nblocks = 20\n";
    let run = Run::new("", pools, &requests);
    run.csv(
        "request.csv",
        "request_id,session_id,turn,outcome,arrival_time,prompt_tokens,output_tokens,cached_tokens,queue_time,ttft,tbt,e2e,max_itl,execution_time,stalled_time,transfer_time,transferred_tokens,preemptions,prefill_instance,decode_instance
        s0,s,0,finished,0.0,8,3,0,0.0,0.018,0.017,0.052,0.019,0.052,0.0,0.0,0,0,0,0
        s1,s,1,finished,0.052,12,2,8,0.0,0.014,0.015,0.029,0.015,0.029,0.0,0.0,0,0,0,0
        u0,u,0,finished,0.01,4,1,0,0.008,0.027,,0.027,0.0,0.019,0.0,0.0,0,0,0,0
        s2,s,2,finished,0.5,4,1,0,0.0,0.014,,0.014,0.0,0.014,0.0,0.0,0,0,0,0",
    );
    run.csv(
        "instances.csv",
        // Blocks: `s0` 2 until 18, then 3 (9 tokens) until 52; `u0` 1 from 18 to 37; `s1` 3 from 52 to 66 (two of them were found), 4 (13 tokens) until
        // 81; `s2` 1 from 500 to 514. 36 + 102 + 19 + 42 + 60 + 14 = 273, of 20 over 514; 4 at once.
        // Steps with prompts: 0 to 18, 18 to 37, 52 to 66 and 500 to 514: 18 + 19 + 14 + 14.
        "instance,pool,role,created,ready,draining,gone,busy,busy_prefill,utilisation,steps,prefill_tokens,output_tokens,cached_tokens,preemptions,mean_kv_usage,peak_kv_usage,clamped_steps
        0,all,aggregated,0.0,0.0,,0.514,0.095,0.065,95/514,6,20,7,8,0,273/10280,0.2,0",
    );
    // At 70: `s0`, `s1` and `u0` have come, in all 24 prompt tokens, and begun, with 8 tokens found; `s0` and `u0` have ended, with 4 output tokens.
    // Times to first token 18, 27 and 14; gaps 19 and 15; the instance was never idle. `s1` computes its 13th token and holds 4 blocks.
    let rate = |count: f64| count / 0.07;
    run.tick(
        0,
        "hold",
        &[
            ("time", 0.07),
            ("aggregated_current", 1.0),
            ("aggregated_wanted", 1.0),
            ("aggregated_target", 1.0),
            ("arrival_rate", rate(3.0)),
            ("completion_rate", rate(2.0)),
            ("arrived_prompt_tps", rate(24.0)),
            ("cache_missed_tps", rate(16.0)),
            ("hit_ratio", 1.0 / 3.0),
            ("prefill_tps", rate(16.0)),
            ("decode_tps", rate(5.0)),
            ("completed_output_tps", rate(4.0)),
            ("isl", 8.0),
            ("osl", 2.0),
            ("ttft_p50", 0.018),
            ("ttft_p90", 0.0252),
            ("ttft_p99", 0.02682),
            ("tbt_p50", 0.017),
            ("tbt_p90", 0.017),
            ("tbt_p99", 0.017),
            ("itl", 0.017),
            ("e2e_p50", 0.0395),
            ("e2e_p90", 0.0495),
            ("e2e_p99", 0.05175),
            ("in_flight", 1.0),
            ("aggregated_ready", 1.0),
            ("aggregated_busy", 1.0),
            ("aggregated_kv_usage", 0.2),
            ("aggregated_running", 1.0),
            ("aggregated_requests", 1.0),
            ("aggregated_prefill_tps", rate(16.0)),
            ("aggregated_output_tps", rate(5.0)),
        ],
    );
}

#[test]
fn a_turn_that_waits_has_not_come() {
    // `s0` (8 + 8) has its tokens at 18, 33, 48, 63 and so on; `s1` would come at 5 and waits. At 40 one request has come and is in flight, and
    // no request waits. At 60 the simulation ends: `s1` never arrived.
    let requests = [
        ("s0", "s", 0, 0.0, tokens(0, 8), tokens(20, 8)),
        ("s1", "s", 1, 0.005, tokens(40, 8), tokens(60, 2)),
    ];
    let pools = "[workload]\npacing = \"wait\"\n[autoscaling]\ninterval_seconds = 0.04\n[[pool]]\nname = \"all\"\nblocks = 20\n";
    let run = Run::new("end_seconds = 0.06\n", pools, &requests);
    let seen = run.rows("scaling/0.csv").swap_remove(0);
    for (signal, value) in [
        ("arrival_rate", "25.0"),
        ("isl", "8.0"),
        ("in_flight", "1.0"),
        ("waiting", "0.0"),
        ("oldest_wait", "0.0"),
        ("aggregated_waiting", "0.0"),
    ] {
        assert_eq!(seen[signal], value, "{signal}");
    }
    assert_eq!(
        run.column("request.csv", "outcome"),
        ["end-of-time", "not-arrived"]
    );
    assert_eq!(run.column("request.csv", "arrival_time"), ["0.0", "0.005"]);
    assert_eq!(
        (
            run.printed["arrived"].clone(),
            run.printed["unfinished"]["not_arrived"].clone()
        ),
        (1.into(), 1.into())
    );
}
