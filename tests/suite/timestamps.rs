//! Timestamps of conversations, and rows of traces that are no requests.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;

use crate::common::{json, replay, stdout, text};

fn chats(folder: &Path, times: &[&str]) -> std::path::PathBuf {
    let lines: String = times
        .iter()
        .map(|time| {
            format!(
                "{{\"timestamp\": {time}, \"messages\": [{{\"role\": \"user\", \"content\": \"q\"}}, {{\"role\": \"assistant\", \"content\": \"a\"}}]}}\n"
            )
        })
        .collect();
    let file = folder.join("chats.jsonl");
    std::fs::write(&file, lines).unwrap();
    file
}

const FLAGS: [&str; 6] = [
    "--tokenizer",
    "chars",
    "--arrival",
    "timestamps",
    "--output",
    "-",
];

/// Arrivals of the trace, and what is said on standard error; or the error.
fn arrivals(folder: &Path, times: &[&str]) -> Result<(Vec<f64>, String), String> {
    let file = chats(folder, times);
    let output = replay(&[&["gen-trace", text(&file)][..], &FLAGS].concat());
    let error = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        assert_eq!(
            (output.status.code(), error.lines().count()),
            (Some(2), 1),
            "{error}"
        );
        return Err(error);
    }
    let trace = String::from_utf8(output.stdout).unwrap();
    let arrivals = trace.lines().skip(1).map(|line| {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        request["arrival_time"].as_f64().unwrap()
    });
    Ok((arrivals.collect(), error))
}

#[test]
fn seconds_to_nanoseconds_and_dates_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    for (times, expected, form) in [
        (
            ["1700000000000000", "1700000001000000"],
            [0.0, 1.0],
            "microseconds since 1970",
        ),
        (
            ["1700000000", "1700000000.25"],
            [0.0, 0.25],
            "seconds since 1970",
        ),
        (
            ["1700000000000", "1700000001500"],
            [0.0, 1.5],
            "milliseconds since 1970",
        ),
        (
            ["1700000000000000000", "1700000000000000001"],
            [0.0, 0.000000001],
            "nanoseconds since 1970",
        ),
        (
            ["\"1700000000000000\"", "\"1700000001000000\""],
            [0.0, 1.0],
            "microseconds since 1970",
        ),
        (
            ["0.5", "2"],
            [0.0, 1.5],
            "seconds since the start of the data",
        ),
        (
            ["\"2023-04-01T00:00:00Z\"", "\"2023-04-01T02:00:01+02:00\""],
            [0.0, 1.0],
            "dates with a time zone",
        ),
        (
            ["\"2023-04-01 00:00:00\"", "\"2023-04-01T00:00:01\""],
            [0.0, 1.0],
            "dates without a time zone, read as UTC",
        ),
        // Not in order of time: the trace is.
        (
            ["1700000001", "1700000000"],
            [0.0, 1.0],
            "seconds since 1970",
        ),
    ] {
        let (found, told) = arrivals(folder.path(), &times).unwrap();
        assert_eq!(found, expected, "{times:?}");
        assert!(told.contains(&format!("times    {form}\n")), "{told}");
    }
}

#[test]
fn other_timestamps_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    for (times, told) in [
        (
            ["1700000000", "1700000000001"],
            "chats.jsonl:2: the timestamp is in milliseconds since 1970, and earlier ones are in seconds since 1970",
        ),
        (
            ["0", "1700000000"],
            "chats.jsonl:2: the timestamp is in seconds since 1970, and earlier ones are in seconds since the start",
        ),
        (
            ["\"2023-04-01T00:00:00Z\"", "\"2023-04-01T00:00:00\""],
            "chats.jsonl:2: the timestamp is in dates without",
        ),
        (["1", "-1"], "chats.jsonl:2: the timestamp `-1` is negative"),
        (
            ["1700000000", "5000000000"],
            "chats.jsonl:2: the timestamp `5000000000` lies between 1990 and 2100 in no unit",
        ),
        (
            ["\"soon\"", "1"],
            "chats.jsonl:1: the timestamp `soon` is neither a number nor a date",
        ),
        (
            ["\"1980-01-01T00:00:00Z\"", "1"],
            "chats.jsonl:1: the timestamp `1980-01-01T00:00:00Z` does not lie between",
        ),
        (["1", "null"], "has no timestamp"),
    ] {
        let error = arrivals(folder.path(), &times).unwrap_err();
        assert!(error.contains(told), "{times:?}: {error}");
    }
    // Where they give no arrivals, they do not matter.
    let file = chats(
        folder.path(),
        &["-1", "soon"].map(|time| if time == "soon" { "\"soon\"" } else { time }),
    );
    stdout(&[
        "gen-trace",
        text(&file),
        "--tokenizer",
        "chars",
        "--output",
        "-",
    ]);
}

