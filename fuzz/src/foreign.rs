//! Code that the program runs for others: chat templates, tokenizers and scripts.

use std::hint::black_box;

use kvreplay::autoscale::policy::ScalingPolicy;
use kvreplay::autoscale::policy::script::{Script, ScriptConfig};
use kvreplay::autoscale::signals::{Fleet, FleetKind, Signals};
use kvreplay::dataset::{Message, Role};
use kvreplay::prompt::Growth;
use kvreplay::prompt::template::{ChatTemplate, SpecialTokens};
use kvreplay::prompt::tokenizer;

use crate::{folder, text};

/// Compiles the bytes as a chat template.
pub fn template_source(data: &[u8]) {
    black_box(ChatTemplate::from_source("fuzz", &text(data), SpecialTokens::default()).is_ok());
}

/// Compiles the bytes as a chat template and renders a conversation of three messages, with and without the generation prompt.
pub fn template_rendering(data: &[u8]) {
    let tokens = SpecialTokens {
        bos_token: Some("<s>".to_owned()),
        eos_token: Some("</s>".to_owned()),
        ..SpecialTokens::default()
    };
    let Ok(template) = ChatTemplate::from_source("fuzz", &text(data), tokens) else {
        return;
    };
    let message = |role, content: &str| Message {
        role,
        content: content.into(),
    };
    let messages = template.messages(&[
        message(Role::System, "Be brief."),
        message(Role::User, "What is 2 + 2?\nAnd <b>é</b>?"),
        message(Role::Assistant, "4"),
    ]);
    for upto in 1..=messages.len() {
        for prompt in [false, true] {
            black_box(template.render(&messages, upto, prompt).is_ok());
        }
    }
    black_box(Growth::learn(&template));
}

/// Reads the bytes as `tokenizer.json`, encodes a text and decodes the ids.
pub fn tokenizer(data: &[u8]) {
    let Some(file) = folder::file(data, ".json") else {
        return;
    };
    let Some(path) = file.path().to_str() else {
        return;
    };
    let Ok(tokenizer) = tokenizer::load(path) else {
        return;
    };
    let mut ids = Vec::new();
    for text in ["", "ab abc", "Hello  wörld\n\t\u{1F600}<|im_end|>123456"] {
        if tokenizer.encode(text, &mut ids).is_ok() {
            black_box(tokenizer.decode(&ids).is_ok());
        }
    }
}

/// Compiles the bytes as a script of the policy `script` and lets it decide three times.
pub fn script(data: &[u8]) {
    let config = ScriptConfig {
        path: None,
        code: Some(text(data).into_owned()),
    };
    let Ok(mut script) = Script::new(&config) else {
        return;
    };
    let mut signals = Signals::empty();
    signals.fleets = [FleetKind::Prefill, FleetKind::Decode]
        .map(Fleet::none)
        .into();
    for time in [10.0, 20.0, 30.0] {
        signals.time = time;
        let _ = black_box(script.decide(&signals));
    }
}
