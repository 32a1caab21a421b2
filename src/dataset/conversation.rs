//! The types that a loader produces.

use crate::base::Nanos;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool or function answered.
    Tool,
}

impl Role {
    /// The role that a data set's own word stands for, or `None` for a word that nobody uses.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "human" | "user" => Self::User,
            "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "model" => Self::Assistant,
            "system" => Self::System,
            "tool" | "function" => Self::Tool,
            _ => return None,
        })
    }

    /// The word that chat templates know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, exactly as the data set has it.
    pub content: String,
}

/// A conversation as a data set tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The data set's own id, or the record's index where it has none.
    pub id: String,
    /// In the order in which they were said.
    pub messages: Vec<Message>,
    /// When it began, for data that knows it: time since the Unix epoch, or since the data's own start.
    pub timestamp: Option<Nanos>,
}

impl Conversation {
    /// Bytes of text in all messages.
    pub fn text_bytes(&self) -> usize {
        self.messages
            .iter()
            .map(|message| message.content.len())
            .sum()
    }
}