#[test]
fn arrivals_in_another_unit_than_the_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    for (content, told) in [
        (
            "arrived_at,num_prefill_tokens,num_decode_tokens\n1700000000000,5,5\n",
            "trace:2: the arrival lies after the year 2100 if it is in seconds",
        ),
        (
            "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n1700000000000000,x,5,5,10,y\n",
            "trace:2: the arrival lies after the year 2100 if it is in seconds",
        ),
        (
            "{\"timestamp\": 1700000000000000, \"input_length\": 5, \"output_length\": 5, \"hash_ids\": [1]}\n",
            "trace:1: the arrival lies after the year 2100 if it is in milliseconds",
        ),
    ] {
        std::fs::write(&file, content).unwrap();
        let output = replay(&["export", text(&file), "--to", "vidur", "--output", "-"]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains(told) && error.contains("; give arrivals in the format's unit"),
            "{error}"
        );
    }
}

#[test]
fn failures_of_burstgpt_are_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("BurstGPT.csv");
    std::fs::write(
        &file,
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
         1,ChatGPT,10,5,15,Conversation log\n2,ChatGPT,20,0,20,Conversation log\n3,GPT-4,30,7,37,API log\n",
    )
    .unwrap();
    let found = json(&["inspect", text(&file), "--json"]);
    assert_eq!(
        (&found["requests"], &found["failures_left_out"]),
        (&2.into(), &1.into())
    );
    assert_eq!(found["requests_without_output"], 0);
    let table = stdout(&["inspect", text(&file)]);
    assert!(table.contains("failures left out  1 requests"), "{table}");
    let all = ["inspect", text(&file), "--json", "--format", "burstgpt-all"];
    let all = json(&all);
    assert_eq!(
        (&all["requests"], &all["failures_left_out"]),
        (&3.into(), &0.into())
    );
    assert_eq!(all["requests_without_output"], 1);
    let results = folder.path().join("results");
    stdout(&[
        "simulate",
        text(&file),
        "--preset",
        "llama-8b-aggregated-4",
        "--output-dir",
        text(&results),
    ]);
    let summary = std::fs::read(results.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(
        (&summary["arrived"], &summary["trace_failures_left_out"]),
        (&2.into(), &1.into())
    );
    let grid = folder.path().join("grid");
    let output = replay(&[
        "matrix",
        text(&file),
        "--preset",
        "llama-8b-aggregated-4",
        "--results",
        text(&grid),
    ]);
    let note = String::from_utf8(output.stderr).unwrap();
    let expected = "BurstGPT: 1 of 3 requests failed (no output tokens) and are left out";
    assert!(note.contains(expected), "{note}");
    let output = replay(&["export", text(&file), "--to", "vidur", "--output", "-"]);
    let rows = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        rows,
        "arrived_at,num_prefill_tokens,num_decode_tokens\n1.0,10,5\n3.0,30,7\n"
    );
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("BurstGPT.csv: 1 of 3 requests failed (no output tokens) and are left out; --format burstgpt-all keeps them"),
        "{told}"
    );
    // Their arrivals do not count in a rate shape either.
    let chats = folder.path().join("chats.jsonl");
    stdout(&["synth-dataset", "-n", "3", "-o", text(&chats)]);
    let shape = format!("trace:{}", text(&file));
    let output = replay(&[
        "gen-trace",
        text(&chats),
        "--tokenizer",
        "chars",
        "--rate-shape",
        &shape,
        "-o",
        "-",
    ]);
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("BurstGPT.csv: 1 of 3 requests failed (no output tokens) and do not count in the rate shape"),
        "{told}"
    );
}
