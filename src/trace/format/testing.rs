//! Reads and writes traces in memory, for tests of formats.

use crate::trace::TraceBuilder;
use crate::trace::format::*;

/// Reads `bytes` as a file named `t`.
pub(crate) fn read(bytes: &[u8], options: &ReadOptions) -> Result<ReadTrace> {
    let input = Input::from_reader("t", Box::new(std::io::Cursor::new(bytes.to_vec())))?;
    read_input(input, options)
}

/// Writes `trace` and returns the file's bytes.
pub(crate) fn write(trace: &Trace, format: &str, options: &WriteOptions<'_>) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("out");
    self::format(format)
        .and_then(|f| f.write(trace, options, &path))
        .expect("writes");
    std::fs::read(path).expect("reads")
}

/// Two sessions that interleave; the second turn of `a` extends the first.
pub(crate) fn sample() -> Trace {
    let mut builder = TraceBuilder::new(Content::Tokens);
    let mut push = |id, session, turn, arrival, shared: u32, fresh: &[u32], output: &[u32]| {
        builder
            .push(crate::trace::NewRequest {
                id,
                session,
                turn,
                arrival: crate::trace::Nanos(arrival),
                input_length: shared + fresh.len() as u32,
                output_length: output.len() as u32,
                shared,
                fresh,
                output,
                extra: None,
            })
            .expect("fits");
    };
    push("a_turn0", "a", 0, 0, 0, &[1, 2, 3], &[4, 5]);
    push("b_turn0", "b", 0, 1_500_000_001, 0, &[1, 2, 9, 9, 9], &[7]);
    push("a_turn1", "a", 1, 2_000_000_000, 5, &[6], &[8]);
    builder
        .finish(lines::foreign("sample"))
        .expect("is a trace")
}

/// The prompts as seen by a reader of whole prompts.
pub(crate) fn prompts(trace: &Trace) -> Vec<(String, u64, Vec<u32>, Vec<u32>)> {
    let mut replay = crate::trace::TokenReplay::new(trace);
    let mut out = Vec::new();
    while let Some(tokens) = replay.next_request() {
        let request = &trace.requests()[tokens.index];
        out.push((
            request.id.to_string(),
            request.arrival.0,
            tokens.prompt.to_vec(),
            tokens.output.to_vec(),
        ));
    }
    out
}

/// Arrival, input and output length of every request.
pub(crate) fn loads(trace: &Trace) -> Vec<(u64, u32, u32)> {
    let load = |r: &crate::trace::Request| (r.arrival.0, r.input_length, r.output_length);
    trace.requests().iter().map(load).collect()
}

/// Asserts that the sample is written as `expected` and read back with the same arrivals and lengths.
pub(crate) fn round_trip_of_lengths(format: &str, expected: &str) {
    let written = write(&sample(), format, &WriteOptions::default());
    assert_eq!(String::from_utf8_lossy(&written), expected);
    let back = read(&written, &ReadOptions::default()).expect("reads");
    assert_eq!(back.format, format);
    assert_eq!(loads(&back.trace), loads(&sample()));
}

/// Asserts that invalid rows of a CSV file with the columns `head` (arrival, prompt, output) are rejected with their line;
/// `arrival` is a valid value, and `expected` describes it.
pub(crate) fn refuses_rows(head: &str, arrival: &str, expected: &str) {
    let names: Vec<&str> = head.split(',').collect();
    let (first, last) = (names[0], names[2]);
    for (row, problem) in [
        (
            "x,1,2".to_owned(),
            format!("t:2: `{first}`: expected {expected}, found `x`"),
        ),
        (
            format!("{arrival},1.5,2"),
            "expected a whole number of tokens".to_owned(),
        ),
        (format!("{arrival},1"), format!("`{last}` is missing")),
    ] {
        refuses(&[(&format!("{head}\n{row}\n"), &problem)]);
    }
}

/// Asserts that every case fails with one line that contains the given text.
pub(crate) fn refuses(cases: &[(&str, &str)]) {
    for (bytes, expected) in cases {
        let error = read(bytes.as_bytes(), &ReadOptions::default())
            .err()
            .unwrap_or_else(|| panic!("accepted {bytes}"))
            .to_string();
        assert!(error.contains(expected), "{bytes}: {error}");
        assert!(error.starts_with('t') && !error.contains('\n'), "{error}");
    }
}
