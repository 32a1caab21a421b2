//! Tokenizers: from text to the token ids that the model's own tokenizer gives.

mod builtin;
mod byte_level;
mod chars;
mod json;
mod merge;
mod patterns;
mod ranks;
mod sentencepiece;
mod tekken;
mod tiktoken;
mod words;

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use json::HuggingFace;

use super::cuts::{AddedToken, Cuts};
use crate::base::Identity;
use crate::base::error::{Error, Location, Result};
use crate::base::io::Input;

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

/// Files of a model folder that describe a tokenizer, the preferred one first.
const FILES: [&str; 5] = [
    "tokenizer.json",
    "tekken.json",
    "tokenizer.model",
    "tiktoken.model",
    "qwen.tiktoken",
];

/// The configuration beside a tokenizer's file.
const CONFIG: &str = "tokenizer_config.json";

/// Largest file of a tokenizer, decompressed, in bytes. The largest known ones have 35 MB.
const LARGEST_FILE: u64 = 512 << 20;

/// Loads a tokenizer: a built-in name, one of the files of [`file_in`] (also compressed), or a folder that has one.
///
/// # Errors
/// An unknown name, a file that cannot be read, or a file that is not a tokenizer.
pub fn load(spec: impl AsRef<OsStr>) -> Result<Box<dyn Tokenizer>> {
    let path = Path::new(spec.as_ref());
    let spec = spec.as_ref().to_string_lossy();
    if spec == "chars" {
        return Ok(Box::new(chars::Chars::new()));
    }
    if let Some(builtin) = builtin::Builtin::new(&spec) {
        return Ok(Box::new(builtin));
    }
    if path.is_dir() {
        let Some(file) = file_in(path) else {
            return Err(Error::input(
                Location::file(path),
                format!("the folder has none of {}", FILES.join(", ")),
                "give a model folder, or the file of its tokenizer",
            ));
        };
        return load_file(&file);
    }
    if path.exists() {
        return load_file(path);
    }
    if spec.contains(['/', '\\']) || spec.ends_with(".json") || spec.ends_with(".model") {
        return Err(Error::read(path, std::io::ErrorKind::NotFound.into()));
    }
    Err(Error::unknown_name("tokenizer", &spec, &builtin_names()))
}

/// The file of a model folder that describes its tokenizer: `tokenizer.json`, `tekken.json`, `tokenizer.model`,
/// `tiktoken.model` or `qwen.tiktoken`, whichever comes first in this order.
pub fn file_in(folder: &Path) -> Option<PathBuf> {
    FILES.iter().find_map(|name| find_in(folder, name))
}

/// The files that [`load`] reads for a file or folder: the tokenizer's own and the `tokenizer_config.json` beside it. None for a
/// folder without a tokenizer.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let own = if path.is_dir() {
        file_in(path)
    } else {
        Some(path.to_path_buf())
    };
    let Some(own) = own else {
        return Vec::new();
    };
    let config = find_in(own.parent().unwrap_or(Path::new("")), CONFIG);
    std::iter::once(own).chain(config).collect()
}

