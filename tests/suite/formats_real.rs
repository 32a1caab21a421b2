//! Readers against published traces, where those lie beside the project.

use std::path::PathBuf;
use std::process::Command;

use kvreplay::trace::format::{ReadOptions, ReadTrace, WriteOptions, format, read_trace};

/// The folder of real data, or none where the machine has none; on CI that is a failure.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn shared(file: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("REPLAY_SHARED") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let path = root.join(file);
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is missing; set REPLAY_SHARED",
        path.display()
    );
    eprintln!("SKIPPED: {} is missing; set REPLAY_SHARED", path.display());
    None
}

/// Reads a file of the data folder, which is packed by xz.
fn unpacked(name: &str) -> Option<ReadTrace> {
    let packed = shared(&format!("data/{name}.xz"))?;
    let output = Command::new("xz")
        .arg("-dc")
        .arg(&packed)
        .output()
        .expect("xz runs");
    assert!(output.status.success(), "xz -dc {}", packed.display());
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join(name);
    std::fs::write(&path, output.stdout).expect("writes");
    Some(read_trace(&path, &ReadOptions::default()).expect("reads"))
}

#[test]
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
        let Some(read) = unpacked(name) else { return };
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

#[test]
fn lengths() {
    for (name, format, requests) in [
        ("AzureLLMInferenceTrace_conv_2023.csv", "azure", 19_366),
        ("AzureLLMInferenceTrace_code_2023.csv", "azure", 8_819),
        ("vidur_splitwise_conv.csv", "vidur", 19_366),
    ] {
        let Some(read) = unpacked(name) else { return };
        assert_eq!(
            (read.format, read.trace.requests().len()),
            (format, requests),
            "{name}"
        );
    }
}

#[test]
fn token_ids() {
    let Some(path) = shared("reference/vllm-cache/trace_2000.jsonl.gz") else {
        return;
    };
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

#[test]
fn conversations_are_sent_to_the_generator() {
    let Some(packed) = shared("data/sharegpt_v3_split_first1000.jsonl.xz") else {
        return;
    };
    let output = Command::new("xz")
        .arg("-dc")
        .arg(&packed)
        .output()
        .expect("xz runs");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("chats.jsonl");
    std::fs::write(&path, output.stdout).expect("writes");
    let error = read_trace(&path, &ReadOptions::default()).expect_err("is no trace");
    assert!(
        error.to_string().contains("replay gen-trace --input"),
        "{error}"
    );
}

#[test]
fn hash_ids_survive_the_native_format() {
    let Some(read) = unpacked("mooncake_synthetic_trace.jsonl") else {
        return;
    };
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
