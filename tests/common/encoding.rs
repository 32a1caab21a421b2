//! Tokenizers and templates, and the check that a prompt encoded piece by piece has the ids of the whole text.

use std::sync::LazyLock;

use kvreplay::dataset::{Conversation, Role};
use kvreplay::prompt::template::{ChatTemplate, SpecialTokens};
use kvreplay::prompt::tokenizer::{self, Tokenizer};
use kvreplay::prompt::{Growth, PromptEncoder};

/// A tokenizer and the templates that are tried with it.
pub struct Model {
    pub name: String,
    pub tokenizer: Box<dyn Tokenizer>,
    pub templates: Vec<(ChatTemplate, Growth)>,
    /// Texts of added tokens with their ids, where the tokenizer does not look for them itself.
    pub added: Option<Vec<(String, u32)>>,
}

/// Templates that rewrite what they rendered before, each in its own way.
const REWRITING: &[(&str, &str)] = &[
    (
        "moves the system message to the end",
        "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
         {% endif %}{% endfor %}{{ messages[0].content }}\n{% if add_generation_prompt %}Assistant: {% endif %}",
    ),
    (
        "counts the messages first",
        "{{ messages | length }}\n{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}",
    ),
    (
        "drops all but the last messages",
        "{% for m in messages[-2:] %}{{ m.role }}\n{{ m.content }}\n{% endfor %}",
    ),
    (
        "has nothing between messages",
        "{% for m in messages %}{{ m.content }}{% endfor %}",
    ),
    (
        "looks at the number of messages",
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if messages | length == 3 %}X{% endif %}",
    ),
    (
        "looks at the content",
        "{% for m in messages %}{% if '42' in m.content %}!{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}",
    ),
    (
        "trims, and marks the last one",
        "{% for m in messages %}{{ m.content | trim if loop.last else m.content }}\n{% endfor %}a",
    ),
];

/// The template with what is learnt from a few turns of it.
pub fn learnt(template: ChatTemplate) -> (ChatTemplate, Growth) {
    let growth = Growth::learn(&template);
    (template, growth)
}

/// All built-in templates and those that rewrite what they rendered before.
pub fn all_templates() -> Vec<(ChatTemplate, Growth)> {
    let mut templates: Vec<_> = ["chatml", "simple", "llama3", "llama3.1"]
        .iter()
        .map(|name| ChatTemplate::builtin(name).unwrap())
        .collect();
    templates.extend(REWRITING.iter().map(|(name, source)| {
        ChatTemplate::from_source(name, source, SpecialTokens::default()).unwrap()
    }));
    templates.into_iter().map(learnt).collect()
}

/// The built-in tokenizers.
pub static BUILTIN: LazyLock<Vec<Model>> = LazyLock::new(|| {
    let ends = [
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<tool_response>",
        "</tool_response>",
        "<|vision_start|>",
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
        "<|fim_prefix|>",
        "<|endofprompt|>",
    ];
    tokenizer::builtin_names()
        .into_iter()
        .map(|name| {
            let tokenizer = tokenizer::load(name).unwrap();
            // The specials of this tokenizer, found out by what its rules take for a token.
            let added = ends.iter().filter_map(|text| {
                let mut id = None;
                tokenizer.cuts().pieces(text, 0, &[], |piece| {
                    if let kvreplay::prompt::cuts::Piece::Token {
                        start: 0,
                        end,
                        id: found,
                    } = piece
                        && end == text.len()
                    {
                        id = Some(found);
                    }
                });
                id.map(|id| ((*text).to_owned(), id))
            });
            Model {
                name: name.into(),
                added: Some(added.collect()),
                templates: all_templates(),
                tokenizer,
            }
        })
        .collect()
});

impl Model {
    /// The ids of a text, computed the slow and simple way.
    pub fn whole(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let Some(added) = &self.added else {
            self.tokenizer.encode(text, &mut ids).unwrap();
            return ids;
        };
        let mut rest = text;
        loop {
            // The leftmost added token, and of those the longest.
            let next = added
                .iter()
                .filter_map(|(token, id)| Some((rest.find(token)?, usize::MAX - token.len(), *id)))
                .min();
            let Some((at, length, id)) = next else { break };
            if at > 0 {
                self.tokenizer.encode(&rest[..at], &mut ids).unwrap();
            }
            ids.push(id);
            rest = &rest[at + (usize::MAX - length)..];
        }
        if !rest.is_empty() {
            self.tokenizer.encode(rest, &mut ids).unwrap();
        }
        ids
    }

    /// Compares every prompt of a conversation; how many there were, or what differs.
    pub fn check(
        &self,
        template: &ChatTemplate,
        encoder: &mut PromptEncoder<'_>,
        conversation: &Conversation,
    ) -> Result<usize, String> {
        let prepared = template.messages(&conversation.messages);
        let messages = &conversation.messages;
        let mut asked = (0..messages.len().saturating_sub(1)).filter(|index| {
            messages[*index].role == Role::User && messages[index + 1].role == Role::Assistant
        });
        let mut problem = None;
        let mut before: Vec<u32> = Vec::new();
        let mut count = 0;
        let result = encoder.encode(conversation, false, |turn| {
            let index = asked.next().unwrap();
            let text = template.render(&prepared, index + 1, true).unwrap();
            let expected = self.whole(&text);
            let stable_is_true = turn.stable <= before.len()
                && turn.stable <= expected.len()
                && before[..turn.stable] == expected[..turn.stable];
            if turn.prompt != expected || !stable_is_true {
                let at = turn.prompt.iter().zip(&expected).take_while(|(a, b)| a == b).count();
                problem.get_or_insert_with(|| {
                    format!(
                        "{} x {}, turn {}, stable {}: at id {at} found {:?}, expected {:?}, in {text:?}",
                        self.name,
                        template.name(),
                        turn.number,
                        turn.stable,
                        &turn.prompt[at..turn.prompt.len().min(at + 5)],
                        &expected[at..expected.len().min(at + 5)]
                    )
                });
            }
            before = expected;
            count += 1;
        });
        match (result, problem) {
            (_, Some(problem)) => Err(problem),
            // A template may refuse odd conversations.
            _ => Ok(count),
        }
    }

    /// Checks a conversation with every template.
    pub fn check_all(&self, conversation: &Conversation) -> Result<(), String> {
        for (template, growth) in &self.templates {
            let mut encoder = PromptEncoder::new(template, growth, self.tokenizer.as_ref());
            self.check(template, &mut encoder, conversation)?;
        }
        Ok(())
    }
}
