//! Byte pair encoding of the bytes of words, into which a pattern splits the text.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use fancy_regex::Regex;
use tokenizers::pipeline::{PipelinePreTokenizer, PreTokenizer, PreTokenizerScratch, Span};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::utils::recognize;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::merge::{Pair, Symbols};
use super::patterns::LONGEST_PATTERN;
use super::words::{Key, LONGEST, Words};
use crate::prompt::cuts::Cuts;

/// The vocabulary of a [`ByteLevel`].
pub(super) trait Merging {
    /// The id of a word that becomes one token whatever the merges are.
    fn whole(&self, word: &[u8]) -> Option<u32>;

    /// The id of a byte.
    fn byte(&self, byte: u8) -> u32;

    /// The rank of two bytes, and the id of what they become, if they are merged.
    fn byte_pair(&self, left: u8, right: u8) -> Option<(u32, u32)>;

    /// The rank of a pair of neighbours in `word`, and the id of what it becomes, if it is merged.
    fn pair(&self, word: &[u8], pair: Pair) -> Option<(u32, u32)>;
}

/// Encoder of text.
pub(super) struct ByteLevel<M> {
    pub(super) merging: M,
    splitter: Splitter,
    /// Whether text is normalized to NFC before it is split.
    nfc: bool,
    /// Tells encoders apart.
    number: u64,
}

/// Splits text into words.
pub(super) enum Splitter {
    /// Patterns that the `tokenizers` crate has as state machines.
    Known(PipelinePreTokenizer),
    Pattern(Box<Regex>),
}

/// Buffers of a thread.
struct Scratch {
    splitting: PreTokenizerScratch,
    spans: Vec<Span>,
    symbols: Symbols<u32>,
    words: Words,
    /// The number of the encoder whose words are remembered; 0 before the first.
    owner: u64,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        splitting: PreTokenizerScratch::default(),
        spans: Vec::new(),
        symbols: Symbols::new(),
        words: Words::new(),
        owner: 0,
    });
}

impl<M: Merging> ByteLevel<M> {
    pub(super) fn new(merging: M, splitter: Splitter, nfc: bool) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self {
            merging,
            splitter,
            nfc,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Appends the ids of `text`, in which the tokens of `cuts` are found first.
    ///
    /// # Errors
    /// A text that is too long, or on which the pattern takes too many steps.
    pub(super) fn encode(&self, text: &str, cuts: &Cuts, ids: &mut Vec<u32>) -> Result<(), String> {
        if u32::try_from(text.len()).is_err() {
            return Err("a text of 4 GB or more".into());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.owner != self.number {
                if scratch.owner != 0 {
                    scratch.words.clear();
                }
                scratch.owner = self.number;
            }
            let mut result = Ok(());
            cuts.each_token(text, |part, token| match token {
                Some(id) => ids.push(id),
                None if result.is_ok() => result = self.encode_part(part, scratch, ids),
                None => {}
            });
            result
        })
    }

    /// Encodes text without added tokens.
    fn encode_part(
        &self,
        text: &str,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), String> {
        let normalized = (self.nfc && is_nfc_quick(text.chars()) != IsNormalized::Yes)
            .then(|| text.nfc().collect::<String>());
        let text = normalized.as_deref().unwrap_or(text);
        let Scratch {
            splitting,
            spans,
            symbols,
            words,
            ..
        } = scratch;
        self.splitter.split(text, splitting, spans, |word| {
            self.encode_word(word.as_bytes(), symbols, words, ids);
        })
    }

    fn encode_word(
        &self,
        word: &[u8],
        symbols: &mut Symbols<u32>,
        words: &mut Words,
        ids: &mut Vec<u32>,
    ) {
        let key = Key::new(word);
        if let Some(known) = key.as_ref().and_then(|key| words.get(key)) {
            ids.extend_from_slice(known);
            return;
        }
        let start = ids.len();
        match (self.merging.whole(word), &key) {
            (Some(id), _) => ids.push(id),
            (None, Some(_)) => self.merge_short(word, ids),
            (None, None) => {
                symbols.clear();
                for (index, byte) in word.iter().enumerate() {
                    symbols.push(index + 1, self.merging.byte(*byte), false);
                }
                symbols.merge(|pair| self.merging.pair(word, pair));
                ids.extend(symbols.each().map(|(_, id)| id));
            }
        }
        if let Some(key) = key {
            words.put(&key, &ids[start..]);
        }
    }

    /// Merges a word of at most [`LONGEST`] bytes. For so few symbols, to look at all is faster than to keep them in order.
    fn merge_short(&self, word: &[u8], ids: &mut Vec<u32>) {
        /// The rank of a pair that is not merged.
        const NEVER: u32 = u32::MAX;
        let mut count = word.len();
        // For each symbol: its id, where it begins, and the rank and the result of the pair that it begins.
        let mut id = [0; LONGEST];
        let mut begin = [0; LONGEST + 1];
        let mut rank = [NEVER; LONGEST];
        let mut product = [0; LONGEST];
        for (index, byte) in word.iter().enumerate() {
            id[index] = self.merging.byte(*byte);
            begin[index + 1] = index + 1;
            if let Some(next) = word.get(index + 1)
                && let Some(found) = self.merging.byte_pair(*byte, *next)
            {
                (rank[index], product[index]) = found;
            }
        }
        loop {
            let mut best = 0;
            for index in 1..count {
                if rank[index] < rank[best] {
                    best = index;
                }
            }
            if rank[best] == NEVER {
                break;
            }
            id[best] = product[best];
            id.copy_within(best + 2..count, best + 1);
            begin.copy_within(best + 2..=count, best + 1);
            rank.copy_within(best + 1..count, best);
            product.copy_within(best + 1..count, best);
            count -= 1;
            for left in [best.wrapping_sub(1), best] {
                if left >= count {
                    continue;
                }
                let found = (left + 1 < count).then(|| {
                    self.merging.pair(
                        word,
                        Pair {
                            left: id[left],
                            right: id[left + 1],
                            range: begin[left]..begin[left + 2],
                        },
                    )
                });
                (rank[left], product[left]) = found.flatten().unwrap_or((NEVER, 0));
            }
        }
        ids.extend_from_slice(&id[..count]);
    }
}

impl Splitter {
    /// Splits at the matches of a pattern; what lies between them is left out if the library does not know the pattern, as
    /// tiktoken does.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if recognize(pattern).is_some() {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            return Split::native(pattern, SplitDelimiterBehavior::Isolated, false)
                .map(|split| Self::Known(PipelinePreTokenizer::Split(split)))
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

    /// Passes on the words of the text.
    fn split(
        &self,
        text: &str,
        scratch: &mut PreTokenizerScratch,
        spans: &mut Vec<Span>,
        mut each: impl FnMut(&str),
    ) -> Result<(), String> {
        match self {
            Self::Known(split) => {
                spans.clear();
                split
                    .pre_tokenize(text, scratch, spans)
                    .map_err(|error| error.to_string())?;
                for span in spans {
                    each(&text[span.start as usize..span.end as usize]);
                }
                Ok(())
            }
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
