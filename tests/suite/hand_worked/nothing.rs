//! A cluster that finishes nothing: its only instance is taken away at 20 ms, and the only request comes at 50.

use serde_json::json;

use super::expect::{attainment, limits, none, spread};
use super::{Run, tokens};

#[test]
fn figures_of_no_values() {
    let pools = "[slo]\ne2e_seconds = 1.0\n[[resize]]\nat_seconds = 0.02\npool = \"all\"\ninstances = 0\n[[pool]]\nname = \"all\"\nblocks = 20\nsku = \"a100-80gb\"\n";
    let requests = [("a", "a", 0, 0.05, tokens(0, 8), tokens(50, 2))];
    let run = Run::new("", pools, &requests);
    let slowdowns = [
        limits("ttft", [2.0, 3.0, 6.0], &[]),
        limits("tbt", [1.25, 1.5, 5.0], &[]),
        limits("e2e", [1.25, 1.5, 5.0], &[]),
    ]
    .concat();
    run.summary(&json!({
        "seed": 0,
        "arrived": 1,
        "finished": 0,
        "unfinished": {"total": 1, "too_large": 0, "no_instance": 1, "end_of_time": 0, "not_arrived": 0},
        // Nothing happens after the request has come.
        "end_seconds": 0.05,
        "ttft": spread(&[]),
        "tbt": spread(&[]),
        "itl": spread(&[]),
        "e2e": spread(&[]),
        "queue": spread(&[]),
        "slowdown": {"ttft": spread(&[]), "tbt": spread(&[]), "e2e": spread(&[])},
        "slo": {
            "objectives": {"ttft_seconds": 2.0, "tbt_seconds": 0.1, "e2e_seconds": 1.0},
            "slowdowns": slowdowns,
            "slowdowns_met": none(),
            "attainment": attainment(0, 1),
            "ttft_attainment": attainment(0, 1),
            "tbt_attainment": attainment(0, 1),
            "e2e_attainment": attainment(0, 1),
        },
        "requests_per_second": 0.0,
        "goodput": 0.0,
        "prompt_tokens": 0,
        "cached_tokens": 0,
        "token_hit_ratio": none(),
        "output_tokens": 0,
        "moved_bytes": 0,
        "preemptions": 0,
        "steps": 0,
        "clamped": {"steps": 0, "of": 0},
        "cost": {
            "instance_hours": 0.02 / 3600.0,
            "gpu_hours": 0.02 / 3600.0,
            "dollars": 2.21 * 0.02 / 3600.0,
            // Idle for 20 ms.
            "gpu_watt_hours": 63.0 * 0.02 / 3600.0,
        },
        "pools": [{
            "pool": "all", "sku": "a100-80gb", "gpus": 1, "blocks": 20, "gpu_hour_cost": 2.21, "instances": 1,
            "utilisation": 0.0, "mean_kv_usage": 0.0, "peak_kv_usage": 0.0,
        }],
        // No autoscaler: the lives of instances tell that one was taken away.
        "scaling": {
            "policy": none(),
            "scale_out": 0, "scale_in": 1, "rebalance": 0, "flaps": 0, "scaling_events": 1,
            "instances_started": 0, "instances_drained": 1, "most_instances": 1,
            "pd_ratio_mean": none(), "pd_ratio_variance": none(), "pd_ratio_deviation": none(),
        },
    }));
    run.csv(
        "request.csv",
        "request_id,session_id,turn,outcome,arrival_time,prompt_tokens,output_tokens,cached_tokens,queue_time,ttft,tbt,e2e,max_itl,execution_time,stalled_time,transfer_time,transferred_tokens,preemptions,prefill_instance,decode_instance
        a,a,0,no-instance,0.05,8,0,0,,,,,0.0,0.0,0.0,0.0,0,0,,",
    );
    run.csv(
        "instances.csv",
        "instance,pool,role,created,ready,draining,gone,busy,busy_prefill,utilisation,steps,prefill_tokens,output_tokens,cached_tokens,preemptions,mean_kv_usage,peak_kv_usage,clamped_steps
        0,all,aggregated,0.0,0.0,0.02,0.02,0.0,0.0,0.0,0,0,0,0,0,0.0,0.0,0",
    );
}
