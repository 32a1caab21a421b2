//! Vocabularies of ranks, as the `tiktoken` library defines them: those neighbours are merged whose joint token has the
//! lowest rank.

use std::collections::HashMap;

use super::Tokenizer;
use super::byte_level::{ByteLevel, Merging, Splitter};
use super::merge::Pair;
use super::patterns::is_line_safe;
use crate::base::Identity;
use crate::prompt::cuts::{AddedToken, Cuts};

/// Tokenizer with a vocabulary of ranks.
pub(super) struct Ranked {
    identity: Identity,
    encoder: ByteLevel<Ranks>,
    cuts: Cuts,
}

struct Ranks {
    ids: HashMap<Vec<u8>, u32>,
    /// The bytes of each rank.
    tokens: Vec<Vec<u8>>,
    /// The id of rank 0.
    first_id: u32,
}

/// What a file says of its tokenizer.
pub(super) struct Description<'a> {
    pub(super) tokens: Vec<Vec<u8>>,
    pub(super) pattern: &'a str,
    pub(super) first_id: u32,
    pub(super) nfc: bool,
    pub(super) added: Vec<AddedToken>,
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
        let last = u64::from(first_id) + tokens.len() as u64;
        if last > u64::from(u32::MAX) {
            return Err(format!(
                "ids up to {last}, which are larger than {}",
                u32::MAX
            ));
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (first_id..).zip(&tokens) {
            if let Some(other) = ids.insert(token.clone(), id) {
                return Err(format!(
                    "ranks {} and {} have the same token",
                    other - first_id,
                    id - first_id
                ));
            }
        }
        if let Some(byte) = (0..=0xFF_u8).find(|byte| !ids.contains_key(&[*byte][..])) {
            return Err(format!(
                "the vocabulary has no token for the byte 0x{byte:02X}"
            ));
        }
        let ranks = Ranks {
            ids,
            tokens,
            first_id,
        };
        Ok(Self {
            identity,
            encoder: ByteLevel::new(ranks, Splitter::new(pattern)?, nfc),
            cuts: Cuts::new(added, is_line_safe(pattern)),
        })
    }
}

impl Merging for Ranks {
    fn whole(&self, word: &[u8]) -> Option<u32> {
        self.ids.get(word).copied()
    }

    fn byte(&self, byte: u8) -> u32 {
        self.ids[&[byte][..]]
    }

    fn byte_pair(&self, left: u8, right: u8) -> Option<(u32, u32)> {
        let id = *self.ids.get(&[left, right][..])?;
        Some((id, id))
    }

    fn pair(&self, word: &[u8], pair: Pair) -> Option<(u32, u32)> {
        let id = *self.ids.get(&word[pair.range])?;
        Some((id, id))
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
        self.encoder.encode(text, &self.cuts, ids)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        let ranks = &self.encoder.merging;
        let mut bytes = Vec::new();
        for id in ids {
            let rank = id.checked_sub(ranks.first_id).map(|rank| rank as usize);
            if let Some(text) = self.cuts.text_of(*id) {
                bytes.extend_from_slice(text.as_bytes());
            } else if let Some(token) = rank.and_then(|rank| ranks.tokens.get(rank)) {
                bytes.extend_from_slice(token);
            } else {
                return Err(format!("id {id} is not in the vocabulary"));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
