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
    let pools = "[workload]\npacing = \"wait\"\n[[pool]]\nname = \"all\"\nblocks = 20\n";
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
        "instance,pool,created,ready,draining,gone,busy,utilisation,steps,prefill_tokens,output_tokens,cached_tokens,preemptions,mean_kv_usage,peak_kv_usage,clamped_steps
        0,all,0.0,0.0,,0.514,0.095,95/514,6,20,7,8,0,273/10280,0.2,0",
    );
}
