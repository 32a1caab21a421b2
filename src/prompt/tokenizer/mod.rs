//! Tokenizers: from text to the token ids that the model's own tokenizer gives.

mod builtin;
mod chars;
mod huggingface;

use std::path::Path;

pub use huggingface::HuggingFace;

use super::cuts::Cuts;
use crate::base::Identity;
use crate::base::error::{Error, Location, Result};

/// Turns text into token ids. No special tokens are added; those that a chat template printed are found in the text.
pub trait Tokenizer: Send + Sync {
    /// Name and SHA-256, as the header of a trace records them.
    fn identity(&self) -> &Identity;

    /// Places where text may be divided into parts that are encoded separately without changing an id.
    fn cuts(&self) -> &Cuts;

    /// Appends the ids of `text`, which holds no added token if [`Tokenizer::cuts`] knows them all.
    ///
    /// # Errors
    /// If the model cannot encode the text; the message has no place, which the caller adds.
    fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), String>;

    /// The text of the ids, with special tokens; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If an id is not in the vocabulary.
    fn decode(&self, ids: &[u32]) -> Result<String, String>;
}

/// Names of tokenizers that need no file.
pub fn builtin_names() -> Vec<&'static str> {
    let mut names = vec!["chars"];
    names.extend(builtin::names());
    names
}

/// Name of the tokenizer that is used unless another is chosen.
pub const DEFAULT: &str = "qwen2";

/// Loads a tokenizer: a built-in name, a `tokenizer.json` (also compressed), or a folder that has one.
///
/// # Errors
/// An unknown name, a file that cannot be read, or a file that is not a tokenizer.
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

/// Path of the file `name` in `folder`, plain or compressed (`.gz`, `.zst`), or `None` if there is none.
pub fn find_in(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    ["", ".gz", ".zst"]
        .iter()
        .map(|ending| folder.join(format!("{name}{ending}")))
        .find(|path| path.is_file())
}
