//! What the program says when something is wrong: one line with place and remedy, exit code 2, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A folder with files of input, in which the program runs, so that messages name files as the user would.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.write("good.jsonl", records(3).join("\n"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(args)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Runs what must work; standard output and standard error.
    fn works(&self, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {stderr}");
        (String::from_utf8(output.stdout).unwrap(), stderr)
    }

    /// Runs what must fail as every failure should, with all of `expected` in the message; nothing may be left behind.
    fn fails(&self, args: &[&str], expected: &[&str]) -> String {
        let before = files(self.folder.path());
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(
            stderr.starts_with("error: ")
                && stderr.ends_with('\n')
                && stderr.matches(['\n', '\r']).count() == 1,
            "{args:?}: not one line of error: {stderr}"
        );
        let (_, remedy) = stderr
            .rsplit_once("; ")
            .unwrap_or_else(|| panic!("{args:?}: no remedy: {stderr}"));
        assert!(!remedy.trim().is_empty(), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(stderr.len() < 2500, "{args:?}: {} bytes", stderr.len());
        for text in expected {
            assert!(stderr.contains(text), "{args:?}: no `{text}` in: {stderr}");
        }
        assert_eq!(files(self.folder.path()), before, "{args:?}: {stderr}");
        stderr
    }

    fn gen_fails(&self, input: &str, more: &[&str], expected: &[&str]) -> String {
        let mut args = vec![
            "gen-trace",
            "--tokenizer",
            "chars",
            "--output",
            "out/t.jsonl",
        ];
        args.extend([input]);
        args.extend(more);
        self.fails(&args, expected)
    }

    fn gen_works(&self, input: &str, output: &str) -> (String, String) {
        self.works(&[
            "gen-trace",
            "--quiet",
            "--tokenizer",
            "chars",
            input,
            "--output",
            output,
        ])
    }
}

/// All files and those hidden, in all folders below; empty folders do not count.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn records(count: usize) -> Vec<String> {
    (0..count)
        .map(|i| {
            format!(
                r#"{{"id":"c{i}","conversations":[{{"from":"human","value":"hi {i}"}},{{"from":"gpt","value":"yo"}}]}}"#
            )
        })
        .collect()
}

#[test]
fn an_array_that_is_cut_off() {
    let place = Place::new();
    let whole = format!("[\n{}\n]", records(3).join(",\n"));
    place.write("cut.json", &whole[..whole.len() - 30]);
    place.write("stub.json", &whole[..30]);
    let (stdout, stderr) = place.gen_works("cut.json", "t.jsonl");
    assert_eq!(
        stderr,
        "warning: cut.json:4: the array is cut off; read up to its last whole record, number 2\n"
    );
    assert!(stdout.contains("read     2 records"), "{stdout}");
    place.gen_fails(
        "cut.json",
        &["--strict"],
        &["error: cut.json:4: ", "cut off"],
    );
    place.gen_fails("stub.json", &[], &["error: stub.json:2: ", "cut off"]);
    place.write("broken.json", whole.replacen("},{", "}{", 1));
    place.gen_fails(
        "broken.json",
        &[],
        &["error: broken.json:2: ", "not valid JSON"],
    );
}

#[test]
fn a_line_that_is_cut_off() {
    let place = Place::new();
    let text = records(3).join("\n");
    place.write("cut.jsonl", &text[..text.len() - 20]);
    let (stdout, stderr) = place.gen_works("cut.jsonl", "t.jsonl");
    assert_eq!(stderr, "");
    assert!(
        stdout.contains("skipped  1 records: not JSON (first: cut.jsonl:3)"),
        "{stdout}"
    );
    place.gen_fails("cut.jsonl", &["--strict"], &["error: cut.jsonl:3: "]);
}

#[test]
fn bytes_that_are_no_text() {
    let place = Place::new();
    let mut lines = records(2).join("\n").into_bytes();
    let at = lines.len() - 5;
    lines[at] = 0xff;
    place.write("bad.jsonl", &lines);
    let (stdout, _) = place.gen_works("bad.jsonl", "t.jsonl");
    assert!(
        stdout.contains("not UTF-8 (first: bad.jsonl:2)"),
        "{stdout}"
    );
    place.gen_fails(
        "bad.jsonl",
        &["--strict"],
        &["error: bad.jsonl:2: ", "UTF-8"],
    );
    let mut array = b"[\n".to_vec();
    array.extend(
        String::from_utf8_lossy(&lines[..at])
            .replace('\n', ",\n")
            .bytes(),
    );
    array.extend(&lines[at..]);
    place.write("bad.json", &array);
    place.gen_fails("bad.json", &[], &["error: bad.json:3: ", "UTF-8"]);
    // Compressed data that is damaged, and a compression that is not read.
    place.write("bad.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0 nonsense");
    place.gen_fails("bad.jsonl.gz", &[], &["error: bad.jsonl.gz: "]);
    place.write("a.xz", b"\xfd7zXZ\0");
    place.gen_fails("a.xz", &[], &["error: a.xz: ", "xz -dk"]);
}

