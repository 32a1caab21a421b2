//! Conversations, messages and roles: the types that a loader produces.

use crate::base::Nanos;

/// Role of a message's author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// System prompt: instructions to the model.
    System,
    /// User.
    User,
    /// Assistant: the model.
    Assistant,
    /// Result of a tool or function call.
    Tool,
}

impl Role {
    /// The role for a data set's name of it (`human`, `gpt`, ...), or `None` for an unknown name.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "human" | "user" => Self::User,
            "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "model" => Self::Assistant,
            "system" => Self::System,
            "tool" | "function" => Self::Tool,
            _ => return None,
        })
    }

    /// The role's name in chat templates.
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
    /// Role of the author.
    pub role: Role,
    /// Text of the message, exactly as in the data set.
    pub content: String,
}

/// A conversation of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The data set's id, or the record's index if it has none.
    pub id: String,
    /// Messages, in order.
    pub messages: Vec<Message>,
    /// Start of the conversation, if the data has it: time since the Unix epoch, or since the start of the data.
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
