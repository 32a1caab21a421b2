//! Positions at which text can be cut so that the ids of the parts, concatenated, are the ids of the whole.
//!
//! Added (special) tokens split the text before any other step, so the text can always be cut in front of one. Behind one,
//! and at some line ends, it can also be cut if the tokenizer is of a family whose splitting rules are known.

use aho_corasick::{AhoCorasick, MatchKind};
use serde::Deserialize;

/// An added token of a tokenizer: an entry of `added_tokens` in `tokenizer.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct AddedToken {
    /// Text of the token.
    #[serde(rename = "content")]
    pub text: String,
    /// Its id.
    pub id: u32,
    /// Whether it absorbs white space in front of it.
    #[serde(default)]
    pub lstrip: bool,
    /// Whether it absorbs white space behind it.
    #[serde(default)]
    pub rstrip: bool,
    /// Whether it only matches between words.
    #[serde(default)]
    pub single_word: bool,
    /// Whether it is matched in normalised text.
    #[serde(default)]
    pub normalized: bool,
    /// Whether it is a special token, which decoding may leave out.
    #[serde(default)]
    pub special: bool,
    /// Whether a plain search finds the token exactly where the tokenizer does.
    #[serde(skip, default = "yes")]
    pub foreseeable: bool,
}

fn yes() -> bool {
    true
}

impl AddedToken {
    /// A token without special matching rules.
    pub fn plain(text: &str, id: u32) -> Self {
        Self {
            text: text.into(),
            id,
            lstrip: false,
            rstrip: false,
            single_word: false,
            normalized: false,
            special: true,
            foreseeable: true,
        }
    }

    fn is_simple(&self) -> bool {
        self.foreseeable
            && !self.lstrip
            && !self.rstrip
            && !self.single_word
            && !self.text.is_empty()
    }
}

/// Positions at which text can be cut for a tokenizer.
#[derive(Debug)]
pub struct Cuts {
    anywhere: bool,
    added: Vec<AddedToken>,
    finder: Option<AhoCorasick>,
    /// Whether a plain search finds all added tokens.
    all_simple: bool,
    /// Whether line ends before a letter, and positions behind added tokens, are safe.
    line_safe: bool,
}

/// A piece of text between cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Text to encode.
    Text {
        /// First byte.
        start: usize,
        /// End: the byte after the last one.
        end: usize,
    },
    /// A separate added token.
    Token {
        /// First byte.
        start: usize,
        /// End: the byte after the last one.
        end: usize,
        /// Its id.
        id: u32,
    },
}

impl Cuts {
    /// Every position is safe: one id per character.
    pub fn anywhere() -> Self {
        Self {
            anywhere: true,
            added: Vec::new(),
            finder: None,
            all_simple: true,
            line_safe: true,
        }
    }

    /// For a tokenizer with these added tokens; `line_safe` if its splitting rules are known to end a word at a line end
    /// before a letter, independent of the preceding text.
    pub fn new(added: Vec<AddedToken>, line_safe: bool) -> Self {
        let added: Vec<_> = added
            .into_iter()
            .filter(|token| !token.text.is_empty())
            .collect();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(added.iter().map(|token| &token.text))
            .ok()
            .filter(|_| !added.is_empty());
        // A token that contains a line end could span a cut at one.
        let line_safe = line_safe && !added.iter().any(|token| token.text.contains('\n'));
        let all_simple = added.iter().all(AddedToken::is_simple) && !is_any_nested(&added);
        Self {
            anywhere: false,
            finder,
            all_simple,
            added,
            line_safe,
        }
    }

    /// Whether every position is safe.
    pub fn is_anywhere(&self) -> bool {
        self.anywhere
    }

    /// Whether a plain search finds all added tokens exactly where the tokenizer does.
    pub fn finds_all(&self) -> bool {
        self.all_simple
    }

    /// Divides `text` at its added tokens, found by a plain search: passes on each part between them, and each token with its
    /// id.
    pub fn each_token<'t>(&self, text: &'t str, mut each: impl FnMut(&'t str, Option<u32>)) {
        let mut start = 0;
        let found = self.finder.iter().flat_map(|finder| finder.find_iter(text));
        for found in found {
            if found.start() > start {
                each(&text[start..found.start()], None);
            }
            let id = self.added[found.pattern().as_usize()].id;
            each(&text[found.range()], Some(id));
            start = found.end();
        }
        if start < text.len() {
            each(&text[start..], None);
        }
    }

