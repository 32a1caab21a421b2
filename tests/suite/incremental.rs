//! Prompts that are encoded piece by piece have the ids of the whole text, for every tokenizer and template.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::print_stderr, reason = "a test says what it compared")]

use std::sync::LazyLock;

use kvreplay::dataset::sharegpt::{Dataset, LoadOptions};
use kvreplay::dataset::{Conversation, Message, Role};
use kvreplay::prompt::template::{ChatTemplate, SpecialTokens};
use kvreplay::prompt::tokenizer::{self, Tokenizer};
use kvreplay::prompt::{Growth, PromptEncoder};
use proptest::prelude::*;

struct Model {
    name: String,
    tokenizer: Box<dyn Tokenizer>,
    templates: Vec<(ChatTemplate, Growth)>,
    /// Texts of added tokens with their ids, where the tokenizer does not look for them itself.
    added: Option<Vec<(String, u32)>>,
}

/// Templates that rewrite what they rendered before, each in its own way.
const REWRITING: &[(&str, &str)] = &[
    (
        "moves the system message to the end",
        "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
         {% endif %}{% endfor %}{{ messages[0].content }}\n{% if add_generation_prompt %}Assistant: {% endif %}",
    ),
    (
        "counts the messages first",
        "{{ messages | length }}\n{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}",
    ),
    (
        "drops all but the last messages",
        "{% for m in messages[-2:] %}{{ m.role }}\n{{ m.content }}\n{% endfor %}",
    ),
    (
        "has nothing between messages",
        "{% for m in messages %}{{ m.content }}{% endfor %}",
    ),
    (
        "looks at the number of messages",
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if messages | length == 3 %}X{% endif %}",
    ),
    (
        "looks at the content",
        "{% for m in messages %}{% if '42' in m.content %}!{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}",
    ),
    (
        "trims, and marks the last one",
        "{% for m in messages %}{{ m.content | trim if loop.last else m.content }}\n{% endfor %}a",
    ),
];

/// With what was learnt of it.
fn learnt(template: ChatTemplate) -> (ChatTemplate, Growth) {
    let growth = Growth::learn(&template);
    (template, growth)
}

fn all_templates() -> Vec<(ChatTemplate, Growth)> {
    let mut templates: Vec<_> = ["chatml", "simple", "llama3", "llama3.1"]
        .iter()
        .map(|name| ChatTemplate::builtin(name).unwrap())
        .collect();
    templates.extend(REWRITING.iter().map(|(name, source)| {
        ChatTemplate::from_source(name, source, SpecialTokens::default()).unwrap()
    }));
    templates.into_iter().map(learnt).collect()
}

static BUILTIN: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let ends = [
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<tool_response>",
        "</tool_response>",
        "<|vision_start|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
        "<|fim_prefix|>",
        "<|endofprompt|>",
    ];
    tokenizer::builtin_names()
        .into_iter()
        .map(|name| {
            let tokenizer = tokenizer::load(name).unwrap();
            // The specials of this tokenizer, found out by what its rules take for a token.
            let added = ends.iter().filter_map(|text| {
                let mut id = None;
                tokenizer.cuts().pieces(text, 0, &[], |piece| {
                    if let kvreplay::prompt::cuts::Piece::Token {
                        start: 0,
                        end,
                        id: found,
                    } = piece
                        && end == text.len()
                    {
                        id = Some(found);
                    }
                });
                id.map(|id| ((*text).to_owned(), id))
            });
            Model {
                name: name.into(),
                added: Some(added.collect()),
                templates: all_templates(),
                tokenizer,
            }
        })
        .collect()
});

static SHARED: LazyLock<Vec<Model>> = LazyLock::new(|| {
    ["qwen3", "gpt2", "mistral_nemo", "deepseek_v3"]
        .iter()
        .filter_map(|name| {
            let folder = crate::common::shared(&format!("tokenizers/{name}"))?;
            let mut templates = all_templates();
            // Its own template last: it is the one that the tests of real data take.
            templates.extend(ChatTemplate::of_tokenizer(&folder).unwrap().map(learnt));
            Some(Model {
                name: (*name).into(),
                added: None,
                templates,
                tokenizer: tokenizer::load(crate::common::text(&folder)).unwrap(),
            })
        })
        .collect()
});

impl Model {
    /// The ids of a text, computed the slow and simple way.
    fn whole(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let Some(added) = &self.added else {
            self.tokenizer.encode(text, &mut ids).unwrap();
            return ids;
        };
        let mut rest = text;
        loop {
            // The leftmost added token, and of those the longest.
            let next = added
                .iter()
                .filter_map(|(token, id)| Some((rest.find(token)?, usize::MAX - token.len(), *id)))
                .min();
            let Some((at, length, id)) = next else { break };
            if at > 0 {
                self.tokenizer.encode(&rest[..at], &mut ids).unwrap();
            }
            ids.push(id);
            rest = &rest[at + (usize::MAX - length)..];
        }
        if !rest.is_empty() {
            self.tokenizer.encode(rest, &mut ids).unwrap();
        }
        ids
    }

