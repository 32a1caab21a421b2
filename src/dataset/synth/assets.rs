//! The word lists and patterns, parsed once. All of them were written for this project.

use std::sync::OnceLock;

use super::grammar::Grammar;
use super::random::Stream;

/// Topic of a conversation.
pub(super) struct Topic {
    /// Percentage of the English conversations that have this topic.
    pub(super) weight: usize,
    /// Whether replies contain code.
    pub(super) code: bool,
    /// Vocabulary.
    pub(super) grammar: Grammar,
}

/// A language other than English, with its own words.
pub(super) struct Foreign {
    /// Vocabulary and sentence patterns.
    pub(super) grammar: Grammar,
    /// Whether it is written without spaces; its messages then have a third of the number of characters.
    pub(super) dense: bool,
}

/// All assets of the generator.
pub(super) struct Assets {
    pub(super) topics: Vec<Topic>,
    pub(super) english: Grammar,
    pub(super) code: Grammar,
    pub(super) foreign: Vec<Foreign>,
    /// A grammar without rules: the topic of conversations in other languages.
    pub(super) none: Grammar,
    /// Shared system prompts, the most popular first.
    pub(super) system_prompts: Vec<String>,
    /// Shared first questions, the most popular first.
    pub(super) questions: Vec<String>,
    /// Shared instructions that precede a document, the most popular first.
    pub(super) documents: Vec<String>,
}

impl Assets {
    /// Returns the assets, which are parsed at the first call.
    pub(super) fn get() -> &'static Self {
        static ASSETS: OnceLock<Assets> = OnceLock::new();
        ASSETS.get_or_init(Self::parse)
    }

    fn parse() -> Self {
        let topic = |weight, code, asset| Topic {
            weight,
            code,
            grammar: Grammar::parse(&[asset]),
        };
        let foreign = |dense, asset| Foreign {
            grammar: Grammar::parse(&[asset]),
            dense,
        };
        let openings = include_str!("assets/openings.txt");
        Self {
            topics: vec![
                topic(34, true, include_str!("assets/topics/programming.txt")),
                topic(9, true, include_str!("assets/topics/data.txt")),
                topic(14, false, include_str!("assets/topics/writing.txt")),
                topic(12, false, include_str!("assets/topics/business.txt")),
                topic(8, false, include_str!("assets/topics/learning.txt")),
                topic(7, false, include_str!("assets/topics/science.txt")),
                topic(5, false, include_str!("assets/topics/health.txt")),
                topic(4, false, include_str!("assets/topics/cooking.txt")),
                topic(4, false, include_str!("assets/topics/travel.txt")),
                topic(3, false, include_str!("assets/topics/home.txt")),
            ],
            english: Grammar::parse(&[include_str!("assets/english.txt")]),
            code: Grammar::parse(&[include_str!("assets/code.txt")]),
            foreign: vec![
                foreign(false, include_str!("assets/spanish.txt")),
                foreign(true, include_str!("assets/chinese.txt")),
                foreign(false, include_str!("assets/german.txt")),
            ],
            none: Grammar::parse(&[]),
            system_prompts: system_prompts(include_str!("assets/system.txt")),
            questions: section(openings, "[question]"),
            documents: section(openings, "[document]"),
        }
    }
}

/// The lines under a heading, joined by `
/// `.
fn section(asset: &str, heading: &str) -> Vec<String> {
    asset
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .map(|line| line.replace("\\n", "\n"))
        .collect()
}

/// One prompt per product: an introduction and between 8 and 18 of the rules. The prompts do not depend on the user's seed,
/// because products are the same for all samples.
fn system_prompts(asset: &str) -> Vec<String> {
    let split = |heading| section(asset, heading).join(", ");
    let products = split("[product,]");
    let roles = split("[role,]");
    products
        .split(", ")
        .zip(roles.split(", "))
        .zip(0..)
        .map(|((product, role), index)| {
            let mut stream = Stream::new(0, "system prompt", index);
            let mut rules = section(asset, "[rule]");
            let wanted = 8 + stream.below(11);
            let mut prompt = format!(
                "You are the {role} of {product}. You help people who use {product} every day, from beginners to \
                 experts.\n\nFollow these rules:\n"
            );
            for _ in 0..wanted.min(rules.len()) {
                let rule = rules.remove(stream.below(rules.len()));
                prompt.push_str("- ");
                prompt.push_str(&rule);
                prompt.push('\n');
            }
            prompt.push_str("\nGreet the user only in the first message.");
            prompt
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::dataset::synth::assets::*;

    #[test]
    fn every_slot_has_its_rule() {
        const BUILT_IN: [&str; 5] = ["focus", "digit", "num", "large", "year"];
        let assets = Assets::get();
        for topic in &assets.topics {
            for grammar in [&assets.english, &assets.code, &topic.grammar] {
                for slot in grammar.slots() {
                    assert!(
                        BUILT_IN.contains(&slot) || topic.grammar.has(slot) || grammar.has(slot),
                        "{slot}"
                    );
                }
            }
        }
        for foreign in &assets.foreign {
            for slot in foreign.grammar.slots() {
                assert!(
                    BUILT_IN.contains(&slot) || foreign.grammar.has(slot),
                    "{slot}"
                );
            }
        }
    }

    #[test]
    fn weights_are_percent() {
        let assets = Assets::get();
        let sum: usize = assets.topics.iter().map(|topic| topic.weight).sum();
        assert_eq!(sum, 100);
        assert_eq!(assets.system_prompts.len(), 12);
        assert_eq!((assets.questions.len(), assets.documents.len()), (16, 6));
    }

    #[test]
    fn system_prompts_are_hundreds_of_tokens_and_differ_early() {
        let prompts = &Assets::get().system_prompts;
        for prompt in prompts {
            assert!((700..3_000).contains(&prompt.len()), "{}", prompt.len());
        }
        let mut starts: Vec<&str> = prompts.iter().map(|prompt| &prompt[..60]).collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), prompts.len());
    }
}
