//! Exact incremental encoding: every prompt of a conversation, each id computed once.
//!
//! Two renderings that begin with the same text begin with the same ids up to the last safe cut in that text (see
//! [`super::cuts`]), so only what lies behind it is encoded anew. The ids are those of encoding each whole prompt.

use super::cuts::Piece;
use super::template::{ChatTemplate, TemplateError};
use super::tokenizer::Tokenizer;
use crate::dataset::{Conversation, Role};

/// One user message with its reply.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// Turn within the conversation, from 0.
    pub number: u32,
    /// Ids of the whole prompt.
    pub prompt: &'a [u32],
    /// How many leading ids are known to equal those of the prompt before.
    pub stable: usize,
    /// Ids of the reply as the template renders it, up to and including its end-of-turn token.
    pub output: &'a [u32],
}

/// Why a conversation cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodeError {
    /// The template refuses such a conversation.
    Rejected(String),
    /// The template or the tokenizer failed.
    Failed(String),
}

impl From<TemplateError> for EncodeError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Rejected(message) => Self::Rejected(message),
            TemplateError::Failed(message) => Self::Failed(message),
        }
    }
}

/// Encodes conversations, one after the other; keeps its buffers.
pub struct PromptEncoder<'a> {
    template: &'a ChatTemplate,
    tokenizer: &'a dyn Tokenizer,
    state: Encoded,
    reply: Reply,
}

/// The text that was encoded last, with the places at which it was cut.
#[derive(Debug, Default)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
    cuts: Vec<Cut>,
}

/// A place from which encoding may go on.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// The byte at which it is.
    place: usize,
    /// How much text, from the start, makes the cut safe.
    witness: usize,
    /// Ids before it.
    ids: usize,
}

/// The reply that was encoded last. Mostly the next prompt has it again, in the same pieces.
#[derive(Debug, Default)]
struct Reply {
    text: String,
    ids: Vec<u32>,
    /// End of text and end of ids of each piece.
    pieces: Vec<(usize, usize)>,
}

impl Reply {
    fn clear(&mut self) {
        self.text.clear();
        self.ids.clear();
        self.pieces.clear();
    }

    /// The ids of a piece of this text, if it was encoded as a piece.
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
    /// For one template and tokenizer.
    pub fn new(template: &'a ChatTemplate, tokenizer: &'a dyn Tokenizer) -> Self {
        Self {
            template,
            tokenizer,
            state: Encoded::default(),
            reply: Reply::default(),
        }
    }

    /// Encodes the turns of a conversation in order: of all user messages with a reply, or of the first only.
    ///
    /// # Errors
    /// What the template or the tokenizer says; turns before that may have been handed over.
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
        let prepared = self.template.messages(messages);
        let mut number = 0;
        for index in 0..messages.len().saturating_sub(1) {
            if messages[index].role != Role::User || messages[index + 1].role != Role::Assistant {
                continue;
            }
            let prompt = self.template.render(&prepared, index + 1, true)?;
            let answered = self.template.render(&prepared, index + 2, false)?;
            let stable = self.advance(&prompt)?;
            self.encode_reply(&prompt, &answered, &messages[index + 1].content)?;
            each(Turn {
                number,
                prompt: &self.state.ids,
                stable,
                output: &self.reply.ids,
            });
            number += 1;
            if first_only {
                break;
            }
        }
        Ok(())
    }

    /// Makes `prompt` the encoded text; returns how many leading ids stayed.
    fn advance(&mut self, prompt: &str) -> Result<usize, EncodeError> {
        let state = &mut self.state;
        let keep = common_prefix(&state.text, prompt);
        let reply_starts_at = state.text.len();
        while state.cuts.last().is_some_and(|cut| cut.witness > keep) {
            state.cuts.pop();
        }
        let from = state.cuts.last().copied().unwrap_or(Cut {
            place: 0,
            witness: 0,
            ids: 0,
        });
        let before = state.ids.len();
        state.ids.truncate(from.ids);
        state.text.clear();
        state.text.push_str(prompt);
        self.encode_from(from.place, &[reply_starts_at])?;
        Ok(from.ids.min(before))
    }

    fn encode_from(&mut self, from: usize, wanted: &[usize]) -> Result<(), EncodeError> {
        let Encoded { text, ids, cuts } = &mut self.state;
        let rules = self.tokenizer.cuts();
        if rules.is_anywhere() {
            let mut place = from;
            for next in wanted
                .iter()
                .copied()
                // Where the template rewrote what stood before, the place may lie within a character.
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
                    // What makes the place safe: the whole token that begins there, or one letter after a line end.
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

    /// Encodes the reply: what the template renders behind the prompt, up to its last added token.
    fn encode_reply(
        &mut self,
        prompt: &str,
        answered: &str,
        content: &str,
    ) -> Result<(), EncodeError> {
        self.reply.clear();
        let rendered = match answered.strip_prefix(prompt) {
            Some(rest) => rest,
            // The template writes the reply elsewhere than where it asked for it: take the message itself.
            None => content,
        };
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

fn encode(tokenizer: &dyn Tokenizer, text: &str, ids: &mut Vec<u32>) -> Result<(), EncodeError> {
    tokenizer.encode(text, ids).map_err(EncodeError::Failed)
}

/// Length of the common prefix, at a character boundary of both.
fn common_prefix(a: &str, b: &str) -> usize {
    let (bytes, other) = (a.as_bytes(), b.as_bytes());
    let most = bytes.len().min(other.len());
    // Long stretches at once first: prompts share nearly everything.
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
