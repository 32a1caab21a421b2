//! The same bytes whatever the number of threads, and on every run.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const DATA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/data/sharegpt-synthetic.jsonl.zst"
);

/// Runs in a folder, so that the command that reports record is the same in every folder.
fn run(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    output.stdout
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// Everything that a chain of commands prints and writes. The threads must not stand in the command line that reports
/// record, so the number comes by the environment that the thread pool reads.
fn everything(threads: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::copy(DATA, root.join("in.jsonl.zst")).unwrap();
    let mut printed = Vec::new();
    for trace in ["t.jsonl", "t.jsonl.zst", "t.jsonl.gz"] {
        printed.extend(run(
            root,
            &[
                "gen-trace",
                "in.jsonl.zst",
                "--max-conversations",
                "150",
                "--arrival",
                "gamma",
                "--think-time",
                "lognormal",
                "--threads",
                threads,
                "--output",
                trace,
            ],
        ));
    }
    for capacity in ["inf", "25%"] {
        printed.extend(run(
            root,
            &[
                "analyze",
                "t.jsonl.zst",
                "--capacity",
                capacity,
                "--output-dir",
                &format!("analysis-{capacity}"),
                "--threads",
                threads,
            ],
        ));
    }
    printed.extend(run(
        root,
        &[
            "experiment",
            "in.jsonl.zst",
            "--max-conversations",
            "150",
            "--threads",
            threads,
            "--tokenizer",
            "chars",
            "--output-dir",
            "experiment",
        ],
    ));
    let mut files = BTreeMap::new();
    collect(root, root, &mut files);
    files.insert("(printed)".into(), printed);
    // What was typed names the number of threads; nothing else may.
    let typed = format!("--threads {threads}");
    for content in files.values_mut() {
        if let Ok(text) = std::str::from_utf8(content)
            && text.contains(&typed)
        {
            *content = text.replace(&typed, "--threads N").into_bytes();
        }
    }
    files
}

#[test]
fn threads_and_runs_do_not_matter() {
    let first = everything("1");
    for name in [
        "t.jsonl.zst",
        "analysis-inf/summary.json",
        "experiment/summary.json",
        "experiment/multi_turn_request_metrics.csv",
    ] {
        assert!(first.contains_key(name), "{name} of {:?}", first.keys());
    }
    for threads in ["1", "2", "4"] {
        let again = everything(threads);
        assert!(
            first.keys().eq(again.keys()),
            "{:?} against {:?}",
            first.keys(),
            again.keys()
        );
        for (name, content) in &first {
            assert!(content == &again[name], "{name} differs, {threads} threads");
        }
    }
}

#[test]
fn another_seed_is_another_trace() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |seed: &str| {
        run(
            folder.path(),
            &[
                "gen-trace",
                DATA,
                "--max-conversations",
                "20",
                "--tokenizer",
                "chars",
                "--seed",
                seed,
                "--output",
                "-",
            ],
        )
    };
    assert_eq!(trace("0"), trace("0"));
    assert_ne!(trace("0"), trace("1"));
}
