//! Messages of a given length: questions, pasted texts, and answers made of paragraphs, lists and code.

use super::assets::Assets;
use super::grammar::Voice;
use super::random::Stream;

/// A user message longer than this many characters contains a pasted text.
const LONGEST_QUESTION: usize = 230;

/// A reply shorter than this many characters is a single remark.
const SHORTEST_ANSWER: usize = 90;

/// Fractions of replies with code, where the topic has code, and of replies with a list: chosen to reproduce the source's
/// 25.6 % and 33.2 % of all replies.
const CODE_SHARE: f64 = 0.78;
const LIST_SHARE: f64 = 0.42;

/// Settings for the messages of a conversation.
pub(super) struct Composer<'a> {
    pub(super) voice: Voice<'a>,
    /// Whether answers contain code, and pasted texts are code or logs.
    pub(super) code: bool,
    /// Whether the language is written without spaces between sentences, with a third of the characters.
    pub(super) dense: bool,
    /// Fraction of messages with an emoji.
    pub(super) emoji: f64,
}

fn length(text: &str) -> usize {
    text.chars().count()
}

impl Composer<'_> {
    fn scaled(&self, target: usize) -> usize {
        if self.dense { target / 3 } else { target }
    }

    /// A user message of about `target` characters.
    pub(super) fn ask(&self, stream: &mut Stream, first: bool, target: usize) -> String {
        let target = self.scaled(target);
        let rule = if first { "ask.first" } else { "ask.later" };
        let mut text = if target > LONGEST_QUESTION {
            let lead = self.voice.say(stream, "ask.paste");
            let left = target.saturating_sub(length(&lead) + 2);
            format!("{lead}\n\n{}", self.paste(stream, left))
        } else {
            let mut text = self.voice.say_near(stream, rule, target, 6);
            while target > length(&text) + 35 {
                let left = target - length(&text);
                let more = self.voice.say_near(stream, "sentence", left, 3);
                self.append(&mut text, &more);
            }
            text
        };
        self.decorate(stream, &mut text);
        text
    }

    /// A text of about `target` characters of the kind that users paste: prose, a table, code or a log.
    pub(super) fn paste(&self, stream: &mut Stream, target: usize) -> String {
        let kind = stream.unit();
        if self.code && kind < 0.6 {
            let code = self.voice.with_language(&Assets::get().code);
            if kind < 0.2 {
                return repeat(stream, target, |stream| code.say(stream, "log") + "\n");
            }
            let language = code.say(stream, "language");
            return self.code(stream, &language, target);
        }
        if self.voice.language.has("record") && kind > 0.9 {
            return repeat(stream, target, |stream| {
                self.voice.say(stream, "record") + "\n"
            });
        }
        let mut text = String::new();
        while length(&text) + 40 < target {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            let left = target - length(&text);
            text.push_str(&self.paragraph(stream, left.min(700)));
        }
        text
    }

    /// An assistant message of about `target` characters.
    pub(super) fn answer(&self, stream: &mut Stream, target: usize) -> String {
        let target = self.scaled(target);
        if target < self.scaled(SHORTEST_ANSWER) {
            return self.voice.say_near(stream, "answer.short", target, 6);
        }
        let code = self.code && stream.chance(CODE_SHARE);
        let list = stream.chance(LIST_SHARE);
        let mut text = self.voice.say(stream, "answer.open");
        // Code and list are used once at least if there is room, and again in long replies.
        let mut next = stream.below(3);
        let mut closed = false;
        while length(&text) + self.scaled(60) < target {
            let left = target - length(&text);
            match next % 3 {
                0 if code && left > 130 => {
                    text.push_str("\n\n");
                    self.fence(stream, &mut text, left.min(900));
                }
                1 if list && left > self.scaled(180) => {
                    text.push_str("\n\n");
                    self.list(stream, &mut text, left.min(1_100));
                }
                _ if left < self.scaled(170) && !closed => {
                    closed = true;
                    text.push_str("\n\n");
                    text.push_str(&self.voice.say_near(stream, "answer.close", left, 4));
                }
                2 if left > 900 && stream.chance(0.15) => {
                    text.push_str("\n\n## ");
                    text.push_str(&self.voice.say(stream, "heading"));
                    text.push_str("\n\n");
                    text.push_str(&self.paragraph(stream, 400));
                }
                _ => {
                    text.push_str("\n\n");
                    let most = 180 + stream.below(350);
                    text.push_str(&self.paragraph(stream, left.min(most)));
                }
            }
            next += 1;
        }
        self.decorate(stream, &mut text);
        text
    }

    fn append(&self, text: &mut String, sentence: &str) {
        if !self.dense {
            text.push(' ');
        }
        text.push_str(sentence);
    }

    fn paragraph(&self, stream: &mut Stream, target: usize) -> String {
        let mut text = self.voice.say_near(stream, "sentence", target, 3);
        while length(&text) + self.scaled(50) < target {
            let left = target - length(&text);
            let tries = if left < 160 { 4 } else { 1 };
            let sentence = self.voice.say_near(stream, "sentence", left, tries);
            self.append(&mut text, &sentence);
        }
        text
    }

    fn list(&self, stream: &mut Stream, text: &mut String, target: usize) {
        text.push_str(&self.voice.say(stream, "list.lead"));
        text.push_str("\n\n");
        let numbered = stream.chance(0.6);
        let mut written = 0;
        for number in 1..=4 + stream.below(7) {
            if written + self.scaled(40) > target {
                break;
            }
            let item = self.voice.say(stream, "item");
            written += length(&item) + 4;
            if number > 1 {
                text.push('\n');
            }
            if numbered {
                text.push_str(&format!("{number}. {item}"));
            } else {
                text.push_str(&format!("- {item}"));
            }
        }
    }

    fn fence(&self, stream: &mut Stream, text: &mut String, target: usize) {
        let code = self.voice.with_language(&Assets::get().code);
        let language = code.say(stream, "language");
        let most = 150 + stream.below(700);
        text.push_str("```");
        text.push_str(&language);
        text.push('\n');
        text.push_str(&self.code(stream, &language, target.min(most)));
        text.push_str("```");
    }

    fn code(&self, stream: &mut Stream, language: &str, target: usize) -> String {
        let voice = self.voice.with_language(&Assets::get().code);
        let rule = format!("code.{language}");
        let mut first = true;
        repeat(stream, target, |stream| {
            let mut part = String::from(if first { "" } else { "\n" });
            first = false;
            if stream.chance(0.3) && matches!(language, "python" | "bash") {
                part.push_str(&voice.say(stream, "comment"));
            }
            part.push_str(&voice.say(stream, &rule));
            part
        })
    }

    fn decorate(&self, stream: &mut Stream, text: &mut String) {
        if stream.chance(self.emoji) {
            text.push(' ');
            text.push_str(&self.voice.say(stream, "emoji"));
        }
    }
}

/// Appends parts until about `target` characters are reached; at least one part.
fn repeat(
    stream: &mut Stream,
    target: usize,
    mut part: impl FnMut(&mut Stream) -> String,
) -> String {
    let mut text = part(stream);
    while length(&text) + 60 < target {
        text.push_str(&part(stream));
    }
    text
}
