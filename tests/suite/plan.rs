//! `replay plan` and `replay profile` through the program.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use crate::common::{json, replay, stdout, text};

/// A trace of lengths: minutes with the given numbers of requests of 1000 prompt and 100 output tokens, and one more request.
fn trace(folder: &Path, minutes: &[u32]) -> PathBuf {
    let mut lines = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for (minute, count) in minutes.iter().enumerate() {
        for request in 0..*count {
            let second = f64::from(request) * 60.0 / f64::from(*count);
            lines += &format!("2023-11-16 18:{minute:02}:{second:09.6},1000,100\n");
        }
    }
    lines += &format!("2023-11-16 18:{:02}:00.0,1000,100\n", minutes.len());
    let file = folder.join("trace.csv");
    std::fs::write(&file, lines).unwrap();
    file
}

#[test]
fn a_plan_for_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let file = trace(folder.path(), &[30, 240, 0, 30]);
    let csv = folder.path().join("plan.csv");
    let plan = json(&[
        "plan",
        text(&file),
        "--json",
        "--output",
        text(&csv),
        "--variant",
        "dynamo",
        "--set",
        "enable_correction=false",
        "--set",
        "enable_online_learning=false",
    ]);
    let ticks = plan["ticks"].as_array().unwrap();
    assert_eq!(ticks.len(), 4);
    // 240 x 1000 / 60 = 4000 tokens/s over 4 x 200 / 1.1 = 727: 6. 400 tokens/s over 1000 x 9.75 / 50 = 195, of which 100 are
    // believed: 4. All together 28 GPUs.
    let busy = &ticks[1]["decision"];
    assert_eq!(
        (&busy["raw_prefill"], &busy["raw_decode"]),
        (&6.into(), &4.into())
    );
    assert_eq!((&busy["prefill"], &busy["decode"]), (&6.into(), &4.into()));
    // The empty minute is a minute, and the next one sees the instances that were decided.
    let idle = &ticks[2]["decision"];
    assert_eq!(
        (&idle["observed"]["num_req"], &idle["prefill"]),
        (&0.0.into(), &1.into())
    );
    assert_eq!(ticks[3]["decision"]["observed"]["ready_prefill"], 1);
    assert_eq!(plan["config"]["variant"], "dynamo");
    let lines: Vec<String> = std::fs::read_to_string(&csv)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("start_sec,num_req,isl,osl"));
    assert!(lines[2].starts_with("60,240,1000,100,"), "{}", lines[2]);
    let table = stdout(&["plan", text(&file)]);
    assert!(
        table.contains("raw P")
            && table
                .contains("For TTFT within 200.0 ms and ITL within 50.0 ms, the planner asks for"),
        "{table}"
    );
    // A dry run changes nothing: the instances stay.
    let dry = json(&["plan", text(&file), "--json", "--set", "no_operation=true"]);
    assert_eq!(dry["ticks"][3]["decision"]["observed"]["ready_prefill"], 1);
    assert!(
        dry["ticks"][1]["decision"]["reason"]
            .as_str()
            .unwrap()
            .contains("dry run")
    );
}

#[test]
fn configuration_files_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let file = trace(folder.path(), &[30, 30]);
    let config = folder.path().join("planner.toml");
    std::fs::write(
        &config,
        "[planner]\ntarget_ttft_ms = 700.0\nload_predictor_type = \"kalman\"\n",
    )
    .unwrap();
    let args = ["plan", text(&file), "--json", "--config", text(&config)];
    let plan = json(
        &[
            &args[..],
            &["--predictor", "arima", "--set", "max_gpu_budget=-1"],
        ]
        .concat(),
    );
    let found = &plan["config"];
    assert_eq!(found["target_ttft_ms"], 700.0);
    assert_eq!(
        (&found["load_predictor_type"], &found["max_gpu_budget"]),
        (&"arima".into(), &(-1).into())
    );
}

