//! The tokens and the merges of a `tokenizer.json`, each read once, straight from the text into the tables.

use std::fmt;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use super::check::largest_allowed;
use super::document::plain;

/// Tokens and their ids.
pub(super) struct Vocabulary {
    /// The text of all tokens, one after the other.
    texts: String,
    tokens: Vec<Token>,
    /// The tokens, by text.
    index: HashTable<Token>,
    /// The number of the token of each id, or [`NONE`].
    by_id: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Token {
    start: u32,
    end: u32,
    id: u32,
}

const NONE: u32 = u32::MAX;

impl Vocabulary {
    /// Reads `model.vocab`.
    ///
    /// # Errors
    /// No tokens, a token with two ids, an id of two tokens, or ids that are too large for the number of tokens.
    pub(super) fn parse(raw: &RawValue) -> Result<Self, String> {
        let json = raw.get();
        let mut vocabulary = Self {
            texts: String::with_capacity(json.len() / 2),
            // An entry takes about this many bytes of JSON.
            tokens: Vec::with_capacity(json.len() / 20),
            index: HashTable::with_capacity(json.len() / 20),
            by_id: Vec::new(),
        };
        Entries(&mut vocabulary)
            .deserialize(&mut serde_json::Deserializer::from_str(json))
            .map_err(|error| format!("`model.vocab`: {}", plain(&error)))?;
        let count = vocabulary.len();
        let Some(largest) = vocabulary.tokens.iter().map(|token| token.id).max() else {
            return Err("`model.vocab` is empty".into());
        };
        if u64::from(largest) > largest_allowed(count) {
            return Err(format!(
                "`model.vocab` has {count} tokens, and the largest id is {largest}; the accepted maximum for this number of tokens is {}",
                largest_allowed(count)
            ));
        }
        vocabulary.by_id.resize(largest as usize + 1, NONE);
        for (number, token) in (0..).zip(&vocabulary.tokens) {
            let place = &mut vocabulary.by_id[token.id as usize];
            if *place != NONE {
                return Err(format!(
                    "`model.vocab` gives the id {} to several tokens",
                    token.id
                ));
            }
            *place = number;
        }
        Ok(vocabulary)
    }

    /// The number of tokens.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The largest id.
    pub(super) fn largest(&self) -> u32 {
        self.by_id.len() as u32 - 1
    }

    /// The id of a token.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        let same = |token: &Token| self.text_of(*token) == text;
        let found = self.index.find(xxh3_64(text.as_bytes()), same)?;
        Some(found.id)
    }

    /// The text of an id.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        let number = *self.by_id.get(id as usize)?;
        let token = self.tokens.get(number as usize)?;
        Some(self.text_of(*token))
    }

    /// All tokens and their ids, in the file's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let tokens = self.tokens.iter();
        tokens.map(|token| (self.text_of(*token), token.id))
    }

    fn text_of(&self, token: Token) -> &str {
        &self.texts[token.start as usize..token.end as usize]
    }

    /// Adds the token whose text is the end of `texts` from `start` on; the id of an equal one if there is one.
    fn add(&mut self, start: usize, id: u32) -> Result<(), u32> {
        // A file has less than 4 GB.
        let token = Token {
            start: start as u32,
            end: self.texts.len() as u32,
            id,
        };
        let texts = self.texts.as_bytes();
        let bytes = |token: &Token| &texts[token.start as usize..token.end as usize];
        let new = bytes(&token);
        let entry = self.index.entry(
            xxh3_64(new),
            |other| bytes(other) == new,
            |other| xxh3_64(bytes(other)),
        );
        match entry {
            Entry::Occupied(other) => Err(other.get().id),
            Entry::Vacant(place) => {
                place.insert(token);
                self.tokens.push(token);
                Ok(())
            }
        }
    }
}

/// Reads the object of tokens and ids.
struct Entries<'v>(&'v mut Vocabulary);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tokens and their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let vocabulary = self.0;
        loop {
            let start = vocabulary.texts.len();
            if map.next_key_seed(Append(&mut vocabulary.texts))?.is_none() {
                return Ok(());
            }
            let Ok(id) = map.next_value::<u32>() else {
                return Err(A::Error::custom(format!(
                    "the id of `{}` is not a whole number from 0 to {}",
                    &vocabulary.texts[start..],
                    u32::MAX
                )));
            };
            if let Err(other) = vocabulary.add(start, id) {
                return Err(A::Error::custom(format!(
                    "a token has two ids, {other} and {id}"
                )));
            }
        }
    }
}

/// Appends a string.
struct Append<'s>(&'s mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}

/// One merge, as ids.
#[derive(Clone, Copy)]
pub(super) struct Merge {
    pub(super) left: u32,
    pub(super) right: u32,
    pub(super) product: u32,
}

/// Reads `model.merges`, as pairs or as text with one space.
///
/// # Errors
/// A merge of which a part or the result is not a token.
pub(super) fn merges(
    raw: &RawValue,
    vocabulary: &Vocabulary,
    prefix: &str,
) -> Result<Vec<Merge>, String> {
    let mut list = MergeList {
        vocabulary,
        prefix,
        // A merge takes about this many bytes of JSON.
        merges: Vec::with_capacity(raw.get().len() / 16),
        problem: None,
        left: String::new(),
        right: String::new(),
        expected: 0,
    };
    (&mut list)
        .deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
        .map_err(|error| format!("`model.merges`: {}", plain(&error)))?;
    list.problem.map_or(Ok(list.merges), Err)
}

