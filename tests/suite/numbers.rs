//! Absurd numbers: each is refused in one line, or answered; none makes the program panic, hang or take all memory.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kvreplay::autoscale::policy::POLICIES;
use kvreplay::base::registry::Named;
use kvreplay::scenario::{RunOptions, ScenarioConfig};
use toml::Value;

use crate::common::stdout;

/// Every command with what it needs to run.
const BASES: [(&str, &str); 20] = [
    ("analyze", "t.jsonl"),
    ("calibrate", "t.jsonl --measured none.csv --profile none"),
    ("capacity", "--model llama-3-8b --gpu h100"),
    ("compare", "runs"),
    ("curve", "t.jsonl"),
    ("experiment", "chats.jsonl --tokenizer chars"),
    ("export", "t.jsonl --to mooncake --output -"),
    ("gen-trace", "chats.jsonl --tokenizer chars --output -"),
    ("inspect", "t.jsonl"),
    ("matrix", "t.jsonl --preset llama-8b-pd-4-4 --results m"),
    ("plan", "t.jsonl --interval 5"),
    (
        "profile",
        "--preset llama-8b-pd-4-4 --prefill-points 2 --contexts 2 --loads 2",
    ),
    ("report", "runs"),
    ("simulate", "t.jsonl --preset llama-8b-pd-4-4"),
    ("sweep", "t.jsonl --engine ideal --eviction lru"),
    ("synth-dataset", "--output - -n 3"),
    ("tune aging", "t.jsonl --seeds 0"),
    ("tune compare-samples", "a.csv b.csv --column x"),
    ("tune select", "runs"),
    ("tune threshold", "t.jsonl --seeds 0 --max-threshold 1"),
];

/// Options whose values are numbers, or texts with numbers: the names of their values.
const NUMBERS: [&str; 13] = [
    "N", "N,..", "N|all", "TOKENS", "SECONDS", "FRACTION", "RATE", "WEIGHT", "SEED", "TIME",
    "SIZE", "SIZE,..", "MODEL",
];

const VALUES: [&str; 4] = ["0", "NaN", "1e300", "18446744073709551615"];

/// More forms of the values of options that are texts with numbers.
const FORMS: [&str; 10] = [
    "-1",
    "inf",
    "1e-300",
    "9223372036854775808",
    "1e400G",
    "1e300GiB",
    "1e300%",
    "9e99h",
    "linear:1e300,1e300",
    "1e-300GiB",
];

/// The options of a command by their help, with the names of their values.
fn options(command: &str) -> Vec<(String, String)> {
    let mut words: Vec<&str> = command.split(' ').collect();
    words.push("--help");
    let help = stdout(&words);
    let mut found = Vec::new();
    for line in help.lines() {
        let Some(at) = line.find("--") else { continue };
        let before = line[..at].trim();
        if !(before.is_empty() || before.ends_with(',')) {
            continue;
        }
        let Some((name, rest)) = line[at..].split_once(" <") else {
            continue;
        };
        if let Some((value, _)) = rest.split_once('>') {
            found.push((name.to_owned(), value.to_owned()));
        }
    }
    found
}

/// Runs a command with 3 GB of memory and 10 seconds of time; what is wrong with its answer, if anything.
fn fault(folder: &Path, command: &str) -> Option<String> {
    let bin = env!("CARGO_BIN_EXE_replay");
    let line = format!("ulimit -v 3000000; exec timeout -s KILL 20 {bin} {command}");
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("RAYON_NUM_THREADS", "2")
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let errors = told
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    let panicked = told.contains("panicked");
    match output.status.code() {
        Some(0) if errors == 0 && !panicked => None,
        Some(1 | 2) if errors == 1 && !panicked => None,
        code => Some(format!("{command}: {code:?}: {told}")),
    }
}

