//! A model's own `tokenizer.json`, through the `tokenizers` crate.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::pipeline::{EncodeOptions, Override, PipelineToken, PipelineTokenizer};

use super::Tokenizer;
use crate::base::Identity;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;
use crate::prompt::cuts::{AddedToken, Cuts};

/// Tokenizer described by a Hugging Face `tokenizer.json`.
pub struct HuggingFace {
    identity: Identity,
    inner: PipelineTokenizer,
    options: EncodeOptions,
    cuts: Cuts,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    model: Model,
}

#[derive(Deserialize, Default)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Patterns by which text is split before BPE, as `tokenizer.json` files spell them: Qwen 2, cl100k and Llama 3, Tekken,
/// o200k, DeepSeek's three.
///
/// Each of them ends a match between a line end and a letter that follows it, whatever text comes before or after. Text
/// can therefore be divided there and its parts encoded separately.
const LINE_SAFE: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "\\p{N}{1,3}",
    "[一-龥\u{3040}-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
];

impl HuggingFace {
    /// Reads a `tokenizer.json`, plain or compressed.
    ///
    /// # Errors
    /// A file that cannot be read, or a kind of tokenizer that is not supported.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = Input::open(path)?.read_to_end()?;
        let refuse = |problem: String| {
            Error::input(
                Location::file(path),
                problem,
                "give a Hugging Face tokenizer.json (fast tokenizer), or one of the built-in names",
            )
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| refuse("not UTF-8".into()))?;
        let mut value: Value =
            serde_json::from_str(text).map_err(|error| refuse(format!("not JSON: {error}")))?;
        if value.get("model").is_none() {
            return Err(refuse(
                "JSON without a `model` entry, so not a tokenizer.json".into(),
            ));
        }
        let sha256 = super::super::sha256_hex(&bytes);
        let described =
            Described::deserialize(&value).map_err(|error| refuse(error.to_string()))?;
        tokenizers::canonicalize_value(&mut value).map_err(|error| refuse(error.to_string()))?;
        let inner =
            tokenizers::from_json(&value.to_string()).map_err(|error| refuse(error.to_string()))?;
        Ok(Self {
            identity: Identity {
                name: path.display().to_string(),
                sha256,
            },
            cuts: described.cuts(),
            inner,
            options: EncodeOptions {
                add_special_tokens: false,
                encode_special_tokens: false,
                padding: Override::Off,
                truncation: Override::Off,
            },
        })
    }
}

impl Described {
    /// Where text may be divided for this tokenizer: nowhere unless its parts are known to allow it.
    fn cuts(self) -> Cuts {
        let byte_level_bpe = self.model.kind.as_deref() == Some("BPE") && self.is_line_safe();
        let normalizes = !is_empty(&self.normalizer);
        // A token that is matched in normalized text cannot be found in the text before normalization.
        let added = self.added_tokens.into_iter().map(|mut token| {
            token.foreseeable &= !(token.normalized && normalizes);
            token
        });
        Cuts::new(added.collect(), byte_level_bpe)
    }

    fn is_line_safe(&self) -> bool {
        let members = match self
            .pre_tokenizer
            .get("pretokenizers")
            .and_then(Value::as_array)
        {
            Some(members) => members.clone(),
            None => vec![self.pre_tokenizer.clone()],
        };
        let nfc_or_none = is_empty(&self.normalizer)
            || self.normalizer.get("type").and_then(Value::as_str) == Some("NFC");
        let Some((last, splits)) = members.split_last() else {
            return false;
        };
        let flag =
            |key: &str, default: bool| last.get(key).and_then(Value::as_bool).unwrap_or(default);
        let is =
            |member: &Value, kind: &str| member.get("type").and_then(Value::as_str) == Some(kind);
        nfc_or_none
            && is(last, "ByteLevel")
            && !flag("add_prefix_space", true)
            // The byte level applies GPT-2's pattern unless a Split comes before it.
            && flag("use_regex", true) == splits.is_empty()
            && splits.iter().all(|split| {
                let regex = split.pointer("/pattern/Regex").and_then(Value::as_str);
                is(split, "Split")
                    && split.get("behavior").and_then(Value::as_str) == Some("Isolated")
                    && split.get("invert").and_then(Value::as_bool) == Some(false)
                    && regex.is_some_and(|regex| LINE_SAFE.contains(&regex))
            })
    }
}

fn is_empty(component: &Value) -> bool {
    component.is_null()
        || component
            .get("normalizers")
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
}

impl Tokenizer for HuggingFace {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        thread_local! {
            static BUFFER: std::cell::RefCell<Vec<PipelineToken>> = const { std::cell::RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            self.inner
                .encode_into(text, &self.options, buffer)
                .map_err(|error| error.to_string())?;
            ids.extend_from_slice(PipelineToken::cast_slice(buffer));
            Ok(())
        })
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.inner
            .decode(ids, false)
            .map_err(|error| error.to_string())
    }
}
