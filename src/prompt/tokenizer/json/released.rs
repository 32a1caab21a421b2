//! The released implementation of the `tokenizers` crate, which is the reference for all kinds of `tokenizer.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use fancy_regex::Regex;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokenizers_released::Tokenizer;

use super::regex::rewrite;

/// Tokenizer of the released implementation.
pub(super) struct Released {
    tokenizer: Tokenizer,
    /// The patterns of its normalizer and pre-tokenizer.
    patterns: Vec<Regex>,
}

impl Released {
    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// The message of the library.
    pub(super) fn build(text: &str) -> Result<Self, String> {
        let (text, patterns) = with_rewritten_patterns(text)?;
        let mut tokenizer: Tokenizer =
            text.parse().map_err(|error: tokenizers_released::Error| {
                // The place counts from where the component begins, or has been rewritten.
                let message = error.to_string();
                let end = message.rfind(" at line ").unwrap_or(message.len());
                message[..end].to_owned()
            })?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| error.to_string())?;
        // The library has compiled them all without an error.
        let patterns = patterns.iter().map(|pattern| Regex::new(pattern));
        Ok(Self {
            tokenizer,
            patterns: patterns
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?,
        })
    }

    /// The id of a token of the vocabulary or an added one.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        // When matching takes too many steps back, the library treats the rest of the text as if nothing matched.
        for pattern in &self.patterns {
            if let Some(error) = pattern.find_iter(text).find_map(Result::err) {
                return Err(format!(
                    "the pattern `{}`: {error}",
                    shown(pattern.as_str())
                ));
            }
        }
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| error.to_string())?;
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.tokenizer
            .decode(ids, false)
            .map_err(|error| error.to_string())
    }
}

/// The document with its regular expressions in the form in which this program's engine matches what the reference's does, and
/// the expressions of the normalizer and the pre-tokenizer.
fn with_rewritten_patterns(text: &str) -> Result<(Cow<'_, str>, Vec<String>), String> {
    let words = |error: serde_json::Error| error.to_string();
    let mut parts: BTreeMap<&str, Cow<'_, RawValue>> =
        serde_json::from_str::<BTreeMap<&str, &RawValue>>(text)
            .map_err(words)?
            .into_iter()
            .map(|(key, part)| (key, Cow::Borrowed(part)))
            .collect();
    let mut any = false;
    let mut patterns = Vec::new();
    for key in ["decoder", "normalizer", "pre_tokenizer"] {
        if key == "normalizer" {
            patterns.clear();
        }
        let Some(part) = parts.get_mut(key) else {
            continue;
        };
        let mut component: Value = serde_json::from_str(part.get()).map_err(words)?;
        if rewrite_in(&mut component, &mut patterns)? {
            *part = Cow::Owned(to_raw_value(&component).map_err(words)?);
            any = true;
        }
    }
    let text = match any {
        true => Cow::Owned(serde_json::to_string(&parts).map_err(words)?),
        false => Cow::Borrowed(text),
    };
    Ok((text, patterns))
}

/// The beginning of a pattern for a message.
fn shown(pattern: &str) -> Cow<'_, str> {
    match pattern.floor_char_boundary(40) {
        end if end < pattern.len() => format!("{}...", &pattern[..end]).into(),
        _ => pattern.into(),
    }
}

/// Rewrites the patterns of a component and its members, and collects them; whether one changed.
fn rewrite_in(component: &mut Value, patterns: &mut Vec<String>) -> Result<bool, String> {
    let mut changed = false;
    match component {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(pattern) if key == "Regex" => {
                        let rewritten = rewrite(pattern).map_err(|problem| {
                            format!("the pattern `{}`: {problem}", shown(pattern))
                        })?;
                        changed |= rewritten != *pattern;
                        patterns.push(rewritten.clone());
                        *pattern = rewritten;
                    }
                    other => changed |= rewrite_in(other, patterns)?,
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                changed |= rewrite_in(member, patterns)?;
            }
        }
        _ => {}
    }
    Ok(changed)
}
