//! From conversations to traces, by the program and by the library.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kvreplay::trace::format::{ReadOptions, read_trace};
use kvreplay::trace::{Content, Nanos, NewRequest, TokenReplay, Trace, TraceBuilder, TraceMeta};
use proptest::prelude::*;

/// A request with its whole prompt, as text: the tests use one id a character.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    id: String,
    at: f64,
    prompt: String,
    output: String,
}

fn rows(path: &Path) -> Vec<Row> {
    let trace = read_trace(path, &ReadOptions::default()).unwrap().trace;
    let text = |ids: &[u32]| ids.iter().map(|id| char::from_u32(*id).unwrap()).collect();
    let mut replay = TokenReplay::new(&trace);
    let mut rows = Vec::new();
    while let Some(tokens) = replay.next_request() {
        let request = &trace.requests()[tokens.index];
        rows.push(Row {
            id: request.id.to_string(),
            at: request.arrival.as_secs_f64(),
            prompt: text(tokens.prompt),
            output: text(tokens.output),
        });
    }
    rows
}

fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

/// One turn after the other, each said by one letter: `q` `a` `q` `a`.
fn record(id: &str, turns: &[(&str, &str)]) -> String {
    let messages: Vec<_> = turns
        .iter()
        .flat_map(|(question, answer)| {
            [
                serde_json::json!({"from": "human", "value": question}),
                serde_json::json!({"from": "gpt", "value": answer}),
            ]
        })
        .collect();
    serde_json::json!({"id": id, "conversations": messages}).to_string()
}

struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    fn new(input: &str) -> Self {
        let run = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(run.path("in.jsonl"), input).unwrap();
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `gen-trace` on what the arguments name; what it printed.
    fn raw(&self, stdin: &[u8], args: &[&str]) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(["gen-trace", "--tokenizer", "chars"])
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn gen_trace(&self, args: &[&str]) -> (Vec<Row>, String) {
        let all = [&["in.jsonl", "--output", "t.jsonl"], args].concat();
        let printed = self.raw(b"", &all);
        (rows(&self.path("t.jsonl")), printed)
    }
}

/// One conversation of three turns.
fn three_turns() -> String {
    record("c", &[("q1", "a1"), ("q2", "a2"), ("q3", "a3")])
}

#[test]
fn single_and_multi() {
    let run = Run::new(&three_turns());
    let (multi, _) = run.gen_trace(&["--arrival", "fixed"]);
    assert_eq!(ids(&multi), ["c_turn0", "c_turn1", "c_turn2"]);
    assert_eq!(multi[0].prompt, "User: q1\nAssistant:");
    assert_eq!(
        multi[1].prompt,
        "User: q1\nAssistant: a1\nUser: q2\nAssistant:"
    );
    assert_eq!(multi[0].output, " a1");
    let times: Vec<f64> = multi.iter().map(|row| row.at - multi[0].at).collect();
    assert_eq!(times, [0.0, 1.0, 2.0]);
    let (single, _) = run.gen_trace(&["--arrival", "fixed", "--mode", "single"]);
    assert_eq!(ids(&single), ["c_turn0"]);
    assert_eq!(single[0].prompt, multi[0].prompt);
}