struct MergeList<'v> {
    vocabulary: &'v Vocabulary,
    /// What the right part of every merge begins with.
    prefix: &'v str,
    merges: Vec<Merge>,
    /// What is wrong with the first merge that cannot be.
    problem: Option<String>,
    left: String,
    right: String,
    /// The number of the token that probably is the next result: most files list results in the order of their ranks.
    expected: usize,
}

impl MergeList<'_> {
    /// Adds the merge of `left` and `right`.
    fn add(&mut self) {
        if self.problem.is_none()
            && let Err(problem) = self.resolve()
        {
            self.problem = Some(format!(
                "`model.merges`, number {}: {problem}",
                self.merges.len() + 1
            ));
        }
    }

    fn resolve(&mut self) -> Result<(), String> {
        let vocabulary = self.vocabulary;
        let Some(rest) = self.right.strip_prefix(self.prefix) else {
            return Err(format!(
                "`{}` does not begin with `continuing_subword_prefix`, which is `{}`",
                self.right, self.prefix
            ));
        };
        let missing = |list: &Self, length: usize, token: &str| {
            format!(
                "`{token}` of the merge `{} {}` is not in the vocabulary",
                &list.left[..length],
                list.right
            )
        };
        let length = self.left.len();
        let left = vocabulary.id(&self.left);
        let left = left.ok_or_else(|| missing(self, length, &self.left))?;
        let right = vocabulary.id(&self.right);
        let right = right.ok_or_else(|| missing(self, length, &self.right))?;
        self.left.push_str(rest);
        let product = match vocabulary.tokens.get(self.expected) {
            Some(token) if vocabulary.text_of(*token) == self.left => token.id,
            _ => vocabulary
                .id(&self.left)
                .ok_or_else(|| missing(self, length, &self.left))?,
        };
        self.expected = vocabulary.by_id[product as usize] as usize + 1;
        self.merges.push(Merge {
            left,
            right,
            product,
        });
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut MergeList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut MergeList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(One(self))?.is_some() {}
        Ok(())
    }
}

/// Reads one merge; the version line of a `merges.txt` is none.
struct One<'a, 'v>(&'a mut MergeList<'v>);

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge, as two tokens or as a text of two tokens with a space between them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.starts_with("#version") {
            return Ok(());
        }
        match text.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => {
                self.0.left.clear();
                self.0.left.push_str(left);
                self.0.right.clear();
                self.0.right.push_str(right);
                self.0.add();
                Ok(())
            }
            _ => Err(E::custom(format!(
                "the merge `{text}` is not two tokens with a space between them"
            ))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let list = self.0;
        list.left.clear();
        list.right.clear();
        let left = seq.next_element_seed(Append(&mut list.left))?;
        let right = seq.next_element_seed(Append(&mut list.right))?;
        if left.is_none() || right.is_none() {
            return Err(A::Error::custom("a merge has less than two tokens"));
        }
        if seq.next_element::<String>()?.is_some() {
            return Err(A::Error::custom("a merge has more than two tokens"));
        }
        list.add();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.into()).expect("JSON")
    }

    #[test]
    fn tokens_have_their_ids_and_merges_those_of_their_parts() {
        let json = raw(r#"{"b": 9, "\u0061": 4, "ab": 0, "abb": 2, "\n": 3}"#);
        let vocabulary = Vocabulary::parse(&json).expect("reads");
        assert_eq!((vocabulary.len(), vocabulary.largest()), (5, 9));
        assert_eq!(
            (vocabulary.id("a"), vocabulary.id("\n")),
            (Some(4), Some(3))
        );
        assert_eq!(
            (vocabulary.text(2), vocabulary.text(5)),
            (Some("abb"), None)
        );
        assert_eq!(vocabulary.text(10), None);
        for list in [
            r##"["#version: 0.2", "a b", "ab b"]"##,
            r#"[["a", "b"], ["\u0061b", "b"]]"#,
        ] {
            let merges = merges(&raw(list), &vocabulary, "").expect("reads");
            let ids = merges
                .iter()
                .map(|merge| (merge.left, merge.right, merge.product));
            assert_eq!(ids.collect::<Vec<_>>(), [(4, 9, 0), (0, 9, 2)]);
        }
        let problem = |list: &str, prefix: &str| merges(&raw(list), &vocabulary, prefix).err();
        assert_eq!(
            problem(r#"["a b", "b a"]"#, "").as_deref(),
            Some("`model.merges`, number 2: `ba` of the merge `b a` is not in the vocabulary")
        );
        assert_eq!(
            problem(r#"[["a", "b", "b"]]"#, "").as_deref(),
            Some("`model.merges`: a merge has more than two tokens")
        );
        assert_eq!(
            problem(r#"["a b"]"#, "x").as_deref(),
            Some(
                "`model.merges`, number 1: `b` does not begin with `continuing_subword_prefix`, which is `x`"
            )
        );
    }
}
