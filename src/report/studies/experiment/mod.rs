//! Single-turn and multi-turn traffic side by side: the output of `experiment`.

pub mod course;
mod page;
mod tables;

pub(super) use page::read_page;
pub use page::write;
pub use tables::{SingleAndMulti, json, text};
