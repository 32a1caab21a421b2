//! A small text grammar: rules with alternatives, slots that name other rules, and English inflection.
//!
//! An asset is a list of lines under headings: after `[rule]`, each line is one alternative; after `[rule,]`, alternatives
//! are separated by commas. `{rule}` in an alternative is a slot; `{rule|s}` requires a form (see [`Form`]); `
//! ` is a line end and `\{` an opening brace. A rule of a topic overrides one of the same name in the language's grammar.

use std::collections::BTreeMap;

use super::inflect::{self, Form};
use super::random::Stream;

/// Largest depth of nested slots: stops a rule that refers to itself. No asset comes near it.
const DEEPEST: usize = 12;

/// Zipf-Mandelbrot shift of the popularity of words, and of sentence patterns: larger is more uniform.
const WORD_FLATNESS: f64 = 3.0;
const PATTERN_FLATNESS: f64 = 25.0;

enum Piece {
    Text(String),
    Slot { rule: &'static str, form: Form },
}

struct Rule {
    alternatives: Vec<Vec<Piece>>,
    words: bool,
}

/// The rules of one asset.
pub(super) struct Grammar {
    rules: BTreeMap<&'static str, Rule>,
}

impl Grammar {
    /// Reads assets that are compiled in; later ones are added to earlier ones. Malformed parts stay literal text, which
    /// the tests detect.
    pub(super) fn parse(assets: &[&'static str]) -> Self {
        let mut rules: BTreeMap<&'static str, Rule> = BTreeMap::new();
        for asset in assets {
            let mut current = ("", false);
            for line in asset.lines().filter(|line| !line.is_empty()) {
                let heading = line
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                if let Some(name) = heading {
                    current = match name.strip_suffix(',') {
                        Some(name) => (name, true),
                        None => (name, false),
                    };
                    continue;
                }
                let rule = rules.entry(current.0).or_insert(Rule {
                    alternatives: Vec::new(),
                    words: current.1,
                });
                if current.1 {
                    let words = line.split(',').map(|word| pieces(word.trim()));
                    rule.alternatives.extend(words);
                } else {
                    rule.alternatives.push(pieces(line));
                }
            }
        }
        Self { rules }
    }

    /// Whether a rule of this name exists.
    pub(super) fn has(&self, rule: &str) -> bool {
        self.rules.contains_key(rule)
    }

    /// The rule of every slot, for the test that all are defined.
    #[cfg(test)]
    pub(super) fn slots(&self) -> Vec<&'static str> {
        self.rules
            .values()
            .flat_map(|rule| rule.alternatives.iter().flatten())
            .filter_map(|piece| match piece {
                Piece::Slot { rule, .. } => Some(*rule),
                Piece::Text(_) => None,
            })
            .collect()
    }
}

fn pieces(source: &'static str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut text = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['{', '\\']) {
        text.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("\\n") {
            text.push('\n');
            rest = after;
        } else if let Some(after) = tail.strip_prefix("\\{") {
            text.push('{');
            rest = after;
        } else if let (true, Some(end)) = (tail.starts_with('{'), tail.find('}')) {
            let inside = &tail[1..end];
            let (rule, form) = inside.split_once('|').unwrap_or((inside, ""));
            if !text.is_empty() {
                out.push(Piece::Text(std::mem::take(&mut text)));
            }
            out.push(Piece::Slot {
                rule,
                form: Form::parse(form),
            });
            rest = &tail[end + 1..];
        } else {
            text.push_str(&tail[..1]);
            rest = &tail[1..];
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        out.push(Piece::Text(text));
    }
    out
}

/// Generator of one conversation's text: a topic, a language, and the words that the conversation repeats.
pub(super) struct Voice<'a> {
    /// Rules of the topic; searched first.
    pub(super) topic: &'a Grammar,
    /// Rules of the language.
    pub(super) language: &'a Grammar,
    /// The conversation's own nouns, the most used first: the slot `{focus}`.
    focus: Vec<String>,
}

impl<'a> Voice<'a> {
    /// Draws the words of the conversation.
    pub(super) fn draw(stream: &mut Stream, topic: &'a Grammar, language: &'a Grammar) -> Self {
        let mut voice = Self {
            topic,
            language,
            focus: Vec::new(),
        };
        let mut focus = Vec::new();
        for _ in 0..10 {
            let word = voice.say(stream, "noun");
            if !focus.contains(&word) {
                focus.push(word);
            }
        }
        voice.focus = focus;
        voice
    }

