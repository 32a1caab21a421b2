//! sentencepiece's normalizer: rewrites characters by a table that is compiled into the model, and spaces to U+2581.
//! Source: `normalizer.cc` of the sentencepiece library.

use super::proto::{Kind, ModelFile};
use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};

/// The sign for a space.
const SPACE: &str = "\u{2581}";

/// Normalizer of a model.
pub(super) struct Normalizer {
    table: Option<CharacterTable>,
    /// Finds user-defined symbols, which stay as they are.
    user_defined: Option<AhoCorasick>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    whitespace_as_suffix: bool,
    /// What a space becomes.
    space: &'static str,
}

/// A double-array trie (Darts) from texts to positions in `replacements`, which are ended by a zero byte.
struct CharacterTable {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

/// Finds the user-defined symbol with which a text begins, the longest first; `None` if the model has none.
pub(super) fn prefix_finder(file: &ModelFile) -> Result<Option<AhoCorasick>, String> {
    let symbols: Vec<&str> = file
        .pieces
        .iter()
        .filter(|piece| piece.kind == Kind::UserDefined)
        .map(|piece| piece.text.as_str())
        .collect();
    if symbols.is_empty() {
        return Ok(None);
    }
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .start_kind(StartKind::Anchored)
        .build(symbols)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// Length of the user-defined symbol with which `text` begins.
pub(super) fn user_defined(finder: Option<&AhoCorasick>, text: &str) -> Option<usize> {
    let input = Input::new(text).anchored(Anchored::Yes);
    finder?.find(input).map(|found| found.end())
}

impl Normalizer {
    /// # Errors
    /// A table that is broken.
    pub(super) fn new(file: &ModelFile) -> Result<Self, String> {
        let table = match file.charsmap.is_empty() {
            true => None,
            false => Some(CharacterTable::parse(&file.charsmap)?),
        };
        Ok(Self {
            table,
            user_defined: prefix_finder(file)?,
            add_dummy_prefix: file.add_dummy_prefix,
            remove_extra_whitespaces: file.remove_extra_whitespaces,
            whitespace_as_suffix: file.whitespace_as_suffix,
            space: if file.escape_whitespaces { SPACE } else { " " },
        })
    }

    /// Appends the normalized text to `out`, which is empty.
    pub(super) fn normalize(&self, mut text: &str, out: &mut String) {
        if self.remove_extra_whitespaces {
            while !text.is_empty() {
                let (replacement, length) = self.prefix(text);
                if replacement != " " {
                    break;
                }
                text = &text[length..];
            }
        }
        if text.is_empty() {
            return;
        }
        if self.add_dummy_prefix && !self.whitespace_as_suffix {
            out.push_str(self.space);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while !text.is_empty() {
            let (mut replacement, length) = self.prefix(text);
            while after_space && let Some(rest) = replacement.strip_prefix(' ') {
                replacement = rest;
            }
            for (number, part) in replacement.split(' ').enumerate() {
                if number > 0 {
                    out.push_str(self.space);
                }
                out.push_str(part);
            }
            if !replacement.is_empty() {
                after_space = replacement.ends_with(' ');
            }
            after_space &= self.remove_extra_whitespaces;
            text = &text[length..];
        }
        if self.remove_extra_whitespaces {
            let end = out.trim_end_matches(self.space).len();
            out.truncate(end);
        }
        if self.add_dummy_prefix && self.whitespace_as_suffix {
            out.push_str(self.space);
        }
    }

    /// What the beginning of a text becomes, and how many bytes of it that are.
    fn prefix<'t>(&'t self, text: &'t str) -> (&'t str, usize) {
        if let Some(length) = user_defined(self.user_defined.as_ref(), text) {
            return (&text[..length], length);
        }
        if let Some(found) = self.table.as_ref().and_then(|table| table.longest(text)) {
            return found;
        }
        let length = text.chars().next().map_or(0, char::len_utf8);
        (&text[..length], length)
    }

    /// The text of joined pieces: signs for spaces become spaces, and the one that was put in front is removed.
    pub(super) fn restore(&self, text: &str) -> String {
        let text = text.replace(SPACE, " ");
        let stripped = match (self.add_dummy_prefix, self.whitespace_as_suffix) {
            (true, false) => text.strip_prefix(' '),
            (true, true) => text.strip_suffix(' '),
            (false, _) => None,
        };
        stripped.unwrap_or(&text).to_owned()
    }
}

impl CharacterTable {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let broken = || "`precompiled_charsmap` is broken".to_owned();
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (trie, replacements) = rest.split_at_checked(size).ok_or_else(broken)?;
        let (units, []) = trie.as_chunks::<4>() else {
            return Err(broken());
        };
        // Every replacement must be text, because a damaged trie may point anywhere.
        if units.is_empty() || replacements.last().is_some_and(|last| *last != 0) {
            return Err(broken());
        }
        Ok(Self {
            units: units.iter().map(|unit| u32::from_le_bytes(*unit)).collect(),
            replacements: replacements.to_vec(),
        })
    }

    /// The replacement of the longest beginning of `text` that the table has, and its length.
    fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut at = offset(*self.units.first()?) as usize;
        let mut found = None;
        for (index, byte) in text.bytes().enumerate() {
            at ^= byte as usize;
            let Some(unit) = self.units.get(at) else {
                break;
            };
            if unit & (1 << 31 | 0xFF) != u32::from(byte) {
                break;
            }
            at ^= offset(*unit) as usize;
            if (unit >> 8) & 1 == 1
                && let Some(value) = self.units.get(at)
            {
                found = Some(((value & !(1 << 31)) as usize, index + 1));
            }
        }
        let (start, length) = found.filter(|(_, length)| text.is_char_boundary(*length))?;
        let bytes = self.replacements.get(start..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some((std::str::from_utf8(&bytes[..end]).ok()?, length))
    }
}
