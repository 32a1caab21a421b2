//! Byte pair encoding by ranks, as the `tiktoken` library defines it: text is split by a pattern, and in each part the bytes
//! are merged whose joint token has the lowest rank.

use std::cell::RefCell;
use std::collections::HashMap;

use fancy_regex::Regex;
use tokenizers::pipeline::{PreTokenizer, PreTokenizerScratch, Span};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::utils::recognize;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::Tokenizer;
use super::merge::Symbols;
use super::patterns::{LONGEST_PATTERN, is_line_safe};
use crate::base::Identity;
use crate::prompt::cuts::{AddedToken, Cuts};

/// Tokenizer with a vocabulary of ranks.
pub(super) struct Ranked {
    identity: Identity,
    ranks: HashMap<Vec<u8>, u32>,
    /// The bytes of each rank.
    tokens: Vec<Vec<u8>>,
    splitter: Splitter,
    /// The id of rank 0.
    first_id: u32,
    /// Whether text is normalized to NFC before it is encoded.
    nfc: bool,
    cuts: Cuts,
}

/// What a file says of its tokenizer.
pub(super) struct Description<'a> {
    pub(super) tokens: Vec<Vec<u8>>,
    pub(super) pattern: &'a str,
    pub(super) first_id: u32,
    pub(super) nfc: bool,
    pub(super) added: Vec<AddedToken>,
}

/// Splits text by a pattern.
enum Splitter {
    /// A pattern that the `tokenizers` crate has as a state machine.
    Known(Split),
    Pattern(Box<Regex>),
}

impl Ranked {
    /// # Errors
    /// A vocabulary without a token for each byte or with a token twice, or a pattern that cannot be compiled.
    pub(super) fn new(identity: Identity, description: Description<'_>) -> Result<Self, String> {
        let Description {
            tokens,
            pattern,
            first_id,
            nfc,
            added,
        } = description;
        let mut ranks = HashMap::with_capacity(tokens.len());
        for (rank, token) in (0..).zip(&tokens) {
            if let Some(other) = ranks.insert(token.clone(), rank) {
                return Err(format!("ranks {other} and {rank} have the same token"));
            }
        }
        if let Some(byte) = (0..=0xFF_u8).find(|byte| !ranks.contains_key(&[*byte][..])) {
            return Err(format!(
                "the vocabulary has no token for the byte 0x{byte:02X}"
            ));
        }
        let last = u64::from(first_id) + tokens.len() as u64;
        if last > u64::from(u32::MAX) {
            return Err(format!(
                "ids up to {last}, which are larger than {}",
                u32::MAX
            ));
        }
        Ok(Self {
            identity,
            ranks,
            tokens,
            splitter: Splitter::new(pattern)?,
            first_id,
            nfc,
            cuts: Cuts::new(added, is_line_safe(pattern)),
        })
    }
}

impl Ranked {
    /// Encodes text without added tokens.
    fn encode_part(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        thread_local! {
            static SYMBOLS: RefCell<Symbols<u32>> = RefCell::new(Symbols::new());
        }
        let normalized = (self.nfc && is_nfc_quick(text.chars()) != IsNormalized::Yes)
            .then(|| text.nfc().collect::<String>());
        let text = normalized.as_deref().unwrap_or(text);
        SYMBOLS.with_borrow_mut(|symbols| {
            self.splitter.split(text, |part| {
                let part = part.as_bytes();
                if let Some(rank) = self.ranks.get(part) {
                    ids.push(self.first_id + rank);
                    return;
                }
                symbols.clear();
                for end in 1..=part.len() {
                    symbols.push(end, false);
                }
                symbols.merge(|range| self.ranks.get(&part[range]).copied());
                let ranks = symbols
                    .ranges()
                    .filter_map(|range| self.ranks.get(&part[range]));
                ids.extend(ranks.map(|rank| self.first_id + rank));
            })
        })
    }
}

impl Splitter {
    fn new(pattern: &str) -> Result<Self, String> {
        if recognize(pattern).is_some() {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            return Split::native(pattern, SplitDelimiterBehavior::Isolated, false)
                .map(Self::Known)
                .map_err(|error| error.to_string());
        }
        if pattern.len() > LONGEST_PATTERN {
            return Err(format!(
                "a pattern of {} bytes, at most {LONGEST_PATTERN} are accepted",
                pattern.len()
            ));
        }
        let regex = Regex::new(pattern).map_err(|error| format!("the pattern: {error}"))?;
        Ok(Self::Pattern(Box::new(regex)))
    }

    /// Passes on the parts of the text; what the pattern does not match is left out, as tiktoken does.
    fn split(&self, text: &str, mut each: impl FnMut(&str)) -> Result<(), String> {
        thread_local! {
            static BUFFER: RefCell<(PreTokenizerScratch, Vec<Span>)> = RefCell::default();
        }
        match self {
            Self::Known(split) => BUFFER.with_borrow_mut(|(scratch, spans)| {
                spans.clear();
                split
                    .pre_tokenize(text, scratch, spans)
                    .map_err(|error| error.to_string())?;
                for span in spans {
                    each(&text[span.start as usize..span.end as usize]);
                }
                Ok(())
            }),
            Self::Pattern(regex) => {
                for found in regex.find_iter(text) {
                    let found = found.map_err(|error| format!("the pattern: {error}"))?;
                    each(found.as_str());
                }
                Ok(())
            }
        }
    }
}

impl Tokenizer for Ranked {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        if u32::try_from(text.len()).is_err() {
            return Err("a text of 4 GB or more".into());
        }
        let mut failed = None;
        self.cuts.each_token(text, |part, token| match token {
            Some(id) => ids.push(id),
            None => {
                if let Err(problem) = self.encode_part(part, ids) {
                    failed.get_or_insert(problem);
                }
            }
        });
        failed.map_or(Ok(()), Err)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        let mut bytes = Vec::new();
        for id in ids {
            let rank = id.checked_sub(self.first_id).map(|rank| rank as usize);
            if let Some(text) = self.cuts.text_of(*id) {
                bytes.extend_from_slice(text.as_bytes());
            } else if let Some(token) = rank.and_then(|rank| self.tokens.get(rank)) {
                bytes.extend_from_slice(token);
            } else {
                return Err(format!("id {id} is not in the vocabulary"));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