#[test]
fn nothing_to_read() {
    let place = Place::new();
    place.write("empty.json", "");
    place.write("blank.json", " \n\n");
    place.write("none.json", "[]");
    for name in ["empty.json", "blank.json", "none.json", "missing.json", "."] {
        place.gen_fails(name, &[], &[&format!("error: {name}: ")]);
    }
    for name in ["empty.json", "blank.json", "missing.json", "."] {
        for command in ["analyze", "inspect"] {
            place.fails(&[command, name], &[&format!("error: {name}: ")]);
        }
        place.fails(
            &["export", name, "--to", "mooncake", "--output", "out"],
            &[&format!("error: {name}: ")],
        );
    }
    // The system's own words, once.
    let text = place.gen_fails("missing.json", &[], &[]);
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
}

#[test]
fn wrong_types_and_unknown_roles() {
    let place = Place::new();
    place.write("number.jsonl", "{\"id\":1,\"conversations\":7}\n");
    place.write("numbers.json", "[\n{\"messages\":[1,2]}]");
    place.write(
        "role.jsonl",
        r#"{"conversations":[{"from":"alien","value":"a"},{"from":"gpt","value":"b"}]}"#,
    );
    for (name, place_of, words) in [
        ("number.jsonl", "number.jsonl:1: ", "no list under"),
        ("numbers.json", "numbers.json:2: ", "wrong type"),
        ("role.jsonl", "role.jsonl:1: ", "known are human"),
    ] {
        place.gen_fails(name, &[], &[place_of, words]);
        place.gen_fails(name, &["--strict"], &[place_of, words]);
        // Beside good records they are counted.
        let bad = std::fs::read_to_string(place.path(name)).unwrap();
        let bad = bad.trim_start_matches("[\n").trim_end_matches("]");
        place.write("both.jsonl", format!("{}\n{}", records(1)[0], bad.trim()));
        let (stdout, _) = place.gen_works("both.jsonl", "t.jsonl");
        assert!(stdout.contains("(first: both.jsonl:2)"), "{stdout}");
        place.gen_fails("both.jsonl", &["--strict"], &["both.jsonl:2: ", words]);
    }
}

