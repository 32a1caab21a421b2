//! Prompts that are encoded piece by piece have the ids of the whole text, for every built-in tokenizer and template.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use kvreplay::dataset::{Conversation, Message, Role};
use kvreplay::prompt::template::{ChatTemplate, SpecialTokens};
use kvreplay::prompt::{Growth, PromptEncoder};
use proptest::prelude::*;

use crate::common::chats::conversation;
use crate::common::encoding::BUILTIN;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn builtin_tokenizers(conversation in conversation()) {
        for model in BUILTIN.iter() {
            model.check_all(&conversation).map_err(TestCaseError::fail)?;
        }
    }
}

#[test]
fn the_slow_way_knows_the_added_tokens() {
    let named = |name: &str| BUILTIN.iter().find(|model| model.name == name).unwrap();
    assert_eq!(named("qwen3").added.as_ref().unwrap().len(), 11);
    assert_eq!(named("gpt2").added.as_ref().unwrap().len(), 1);
    assert_eq!(named("chars").added.as_ref().unwrap().len(), 0);
    assert_eq!(
        named("qwen2").whole("<|im_start|>user\nHi<|im_end|>")[0],
        151_644
    );
}

/// A prompt that is rewritten between turns may have a letter of several bytes where the one before it ended.
#[test]
fn a_rewritten_prompt_is_cut_at_no_half_character() {
    let message = |role, content: &str| Message {
        role,
        content: content.into(),
    };
    for filler in ["abc", "abcd", "abcde", "abcdef"] {
        let conversation = Conversation {
            id: "c".into(),
            messages: vec![
                message(Role::System, &"x".repeat(40)),
                message(Role::User, filler),
                message(Role::Assistant, &"語🎉é".repeat(20)),
                message(Role::User, &"日本".repeat(30)),
                message(Role::Assistant, "b"),
            ],
            timestamp: None,
        };
        for model in BUILTIN.iter() {
            model.check_all(&conversation).unwrap();
        }
    }
}

/// What is learnt of a template from a few turns may not be believed of all that come later.
#[test]
fn templates_that_change_in_long_chats() {
    let model = BUILTIN.iter().find(|model| model.name == "chars").unwrap();
    let say = |turn: usize| {
        [
            (Role::User, format!("q{turn}")),
            (Role::Assistant, format!("a{turn}")),
        ]
        .map(|(role, content)| Message { role, content })
    };
    for (name, end) in [
        (
            "at one length",
            "{% if messages | length == 15 %}X{% endif %}",
        ),
        (
            "from one length on",
            "{% if messages | length > 14 %}X{% endif %}",
        ),
        ("at one place", "{{ 'X' if messages[14] }}"),
    ] {
        let source = format!("{{% for m in messages %}}{{{{ m.content }}}}\n{{% endfor %}}{end}");
        let template = ChatTemplate::from_source(name, &source, SpecialTokens::default()).unwrap();
        let growth = Growth::learn(&template);
        for turns in [6, 7, 8, 9, 12] {
            let conversation = Conversation {
                id: "c".into(),
                messages: (0..turns).flat_map(say).collect(),
                timestamp: None,
            };
            let mut encoder = PromptEncoder::new(&template, &growth, model.tokenizer.as_ref());
            let count = model.check(&template, &mut encoder, &conversation);
            assert_eq!(count, Ok(turns), "{name}");
        }
    }
}
