//! The parts of a `tokenizer.json`, read once, with the checks that keep the library from failing on them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::check::{check_added, check_growth};
use super::vocabulary::{Merge, Vocabulary, merges};
use crate::prompt::cuts::AddedToken;

/// A `tokenizer.json` whose vocabulary is consistent.
pub(super) struct Document<'a> {
    pub(super) added_tokens: Vec<AddedToken>,
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    pub(super) decoder: Value,
    /// The model, if it is a BPE.
    pub(super) bpe: Option<Bpe<'a>>,
}

/// A BPE model.
pub(super) struct Bpe<'a> {
    pub(super) vocabulary: Vocabulary,
    /// The merges, the first of which ranks first.
    pub(super) merges: Vec<Merge>,
    pub(super) unk_token: Option<Cow<'a, str>>,
    /// Whether a subword carries a prefix or a suffix.
    pub(super) has_affixes: bool,
    pub(super) fuse_unk: bool,
    pub(super) byte_fallback: bool,
    pub(super) ignore_merges: bool,
}

#[derive(Deserialize)]
struct Parts<'a> {
    version: Option<Value>,
    #[serde(borrow)]
    added_tokens: Option<&'a RawValue>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(borrow)]
    model: Option<ModelParts<'a>>,
}

#[derive(Deserialize)]
struct ModelParts<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    vocab: Option<&'a RawValue>,
    #[serde(borrow)]
    merges: Option<&'a RawValue>,
    #[serde(borrow)]
    unk_token: Option<Cow<'a, str>>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    dropout: Option<f64>,
    unk_id: Option<u64>,
}

impl<'a> Document<'a> {
    /// Reads the parts.
    ///
    /// # Errors
    /// Text that is not a `tokenizer.json`, and what the reference implementation or the library would fail on: the problem
    /// in words.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Err("not an object, so not a tokenizer.json".into());
        }
        let parts: Parts<'a> = serde_json::from_str(text).map_err(|error| {
            if error.is_data() {
                format!("not a tokenizer.json: {error}")
            } else {
                format!("not JSON: {error}")
            }
        })?;
        let model = parts
            .model
            .ok_or("JSON without a `model` entry, so not a tokenizer.json")?;
        if let Some(version) = parts.version.filter(|version| *version != "1.0") {
            return Err(format!("`version` is {version}, expected \"1.0\""));
        }
        let mut added_tokens: Vec<AddedToken> = match parts.added_tokens {
            Some(tokens) => part("added_tokens", tokens)?,
            None => Vec::new(),
        };
        added_tokens.retain(|token| !token.text.is_empty());
        let merges = model.merges;
        let kind = match &model.kind {
            Some(kind) => kind.as_str(),
            // As the reference implementation infers it.
            None if merges.is_some() => "BPE",
            None if model.continuing_subword_prefix.is_some() => "WordPiece",
            None if model
                .vocab
                .is_some_and(|vocab| vocab.get().starts_with('[')) =>
            {
                "Unigram"
            }
            None => "WordLevel",
        };
        let vocab = model.vocab.ok_or("`model` has no `vocab`")?;
        let (entries, largest, bpe) = match kind {
            "BPE" => {
                let bpe = Bpe::new(&model, Vocabulary::parse(vocab)?)?;
                let vocabulary = &bpe.vocabulary;
                (vocabulary.len(), vocabulary.largest(), Some(bpe))
            }
            "WordPiece" | "WordLevel" => {
                let vocabulary = Vocabulary::parse(vocab)?;
                (vocabulary.len(), vocabulary.largest(), None)
            }
            "Unigram" => {
                let entries = scores(vocab, model.unk_id)?;
                (entries, u32::try_from(entries).unwrap_or(u32::MAX), None)
            }
            other => {
                return Err(format!(
                    "`model.type` is `{other}`, expected BPE, Unigram, WordPiece or WordLevel"
                ));
            }
        };
        check_added(&added_tokens, entries, largest)?;
        check_growth(&parts.normalizer)?;
        Ok(Self {
            added_tokens,
            normalizer: parts.normalizer,
            pre_tokenizer: parts.pre_tokenizer,
            decoder: parts.decoder,
            bpe,
        })
    }
}

impl<'a> Bpe<'a> {
    fn new(model: &ModelParts<'a>, vocabulary: Vocabulary) -> Result<Self, String> {
        if let Some(dropout) = model.dropout.filter(|share| *share != 0.0) {
            return Err(format!(
                "`model.dropout` is {dropout}: ids would be drawn by lot; expected 0 or null"
            ));
        }
        let prefix = model.continuing_subword_prefix.as_deref().unwrap_or("");
        let suffix = model.end_of_word_suffix.as_deref().unwrap_or("");
        let merges = match model.merges {
            Some(raw) => merges(raw, &vocabulary, prefix)?,
            None => Vec::new(),
        };
        Ok(Self {
            vocabulary,
            merges,
            unk_token: model.unk_token.clone(),
            has_affixes: !prefix.is_empty() || !suffix.is_empty(),
            fuse_unk: model.fuse_unk.unwrap_or(false),
            byte_fallback: model.byte_fallback.unwrap_or(false),
            ignore_merges: model.ignore_merges.unwrap_or(false),
        })
    }
}

/// The `type` of a component.
pub(super) fn kind(component: &Value) -> Option<&str> {
    component.get("type").and_then(Value::as_str)
}

/// The members of a `Sequence` under `key`, or the component itself; none for null.
pub(super) fn members<'v>(component: &'v Value, key: &str) -> &'v [Value] {
    match component.get(key).and_then(Value::as_array) {
        Some(members) => members,
        None if component.is_null() => &[],
        None => std::slice::from_ref(component),
    }
}

/// Parses a part of the file; the message names the part.
fn part<'a, T: Deserialize<'a>>(name: &str, raw: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| format!("`{name}`: {}", plain(&error)))
}

/// The message of an error without its place, which would count from the beginning of the part.
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Checks the `[token, score]` pairs of a Unigram model; returns their number.
fn scores(raw: &RawValue, unk_id: Option<u64>) -> Result<usize, String> {
    let pairs: Vec<(Cow<'_, str>, f64)> = part("model.vocab", raw)?;
    if pairs.is_empty() {
        return Err("`model.vocab` is empty".into());
    }
    if let Some((token, score)) = pairs.iter().find(|(_, score)| !score.is_finite()) {
        return Err(format!("`model.vocab`: the score of `{token}` is {score}"));
    }
    match unk_id {
        Some(id) if id >= pairs.len() as u64 => Err(format!(
            "`model.unk_id` is {id}, but the vocabulary has {} tokens",
            pairs.len()
        )),
        _ => Ok(pairs.len()),
    }
}
