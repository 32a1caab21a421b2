//! `replay study`, through the program.

use std::path::Path;

use crate::common::replay;

use serde_json::Value;

fn trace(folder: &Path) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let (chats, trace) = (path("chats.jsonl"), path("trace.jsonl.zst"));
    for arguments in [
        vec![
            "synth-dataset",
            "--conversations",
            "400",
            "--max-turns",
            "3",
            "--output",
            &chats,
        ],
        vec!["gen-trace", &chats, "--rate", "8", "--output", &trace],
    ] {
        assert!(replay(&arguments).status.success());
    }
    trace
}

#[test]
fn the_cheapest_that_keeps_the_objectives_is_chosen() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = trace(folder.path());
    let out = folder.path().join("study").display().to_string();
    let arguments = [
        "study",
        &trace,
        "--preset",
        "llama-8b-pd-4-4",
        "--autoscaler",
        "heteroscale,kpa",
        "--test-instances",
        "3",
        "--test-requests",
        "200",
        "--set",
        "slo.ttft_seconds=0.5",
        "--output-dir",
        &out,
        "--json",
    ];
    let output = replay(&arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let study: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Every split of three instances, the best per GPU first.
    let rates: Vec<f64> = study["capacities"]
        .as_array()
        .expect("capacities")
        .iter()
        .filter_map(|capacity| capacity["rate_per_gpu"].as_f64())
        .collect();
    assert_eq!(rates.len(), 2);
    assert!(rates[0] >= rates[1] && rates[0] > 0.0);
    // Each policy once, those that keep the objectives first, by cost; and no trial that keeps them is cheaper.
    let choices = study["choices"].as_array().expect("choices");
    assert_eq!(choices.len(), 3);
    let first = &choices[0];
    assert_eq!(first["keeps"], true);
    let cost = |trial: &Value| trial["gpu_hours"].as_f64().expect("hours");
    for trial in study["trials"].as_array().expect("trials") {
        let keeps = trial["attainment"].as_f64().expect("a part") >= 0.99;
        assert!(!keeps || cost(trial) >= cost(&first["trial"]));
    }
    for file in [
        "study.md",
        "study.json",
        "report.html",
        "tuned/kpa.toml",
        "comparison/cost_vs_slo.png",
    ] {
        assert!(Path::new(&out).join(file).exists(), "{file}");
    }
    assert_eq!(replay(&arguments).stdout, output.stdout);
}

#[test]
fn bad_questions_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = trace(folder.path());
    let out = folder.path().join("study").display().to_string();
    let fails = |more: &[&str], says: &str| {
        let mut arguments = vec!["study", &trace, "--output-dir", &out];
        arguments.extend(more);
        let output = replay(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(says), "{told}");
    };
    fails(&["--autoscaler", "heteroscal"], "heteroscale");
    fails(&["--attainment", "1.5"], "above 0 and up to 1");
    fails(&["--test-instances", "1"], "--test-instances");
    fails(
        &[
            "--autoscaler",
            "kpa",
            "--test-requests",
            "50",
            "--set",
            "slo.ttft_seconds=0.000001",
        ],
        "larger [slo] times",
    );
}

/// One instance is enough for every policy here, so that each trial can be worked by hand.
const CLUSTER: &str = r#"
[model]
name = "worked"
[slo]
ttft_seconds = 0.15
tbt_seconds = 0.02
[latency]
kind = "linear"
base_ms = 10.0
prefill_ms_per_token = 1.0
decode_ms_per_request = 5.0
context_ms_per_token = 0.0
[[pool]]
name = "all"
blocks = 100
gpus = 2
"#;

/// A request of 100 + 11 tokens takes a step of 110 ms and ten of 15. One of 2,000 tokens needs 125 blocks and finds 100.
#[test]
fn a_request_that_is_not_served_is_missed() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("writes");
        path.display().to_string()
    };
    let head = "arrived_at,num_prefill_tokens,num_decode_tokens\n";
    let four = "0,100,11\n100,100,11\n200,100,11\n300,100,11\n";
    let trace = write("five.csv", &format!("{head}{four}400,2000,11\n"));
    let other = write("four.csv", &format!("{head}{four}"));
    let config = write("worked.toml", CLUSTER);
    let out = folder.path().join("study").display().to_string();
    let output = replay(&[
        "study",
        &trace,
        "--config",
        &config,
        "--autoscaler",
        "periodic",
        "--test-instances",
        "2",
        "--test-requests",
        "4",
        "--attainment",
        "0.7",
        "--validate",
        &other,
        "--output-dir",
        &out,
        "--json",
    ]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let study: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // The last request comes at 400 s, and is rejected then. Two GPUs until then.
    let close = |found: &Value, expected: f64| {
        let found = found.as_f64().expect("a number");
        assert!(
            (found - expected).abs() < 1e-12,
            "{found}, expected {expected}"
        );
    };
    let trials = study["trials"].as_array().expect("trials");
    assert!(trials.len() > 1);
    for trial in trials {
        close(&trial["attainment"], 0.8);
        close(&trial["gpu_hours"], 2.0 * 400.0 / 3600.0);
        close(&trial["ttft_p90"], 0.11);
        close(&trial["tbt_p90"], 0.015);
        assert_eq!(
            (&trial["scaling_events"], &trial["flaps"]),
            (&0.into(), &0.into())
        );
    }
    let choices = study["choices"].as_array().expect("choices");
    assert_eq!(choices.len(), 2);
    for choice in choices {
        assert_eq!(choice["keeps"], true, "{choice}");
    }
    // All four of the other trace are served, the last until 300.26 s.
    let validated = study["validated"][0]["trials"].as_array().expect("trials");
    assert_eq!(validated.len(), 2);
    for trial in validated {
        close(&trial["attainment"], 1.0);
        close(&trial["gpu_hours"], 2.0 * 300.26 / 3600.0);
    }
}
