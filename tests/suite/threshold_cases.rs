//! `replay tune`: thresholds of result folders, two samples, and runs of its own.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;

use crate::common::replay_in;

/// A run with one threshold, whose files all have the same values.
fn write(folder: &Path, run: &str, threshold: &str, values: &[&str]) {
    let folder = folder.join(run).join(threshold);
    std::fs::create_dir_all(&folder).unwrap();
    for metric in kvreplay::tune::select::METRICS {
        let rows: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(id, value)| format!("{id},{id},{value},0.5\n"))
            .collect();
        let text = format!(",Request Id,{metric},cdf\n{}", rows.concat());
        std::fs::write(folder.join(format!("{metric}.csv")), text).unwrap();
    }
}

#[test]
fn folders_and_faults() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let output = |arguments: &[&str]| replay_in(root, &[&["tune", "select"], arguments].concat());
    let complaint = |arguments: &[&str]| {
        let found = output(arguments);
        assert_eq!(found.status.code(), Some(2), "{arguments:?}");
        assert!(found.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(found.stderr).unwrap()
    };
    assert!(complaint(&["nowhere"]).contains("nowhere: holds no data of any threshold"));
    write(root, "runs/b", " 1_0 ", &["0.5", "1.5"]);
    write(root, "runs/b", "-2", &["1", "3"]);
    write(root, "runs/b", "3", &["1", "1"]);
    write(root, "runs/b", "x4", &["1", "1"]);
    write(root, "runs/a", "none", &["1"]);
    std::fs::remove_file(root.join("runs/b/3/prefill_e2e_time.csv")).unwrap();
    std::fs::write(root.join("runs/5"), "a file").unwrap();
    let found = output(&["./runs//", "--significance", "none"]);
    let expected = "\
Found runs: 1 (from runs)
threshold  runs  request_ratio  request_exec_norm_ratio  prefill_ratio  prefill_exec_norm_ratio  decode_ratio  score 
       -2     1         1.0000                   1.0000         1.0000                   1.0000        1.0000  1.0000
       10     1         0.5000                   0.5000         0.5000                   0.5000        0.5000  0.5000

Recommended min_chunk_threshold = 10
";
    assert_eq!(String::from_utf8(found.stdout).unwrap(), expected);
    assert!(found.stderr.is_empty());
    // Unless told otherwise, the verdict follows the recommendation on the same stream.
    let found = output(&["runs"]);
    let text = String::from_utf8(found.stdout).unwrap();
    let verdict = text
        .strip_prefix(expected)
        .expect("the script's text first");
    assert!(verdict.contains("p (Holm)"), "{verdict}");
    let last = verdict.lines().last().unwrap_or_default();
    assert!(last.contains("baseline"), "{verdict}");
    assert!(found.stderr.is_empty());
    let found = output(&["runs", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(value["recommended_min_chunk_threshold"], 10);
    assert_eq!(value["thresholds"][1]["score"], 0.5);

    let place = root.join("runs/b/-2/prefill_e2e_time.csv");
    std::fs::write(&place, ",Request Id,other,cdf\n0,0,1,1\n").unwrap();
    assert!(complaint(&["runs"]).contains("has no column `prefill_e2e_time`"));
    std::fs::write(&place, ",Request Id,prefill_e2e_time,cdf\n0,0,,1\n").unwrap();
    assert!(complaint(&["runs"]).contains("has no values in column"));
    assert!(complaint(&["--run_agg", "mode"]).contains("known: mean, median, p90, max"));
    assert!(complaint(&["--baseline", "1.5"]).contains("is not a whole number"));
    assert!(
        complaint(&["--confidence", "2"]).contains("expected a number, from 0.001 to 0.999999")
    );
}

#[test]
fn two_columns_of_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let column = |name: &str, factor: f64| {
        // A fixed, skewed set of 50 values.
        let rows: Vec<String> = (1..=50)
            .map(|i| format!("r{i},{}\n", factor * (1.0 + f64::from(i * i % 53) / 20.0)))
            .collect();
        std::fs::write(
            folder.path().join(name),
            format!("Request Id,latency\n{}", rows.concat()),
        )
        .unwrap();
    };
    column("a.csv", 0.7);
    column("b.csv", 1.0);
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_replay"))
            .current_dir(folder.path())
            .args(["tune", "compare-samples"])
            .args(arguments)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (_, text, _) = run(&["a.csv", "b.csv", "--paired"]);
    assert!(
        text.trim_end().ends_with("p < 0.001")
            && text.contains("\n\na.csv is better than b.csv by 30 % ["),
        "{text}"
    );
    let (_, text, _) = run(&["a.csv", "a.csv"]);
    assert!(
        text.contains("\n\na.csv and a.csv are equal: the same 50 values on both sides"),
        "{text}"
    );
    let (_, text, _) = run(&[
        "a.csv",
        "b.csv",
        "--higher-is-better",
        "--statistic",
        "p90",
        "--json",
    ]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["test"], "bootstrap");
    assert!(
        value["sentence"]
            .as_str()
            .unwrap()
            .starts_with("a.csv is worse than b.csv by 30 % ["),
        "{value}"
    );
    let (code, _, complaint) = run(&["a.csv", "b.csv", "--column", "other"]);
    assert!(
        code == Some(2) && complaint.contains("has no column `other`"),
        "{complaint}"
    );
}

#[test]
fn thresholds_and_aging_by_simulation() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // 60 requests within a second: prompts of 100 to 2000 tokens.
    let rows: Vec<String> = (0..60u32)
        .map(|i| {
            format!(
                "{}.{:03},{},{}\n",
                i / 60,
                i * 16,
                100 + i * 613 % 1900,
                5 + i % 40
            )
        })
        .collect();
    let text = format!(
        "arrived_at,num_prefill_tokens,num_decode_tokens\n{}",
        rows.concat()
    );
    std::fs::write(root.join("t.csv"), text).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_replay"))
            .current_dir(root)
            .arg("tune")
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let few = ["--set", "pool.replicas.instances=1"];
    let threshold = [
        &[
            "threshold",
            "t.csv",
            "--seeds",
            "0,3",
            "--max-threshold",
            "40",
            "--step",
            "20",
        ],
        &few[..],
    ]
    .concat();
    let (code, found, beside) = run(&threshold);
    assert_eq!(code, Some(0), "{beside}");
    assert!(found.contains("the baseline"), "{found}");
    // What was written gives the same again.
    let (_, again, _) = run(&["select", "threshold_output"]);
    assert_eq!(found, again);
    assert!(
        root.join("threshold_output/1970-01-01_00-00-03/40/prefill_e2e_time.csv")
            .exists()
    );
    let (code, _, complaint) = run(&threshold);
    assert!(
        code == Some(2) && complaint.contains("exists already"),
        "{complaint}"
    );
    // What a process left that was stopped between two folders is completed; other results stay, and nothing is written.
    let first = root.join("threshold_output/1970-01-01_00-00-00");
    let last = root.join("threshold_output/1970-01-01_00-00-03");
    let metric = last.join("40/prefill_e2e_time.csv");
    let bytes = std::fs::read(&metric).unwrap();
    std::fs::remove_dir_all(&last).unwrap();
    let (code, completed, complaint) = run(&threshold);
    assert_eq!((code, completed), (Some(0), found.clone()), "{complaint}");
    assert_eq!(std::fs::read(&metric).unwrap(), bytes);
    std::fs::remove_dir_all(&last).unwrap();
    std::fs::write(first.join("40/prefill_e2e_time.csv"), "other").unwrap();
    let (code, _, complaint) = run(&threshold);
    assert_eq!(code, Some(2));
    assert!(
        complaint.contains("1970-01-01_00-00-00: exists already, with other results; name another"),
        "{complaint}"
    );
    assert!(!last.exists() && std::fs::read_dir(&first).unwrap().count() == 3);

    let other = [
        &threshold[..],
        &[
            "--output",
            "other",
            "--time",
            "2025-12-18_14-30-00",
            "--threads",
            "1",
        ],
    ]
    .concat();
    let (_, one_thread, _) = run(&other);
    assert_eq!(
        one_thread.replace("from other", "from threshold_output"),
        found
    );
    assert!(root.join("other/2025-12-18_14-30-03/0").exists());

    let aging = [
        &[
            "aging",
            "t.csv",
            "--seeds",
            "0,1,2",
            "--ratios",
            "100",
            "--output-dir",
            "aging",
            "--json",
        ][..],
        &[
            "--set",
            "scheduler.enable_dynamic_chunking_schedule=true",
            "--set",
            "scheduler.chunk_schedule_max_tokens=2048",
        ][..],
        &few[..],
    ]
    .concat();
    let (code, found, beside) = run(&aging);
    assert_eq!(code, Some(0), "{beside}");
    let value: serde_json::Value = serde_json::from_str(&found).unwrap();
    let orders = value["orders"].as_array().unwrap();
    assert_eq!(
        (&orders[0]["name"], &orders[orders.len() - 1]["name"]),
        (&"srtf".into(), &"fcfs".into())
    );
    assert!(orders.iter().any(|order| order["on_front"] == true));
    let seconds = value["token_time_seconds"]["mean"].as_f64().unwrap();
    let derived = orders
        .iter()
        .find(|order| order["origin"] == "1 / mean token time")
        .unwrap();
    let ratio = derived["aging_tokens_per_second"].as_f64().unwrap();
    assert!((ratio * seconds - 1.0).abs() < 1e-12);
    for file in [
        "aging.csv",
        "aging.json",
        "aging_ttft.svg",
        "aging_front.png",
    ] {
        assert!(root.join("aging").join(file).exists(), "{file}");
    }
    // Without chunks whose size depends on the prompt's progress there is nothing to order.
    let (code, found, complaint) = run(&["aging", "t.csv", "--seeds", "0,1"]);
    assert_eq!(code, Some(2), "{complaint}");
    assert!(found.is_empty(), "{found}");
    assert!(
        complaint.contains("all orders give the same run: requests are admitted by arrival"),
        "{complaint}"
    );
    let (code, _, complaint) = run(&["aging", "t.csv", "--ratios", "0"]);
    assert!(
        code == Some(2) && complaint.contains("expected a number, from 1e-9 to 1000000000"),
        "{complaint}"
    );
}
