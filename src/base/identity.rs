//! Which tokenizer or chat template a trace was generated with.

/// A name and the digest of the content that it stood for when the trace was generated.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// As the user gave it.
    pub name: String,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}
