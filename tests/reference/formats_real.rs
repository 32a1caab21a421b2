//! The readers against published traces.

use std::process::Command;

use crate::harness::Need::Data;
use crate::harness::{shared, tests};
use kvreplay::trace::format::{ReadOptions, ReadTrace, WriteOptions, format, read_trace};

tests! {
    mooncake: [Data("data/mooncake_conversation_trace.jsonl.xz"), Data("data/mooncake_synthetic_trace.jsonl.xz")];
    lengths: [Data("data/AzureLLMInferenceTrace_conv_2023.csv.xz"), Data("data/AzureLLMInferenceTrace_code_2023.csv.xz"), Data("data/vidur_splitwise_conv.csv.xz")];
    token_ids: [Data("reference/vllm-cache/trace_2000.jsonl.gz")];
    conversations_are_sent_to_the_generator: [Data("data/sharegpt_v3_split_first1000.jsonl.xz")];
    hash_ids_survive_the_native_format: [Data("data/mooncake_synthetic_trace.jsonl.xz")];
}

/// Reads a file of the data folder, which is packed by xz.
fn unpacked(name: &str) -> ReadTrace {
    let packed = shared(&format!("data/{name}.xz"));
    let output = Command::new("xz")
        .arg("-dc")
        .arg(&packed)
        .output()
        .expect("xz runs");
    assert!(output.status.success(), "xz -dc {}", packed.display());
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join(name);
    std::fs::write(&path, output.stdout).expect("writes");
    read_trace(&path, &ReadOptions::default()).expect("reads")
}

fn mooncake() {
    for (name, requests, ids, distinct) in [
        (
            "mooncake_conversation_trace.jsonl",
            12_031,
            288_500,
            182_790,
        ),
        ("mooncake_synthetic_trace.jsonl", 3_993, 121_877, 43_924),
    ] {
        let read = unpacked(name);
        assert_eq!(read.format, "mooncake");
        let trace = &read.trace;
        assert_eq!(trace.requests().len(), requests, "{name}");
        let all = trace.requests().iter().flat_map(|r| trace.ids(r.fresh));
        assert_eq!(all.clone().count(), ids, "{name}");
        assert_eq!(
            all.max().map(|last| *last as usize + 1),
            Some(distinct),
            "{name}"
        );
    }
}

fn lengths() {
    for (name, format, requests) in [
        ("AzureLLMInferenceTrace_conv_2023.csv", "azure", 19_366),
        ("AzureLLMInferenceTrace_code_2023.csv", "azure", 8_819),
        ("vidur_splitwise_conv.csv", "vidur", 19_366),
    ] {
        let read = unpacked(name);
        assert_eq!(
            (read.format, read.trace.requests().len()),
            (format, requests),
            "{name}"
        );
    }
}

fn token_ids() {
    let path = shared("reference/vllm-cache/trace_2000.jsonl.gz");
    let read = read_trace(&path, &ReadOptions::default()).expect("reads");
    let trace = &read.trace;
    assert_eq!((read.format, trace.requests().len()), ("token-ids", 2000));
    assert_eq!(
        (trace.sessions().len(), trace.prompt_tokens()),
        (556, 1_305_623)
    );
    let shared: u64 = trace.requests().iter().map(|r| u64::from(r.shared)).sum();
    assert_eq!(shared, 1_171_265);
}

fn conversations_are_sent_to_the_generator() {
    let packed = shared("data/sharegpt_v3_split_first1000.jsonl.xz");
    let output = Command::new("xz")
        .arg("-dc")
        .arg(&packed)
        .output()
        .expect("xz runs");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("chats.jsonl");
    std::fs::write(&path, output.stdout).expect("writes");
    let error = read_trace(&path, &ReadOptions::default()).expect_err("is no trace");
    assert!(error.to_string().contains("replay gen-trace "), "{error}");
}

fn hash_ids_survive_the_native_format() {
    let read = unpacked("mooncake_synthetic_trace.jsonl");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("native.jsonl.zst");
    format("native")
        .and_then(|native| native.write(&read.trace, &WriteOptions::default(), &path))
        .expect("writes");
    let back = read_trace(&path, &ReadOptions::default()).expect("reads");
    assert_eq!(back.format, "native");
    assert_eq!(back.trace.content(), read.trace.content());
    assert_eq!(back.trace.requests(), read.trace.requests());
}
