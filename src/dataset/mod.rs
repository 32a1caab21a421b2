//! Conversations: what they are, and how they are read from the files found in the wild.

mod conversation;
pub mod sharegpt;
pub mod time;

pub use conversation::{Conversation, Message, Role};