    /// The same topic and words with another set of patterns, such as those of code.
    pub(super) fn with_language(&self, language: &'a Grammar) -> Self {
        Self {
            topic: self.topic,
            language,
            focus: self.focus.clone(),
        }
    }

    /// Draws one expansion of `rule`.
    pub(super) fn say(&self, stream: &mut Stream, rule: &str) -> String {
        let mut out = String::new();
        self.expand(stream, rule, &mut out, 0);
        out
    }

    /// Draws `tries` expansions and returns the one whose length in characters is nearest to `target`.
    pub(super) fn say_near(
        &self,
        stream: &mut Stream,
        rule: &str,
        target: usize,
        tries: usize,
    ) -> String {
        let mut best = self.say(stream, rule);
        for _ in 1..tries {
            let distance = |text: &str| text.chars().count().abs_diff(target);
            let other = self.say(stream, rule);
            if distance(&other) < distance(&best) {
                best = other;
            }
        }
        best
    }

    fn expand(&self, stream: &mut Stream, rule: &str, out: &mut String, depth: usize) {
        match rule {
            "focus" if !self.focus.is_empty() => {
                let word = &self.focus[stream.zipf(self.focus.len(), 0.5)];
                return inflect::push(out, word);
            }
            "digit" => return inflect::push(out, &(2 + stream.below(8)).to_string()),
            "num" => return inflect::push(out, &(2 + stream.zipf(120, 4.0)).to_string()),
            "large" => return inflect::push(out, &(100 + stream.below(9_900)).to_string()),
            "year" => return inflect::push(out, &(1850 + stream.below(174)).to_string()),
            _ => {}
        }
        let found = self.topic.rules.get(rule);
        let Some(found) = found.or_else(|| self.language.rules.get(rule)) else {
            return inflect::push(out, rule);
        };
        let flatness = if found.words {
            WORD_FLATNESS
        } else {
            PATTERN_FLATNESS
        };
        let chosen = stream.zipf(found.alternatives.len(), flatness);
        let Some(alternative) = found.alternatives.get(chosen) else {
            return;
        };
        // The code of a snippet uses the same variable names throughout.
        let alike = rule.starts_with("code.");
        let mut said: Vec<(&str, Form, String)> = Vec::new();
        for piece in alternative {
            match piece {
                Piece::Text(text) => inflect::push(out, text),
                Piece::Slot { .. } if depth >= DEEPEST => {}
                Piece::Slot { rule, form } => {
                    let before = said.iter().find(|(of, as_, _)| of == rule && as_ == form);
                    if let Some((_, _, text)) = before {
                        out.push_str(text);
                        continue;
                    }
                    let mut inner = String::new();
                    self.expand(stream, rule, &mut inner, depth + 1);
                    let text = form.apply(&inner);
                    inflect::push(out, &text);
                    if alike {
                        said.push((rule, *form, text));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::synth::grammar::*;

    #[test]
    fn slots_are_filled_topic_first_and_articles_agree() {
        let language = Grammar::parse(&[
            "[s]\nA {noun} and a {noun|s} \\{x}\\nend\n[noun,]\ncat",
            "[t]\n{noun|cap}",
        ]);
        let topic = Grammar::parse(&["[noun,]\nindex"]);
        let voice = Voice {
            topic: &topic,
            language: &language,
            focus: Vec::new(),
        };
        let mut stream = Stream::new(1, "t", 0);
        assert_eq!(
            voice.say(&mut stream, "s"),
            "An index and an indexes {x}\nend"
        );
        assert_eq!(voice.say(&mut stream, "t"), "Index");
    }

    #[test]
    fn a_rule_that_names_itself_ends() {
        let grammar = Grammar::parse(&["[s]\nx{s}"]);
        let voice = Voice {
            topic: &grammar,
            language: &grammar,
            focus: Vec::new(),
        };
        assert_eq!(voice.say(&mut Stream::new(1, "t", 0), "s").len(), 13);
    }
}
