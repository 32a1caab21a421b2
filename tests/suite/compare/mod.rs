//! `matrix` and `compare`: grids of runs, what is missing or broken in them, and the files that come of them.

mod same_figures;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::common::{json, replay, stdout};

/// A trace of requests every tenth of a second or so, in the layout of the Azure traces.
fn trace(folder: &Path, name: &str, requests: u32) -> PathBuf {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for n in 0..requests {
        let millis = n * 100 + (n * 37) % 60;
        let _ = writeln!(
            text,
            "2023-11-16 18:{:02}:{:02}.{:03}0000,{},{}",
            millis / 60_000,
            millis / 1000 % 60,
            millis % 1000,
            200 + (n * 91) % 1500,
            5 + (n * 53) % 120
        );
    }
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    path
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn stderr(args: &[&str]) -> (Option<i32>, String) {
    let output = replay(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

const CELL: &str = "prefill-4_decode-4/conv_20/llama-8b-pd-4-4/llama-3-8b/vllm-v1";

/// Two policies at two rates; their results.
fn matrix(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let trace = text(&trace(folder, "conv.csv", 200));
    let results = text(&folder.join("results"));
    let mut args = vec!["matrix", &trace, "--rates", "20,40"];
    args.extend([
        "--autoscaler",
        "no_autoscaling,hpa_gpu",
        "--results",
        &results,
    ]);
    args.extend(more);
    stderr(&args)
}

#[test]
fn a_matrix_is_what_simulate_makes_and_goes_on_where_it_stood() {
    let folder = tempfile::tempdir().expect("folder");
    let (code, said) = matrix(folder.path(), &["--seeds", "0,1"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("8 cells run, 0 there already, 0 failed"),
        "{said}"
    );
    let results = folder.path().join("results");
    assert!(
        results
            .join("comparison/ttft_slowdown_comparison.png")
            .is_file()
    );

    // The command of a cell makes the same bytes.
    let cell = results.join("1").join(CELL).join("hpa_gpu");
    let read = |path: &Path| std::fs::read(path).unwrap_or_else(|_| panic!("{}", path.display()));
    let summary: serde_json::Value =
        serde_json::from_slice(&read(&cell.join("summary.json"))).expect("JSON");
    let command = summary["command"].as_str().expect("command").to_owned();
    let again = text(&folder.path().join("again"));
    let mut words: Vec<&str> = command.split(' ').skip(1).collect();
    let at = words
        .iter()
        .position(|word| *word == "--results")
        .expect("flag");
    words[at + 1] = &again;
    stdout(&words);
    let other = Path::new(&again).join("1").join(CELL).join("hpa_gpu");
    for name in ["summary.csv", "request.csv", "instances.csv", "config.toml"] {
        assert!(read(&cell.join(name)) == read(&other.join(name)), "{name}");
    }

    let (_, said) = matrix(folder.path(), &["--seeds", "0,1"]);
    assert!(said.contains("0 cells run, 8 there already"), "{said}");
    // Half a run is none, and another configuration is another run.
    std::fs::write(cell.join("summary.json"), "{\"version\":").expect("writes");
    let (_, said) = matrix(folder.path(), &["--seeds", "0,1"]);
    assert!(said.contains("1 cells run, 7 there already"), "{said}");
    let (_, said) = matrix(folder.path(), &["--set", "pool.decode.startup_seconds=5"]);
    assert!(said.contains("4 cells run, 0 there already"), "{said}");
}

#[test]
fn a_cell_that_fails_is_told_and_the_others_are_run() {
    let folder = tempfile::tempdir().expect("folder");
    let good = text(&trace(folder.path(), "good.csv", 50));
    let bad = folder.path().join("bad.csv");
    std::fs::write(&bad, "TIMESTAMP,ContextTokens,GeneratedTokens\nnever,1,x\n").expect("writes");
    let results = text(&folder.path().join("results"));
    let (code, said) = stderr(&["matrix", &text(&bad), &good, "--results", &results]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("1 cells run, 0 there already, 1 failed"),
        "{said}"
    );
    assert!(said.contains("bad.csv:2"), "{said}");
    // Two cells in one folder would be one run.
    let (code, said) = stderr(&["matrix", &good, &good, "--results", &results]);
    assert_eq!(code, Some(2));
    assert!(said.contains("two cells would be written to"), "{said}");
}

/// A run as SplitwiseSim leaves it: `summary.csv`, with TTFT, TBT and E2E at P90.
fn splitwise_run(root: &Path, seed: u32, trace: &str, policy: &str, p90: [f64; 3]) -> PathBuf {
    let folder = root
        .join(seed.to_string())
        .join("splitwise_25_15")
        .join(trace)
        .join("0_40/bloom-176b/mixed_pool")
        .join(policy);
    std::fs::create_dir_all(&folder).expect("folder");
    let (mut header, mut row) = ("application_id".to_owned(), "0".to_owned());
    for (name, p90) in ["ttft_times", "tbt_times", "response_times"]
        .iter()
        .zip(p90)
    {
        for (percentile, factor) in [(50, 0.5), (90, 1.0), (99, 2.0)] {
            let _ = write!(header, ",{name}_p{percentile}");
            let _ = write!(row, ",{}", p90 * factor);
        }
    }
    std::fs::write(folder.join("summary.csv"), format!("{header}\n{row}\n")).expect("writes");
    folder
}

/// Two policies at two rates, of which one cell is missing.
fn splitwise_results(root: &Path) {
    splitwise_run(root, 0, "rr_conv_20", "no_autoscaling", [0.1, 0.02, 3.0]);
    splitwise_run(root, 0, "rr_conv_100", "no_autoscaling", [0.3, 0.04, 5.0]);
    splitwise_run(root, 0, "rr_conv_20", "heteroscale", [0.2, 0.03, 4.0]);
}

#[test]
fn summary_csv_is_enough() {
    let folder = tempfile::tempdir().expect("folder");
    splitwise_results(folder.path());
    let root = text(folder.path());
    for (more, output) in [(&[][..], "comparison"), (&["--quick"], "comparison-quick")] {
        let mut args = vec!["compare", &root];
        args.extend(more);
        let (code, said) = stderr(&args);
        assert_eq!(code, Some(0), "{said}");
        let output = folder.path().join(output);
        let table = output.join("summary_table.csv");
        // Means over rates: (0.1 + 0.3) / 2 and so on.
        assert_eq!(
            std::fs::read_to_string(table).expect("table"),
            "Policy,TTFT P90,TBT P90,E2E P90\nno_autoscaling,0.2000,0.0300,4.0000\nheteroscale,0.2000,0.0300,4.0000\n"
        );
        for name in ["ttft", "tbt", "e2e"] {
            for ending in ["png", "svg"] {
                let picture = output.join(format!("{name}_comparison.{ending}"));
                assert!(picture.is_file(), "{}", picture.display());
            }
        }
        // The missing cell by path and command.
        assert!(
            said.contains("0/splitwise_25_15/rr_conv_100/0_40/bloom-176b/mixed_pool/heteroscale; to make it: replay simulate rr_conv_100.csv --config"),
            "{said}"
        );
    }
    let rows = std::fs::read_to_string(folder.path().join("comparison/results_summary.csv"))
        .expect("rows");
    let lines: Vec<&str> = rows.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("policy,trace,seed,oom,ttft_slowdown_p50,"));
    assert!(
        lines[1].starts_with("no_autoscaling,rr_conv_20,0,False,"),
        "{}",
        lines[1]
    );
}

#[test]
fn slowdowns_of_splitwise_runs_are_against_the_studys_reference() {
    let folder = tempfile::tempdir().expect("folder");
    let own = splitwise_run(
        folder.path(),
        0,
        "rr_conv_20",
        "no_autoscaling",
        [0.1, 0.02, 3.0],
    );
    std::fs::create_dir_all(own.join("detailed")).expect("folder");
    std::fs::write(
        own.join("detailed/0.csv"),
        "request_ids,response_times,queue_times,ttft_times,tbt_times,nth_token_overheads,prompt_sizes,token_sizes\n\
         0,10.0,0.0,0.5,0.05,0.0,512,200\n1,20.0,0.0,0.5,0.05,0.0,512,200\n",
    )
    .expect("writes");
    let found = json(&["compare", &text(folder.path()), "--json"]);
    let run = &found["runs"][0];
    assert_eq!(run["finished"], 2);
    let ttft = run["slowdowns"][0][1].as_f64().expect("slowdown");
    let tbt = run["slowdowns"][1][1].as_f64().expect("slowdown");
    // bloom-176b on 8 A100 takes 0.1 to 0.3 s for 512 tokens, and about 0.03 to 0.05 s a token.
    assert!((1.5..6.0).contains(&ttft), "{ttft}");
    assert!((0.8..2.0).contains(&tbt), "{tbt}");
    // That file has finished requests only: how many arrived is not known, and neither is what part of them met the SLO.
    for unknown in [
        "arrived",
        "attainment",
        "goodput",
        "requests_per_second",
        "gpu_hours",
        "dollars",
        "scaling",
    ] {
        assert!(run[unknown].is_null(), "{unknown}: {}", run[unknown]);
    }
    // A list of all requests is a base: the third arrived and never finished.
    std::fs::write(
        own.join("request.csv"),
        "request_id,arrival_timestamp,ttft,tbt,e2e\n0,0,0.5,0.05,10\n1,1,0.5,0.05,20\n2,2,,,\n",
    )
    .expect("writes");
    // Without objectives of its own a run is held to the usual ones, 2 s and 0.1 s: two of three.
    let found = json(&["compare", &text(folder.path()), "--json"]);
    let run = &found["runs"][0];
    assert_eq!((&run["arrived"], &run["finished"]), (&3.into(), &2.into()));
    assert_eq!(run["attainment"], 2.0 / 3.0);
    assert_eq!(
        found["scenarios"][0]["slo"],
        "SLO (TTFT <= 2 s, TBT <= 100 ms)"
    );
    // Two requests until the last token, at 1 + 20 s.
    let rate = run["requests_per_second"].as_f64().expect("a rate");
    assert!((rate - 2.0 / 21.0).abs() < 1e-15, "{rate}");
    // Within 15 s: the first only.
    let strict = json(&["compare", &text(folder.path()), "--json", "--e2e-slo", "15"]);
    assert_eq!(strict["runs"][0]["attainment"], 1.0 / 3.0);
    assert_eq!(strict["scenarios"][0]["slo"], "SLO (E2E <= 15 s)");
}

#[test]
fn a_quick_comparison_never_replaces_a_full_one() {
    let folder = tempfile::tempdir().expect("folder");
    splitwise_results(folder.path());
    let root = text(folder.path());
    stdout(&["compare", &root]);
    let full = folder.path().join("comparison/comparison.json");
    let before = std::fs::read(&full).expect("full");
    stdout(&["compare", &root, "--quick"]);
    assert!(before == std::fs::read(&full).expect("full"));
    // Into the same folder by name: refused, and nothing is touched.
    let output = text(&folder.path().join("comparison"));
    let (code, said) = stderr(&["compare", &root, "--quick", "--output-dir", &output]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("which a quick one would replace"), "{said}");
    assert!(before == std::fs::read(&full).expect("full"));
    // Over its own kind it may.
    let quick = folder.path().join("comparison-quick/comparison.json");
    let known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&quick).expect("quick")).expect("JSON");
    assert_eq!(known["reading"]["quick"], true);
    stdout(&["compare", &root, "--quick"]);
}

#[test]
fn runs_that_are_equal_are_said_to_be() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("results");
    let trace = text(&trace(folder.path(), "conv.csv", 100));
    let results = text(&root);
    stdout(&[
        "simulate",
        &trace,
        "--preset",
        "llama-8b-pd-4-4",
        "--seeds",
        "0,1",
        "--results",
        &results,
    ]);
    // The same runs under another policy's name.
    for seed in ["0", "1"] {
        let cell = root
            .join(seed)
            .join("prefill-4_decode-4/conv/llama-8b-pd-4-4/llama-3-8b/vllm-v1");
        let (from, to) = (cell.join("no_autoscaling"), cell.join("heteroscale"));
        std::fs::create_dir_all(&to).expect("folder");
        for file in [
            "summary.json",
            "summary.csv",
            "request.csv",
            "instances.csv",
        ] {
            std::fs::copy(from.join(file), to.join(file)).expect("copies");
        }
    }
    let found = json(&["compare", &results, "--json"]);
    let scenario = &found["scenarios"][0];
    assert_eq!(
        scenario["policies_with_equal_seeds"],
        serde_json::json!(["no_autoscaling", "heteroscale"])
    );
    let pairs = scenario["pairs"].as_array().expect("pairs");
    assert_eq!(pairs.len(), 3);
    for pair in pairs {
        assert_eq!(
            (&pair["finding"], &pair["over"]),
            (&"equal".into(), &"requests".into())
        );
    }
    let said = stdout(&["compare", &results]);
    assert!(
        said.contains("the seeds of no_autoscaling, heteroscale are equal, request by request"),
        "{said}"
    );
    assert!(
        said.contains("TTFT: heteroscale and no_autoscaling are equal: the same 100 values"),
        "{said}"
    );
    assert!(
        said.contains("a difference under 1 % and under 1 ms is not told as one"),
        "{said}"
    );
}