#[test]
fn overlong_prompts() {
    let long = "x".repeat(50);
    let input = record("c", &[("q1", "a1"), (long.as_str(), "a2"), ("q3", "a3")])
        + "\n"
        + record("d", &[("q", "a")]).as_str();
    let run = Run::new(&input);
    let fixed = ["--arrival", "fixed", "--max-model-len", "60"];
    let with = |overlong| {
        let args = [&fixed[..], &["--overlong", overlong]].concat();
        run.gen_trace(&args)
    };
    let (rows, printed) = with("drop");
    assert_eq!(ids(&rows), ["c_turn0", "d_turn0"]);
    assert!(printed.contains("2 prompts longer than"), "{printed}");
    let (rows, printed) = with("end-session");
    assert_eq!(ids(&rows), ["c_turn0", "d_turn0"]);
    assert!(printed.contains("1 sessions ended"), "{printed}");
    let (rows, printed) = with("truncate");
    let (whole, _) = run.gen_trace(&["--arrival", "fixed"]);
    assert_eq!(rows.len(), 4);
    assert!(printed.contains("2 prompts longer than"), "{printed}");
    for row in &rows {
        let all = &whole
            .iter()
            .find(|other| other.id == row.id)
            .unwrap()
            .prompt;
        assert_eq!(
            row.prompt,
            all[all.len().saturating_sub(60)..],
            "{}",
            row.id
        );
    }
    // Of prompts that grow, a drop leaves out the rest; a rewriting template may bring shorter ones back.
    std::fs::write(
        run.path("last.jinja"),
        "{% for m in messages[-1:] %}{{ m.content }}{% endfor %}",
    )
    .unwrap();
    for (overlong, expected) in [
        ("drop", &["c_turn0", "c_turn2", "d_turn0"][..]),
        ("end-session", &["c_turn0", "d_turn0"]),
        ("truncate", &["c_turn0", "c_turn1", "c_turn2", "d_turn0"]),
    ] {
        let (rows, _) = run.gen_trace(&[
            "--chat-template",
            "last.jinja",
            "--max-model-len",
            "40",
            "--overlong",
            overlong,
        ]);
        let mut found = ids(&rows);
        found.sort_unstable();
        assert_eq!(found, expected, "{overlong}");
        for row in &rows {
            let expected = match row.id.as_str() {
                "c_turn0" => "q1",
                "c_turn1" => &long[..40],
                "c_turn2" => "q3",
                _ => "q",
            };
            assert_eq!(row.prompt, expected);
        }
    }
}

#[test]
fn the_rate_counts_sessions_or_requests() {
    let input: Vec<_> = (0..10)
        .map(|i| record(&format!("c{i}x"), &[("q", "a"); 4]))
        .collect();
    let run = Run::new(&input.join("\n"));
    let starts = |unit| {
        let (rows, _) = run.gen_trace(&["--arrival", "fixed", "--rate", "2", "--rate-unit", unit]);
        assert_eq!(rows.len(), 40);
        rows.into_iter()
            .filter(|row| row.id.ends_with("turn0"))
            .map(|row| row.at)
            .collect::<Vec<_>>()
    };
    let expected = |gap: f64| (1..=10).map(|i| f64::from(i) * gap).collect::<Vec<_>>();
    assert_eq!(starts("session"), expected(0.5));
    // Four requests a session: half a session a second makes two requests a second.
    assert_eq!(starts("request"), expected(2.0));
}

#[test]
fn sequential_sessions_do_not_overlap() {
    let input: Vec<_> = (0..4)
        .map(|i| record(&format!("c{i}x"), &[("q", "a"); 3]))
        .collect();
    let run = Run::new(&input.join("\n"));
    let args = [
        "--arrival",
        "fixed",
        "--rate-unit",
        "session",
        "--turn-delay",
        "10",
        "--service-time",
        "1",
    ];
    let (mixed, _) = run.gen_trace(&args);
    assert_eq!(ids(&mixed)[..2], ["c0x_turn0", "c1x_turn0"]);
    let (rows, _) = run.gen_trace(&[&args[..], &["--sequential"]].concat());
    let times: Vec<f64> = rows.iter().map(|row| row.at).collect();
    // A start half a second after the answer before; turns a service and a think time apart.
    assert_eq!(times[..6], [0.5, 11.5, 22.5, 24.0, 35.0, 46.0]);
    let order: Vec<_> = rows.iter().map(|row| row.id[..3].to_owned()).collect();
    assert!(order.is_sorted());
}

#[test]
fn the_datas_own_times() {
    let timed = |id: &str, time: &str| {
        record(id, &[("q", "a"), ("r", "b")]).replacen('{', &format!("{{\"timestamp\":{time},"), 1)
    };
    let input = [
        timed("late", "1680307210000"),
        timed("early", "\"1680307200000\""),
        timed("middle", "1680307204500"),
    ];
    let run = Run::new(&input.join("\n"));
    let (rows, _) = run.gen_trace(&["--arrival", "timestamps"]);
    let found: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.at)).collect();
    assert_eq!(
        found,
        [
            ("early_turn0", 0.0),
            ("early_turn1", 1.0),
            ("middle_turn0", 4.5),
            ("middle_turn1", 5.5),
            ("late_turn0", 10.0),
            ("late_turn1", 11.0)
        ]
    );
}

