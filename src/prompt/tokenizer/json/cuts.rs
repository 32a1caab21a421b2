//! Where text may be divided for a `tokenizer.json`: nowhere unless its parts are known to allow it.

use serde_json::Value;

use super::document::{Document, kind, members};
use crate::prompt::cuts::{AddedToken, Cuts};
use crate::prompt::tokenizer::patterns::is_line_safe;

/// What the parts of a tokenizer allow.
pub(super) struct Rules {
    /// Whether line ends before a letter, and positions behind added tokens, are safe.
    line_safe: bool,
    /// Whether text is normalized before tokens with `normalized` are searched for.
    normalizes: bool,
}

impl Rules {
    pub(super) fn of(document: &Document<'_>) -> Self {
        let nfc = kind(&document.normalizer) == Some("NFC");
        let normalizes = !members(&document.normalizer, "normalizers").is_empty();
        Self {
            line_safe: document.bpe.is_some()
                && (!normalizes || nfc)
                && splits_line_safe(&document.pre_tokenizer),
            normalizes,
        }
    }

    pub(super) fn cuts(&self, mut added: Vec<AddedToken>) -> Cuts {
        // A token that is matched in normalized text cannot be found in the text before normalization.
        for token in &mut added {
            token.foreseeable &= !(token.normalized && self.normalizes);
        }
        Cuts::new(added, self.line_safe)
    }
}

fn splits_line_safe(pre_tokenizer: &Value) -> bool {
    let members = members(pre_tokenizer, "pretokenizers");
    let Some((last, splits)) = members.split_last() else {
        return false;
    };
    let flag = |key: &str, default: bool| last.get(key).and_then(Value::as_bool).unwrap_or(default);
    kind(last) == Some("ByteLevel")
        && !flag("add_prefix_space", true)
        // The byte level applies GPT-2's pattern unless a Split comes before it.
        && flag("use_regex", true) == splits.is_empty()
        && splits.iter().all(|split| {
            let regex = split.pointer("/pattern/Regex").and_then(Value::as_str);
            kind(split) == Some("Split")
                && split.get("behavior").and_then(Value::as_str) == Some("Isolated")
                && split.get("invert").and_then(Value::as_bool) == Some(false)
                && regex.is_some_and(is_line_safe)
        })
}
