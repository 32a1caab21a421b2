//! `replay capacity`, and capacities in GiB in `analyze`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::Write;

use crate::common::{json, replay, stdout};

fn complaint(args: &[&str]) -> String {
    let output = replay(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn blocks_of_a_model_on_a_gpu() {
    let text = stdout(&[
        "capacity",
        "--model",
        "llama-3-8b",
        "--memory",
        "80GiB",
        "--gpu-memory-utilization",
        "0.9",
        "--weights",
        "15GiB",
        "--overhead",
        "2GiB",
    ]);
    // 80 x 0.9 - 15 - 2 = 55 GiB of blocks of 2 MiB.
    for line in [
        "bytes per token    131,072",
        "bytes per block    2,097,152   (16 tokens)",
        "left for KV        55.00 GiB",
        "blocks             28,160   (num_gpu_blocks; 28,159 usable beside the null block)",
        "tokens             450,560",
        "sequences at once  55.00   (of 8,192 tokens, 512 blocks each)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn json_of_a_hybrid_model_split_over_gpus() {
    let figures = json(&[
        "capacity",
        "--model",
        "google/gemma-3-27b-it",
        "--gpu",
        "h100-80gb",
        "--tensor-parallel",
        "4",
        "--kv-cache-dtype",
        "fp8",
        "--json",
    ]);
    // 7 groups of 10 layers x 2 x 4 heads x 128 x 1 byte.
    assert_eq!(figures["bytes_per_token"], 7 * 10 * 1024);
    assert_eq!(figures["bytes_per_token_full"], 10 * 1024);
    assert_eq!(figures["groups"], 7);
    assert_eq!(figures["window"], 1024);
    assert_eq!(figures["weights_estimated"], true);
    // 131,072 tokens in 8,192 blocks; min(1,023 + 8,192) = 9,215 tokens in 576 blocks, and one more, six times.
    assert_eq!(figures["blocks_per_sequence"], 8_192 + 6 * 577);
}

#[test]
fn the_config_of_a_file_equals_the_built_in_one() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        r#"{{"architectures":["LlamaForCausalLM"],"num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,
            "num_key_value_heads":8,"intermediate_size":14336,"vocab_size":128256,"torch_dtype":"bfloat16",
            "dtype":"bfloat16","max_position_embeddings":8192}}"#
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let mut one = json(&[
        "capacity",
        "--model-config",
        path,
        "--gpu",
        "a100-80gb",
        "--json",
    ]);
    let mut other = json(&[
        "capacity",
        "--model",
        "llama-3-8b",
        "--gpu",
        "a100-80gb",
        "--json",
    ]);
    for figures in [&mut one, &mut other] {
        figures.as_object_mut().unwrap().remove("model");
    }
    assert_eq!(one, other);
}