#[test]
fn predictors_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let minutes: Vec<u32> = (0..12).map(|i| 60 + 7 * (i % 5)).collect();
    let file = trace(folder.path(), &minutes);
    let found = json(&["plan", text(&file), "--backtest", "--json"]);
    assert_eq!(
        (&found["intervals"], &found["window"]),
        (&12.into(), &10.into())
    );
    let predictors = found["predictors"].as_array().unwrap();
    assert_eq!(predictors.len(), 9);
    // Constant, by hand: 60 + 7 x (0, 1, 2, 3, 4) and again from the sixth: errors 28, -7, -7, -7, -7, 28, -7.
    assert_eq!(predictors[0]["predictor"], "constant");
    assert!((predictors[0]["mae"].as_f64().unwrap() - 91.0 / 7.0).abs() < 1e-9);
    assert!((predictors[0]["bias"].as_f64().unwrap() - 21.0 / 7.0).abs() < 1e-9);
    let table = stdout(&["plan", text(&file), "--backtest"]);
    assert!(
        table.contains("prophet (dynamo)") && table.contains("requests in 12 intervals of 60 s")
    );
}

#[test]
fn the_cache_takes_prompts_away() {
    let folder = tempfile::tempdir().unwrap();
    // The same two blocks in every prompt.
    let mut lines = String::new();
    for request in 0..240 {
        let at = request * 500;
        lines += &format!(
            "{{\"timestamp\": {at}, \"input_length\": 1536, \"output_length\": 50, \"hash_ids\": [0, 1, {}]}}\n",
            request + 2
        );
    }
    let file = folder.path().join("mooncake.jsonl");
    std::fs::write(&file, lines).unwrap();
    let args = ["plan", text(&file), "--json", "--interval", "30"];
    let with = json(&[&args[..], &["--cache"]].concat());
    let without = json(&args);
    let hits = with["ticks"][1]["decision"]["observed"]["cache_hit_ratio"]
        .as_f64()
        .unwrap();
    assert!((hits - 2.0 / 3.0).abs() < 0.01, "{hits}");
    let raw = |plan: &serde_json::Value| {
        plan["ticks"][1]["decision"]["raw_prefill"]
            .as_u64()
            .unwrap()
    };
    assert!(raw(&with) < raw(&without));
}

#[test]
fn simulated_instances_are_profiled_and_planned_with() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    let measure = |folder: &Path| {
        let grid = "--max-isl 8192 --osl 50 --contexts 3 --loads 4 --prefill-points 5";
        let mut args = vec!["profile", "--preset", "llama-8b-pd-4-4"];
        args.extend(grid.split(' '));
        args.extend(["--output-dir", text(folder)]);
        stdout(&args)
    };
    let made = measure(&profile);
    assert!(made.contains(
        "decode was measured on pool `decode`: llama-3-8b on 1 x h100-80gb, scheduler vllm-v1, latency model roofline, 448,288 \
         tokens of KV cache"
    ));
    let head = std::fs::read_to_string(profile.join("decode_profile.csv")).unwrap();
    assert!(head.starts_with("x_kv_usage,y_context_length,z_itl,z_thpt_per_gpu,max_kv_tokens\n"));
    let file = trace(folder.path(), &[600, 2400, 600]);
    for variant in ["replay", "dynamo"] {
        let plan = json(&[
            "plan",
            text(&file),
            "--json",
            "--profile",
            text(&profile),
            "--variant",
            variant,
            "--tbt-slo",
            "20ms",
        ]);
        // Both from profile.json, in place of the planner's own default of 4.
        assert_eq!(plan["config"]["prefill_gpus_per_instance"], 1);
        assert_eq!(plan["gpus_per_instance_from"]["prefill"], "profile");
        assert_eq!(plan["gpus_per_instance_from"]["decode"], "profile");
        let ticks = plan["ticks"].as_array().unwrap();
        assert_eq!(ticks.len(), 3);
        assert!(ticks.iter().all(|tick| tick["decision"]["held"] == false));
    }
    // The same twice, to the byte.
    let again = folder.path().join("again");
    measure(&again);
    for name in ["prefill_profile.csv", "decode_profile.csv", "profile.json"] {
        assert_eq!(
            std::fs::read(profile.join(name)).unwrap(),
            std::fs::read(again.join(name)).unwrap()
        );
    }
}

