//! What the program prints: every help, and every command of the README, as a user sees it.
//!
//! `TRYCMD=overwrite cargo test --test suite commands::` writes what is printed now into the files.

use std::collections::BTreeSet;

use crate::common::stdout;

#[test]
fn every_help() {
    trycmd::TestCases::new()
        .default_bin_name("replay")
        .case("tests/cmd/*.trycmd");
}

#[test]
fn the_readme() {
    trycmd::TestCases::new()
        .default_bin_name("replay")
        .case("README.md");
}

/// The names of the commands below a command, from its help.
pub(crate) fn commands(path: &[&str]) -> Vec<String> {
    let help = stdout(&[path, &["--help"]].concat());
    let mut names = Vec::new();
    let (_, listed) = help.split_once("Commands:\n").unwrap_or_default();
    for line in listed.lines().take_while(|line| line.starts_with("  ")) {
        let name = line[2..].split(' ').next().unwrap_or_default();
        if !name.is_empty() && name != "help" {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn no_help_is_without_a_snapshot() {
    let mut missing = BTreeSet::new();
    let mut check = |path: &[&str]| {
        let file = format!("tests/cmd/{}.trycmd", [&["help"], path].concat().join("-"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let command = [&["$ replay"], path, &["--help"]].concat().join(" ");
        if !text.lines().any(|line| line == command) {
            missing.insert(file);
        }
    };
    check(&[]);
    for name in commands(&[]) {
        check(&[&name]);
        for inner in commands(&[&name]) {
            check(&[&name, &inner]);
        }
    }
    assert!(missing.is_empty(), "no snapshot of: {missing:?}");
}

#[test]
fn every_command_is_in_the_page_of_commands() {
    let page = include_str!("../../docs/commands.md");
    let names = commands(&[]);
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let headed = |line: &str| {
            let mut words = line.trim_start_matches("## ").split(", ");
            line.starts_with("## ") && words.any(|word| word == name)
        };
        assert!(page.lines().any(headed), "no section of {name}");
    }
}

#[test]
fn no_help_is_wrapped_by_hand() {
    for name in commands(&[]) {
        let help = stdout(&[&name, "--help"]);
        for line in help.lines() {
            let width = line.chars().count();
            assert!(width <= 100, "{name}: {width} columns: {line}");
        }
    }
}

/// Old names work, say what they are called now, and give the same result.
#[test]
fn renamed_options_still_work() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (chats, trace) = (path("chats.jsonl"), path("t.jsonl"));
    stdout(&["synth-dataset", "-n", "20", "--output", &chats]);
    let out = crate::common::replay(&["gen-trace", "--input", &chats, "--output", &trace]);
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}");
    assert!(
        told.contains("note: --input is no longer needed: give CONVERSATIONS as an argument"),
        "{told}"
    );
    let old = ["analyze", &trace, "--policy", "lru", "--policy-seed=1"];
    let new = ["analyze", &trace, "--eviction", "lru", "--seed", "1"];
    let (old, new) = (crate::common::replay(&old), crate::common::replay(&new));
    assert_eq!(
        String::from_utf8_lossy(&old.stderr),
        "note: --policy is now --eviction; the old name still works\n\
         note: --policy-seed is now --seed; the old name still works\n"
    );
    assert!(new.stderr.is_empty() && !new.stdout.is_empty());
    assert_eq!(old.stdout, new.stdout);
    let quiet = ["--quiet", "analyze", &trace, "--policy", "lru"];
    assert!(crate::common::replay(&quiet).stderr.is_empty());
}

#[test]
fn results_go_to_standard_output_and_messages_to_standard_error() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (chats, trace) = (path("chats.jsonl"), path("t.jsonl"));
    stdout(&["synth-dataset", "-n", "20", "--output", &chats]);
    stdout(&["gen-trace", &chats, "--output", &trace]);
    let (curve, analysis, export) = (path("curve"), path("analysis"), path("m.jsonl"));
    for args in [
        &["analyze", &trace, "--output-dir", &analysis][..],
        &["curve", &trace, "--points", "3", "--output-dir", &curve],
        &["export", &trace, "--to", "mooncake", "--output", &export],
        &["gen-trace", &chats, "--output", &trace],
        &["synth-dataset", "-n", "20", "--output", &chats],
    ] {
        let text = crate::common::replay(args);
        let (out, told) = (
            String::from_utf8_lossy(&text.stdout).into_owned(),
            String::from_utf8_lossy(&text.stderr).into_owned(),
        );
        assert!(text.status.success(), "{args:?}: {told}");
        assert!(!out.contains("wrote"), "{args:?}: {out}");
        let written = args.last().expect("a path");
        assert!(
            told.ends_with(&format!("wrote {written}\n")),
            "{args:?}: {told}"
        );
        // The same as JSON, and nothing else on standard output.
        let value = crate::common::json(&[args, &["--json"]].concat());
        assert!(value.is_object(), "{args:?}");
    }
}

#[test]
fn answers_are_the_same_everywhere() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (chats, trace, out) = (path("chats.jsonl"), path("t.jsonl"), path("out"));
    stdout(&["synth-dataset", "-n", "30", "--output", &chats]);
    stdout(&["gen-trace", &chats, "--output", &trace]);
    for args in [
        &["analyze", &trace, "--capacity", "10%", "--output-dir", &out][..],
        &["experiment", &chats, "--output-dir", &out],
    ] {
        let printed = stdout(args);
        let answer = printed
            .trim_end()
            .lines()
            .last()
            .expect("a line")
            .to_owned();
        assert!(
            answer.ends_with('.') && answer.contains("saves"),
            "{answer}"
        );
        let value = crate::common::json(&[args, &["--json"]].concat());
        assert_eq!(value["answer"], answer.as_str());
        let page = std::fs::read_to_string(format!("{out}/report.html")).expect("page");
        let (_, main) = page.split_once("<main>\n").expect("content");
        let first = main.lines().next().expect("a line");
        assert_eq!(first, format!("<p class=\"answer\">{answer}</p>"));
    }
    let printed = stdout(&["curve", &trace, "--points", "4"]);
    let curve = crate::common::json(&["curve", &trace, "--points", "4", "--json"]);
    assert!(printed.contains("engine vllm, eviction lru"), "{printed}");
    assert_eq!(
        curve["answer"].as_str().expect("an answer"),
        printed.trim_end().lines().last().expect("a line")
    );
}

