//! Tokenizers: from text to the ids that the model's own tokenizer gives.

mod builtin;
mod chars;
mod huggingface;

use std::path::Path;

pub use huggingface::HuggingFace;

use super::cuts::Cuts;
use crate::base::Identity;
use crate::base::error::{Error, Location, Result};

/// Turns text into ids. Special tokens are never added, but found in the text, because templates print their own.
pub trait Tokenizer: Send + Sync {
    /// Name and digest.
    fn identity(&self) -> &Identity;

    /// Where text may be cut without changing an id.
    fn cuts(&self) -> &Cuts;

    /// Appends the ids of `text`, which holds no added token if [`Tokenizer::cuts`] knows them all.
    ///
    /// # Errors
    /// A phrase, where the model cannot encode the text.
    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String>;

    /// The text of ids, special tokens included; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// A phrase, where an id is not in the vocabulary.
    fn decode(&self, ids: &[u32]) -> Result<String, String>;
}

/// Names of tokenizers that need no file.
pub fn builtin_names() -> Vec<&'static str> {
    let mut names = vec!["chars"];
    names.extend(builtin::NAMES);
    names
}

/// The tokenizer that works without any file.
pub const DEFAULT: &str = "qwen2";

/// Loads a tokenizer: a built-in name, a `tokenizer.json` (also compressed), or a folder that has one.
///
/// # Errors
/// An unknown name, an unreadable file, or a file that is no tokenizer.
pub fn load(spec: &str) -> Result<Box<dyn Tokenizer>> {
    if spec == "chars" {
        return Ok(Box::new(chars::Chars::new()));
    }
    if let Some(builtin) = builtin::Builtin::new(spec) {
        return Ok(Box::new(builtin));
    }
    let path = Path::new(spec);
    if path.is_dir() {
        let Some(file) = find_in(path, "tokenizer.json") else {
            return Err(Error::input(
                Location::file(path),
                "the folder has no tokenizer.json",
                "give a Hugging Face model folder, or the tokenizer.json itself",
            ));
        };
        return Ok(Box::new(HuggingFace::load(&file)?));
    }
    if path.exists() {
        return Ok(Box::new(HuggingFace::load(path)?));
    }
    if spec.contains(['/', '\\']) || spec.ends_with(".json") {
        return Err(Error::read(path, std::io::ErrorKind::NotFound.into()));
    }
    Err(Error::unknown_name("tokenizer", spec, &builtin_names()))
}

/// A file of a folder, plain or compressed.
pub fn find_in(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    ["", ".gz", ".zst"]
        .iter()
        .map(|ending| folder.join(format!("{name}{ending}")))
        .find(|path| path.is_file())
}
