//! Determines from a template's source which message contents it examines.

use super::words::{Token, tokens};
use crate::dataset::Message;

/// Smallest number of turns that are rendered to infer how prompts grow.
const LEARNT: usize = 6;

/// Numbers in the template up to which its rendering is checked for a change.
const WATCHED: usize = 32;

/// What a message must not contain for the template to treat it like any other.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// Texts that the template searches for in messages.
    contained: Vec<String>,
    /// Texts that the template compares messages with.
    equal: Vec<String>,
    /// Whether the template compares values with each other, so that equal messages could matter.
    distinct: bool,
    /// Number of turns to infer from: beyond every number that the template contains, the rendering no longer changes.
    pub(super) turns: usize,
}

/// Words that stand for roles and kinds, and so are only compared with roles and kinds.
const WORDS: &[&str] = &[
    "user",
    "assistant",
    "system",
    "tool",
    "function",
    "model",
    "ipython",
    "developer",
    "observation",
    "role",
    "content",
    "tool_results",
    "tool_calls",
    "tool_response",
    "human",
    "gpt",
    "chatbot",
    "text",
    "image",
    "video",
    "audio",
    "none",
];

/// Filters and functions whose arguments are names or fixed texts, not texts to search for in a message.
const NAMING: &[&str] = &[
    "raise_exception",
    "selectattr",
    "rejectattr",
    "map",
    "strftime_now",
    "namespace",
    "get",
    "default",
    "tojson",
];

/// Filters that order or group messages by their contents.
const REORDERING: &[&str] = &[
    "sort",
    "unique",
    "groupby",
    "dictsort",
    "random",
    "shuffle",
    "hash",
    "truncate",
    "wordcount",
];

impl Probes {
    /// Reads them from a template's source; `None` if the source does things that this analysis does not cover.
    pub(super) fn of(source: &str) -> Option<Self> {
        let tokens = tokens(source);
        let mut probes = Self {
            turns: LEARNT,
            ..Self::default()
        };
        for (index, token) in tokens.iter().enumerate() {
            let at = |offset: isize| index.checked_add_signed(offset).and_then(|i| tokens.get(i));
            match token {
                Token::Name(name) if REORDERING.contains(&&**name) => return None,
                Token::Sign(sign) if sign == "==" || sign == "!=" => {
                    let literal = |token: Option<&Token>| {
                        matches!(token, Some(Token::Text(_) | Token::Number(_)))
                            || matches!(token, Some(Token::Name(name)) if matches!(&**name, "true" | "false" | "none" | "True" | "False" | "None"))
                    };
                    let arithmetic = matches!(at(-1), Some(Token::Sign(sign)) if sign == ")");
                    probes.distinct |= !literal(at(-1)) && !literal(at(1)) && !arithmetic;
                }
                Token::Number(number) => {
                    let scaled = |token: Option<&Token>| matches!(token, Some(Token::Sign(sign)) if matches!(&**sign, "*" | "**" | "/" | "//"));
                    if *number > WATCHED || scaled(at(-1)) || scaled(at(1)) {
                        return None;
                    }
                    probes.turns = probes.turns.max(number + 3);
                }
                Token::Text(text) => probes.add(text, &tokens, index),
                _ => {}
            }
        }
        Some(probes)
    }

    fn add(&mut self, text: &str, tokens: &[Token], index: usize) {
        let sign = |token: Option<&Token>, signs: &[&str]| matches!(token, Some(Token::Sign(sign)) if signs.contains(&&**sign));
        let before = index.checked_sub(1).and_then(|i| tokens.get(i));
        let after = tokens.get(index + 1);
        let name_before = |back: usize| match index.checked_sub(back).and_then(|i| tokens.get(i)) {
            Some(Token::Name(name)) => Some(&**name),
            _ => None,
        };
        if text.is_empty() {
            return;
        }
        if WORDS.contains(&text.to_lowercase().as_str()) {
            self.equal.push(text.to_owned());
            return;
        }
        let subscript = sign(before, &["["]) && sign(after, &["]"]);
        let joined = sign(before, &["+", "~", "{{", "="]) || sign(after, &["+", "~", "}}"]);
        let looked_for = sign(before, &["==", "!=", "in"])
            || sign(after, &["==", "!="])
            || matches!(after, Some(Token::Name(name)) if name == "in" || name == "not");
        let call = name_before(2).filter(|_| sign(before, &["("]));
        if matches!(call, Some("strip" | "lstrip" | "rstrip")) && text.trim().is_empty() {
            // White space at the ends is covered by what was inferred from messages with white space.
            return;
        }
        if subscript
            || call.is_some_and(|name| NAMING.contains(&name))
            || (joined && !looked_for && call.is_none())
        {
            return;
        }
        self.contained.push(text.to_owned());
    }

    pub(super) fn pass(&self, messages: &[Message]) -> bool {
        let plain = |message: &Message| {
            let content = &*message.content;
            let trimmed = content.trim();
            // Python and Rust agree on white space but for these.
            let odd = |c: char| {
                matches!(
                    c,
                    '\u{1c}'..='\u{1f}' | '\u{85}' | '\u{f0000}' | '\u{f0001}'
                )
            };
            !trimmed.is_empty()
                && !content.starts_with(odd)
                && !content.ends_with(odd)
                && !trimmed.starts_with(odd)
                && !trimmed.ends_with(odd)
                && !self.equal.iter().any(|text| trimmed == text)
                && !self
                    .contained
                    .iter()
                    .any(|text| memchr::memmem::find(content.as_bytes(), text.as_bytes()).is_some())
        };
        if !messages.iter().all(plain) {
            return false;
        }
        let mut seen = std::collections::HashSet::new();
        !self.distinct
            || messages
                .iter()
                .all(|message| seen.insert((message.role, &*message.content)))
    }
}
