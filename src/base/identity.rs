//! What a tokenizer or template was when a trace was made.

/// A name with the digest of what it named when the trace was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// As the user gave it.
    pub name: String,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}