#[test]
fn an_id_may_occur_twice() {
    let input = [
        record("same", &[("q1", "a1")]),
        record("same", &[("q2", "a2")]),
        record("same#2", &[("q3", "a3")]),
        record("same", &[("q4", "a4")]),
    ];
    let run = Run::new(&input.join("\n"));
    let (rows, _) = run.gen_trace(&["--arrival", "fixed"]);
    assert_eq!(
        ids(&rows),
        ["same_turn0", "same#3_turn0", "same#2_turn0", "same#4_turn0"]
    );
    let prompts: Vec<_> = rows
        .iter()
        .map(|row| row.prompt.chars().nth(7).unwrap())
        .collect();
    assert_eq!(prompts, ['1', '2', '3', '4']);
}

#[test]
fn files_pipes_and_compression() {
    let input = [record("a", &[("q1", "a1")]), record("b", &[("q2", "a2")])].join("\n");
    let run = Run::new(&input);
    let (plain, _) = run.gen_trace(&[]);
    run.raw(input.as_bytes(), &["-", "--output", "stdin.jsonl"]);
    assert_eq!(rows(&run.path("stdin.jsonl")), plain);
    let printed = run.raw(b"", &["in.jsonl", "--output", "-"]);
    assert_eq!(
        printed,
        std::fs::read_to_string(run.path("t.jsonl")).unwrap()
    );

    let zst = zstd::encode_all(input.as_bytes(), 1).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(input.as_bytes()).unwrap();
    std::fs::write(run.path("in.jsonl.zst"), &zst).unwrap();
    std::fs::write(run.path("in.jsonl.gz"), gz.finish().unwrap()).unwrap();
    let array = format!("[{}]", input.replace('\n', ",\n"));
    std::fs::write(run.path("in.json"), array).unwrap();
    for name in ["in.jsonl.zst", "in.jsonl.gz", "in.json"] {
        for output in ["o.jsonl", "o.jsonl.gz", "o.jsonl.zst"] {
            run.raw(b"", &[name, "--output", output]);
            assert_eq!(rows(&run.path(output)), plain, "{name} to {output}");
            let head = std::fs::read(run.path(output)).unwrap();
            let magic: &[u8] = match output {
                "o.jsonl.gz" => &[0x1f, 0x8b],
                "o.jsonl.zst" => &[0x28, 0xb5, 0x2f, 0xfd],
                _ => b"{\"format\"",
            };
            assert!(head.starts_with(magic), "{output}");
        }
    }
    // Compressed input through a pipe too.
    run.raw(&zst, &["-", "--output", "stdin.jsonl"]);
    assert_eq!(rows(&run.path("stdin.jsonl")), plain);

    // Several files are one data set, in the order in which they are named.
    std::fs::write(run.path("more.jsonl"), record("c", &[("q3", "a3")])).unwrap();
    run.raw(
        b"",
        &["more.jsonl", "in.jsonl.gz", "--output", "both.jsonl"],
    );
    let both = rows(&run.path("both.jsonl"));
    assert_eq!(ids(&both), ["c_turn0", "a_turn0", "b_turn0"]);
    run.raw(
        b"",
        &[
            "more.jsonl",
            "in.jsonl",
            "--max-conversations",
            "2",
            "--output",
            "two.jsonl",
        ],
    );
    assert_eq!(ids(&rows(&run.path("two.jsonl"))), ["c_turn0", "a_turn0"]);
}

#[test]
fn messages_as_openai_has_them() {
    let input = r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"q"},{"type":"image_url","image_url":{"url":"x"}}]},{"role":"assistant","content":"a"}]}
{"id":7,"messages":[{"role":"user","content":"r"},{"role":"assistant","content":null},{"role":"assistant","content":"b"}]}"#;
    let run = Run::new(input);
    let (rows, printed) = run.gen_trace(&["--arrival", "fixed", "--chat-template", "chatml"]);
    assert_eq!(ids(&rows), ["0_turn0", "7_turn0"]);
    assert_eq!(
        rows[0].prompt,
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(rows[1].output.trim_end_matches("<|im_end|>"), "b");
    assert!(printed.contains("1 messages without text"), "{printed}");
}

