//! Where templates are found, and what is done to their text before it is compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::value::Value;
use serde_json::Value as Json;

use crate::error::{Error, Location, Result};
use crate::io::Input;
use crate::prompt::tokenizer::find_in;

/// The special tokens that templates may print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens(Vec<(String, String)>);

const ROLES: &[&str] = &[
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

impl SpecialTokens {
    /// From a `tokenizer_config.json`: each is a string, or an object with its `content`.
    pub fn from_config(config: &Json) -> Self {
        let text = |role: &&str| {
            let value = config.get(*role)?;
            let text = value
                .as_str()
                .or_else(|| value.get("content").and_then(Json::as_str))?;
            Some(((*role).to_owned(), text.to_owned()))
        };
        Self(ROLES.iter().filter_map(text).collect())
    }

    pub(super) fn to_value(&self) -> Value {
        let tokens: BTreeMap<&str, Value> =
            self.0.iter().map(|(role, text)| (role.as_str(), Value::from(text.as_str()))).collect();
        Value::from_pairs(tokens)
    }
}

/// A template that was found, with the tokens that the same configuration names.
pub(super) struct Found {
    pub(super) source: String,
    pub(super) tokens: Option<SpecialTokens>,
}

/// Looks in a file or folder. A tokenizer.json stands for its folder.
pub(super) fn find(path: &Path) -> Result<Option<Found>> {
    let folder = folder_of(path);
    let Some(folder) = folder else {
        let text = read(path)?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.contains(".jinja") {
            return Ok(Some(Found {
                source: text,
                tokens: None,
            }));
        }
        let json = parse(path, &text)?;
        let tokens = Some(SpecialTokens::from_config(&json));
        return Ok(in_json(&json).map(|source| Found { source, tokens }));
    };
    let mut tokens = None;
    let mut source = None;
    if let Some(file) = find_in(&folder, "tokenizer_config.json") {
        let json = parse(&file, &read(&file)?)?;
        source = in_json(&json);
        tokens = Some(SpecialTokens::from_config(&json));
    }
    // A file of its own goes before the configuration's entry, as in transformers.
    if let Some(file) = find_in(&folder, "chat_template.jinja") {
        source = Some(read(&file)?);
    } else if let Some(file) = find_in(&folder, "chat_template.json") {
        source = in_json(&parse(&file, &read(&file)?)?).or(source);
    }
    Ok(source.map(|source| Found { source, tokens }))
}

/// The special tokens of a tokenizer's configuration; none where there is no configuration.
pub(super) fn tokens(path: &Path) -> Result<SpecialTokens> {
    let Some(file) = folder_of(path).and_then(|folder| find_in(&folder, "tokenizer_config.json"))
    else {
        return Ok(SpecialTokens::default());
    };
    Ok(SpecialTokens::from_config(&parse(&file, &read(&file)?)?))
}

fn folder_of(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_path_buf());
    }
    let name = path.file_name()?.to_string_lossy();
    (name.starts_with("tokenizer.json")).then(|| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    })
}

fn read(path: &Path) -> Result<String> {
    String::from_utf8(Input::open(path)?.read_to_end()?).map_err(|_| {
        Error::input(
            Location::file(path),
            "not UTF-8",
            "convert the file to UTF-8",
        )
    })
}

fn parse(path: &Path, text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|error| {
        Error::input(
            Location::line(path, error.line() as u64),
            format!("not JSON: {error}"),
            "repair the file, or name another",
        )
    })
}

/// `chat_template` is a string, or a list of named ones of which `default` is taken.
fn in_json(json: &Json) -> Option<String> {
    match json.get("chat_template")? {
        Json::String(source) => Some(source.clone()),
        Json::Array(list) => {
            let named = |wanted: &str| {
                list.iter()
                    .find(|entry| entry.get("name").and_then(Json::as_str) == Some(wanted))
            };
            let entry = named("default").or_else(|| list.first())?;
            Some(entry.get("template")?.as_str()?.to_owned())
        }
        _ => None,
    }
}

/// `{% generation %}` marks what a trainer learns from; for rendering it is nothing.
pub(super) fn prepare(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let tag = &rest[start..start + length + 2];
        let inner = tag[2..tag.len() - 2].trim_matches(['-', '+', ' ', '\n', '\t', '\r']);
        out.push_str(&rest[..start]);
        if matches!(inner, "generation" | "endgeneration") {
            // A tag that does nothing, but trims white space as the original would.
            out.push_str(&tag.replacen(inner, "set _generation = 0", 1));
        } else {
            out.push_str(tag);
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}
