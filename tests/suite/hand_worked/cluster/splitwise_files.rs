//! The files of [the cluster](super) that have SplitwiseSim's columns.

use super::super::expect::eleven;
use super::{TBT, run};

/// The files with SplitwiseSim's columns: finished requests in the order in which they ended.
#[test]
fn the_files_of_splitwise() {
    let run = run();
    // The overhead of the second token is the transfer, from the first token to when the KV was there.
    run.csv(
        "detailed/0.csv",
        "request_ids,response_times,queue_times,ttft_times,tbt_times,nth_token_overheads,prompt_sizes,token_sizes
        0,0.157,0,0.018,0.139/7,0.014,8,8
        1,0.187,0,0.022,0.165/6,0.018,12,7
        3,0.157,0,0.022,0.135/7,0.010,4,8
        4,0.137,0,0.014,0.123/6,0.006,4,7
        2,0.201,0,0.022,0.179/11,0.014,20,12",
    );
    run.csv(
        "detailed/0_alloc.csv",
        "instance_names,utilizations
        prompts_0,0.072/1.05
        prompts_1,0.11
        outputs_2,0.32/0.461
        outputs_3,0.227/0.8
        outputs_4,0",
    );
    run.csv(
        "request_nodes.csv",
        "request_id,request_type,node_id,node_type,runner,start_timestamp,completion_timestamp
        0,2,0,PROMPT,prompts_0_0,0,0.018
        0,2,1,TOKEN,outputs_2_2,0.032,0.157
        0,2,2,KVCacheTransfer,DummyLink,0.018,0.032
        1,2,0,PROMPT,prompts_1_1,0,0.022
        1,2,1,TOKEN,outputs_2_2,0.040,0.187
        1,2,2,KVCacheTransfer,DummyLink,0.022,0.040
        3,2,0,PROMPT,prompts_0_0,0.26,0.282
        3,2,1,TOKEN,outputs_3_3,0.292,0.417
        3,2,2,KVCacheTransfer,DummyLink,0.282,0.292
        4,2,0,PROMPT,prompts_0_0,0.31,0.324
        4,2,1,TOKEN,outputs_3_3,0.330,0.447
        4,2,2,KVCacheTransfer,DummyLink,0.324,0.330
        2,2,0,PROMPT,prompts_0_0,0.26,0.282
        2,2,1,TOKEN,outputs_2_2,0.296,0.461
        2,2,2,KVCacheTransfer,DummyLink,0.282,0.296",
    );
    let columns: [(&str, [f64; 5]); 8] = [
        ("request_ids", [0.0, 1.0, 3.0, 4.0, 2.0]),
        ("response_times", [0.157, 0.187, 0.157, 0.137, 0.201]),
        ("queue_times", [0.0; 5]),
        ("ttft_times", [0.018, 0.022, 0.022, 0.014, 0.022]),
        ("tbt_times", TBT),
        ("nth_token_overheads", [0.014, 0.018, 0.010, 0.006, 0.014]),
        ("prompt_sizes", [8.0, 12.0, 4.0, 4.0, 20.0]),
        ("token_sizes", [8.0, 7.0, 8.0, 7.0, 12.0]),
    ];
    let names = [
        "mean", "std", "min", "max", "median", "p50", "p90", "p95", "p99", "p999", "geomean",
    ];
    let (mut header, mut row) = ("application_id".to_owned(), "0".to_owned());
    for (column, values) in columns {
        for (name, value) in names.iter().zip(eleven(&values)) {
            header += &format!(",{column}_{name}");
            row += &format!(",{value}");
        }
    }
    run.csv("summary.csv", &format!("{header}\n{row}"));
}
