//! Chat templates against what transformers renders.
//!
//! `oracle_agrees` asks the Python that `REPLAY_ORACLE_PYTHON` names; `REPLAY_ORACLE_TEMPLATES` may name a folder of
//! `tokenizer_config.json` files (any names) to compare beside the built-in templates.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use kvreplay::base::io::Input;
use kvreplay::dataset::{Message, Role};
use kvreplay::prompt::template::{ChatTemplate, SpecialTokens, TemplateError};
use kvreplay::prompt::tokenizer;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::common::templates::{GAPS, message};
use crate::common::text;
use crate::harness::Need::{Data, Rebuilt, Variable};
use crate::harness::{shared, tests};

tests! {
    shared_tokenizers_render_as_they_did_when_the_oracle_agreed: [
        Data("tokenizers/qwen3"), Data("tokenizers/deepseek_v3"), Data("tokenizers/mistral_nemo")];
    templates_render_and_encode_as_in_transformers: [
        Rebuilt("reference/chat-templates"), Data("tokenizers")];
    oracle_agrees: [Variable(PYTHON)];
}

/// The variable that names a Python with transformers.
const PYTHON: &str = "REPLAY_ORACLE_PYTHON";

/// Contents that templates or engines treat in their own ways.
const CONTENTS: [&str; 18] = [
    "Hello",
    "  leading and trailing \n",
    "\n\nlines\n\n",
    "<b>&amp; \"quotes\" 'single' \\back\\n</b>",
    "Grüße 日本語 🎉👩‍👩‍👧 ﷽ ß İ",
    "<think>\nreason\n</think>\n\nanswer",
    "<think>a</think>b<think>c</think>d",
    "only end</think> tail ",
    "<tool_response>\n{\"a\": 1.50}\n</tool_response>",
    "<tool_call>\n{}\n</tool_call>",
    "",
    "   ",
    "\u{1c}\u{1d}a\u{1e}\u{1f}",
    "\u{85}\u{a0}b\u{2028}\u{2029}\u{3000}",
    "\u{feff}c\u{200b}\u{feff}",
    "{{ messages }}{% raw %}%s {} {0}",
    "\u{b}\u{c}tab\t\r\ncarriage\r",
    "/think /no_think system_override <|im_end|> [INST] </s>",
];

fn conversations() -> Vec<Vec<Message>> {
    use Role::{Assistant, System, Tool, User};
    let content = |at: usize| CONTENTS[at % CONTENTS.len()];
    let mut all = vec![
        vec![],
        vec![message(System, "alone")],
        vec![message(Assistant, "alone")],
    ];
    for at in 0..CONTENTS.len() {
        for system in [false, true] {
            for turns in [1, 2, 4] {
                let mut one = Vec::new();
                if system {
                    one.push(message(System, content(at + 3 * turns)));
                }
                for turn in 0..turns {
                    one.push(message(User, content(at + 5 * turn)));
                    one.push(message(Assistant, content(at + 7 * turn + turns - 1)));
                }
                all.push(one[..one.len() - 1].to_vec());
                all.push(one);
            }
        }
        all.push(vec![
            message(User, "call"),
            message(Assistant, content(at)),
            message(Tool, content(at + 1)),
            message(Tool, content(at + 2)),
            message(Assistant, content(at + 3)),
            message(User, content(at + 4)),
        ]);
        all.push(vec![
            message(User, content(at)),
            message(User, content(at + 1)),
            message(System, content(at + 2)),
        ]);
    }
    let long = (0..16).map(|at| message(if at % 2 == 0 { User } else { Assistant }, content(at)));
    all.push(long.collect());
    all
}

