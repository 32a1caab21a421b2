//! `simulate` and `compare` give the same figures of one run.

use std::path::Path;

use kvreplay::scenario::{RunOptions, ScenarioConfig};
use kvreplay::sim::Workload;
use kvreplay::trace::format::{ReadOptions, read_trace};
use kvreplay::tune::study::Trial;

use super::{text, trace};
use crate::common::{json, stdout};

/// A cluster that a script turns round: it grows at 10 s, puts instances aside at 20 s, takes them back at 30 s, and lets
/// them go at 40 s. At 45 s everything ends, with requests under way and more to come.
const TURNS: &str = r#"
name = "turns"
end_seconds = 45.0
[model]
name = "test"
kv_bytes_per_token = 1000.0
layers = 4
[slo]
ttft_seconds = 0.1
tbt_seconds = 0.011
e2e_seconds = 1.2
[latency]
kind = "linear"
[[pool]]
name = "prompts"
role = "prefill"
instances = 1
gpus = 2
blocks = 4000
startup_seconds = 3
[[pool]]
name = "tokens"
role = "decode"
instances = 1
blocks = 4000
startup_seconds = 3
[autoscaling]
policy = "script"
interval_seconds = 10.0
[autoscaling.soft_scale_in]
seconds = 15.0
ttft_seconds = 5.0
tbt_seconds = 1.0
[autoscaling.script]
code = """
fn decide(s) {
    if s.time == 10.0 { #{ prefill: 2, decode: 3 } }
    else if s.time == 20.0 { #{ prefill: 1, decode: 1 } }
    else if s.time == 30.0 { #{ prefill: 1, decode: 3 } }
    else if s.time == 40.0 { #{ prefill: 2, decode: 1 } }
}
"""
"#;

/// Figures of `simulate` and where `compare` has them.
const SAME: [(&str, &str); 33] = [
    ("/arrived", "/arrived"),
    ("/finished", "/finished"),
    ("/requests_per_second", "/requests_per_second"),
    ("/goodput", "/goodput"),
    ("/slo/attainment", "/attainment"),
    ("/slo/objectives", "/objectives"),
    ("/ttft/p50", "/times/0/0"),
    ("/ttft/p90", "/times/0/1"),
    ("/ttft/p99", "/times/0/2"),
    ("/tbt/p50", "/times/1/0"),
    ("/tbt/p90", "/times/1/1"),
    ("/tbt/p99", "/times/1/2"),
    ("/e2e/p50", "/times/2/0"),
    ("/e2e/p90", "/times/2/1"),
    ("/e2e/p99", "/times/2/2"),
    ("/slowdown/ttft/p50", "/slowdowns/0/0"),
    ("/slowdown/ttft/p99", "/slowdowns/0/2"),
    ("/slowdown/tbt/p90", "/slowdowns/1/1"),
    ("/slowdown/e2e/p90", "/slowdowns/2/1"),
    ("/cost/instance_hours", "/instance_hours"),
    ("/cost/gpu_hours", "/gpu_hours"),
    ("/cost/dollars", "/dollars"),
    ("/scaling/scale_out", "/scaling/scale_out"),
    ("/scaling/scale_in", "/scaling/scale_in"),
    ("/scaling/rebalance", "/scaling/rebalance"),
    ("/scaling/scaling_events", "/scaling/scaling_events"),
    ("/scaling/flaps", "/scaling/flaps"),
    ("/scaling/instances_started", "/scaling/instances_started"),
    ("/scaling/instances_drained", "/scaling/instances_drained"),
    ("/scaling/most_instances", "/scaling/most_instances"),
    ("/scaling/pd_ratio_mean", "/scaling/pd_ratio_mean"),
    ("/scaling/pd_ratio_variance", "/scaling/pd_ratio_variance"),
    ("/scaling/pd_ratio_deviation", "/scaling/pd_ratio_deviation"),
];

