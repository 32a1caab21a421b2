//! The defaults of `configs/` by group, and the application of overrides to them.

use serde_json::{Value, json};

/// Clusters with their numbers of servers.
const CLUSTERS: [(&str, [(&str, u32); 2]); 13] = [
    ("dgx-a100", [("dgx-a100", 40), ("dgx-h100", 0)]),
    ("dgx-h100", [("dgx-a100", 0), ("dgx-h100", 40)]),
    ("half_half", [("dgx-a100", 1), ("dgx-h100", 1)]),
    ("hhcap_half_half", [("dgx-h100-pcap", 1), ("dgx-h100", 1)]),
    ("isocost_a100", [("dgx-a100", 86), ("dgx-h100", 0)]),
    ("isocost_h100", [("dgx-a100", 0), ("dgx-h100", 40)]),
    ("isocost_hybrid", [("dgx-a100", 51), ("dgx-h100", 16)]),
    ("isocount_a100", [("dgx-a100", 40), ("dgx-h100", 0)]),
    ("isocount_hybrid", [("dgx-a100", 38), ("dgx-h100", 2)]),
    ("isopower_a100", [("dgx-a100", 70), ("dgx-h100", 0)]),
    ("isopower_hybrid", [("dgx-a100", 37), ("dgx-h100", 16)]),
    ("solo_a100", [("dgx-a100", 1), ("dgx-h100", 0)]),
    ("solo_h100", [("dgx-a100", 0), ("dgx-h100", 1)]),
];

/// The tree of the defaults with `overrides` applied: groups first, then keys, each in their order, as hydra does.
pub(super) fn compose(overrides: &str) -> Result<Value, String> {
    let mut groups = vec![
        ("cluster", "dgx-a100"),
        ("performance_model", "constant"),
        ("start_state", "orca"),
    ];
    let mut keys = Vec::new();
    for text in overrides.split_whitespace() {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{text}`: expected key=value"))?;
        let key = key.trim_start_matches('+');
        match (key, value) {
            _ if key.starts_with("hydra") => {}
            ("cluster" | "performance_model" | "start_state", _) => groups.push((key, value)),
            ("router" | "arbiter", "noop") | ("applications", "solo") => {}
            ("trace", "test_trace") | ("power_model", "constant") => {}
            ("experiment" | "router" | "arbiter" | "applications" | "trace" | "power_model", _) => {
                return Err(format!("`{text}`: this group is not read from overrides"));
            }
            _ => keys.push((key, value)),
        }
    }
    let mut tree = json!({
        "router": {"_target_": "router.NoOpRouter", "overheads": {"routing_delay": 0}},
        "arbiter": {"_target_": "arbiter.NoOpArbiter"},
        "applications": [{
            "application_id": 0,
            "model_architecture": "bloom-176b",
            "model_size": "bloom-176b-fp16",
            "allocator": "noop",
            "scheduler": "round_robin",
        }],
        "trace": {
            "dir": "traces/",
            "filename": "test_trace",
            "path": "${trace.dir}/${trace.filename}.csv",
        },
        "end_time": 86400,
        "debug": false,
        "seed": 0,
        "output_dir": "results/${seed}/${start_state.state_type}/${trace.filename}/${cluster.servers.0.count}_\
            ${cluster.servers.1.count}/${applications.0.model_architecture}/${applications.0.scheduler}",
    });
    for (group, choice) in groups {
        tree[group] = member(group, choice)?;
    }
    for (key, value) in keys {
        let value = yaml_serde::from_str(value).map_err(|error| format!("`{key}`: {error}"))?;
        set(&mut tree, key, value)?;
    }
    Ok(tree)
}

fn member(group: &str, choice: &str) -> Result<Value, String> {
    let found = match group {
        "cluster" => {
            let found = CLUSTERS.iter().find(|(name, _)| *name == choice);
            found.map(|(_, servers)| {
                let servers = servers.map(|(sku, count)| json!({"sku": sku, "count": count}));
                json!({"servers": servers})
            })
        }
        "performance_model" => match choice {
            "db" => Some(json!({
                "_target_": "performance_model.DatabasePerformanceModel",
                "db_path": "data/perf_model.csv",
            })),
            "constant" => Some(json!({"_target_": "performance_model.ConstantPerformanceModel"})),
            _ => None,
        },
        _ => start_state(choice),
    };
    found.ok_or_else(|| format!("unknown {group} `{choice}`"))
}

fn start_state(choice: &str) -> Option<Value> {
    let instance = json!({
        "instance_type": "Splitwise",
        "max_batch_size": 512,
        "max_batch_tokens": 2048,
        "max_preemptions": 4,
        "pipeline_parallelism": 1,
        "tensor_parallelism": 8,
    });
    let pool = |sku: &str| {
        let mut pool = instance.clone();
        pool["num_instances"] = json!(1);
        pool["instance_names"] = json!([sku]);
        pool
    };
    let splitwise = |name: &str, token: &str| {
        let state = name.to_owned()
            + "_${start_state.prompt.num_instances}_${start_state.token.num_instances}";
        json!({
            "state_type": state,
            "application_id": 0,
            "split_type": "homogeneous",
            "prompt": pool("dgx-h100"),
            "token": pool(token),
        })
    };
    match choice {
        "unallocated" => Some(json!({"state_type": choice})),
        "baseline" => {
            Some(json!({"state_type": choice, "application_id": 0, "instance": instance}))
        }
        "orca" => {
            let instance = json!({
                "instance_type": "ORCA",
                "max_batch_size": 512,
                "pipeline_parallelism": 1,
                "tensor_parallelism": 8,
            });
            Some(json!({"state_type": choice, "application_id": 0, "instance": instance}))
        }
        "splitwise" => Some(splitwise("splitwise", "dgx-a100")),
        "splitwise_hhcap" => Some(splitwise("splitwisehhcap", "dgx-h100-pcap")),
        _ => None,
    }
}

/// Sets `a.0.b` in a tree; maps may gain keys, lists keep their length.
fn set(tree: &mut Value, key: &str, value: Value) -> Result<(), String> {
    let mut place = tree;
    for part in key.split('.') {
        place = match place {
            Value::Array(list) => part
                .parse::<usize>()
                .ok()
                .and_then(|index| list.get_mut(index))
                .ok_or_else(|| format!("`{key}`: the list has no such index"))?,
            Value::Object(map) => map.entry(part).or_insert(Value::Null),
            other => {
                if !other.is_null() {
                    return Err(format!(
                        "`{key}`: `{part}` is a key of a value that has no keys"
                    ));
                }
                *other = json!({});
                other
                    .as_object_mut()
                    .map(|map| map.entry(part).or_insert(Value::Null))
                    .ok_or_else(|| format!("`{key}` cannot be set"))?
            }
        };
    }
    *place = value;
    Ok(())
}