/// Of what transformers renders for all conversations here, with and without generation prompt.
const SHARED: [(&str, &str); 3] = [
    (
        "qwen3",
        "23f59dafd48bd49456fb0c8099c552cdd22a177a3d8f1123ae496669b7a6bb89",
    ),
    (
        "deepseek_v3",
        "8c61c2b1515159dcf6e30fcf3c200d2b44924a1f17d55d9a9f4ef82c3737d57d",
    ),
    (
        "mistral_nemo",
        "ac6ca7c0fe850eefebd5195c0d19dce15feed011a345a1ad5c7d6e10c4b8212c",
    ),
];

fn shared_tokenizers_render_as_they_did_when_the_oracle_agreed() {
    let mut wrong = Vec::new();
    for (name, wanted) in SHARED {
        let packed = shared(&format!("tokenizers/{name}/tokenizer_config.json.gz"));
        let file = std::fs::File::open(packed).expect("opens");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("tokenizer_config.json");
        let mut out = std::fs::File::create(&config).expect("created");
        std::io::copy(&mut flate2::read::GzDecoder::new(file), &mut out).expect("unpacked");
        let template =
            ChatTemplate::find(folder.path(), &SpecialTokens::default()).expect("a template");
        let mut hash = Sha256::new();
        for talk in conversations() {
            let prepared = template.messages(&talk);
            for generate in [false, true] {
                match template.render(&prepared, talk.len(), generate) {
                    Ok(text) => hash.update(format!("ok {text}\0")),
                    Err(TemplateError::Rejected(why)) => hash.update(format!("rejected {why}\0")),
                    Err(TemplateError::Failed(_)) => hash.update("failed\0"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let got: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if got != wanted {
            wrong.push(format!("{name} {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each tokenizer of the folder, as `scripts/reference/rebuild.py transformers` writes it.
fn templates_render_and_encode_as_in_transformers() {
    let mut compared = 0;
    for entry in std::fs::read_dir(shared("reference/chat-templates")).expect("lists") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("named").to_string_lossy();
        let Some(name) = file.strip_suffix(".jsonl.gz") else {
            continue;
        };
        let folder = shared(&format!("tokenizers/{name}"));
        let tokenizer = tokenizer::load(text(&folder)).expect("a tokenizer");
        let template = ChatTemplate::of_tokenizer(&folder)
            .expect("reads")
            .expect("a template");
        let lines = Input::open(&path).expect("opens").into_reader();
        for line in std::io::read_to_string(lines).expect("reads").lines() {
            let expected: Json = serde_json::from_str(line).expect("JSON");
            let messages: Vec<Message> = expected["messages"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| {
                    let word = |key: &str| one[key].as_str().expect("a text");
                    message(Role::parse(word("role")).expect("a role"), word("content"))
                })
                .collect();
            let generate = expected["generate"] == true;
            let prepared = template.messages(&messages);
            match template.render(&prepared, messages.len(), generate) {
                Ok(found) => {
                    assert_eq!(expected["ok"], found.as_str(), "{name}: {line}");
                    let mut ids = Vec::new();
                    tokenizer.encode(&found, &mut ids).expect("encodes");
                    assert_eq!(expected["ids"], json!(ids), "{name}: {found:?}");
                }
                Err(TemplateError::Rejected(why)) => {
                    assert_eq!(expected["rejected"], why.as_str(), "{name}: {line}");
                }
                // The messages of failures are each engine's own.
                Err(TemplateError::Failed(_)) => {
                    assert!(expected["failed"].is_string(), "{name}: {line}");
                }
                Err(error) => panic!("{name}: {error}"),
            }
            compared += 1;
        }
    }
    assert!(compared > 0);
}

fn oracle_agrees() {
    let python = std::env::var(PYTHON).expect("a path in UTF-8");
    let mut templates: Vec<ChatTemplate> = ChatTemplate::builtin_names()
        .iter()
        .filter_map(|name| ChatTemplate::builtin(name).ok())
        .collect();
    for (source, _) in GAPS {
        templates.extend(ChatTemplate::from_source(
            source,
            source,
            SpecialTokens::default(),
        ));
    }
    let mut refused = Vec::new();
    if let Ok(folder) = std::env::var("REPLAY_ORACLE_TEMPLATES") {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("a folder")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for path in paths {
            match ChatTemplate::find(&path, &SpecialTokens::default()) {
                Ok(template) => templates.push(template.renamed(&path.to_string_lossy())),
                Err(error) => refused.push(error.to_string()),
            }
        }
    }
    let talks = conversations();
    let cases: Vec<(usize, bool)> = (0..talks.len())
        .flat_map(|at| [(at, false), (at, true)])
        .collect();
    let request = json!({
        "date": [2024, 7, 26],
        "templates": templates.iter().map(|template| json!({
            "source": template.source(), "tokens": tokens(template.tokens()),
        })).collect::<Vec<_>>(),
        "cases": cases.iter().map(|&(at, generate)| json!({
            "messages": talks[at].iter().map(|message| json!({
                "role": message.role.as_str(), "content": message.content,
            })).collect::<Vec<_>>(),
            "generate": generate,
        })).collect::<Vec<_>>(),
    });
    let answers = ask(&python, &request);
    let mut wrong = Vec::new();
    for (template, answers) in templates.iter().zip(answers.as_array().expect("a list")) {
        let prepared: Vec<_> = talks.iter().map(|talk| template.messages(talk)).collect();
        let mut bad = Vec::new();
        let mut good = 0;
        for (&(at, generate), answer) in cases.iter().zip(answers.as_array().expect("a list")) {
            let got = match template.render(&prepared[at], talks[at].len(), generate) {
                Ok(text) => json!({ "ok": text }),
                Err(TemplateError::Rejected(message)) => json!({ "rejected": message }),
                Err(TemplateError::Failed(message)) => json!({ "failed": message }),
                Err(error) => json!({ "unusable": error.to_string() }),
            };
            // Messages of failures are each engine's own.
            let same =
                got == *answer || (got.get("failed").is_some() && answer.get("failed").is_some());
            if same {
                good += usize::from(got.get("ok").is_some())
            } else {
                bad.push(difference(&answer.to_string(), &got.to_string()))
            }
        }
        assert!(good > 0, "{} renders nothing", template.name());
        if let Some(first) = bad.first() {
            wrong.push(format!(
                "{}: {} of {} differ, first:\n{first}",
                template.name(),
                bad.len(),
                cases.len()
            ));
        }
    }
    assert!(
        wrong.is_empty() && refused.is_empty(),
        "{}\n{}",
        wrong.join("\n"),
        refused.join("\n")
    );
}

/// Both from a little before the place where they part.
fn difference(wanted: &str, got: &str) -> String {
    let part = wanted
        .chars()
        .zip(got.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let tail = |text: &str| {
        text.chars()
            .skip(part.saturating_sub(40))
            .take(240)
            .collect::<String>()
    };
    format!("  wanted {}\n  got    {}", tail(wanted), tail(got))
}

fn tokens(tokens: &SpecialTokens) -> Json {
    let mut all = serde_json::Map::new();
    let named = [
        ("bos_token", &tokens.bos_token),
        ("eos_token", &tokens.eos_token),
        ("pad_token", &tokens.pad_token),
        ("unk_token", &tokens.unk_token),
    ];
    for (name, token) in named {
        all.extend(
            token
                .clone()
                .map(|token| (name.to_owned(), Json::from(token))),
        );
    }
    Json::from(all)
}

fn ask(python: &str, request: &Json) -> Json {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("request.json");
    std::fs::write(&path, request.to_string()).expect("written");
    let output = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/scripts/reference/render_templates.py"
        ))
        .stdin(Stdio::from(
            std::fs::File::open(&path).expect("just written"),
        ))
        .stderr(Stdio::inherit())
        .output()
        .expect("the oracle runs");
    serde_json::from_slice(&output.stdout).expect("answers")
}