#[test]
fn complaints() {
    for (args, expected) in [
        (
            &["--model", "lama-3-8b", "--memory", "80GiB"][..],
            "did you mean `llama-3-8b`?",
        ),
        (&["--model", "llama-3-8b"][..], "--memory"),
        (&["--memory", "80GiB"][..], "--model"),
        (
            &["--model", "llama-3-8b", "--memory", "80"][..],
            "give a size such as 40GiB",
        ),
        (
            &["--model", "llama-3-8b", "--gpu", "h101-80gb"][..],
            "unknown GPU `h101-80gb`; did you mean `h100-80gb`?",
        ),
        (
            &["--model", "llama-3-70b", "--gpu", "h100-80gb"][..],
            "--tensor-parallel",
        ),
        (
            &[
                "--model",
                "llama-3-8b",
                "--memory",
                "80GiB",
                "--tensor-parallel",
                "3",
            ][..],
            "8 KV heads cannot be split over 3 GPUs",
        ),
        (
            &[
                "--model",
                "llama-3-8b",
                "--memory",
                "80GiB",
                "--tensor-parallel",
                "0",
            ][..],
            "expected a whole number, from 1 to 1024",
        ),
        (
            &[
                "--model",
                "llama-3-8b",
                "--memory",
                "80GiB",
                "--pipeline-parallel",
                "33",
            ][..],
            "33 stages",
        ),
        (
            &[
                "--model",
                "llama-3-8b",
                "--memory",
                "80GiB",
                "--kv-cache-dtype",
                "fp9",
            ][..],
            "did you mean `fp8`?",
        ),
        (
            &[
                "--model",
                "llama-3-8b",
                "--memory",
                "80GiB",
                "--gpu-memory-utilization",
                "1.5",
            ][..],
            "up to 1",
        ),
        (
            &[
                "--model",
                "llama-3-8b",
                "--model-config",
                "x",
                "--memory",
                "80GiB",
            ][..],
            "cannot be used with",
        ),
    ] {
        let args = [&["capacity"][..], args].concat();
        let told = complaint(&args);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn models_that_are_not_modelled() {
    for (config, expected) in [
        (r#"{"model_type":"bert","num_hidden_layers":2}"#, "encoder"),
        (r#"{"model_type":"mamba2","num_hidden_layers":2}"#, "state"),
        (r#"{"num_hidden_layers":2"#, "not a model's config.json"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let told = complaint(&["capacity", "--model-config", path, "--memory", "80GiB"]);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn analyze_in_gib() {
    let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    for start in [0, 0, 3] {
        let ids: Vec<_> = (start..start + 64).map(|id| id.to_string()).collect();
        writeln!(
            file,
            r#"{{"prompt_token_ids":[{}],"response_token_ids":[]}}"#,
            ids.join(",")
        )
        .unwrap();
    }
    let path = file.path().to_str().unwrap();
    let blocks = |more: &[&str]| {
        let args = [&["analyze", path, "--capacity", "1GiB", "--json"][..], more].concat();
        json(&args)["settings"]["capacity_blocks"].clone()
    };
    // 2^30 / (16 x 131,072) = 512; half the bytes, or half the heads, is twice the blocks.
    assert_eq!(blocks(&["--model", "llama-3-8b"]), 512);
    assert_eq!(
        blocks(&["--model", "llama-3-8b", "--kv-cache-dtype", "fp8"]),
        1024
    );
    assert_eq!(
        blocks(&["--model", "llama-3-8b", "--tensor-parallel", "2"]),
        1024
    );
    let told = complaint(&["analyze", path, "--capacity", "1GiB"]);
    assert!(told.contains("--model"), "{told}");
    let told = complaint(&["analyze", path, "--kv-cache-dtype", "fp8"]);
    assert!(told.contains("--model"), "{told}");
}

#[test]
fn tiers() {
    let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    // Four prompts of 4 blocks, one after another and again: 4 blocks fit above, all of them below.
    for prompt in [0, 1, 2, 3, 0, 1, 2, 3] {
        let ids: Vec<_> = (0..64).map(|id| (1000 * prompt + id).to_string()).collect();
        writeln!(
            file,
            r#"{{"prompt_token_ids":[{}],"response_token_ids":[]}}"#,
            ids.join(",")
        )
        .unwrap();
    }
    let path = file.path().to_str().unwrap();
    let tiers = ["--tier", "hbm:4", "--tier", "dram:1GiB@1GB/s"];
    let args = [&["analyze", path, "--model", "llama-3-8b"][..], &tiers].concat();
    let figures = json(&[&args[..], &["--json"]].concat());
    assert_eq!(figures["settings"]["engine"], "ideal");
    assert_eq!(figures["settings"]["capacity_blocks"], 4 + 512);
    assert_eq!(figures["block_hits"], 16);
    let dram = &figures["tiers"][1];
    assert_eq!(dram["capacity_blocks"], 512);
    assert_eq!(
        (&dram["hits"], &dram["blocks_read"]),
        (&16.into(), &16.into())
    );
    // Each prompt drives the one before it out, but what was read is there already: 4 prompts are written once.
    assert_eq!(dram["blocks_written"], 16);
    assert_eq!(dram["bytes_read"], 16 * 2_097_152);
    let text = stdout(&args);
    assert!(
        text.contains("dram") && text.contains("32.00 MiB in 33.6 ms"),
        "{text}"
    );
    for (more, expected) in [
        (&["--tier", "hbm"][..], "has no size"),
        (&["--tier", "hbm:1GiB"][..], "--model"),
        (
            &["--tier", "hbm:4", "--engine", "vllm"][..],
            "use engine `ideal`",
        ),
        (
            &["--tier", "hbm:4", "--capacity", "5"][..],
            "cannot be used with",
        ),
        (
            &["--tier", "hbm:4", "--hold", "requests:4"][..],
            "or hold `none`",
        ),
    ] {
        let args = [&["analyze", path][..], more].concat();
        let told = complaint(&args);
        assert!(told.contains(expected), "{told}");
    }
}
