//! Exact incremental encoding: every prompt of a conversation, each id computed only once.
//!
//! Two renderings that begin with the same text begin with the same ids up to the last safe cut in that text (see
//! [`super::cuts`]), so only the text behind it is encoded again. The ids equal those of encoding each whole prompt.

use super::cuts::Piece;
use super::growth::{Form, Growth};
use super::template::{ChatTemplate, TemplateError};
use super::tokenizer::Tokenizer;
use crate::dataset::{Conversation, Message, Role};

/// One user message with its reply.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// Turn within the conversation, from 0.
    pub number: u32,
    /// Ids of the whole prompt.
    pub prompt: &'a [u32],
    /// Number of leading ids known to equal those of the previous prompt.
    pub stable: usize,
    /// Ids of the reply as the template renders it, up to and including its end-of-turn token.
    pub output: &'a [u32],
}

/// Reason why a conversation cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodeError {
    /// The template rejects the conversation.
    Rejected(String),
    /// The template failed.
    Failed(String),
    /// The template exceeds a limit or makes its engine panic.
    Unusable {
        /// Line of the template, if known.
        line: Option<u64>,
        /// What it does.
        problem: String,
    },
    /// The tokenizer failed.
    Tokenizer(String),
}

impl From<TemplateError> for EncodeError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Rejected(message) => Self::Rejected(message),
            TemplateError::Failed(message) => Self::Failed(message),
            TemplateError::Unusable { line, problem } => Self::Unusable { line, problem },
        }
    }
}

/// Encodes conversations one after another, reusing its buffers.
pub struct PromptEncoder<'a> {
    template: &'a ChatTemplate,
    tokenizer: &'a dyn Tokenizer,
    growth: &'a Growth,
    state: Encoded,
    reply: Reply,
    buffer: String,
}

/// The text that was encoded last, with the positions at which it was cut.
#[derive(Debug, Default)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
    cuts: Vec<Cut>,
}

/// A position from which encoding can continue.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Byte offset of the position.
    place: usize,
    /// Length of the text, from the start, that makes the cut safe.
    witness: usize,
    /// Number of ids before it.
    ids: usize,
}

/// The reply that was encoded last. Usually the next prompt contains it, in the same pieces.
#[derive(Debug, Default)]
struct Reply {
    text: String,
    ids: Vec<u32>,
    /// End in the text and end in the ids of each piece.
    pieces: Vec<(usize, usize)>,
}

impl Reply {
    fn clear(&mut self) {
        self.text.clear();
        self.ids.clear();
        self.pieces.clear();
    }

    /// Ids of a piece with this text, if it was encoded as a piece.
    fn find(&self, piece: &str) -> Option<&[u32]> {
        let (mut start, mut first) = (0, 0);
        for (end, last) in &self.pieces {
            if end - start == piece.len() && self.text[start..*end] == *piece {
                return Some(&self.ids[first..*last]);
            }
            (start, first) = (*end, *last);
        }
        None
    }
}

impl<'a> PromptEncoder<'a> {
    /// For one template, what was inferred about it, and one tokenizer.
    pub fn new(
        template: &'a ChatTemplate,
        growth: &'a Growth,
        tokenizer: &'a dyn Tokenizer,
    ) -> Self {
        Self {
            template,
            tokenizer,
            growth,
            state: Encoded::default(),
            reply: Reply::default(),
            buffer: String::new(),
        }
    }

