//! Growth of a template's prompts from turn to turn.
//!
//! Rendering every prompt of a conversation from its first message costs time quadratic in the number of turns. Most
//! templates only append: the next prompt is the previous one, the reply, and the next question, each between fixed texts.
//! Whether a template does so is inferred once from renderings of marked messages. A conversation is rendered incrementally
//! only if nothing in its messages could take the template down another branch, and if its last prompt, rendered in full,
//! equals the incremental one. All others are rendered turn by turn.

mod probes;
mod words;

use self::probes::Probes;
use super::template::{ChatTemplate, TemplateError};
use crate::dataset::{Message, Role};

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Fixed(String),
    /// The message with this index, possibly with white space removed at its ends.
    Content {
        index: usize,
        trimmed: bool,
    },
}

/// Parts between two prompts; message indices count from the first new message.
type Parts = Vec<Part>;

/// How the prompts of conversations with the same beginning are built.
#[derive(Debug)]
pub(super) struct Form {
    /// Number of messages before the first question: 1 with a system message, else 0.
    offset: usize,
    first: Parts,
    /// Parts from one prompt to the next: from the first to the second, and between all later ones.
    steps: [Parts; 2],
    /// Parts of the reply as rendered after the prompt: to the first question, and to all later ones.
    replies: [Parts; 2],
}

/// What was inferred about a template.
#[derive(Debug)]
pub struct Growth {
    plain: Option<Form>,
    system: Option<Form>,
    probes: Probes,
}

impl Growth {
    /// Infers how the prompts of a template grow.
    pub fn learn(template: &ChatTemplate) -> Self {
        let probes = Probes::of(template.source());
        let learn = |offset| {
            let probes = probes.as_ref()?;
            Form::learn(template, offset, probes.turns)
        };
        Self {
            plain: learn(0),
            system: learn(1),
            probes: probes.unwrap_or_default(),
        }
    }

    /// The form of a conversation's prompts, if it is an alternation of messages without special contents.
    pub(super) fn form(&self, messages: &[Message]) -> Option<&Form> {
        let system = messages
            .first()
            .is_some_and(|message| message.role == Role::System);
        let form = if system { &self.system } else { &self.plain }.as_ref()?;
        let alternate = messages[form.offset..]
            .iter()
            .enumerate()
            .all(|(index, message)| {
                message.role
                    == if index.is_multiple_of(2) {
                        Role::User
                    } else {
                        Role::Assistant
                    }
            });
        (alternate && self.probes.pass(messages)).then_some(form)
    }
}

impl Form {
    /// Whether all prompts can be built this way is only certain after comparing [`Form::prompt`] with a rendering.
    fn learn(template: &ChatTemplate, offset: usize, learnt: usize) -> Option<Self> {
        let roles = |count: usize| {
            (0..count).map(move |index| match index.checked_sub(offset) {
                None => Role::System,
                Some(index) if index.is_multiple_of(2) => Role::User,
                Some(_) => Role::Assistant,
            })
        };
        let count = offset + 2 * learnt;
        let said = |text: &dyn Fn(usize) -> String| -> Vec<Message> {
            roles(count)
                .enumerate()
                .map(|(index, role)| Message {
                    role,
                    content: text(index),
                })
                .collect()
        };
        let marked = said(&mark);
        let spaced = said(&|index| format!(" \n\t {} \t\n ", mark(index)));
        let others = [
            said(&short),
            said(&|index| {
                format!("{index}. A line, \"quoted\" & <b>bold</b> \\ 'single' {{}}\n\n- caf\u{e9} \u{65e5}\u{672c} \u{1f600}\n").repeat(40) + "end"
            }),
        ];
        let render = |messages: &[Message], upto: usize, generate: bool| {
            template
                .render(&template.messages(messages), upto, generate)
                .ok()
        };
        let prompt_upto = |turn: usize| offset + 2 * turn + 1;
        let mut prompts = Vec::new();
        let mut replies = Vec::new();
        for turn in 0..learnt {
            let upto = prompt_upto(turn);
            let learn = |upto, generate| {
                let mut parts = take_apart(&render(&marked, upto, generate)?, mark)?;
                trim_modes(&mut parts, &render(&spaced, upto, generate)?, &spaced)?;
                let agrees = |messages: &Vec<Message>| {
                    render(messages, upto, generate).as_deref()
                        == Some(&*put_together(&parts, messages, 0))
                };
                others.iter().all(agrees).then_some(parts)
            };
            let prompt = learn(upto, true)?;
            let answered = learn(upto + 1, false)?;
            replies.push(behind(&prompt, &answered, upto)?);
            prompts.push(prompt);
        }
        let mut steps = Vec::new();
        for turn in 1..learnt {
            steps.push(behind(
                &prompts[turn - 1],
                &prompts[turn],
                prompt_upto(turn - 1),
            )?);
        }
        let regular = steps[1..].iter().all(|step| *step == steps[1])
            && replies[1..].iter().all(|reply| *reply == replies[1]);
        regular.then(|| Self {
            offset,
            first: prompts.swap_remove(0),
            steps: [steps.swap_remove(0), steps.swap_remove(0)],
            replies: [replies[0].clone(), replies[1].clone()],
        })
    }

