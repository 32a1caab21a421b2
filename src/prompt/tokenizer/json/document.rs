//! The parts of a `tokenizer.json`, read once, with the checks that keep the library from failing on them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tokenizers::models::bpe::{Merges, Vocab};

use super::check::{check_added, check_growth, check_merges, largest_allowed};
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
    pub(super) vocab: Vocab,
    /// The largest id of the vocabulary.
    pub(super) largest: u32,
    pub(super) merges: Merges,
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
                let entries = entries(vocab)?;
                let bpe = Bpe::new(&model, entries)?;
                (bpe.vocab.len(), bpe.largest, Some(bpe))
            }
            "WordPiece" | "WordLevel" => {
                let entries = entries(vocab)?;
                (entries.vocab.len(), entries.largest, None)
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
    fn new(model: &ModelParts<'a>, entries: Entries) -> Result<Self, String> {
        let merges = match model.merges {
            Some(merges) => part::<MergeList>("model.merges", merges)?.0,
            None => Merges::new(),
        };
        if let Some(dropout) = model.dropout.filter(|share| *share != 0.0) {
            return Err(format!(
                "`model.dropout` is {dropout}: ids would be drawn by lot; expected 0 or null"
            ));
        }
        let prefix = model.continuing_subword_prefix.as_deref().unwrap_or("");
        let suffix = model.end_of_word_suffix.as_deref().unwrap_or("");
        let longest = entries.vocab.keys().map(String::len).max().unwrap_or(0);
        let fits = |(left, right): &(String, String)| left.len() + right.len() <= longest;
        // The library returns an error for a merge of unknown tokens, but assumes that no merge is longer than all tokens.
        if !prefix.is_empty() || !merges.iter().all(fits) {
            check_merges(&entries.vocab, &merges, prefix)?;
        }
        Ok(Self {
            vocab: entries.vocab,
            largest: entries.largest,
            merges,
            unk_token: model.unk_token.clone(),
            has_affixes: !prefix.is_empty() || !suffix.is_empty(),
            fuse_unk: model.fuse_unk.unwrap_or(false),
            byte_fallback: model.byte_fallback.unwrap_or(false),
            ignore_merges: model.ignore_merges.unwrap_or(false),
        })
    }
}

impl Document<'_> {
    /// Checks that both parts of every merge and its result are tokens.
    ///
    /// # Errors
    /// The first merge of which that is not so.
    pub(super) fn check_merges(&self) -> Result<(), String> {
        match &self.bpe {
            // With a prefix, they were checked when the model was read.
            Some(bpe) if !bpe.has_affixes => check_merges(&bpe.vocab, &bpe.merges, ""),
            _ => Ok(()),
        }
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
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// A vocabulary of tokens and ids.
struct Entries {
    vocab: Vocab,
    largest: u32,
}

fn entries(raw: &RawValue) -> Result<Entries, String> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    // An entry takes about this many bytes of JSON.
    let entries = VocabSeed(raw.get().len() / 20)
        .deserialize(&mut deserializer)
        .map_err(|error| format!("`model.vocab`: {}", plain(&error)))?;
    let count = entries.vocab.len();
    if count == 0 {
        return Err("`model.vocab` is empty".into());
    }
    if u64::from(entries.largest) > largest_allowed(count) {
        return Err(format!(
            "`model.vocab` has {count} tokens, but an id of {}; at most {} is accepted for so many",
            entries.largest,
            largest_allowed(count)
        ));
    }
    let mut uses = vec![0_u8; entries.largest as usize + 1];
    entries
        .vocab
        .values()
        .for_each(|id| uses[*id as usize] = uses[*id as usize].saturating_add(1));
    match uses.iter().position(|uses| *uses > 1) {
        Some(id) => Err(format!("`model.vocab` gives the id {id} to several tokens")),
        None => Ok(entries),
    }
}

struct VocabSeed(usize);

impl<'de> DeserializeSeed<'de> for VocabSeed {
    type Value = Entries;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entries, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for VocabSeed {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tokens and their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut vocab = Vocab::with_capacity(self.0);
        let mut largest = 0;
        while let Some(token) = map.next_key::<String>()? {
            let Ok(id) = map.next_value::<u32>() else {
                return Err(A::Error::custom(format!(
                    "the id of `{token}` is not a whole number from 0 to {}",
                    u32::MAX
                )));
            };
            largest = largest.max(id);
            if let Some(other) = vocab.insert(token, id) {
                return Err(A::Error::custom(format!(
                    "a token has two ids, {other} and {id}"
                )));
            }
        }
        Ok(Entries { vocab, largest })
    }
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

/// The merges, as pairs or as text with one space.
struct MergeList(Merges);

impl<'de> Deserialize<'de> for MergeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = MergeList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<MergeList, A::Error> {
                let mut merges = Merges::new();
                while let Some(merge) = seq.next_element::<Merge>()? {
                    merges.extend(merge.0);
                }
                Ok(MergeList(merges))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// One merge; none for the version line of a `merges.txt`.
struct Merge(Option<(String, String)>);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a merge, as two tokens or as a text of two tokens with a space between them",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                if text.starts_with("#version") {
                    return Ok(Merge(None));
                }
                match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => {
                        Ok(Merge(Some((left.to_owned(), right.to_owned()))))
                    }
                    _ => Err(E::custom(format!(
                        "the merge `{text}` is not two tokens with a space between them"
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let missing = || A::Error::custom("a merge has less than two tokens");
                let left = seq.next_element()?.ok_or_else(missing)?;
                let right = seq.next_element()?.ok_or_else(missing)?;
                match seq.next_element::<String>()? {
                    None => Ok(Merge(Some((left, right)))),
                    Some(_) => Err(A::Error::custom("a merge has more than two tokens")),
                }
            }
        }
        deserializer.deserialize_any(One)
    }
}
