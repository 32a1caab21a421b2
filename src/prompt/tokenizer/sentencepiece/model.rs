//! The models of sentencepiece: BPE by scores, and Unigram.
//! Source: `bpe_model.cc`, `unigram_model.cc` and `sentencepiece_processor.cc` of the sentencepiece library.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use super::normalizer::{prefix_finder, user_defined};
use super::proto::{Algorithm, Kind, ModelFile, Piece};
use crate::prompt::tokenizer::merge::Symbols;

/// How much less than the lowest score a character outside of the vocabulary has.
const UNKNOWN_PENALTY: f32 = 10.0;

/// Model of a file.
pub(super) struct Model {
    pieces: Vec<Piece>,
    /// Ids of all pieces by text.
    ids: HashMap<String, u32>,
    unknown: u32,
    /// Ids of the 256 bytes, if characters outside of the vocabulary become bytes.
    bytes: Option<Vec<u32>>,
    algorithm: Algorithm,
    user_defined: Option<AhoCorasick>,
    /// Ids of the pieces of a Unigram model that a text may be divided into, in the order of their bytes.
    sorted: Vec<u32>,
    lowest: f32,
    highest: f32,
}

/// A score by which the higher one comes first.
#[derive(Clone, Copy, PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The best path to a byte.
#[derive(Clone, Copy)]
struct Best {
    id: u32,
    score: f32,
    /// Where its last piece starts; `usize::MAX` if no path ends here.
    start: usize,
}

impl Model {
    /// # Errors
    /// A vocabulary with a piece twice, without a piece for unknown text, or without a byte that it needs.
    pub(super) fn new(file: ModelFile) -> Result<Self, String> {
        let user_defined = prefix_finder(&file)?;
        let mut ids = HashMap::with_capacity(file.pieces.len());
        for (id, piece) in (0..).zip(&file.pieces) {
            if let Some(other) = ids.insert(piece.text.clone(), id) {
                return Err(format!(
                    "the pieces {other} and {id} are both `{}`",
                    piece.text
                ));
            }
            if piece.kind == Kind::Unused && file.algorithm == Algorithm::Bpe {
                return Err(format!(
                    "piece {id} is unused, which is not supported in a BPE model"
                ));
            }
        }
        let unknown = file
            .pieces
            .iter()
            .position(|piece| piece.kind == Kind::Unknown);
        let unknown = unknown.ok_or("no piece for unknown text")? as u32;
        let bytes = match file.byte_fallback {
            true => Some(byte_ids(&ids)?),
            false => None,
        };
        let scores = || {
            let normal = file
                .pieces
                .iter()
                .filter(|piece| piece.kind == Kind::Normal);
            normal.map(|piece| piece.score)
        };
        Ok(Self {
            lowest: scores().fold(f32::MAX, f32::min),
            highest: scores().fold(f32::MIN_POSITIVE, f32::max),
            sorted: match file.algorithm {
                Algorithm::Unigram => sorted(&file.pieces),
                Algorithm::Bpe => Vec::new(),
            },
            unknown,
            bytes,
            algorithm: file.algorithm,
            user_defined,
            ids,
            pieces: file.pieces,
        })
    }

