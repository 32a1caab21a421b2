//! Files of tokenizers: ids equal to those of the reference implementations, and files that are refused.
//!
//! `scripts/reference/tokenizer_cases.py` makes the files and the expected ids in `data`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use kvreplay::base::io::Input;
use kvreplay::prompt::encode_text;
use kvreplay::prompt::tokenizer;

use crate::common::{replay_in, text};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/suite/tokenizers/data/{name}.gz"))
}

fn read(name: &str) -> Vec<u8> {
    Input::open(data(name)).unwrap().read_to_end().unwrap()
}

#[test]
fn every_kind_has_the_ids_of_its_reference() {
    let expected: Value = serde_json::from_slice(&read("ids.json")).unwrap();
    let texts = expected["texts"].as_array().unwrap();
    let kinds = expected["ids"].as_object().unwrap();
    assert_eq!((kinds.len(), texts.len()), (48, 21));
    let mut differing = Vec::new();
    for (name, expected) in kinds {
        let tokenizer = tokenizer::load(text(&data(name))).unwrap();
        for (text, expected) in texts.iter().zip(expected.as_array().unwrap()) {
            if expected.is_null() {
                continue;
            }
            let mut ids = Vec::new();
            encode_text(tokenizer.as_ref(), text.as_str().unwrap(), &mut ids).unwrap();
            if json!(ids) != *expected {
                differing.push(format!("{name}, {text}: {ids:?}, expected {expected}"));
            }
        }
    }
    assert_eq!(differing, Vec::<String>::new());
}

#[test]
fn parts_between_special_tokens_are_texts_of_their_own() {
    // `<s>` and `</s>` are control symbols of the sentencepiece models, and special tokens of tekken.json.
    for (name, bos, eos) in [
        ("bpe.model", 1, 2),
        ("unigram.model", 1, 2),
        ("tekken.json", 1, 2),
    ] {
        let tokenizer = tokenizer::load(text(&data(name))).unwrap();
        let encode = |text: &str| {
            let mut ids = Vec::new();
            encode_text(tokenizer.as_ref(), text, &mut ids).unwrap();
            ids
        };
        let mut expected = vec![bos];
        expected.extend(encode("the cat"));
        expected.push(eos);
        expected.extend(encode("sat"));
        assert_eq!(encode("<s>the cat</s>sat"), expected, "{name}");
        assert_eq!(tokenizer.decode(&encode("the cat")).unwrap(), "the cat");
    }
}

/// A BPE of three tokens, with changes.
fn bpe(changes: Value) -> String {
    let mut file = json!({
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
    });
    for (key, value) in changes.as_object().unwrap() {
        let target = match file["model"].get(key) {
            Some(_) => &mut file["model"][key],
            None => &mut file[key],
        };
        *target = value.clone();
    }
    file.to_string()
}

fn model(model: Value) -> String {
    json!({"version": "1.0", "model": model}).to_string()
}

