//! The released implementation of the `tokenizers` crate, which is the reference for all kinds of `tokenizer.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokenizers_released::Tokenizer;

use super::regex::rewrite;

/// Tokenizer of the released implementation.
pub(super) struct Released(Tokenizer);

impl Released {
    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// The message of the library.
    pub(super) fn build(text: &str) -> Result<Self, String> {
        let mut tokenizer: Tokenizer = with_rewritten_patterns(text)?.parse().map_err(
            |error: tokenizers_released::Error| {
                // The place counts from where the component begins, or has been rewritten.
                let message = error.to_string();
                let end = message.rfind(" at line ").unwrap_or(message.len());
                message[..end].to_owned()
            },
        )?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| error.to_string())?;
        Ok(Self(tokenizer))
    }

    /// The id of a token of the vocabulary or an added one.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        let encoding = self
            .0
            .encode_fast(text, false)
            .map_err(|error| error.to_string())?;
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.0.decode(ids, false).map_err(|error| error.to_string())
    }
}

/// The document with its regular expressions in the form in which this program's engine matches what the reference's does.
fn with_rewritten_patterns(text: &str) -> Result<Cow<'_, str>, String> {
    let words = |error: serde_json::Error| error.to_string();
    let mut parts: BTreeMap<&str, Cow<'_, RawValue>> =
        serde_json::from_str::<BTreeMap<&str, &RawValue>>(text)
            .map_err(words)?
            .into_iter()
            .map(|(key, part)| (key, Cow::Borrowed(part)))
            .collect();
    let mut any = false;
    for key in ["normalizer", "pre_tokenizer", "decoder"] {
        let Some(part) = parts.get_mut(key) else {
            continue;
        };
        let mut component: Value = serde_json::from_str(part.get()).map_err(words)?;
        if rewrite_in(&mut component)? {
            *part = Cow::Owned(to_raw_value(&component).map_err(words)?);
            any = true;
        }
    }
    match any {
        true => serde_json::to_string(&parts).map(Cow::Owned).map_err(words),
        false => Ok(Cow::Borrowed(text)),
    }
}

/// Rewrites the patterns of a component and its members; whether one changed.
fn rewrite_in(component: &mut Value) -> Result<bool, String> {
    let mut changed = false;
    match component {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(pattern) if key == "Regex" => {
                        let rewritten = rewrite(pattern).map_err(|problem| {
                            let shown = &pattern[..pattern.floor_char_boundary(40)];
                            let more = if shown.len() < pattern.len() {
                                "..."
                            } else {
                                ""
                            };
                            format!("the pattern `{shown}`{more}: {problem}")
                        })?;
                        changed |= rewritten != *pattern;
                        *pattern = rewritten;
                    }
                    other => changed |= rewrite_in(other)?,
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                changed |= rewrite_in(member)?;
            }
        }
        _ => {}
    }
    Ok(changed)
}