    /// Builds the prompt of turn 0 from nothing, or that of a later turn from the previous prompt.
    pub(super) fn extend(&self, text: &mut String, messages: &[Message], turn: usize) {
        match turn {
            0 => push(&self.first, messages, 0, text),
            _ => push(
                &self.steps[(turn - 1).min(1)],
                messages,
                self.offset + 2 * turn - 1,
                text,
            ),
        }
    }

    /// The reply of a turn as it is rendered after the prompt.
    pub(super) fn reply(&self, text: &mut String, messages: &[Message], turn: usize) {
        push(
            &self.replies[turn.min(1)],
            messages,
            self.offset + 2 * turn + 1,
            text,
        );
    }

    /// Whether the template renders the prompt of `turn` as this form builds it.
    pub(super) fn holds(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        turn: usize,
        buffer: &mut String,
    ) -> Result<bool, TemplateError> {
        buffer.clear();
        for turn in 0..=turn {
            self.extend(buffer, messages, turn);
        }
        let upto = self.offset + 2 * turn + 1;
        let rendered = template.render(&template.messages(&messages[..upto]), upto, true)?;
        Ok(rendered == *buffer)
    }
}

/// A text that occurs in no template: private-use characters around the number, letters at the ends.
fn mark(index: usize) -> String {
    format!("a\u{f0000}{index}\u{f0001}z")
}

/// One letter, different for each message.
fn short(index: usize) -> String {
    let letter = u32::try_from(index)
        .ok()
        .and_then(|index| char::from_u32(u32::from('\u{4e00}') + index));
    let ascii = u8::try_from(index).ok().filter(|index| *index < 24);
    ascii
        .map(|index| char::from(b'b' + index))
        .or(letter)
        .map(String::from)
        .unwrap_or_default()
}

/// Finds the marks in a rendering.
fn take_apart(text: &str, mark: impl Fn(usize) -> String) -> Option<Parts> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\u{f0000}') {
        let number = &rest[at + '\u{f0000}'.len_utf8()..];
        let index = number[..number.find('\u{f0001}')?].parse().ok()?;
        let whole = mark(index);
        // Each mark must occur unchanged.
        let start = at.checked_sub(1)?;
        let behind = rest.get(start..)?.strip_prefix(&*whole)?;
        if start > 0 {
            parts.push(Part::Fixed(rest[..start].to_owned()));
        }
        parts.push(Part::Content {
            index,
            trimmed: false,
        });
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(Part::Fixed(rest.to_owned()));
    }
    Some(parts)
}

