//! Loads templates from files of tokenizers, and built-in ones.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{ChatTemplate, SpecialTokens};
use crate::base::error::{Error, Location, Result};
use crate::base::io::read_configuration_text;
use crate::prompt::tokenizer::find_in;

const BUILTIN: [(&str, &str); 4] = [
    ("chatml", include_str!("../templates/chatml.jinja")),
    ("simple", include_str!("../templates/simple.jinja")),
    ("llama3", include_str!("../templates/llama3.jinja")),
    ("llama3.1", include_str!("../templates/llama3.1.jinja")),
];

const REMEDY: &str =
    "give a .jinja file, a tokenizer_config.json, a chat_template.json or a folder that holds one";

impl ChatTemplate {
    /// Names that [`ChatTemplate::builtin`] accepts.
    pub fn builtin_names() -> Vec<&'static str> {
        BUILTIN.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in template; an unknown name is [`Error::Usage`] and lists the known ones.
    pub fn builtin(name: &str) -> Result<Self> {
        match BUILTIN.iter().find(|(known, _)| *known == name) {
            Some((name, source)) => Self::from_source(name, source, SpecialTokens::default()),
            None => Err(Error::unknown_name(
                "chat template",
                name,
                &Self::builtin_names(),
            )),
        }
    }

    /// The template of a tokenizer, given by its folder or one of its files; `None` if it has none.
    ///
    /// As in transformers, `chat_template.jinja` takes precedence over `chat_template.json`, and both over the
    /// configuration's own `chat_template`; if that is a list of named templates, `default` is used. Files may be
    /// compressed.
    ///
    /// # Errors
    /// An unreadable or broken file.
    pub fn of_tokenizer(path: &Path) -> Result<Option<Self>> {
        let Some(folder) = folder_of(path) else {
            return Ok(None);
        };
        let json = config_in(&folder)?;
        let tokens = SpecialTokens::from_json(&json);
        let name = path.display().to_string();
        if let Some(jinja) = find_in(&folder, "chat_template.jinja") {
            return Self::from_source(&name, &read(&jinja)?, tokens).map(Some);
        }
        let own = find_in(&folder, "chat_template.json");
        let source = match own {
            Some(own) => template_of(&read_json(&own)?).or_else(|| template_of(&json)),
            None => template_of(&json),
        };
        source
            .map(|source| Self::from_source(&name, &source, tokens))
            .transpose()
    }

    /// The template named by `spec`: a built-in one, a Jinja file, a `tokenizer_config.json` or `chat_template.json`, or a
    /// tokenizer's folder. It uses the given special tokens unless it has its own.
    ///
    /// # Errors
    /// An unknown name, an unreadable file, or one without a template.
    pub fn find(spec: impl AsRef<OsStr>, tokens: &SpecialTokens) -> Result<Self> {
        let path = Path::new(spec.as_ref());
        let spec = &*spec.as_ref().to_string_lossy();
        if let Some((name, source)) = BUILTIN.iter().find(|(name, _)| *name == spec) {
            return Self::from_source(name, source, tokens.clone());
        }
        if !path.exists() {
            if spec.contains(['/', '\\']) || spec.ends_with(".jinja") || spec.ends_with(".json") {
                return Err(Error::read(path, std::io::ErrorKind::NotFound.into()));
            }
            return Err(Error::unknown_name(
                "chat template",
                spec,
                &Self::builtin_names(),
            ));
        }
        let missing = || Error::input(Location::file(path), "no chat template found", REMEDY);
        if path.is_dir() {
            return Self::of_tokenizer(path)?.ok_or_else(missing);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".json") {
            let json = read_json(path)?;
            let source = template_of(&json).ok_or_else(missing)?;
            let own = SpecialTokens::from_json(&json);
            let tokens = if own == SpecialTokens::default() {
                tokens.clone()
            } else {
                own
            };
            return Self::from_source(spec, &source, tokens);
        }
        Self::from_source(spec, &read(path)?, tokens.clone())
    }
}

/// The folder of a tokenizer that was given by itself or by one of its files.
fn folder_of(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_path_buf());
    }
    let name = path.file_name()?.to_string_lossy();
    let is_tokenizer = ["tokenizer", "tekken", "tiktoken", "qwen.tiktoken"]
        .iter()
        .any(|start| name.starts_with(start));
    is_tokenizer.then(|| match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    })
}

fn config_in(folder: &Path) -> Result<Json> {
    find_in(folder, "tokenizer_config.json").map_or(Ok(Json::Null), |file| read_json(&file))
}

impl SpecialTokens {
    /// The special tokens in a tokenizer's configuration; none if there is no configuration.
    ///
    /// # Errors
    /// An unreadable or broken file.
    pub fn of_tokenizer(path: &Path) -> Result<Self> {
        folder_of(path).map_or(Ok(Self::default()), |folder| {
            Ok(Self::from_json(&config_in(&folder)?))
        })
    }

    /// The special tokens of a parsed `tokenizer_config.json`: strings, objects with `content`, or null.
    pub fn from_json(config: &Json) -> Self {
        let text = |value: &Json| {
            let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
            Some(text.to_owned())
        };
        let token = |name: &str| text(config.get(name)?);
        let many = |name: &str| config.get(name).and_then(Json::as_array);
        let additional = many("additional_special_tokens").or_else(|| many("extra_special_tokens"));
        Self {
            bos_token: token("bos_token"),
            eos_token: token("eos_token"),
            pad_token: token("pad_token"),
            unk_token: token("unk_token"),
            sep_token: token("sep_token"),
            cls_token: token("cls_token"),
            mask_token: token("mask_token"),
            additional: additional.into_iter().flatten().filter_map(text).collect(),
        }
    }
}

fn template_of(json: &Json) -> Option<String> {
    match json.get("chat_template")? {
        Json::String(source) => Some(source.clone()),
        Json::Array(named) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Json::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")?.as_str())
            .map(str::to_owned),
        _ => None,
    }
}

fn read(path: &Path) -> Result<String> {
    read_configuration_text(path)
}

fn read_json(path: &Path) -> Result<Json> {
    serde_json::from_str(&read(path)?).map_err(|error| {
        let at = Location::line(path, error.line() as u64);
        Error::input(at, format!("not JSON: {error}"), REMEDY)
    })
}
