//! Checks of the parts of a `tokenizer.json`: what the reference implementation would fail on, and what would take absurd
//! memory or time.

use serde_json::Value;

use crate::prompt::cuts::AddedToken;

/// The largest id that a vocabulary of this size may use.
///
/// The library's tables have a row for every id up to the largest. Vocabularies have holes where tokens were removed or are
/// reserved, but not more holes than this.
pub(super) fn largest_allowed(entries: usize) -> u64 {
    4 * entries as u64 + (1 << 20)
}

/// Most added tokens that are accepted, because the library's time grows with their square. The largest known have 20,000.
const MOST_ADDED: usize = 50_000;

/// How many times as long a text may become by the normalizer's replacements. A sign for a space has three bytes.
const MOST_GROWTH: f64 = 256.0;

/// Longest text that the normalizer may put in front, in bytes.
const LONGEST_PREFIX: usize = 1_000;

/// Checks that the normalizer does not make texts absurdly long.
pub(super) fn check_growth(normalizer: &Value) -> Result<(), String> {
    let mut pending = vec![normalizer];
    let mut growth = 1.0;
    while let Some(component) = pending.pop() {
        pending.extend(
            component
                .get("normalizers")
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        );
        let length = |pointer: &str| Some(component.pointer(pointer)?.as_str()?.len());
        if length("/prepend").is_some_and(|length| length > LONGEST_PREFIX) {
            return Err(format!(
                "`normalizer` puts more than {LONGEST_PREFIX} bytes in front of a text"
            ));
        }
        if let Some(content) = length("/content") {
            // What a regular expression matches has at least one byte, or is the empty text before one.
            let replaced = length("/pattern/String").unwrap_or(1).max(1);
            growth *= (content as f64 / replaced as f64).max(1.0);
        }
    }
    if growth > MOST_GROWTH {
        return Err(format!(
            "`normalizer` replaces texts by texts that are {growth} times as long; at most {MOST_GROWTH} times is accepted"
        ));
    }
    Ok(())
}

/// Checks the number and the ids of added tokens.
pub(super) fn check_added(
    added: &[AddedToken],
    entries: usize,
    largest: u32,
) -> Result<(), String> {
    if added.len() > MOST_ADDED {
        return Err(format!(
            "`added_tokens` has {} entries; at most {MOST_ADDED} are accepted",
            added.len()
        ));
    }
    let limit = u64::from(largest).max(largest_allowed(entries + added.len()));
    match added.iter().find(|token| u64::from(token.id) > limit) {
        Some(token) => Err(format!(
            "`added_tokens`: `{}` has the id {}; at most {limit} is accepted for {entries} tokens",
            token.text, token.id
        )),
        None => Ok(()),
    }
}