#[test]
fn a_line_of_ten_megabytes() {
    let place = Place::new();
    let started = Instant::now();
    let long = "word ".repeat(2_000_000);
    place.write("big.jsonl", records(1)[0].replace("hi 0", &long));
    let (stdout, _) = place.gen_works("big.jsonl", "t.jsonl.zst");
    assert!(stdout.contains("1 requests of 1 sessions"), "{stdout}");
    for (name, text) in [
        ("a.jsonl", long.clone()),
        ("b.jsonl", format!("{{{long}")),
        ("c.json", format!("[\"{long}")),
        ("d.json", format!("[\"{long}\"]")),
        ("e.jsonl", format!("{{\"{long}\": 1}}")),
        ("f.jsonl", format!("{{\"messages\": \"{long}\"}}")),
        (
            "g.jsonl",
            format!(r#"{{"messages":[{{"role":"{long}","content":"a"}}]}}"#),
        ),
    ] {
        place.write(name, text);
        let text = place.gen_fails(name, &[], &[&format!("{name}:1: ")]);
        assert!(text.len() < 500, "{name}: {text}");
        for command in ["analyze", "inspect"] {
            let text = place.fails(&[command, name], &[name]);
            assert!(text.len() < 500, "{name}: {text}");
        }
        std::fs::remove_file(place.path(name)).unwrap();
    }
    // Quoted by a parser, a value of this size is cut.
    for (name, text) in [
        ("h.jsonl", format!(r#"{{"format":"{long}","version":1}}"#)),
        (
            "i.jsonl",
            format!(r#"{{"format":"replay-trace","version":"{long}"}}"#),
        ),
    ] {
        place.write(name, text);
        place.fails(&["analyze", name], &[name]);
    }
    assert!(started.elapsed() < Duration::from_secs(40));
}

#[test]
fn names_that_nobody_registered() {
    let place = Place::new();
    let (good, trace) = ("good.jsonl", "trace.jsonl");
    place.gen_works(good, trace);
    let guess = |name: &str| format!("did you mean `{name}`?");
    let output = ["--output", "out/x"];
    for (flag, given, meant) in [
        ("--tokenizer", "qwen22", "qwen2"),
        ("--chat-template", "chatmll", "chatml"),
    ] {
        let args = [&["gen-trace", good, flag, given], &output[..]].concat();
        place.fails(&args, &[given, &guess(meant)]);
    }
    for (flag, given, meant) in [
        ("--engine", "vlm", "vllm"),
        ("--eviction", "lruu", "lru"),
        ("--format", "nativ", "native"),
    ] {
        let args = ["analyze", trace, flag, given, "--output-dir", "out"];
        place.fails(&args, &[given, &guess(meant)]);
    }
    let args = [&["export", trace, "--to", "moncake"], &output[..]].concat();
    place.fails(
        &args,
        &["moncake", "did you mean 'mooncake'?", "known: native"],
    );
    for (flag, given) in [
        ("--arrival", "poison"),
        ("--overlong", "x"),
        ("--rat", "3"),
        ("--seed", "x"),
        ("--rate", "x"),
    ] {
        place.gen_fails(good, &[flag, given], &[flag]);
    }
    place.fails(&["gen-trace"], &["CONVERSATIONS", "--output"]);
    place.fails(&["gen-trce"], &["gen-trce", "did you mean 'gen-trace'"]);
    place.fails(
        &["export", trace, "--to", "token-ids", "--output", "x"],
        &["known: native"],
    );
}

#[test]
fn templates_that_fail() {
    let place = Place::new();
    place.write("syntax.jinja", "a\nb\n{% if %}\n");
    place.write("reject.jinja", "{{ raise_exception('never\nthis') }}");
    place.write("broken.jinja", "{{ messages[0].content.nothing.here() }}");
    let with = |name| ["--chat-template", name];
    place.gen_fails(
        "good.jsonl",
        &with("syntax.jinja"),
        &["error: syntax.jinja:3: "],
    );
    place.gen_fails("good.jsonl", &with("missing.jinja"), &["missing.jinja"]);
    for name in ["reject.jinja", "broken.jinja"] {
        place.gen_fails(
            "good.jsonl",
            &with(name),
            &["good.jsonl", name, "none of the conversations"],
        );
    }
    let strict = [&with("reject.jinja")[..], &["--strict"]].concat();
    place.gen_fails("good.jsonl", &strict, &["good.jsonl", "`c0`", "never this"]);
}

#[test]
fn places_that_cannot_be_written() {
    let place = Place::new();
    place.gen_works("good.jsonl", "trace.jsonl");
    std::fs::create_dir(place.path("folder")).unwrap();
    for target in ["folder", "good.jsonl/x"] {
        place.fails(
            &[
                "gen-trace",
                "--tokenizer",
                "chars",
                "good.jsonl",
                "--output",
                target,
            ],
            &[target],
        );
        place.fails(
            &[
                "export",
                "trace.jsonl",
                "--to",
                "mooncake",
                "--output",
                target,
            ],
            &[target],
        );
    }
    place.fails(
        &["analyze", "trace.jsonl", "--output-dir", "good.jsonl"],
        &["good.jsonl"],
    );
    place.fails(
        &["synth-dataset", "-n", "2", "--output", "folder"],
        &["folder"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let place = Place::new();
    place.gen_works("good.jsonl", "trace.jsonl");
    let full = "/dev/full";
    let words = ["/dev/full: cannot write", "free some space"];
    let text = place.fails(
        &[
            "gen-trace",
            "--tokenizer",
            "chars",
            "good.jsonl",
            "--output",
            full,
        ],
        &words,
    );
    assert_eq!(text.matches("No space left").count(), 1, "{text}");
    for format in ["native", "mooncake", "vllm-sim", "azure", "oracle-general"] {
        place.fails(
            &["export", "trace.jsonl", "--to", format, "--output", full],
            &words,
        );
    }
    place.fails(&["synth-dataset", "-n", "2", "--output", full], &words);
    let stdout = std::fs::File::options().write(true).open(full).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(["inspect", "trace.jsonl"])
        .current_dir(place.folder.path())
        .stdout(stdout)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("error: <stdout>: cannot write: "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn traces_that_do_not_fit() {
    let place = Place::new();
    place.gen_works("good.jsonl", "trace.jsonl");
    let good = std::fs::read_to_string(place.path("trace.jsonl")).unwrap();
    place.write(
        "old.jsonl",
        good.replacen("\"version\":1", "\"version\":99", 1),
    );
    let last = good.trim_end().rfind('\n').unwrap();
    place.write("short.jsonl", &good[..=last]);
    place.write("cut.jsonl", &good[..good.len() - 9]);
    place.write(
        "hash.jsonl",
        "{\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": [1]}\n\
         {\"timestamp\": 0, \"input_length\": 9000, \"output_length\": 1, \"hash_ids\": [1, 2]}\n",
    );
    place.write(
        "lengths.csv",
        "arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,1,2\n",
    );
    for (name, words) in [
        ("old.jsonl", &["old.jsonl:1: ", "version 99"][..]),
        ("short.jsonl", &["short.jsonl: ", "truncated"]),
        ("cut.jsonl", &["cut.jsonl:4: "]),
        (
            "hash.jsonl",
            &["hash.jsonl:2: ", "18 hash ids", "--block-size"],
        ),
        ("lengths.csv", &["lengths.csv: ", "lengths only"]),
        ("good.jsonl", &["good.jsonl: ", "replay gen-trace"]),
    ] {
        place.fails(&["analyze", name, "--output-dir", "out"], words);
    }
    place.fails(&["inspect", "old.jsonl"], &["old.jsonl:1: "]);
    place.fails(
        &["export", "hash.jsonl", "--to", "native", "--output", "o"],
        &["hash.jsonl:2: "],
    );
    place.fails(
        &["export", "lengths.csv", "--to", "mooncake", "--output", "o"],
        &["lengths only"],
    );
    place.fails(
        &["export", "hash.jsonl", "--to", "vllm-sim", "--output", "o"],
        &[],
    );
    // Inspecting counts broken lines.
    let (stdout, _) = place.works(&["inspect", "hash.jsonl"]);
    assert!(stdout.contains("line 2: "), "{stdout}");
}

#[test]
fn numbers_that_make_no_sense() {
    let place = Place::new();
    place.gen_works("good.jsonl", "trace.jsonl");
    for (args, words) in [
        (
            &["--rate", "0"][..],
            "'--rate <N>': expected a number, from 1e-9 to 1000000000",
        ),
        (
            &["--rate", "-1"],
            "'--rate <N>': expected a number, from 1e-9 to 1000000000",
        ),
        (
            &["--rate", "nan"],
            "'--rate <N>': expected a number, from 1e-9 to 1000000000",
        ),
        (
            &["--turn-delay", "-1"],
            "'--turn-delay <SECONDS>': expected a number, from 0 to 1000000000",
        ),
        (
            &["--max-model-len", "0"],
            "'--max-model-len <TOKENS>': expected a whole number, from 1 to 1000000000",
        ),
        (&["--max-model-len", "1"], "--max-model-len"),
        (
            &["--arrival", "gamma", "--cv", "0"],
            "'--cv <N>': expected a number, from 0.001 to 1000",
        ),
        (&["--arrival", "timestamps"], "timestamp"),
        (
            &["--threads", "0"],
            "expected a whole number, from 1 to 1024",
        ),
        (
            &["--service-time", "linear:1"],
            "linear:PREFILL_MS,DECODE_MS",
        ),
    ] {
        place.gen_fails("good.jsonl", args, &[words]);
    }
    for (args, words) in [
        (&["--capacity", "40GiB"][..], "--model-config"),
        (&["--capacity", "-3"], "`-3` is not a capacity"),
        (&["--capacity", "0"], "give inf"),
        (&["--model-config", "none.json"], "none.json"),
        (&["--hold", "x"], "requests:K"),
        (&["--hold", "linear:1"], "linear:PREFILL_MS,DECODE_MS"),
        (&["--hold", "trace"], "with a `service_time`"),
        (
            &["--hold", "linear:1,1", "--engine", "ideal"],
            "use engine `vllm` or `sglang`",
        ),
        (&["--block-size", "0"], "from 1 to 1048576"),
        (&["--num-gpu-blocks", "1"], "2 or more"),
    ] {
        let all = [&["analyze", "trace.jsonl", "--output-dir", "out"], args].concat();
        place.fails(&all, &[words]);
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    place.gen_works("good.jsonl", "trace.jsonl");
    for command in [
        "inspect trace.jsonl",
        "export trace.jsonl --to native --output -",
        "completions bash",
    ] {
        let script = format!(
            "set -o pipefail; '{}' {command} | head -c 10 >head.txt",
            env!("CARGO_BIN_EXE_replay")
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(place.folder.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command}: {stderr}");
        assert!(!stderr.contains("error"), "{command}: {stderr}");
    }
}
