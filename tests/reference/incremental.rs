//! Prompts that are encoded piece by piece have the ids of the whole text, with the models' own tokenizers and on real chats.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::sync::LazyLock;

use kvreplay::dataset::Conversation;
use kvreplay::dataset::sharegpt::{Dataset, LoadOptions};
use kvreplay::prompt::PromptEncoder;
use kvreplay::prompt::template::ChatTemplate;
use kvreplay::prompt::tokenizer;
use proptest::prelude::*;

use crate::common::chats::conversation;
use crate::common::encoding::{BUILTIN, Model, all_templates, learnt};
use crate::harness::Need::Data;
use crate::harness::{shared, tests};

tests! {
    models_own_tokenizers: [Data("tokenizers/qwen3"), Data("tokenizers/gpt2"), Data("tokenizers/mistral_nemo"), Data("tokenizers/deepseek_v3")];
    real_conversations: [Data("data/sharegpt_v3_split_first1000.jsonl.xz"), Data("tokenizers/qwen3"), Data("tokenizers/gpt2"), Data("tokenizers/mistral_nemo"), Data("tokenizers/deepseek_v3")];
    builtin_vocabularies_are_the_models: [
        Data("data/sharegpt_v3_split_first1000.jsonl.xz"), Data("tokenizers/qwen3"), Data("tokenizers/gpt2"), Data("tokenizers/mistral_nemo"), Data("tokenizers/deepseek_v3")];
}

/// The models' own tokenizers.
static SHARED: LazyLock<Vec<Model>> = LazyLock::new(|| {
    ["qwen3", "gpt2", "mistral_nemo", "deepseek_v3"]
        .iter()
        .map(|name| {
            let folder = shared(&format!("tokenizers/{name}"));
            let mut templates = all_templates();
            // Its own template last: it is the one that the tests of real data take.
            templates.extend(ChatTemplate::of_tokenizer(&folder).unwrap().map(learnt));
            Model {
                name: (*name).into(),
                added: None,
                templates,
                tokenizer: tokenizer::load(crate::common::text(&folder)).unwrap(),
            }
        })
        .collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    fn models_own_tokenizers(conversation in conversation()) {
        for model in SHARED.iter() {
            model.check_all(&conversation).map_err(TestCaseError::fail)?;
        }
    }
}

/// The first conversations of the real data.
fn real(most: usize) -> Vec<Conversation> {
    let packed = shared("data/sharegpt_v3_split_first1000.jsonl.xz");
    let folder = tempfile::tempdir().unwrap();
    let file = crate::common::unpack(&packed, folder.path());
    let dataset = Dataset::open(&[file], LoadOptions::default()).unwrap();
    let mut found = Vec::new();
    for chat in 0..dataset.len() {
        found.extend(dataset.load(chat).unwrap().0);
        if found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    found
}

fn real_conversations() {
    let conversations = real(150);
    for model in BUILTIN.iter().chain(SHARED.iter()) {
        let own = match &model.added {
            Some(_) if model.name == "llama3" => &model.templates[2],
            Some(_) => &model.templates[0],
            None => model.templates.last().unwrap(),
        };
        // Without any special token, only line ends are left to cut at.
        for (template, growth) in [own, &model.templates[1]] {
            let mut encoder = PromptEncoder::new(template, growth, model.tokenizer.as_ref());
            let mut prompts = 0;
            for conversation in &conversations {
                // Whole encoding is quadratic in the turns; the longest chats would take most of the time.
                let mut conversation = conversation.clone();
                conversation.messages.truncate(2000);
                prompts += model.check(template, &mut encoder, &conversation).unwrap();
            }
            assert!(
                prompts > 200,
                "{} x {}: {prompts} prompts",
                model.name,
                template.name()
            );
        }
    }
}

/// The vocabularies that are built in give the ids of the models' own files.
fn builtin_vocabularies_are_the_models() {
    let conversations = real(300);
    let builtin = |name: &str| BUILTIN.iter().find(|model| model.name == name).unwrap();
    for (name, file) in [("qwen2", "qwen3"), ("qwen3", "qwen3"), ("gpt2", "gpt2")] {
        let own = SHARED.iter().find(|model| model.name == file).unwrap();
        let (mut compared, mut different) = (0, Vec::new());
        for message in conversations.iter().flat_map(|chat| &chat.messages) {
            compared += 1;
            if builtin(name).whole(&message.content) != own.whole(&message.content) {
                different.push(&message.content);
            }
        }
        assert!(compared > 1000);
        assert_eq!(
            different.first(),
            None,
            "{name}: {} differ",
            different.len()
        );
    }
}
