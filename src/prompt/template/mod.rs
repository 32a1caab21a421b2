//! Chat templates: Hugging Face's Jinja, rendered byte for byte as `transformers` does.

mod environment;
mod source;

use std::path::Path;
use std::sync::Arc;

use minijinja::value::Value;
use minijinja::{Environment, ErrorKind};

pub use source::SpecialTokens;

use crate::dataset::Message;
use crate::error::{Error, Location, Result};
use crate::trace::Identity;

/// Why a conversation was not rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// The template called `raise_exception`: it does not take such conversations.
    Rejected(String),
    /// The template, or the engine, failed.
    Failed(String),
}

/// A compiled template with the model's special tokens.
pub struct ChatTemplate {
    identity: Identity,
    environment: Environment<'static>,
    tokens: Value,
}

/// Messages in the engine's own form, so that many prefixes of them can be rendered without copying their text.
pub struct PreparedMessages(Vec<Value>);

const BUILTIN: &[(&str, &str)] = &[
    ("chatml", include_str!("../templates/chatml.jinja")),
    ("simple", include_str!("../templates/simple.jinja")),
    ("llama3", include_str!("../templates/llama3.jinja")),
    ("llama3.1", include_str!("../templates/llama3.1.jinja")),
];

/// Names of templates that need no file.
pub fn builtin_names() -> Vec<&'static str> {
    BUILTIN.iter().map(|(name, _)| *name).collect()
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// A syntax error, with its line.
    pub fn from_source(name: &str, source: &str, tokens: &SpecialTokens) -> Result<Self> {
        let mut environment = environment::new();
        let prepared = source::prepare(source);
        environment
            .add_template_owned("chat", prepared)
            .map_err(|error| {
                Error::input(
                    Location {
                        path: name.into(),
                        line: error.line().map(|line| line as u64),
                    },
                    format!("the chat template cannot be compiled: {error}"),
                    "repair it, or name another one with --chat-template",
                )
            })?;
        Ok(Self {
            identity: Identity {
                name: name.into(),
                sha256: super::sha256_hex(source.as_bytes()),
            },
            environment,
            tokens: tokens.to_value(),
        })
    }

    /// Finds a template by built-in name, or reads a `.jinja` file, a `tokenizer_config.json`, a `chat_template.json`, or
    /// a model folder.
    ///
    /// # Errors
    /// An unknown name, an unreadable file, or one without a template.
    pub fn load(spec: &str, tokens: &SpecialTokens) -> Result<Self> {
        if let Some((name, source)) = BUILTIN.iter().find(|(name, _)| *name == spec) {
            return Self::from_source(name, source, tokens);
        }
        let path = Path::new(spec);
        if !path.exists() {
            if spec.contains(['/', '\\', '.']) {
                return Err(Error::read(path, std::io::ErrorKind::NotFound.into()));
            }
            return Err(Error::unknown_name("chat template", spec, &builtin_names()));
        }
        match source::find(path)? {
            Some(found) => {
                let tokens = found.tokens.as_ref().unwrap_or(tokens);
                Self::from_source(spec, &found.source, tokens)
            }
            None => Err(Error::input(
                Location::file(path),
                "no chat template in it",
                format!(
                    "name one with --chat-template; built in: {}",
                    builtin_names().join(", ")
                ),
            )),
        }
    }

    /// The template that belongs to a tokenizer's file or folder, if it has one.
    ///
    /// # Errors
    /// An unreadable or broken file.
    pub fn beside(path: &Path) -> Result<Option<Self>> {
        let Some(found) = source::find(path)? else {
            return Ok(None);
        };
        let tokens = found.tokens.unwrap_or_default();
        Self::from_source(&path.display().to_string(), &found.source, &tokens).map(Some)
    }

    /// Special tokens that a tokenizer's file or folder names.
    ///
    /// # Errors
    /// An unreadable or broken file.
    pub fn tokens_beside(path: &Path) -> Result<SpecialTokens> {
        source::tokens(path)
    }

    /// Name and digest.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Converts messages once.
    pub fn messages(&self, messages: &[Message]) -> PreparedMessages {
        let convert = |message: &Message| {
            minijinja::context! {
                role => message.role.as_str(),
                content => Value::from(Arc::<str>::from(message.content.as_str())),
            }
        };
        PreparedMessages(messages.iter().map(convert).collect())
    }

    /// Renders the first `upto` messages.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn render(
        &self,
        messages: &PreparedMessages,
        upto: usize,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let template = self
            .environment
            .get_template("chat")
            .map_err(|error| failed(&error))?;
        let context = minijinja::context! {
            messages => Value::from(messages.0[..upto].to_vec()),
            tools => Value::from(()),
            documents => Value::from(()),
            add_generation_prompt,
            ..self.tokens.clone()
        };
        template.render(context).map_err(|error| failed(&error))
    }
}

fn failed(error: &minijinja::Error) -> TemplateError {
    if error.kind() == ErrorKind::InvalidOperation
        && let Some(message) = error
            .detail()
            .and_then(|detail| detail.strip_prefix(environment::REJECTED))
    {
        return TemplateError::Rejected(message.to_owned());
    }
    TemplateError::Failed(format!("{error:#}"))
}