#[test]
fn broken_folders_are_named_and_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path();
    splitwise_results(root);
    let bad = splitwise_run(root, 0, "rr_conv_20", "kpa", [0.1, 0.1, 0.1]);
    std::fs::write(bad.join("summary.json"), "{\"arrived\": 3").expect("writes");
    let cut = splitwise_run(root, 0, "rr_conv_20", "wva", [0.1, 0.1, 0.1]);
    std::fs::write(cut.join("config.toml"), "").expect("writes");
    let empty = splitwise_run(root, 0, "rr_conv_20", "sla", [0.1, 0.1, 0.1]);
    std::fs::remove_file(empty.join("summary.csv")).expect("removes");
    let odd = splitwise_run(root, 0, "rr_conv_20", "queue", [0.1, 0.1, 0.1]);
    std::fs::write(
        odd.join("instances.csv"),
        "instance,pool,created,ready,gone\n0,prompt,5,5,1\n",
    )
    .expect("writes");
    std::fs::create_dir_all(root.join("0/stray")).expect("folder");
    std::fs::write(root.join("0/stray/summary.csv"), "a\n").expect("writes");
    let (code, said) = stderr(&["compare", &text(root)]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "kpa/summary.json:1: is not JSON",
        "wva: was not finished",
        "sla: holds neither summary.csv nor summary.json",
        "queue/instances.csv:2: has no times",
        "0/stray: holds a run and lies 2 folders deep",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Nothing to compare is an error, in one line.
    let (code, said) = stderr(&["compare", &text(root), "--autoscaler", "nobody"]);
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    let (code, said) = stderr(&["compare", &text(&root.join("nowhere"))]);
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
}

