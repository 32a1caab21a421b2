//! Conversations whose texts are hard to tokenize piece by piece.

use kvreplay::dataset::{Conversation, Message, Role};
use proptest::prelude::*;

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

/// Conversations of up to a dozen turns whose texts are made of such parts.
pub fn conversation() -> impl Strategy<Value = Conversation> {
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