#[test]
fn an_engine_that_has_no_such_policy_says_which_has() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (chats, trace) = (path("chats.jsonl"), path("t.jsonl"));
    stdout(&["synth-dataset", "-n", "5", "--output", &chats]);
    stdout(&["gen-trace", &chats, "--output", &trace]);
    for (command, policy, engines) in [
        ("analyze", "s3-fifo", "use engine `ideal` or `block` for it"),
        (
            "sweep",
            "fifo",
            "use engine `sglang` or `ideal` or `block` for it",
        ),
        ("sweep", "filo", "use engine `sglang` for it"),
    ] {
        let out = crate::common::replay(&[command, &trace, "--eviction", policy]);
        let told = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2));
        assert!(
            told.contains(engines) && told.contains("lru, and not"),
            "{told}"
        );
    }
}

/// The text of every string in a Rust file, comments left out.
fn strings(code: &str) -> Vec<String> {
    let code: Vec<char> = code.chars().collect();
    let starts = |at: usize, text: &str| {
        text.chars()
            .enumerate()
            .all(|(i, c)| code.get(at + i) == Some(&c))
    };
    let (mut at, mut found) = (0, Vec::new());
    while at < code.len() {
        if starts(at, "//") {
            while at < code.len() && code[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "'\"'") || starts(at, "'\\\"'") {
            at += 3;
        } else if starts(at, "r#\"") {
            let start = at + 3;
            at = start;
            while at < code.len() && !starts(at, "\"#") {
                at += 1;
            }
            found.push(code[start..at].iter().collect());
            at += 2;
        } else if code[at] == '"' {
            let mut text = String::new();
            at += 1;
            while at < code.len() && code[at] != '"' {
                if code[at] == '\\' {
                    at += 1;
                }
                text.extend(code.get(at));
                at += 1;
            }
            found.push(text);
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// Library messages name parameters; options are the command line's own.
#[test]
fn no_library_message_names_an_option() {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("reads") {
            let path = entry.expect("an entry").path();
            let name = path.display().to_string();
            if path.is_dir() {
                if !name.ends_with("src/cli") {
                    walk(&path, found);
                }
                continue;
            }
            // It writes commands that would produce missing runs.
            if !name.ends_with(".rs") || name.ends_with("compare/discover.rs") {
                continue;
            }
            let code = std::fs::read_to_string(&path).expect("reads");
            for text in strings(&code) {
                let mut words = text.split(|c: char| c.is_whitespace() || c == '`');
                let option = words.any(|word| {
                    let name = word.strip_prefix("--").unwrap_or_default();
                    name.starts_with(|c: char| c.is_ascii_lowercase())
                });
                // Commands of other programs have options of their own.
                if option && !text.contains("vllm serve") && !text.contains("vllm bench serve") {
                    found.push(format!("{name}: {text}"));
                }
            }
        }
    }
    let sample = "f(\"a --b\", 'x', r#\"--c \"d\"\"#); // \"--e\"\n\"\\\"--f\"";
    assert_eq!(strings(sample), ["a --b", "--c \"d\"", "\"--f"]);
    let mut found = Vec::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walk(&root, &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
