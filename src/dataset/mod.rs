//! Conversations, and their loaders for common file formats.

mod conversation;
pub mod sharegpt;
mod sharegpt_write;
pub mod synth;
pub mod time;

pub use conversation::{Conversation, Message, Role};
pub use sharegpt_write::{WrittenConversations, write_sharegpt};
