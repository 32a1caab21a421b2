//! A sentencepiece `tokenizer.model`: BPE and Unigram models, with the ids of the `sentencepiece` library.
//!
//! Control symbols (`<s>`, `[INST]`) and the tokens of `tokenizer_config.json` are found in the text first; each part between
//! them is a text of its own, as the tokenizers of transformers and mistral-common that use the library have it.

mod model;
mod normalizer;
mod proto;

use std::cell::RefCell;

use super::{Config, Tokenizer};
use crate::base::Identity;
use crate::prompt::cuts::{AddedToken, Cuts};
use model::Model;
use normalizer::Normalizer;
use proto::{Kind, ModelFile};

/// Tokenizer of a sentencepiece model.
struct SentencePiece {
    identity: Identity,
    normalizer: Normalizer,
    model: Model,
    cuts: Cuts,
}

/// Reads the bytes of a `tokenizer.model`.
pub(super) fn load(
    identity: Identity,
    bytes: &[u8],
    config: Config,
) -> Result<Box<dyn Tokenizer>, String> {
    let file = ModelFile::parse(bytes)?;
    let added = added(&file, config.added)?;
    let normalizer = Normalizer::new(&file)?;
    Ok(Box::new(SentencePiece {
        identity,
        normalizer,
        model: Model::new(file)?,
        cuts: Cuts::new(added, false),
    }))
}

/// The control symbols of the model and the tokens of the configuration.
fn added(file: &ModelFile, configured: Vec<AddedToken>) -> Result<Vec<AddedToken>, String> {
    let mut added: Vec<AddedToken> = (0..)
        .zip(&file.pieces)
        .filter(|(_, piece)| piece.kind == Kind::Control || piece.kind == Kind::Unknown)
        .map(|(id, piece)| AddedToken::plain(&piece.text, id))
        .collect();
    for token in configured {
        match file.pieces.get(token.id as usize) {
            Some(piece) if piece.text != token.text => {
                return Err(format!(
                    "tokenizer_config.json gives the id {} to `{}`, but the model to `{}`",
                    token.id, token.text, piece.text
                ));
            }
            _ => {}
        }
        if !added.iter().any(|known| known.text == token.text) {
            added.push(token);
        }
    }
    Ok(added)
}

impl Tokenizer for SentencePiece {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        thread_local! {
            static NORMALIZED: RefCell<String> = const { RefCell::new(String::new()) };
        }
        if text.len() > u32::MAX as usize / 4 {
            return Err("a text of 1 GB or more".into());
        }
        NORMALIZED.with_borrow_mut(|normalized| {
            self.cuts.each_token(text, |part, token| match token {
                Some(id) => ids.push(id),
                None => {
                    normalized.clear();
                    self.normalizer.normalize(part, normalized);
                    self.model.encode(normalized, ids);
                }
            });
        });
        Ok(())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        let mut bytes = Vec::new();
        for id in ids {
            match self.cuts.text_of(*id) {
                Some(text) => bytes.extend_from_slice(text.as_bytes()),
                None => self.model.decode(*id, &mut bytes)?,
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(self.normalizer.restore(&text))
    }
}