/// Infers where white space at the ends of messages is removed, from a rendering of messages that have some.
fn trim_modes(parts: &mut Parts, text: &str, messages: &[Message]) -> Option<()> {
    let mut rest = text;
    for part in parts {
        rest = match part {
            Part::Fixed(fixed) => rest.strip_prefix(&**fixed)?,
            Part::Content { index, trimmed } => {
                let content = &messages[*index].content;
                match rest.strip_prefix(&**content) {
                    Some(behind) => behind,
                    None => {
                        *trimmed = true;
                        rest.strip_prefix(content.trim())?
                    }
                }
            }
        };
    }
    rest.is_empty().then_some(())
}

/// The parts of `whole` after `start`, which must be its beginning; message indices count from `first`.
fn behind(start: &Parts, whole: &Parts, first: usize) -> Option<Parts> {
    let mut rest = Vec::new();
    for (index, part) in whole.iter().enumerate() {
        match (start.get(index), part) {
            (Some(known), part) if known == part => {}
            // The last fixed text may continue.
            (Some(Part::Fixed(known)), Part::Fixed(more)) if index + 1 == start.len() => {
                rest.push(Part::Fixed(more.strip_prefix(&**known)?.to_owned()));
            }
            (Some(_), _) => return None,
            (None, part) => rest.push(part.clone()),
        }
    }
    for part in &mut rest {
        if let Part::Content { index, .. } = part {
            *index = index.checked_sub(first)?;
        }
    }
    (start.len() <= whole.len()).then_some(rest)
}

fn push(parts: &Parts, messages: &[Message], first: usize, text: &mut String) {
    for part in parts {
        match part {
            Part::Fixed(fixed) => text.push_str(fixed),
            Part::Content { index, trimmed } => {
                let content = &*messages[first + index].content;
                text.push_str(if *trimmed { content.trim() } else { content });
            }
        }
    }
}

fn put_together(parts: &Parts, messages: &[Message], first: usize) -> String {
    let mut text = String::new();
    push(parts, messages, first, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use crate::prompt::growth::*;
    use crate::prompt::template::SpecialTokens;

    fn learnt(source: &str) -> Growth {
        Growth::learn(
            &ChatTemplate::from_source("test", source, SpecialTokens::default()).expect("compiles"),
        )
    }

    fn talk(texts: &[&str]) -> Vec<Message> {
        let role = |index: usize| {
            if index.is_multiple_of(2) {
                Role::User
            } else {
                Role::Assistant
            }
        };
        texts
            .iter()
            .enumerate()
            .map(|(i, text)| Message {
                role: role(i),
                content: (*text).to_owned(),
            })
            .collect()
    }

    #[test]
    fn appending_templates_are_learnt_and_others_are_not() {
        for name in ["chatml", "simple", "llama3", "llama3.1"] {
            let growth = Growth::learn(&ChatTemplate::builtin(name).expect("built in"));
            assert!(growth.plain.is_some() && growth.system.is_some(), "{name}");
        }
        let last_only =
            "{% for m in messages %}{% if loop.last %}[{{ m.content }}]{% endif %}{% endfor %}";
        assert!(learnt(last_only).plain.is_none());
        let upper = "{% for m in messages %}{{ m.content | upper }}{% endfor %}";
        assert!(learnt(upper).plain.is_none());
        let window = "{% for m in messages[-3:] %}{{ m.content }};{% endfor %}";
        assert!(learnt(window).plain.is_none());
    }

    #[test]
    fn messages_at_which_the_template_would_look_closer_take_the_long_way() {
        let source = "{% for m in messages %}{% if '</think>' in m.content %}T{% endif %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}";
        let growth = learnt(source);
        assert!(growth.form(&talk(&["Hi", "Hello", "Bye"])).is_some());
        assert!(growth.form(&talk(&["Hi", "a </think> b", "Bye"])).is_none());
        assert!(growth.form(&talk(&["Hi", " ", "Bye"])).is_none());
    }
}