#[test]
fn options_with_absurd_numbers_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let chats = path("chats.jsonl");
    stdout(&["synth-dataset", "-n", "3", "--output", &chats]);
    stdout(&[
        "gen-trace",
        &chats,
        "--tokenizer",
        "chars",
        "--output",
        &path("t.jsonl"),
    ]);
    stdout(&[
        "simulate",
        &path("t.jsonl"),
        "--preset",
        "llama-8b-pd-4-4",
        "--results",
        &path("runs"),
    ]);
    for name in ["a.csv", "b.csv"] {
        std::fs::write(path(name), "x\n1\n2\n3\n").unwrap();
    }
    let mut commands = Vec::new();
    for (name, base) in BASES {
        for (option, value) in options(name) {
            if !NUMBERS.contains(&value.as_str())
                || matches!(option.as_str(), "--threads" | "--model")
            {
                continue;
            }
            let is_text = matches!(
                value.as_str(),
                "SIZE" | "SIZE,.." | "N|all" | "MODEL" | "TIME"
            );
            let more: &[&str] = if is_text { &FORMS } else { &[] };
            let base: Vec<&str> = match base.split_once(&format!(" {option} ")) {
                Some((before, after)) => {
                    vec![before, after.split_once(' ').map_or("", |(_, rest)| rest)]
                }
                None => vec![base],
            };
            for value in VALUES.iter().chain(more) {
                commands.push(format!("{name} {} {option}={value}", base.join(" ")));
            }
        }
    }
    for value in VALUES.iter().chain(&FORMS) {
        commands.push(format!(
            "capacity --model llama-3-8b --gpu h100 --threads={value}"
        ));
    }
    assert!(commands.len() > 400, "{}", commands.len());
    let queue = Mutex::new(commands.into_iter());
    let faults = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(command) = next else { break };
                    faults
                        .lock()
                        .unwrap()
                        .extend(fault(folder.path(), &command));
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The paths of all numbers in a table.
fn numbers(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Integer(_) | Value::Float(_) => found.push(path.to_owned()),
        Value::Table(table) => {
            for (key, value) in table {
                numbers(&format!("{path}.{key}"), value, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| index.to_string(), str::to_owned);
                numbers(&format!("{path}.{name}"), item, found);
            }
        }
        _ => {}
    }
}

#[test]
fn configuration_keys_with_absurd_numbers_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let lines: String = (0..10)
        .map(|i| format!("{i},{},{}\n", 50 + i, 2 + i % 3))
        .collect();
    std::fs::write(
        &path,
        format!("arrived_at,num_prefill_tokens,num_decode_tokens\n{lines}"),
    )
    .unwrap();
    let trace = kvreplay::read_trace(&path, &Default::default())
        .unwrap()
        .trace;
    let base = |policy: &str| {
        ScenarioConfig::preset("llama-8b-pd-4-4", &[format!("autoscaling.policy={policy}")])
            .unwrap()
    };
    let common = base("no_autoscaling").to_toml();
    let (mut tried, mut faults) = (0, Vec::new());
    for policy in POLICIES.iter() {
        let text = base(policy.name()).to_toml();
        let mut keys = Vec::new();
        for (key, value) in &text.parse::<toml::Table>().unwrap() {
            numbers(key, value, &mut keys);
        }
        // Keys that every policy has are tried once.
        if policy.name() != "no_autoscaling" {
            keys.retain(|key| key.starts_with("autoscaling."));
        } else {
            assert!(text == common);
        }
        for key in keys {
            for value in [
                "0",
                "-1",
                "nan",
                "inf",
                "1e300",
                "1e-300",
                "9223372036854775807",
                "1000000",
            ] {
                tried += 1;
                let start = Instant::now();
                let set = [
                    format!("autoscaling.policy={}", policy.name()),
                    format!("{key}={value}"),
                ];
                let outcome = std::panic::catch_unwind(|| {
                    ScenarioConfig::preset("llama-8b-pd-4-4", &set)
                        .and_then(|config| config.prepare())
                        .and_then(|scenario| scenario.run_trace(&trace, 0, RunOptions::default()))
                        .map(drop)
                });
                match outcome {
                    Err(_) => faults.push(format!("{set:?}: panic")),
                    Ok(Err(error)) if error.to_string().contains('\n') => {
                        faults.push(format!("{set:?}: {error}"))
                    }
                    Ok(_) if start.elapsed() > Duration::from_secs(10) => {
                        faults.push(format!("{set:?}: {:?}", start.elapsed()));
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
    assert!(faults.is_empty(), "{faults:#?}");
}
