//! A model's own `tokenizer.json`.
//!
//! Three implementations encode text:
//!
//! - Byte-level BPE with one of the usual patterns: this program's own (`merges`), whose tables take a fraction of the time to build.
//!   After [`MUCH_TEXT`] bytes of text, the crate's pipeline takes over, because it encodes faster once it is built.
//! - Other kinds whose ids were compared with the reference: the pipeline of the crate `tokenizers` 1.0 (`pipeline`).
//! - All others: the released crate `tokenizers` 0.23, which is the reference itself (`released`).
//!
//! Both crates panic or exhaust memory on some malformed files; `check` refuses those first.

mod check;
mod cuts;
mod document;
mod merges;
mod pipeline;
mod regex;
mod released;
mod vocabulary;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Tokenizer;
use super::byte_level::ByteLevel;
use crate::base::Identity;
use crate::base::foreign::guarded;
use crate::prompt::cuts::Cuts;
use document::Document;
use merges::Merges;
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
    Bytes(Box<Bytes>),
    Pipeline(Pipeline),
    Released(Box<Released>),
}

/// Text after which the pipeline's tables pay, in bytes: it takes longer to build them, but less time for each text.
const MUCH_TEXT: usize = 1 << 20;

/// Encoder of the usual vocabularies of bytes: this program's own, and the pipeline once there is much text.
struct Bytes {
    own: ByteLevel<Merges>,
    /// The file, from which the pipeline is built.
    file: String,
    /// Bytes of text so far.
    seen: AtomicUsize,
    /// Whether a thread builds the pipeline, or has built it.
    begun: AtomicBool,
    pipeline: OnceLock<Pipeline>,
}

impl Bytes {
    fn new(own: ByteLevel<Merges>, file: &str) -> Self {
        Self {
            own,
            file: file.to_owned(),
            seen: AtomicUsize::new(0),
            begun: AtomicBool::new(false),
            pipeline: OnceLock::new(),
        }
    }

    /// Appends the ids of `text`; both encoders give the same.
    fn encode(&self, text: &str, cuts: &Cuts, ids: &mut Vec<u32>) -> Result<(), String> {
        if self.pipeline.get().is_none() {
            let seen = self.seen.fetch_add(text.len(), Ordering::Relaxed);
            // Other threads go on with this program's own encoder until the pipeline is there.
            if seen + text.len() > MUCH_TEXT && !self.begun.swap(true, Ordering::Relaxed) {
                let built = guarded(|| {
                    let document = Document::parse(&self.file).ok()?;
                    let steps = document.pipeline_steps()?;
                    Pipeline::build(document, steps).ok()
                });
                if let Ok(Some(pipeline)) = built {
                    self.pipeline.get_or_init(|| pipeline);
                }
            }
        }
        match self.pipeline.get() {
            Some(pipeline) => pipeline.encode(text, ids),
            None => self.own.encode(text, cuts, ids),
        }
    }
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
    let mut document = Document::parse(text)?;
    let rules = cuts::Rules::of(&document);
    let mut added = document.added_tokens.clone();
    let Some(steps) = document.pipeline_steps() else {
        drop(document);
        let released = guarded(|| Released::build(text))??;
        // The reference numbers added tokens by itself, which need not give the ids of the file.
        for token in &mut added {
            token.id = released.id(&token.text).unwrap_or(token.id);
        }
        return Ok((Engine::Released(Box::new(released)), rules.cuts(added)));
    };
    let cuts = rules.cuts(added);
    let usual = merges::takes(&document, &steps) && cuts.finds_all();
    let engine = match document.bpe.take_if(|_| usual) {
        Some(bpe) => Engine::Bytes(Box::new(Bytes::new(merges::encoder(bpe, steps), text))),
        None => Engine::Pipeline(guarded(|| Pipeline::build(document, steps))??),
    };
    Ok((engine, cuts))
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
            Engine::Bytes(encoder) => encoder.encode(text, &self.cuts, ids),
            Engine::Pipeline(pipeline) => pipeline.encode(text, ids),
            Engine::Released(released) => released.encode(text, ids),
        })
        .unwrap_or_else(|panic| Err(self.broken.get_or_init(|| panic).clone()))
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        guarded(|| match &self.engine {
            Engine::Bytes(encoder) => encoder.own.merging.decode(ids, &self.cuts),
            Engine::Pipeline(pipeline) => pipeline.decode(ids),
            Engine::Released(released) => released.decode(ids),
        })?
    }
}