    /// Encodes the turns of a conversation in order: all user messages with a reply, or only the first.
    ///
    /// # Errors
    /// Errors of the template or the tokenizer; turns before the error may have been passed on.
    pub fn encode(
        &mut self,
        conversation: &Conversation,
        first_only: bool,
        mut each: impl FnMut(Turn<'_>),
    ) -> Result<(), EncodeError> {
        self.state = Encoded {
            ids: std::mem::take(&mut self.state.ids),
            ..Encoded::default()
        };
        self.state.ids.clear();
        self.reply.clear();
        let messages = &conversation.messages;
        let turns = asked(messages, first_only);
        let Some((last, _)) = turns.last() else {
            return Ok(());
        };
        if let Some(form) = self.growth.form(messages)
            && form.holds(self.template, messages, *last as usize, &mut self.buffer)?
        {
            return self.encode_grown(form, messages, &turns, each);
        }
        let prepared = self.template.messages(messages);
        for (number, index) in turns {
            let prompt = self.template.render(&prepared, index + 1, true)?;
            let answered = self.template.render(&prepared, index + 2, false)?;
            let keep = common_prefix(&self.state.text, &prompt);
            let before = self.state.text.len();
            self.state.text.truncate(keep);
            self.state.text.push_str(&prompt[keep..]);
            let stable = self.advance(keep, before)?;
            // A template may render the reply elsewhere than after the prompt: then its text is that of the message.
            let rendered = answered
                .strip_prefix(&*prompt)
                .unwrap_or(&messages[index + 1].content);
            self.encode_reply(rendered)?;
            each(self.turn(number, stable));
        }
        Ok(())
    }

    /// Incremental rendering: each prompt is the previous one with text appended.
    fn encode_grown(
        &mut self,
        form: &Form,
        messages: &[Message],
        turns: &[(u32, usize)],
        mut each: impl FnMut(Turn<'_>),
    ) -> Result<(), EncodeError> {
        for (number, _) in turns {
            let before = self.state.text.len();
            form.extend(&mut self.state.text, messages, *number as usize);
            let stable = self.advance(before, before)?;
            let mut rendered = std::mem::take(&mut self.buffer);
            rendered.clear();
            form.reply(&mut rendered, messages, *number as usize);
            self.encode_reply(&rendered)?;
            self.buffer = rendered;
            each(self.turn(*number, stable));
        }
        Ok(())
    }

    fn turn(&self, number: u32, stable: usize) -> Turn<'_> {
        Turn {
            number,
            prompt: &self.state.ids,
            stable,
            output: &self.reply.ids,
        }
    }

    /// Encodes the text again after its first `keep` bytes, which are unchanged; `before` is the previous length of the
    /// text. Returns the number of leading ids that were kept.
    fn advance(&mut self, keep: usize, before: usize) -> Result<usize, EncodeError> {
        let state = &mut self.state;
        while state.cuts.last().is_some_and(|cut| cut.witness > keep) {
            state.cuts.pop();
        }
        let from = state.cuts.last().copied().unwrap_or(Cut {
            place: 0,
            witness: 0,
            ids: 0,
        });
        state.ids.truncate(from.ids);
        self.encode_from(from.place, &[before])?;
        Ok(from.ids)
    }

    fn encode_from(&mut self, from: usize, wanted: &[usize]) -> Result<(), EncodeError> {
        let Encoded { text, ids, cuts } = &mut self.state;
        let rules = self.tokenizer.cuts();
        if rules.is_anywhere() {
            let mut place = from;
            for next in wanted
                .iter()
                .copied()
                // If the template rewrote earlier text, the position may be inside a character.
                .filter(|next| *next > from && *next < text.len() && text.is_char_boundary(*next))
                .chain([text.len()])
            {
                encode(self.tokenizer, &text[place..next], ids)?;
                place = next;
                cuts.push(Cut {
                    place,
                    witness: place,
                    ids: ids.len(),
                });
            }
            return Ok(());
        }
        let mut failed = None;
        let foreseen = rules.pieces(text, from, wanted, |piece| {
            let result = match piece {
                Piece::Token { start, end, id } => {
                    cuts.push(Cut {
                        place: start,
                        witness: end,
                        ids: ids.len(),
                    });
                    ids.push(id);
                    cuts.push(Cut {
                        place: end,
                        witness: end,
                        ids: ids.len(),
                    });
                    Ok(())
                }
                Piece::Text { start, end } => {
                    // What makes the position safe: the whole token that begins there, or one letter after a line end.
                    let witness = if rules.is_line_cut(text, start) {
                        start + 1
                    } else {
                        end
                    };
                    if start > 0 && cuts.last().is_none_or(|cut| cut.place < start) {
                        cuts.push(Cut {
                            place: start,
                            witness,
                            ids: ids.len(),
                        });
                    }
                    let piece = &text[start..end];
                    match self.reply.find(piece) {
                        Some(known) => {
                            ids.extend_from_slice(known);
                            Ok(())
                        }
                        None => encode(self.tokenizer, piece, ids),
                    }
                }
            };
            if let Err(error) = result {
                failed.get_or_insert(error);
            }
        });
        if !foreseen {
            cuts.clear();
            ids.clear();
            encode(self.tokenizer, text, ids)?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Encodes the reply: the text that the template renders after the prompt, up to its last added token.
    fn encode_reply(&mut self, rendered: &str) -> Result<(), EncodeError> {
        self.reply.clear();
        let rules = self.tokenizer.cuts();
        let end = match rules.last_token_end(rendered) {
            Some(end) if rendered[end..].trim().is_empty() => end,
            _ => rendered.trim_end_matches('\n').len(),
        };
        let Reply { text, ids, pieces } = &mut self.reply;
        text.push_str(&rendered[..end]);
        let mut failed = None;
        let foreseen = rules.pieces(text, 0, &[], |piece| {
            let end = match piece {
                Piece::Token { end, id, .. } => {
                    ids.push(id);
                    end
                }
                Piece::Text { start, end } => {
                    if let Err(error) = encode(self.tokenizer, &text[start..end], ids) {
                        failed.get_or_insert(error);
                    }
                    end
                }
            };
            pieces.push((end, ids.len()));
        });
        if !foreseen {
            encode(self.tokenizer, text, ids)?;
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Appends the ids of an arbitrary text, including added tokens in it.
///
/// # Errors
/// Errors of the tokenizer.
pub fn encode_text(
    tokenizer: &dyn Tokenizer,
    text: &str,
    ids: &mut Vec<u32>,
) -> Result<(), String> {
    let mut failed = None;
    let foreseen = !tokenizer.cuts().is_anywhere()
        && tokenizer.cuts().pieces(text, 0, &[], |piece| match piece {
            Piece::Token { id, .. } => ids.push(id),
            Piece::Text { start, end } => {
                if let Err(problem) = tokenizer.encode(&text[start..end], ids) {
                    failed.get_or_insert(problem);
                }
            }
        });
    if !foreseen {
        tokenizer.encode(text, ids)?;
    }
    failed.map_or(Ok(()), Err)
}

fn encode(tokenizer: &dyn Tokenizer, text: &str, ids: &mut Vec<u32>) -> Result<(), EncodeError> {
    tokenizer.encode(text, ids).map_err(EncodeError::Tokenizer)
}

/// The questions with a reply: number of the turn, and index of the message.
fn asked(messages: &[Message], first_only: bool) -> Vec<(u32, usize)> {
    let pairs = messages.windows(2).enumerate();
    let asked =
        pairs.filter(|(_, pair)| pair[0].role == Role::User && pair[1].role == Role::Assistant);
    let most = if first_only { 1 } else { usize::MAX };
    (0..)
        .zip(asked.map(|(index, _)| index))
        .take(most)
        .collect()
}

/// Length of the common prefix, ending at a character boundary of both.
fn common_prefix(a: &str, b: &str) -> usize {
    let (bytes, other) = (a.as_bytes(), b.as_bytes());
    let most = bytes.len().min(other.len());
    // Compares long stretches first: prompts share nearly everything.
    let mut length = 0;
    while length + 4096 <= most && bytes[length..length + 4096] == other[length..length + 4096] {
        length += 4096;
    }
    while length < most && bytes[length] == other[length] {
        length += 1;
    }
    while !b.is_char_boundary(length) {
        length -= 1;
    }
    length
}
