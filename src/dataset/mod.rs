//! Conversations: what they are, and how they are read from the files found in the wild.

mod conversation;

pub use conversation::{Conversation, Message, Role};
