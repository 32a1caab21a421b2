//! Chat templates of Hugging Face, rendered byte for byte as `transformers`' `apply_chat_template(tokenize=False)`.
//!
//! The engine is minijinja. Where it differs from Jinja2 as transformers sets it up, the source is rewritten when it is
//! compiled (`source`), or the environment has Python's own filters, tests and methods (`engine`, `strings`, `python`).

mod engine;
mod load;
mod operators;
mod python;
mod source;
mod strings;

use std::fmt::Write;
use std::sync::Arc;

use minijinja::{Environment, Value};
use sha2::{Digest, Sha256};

use crate::base::error::{Error, Location, Result};
use crate::base::foreign::guarded;
use crate::dataset::Message;
use python::Day;

/// The date of `strftime_now` unless another is set, so that runs are reproducible: the one in Llama 3.1's own examples.
const DAY: Day = Day {
    year: 2024,
    month: 7,
    day: 26,
};

/// The special tokens that a template can refer to, from `tokenizer_config.json`; those not set stay undefined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Beginning of a text.
    pub bos_token: Option<String>,
    /// End of a text or a turn.
    pub eos_token: Option<String>,
    /// Padding.
    pub pad_token: Option<String>,
    /// Token for unknown text.
    pub unk_token: Option<String>,
    /// Separator of two texts.
    pub sep_token: Option<String>,
    /// Classification token.
    pub cls_token: Option<String>,
    /// Mask token.
    pub mask_token: Option<String>,
    /// All other special tokens, in the configuration's order.
    pub additional: Vec<String>,
}

/// Reason why a conversation could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template called `raise_exception`: it does not accept this conversation.
    #[error("the chat template rejects the conversation: {0}")]
    Rejected(String),
    /// The template or minijinja failed; Jinja2 would fail too, or minijinja lacks a feature.
    #[error("the chat template failed: {0}")]
    Failed(String),
}

/// Messages converted to minijinja's form once, for any number of renderings.
#[derive(Debug, Clone)]
pub struct PreparedMessages {
    values: Vec<Value>,
}

impl PreparedMessages {
    /// Number of messages.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// A compiled chat template; clones share it, also between threads.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    name: Arc<str>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: String,
    tokens: SpecialTokens,
    env: Environment<'static>,
}

impl ChatTemplate {
    /// Compiles `source`; a syntax error is [`Error::Input`] with the template's name and line.
    pub fn from_source(name: &str, source: &str, tokens: SpecialTokens) -> Result<Self> {
        Self::compile(name, source, tokens, DAY)
    }

    fn compile(name: &str, source: &str, tokens: SpecialTokens, day: Day) -> Result<Self> {
        let invalid = |line: Option<u64>, problem: String| {
            let at = Location {
                path: name.into(),
                line,
            };
            Error::input(
                at,
                format!("the chat template is invalid: {problem}"),
                "correct it or choose another template",
            )
        };
        let engine_error = |error: minijinja::Error| {
            let problem = error
                .detail()
                .map_or_else(|| error.to_string(), str::to_owned);
            invalid(error.line().map(|line| line as u64), problem)
        };
        let rewritten =
            source::rewrite(source).map_err(|error| invalid(Some(error.line), error.problem))?;
        let mut env = engine::environment(day).map_err(engine_error)?;
        for (key, token) in tokens.named() {
            env.add_global(key, Value::from(token));
        }
        if !tokens.additional.is_empty() {
            env.add_global(
                "additional_special_tokens",
                Value::from_iter(tokens.additional.iter().cloned()),
            );
        }
        env.add_global("tools", ());
        env.add_global("documents", ());
        guarded(|| env.add_template_owned(TEMPLATE, rewritten))
            .map_err(|panic| invalid(None, format!("the template engine {panic}")))?
            .map_err(engine_error)?;
        let inner = Inner {
            source: source.to_owned(),
            tokens,
            env,
        };
        Ok(Self {
            name: name.into(),
            inner: Arc::new(inner),
        })
    }

    /// The same template with another date for `strftime_now`; an impossible date is [`Error::Usage`].
    pub fn with_date(&self, year: u32, month: u32, day: u32) -> Result<Self> {
        let date = Day::new(year, month, day).ok_or_else(|| {
            Error::usage(
                format!("there is no day {year}-{month}-{day}"),
                "give a date as year, month and day",
            )
        })?;
        let Inner { source, tokens, .. } = &*self.inner;
        Self::compile(&self.name, source, tokens.clone(), date)
    }

    /// Name of the template.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same template under the name by which the user refers to it.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Self {
        Self {
            name: name.into(),
            inner: Arc::clone(&self.inner),
        }
    }

    /// The Jinja source, unchanged.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The special tokens passed to the template.
    pub fn tokens(&self) -> &SpecialTokens {
        &self.inner.tokens
    }

    /// SHA-256 of the source, in hex: the template's identity in traces.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.source().as_bytes())
            .iter()
            .fold(String::new(), |mut hex, byte| {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// Converts messages once, so that rendering prefixes copies no content.
    pub fn messages(&self, messages: &[Message]) -> PreparedMessages {
        let values = messages
            .iter()
            .map(|message| {
                let content: Arc<str> = message.content.as_str().into();
                minijinja::context! {
                    role => Value::from(message.role.as_str()),
                    content => Value::from(content),
                }
            })
            .collect();
        PreparedMessages { values }
    }

    /// Renders the first `upto` messages, or all if there are fewer.
    ///
    /// # Errors
    /// [`TemplateError::Rejected`] if the template rejects the conversation, else [`TemplateError::Failed`].
    pub fn render(
        &self,
        prepared: &PreparedMessages,
        upto: usize,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let upto = upto.min(prepared.len());
        let context = minijinja::context! {
            messages => prepared.values[..upto].to_vec(),
            add_generation_prompt => add_generation_prompt,
        };
        let rendered = guarded(|| self.inner.env.get_template(TEMPLATE)?.render(context));
        rendered
            .map_err(|panic| TemplateError::Failed(format!("the template engine {panic}")))?
            .map_err(|error| {
                rejected(&error).unwrap_or_else(|| TemplateError::Failed(error.to_string()))
            })
    }
}

/// Name of the only template of an environment.
const TEMPLATE: &str = "chat_template";

impl SpecialTokens {
    fn named(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("pad_token", &self.pad_token),
            ("unk_token", &self.unk_token),
            ("sep_token", &self.sep_token),
            ("cls_token", &self.cls_token),
            ("mask_token", &self.mask_token),
        ]
        .into_iter()
        .filter_map(|(name, token)| Some((name, token.clone()?)))
    }
}

/// Argument of `raise_exception`, if that is the cause: each macro wraps the error once more.
fn rejected(error: &minijinja::Error) -> Option<TemplateError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(engine::Raised(message)) = error.downcast_ref() {
            return Some(TemplateError::Rejected(message.clone()));
        }
        cause = error.source();
    }
    None
}