/// Messages by number: even ones are the user's.
fn chunk(id: &str, numbers: std::ops::Range<u32>) -> String {
    let messages: Vec<_> = numbers
        .map(|n| serde_json::json!({"from": if n % 2 == 0 { "human" } else { "gpt" }, "value": format!("m{n}")}))
        .collect();
    serde_json::json!({"id": id, "conversations": messages}).to_string()
}

#[test]
fn chunks_of_a_chat() {
    let whole = Run::new(&chunk("chat", 0..8));
    let (expected, _) = whole.gen_trace(&["--arrival", "fixed"]);
    assert_eq!(expected.len(), 4);
    for (name, parts) in [
        (
            "overlap",
            vec![chunk("chat_0", 0..4), chunk("chat_3", 3..8)],
        ),
        ("abut", vec![chunk("chat_0", 0..4), chunk("chat_4", 4..8)]),
        (
            "out of order",
            vec![
                chunk("chat_5", 5..8),
                chunk("chat_3", 3..6),
                chunk("chat_0", 0..4),
            ],
        ),
        (
            "contained",
            vec![chunk("chat_0", 0..8), chunk("chat_2", 2..5)],
        ),
    ] {
        let run = Run::new(&parts.join("\n"));
        for join in ["auto", "always"] {
            let (rows, printed) = run.gen_trace(&["--arrival", "fixed", "--join-chunks", join]);
            assert_eq!(rows, expected, "{name}, {join}");
            let line = format!("joined   1 chats from {} parts\n", parts.len());
            assert!(printed.contains(&line), "{name}: {printed}");
        }
        let (rows, _) = run.gen_trace(&["--join-chunks", "never"]);
        assert!(
            ids(&rows).iter().all(|id| id.starts_with("chat_")),
            "{name}"
        );
        assert_ne!(rows, expected, "{name}");
    }
    let run = Run::new(&[chunk("chat_0", 0..4), chunk("chat_6", 6..8)].join("\n"));
    let (rows, printed) = run.gen_trace(&["--arrival", "fixed"]);
    assert_eq!(ids(&rows), ["chat_turn0", "chat_turn1"]);
    assert!(printed.contains("1 of them end at a gap"), "{printed}");
    assert!(printed.contains("after a gap in its chat"), "{printed}");
}

#[test]
fn ids_that_only_look_like_chunks() {
    // Numbered conversations: every second one would fit behind the first by its number alone.
    let input: Vec<_> = (0..12)
        .map(|i| record(&format!("conv_{i}"), &[(&format!("q{i}"), "a")]))
        .collect();
    let run = Run::new(&input.join("\n"));
    let (rows, printed) = run.gen_trace(&["--arrival", "fixed"]);
    let expected: Vec<_> = (0..12).map(|i| format!("conv_{i}_turn0")).collect();
    assert_eq!(ids(&rows), expected);
    assert!(!printed.contains("joined"), "{printed}");
    // One id of another form, and no id is taken for a chunk's.
    let input = [
        chunk("chat_0", 0..4),
        chunk("chat_4", 4..8),
        chunk("other", 0..2),
    ];
    let run = Run::new(&input.join("\n"));
    let (rows, _) = run.gen_trace(&["--arrival", "fixed"]);
    assert_eq!(
        rows.iter()
            .filter(|row| row.id.starts_with("chat_4"))
            .count(),
        2
    );
}

/// A request as the property test makes it: session, gap to the one before, kept ids, new ids, output.
type Made = (usize, u64, usize, Vec<u32>, Vec<u32>);

fn made() -> impl Strategy<Value = Vec<Made>> {
    let ids = || prop::collection::vec(0..50u32, 0..12);
    let keep = prop_oneof![Just(0), 0..30usize];
    prop::collection::vec((0..4usize, 0..3u64, keep, ids(), ids()), 1..25)
}

/// A request's id with its whole prompt and its output.
type Whole = (String, Vec<u32>, Vec<u32>);