    /// Appends the ids of a normalized text.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut after_unknown = false;
        let mut push = |piece: &str, id: u32| {
            let is_unknown = id == self.unknown;
            match (&self.bytes, is_unknown) {
                (Some(table), true) => ids.extend(piece.bytes().map(|byte| table[byte as usize])),
                // A run of unknown text is one token.
                (None, true) if after_unknown => {}
                _ => ids.push(id),
            }
            after_unknown = is_unknown;
        };
        match self.algorithm {
            Algorithm::Bpe => self.encode_bpe(text, &mut push),
            Algorithm::Unigram => self.encode_unigram(text, &mut push),
        }
    }

    fn encode_bpe(&self, text: &str, push: &mut impl FnMut(&str, u32)) {
        thread_local! {
            static SYMBOLS: RefCell<Symbols<Reverse<Score>>> = RefCell::new(Symbols::new());
        }
        SYMBOLS.with_borrow_mut(|symbols| {
            symbols.clear();
            let mut at = 0;
            while let Some(character) = text[at..].chars().next() {
                let fixed = user_defined(self.user_defined.as_ref(), &text[at..]);
                let from = at;
                at += fixed.unwrap_or(character.len_utf8());
                let piece = &text[from..at];
                let id = self.ids.get(piece).copied().unwrap_or(self.unknown);
                symbols.push(at, id, fixed.is_some());
            }
            symbols.merge(|pair| {
                let id = *self.ids.get(&text[pair.range])?;
                let piece = &self.pieces[id as usize];
                let mergeable = matches!(piece.kind, Kind::Normal | Kind::UserDefined);
                mergeable.then_some((Reverse(Score(piece.score)), id))
            });
            for (range, id) in symbols.each() {
                push(&text[range], id);
            }
        });
    }

    /// The path of the highest sum of scores. Sums are of single precision, as in the library.
    fn encode_unigram(&self, text: &str, push: &mut impl FnMut(&str, u32)) {
        thread_local! {
            static BEST: RefCell<Vec<Best>> = const { RefCell::new(Vec::new()) };
        }
        let unknown_score = self.lowest - UNKNOWN_PENALTY;
        BEST.with_borrow_mut(|best| {
            best.clear();
            let none = Best {
                id: self.unknown,
                score: 0.0,
                start: usize::MAX,
            };
            best.resize(text.len() + 1, none);
            for (start, character) in text.char_indices() {
                let so_far = best[start].score;
                let end_of_character = start + character.len_utf8();
                let mut has_single = false;
                let mut reach = |end: usize, id: u32, score: f32| {
                    let score = score + so_far;
                    let target = &mut best[end];
                    if target.start == usize::MAX || score > target.score {
                        *target = Best { id, score, start };
                    }
                };
                // The pieces that begin with the bytes from `start` to `end`.
                let mut pieces = &self.sorted[..];
                for (length, byte) in text.as_bytes()[start..].iter().enumerate() {
                    let at = |id: &u32| self.pieces[*id as usize].text.as_bytes().get(length);
                    let from = pieces.partition_point(|id| at(id) < Some(byte));
                    let upto = pieces.partition_point(|id| at(id) <= Some(byte));
                    pieces = &pieces[from..upto];
                    let Some(first) = pieces.first() else {
                        break;
                    };
                    let found = &self.pieces[*first as usize];
                    if found.text.len() > length + 1 {
                        continue;
                    }
                    let end = start + length + 1;
                    let score = match found.kind {
                        // Such a symbol is always chosen.
                        Kind::UserDefined => (end - start) as f32 * self.highest - 0.1,
                        _ => found.score,
                    };
                    reach(end, *first, score);
                    has_single |= end == end_of_character;
                }
                if !has_single {
                    reach(end_of_character, self.unknown, unknown_score);
                }
            }
            let mut path = Vec::new();
            let mut end = text.len();
            while end > 0 {
                let last = best[end];
                path.push((last.start, end, last.id));
                end = last.start;
            }
            for (start, end, id) in path.into_iter().rev() {
                push(&text[start..end], id);
            }
        });
    }

    /// Appends the text of an id, with signs for spaces.
    pub(super) fn decode(&self, id: u32, bytes: &mut Vec<u8>) -> Result<(), String> {
        let piece = self
            .pieces
            .get(id as usize)
            .ok_or_else(|| format!("id {id} is not in the vocabulary"))?;
        match byte_of(piece) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(piece.text.as_bytes()),
        }
        Ok(())
    }
}

fn sorted(pieces: &[Piece]) -> Vec<u32> {
    let in_text = |piece: &Piece| matches!(piece.kind, Kind::Normal | Kind::UserDefined);
    let mut ids: Vec<u32> = (0..)
        .zip(pieces)
        .filter_map(|(id, piece)| in_text(piece).then_some(id))
        .collect();
    ids.sort_unstable_by_key(|id| pieces[*id as usize].text.as_bytes());
    ids
}

/// The byte of a piece `<0xNN>`.
fn byte_of(piece: &Piece) -> Option<u8> {
    let digits = piece.text.strip_prefix("<0x")?.strip_suffix('>')?;
    (piece.kind == Kind::Byte).then(|| u8::from_str_radix(digits, 16).ok())?
}

fn byte_ids(ids: &HashMap<String, u32>) -> Result<Vec<u32>, String> {
    let id = |byte: u8| {
        let text = format!("<0x{byte:02X}>");
        let id = ids.get(&text).copied();
        id.ok_or_else(|| {
            format!("characters outside of the vocabulary become bytes, but it lacks `{text}`")
        })
    };
    (0..=0xFF).map(id).collect()
}