#[test]
fn gpus_per_instance_come_from_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let file = trace(folder.path(), &[1500, 1500, 1500]);
    let profile = folder.path().join("profile");
    std::fs::create_dir(&profile).unwrap();
    let write = |name: &str, text: &str| std::fs::write(profile.join(name), text).unwrap();
    write(
        "prefill_profile.csv",
        "prefill_isl,prefill_ttft,prefill_thpt_per_gpu\n500,50,10000\n1000,100,10000\n2000,200,10000\n",
    );
    let mut decode = "x_kv_usage,y_context_length,z_itl,z_thpt_per_gpu,max_kv_tokens\n".to_owned();
    for context in [500, 1000, 2000] {
        for (usage, itl, throughput) in [(0.1, 10, 1000), (0.5, 20, 2500), (0.9, 30, 3000)] {
            decode += &format!("{usage},{context},{itl},{throughput},100000\n");
        }
    }
    write("decode_profile.csv", &decode);
    let instance = |gpus: u32| {
        format!(
            r#"{{"pool": "p", "gpus_per_instance": {gpus}, "gpu": "h100-80gb", "kv_tokens": 100000, "scheduler": "vllm-v1",
                "latency": "roofline"}}"#
        )
    };
    let facts = |prefill: u32| {
        format!(
            r#"{{"version": "0", "cluster": "c", "model": "m", "prefill": {}, "decode": {}}}"#,
            instance(prefill),
            instance(1)
        )
    };
    let plan = |more: &[&str], print: &[&str]| {
        let mut args = vec!["plan", text(&file), "--profile", text(&profile)];
        args.extend(["--set", "honour_ttft=false"]);
        args.extend(more);
        args.extend(print);
        stdout(&args)
    };
    let raw = |more: &[&str]| {
        let found: serde_json::Value = serde_json::from_str(&plan(more, &["--json"])).unwrap();
        found["ticks"][1]["decision"]["raw_prefill"].clone()
    };
    // 1500 requests of 1000 tokens in 60 s are 25,000 tokens/s; an instance of one GPU computes 10,000 of them.
    write("profile.json", &facts(1));
    assert_eq!(raw(&[]), 3);
    assert!(plan(&[], &[]).contains(
        "GPUs: 1 per prefill instance (from the profile), 1 per decode instance (from the profile)"
    ));
    write("profile.json", &facts(2));
    assert_eq!(raw(&[]), 2);
    // What the user says counts more, and the difference is told.
    let own = ["--set", "prefill_gpus_per_instance=4"];
    assert_eq!(raw(&own), 1);
    assert!(plan(&own, &[]).contains(
        "GPUs: 4 per prefill instance (as configured, but the profile was measured on 2)"
    ));
    // A profile of another program has no such file: the number is assumed, and that is told.
    std::fs::remove_file(profile.join("profile.json")).unwrap();
    assert_eq!(raw(&[]), 1);
    assert!(plan(&[], &[]).contains(
        "GPUs: 4 per prefill instance (assumed; set prefill_gpus_per_instance to change it), 1 per decode instance (assumed"
    ));
}

#[test]
fn faults_are_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = trace(folder.path(), &[30, 30]);
    let trace = text(&file);
    let none = folder.path().join("none");
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "[planner]\n\nx = = 1\n").unwrap();
    let cases: [(&[&str], &str); 14] = [
        (&["plan"], "<TRACE>"),
        (
            &["plan", trace, "--prometheus", "http://x"],
            "exclude each other",
        ),
        (
            &["plan", trace, "--interval", "0"],
            "expected a number, from 0.001 to 1000000000",
        ),
        (&["plan", trace, "--interval", "3600"], "smaller --interval"),
        (&["plan", trace, "--backtest"], "are not scored"),
        (&["plan", trace, "--cache"], "lengths only"),
        (
            &["plan", trace, "--predictor", "prophe"],
            "did you mean `prophet`",
        ),
        (&["plan", trace, "--set", "max_gpu=3"], "unknown field"),
        (&["plan", trace, "--set", "max_gpu_budget"], "KEY=VALUE"),
        (
            &["plan", trace, "--profile", text(&none)],
            "is not a folder",
        ),
        (&["plan", trace, "--config", text(&broken)], "broken.toml:3"),
        (
            &["plan", "--prometheus", "ftp://x", "--once"],
            "http or https",
        ),
        (
            &["plan", "--prometheus", "http://x", "--metrics", "sglang"],
            "known: vllm, dynamo",
        ),
        (&["profile", "--max-isl", "50"], "the shortest first"),
    ];
    for (args, told) in cases {
        let output = replay(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(told), "{args:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}