/// Asserts that `compare` has the same figures as `simulate`, one by one.
fn assert_same(simulated: &serde_json::Value, compared: &serde_json::Value) {
    for (own, other) in SAME {
        let own = simulated.pointer(own).unwrap_or_else(|| panic!("{own}"));
        let found = compared.pointer(other).unwrap_or_else(|| panic!("{other}"));
        let is_same = match (own.as_f64(), found.as_f64()) {
            // What passes through summary.json as text may differ in its last bit.
            (Some(own), Some(found)) => (own - found).abs() <= own.abs() * 1e-15,
            _ => own == found,
        };
        assert!(is_same, "{other}: simulate {own}, compare {found}");
    }
}

#[test]
fn one_run_has_one_set_of_figures() {
    let folder = tempfile::tempdir().expect("folder");
    let root = text(&folder.path().join("results"));
    let trace = text(&trace(folder.path(), "conv.csv", 500));
    let cluster = text(&folder.path().join("turns.toml"));
    std::fs::write(&cluster, TURNS).expect("writes");
    let run = ["simulate", &trace, "--config", &cluster, "--results", &root];
    let simulated = json(&[&run[..], &["--json"]].concat());
    let unfinished = &simulated["unfinished"];
    // The run has all that could be counted in two ways.
    assert!(unfinished["end_of_time"].as_u64() > Some(0), "{unfinished}");
    assert!(unfinished["not_arrived"].as_u64() > Some(0), "{unfinished}");
    let met = simulated["slo"]["attainment"].as_f64().expect("arrivals");
    assert!((0.05..0.95).contains(&met), "{met} met the SLO");
    let scaling = &simulated["scaling"];
    // Out at 10 s; in at 20 s: two flaps; decode out at 30 s: a flap; at 40 s prefill grows and decode shrinks: two flaps.
    let counted = ["scale_out", "scale_in", "rebalance", "flaps"].map(|name| &scaling[name]);
    assert_eq!(counted, [2, 1, 1, 5]);
    assert!(scaling["parked"].as_u64() > Some(0), "{scaling}");

    let compared = json(&["compare", &root, "--json"]);
    assert_same(&simulated, &compared["runs"][0]);
    let mean = &compared["scenarios"][0]["policies"][0];
    assert_eq!(mean["attainment"], simulated["slo"]["attainment"]);
    assert_eq!(mean["flaps"].as_f64(), scaling["flaps"].as_f64());
    let slo = "SLO (TTFT <= 100 ms, TBT <= 11 ms, E2E <= 1.2 s)";
    assert_eq!(compared["scenarios"][0]["slo"], slo);

    // The tables of `simulate`, `compare` and `report` say the same.
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    let said = stdout(&run);
    assert!(
        said.contains(&format!(
            "met by {} of the requests that arrived (TTFT <= 100 ms, TBT <= 11 ms, E2E <= 1.2 s)",
            percent(met)
        )),
        "{said}"
    );
    let said = stdout(&["compare", &root]);
    assert!(said.contains(&percent(1.0 - met)), "{said}");
    assert!(
        said.contains(&format!(
            "missed SLO: arrived requests that missed the {slo}"
        )),
        "{said}"
    );
    stdout(&["report", &root]);
    let page =
        std::fs::read_to_string(Path::new(&root).join("comparison/report.html")).expect("page");
    assert!(page.contains(&percent(1.0 - met)));
    // Two limits, two names.
    assert!(page.contains("\"slowdown limit\"") && !page.contains("\"SLO\""));
    let axis = format!("arrived requests that missed the {slo}").replace('<', "\\u003c");
    assert!(page.contains(&axis));

    // A study's trial.
    let config = ScenarioConfig::read(Path::new(&cluster), &[]).expect("a configuration");
    let scenario = config.prepare().expect("a scenario");
    let read = read_trace(&trace, &ReadOptions::default()).expect("a trace");
    let workload = Workload::new(&read.trace, None);
    let run = scenario
        .run(&workload, config.seed, RunOptions::default())
        .expect("a run");
    let trial = Trial::new("script", "as it is", &run.serving);
    assert_eq!(trial.attainment, Some(met));
    assert_eq!(
        Some(trial.gpu_hours),
        simulated["cost"]["gpu_hours"].as_f64()
    );
    assert_eq!(trial.dollars, simulated["cost"]["dollars"].as_f64());
    assert_eq!(trial.ttft_p90, simulated["ttft"]["p90"].as_f64());
    assert_eq!(trial.tbt_p90, simulated["tbt"]["p90"].as_f64());
    assert_eq!(
        Some(trial.scaling_events),
        scaling["scaling_events"].as_u64()
    );
    assert_eq!(Some(trial.flaps), scaling["flaps"].as_u64());
}

