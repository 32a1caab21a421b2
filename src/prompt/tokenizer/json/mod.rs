//! A model's own `tokenizer.json`.
//!
//! Files of the kinds that have been compared id by id go to the `tokenizers` crate's pipeline (1.0), which is the faster one
//! (`pipeline`). All others go to its released implementation, which is the reference itself (`released`). What either
//! would not survive is refused before it gets there (`check`).

mod check;
mod cuts;
mod document;
mod pipeline;
mod regex;
mod released;

use std::sync::OnceLock;

use super::Tokenizer;
use crate::base::Identity;
use crate::base::foreign::guarded;
use crate::prompt::cuts::Cuts;
use document::Document;
use pipeline::Pipeline;
use released::Released;

/// Tokenizer described by a Hugging Face `tokenizer.json`.
pub struct HuggingFace {
    identity: Identity,
    engine: Engine,
    cuts: Cuts,
    /// Message of the first panic of the library; nothing is encoded after it.
    broken: OnceLock<String>,
}

/// The implementation that encodes.
enum Engine {
    Pipeline(Pipeline),
    Released(Box<Released>),
}

impl HuggingFace {
    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong, in words: a vocabulary or merges that contradict each other, or a kind of tokenizer that is not
    /// supported.
    pub fn parse(identity: Identity, text: &str) -> Result<Self, String> {
        let (engine, cuts) = build(text)?;
        Ok(Self {
            identity,
            engine,
            cuts,
            broken: OnceLock::new(),
        })
    }
}

/// The implementation for this file, and where text may be divided for it.
fn build(text: &str) -> Result<(Engine, Cuts), String> {
    let document = Document::parse(text)?;
    let rules = cuts::Rules::of(&document);
    let mut added = document.added_tokens.clone();
    let engine = match document.pipeline_steps() {
        Some(steps) => match guarded(|| Pipeline::build(document, steps))? {
            Ok(pipeline) => Engine::Pipeline(pipeline),
            Err(problem) => {
                // Tells which merge is wrong, if that is what the library found.
                Document::parse(text)?.check_merges()?;
                return Err(problem);
            }
        },
        None => {
            document.check_merges()?;
            drop(document);
            let released = guarded(|| Released::build(text))??;
            // The reference numbers added tokens by itself, which need not give the ids of the file.
            for token in &mut added {
                token.id = released.id(&token.text).unwrap_or(token.id);
            }
            Engine::Released(Box::new(released))
        }
    };
    Ok((engine, rules.cuts(added)))
}

impl Tokenizer for HuggingFace {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        if let Some(problem) = self.broken.get() {
            return Err(problem.clone());
        }
        guarded(|| match &self.engine {
            Engine::Pipeline(pipeline) => pipeline.encode(text, ids),
            Engine::Released(released) => released.encode(text, ids),
        })
        .unwrap_or_else(|panic| Err(self.broken.get_or_init(|| panic).clone()))
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        guarded(|| match &self.engine {
            Engine::Pipeline(pipeline) => pipeline.decode(ids),
            Engine::Released(released) => released.decode(ids),
        })?
    }
}
