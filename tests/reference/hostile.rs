//! Hostile chat templates and scripts: each is refused within seconds with one line, and nothing is written.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{replay_in, text};
use crate::harness::Need::Data;
use crate::harness::{shared, tests};

tests! {
    hostile_templates_are_refused: [Data("cases/hostile/g.jsonl")];
    hostile_scripts_are_refused: [Data("cases/hostile/g.jsonl")];
}

/// Generous, because a debug build on a busy machine is slow; a case that does not end takes longer.
const LIMIT: Duration = Duration::from_secs(60);

fn cases(start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(shared("cases/hostile")).expect("lists");
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(start))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {start} cases");
    found
}

fn refused(folder: &Path, case: &Path, args: &[&str]) {
    let before = std::fs::read_dir(folder).expect("lists").count();
    let begun = Instant::now();
    let output = replay_in(folder, args);
    let name = case.display();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(begun.elapsed() < LIMIT, "{name}");
    assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
    assert!(output.stdout.is_empty(), "{name}");
    assert!(
        stderr.starts_with(&format!("error: {name}:")),
        "{name}: {stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
    assert!(stderr.contains("; correct "), "{name}: {stderr}");
    let after = std::fs::read_dir(folder).expect("lists").count();
    assert_eq!(after, before, "{name}");
}

fn hostile_templates_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let chat = shared("cases/hostile/g.jsonl");
    for case in cases("tmpl-") {
        let args = [
            "gen-trace",
            text(&chat),
            "--tokenizer",
            "chars",
            "--chat-template",
            text(&case),
            "--output",
            "o.jsonl",
        ];
        refused(folder.path(), &case, &args);
    }
}

fn hostile_scripts_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let request =
        "{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 9000, \"hash_ids\": [1]}\n";
    std::fs::write(folder.path().join("t.jsonl"), request).expect("writes");
    for case in cases("rhai-") {
        let set = format!("autoscaling.script.path={}", text(&case));
        let args = [
            "simulate",
            "t.jsonl",
            "--autoscaler",
            "script",
            "--set",
            &set,
            "--output-dir",
            "out",
        ];
        refused(folder.path(), &case, &args);
    }
}
