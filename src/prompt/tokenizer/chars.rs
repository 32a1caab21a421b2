//! One id per character, for comparison with notebooks that count characters.

use super::Tokenizer;
use crate::base::Identity;
use crate::prompt::cuts::Cuts;

/// Tokenizer whose ids are Unicode code points.
pub(super) struct Chars {
    identity: Identity,
    cuts: Cuts,
}

impl Chars {
    pub(super) fn new() -> Self {
        Self {
            identity: Identity {
                name: "chars".into(),
                sha256: super::super::sha256_hex(b"unicode code points"),
            },
            cuts: Cuts::anywhere(),
        }
    }
}

impl Tokenizer for Chars {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        ids.extend(text.chars().map(u32::from));
        Ok(())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        ids.iter()
            .map(|id| {
                char::from_u32(*id).ok_or_else(|| format!("id {id} is not a Unicode character"))
            })
            .collect()
    }
}