#[test]
fn files_that_the_library_would_fail_on_are_refused_with_one_line() {
    let split = |pattern: &str| {
        bpe(json!({"pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false
        }}))
    };
    let token = |id: u64| {
        bpe(json!({"added_tokens": [{
            "id": id, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }]}))
    };
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        (
            "{".to_owned(),
            "not JSON: EOF while parsing an object at line 1 column 1",
        ),
        (
            "{}".into(),
            "JSON without a `model` entry, so not a tokenizer.json",
        ),
        ("[]".into(), "not an object, so not a tokenizer.json"),
        (
            format!("{{\"normalizer\": {deep}}}"),
            "not JSON: recursion limit exceeded at line 1 column 142",
        ),
        (
            bpe(json!({"version": "2.0"})),
            "`version` is \"2.0\", expected \"1.0\"",
        ),
        (bpe(json!({"vocab": {}})), "`model.vocab` is empty"),
        (
            bpe(json!({"vocab": ["a"]})),
            "`model.vocab`: invalid type: sequence, expected an object of tokens and their ids",
        ),
        (
            bpe(json!({"vocab": {"a": -1}})),
            "`model.vocab`: the id of `a` is not a whole number from 0 to 4294967295",
        ),
        (
            bpe(json!({"vocab": {"a": 4_294_967_296_u64}})),
            "`model.vocab`: the id of `a` is not a whole number from 0 to 4294967295",
        ),
        (
            bpe(json!({"vocab": {"a": 0, "b": 1, "ab": 4_294_967_295_u32}})),
            "`model.vocab` has 3 tokens, and the largest id is 4294967295; the accepted maximum for this number of tokens is 1048588",
        ),
        (
            bpe(json!({"vocab": {"a": 0, "b": 1, "ab": 1}})),
            "`model.vocab` gives the id 1 to several tokens",
        ),
        (
            bpe(json!({"merges": [["a", "c"]]})),
            "`model.merges`, number 1: `c` of the merge `a c` is not in the vocabulary",
        ),
        (
            bpe(json!({"merges": ["b a"]})),
            "`model.merges`, number 1: `ba` of the merge `b a` is not in the vocabulary",
        ),
        (
            bpe(json!({"merges": ["a b c"]})),
            "`model.merges`: the merge `a b c` is not two tokens with a space between them",
        ),
        (
            bpe(json!({"merges": [["a"]]})),
            "`model.merges`: a merge has less than two tokens",
        ),
        (
            model(
                json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "a"]], "continuing_subword_prefix": "###"}),
            ),
            "`model.merges`, number 1: `a` does not begin with `continuing_subword_prefix`, which is `###`",
        ),
        (
            model(json!({"type": "Magic", "vocab": {}})),
            "`model.type` is `Magic`, expected BPE, Unigram, WordPiece or WordLevel",
        ),
        (model(json!({"type": "BPE"})), "`model` has no `vocab`"),
        (
            model(json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 1})),
            "`model.unk_id` is 1, but the vocabulary has 1 tokens",
        ),
        (
            r#"{"model": {"type": "Unigram", "vocab": [["a", NaN]]}}"#.into(),
            "not JSON: expected value at line 1 column 47",
        ),
        (
            model(json!({"type": "Unigram", "vocab": []})),
            "`model.vocab` is empty",
        ),
        (
            token(4_294_967_295),
            "`added_tokens`: `<s>` has the id 4294967295; at most 1048592 is accepted for 3 tokens",
        ),
        (
            token(4_294_967_296),
            "`added_tokens`: invalid value: integer `4294967296`, expected u32",
        ),
        (
            split(&"(a|b)".repeat(4_000)),
            "the pattern `(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)...`: it has 20000 bytes, at most 10000 are accepted",
        ),
        (split(r"\bx"), r"the pattern `\bx`: `\b` is not supported"),
        (
            split("("),
            "Opening parenthesis without closing parenthesis",
        ),
        (
            split(r"((\p{L}{1000}){1000}){1000}"),
            "Error compiling regex: Regex error: error building NFA; give",
        ),
        (
            model(json!({"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5})),
            "`model.dropout` is 0.5: ids would be drawn by lot; expected 0 or null",
        ),
        (
            bpe(json!({"normalizer": {"type": "Prepend", "prepend": "x".repeat(1_001)}})),
            "`normalizer` puts more than 1000 bytes in front of a text",
        ),
        (
            bpe(
                json!({"normalizer": {"type": "Sequence", "normalizers": vec![json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}); 9]}}),
            ),
            "`normalizer` replaces texts by texts that are 512 times as long; at most 256 times is accepted",
        ),
        (
            bpe(json!({"pre_tokenizer": {"type": "Magic"}})),
            "did not match any variant",
        ),
        (
            bpe(json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}})),
            "",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let mut wrong = Vec::new();
    for (content, problem) in cases {
        std::fs::write(&path, &content).unwrap();
        let shown = &content[..content.floor_char_boundary(200)];
        let Err(error) = tokenizer::load(text(&path)) else {
            wrong.push(format!("{shown}: accepted"));
            continue;
        };
        let error = error.to_string();
        let whole = error.starts_with(text(&path)) && error.contains("; give ");
        if !whole || !error.contains(problem) || error.contains('\n') {
            wrong.push(format!("{shown}: {error}, expected {problem}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn broken_models_of_other_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.model");
    let refused = |content: &[u8], problem: &str| {
        std::fs::write(&path, content).unwrap();
        let error = tokenizer::load(text(&path)).err().unwrap().to_string();
        assert!(error.contains(problem), "{error}");
        assert!(error.starts_with(text(&path)), "{error}");
    };
    refused(b"", "not a sentencepiece model: it has no pieces");
    refused(
        &[0x0A, 0xFF, 0xFF, 0xFF, 0x7F],
        "not a sentencepiece model: the protocol buffer is broken",
    );
    refused(
        &[0x0A, 2, 0x0A, 0],
        "piece 0 has 0 bytes, expected 1 to 4096",
    );
    refused(&[0x0A, 3, 0x0A, 1, b'a'], "no piece for unknown text");
    refused(
        &[0x0A, 5, 0x0A, 1, b'a', 0x18, 9],
        "piece 0 has the unknown kind 9",
    );
    refused(
        &[0x0A, 8, 0x0A, 1, b'a', 0x15, 0, 0, 0xC0, 0x7F],
        "piece 0, `a`: the score is NaN",
    );
    refused(
        &[0x12, 2, 0x18, 3],
        "a sentencepiece model of kind 3, expected Unigram (1) or BPE (2)",
    );
    refused(
        b"YQ== 0\nYg== 1\n",
        "a tiktoken vocabulary of 2 tokens that is none of Llama 3, Llama 4, Qwen, Kimi K2, o200k, cl100k, r50k",
    );
    refused(b"YQ== 0\nYg== 7\n", "line 2: the rank is 7, expected 1");
    refused(
        b"YQ== 0\n?\n",
        "line 2: expected base64, a space and a rank",
    );
    let tekken =
        |config: Value, vocab: Value| json!({"config": config, "vocab": vocab}).to_string();
    let config =
        json!({"pattern": "x", "default_vocab_size": 11, "default_num_special_tokens": 10});
    refused(
        tekken(config.clone(), json!([])).as_bytes(),
        "`config` has 11 tokens, 10 of them special, but `vocab` has 0 entries",
    );
    refused(
        tekken(config.clone(), json!([{"rank": 1, "token_bytes": "AA=="}])).as_bytes(),
        "`vocab`, entry 0: the rank is 1",
    );
    refused(
        tekken(config.clone(), json!([{"rank": 0, "token_bytes": "AQ=="}])).as_bytes(),
        "`vocab`, entry 0: the token is not the byte 0x00",
    );
    refused(
        tekken(config, json!(7)).as_bytes(),
        "not a tekken.json: invalid type: integer `7`",
    );
    // A truncated model of every length is refused or read, and never more.
    let whole = read("bpe-symbols.model");
    for length in (0..whole.len()).step_by(61) {
        std::fs::write(&path, &whole[..length]).unwrap();
        if let Ok(tokenizer) = tokenizer::load(text(&path)) {
            let mut ids = Vec::new();
            encode_text(tokenizer.as_ref(), "the cat <sep> \u{1F600}", &mut ids).unwrap();
        }
    }
}

#[test]
fn a_configuration_that_needs_a_tokenizer_json_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (model, config) = (
        folder.path().join("tokenizer.model"),
        folder.path().join("tokenizer_config.json"),
    );
    std::fs::write(&model, read("bpe.model")).unwrap();
    let spaces = "`legacy` or `add_prefix_space` is false: spaces after special tokens then differ from those of the \
                  sentencepiece library";
    let odd = "the added token `<x>` absorbs spaces or matches whole words only (`lstrip`, `rstrip`, `single_word`), which \
               is supported in a tokenizer.json only";
    let token = |flag: &str| json!({"added_tokens_decoder": {"1": {"content": "<x>", flag: true}}});
    for (content, problem) in [
        (json!({"legacy": false}), spaces),
        (json!({"add_prefix_space": false}), spaces),
        (token("lstrip"), odd),
        (token("rstrip"), odd),
        (token("single_word"), odd),
    ] {
        std::fs::write(&config, content.to_string()).unwrap();
        let error = tokenizer::load(text(&model)).err().unwrap().to_string();
        let expected = format!(
            "{}: {problem}; give the model's tokenizer.json in place of {}",
            text(&config),
            text(&model)
        );
        assert_eq!(error, expected);
    }
    std::fs::write(&config, json!({"legacy": true}).to_string()).unwrap();
    assert!(tokenizer::load(text(&model)).is_ok());
}

/// A folder with a chat and the files of a tokenizer.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let chat = r#"{"id": "c", "messages": [{"role": "user", "content": "the cat ⠿"}, {"role": "assistant", "content": "sat"}]}"#;
    std::fs::write(folder.path().join("chat.jsonl"), chat).unwrap();
    for (name, source) in files {
        std::fs::write(folder.path().join(name), read(source)).unwrap();
    }
    folder
}

