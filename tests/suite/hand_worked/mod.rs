//! Small clusters worked by hand: every figure of their results is asserted, with the arithmetic in comments.
//!
//! Each file is one scenario. Expected values come from the rules in `docs/simulation.md`, never from the program's output.
//! All clusters use the same latency model, so that a step can be computed in the head: 10 ms, 1 ms for each prompt token
//! that is computed, and 5 ms for each request that decodes. Blocks hold four tokens.

mod backlog;
mod cluster;
mod expect;
mod links;
mod nothing;
mod reuse;
mod scale_in;
mod steps;
mod turns;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{replay, text};

/// The parts that all clusters have.
const COMMON: &str = r#"
[cache]
block_size = 4
[model]
name = "worked"
kv_bytes_per_token = 1e6
layers = 4
[scheduler]
kind = "vllm-v1"
[latency]
kind = "linear"
base_ms = 10.0
prefill_ms_per_token = 1.0
decode_ms_per_request = 5.0
context_ms_per_token = 0.0
"#;

/// A request: name, session, turn, arrival in seconds, prompt and output.
type Request<'a> = (&'a str, &'a str, u32, f64, Vec<u32>, Vec<u32>);

/// `count` tokens that no other prompt has, numbered from `from`.
fn tokens(from: u32, count: u32) -> Vec<u32> {
    (from..from + count).collect()
}

/// A finished run in its folder.
struct Run {
    folder: tempfile::TempDir,
    /// What the program printed with `--json`.
    printed: Value,
}

impl Run {
    /// Simulates the requests on a cluster: [`COMMON`], with `top` before it and `pools` after it.
    fn new(top: &str, pools: &str, requests: &[Request<'_>]) -> Self {
        let lines: String = requests
            .iter()
            .map(|(id, session, turn, arrival, prompt, output)| {
                let line = json!({"request_id": id, "conversation_id": session, "turn_index": turn,
                    "arrival_time": arrival, "prompt_token_ids": prompt, "response_token_ids": output});
                line.to_string() + "\n"
            })
            .collect();
        Self::of_file(top, pools, "worked.jsonl", &lines)
    }

    /// The same with a trace in any format.
    fn of_file(top: &str, pools: &str, name: &str, trace: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path(name), trace).expect("writes");
        std::fs::write(path("worked.toml"), format!("{top}{COMMON}{pools}")).expect("writes");
        let output = replay(&[
            "simulate",
            text(&path(name)),
            "--config",
            text(&path("worked.toml")),
            "--output-dir",
            text(&path("out")),
            "--json",
        ]);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        let printed = serde_json::from_slice(&output.stdout).expect("JSON");
        Self { folder, printed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// Every figure of `summary.json`, which is also what `--json` prints.
    fn summary(&self, expected: &Value) {
        let file = std::fs::read(self.path("summary.json")).expect("reads");
        let mut summary: Value = serde_json::from_slice(&file).expect("JSON");
        let figures = summary.as_object_mut().expect("an object");
        for key in ["version", "generator", "command"] {
            assert!(figures.remove(key).is_some(), "{key}");
        }
        assert_eq!(summary, self.printed);
        // The sentence is made of these figures; its own tests have every form of it.
        let answer = summary.as_object_mut().and_then(|all| all.remove("answer"));
        let answer = answer.expect("an answer");
        assert!(
            answer.as_str().is_some_and(|text| text.ends_with('.')),
            "{answer}"
        );
        let mut faults = Vec::new();
        expect::json("summary", &summary, expected, &mut faults);
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }

    /// Every cell of a CSV file. A cell `a/b` is a quotient.
    fn csv(&self, name: &str, expected: &str) {
        let found = std::fs::read_to_string(self.path(name)).expect("reads");
        expect::csv(name, &found, expected);
    }

    /// Rows of a CSV file by column name.
    fn rows(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.path(name)).expect("opens");
        reader
            .deserialize()
            .map(|row| row.expect("a row"))
            .collect()
    }

    /// One column of a CSV file.
    fn column(&self, name: &str, column: &str) -> Vec<String> {
        self.rows(name)
            .into_iter()
            .map(|mut row| row.remove(column).expect("a column"))
            .collect()
    }

    /// Every figure of one row of `scaling/0.csv`: those that are named have their values, all others are 0.
    fn tick(&self, index: usize, action: &str, expected: &[(&str, f64)]) {
        let mut row = self.rows("scaling/0.csv").swap_remove(index);
        assert!(row.remove("policy").is_some());
        assert!(!row.remove("reason").expect("a reason").is_empty());
        assert_eq!(
            row.remove("action").as_deref(),
            Some(action),
            "tick {index}"
        );
        let mut faults = Vec::new();
        for (name, value) in expected {
            match row.remove(*name).map(|cell| cell.parse::<f64>()) {
                Some(Ok(found)) if expect::close(found, *value) => {}
                found => faults.push(format!("{name} is {found:?}, expected {value}")),
            }
        }
        for (name, cell) in row {
            if cell.parse() != Ok(0.0) {
                faults.push(format!("{name} is {cell}, expected 0"));
            }
        }
        assert!(faults.is_empty(), "tick {index}:\n{}\n", faults.join("\n"));
    }
}
