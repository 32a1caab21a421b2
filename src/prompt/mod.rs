//! Renders conversations and encodes them to the token ids that a serving engine would receive.

pub mod cuts;
mod encoder;
mod growth;
pub mod template;
pub mod tokenizer;

pub use encoder::{EncodeError, PromptEncoder, Turn, encode_text};
pub use growth::Growth;

use sha2::{Digest, Sha256};

/// SHA-256 in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