#[test]
fn a_run_without_an_autoscaler_has_the_same_figures_too() {
    let folder = tempfile::tempdir().expect("folder");
    let root = text(&folder.path().join("results"));
    let trace = text(&trace(folder.path(), "conv.csv", 300));
    let cluster = text(&folder.path().join("resized.toml"));
    let (before, _) = TURNS.split_once("[autoscaling]").expect("a section");
    let resize = |at: u32, instances: u32| {
        format!("[[resize]]\nat_seconds = {at}.0\npool = \"tokens\"\ninstances = {instances}\n")
    };
    let resized = format!("{before}{}{}", resize(5, 3), resize(15, 1));
    std::fs::write(&cluster, resized).expect("writes");
    let simulated = json(&[
        "simulate",
        &trace,
        "--config",
        &cluster,
        "--results",
        &root,
        "--json",
    ]);
    // Out at 5 s, in at 15 s: a flap, told by the instances' lives.
    let scaling = &simulated["scaling"];
    let counted =
        ["scale_out", "scale_in", "flaps", "instances_started"].map(|name| &scaling[name]);
    assert_eq!(counted, [1, 1, 1, 2]);
    assert!(scaling["policy"].is_null());
    let compared = json(&["compare", &root, "--json"]);
    assert_same(&simulated, &compared["runs"][0]);
}

#[test]
fn a_cluster_that_finishes_no_request_has_no_figures() {
    let folder = tempfile::tempdir().expect("folder");
    let root = text(&folder.path().join("results"));
    let trace = text(&trace(folder.path(), "conv.csv", 20));
    let cluster = text(&folder.path().join("too-small.toml"));
    let (before, _) = TURNS.split_once("[autoscaling]").expect("a section");
    // Blocks for 48 tokens: every prompt is too large.
    std::fs::write(&cluster, before.replace("blocks = 4000", "blocks = 3")).expect("writes");
    let run = ["simulate", &trace, "--config", &cluster, "--results", &root];
    let found = json(&[&run[..], &["--json"]].concat());
    assert_eq!(
        (&found["arrived"], &found["finished"]),
        (&20.into(), &0.into())
    );
    assert_eq!(found["slo"]["attainment"], 0.0);
    assert!(found["slo"]["slowdowns_met"].is_null());
    assert!(found["slo"]["slowdowns"][0]["met"].is_null());
    assert!(found["ttft"]["p99"].is_null() && found["slowdown"]["tbt"]["mean"].is_null());
    assert!(found["token_hit_ratio"].is_null());
    let said = stdout(&run);
    for line in [
        "TTFT                             -      -",
        "slowdown limits                               - (no request finished)",
        "met by 0.00 % of the requests that arrived",
        "cached 0 (-)",
    ] {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&said).contains(&words(line)), "{line}: {said}");
    }
    let compared = json(&["compare", &root, "--json"]);
    assert_same(&found, &compared["runs"][0]);
    let said = stdout(&["compare", &root]);
    assert!(said.contains("100.00 %"), "{said}");
    let csv = std::fs::read_to_string(Path::new(&root).join("comparison/summary_table.csv"))
        .expect("table");
    assert_eq!(csv, "Policy,TTFT P90,TBT P90,E2E P90\nno_autoscaling,,,\n");
}