fn generate(folder: &Path) -> (Option<i32>, String) {
    let output = replay_in(
        folder,
        &[
            "gen-trace",
            "chat.jsonl",
            "--tokenizer",
            ".",
            "--chat-template",
            "simple",
            "--output",
            "t.jsonl",
        ],
    );
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_folder_with_several_tokenizers_uses_the_first_kind_and_says_so() {
    let all = [
        ("tokenizer.json", "gpt2.json"),
        ("tekken.json", "tekken.json"),
        ("tokenizer.model", "bpe.model"),
    ];
    let note = |name: &str| {
        format!("the tokenizer is read from {name} of the folder, which has no tokenizer.json")
    };
    for skipped in 0..3 {
        let folder = folder(&all[skipped..]);
        let (code, stderr) = generate(folder.path());
        assert_eq!(code, Some(0), "{stderr}");
        let said = stderr.contains(&note(all[skipped].0));
        assert_eq!(said, skipped > 0, "{stderr}");
        let trace = std::fs::read_to_string(folder.path().join("t.jsonl")).unwrap();
        let name = Path::new(".").join(all[skipped].0);
        assert!(trace.contains(text(&name)), "{trace}");
    }
}

#[test]
fn a_text_that_a_tokenizer_cannot_encode_names_the_tokenizer() {
    let folder = folder(&[]);
    let mut file: Value = serde_json::from_slice(&read("wordpiece.json")).unwrap();
    file["model"]["unk_token"] = json!("[NONE]");
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    let (code, stderr) = generate(folder.path());
    assert_eq!(code, Some(2));
    assert_eq!(
        stderr,
        "error: ./tokenizer.json: the tokenizer cannot encode conversation `c`: WordPiece error: Missing [UNK] token from the \
         vocabulary; set another --tokenizer\n"
    );
    assert!(!folder.path().join("t.jsonl").exists());
}

#[test]
fn a_pattern_that_takes_too_many_steps_names_the_tokenizer() {
    let folder = folder(&[]);
    let pattern = json!({"Regex": r"(\w+)+\1!|\s"});
    let pre_tokenizer =
        json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
    let file = bpe(json!({"pre_tokenizer": pre_tokenizer}));
    std::fs::write(folder.path().join("tokenizer.json"), file).unwrap();
    let chat = format!(
        r#"{{"id": "c", "messages": [{{"role": "user", "content": "{}"}}, {{"role": "assistant", "content": "a"}}]}}"#,
        "a".repeat(40)
    );
    std::fs::write(folder.path().join("chat.jsonl"), chat).unwrap();
    let (code, stderr) = generate(folder.path());
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.starts_with(
            "error: ./tokenizer.json: the tokenizer cannot encode conversation `c`: the pattern `(["
        ) && stderr
            .ends_with("Max limit for backtracking count exceeded; set another --tokenizer\n"),
        "{stderr}"
    );
}

#[test]
fn a_wrong_merge_is_named_in_a_large_vocabulary_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&read("gpt2.json")).unwrap();
    file["model"]["merges"][3] = json!(["t", "q"]);
    std::fs::write(&path, file.to_string()).unwrap();
    let error = tokenizer::load(text(&path)).err().unwrap().to_string();
    assert!(
        error.contains(
            "`model.merges`, number 4: `tq` of the merge `t q` is not in the vocabulary; give"
        ),
        "{error}"
    );
}
