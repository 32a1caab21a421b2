//! `--autoscaler sla` without a profile: one is measured, and that is told.

use crate::common::{replay, text};

use serde_json::Value;

/// Two requests a second for an hour, with exponential gaps.
fn constant_load() -> String {
    let mut trace = "arrived_at,num_prefill_tokens,num_decode_tokens\n".to_owned();
    let (mut state, mut time) = (1_u64, 0.0);
    loop {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let uniform = ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        time -= uniform.ln() / 2.0;
        if time > 3600.0 {
            return trace;
        }
        trace += &format!("{time:.3},500,100\n");
    }
}

#[test]
fn the_planner_does_not_guess_where_it_can_measure() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.csv");
    std::fs::write(&trace, constant_load()).expect("writes");
    let run = |name: &str, more: &[&str]| -> (Value, String) {
        let out = folder.path().join(name);
        let mut args = vec![
            "simulate",
            text(&trace),
            "--preset",
            "llama-8b-pd-4-4",
            "--autoscaler",
            "sla",
            "--json",
            "--output-dir",
            text(&out),
        ];
        args.extend(more);
        let output = replay(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (serde_json::from_slice(&output.stdout).expect("JSON"), said)
    };
    let (figures, said) = run("measured", &[]);
    assert!(
        said.contains("llama-8b-pd-4-4: policy `sla` has no autoscaling.sla.profile_data_dir; measured a profile"),
        "{said}"
    );
    // Of four and four instances one and one are enough from the first decisions on, which take one instance a minute. By a
    // rule of thumb the planner took 5.6 GPU-hours here and turned round 35 times.
    let hours = figures["cost"]["gpu_hours"].as_f64().expect("a number");
    assert!(hours > 2.0 && hours < 2.3, "{hours}");
    assert_eq!(figures["scaling"]["flaps"], 0);
    assert_eq!(figures["slo"]["attainment"], 1.0);
    // The profile stands beside the results, and gives the same run when it is named.
    let profile = folder.path().join("measured/profile");
    assert!(profile.join("profile.json").is_file());
    let named = format!("autoscaling.sla.profile_data_dir={:?}", text(&profile));
    let (same, said) = run("named", &["--set", &named]);
    assert!(!said.contains("measured a profile"), "{said}");
    assert_eq!(same, figures);
    assert!(!folder.path().join("named/profile").exists());
}
