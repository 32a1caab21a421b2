//! Tests of properties that all formats share.

use crate::trace::format::*;

#[test]
fn names_are_found_and_guessed() {
    for name in names(|_| true) {
        assert_eq!(format(name).expect("known").name(), name);
    }
    let error = format("mooncke").err().expect("unknown").to_string();
    assert!(error.contains("did you mean `mooncake`?"), "{error}");
}

#[test]
fn what_is_no_trace_says_what_to_do() {
    testing::refuses(&[
        ("", "is empty"),
        ("[{\"id\": 1, \"conversations\": []}]", "replay gen-trace t"),
        ("{\"messages\": []}\n", "replay gen-trace t"),
        ("hello", "not a trace of a known format"),
        (
            "{\"request_id\": \"a\", \"prompt\": 3}",
            "not a trace of a known format",
        ),
    ]);
}

#[test]
fn broken_lines_are_counted_where_tolerated() {
    let options = ReadOptions {
        tolerate: true,
        ..ReadOptions::default()
    };
    let text = b"arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,1,2\nx,1,2\n1.0,3\n2.0,5,6\n";
    let read = testing::read(text, &options).expect("reads");
    assert_eq!(read.format, "vidur");
    assert_eq!((read.report.records, read.report.broken), (2, 2));
    assert_eq!(read.report.broken_lines, [3, 4]);
}

#[test]
fn a_first_line_longer_than_the_buffer_is_recognised() {
    let head = Head::new(br#"{"timestamp": 0, "input_length": 9, "hash_ids": [1, 2"#);
    assert!(head.has("hash_ids"));
    let head = Head::new(
        "{\"request_id\": \"é"
            .as_bytes()
            .split_last()
            .expect("bytes")
            .1,
    );
    assert!(head.has("request_id"));
}

#[test]
fn lengths_alone_are_no_blocks() {
    let text = b"arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,1,2\n";
    let read = testing::read(text, &ReadOptions::default()).expect("reads");
    for name in ["mooncake", "bailian", "oracle-general"] {
        let error = format(name)
            .and_then(|f| f.write(&read.trace, &WriteOptions::default(), Path::new("x")))
            .expect_err("has no content");
        assert!(error.to_string().contains("simulate"), "{error}");
    }
}

proptest::proptest! {
    /// A small version of the fuzz targets: a damaged file gives an error or a trace, never a panic.
    #[test]
    fn damaged_files_do_not_panic(
        damage in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u8>()), 1..6),
        cut in proptest::prelude::any::<u16>(),
        tolerate: bool,
    ) {
        let chars = Text(crate::prompt::tokenizer::load("chars").expect("built in").into());
        for name in names(|f| f.readable()) {
            let mut bytes = match format(name).expect("known") {
                f if f.needs_text() => br#"{"prompt":"a b","response":"c"}"#.to_vec(),
                f if f.writable() => testing::write(&testing::sample(), name, &WriteOptions::default()),
                _ => br#"{"request_id":"a","arrival_time":1,"prompt_token_ids":[1],"response_token_ids":[]}"#.to_vec(),
            };
            for (at, byte) in &damage {
                let at = *at as usize % bytes.len();
                bytes[at] = *byte;
            }
            bytes.truncate(cut as usize % bytes.len() + 1);
            let options = ReadOptions { format: Some(name.to_owned()), tolerate, block_size: None, tokenizer: Some(chars.clone()) };
            let _ = testing::read(&bytes, &options);
        }
    }
}

#[test]
fn server_commands_quote_their_file() {
    let command = server_command("vllm-sim-text", Path::new("a b.jsonl"));
    assert_eq!(
        command.as_deref(),
        Some("vllm serve MODEL --use-simulator --sim-trace-path 'a b.jsonl'")
    );
    assert_eq!(server_command("azure", Path::new("a")), None);
}