#[test]
fn runs_are_chosen_by_patterns_rates_and_seeds() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path();
    splitwise_results(root);
    splitwise_run(root, 3, "rr_conv_20", "hpa_gpu", [0.1, 0.1, 0.1]);
    splitwise_run(root, 0, "fluct_conv_12min", "hpa_gpu", [0.1, 0.1, 0.1]);
    let count = |more: &[&str]| {
        let root = text(root);
        let mut args = vec!["compare", &root, "--quick", "--json"];
        args.extend(more);
        json(&args)["runs"].as_array().expect("runs").len()
    };
    assert_eq!(count(&[]), 5);
    assert_eq!(count(&["--autoscaler", "hpa_*"]), 2);
    assert_eq!(count(&["--autoscaler", "hpa_*,no_autoscaling"]), 4);
    assert_eq!(count(&["--traces", "rr_conv"]), 4);
    assert_eq!(count(&["--rates", "20"]), 3);
    assert_eq!(count(&["--seed", "3"]), 1);
    assert_eq!(
        count(&[
            "--cluster",
            "0_4?",
            "--model",
            "bloom*",
            "--scheduler",
            "mixed_pool"
        ]),
        5
    );
    // A policy that was named and has no run is reported as missing.
    let (_, said) = stderr(&[
        "compare",
        &text(root),
        "--quick",
        "--autoscaler",
        "heteroscale",
        "--rates",
        "20,60",
    ]);
    assert!(
        said.contains("rr_conv_60/0_40/bloom-176b/mixed_pool/heteroscale"),
        "{said}"
    );
    // Traces without a rate are compared apart from those with one.
    let found = json(&["compare", &text(root), "--quick", "--json"]);
    let labels: Vec<&str> = found["scenarios"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(|scenario| scenario["label"].as_str())
        .collect();
    assert_eq!(labels, ["", "rr_conv"]);
}