/// Pushes requests; the prompts and outputs that were meant, by id.
fn build(made: &[Made], time: impl Fn(u64) -> u64) -> (Result<Trace, String>, Vec<Whole>) {
    let mut builder = TraceBuilder::new(Content::Tokens);
    let mut joined: [Vec<u32>; 4] = Default::default();
    let mut turns = [0; 4];
    let mut clock = 0;
    let mut meant = Vec::new();
    for (session, gap, keep, fresh, output) in made {
        clock += gap;
        let stream = &mut joined[*session];
        stream.truncate(*keep);
        let shared = stream.len() as u32;
        stream.extend(fresh);
        let prompt = stream.clone();
        stream.extend(output);
        let turn = &mut turns[*session];
        let id = format!("s{session}_turn{turn}");
        builder
            .push(NewRequest {
                id: &id,
                session: &format!("s{session}"),
                turn: *turn,
                arrival: Nanos(time(clock)),
                input_length: prompt.len() as u32,
                output_length: output.len() as u32,
                shared,
                fresh,
                output,
                extra: None,
            })
            .unwrap();
        *turn += 1;
        meant.push((id, prompt, output.clone()));
    }
    let trace = builder
        .finish(TraceMeta::default())
        .map_err(|error| error.to_string());
    (trace, meant)
}

fn restored(trace: &Trace) -> Vec<Whole> {
    let mut replay = TokenReplay::new(trace);
    let mut found = Vec::new();
    while let Some(tokens) = replay.next_request() {
        let id = trace.requests()[tokens.index].id.to_string();
        found.push((id, tokens.prompt.to_vec(), tokens.output.to_vec()));
    }
    found.sort();
    found
}

#[test]
fn nothing_may_come_between_a_request_and_what_it_refers_to() {
    let push = |times: [u64; 3], turns: [u32; 3]| {
        let mut builder = TraceBuilder::new(Content::Tokens);
        for (index, (shared, fresh)) in [(0, &[1, 2][..]), (0, &[7, 8]), (2, &[9])]
            .into_iter()
            .enumerate()
        {
            builder
                .push(NewRequest {
                    id: &index.to_string(),
                    session: "s",
                    turn: turns[index],
                    arrival: Nanos(times[index]),
                    input_length: shared + fresh.len() as u32,
                    output_length: 0,
                    shared,
                    fresh,
                    output: &[],
                    extra: None,
                })
                .unwrap();
        }
        builder.finish(TraceMeta::default())
    };
    // The last one extends 7 8; sorted, 1 2 would stand in between.
    for (times, turns) in [([10, 5, 12], [0, 1, 2]), ([5, 5, 5], [1, 0, 2])] {
        let error = push(times, turns).unwrap_err().to_string();
        assert!(error.contains("request `2` arrives before"), "{error}");
    }
    // Sorted behind both, the first one does no harm.
    let trace = push([10, 5, 7], [0, 1, 2]).unwrap();
    let prompts: Vec<_> = restored(&trace).into_iter().map(|row| row.1).collect();
    assert_eq!(prompts, [vec![1, 2], vec![7, 8], vec![7, 8, 9]]);
}

proptest! {
    #[test]
    fn what_was_pushed_is_restored(made in made()) {
        let (trace, mut meant) = build(&made, |clock| clock);
        let trace = trace.unwrap();
        meant.sort();
        prop_assert_eq!(restored(&trace), meant);
        let times: Vec<_> = trace.requests().iter().map(|r| (r.arrival, r.session, r.turn)).collect();
        prop_assert!(times.is_sorted());
        let total: u64 = trace.requests().iter().map(|r| u64::from(r.input_length)).sum();
        prop_assert_eq!(total, trace.prompt_tokens());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        kvreplay::trace::format::format("native").unwrap().write(&trace, &Default::default(), &path).unwrap();
        let again = read_trace(&path, &ReadOptions::default()).unwrap().trace;
        prop_assert_eq!(restored(&again), restored(&trace));
        prop_assert_eq!(again.requests().len(), trace.requests().len());
    }

    /// Times out of order are refused or harmless; they never produce prompts that were not in the input.
    #[test]
    fn odd_times_never_give_wrong_prompts(mut made in made(), factor in 1..20u64) {
        made.truncate(6);
        made.iter_mut().for_each(|request| request.0 %= 2);
        let (trace, mut meant) = build(&made, |clock| clock * factor % 7);
        if let Ok(trace) = trace {
            meant.sort();
            prop_assert_eq!(restored(&trace), meant);
        }
    }
}