/// Loads a file by its content.
fn load_file(path: &Path) -> Result<Box<dyn Tokenizer>> {
    let bytes = read(path)?;
    let identity = Identity {
        name: path.display().to_string(),
        sha256: super::sha256_hex(&bytes),
    };
    let start = bytes.trim_ascii_start();
    let refuse = |problem, remedy: &str| Error::input(Location::file(path), problem, remedy);
    if !start.starts_with(b"{") && !start.starts_with(b"[") {
        let folder = path.parent().unwrap_or(Path::new(""));
        let is_ranks = tiktoken::is_ranks(&bytes);
        let mut config = Config::default();
        if let Some(file) = find_in(folder, CONFIG) {
            config = Config::read(&file)?;
            config.check(!is_ranks).map_err(|problem| {
                let remedy = format!(
                    "give the model's tokenizer.json in place of {}",
                    path.display()
                );
                Error::input(Location::file(&file), problem, remedy)
            })?;
        }
        return if is_ranks {
            tiktoken::load(identity, &bytes, config)
                .map_err(|problem| refuse(problem, "give the model's tokenizer.json"))
        } else {
            sentencepiece::load(identity, &bytes, config).map_err(|problem| {
                refuse(
                    problem,
                    "give the model's tokenizer.json, or a sentencepiece or tiktoken model",
                )
            })
        };
    }
    const JSON: &str = "give a tokenizer.json that Hugging Face's `tokenizers` reads, a tekken.json, or a built-in name";
    let text = std::str::from_utf8(&bytes).map_err(|_| refuse("not UTF-8".into(), JSON))?;
    match tekken::parse(text) {
        Some(described) => described
            .and_then(|described| tekken::load(identity, described))
            .map_err(|problem| refuse(problem, "give a tekken.json that mistral-common reads")),
        None => HuggingFace::parse(identity, text)
            .map(|tokenizer| Box::new(tokenizer) as Box<dyn Tokenizer>)
            .map_err(|problem| refuse(problem, JSON)),
    }
}

/// Reads a whole file, plain or compressed.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Input::open(path)?
        .into_reader()
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::read(path, error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Error::input(
            Location::file(path),
            format!("more than {} MB of data", LARGEST_FILE >> 20),
            "give the file of a tokenizer, of which the largest have 35 MB",
        ));
    }
    Ok(bytes)
}

/// Path of the file `name` in `folder`, plain or compressed (`.gz`, `.zst`), or `None` if there is none.
pub fn find_in(folder: &Path, name: &str) -> Option<PathBuf> {
    ["", ".gz", ".zst"]
        .iter()
        .map(|ending| folder.join(format!("{name}{ending}")))
        .find(|path| path.is_file())
}

/// What the `tokenizer_config.json` beside a `tokenizer.model` or a `tiktoken.model` says.
#[derive(Default)]
struct Config {
    /// `added_tokens_decoder`.
    added: Vec<AddedToken>,
    /// Whether `legacy` or `add_prefix_space` is false.
    own_spaces: bool,
}

impl Config {
    fn read(path: &Path) -> Result<Self> {
        Self::parse(&read(path)?).map_err(|problem| {
            Error::input(
                Location::file(path),
                problem,
                "give the configuration that belongs to the tokenizer, or remove it",
            )
        })
    }

    /// Checks that the configuration asks for nothing that only a `tokenizer.json` describes in full.
    fn check(&self, sentencepiece: bool) -> Result<(), String> {
        if sentencepiece && self.own_spaces {
            return Err(
                "`legacy` or `add_prefix_space` is false: spaces after special tokens then differ from those of the \
                 sentencepiece library"
                    .into(),
            );
        }
        let odd = |token: &&AddedToken| token.lstrip || token.rstrip || token.single_word;
        match self.added.iter().find(odd) {
            Some(token) => Err(format!(
                "the added token `{}` absorbs spaces or matches whole words only (`lstrip`, `rstrip`, `single_word`), which \
                 is supported in a tokenizer.json only",
                token.text
            )),
            None => Ok(()),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let config: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
        let mut added = Vec::new();
        let tokens = config.get("added_tokens_decoder");
        for (id, token) in tokens
            .and_then(serde_json::Value::as_object)
            .into_iter()
            .flatten()
        {
            let mut token = token.clone();
            token["id"] = id
                .parse::<u32>()
                .map_err(|_| {
                    format!("`added_tokens_decoder` has the key `{id}`, which is not an id")
                })?
                .into();
            let token = serde_json::from_value(token)
                .map_err(|error| format!("`added_tokens_decoder`, id {id}: {error}"))?;
            added.push(token);
        }
        let off = |key: &str| config.get(key).and_then(serde_json::Value::as_bool) == Some(false);
        Ok(Self {
            added,
            own_spaces: off("legacy") || off("add_prefix_space"),
        })
    }
}
