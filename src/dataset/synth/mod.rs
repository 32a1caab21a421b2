//! A seeded generator of conversations that resemble ShareGPT's, for demonstrations, tests and machines without data.
//!
//! Measured: the distributions of turns and of message lengths (`lengths.rs`, with their source), and the fractions of
//! replies with lists and code. Invented: all words, the topics, the shared system prompts (the source has next to none)
//! and their popularity (Zipf). The text is assembled from patterns and word lists, so it looks like chat but has no
//! meaning; nothing in it comes from a real conversation.
//!
//! Conversation `i` depends only on the seed, `i` and the fractions, not on the number of conversations, and is the same on
//! every platform.

mod assets;
mod grammar;
mod inflect;
mod lengths;
mod message;
mod random;
#[cfg(test)]
mod tests;

use self::assets::Assets;
use self::grammar::Voice;
use self::lengths::Lengths;
use self::message::Composer;
use self::random::Stream;
use super::{Conversation, Message, Role};
use crate::base::Nanos;

/// Options of the generator. Fractions are probabilities in 0..=1; values outside are clamped.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthOptions {
    /// Number of conversations.
    pub conversations: usize,
    /// Seed. Another seed gives other texts with the same distributions, shared prompts and shared openings.
    pub seed: u64,
    /// Fraction of conversations with one of twelve shared system prompts of about 380 tokens each. The source has 0.4 %;
    /// assistants in production have up to 100 %.
    pub system_prompt_share: f64,
    /// Fraction of conversations that begin with one of 16 popular questions or 6 long instructions before a document.
    pub shared_opening_share: f64,
    /// Fraction of conversations in Spanish, Chinese or German instead of English.
    pub other_language_share: f64,
    /// Fraction of messages that end in an emoji.
    pub emoji_share: f64,
    /// Largest number of turns (a user message and its reply) of a conversation.
    pub max_turns: usize,
    /// With a rate, conversation `i` gets a random timestamp within the `i`-th interval of 1/rate seconds, so timestamps
    /// increase; without one, conversations have no timestamps.
    pub starts_per_second: Option<f64>,
}

impl Default for SynthOptions {
    fn default() -> Self {
        Self {
            conversations: 1_000,
            seed: 42,
            system_prompt_share: 0.25,
            shared_opening_share: 0.08,
            other_language_share: 0.04,
            emoji_share: 0.01,
            max_turns: 150,
            starts_per_second: None,
        }
    }
}

/// Iterates over the conversations; memory does not grow with their number.
pub fn generate(options: &SynthOptions) -> impl Iterator<Item = Conversation> + use<> {
    let options = options.clone();
    (0..options.conversations).map(move |index| conversation(&options, index as u64))
}

/// Conversation `index` under `options`, whose `conversations` is ignored.
fn conversation(options: &SynthOptions, index: u64) -> Conversation {
    let assets = Assets::get();
    let stream = &mut Stream::new(options.seed, "conversation", index);
    // drawn first and always, so that changing a share changes only the conversations that it concerns
    let (system, opening, language) = (stream.unit(), stream.unit(), stream.unit());
    let mut stream_of_system = Stream::new(options.seed, "system", index);
    let mut messages = Vec::new();
    if system < options.system_prompt_share {
        let rank = stream_of_system.zipf(assets.system_prompts.len(), 0.0);
        if let Some(prompt) = assets.system_prompts.get(rank) {
            messages.push(message(Role::System, prompt.clone()));
        }
    }
    let foreign = language < options.other_language_share;
    let composer = composer(stream, foreign, options.emoji_share);
    let lengths = Lengths::draw(stream);
    let turns = Lengths::turns(stream, options.max_turns);
    for turn in 0..turns {
        let wanted = lengths.user(stream, turn);
        let shared = turn == 0 && !foreign && opening < options.shared_opening_share;
        let question = if shared {
            shared_opening(stream, &composer, wanted)
        } else {
            composer.ask(stream, turn == 0, wanted)
        };
        messages.push(message(Role::User, question));
        let wanted = lengths.assistant(stream);
        messages.push(message(Role::Assistant, composer.answer(stream, wanted)));
    }
    Conversation {
        id: format!("synthetic-{index:06}"),
        messages,
        timestamp: options.starts_per_second.map(|rate| {
            let within = Stream::new(options.seed, "timestamp", index).unit();
            Nanos::from_secs_f64((index as f64 + within) / rate)
        }),
    }
}

fn message(role: Role, content: String) -> Message {
    Message { role, content }
}

/// Draws the topic or language, and the vocabulary, of a conversation.
fn composer(stream: &mut Stream, foreign: bool, emoji: f64) -> Composer<'static> {
    let assets = Assets::get();
    let (mut topic, mut language, mut code, mut dense) =
        (&assets.none, &assets.english, false, false);
    if let (true, Some(other)) = (foreign, stream.pick(&assets.foreign)) {
        language = &other.grammar;
        dense = other.dense;
    } else {
        let mut left = stream.below(assets.topics.iter().map(|topic| topic.weight).sum());
        for candidate in &assets.topics {
            topic = &candidate.grammar;
            code = candidate.code;
            if left < candidate.weight {
                break;
            }
            left -= candidate.weight;
        }
    }
    Composer {
        voice: Voice::draw(stream, topic, language),
        code,
        dense,
        emoji,
    }
}

/// A popular question, or a popular instruction followed by a document of this conversation.
fn shared_opening(stream: &mut Stream, composer: &Composer<'_>, wanted: usize) -> String {
    let assets = Assets::get();
    if stream.chance(0.6) {
        let rank = stream.zipf(assets.questions.len(), 0.0);
        assets.questions.get(rank).cloned().unwrap_or_default()
    } else {
        let rank = stream.zipf(assets.documents.len(), 0.0);
        let mut text = assets.documents.get(rank).cloned().unwrap_or_default();
        text.push_str(&composer.paste(stream, wanted.max(300)));
        text
    }
}
