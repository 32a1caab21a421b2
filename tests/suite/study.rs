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
        "--validate",
        &trace,
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
    // On the trace that it was chosen by, a choice does what it did.
    let again = &study["validated"][0]["trials"][0];
    assert_eq!(again["attainment"], first["trial"]["attainment"]);
    assert_eq!(again["gpu_hours"], first["trial"]["gpu_hours"]);
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
    fails(&["--attainment", "1.5"], "--attainment 1.5");
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