    /// Compares every prompt of a conversation; how many there were, or what differs.
    fn check(
        &self,
        template: &ChatTemplate,
        encoder: &mut PromptEncoder<'_>,
        conversation: &Conversation,
    ) -> Result<usize, String> {
        let prepared = template.messages(&conversation.messages);
        let messages = &conversation.messages;
        let mut asked = (0..messages.len().saturating_sub(1)).filter(|index| {
            messages[*index].role == Role::User && messages[index + 1].role == Role::Assistant
        });
        let mut problem = None;
        let mut before: Vec<u32> = Vec::new();
        let mut count = 0;
        let result = encoder.encode(conversation, false, |turn| {
            let index = asked.next().unwrap();
            let text = template.render(&prepared, index + 1, true).unwrap();
            let expected = self.whole(&text);
            let stable_is_true = turn.stable <= before.len()
                && turn.stable <= expected.len()
                && before[..turn.stable] == expected[..turn.stable];
            if turn.prompt != expected || !stable_is_true {
                let at = turn.prompt.iter().zip(&expected).take_while(|(a, b)| a == b).count();
                problem.get_or_insert_with(|| {
                    format!(
                        "{} x {}, turn {}, stable {}: at id {at} found {:?}, expected {:?}, in {text:?}",
                        self.name,
                        template.name(),
                        turn.number,
                        turn.stable,
                        &turn.prompt[at..turn.prompt.len().min(at + 5)],
                        &expected[at..expected.len().min(at + 5)]
                    )
                });
            }
            before = expected;
            count += 1;
        });
        match (result, problem) {
            (_, Some(problem)) => Err(problem),
            // A template may refuse odd conversations.
            _ => Ok(count),
        }
    }

    fn check_all(&self, conversation: &Conversation) -> Result<(), String> {
        for (template, growth) in &self.templates {
            let mut encoder = PromptEncoder::new(template, growth, self.tokenizer.as_ref());
            self.check(template, &mut encoder, conversation)?;
        }
        Ok(())
    }
}

/// What tokenizers treat in their own ways, and what could melt into its neighbours.
const PARTS: &[&str] = &[
    "Hello",
    "world",
    "a",
    "I",
    "'s",
    "'LL",
    "don't",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    " \n",
    "\n ",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    "1",
    "42",
    "1234567",
    "3.14",
    ".",
    "...",
    "!?",
    ";\n",
    "://",
    "/",
    "\\n",
    "{}",
    "```rust\nfn main() {}\n```",
    "<|im_end|>",
    "<|im_start|>",
    "<|im_start|>user\n",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<think>",
    "</think>",
    "<think>\nx\n</think>\n\n",
    "<tool_call>",
    "</s>",
    "<s>",
    "[INST]",
    "[/INST]",
    " [INST] ",
    "<|im_",
    "end|>",
    "<|",
    "|>",
    "<｜User｜>",
    "<｜end▁of▁sentence｜>",
    "日本語",
    "中文。",
    "한국어",
    "ひらがな",
    "カタカナ",
    "ไทย",
    "हिन्दी",
    "العربية",
    "é",
    "e\u{301}",
    "\u{301}",
    "\u{308}a",
    "\u{327}",
    "Å",
    "A\u{30a}",
    "\u{1100}\u{1161}",
    "\u{1161}",
    "ﬁ",
    "🎉",
    "👩‍👩‍👧",
    "🇩🇪",
    "\u{fe0f}",
    "\u{200b}",
    "\u{200d}",
    "\u{feff}",
    "\0",
    "\u{7f}",
    "Σς",
    "ǅ",
    "Assistant:",
    "User: ",
    "assistant\n",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::collection::vec(prop::sample::select(PARTS), 0..8).prop_map(|parts| parts.concat()),
        2 => prop::collection::vec(
            prop_oneof![prop::sample::select(PARTS).prop_map(str::to_owned), "\\PC{1,3}", "[a-zA-Z0-9 \n]{1,6}"],
            0..6
        ).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
}

fn conversation() -> impl Strategy<Value = Conversation> {
    let turns = prop_oneof![
        9 => prop::collection::vec((text(), text()), 1..5),
        1 => prop::collection::vec((text(), text()), 5..12),
    ];
    (prop::option::of(text()), turns).prop_map(|(system, turns)| {
        let mut messages = Vec::new();
        let mut say = |role, content| messages.push(Message { role, content });
        if let Some(system) = system {
            say(Role::System, system);
        }
        for (question, answer) in turns {
            say(Role::User, question);
            say(Role::Assistant, answer);
        }
        Conversation {
            id: "c".into(),
            messages,
            timestamp: None,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn builtin_tokenizers(conversation in conversation()) {
        for model in BUILTIN.iter() {
            model.check_all(&conversation).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn models_own_tokenizers(conversation in conversation()) {
        for model in SHARED.iter() {
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

/// The first conversations of the real data.
fn real(most: usize) -> Option<Vec<Conversation>> {
    let packed = crate::common::shared("data/sharegpt_v3_split_first1000.jsonl.xz")?;
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
    Some(found)
}

#[test]
fn real_conversations() {
    let Some(conversations) = real(150) else {
        return;
    };
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
            assert!(prompts > 200, "{prompts} prompts");
            eprintln!("{} x {}: {prompts} prompts", model.name, template.name());
        }
    }
}

/// The vocabularies that are built in give the ids of the models' own files.
#[test]
fn builtin_vocabularies_are_the_models() {
    let Some(conversations) = real(300) else {
        return;
    };
    let builtin = |name: &str| BUILTIN.iter().find(|model| model.name == name).unwrap();
    for (name, file) in [("qwen2", "qwen3"), ("qwen3", "qwen3"), ("gpt2", "gpt2")] {
        let Some(own) = SHARED.iter().find(|model| model.name == file) else {
            return;
        };
        let (mut compared, mut different) = (0, Vec::new());
        for message in conversations.iter().flat_map(|chat| &chat.messages) {
            compared += 1;
            if builtin(name).whole(&message.content) != own.whole(&message.content) {
                different.push(&message.content);
            }
        }
        eprintln!("{name}: {compared} messages, {} differ", different.len());
        assert!(compared > 1000);
        assert_eq!(
            different.first(),
            None,
            "{name}: {} differ",
            different.len()
        );
    }
}