    /// The text of an added token.
    pub fn text_of(&self, id: u32) -> Option<&str> {
        let token = self.added.iter().find(|token| token.id == id)?;
        Some(&token.text)
    }

    /// Whether the ids of a text end with its last added token, so that a response can be cut there.
    pub fn last_token_end(&self, text: &str) -> Option<usize> {
        let finder = self.finder.as_ref()?;
        finder.find_iter(text).last().map(|found| found.end())
    }

    /// Whether `text` can be cut at `place` because a line ends there and a letter follows.
    pub fn is_line_cut(&self, text: &str, place: usize) -> bool {
        if self.anywhere {
            return text.is_char_boundary(place);
        }
        let bytes = text.as_bytes();
        self.line_safe
            && place >= 2
            && bytes.get(place).is_some_and(u8::is_ascii_alphabetic)
            && bytes[place - 1] == b'\n'
            && bytes[place - 2].is_ascii_graphic()
    }

    /// Cuts `text` from byte `from` on, which must be a safe position, and passes on the pieces in order. Besides added
    /// tokens, the `wanted` positions (ascending) are used where they are safe.
    ///
    /// Returns `false` if a plain search cannot find this tokenizer's added tokens; then no piece is passed on and the text
    /// must be encoded as a whole.
    pub fn pieces(
        &self,
        text: &str,
        from: usize,
        wanted: &[usize],
        mut each: impl FnMut(Piece),
    ) -> bool {
        if !self.all_simple {
            return false;
        }
        let mut wanted = wanted
            .iter()
            .copied()
            .filter(|place| *place > from)
            .peekable();
        let mut start = from;
        let mut text_upto = |start: usize, end: usize, each: &mut dyn FnMut(Piece)| {
            let mut start = start;
            while let Some(place) = wanted.next_if(|place| *place < end) {
                if place > start && self.is_line_cut(text, place) {
                    each(Piece::Text { start, end: place });
                    start = place;
                }
            }
            if start < end {
                each(Piece::Text { start, end });
            }
        };
        if let Some(finder) = &self.finder {
            for found in finder.find_iter(&text[from..]) {
                let (begin, end) = (from + found.start(), from + found.end());
                if self.line_safe {
                    text_upto(start, begin, &mut each);
                    each(Piece::Token {
                        start: begin,
                        end,
                        id: self.added[found.pattern().as_usize()].id,
                    });
                    start = end;
                } else if begin > start {
                    // The token stays in front of the text that it may influence.
                    text_upto(start, begin, &mut each);
                    start = begin;
                }
            }
        }
        text_upto(start, text.len(), &mut each);
        true
    }
}

/// Whether an added token is part of another one: it could be found in a part of a text where the whole has the other.
fn is_any_nested(added: &[AddedToken]) -> bool {
    let Ok(finder) = AhoCorasick::new(added.iter().map(|token| &token.text)) else {
        return true;
    };
    added.iter().any(|token| {
        let mut found = finder.find_overlapping_iter(&token.text);
        found.any(|found| found.range() != (0..token.text.len()))
    })
}

#[cfg(test)]
mod tests {
    use crate::prompt::cuts::*;

    fn pieces(cuts: &Cuts, text: &str, wanted: &[usize]) -> Option<Vec<String>> {
        let mut found = Vec::new();
        cuts.pieces(text, 0, wanted, |piece| {
            found.push(match piece {
                Piece::Text { start, end } => text[start..end].to_owned(),
                Piece::Token { id, .. } => format!("#{id}"),
            });
        })
        .then_some(found)
    }

    #[test]
    fn cut_at_tokens_and_wanted_line_ends() {
        let tokens = vec![AddedToken::plain("<s>", 1), AddedToken::plain("<e>", 2)];
        let text = "<s>user\nHi\nyou<e>\nx";
        let known = Cuts::new(tokens.clone(), true);
        assert_eq!(
            pieces(&known, text, &[8, 9]).expect("cuts"),
            ["#1", "user\n", "Hi\nyou", "#2", "\nx"]
        );
        let unknown = Cuts::new(tokens.clone(), false);
        assert_eq!(
            pieces(&unknown, text, &[8]).expect("cuts"),
            ["<s>user\nHi\nyou", "<e>\nx"]
        );
        let mut odd = tokens;
        odd[0].lstrip = true;
        assert_eq!(pieces(&Cuts::new(odd, true), text, &[]), None);
    }
}
